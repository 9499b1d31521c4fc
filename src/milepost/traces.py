"""Traces for OpenTelemetry, when an endpoint for them is configured; nothing of it is loaded otherwise.

A request is a span with the route's template; a batch is a span below the first of its requests, with
links to the others; due work of an organisation is a span. No attribute holds anything of a person.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from milepost.settings import Settings

STOP_SECONDS = 1.5
SEND_SECONDS = 5.0
LINKS_MAX = 100
Attribute = str | int

_links: ContextVar[Sequence[Any]] = ContextVar("links", default=())
_tracer: Any = None
_provider: Any = None


def start(settings: Settings, process: str) -> None:
    """Send this process's spans to `settings.otlp_endpoint`, if there is one. `process` is its kind."""
    global _tracer, _provider  # noqa: PLW0603 - one process, one tracer
    if not settings.otlp_endpoint or _provider is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - see above
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = {"service.name": "milepost", "milepost.process": process}
    _provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    endpoint = settings.otlp_endpoint.rstrip("/") + "/v1/traces"
    _provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=SEND_SECONDS))
    )
    _tracer = _provider.get_tracer("milepost")


def stop() -> None:
    """Send what has not been sent yet, for at most `STOP_SECONDS`, and end."""
    global _tracer, _provider  # noqa: PLW0603
    if _provider is not None:
        # It may wait for half a minute for an endpoint that does not answer; nobody waits for that.
        sending = threading.Thread(target=_provider.shutdown, daemon=True)
        sending.start()
        sending.join(STOP_SECONDS)
    _tracer = _provider = None


def tracing() -> bool:
    """Whether spans are sent anywhere."""
    return _tracer is not None


@contextmanager
def span(name: str, attributes: Mapping[str, Attribute]) -> Iterator[None]:
    """A span of this name around the block, below the one that is open here. An exception fails it."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(
        name, attributes=attributes, links=_links.get(), record_exception=False
    ):
        yield


def current() -> Any:
    """The span that is open here, for `on_behalf_of`; None when nothing is traced."""
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - loaded long since

    return get_current_span()


@contextmanager
def on_behalf_of(spans: Sequence[Any]) -> Iterator[None]:
    """Do the block for requests whose spans were `current`: below the first, linked to the others.

    Who joins them into a batch runs in the context of any of them, or of one that is answered already.
    """
    if _tracer is None or spans[0] is None:
        yield
        return
    from opentelemetry.trace import Link, use_span  # noqa: PLC0415 - loaded long since

    others = {id(each): each for each in spans[1:] if each not in (None, spans[0])}
    linked = _links.set([Link(each.get_span_context()) for each in others.values()][:LINKS_MAX])
    try:
        with use_span(spans[0], record_exception=False, set_status_on_exception=False):
            yield
    finally:
        _links.reset(linked)


@contextmanager
def request_span(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Any]:
    """The span of a request, of the caller's trace if its headers name one (W3C `traceparent`)."""
    from opentelemetry.propagate import extract  # noqa: PLC0415 - loaded long since
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    named = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }
    with _tracer.start_as_current_span(
        "request", context=extract(named), kind=SpanKind.SERVER, record_exception=False
    ) as opened:
        yield opened


def describe_request(opened: Any, method: str, route: str, status: int, request_id: str) -> None:
    """Say in a request's span what it was; a 5xx fails it."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - loaded long since

    opened.update_name(f"{method} {route}" if route else method)
    opened.set_attribute("http.request.method", method)
    opened.set_attribute("http.response.status_code", status)
    opened.set_attribute("milepost.request_id", request_id)
    if route:
        opened.set_attribute("http.route", route)
    if status >= 500 or status == 0:
        opened.set_status(StatusCode.ERROR)
