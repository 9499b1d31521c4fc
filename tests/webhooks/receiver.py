"""A receiver of webhooks on loopback: real HTTP, told for each request how to answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    """A request, with what the receiver answered to it."""

    headers: Mapping[str, str]
    body: bytes
    path: str
    status: int

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def customer(self) -> int:
        return int(self.event["data"]["customerIdentifiers"]["customerId"])

    def verify(self, secret: str) -> None:
        """As a receiver with the stock library does; raises if the signature is wrong."""
        Webhook(secret).verify(self.body, dict(self.headers))


@dataclass(frozen=True)
class Reply:
    """How to answer: a status after a while, with headers; or, with `stalls`, not at all."""

    status: int = 200
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    stalls: bool = False
    body: bytes = b"{}"


Behaviour = Callable[[Mapping[str, Any]], Reply]


class Receiver:
    """Answers by `behaviour`, which is given the event; keeps everything that came, in order."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = lambda _: Reply()
        self.received: list[Received] = []
        self.at_once_max = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                receiver.answer(self)

            def do_GET(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 200

            def handle_error(self, *_: Any) -> None:
                pass  # whoever delivered was killed, or gave up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("content-length", 0))
        body = request.rfile.read(length)
        if len(body) < length:  # whoever sent it was killed in the middle
            return
        with self._lock:
            self._at_once += 1
            self.at_once_max = max(self.at_once_max, self._at_once)
            reply = self.behaviour(json.loads(body) if body else {})
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.received.append(Received(headers, body, request.path, reply.status))
        try:
            if reply.stalls:
                self._stop.wait(20)
                return
            time.sleep(reply.seconds)
            request.send_response(reply.status)
            for name, value in reply.headers.items():
                request.send_header(name, value)
            request.send_header("content-length", str(len(reply.body)))
            request.end_headers()
            request.wfile.write(reply.body)
        finally:
            with self._lock:
                self._at_once -= 1

    @property
    def taken(self) -> list[Received]:
        """What was answered with 2xx."""
        return [each for each in self.received if 200 <= each.status < 300]

    def firsts(self) -> list[Received]:
        """What was taken, without repetitions."""
        found: dict[str, Received] = {}
        for each in self.taken:
            found.setdefault(each.headers["webhook-id"], each)
        return list(found.values())


def expected_ids(org: Any, customer: int) -> list[str]:
    """The ids of all that brands are told about a customer, in order, by the API."""
    response = org.get(
        f"/milepost/v1/customers/{customer}/notifications", params={"limit": "10000"}
    )
    return [each["eventId"] for each in response.json()["data"]]
