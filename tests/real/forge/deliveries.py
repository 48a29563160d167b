"""Somebody who takes deliveries, and knows by which secret each one is signed."""

import hmac
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Delivery:
    event: str
    body: Any
    secret: str  # empty where it is none of those that are known
    at: float


class Receiver:
    def __init__(self, secrets: Sequence[str]) -> None:
        self.got: list[Delivery] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said = self.headers.get("X-Hub-Signature-256", "")
                signed = [s for s in secrets if said == f"sha256={hmac.new(s.encode(), body, 'sha256').hexdigest()}"]
                event = self.headers.get("X-Gitea-Event-Type", "")
                receiver.got.append(Delivery(event, json.loads(body), (signed or [""])[0], time.monotonic()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait(self, wanted: Callable[[Delivery], bool], since: int = 0) -> Delivery:
        deadline = time.monotonic() + 30
        while not (found := [each for each in self.got[since:] if wanted(each)]):
            assert time.monotonic() < deadline, self.got
            time.sleep(0.01)
        return found[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
