"""Traces: what is sent to an OpenTelemetry endpoint, and that nothing is without one."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Receiver:
    """An OTLP endpoint that keeps what it is sent."""

    def __init__(self) -> None:
        received: list[tuple[str, ExportTraceServiceRequest]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> list[Span]:
        return [
            span
            for _, request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def attributes(span: Span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_request_and_its_batch_are_spans_of_the_callers_trace_and_name_nobody(
    receiver: Receiver, database_url: str
) -> None:
    settings = Settings(
        database_url=database_url, admin_token=ADMIN_TOKEN, otlp_endpoint=receiver.url
    )
    with Service(settings) as service:
        org: Org = service.new_org()
        customer = org.register(mobile="919800000001")
        answer = org.post(
            "/milepost/v1/activities?secret=hidden",
            [
                {
                    "id": "a1",
                    "customerId": customer,
                    "type": "EVENT",
                    "eventName": "runLogged",
                    "occurredAt": "2026-06-01T00:00:00Z",
                }
            ],
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        )
        assert answer.status_code == 200
    assert {path for path, _ in receiver.received} == {"/v1/traces"}
    spans = receiver.spans()
    request = next(span for span in spans if span.name == "POST /milepost/v1/activities")
    assert request.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == PARENT
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/milepost/v1/activities",
        "milepost.request_id": answer.headers["X-Cap-Requestid"],
    }
    (batch,) = [span for span in spans if span.parent_span_id == request.span_id]
    assert batch.name.startswith("batch ")
    assert attributes(batch)["milepost.commands"] == 1
    sent = b"".join(request.SerializeToString() for _, request in receiver.received)
    for secret in ("919800000001", "hidden", org.username, org.password, "runLogged"):
        assert secret.encode() not in sent


def test_a_batch_of_several_requests_is_below_the_first_and_linked_to_the_others(
    receiver: Receiver, database_url: str
) -> None:
    settings = Settings(
        database_url=database_url,
        admin_token=ADMIN_TOKEN,
        otlp_endpoint=receiver.url,
        batches_in_flight_max=1,
    )
    with Service(settings) as service, ThreadPoolExecutor(8) as pool:
        org = service.new_org()
        with psycopg.connect(database_url) as blocking:
            # One batch is held up, so that the requests behind it go together in the next one.
            blocking.execute("LOCK TABLE customer_identifiers IN EXCLUSIVE MODE")
            asked = [pool.submit(org.register)]
            eventually(lambda: is_held_up(database_url))
            asked += [pool.submit(org.register) for _ in range(4)]
            eventually(lambda: queued(service) == 4)
        for each in asked:
            each.result()
    spans = receiver.spans()
    requests = {span.span_id: span for span in spans if span.name == "POST /v2/customers"}
    batches = [span for span in spans if span.name == "batch registration"]
    assert sorted(len(batch.links) for batch in batches) == [0, 3]
    parents = [batch.parent_span_id for batch in batches]
    linked = [link.span_id for batch in batches for link in batch.links]
    assert sorted([*parents, *linked]) == sorted(requests)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 4  # the lock's time-out is 5 s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_held_up(database_url: str) -> bool:
    """Whether a batch waits for a lock."""
    with psycopg.connect(database_url) as connection:
        waiting = connection.execute(
            "SELECT FROM pg_locks WHERE NOT granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return waiting.rowcount > 0


def queued(service: Service) -> float:
    """How many registrations wait for a batch."""
    shown = service.operator.get("/metrics").text
    found = re.search(
        r'^milepost_queued_commands\{action="registration"\} (.*)$', shown, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def test_an_endpoint_that_does_not_answer_keeps_nobody_waiting(database_url: str) -> None:
    settings = Settings(
        database_url=database_url, admin_token=ADMIN_TOKEN, otlp_endpoint="http://127.0.0.1:1"
    )
    with Service(settings) as service:
        assert service.connect().get("/health/live").status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < 5


def test_nothing_of_it_is_loaded_unless_it_is_configured() -> None:
    script = (
        "import sys, milepost.cli, milepost.traces\n"
        "from milepost.settings import Settings\n"
        "milepost.traces.start(Settings(), 'x')\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
