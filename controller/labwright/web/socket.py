"""The running controller's door for people at the same machine: HTTP over a unix socket that only its user may open.

    POST /sql     {"sql": "…", "seconds": 30, "rows": 1000, "memory_mb": 512}  → Arrow stream, or 400 {"error", "hint"}
    POST /wake    look at the repository now
    GET  /status  JSON

The stream's last message may carry metadata: `truncated` after rows beyond the limit, `error` when the query broke off.
"""

import json
import os
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.ports.records import Answer, QueryLimits
from labwright.web.address import clear_stale, short_path

ARROW = "application/vnd.apache.arrow.stream"
BODY = 1 << 20  # bytes of a request
_PATHS = "GET /status, POST /sql, POST /wake"
PATIENCE = 30.0  # seconds that a client may keep us waiting


@dataclass(frozen=True, slots=True)
class Calls:
    sql: Callable[[str, QueryLimits], Answer]
    wake: Callable[[], None]
    status: Callable[[], Mapping[str, Any]]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    calls: Calls
    slots: threading.BoundedSemaphore

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event; anything else is a defect of ours."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            structlog.get_logger().exception("socket.request_failed")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "labwright"
    timeout = PATIENCE

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        with self._told():
            if self.path != "/status":
                raise Refused(f"There is no {self.path} here.", hint=_PATHS)
            self._send(200, dict(self.server.calls.status()))

    def do_POST(self) -> None:
        with self._told():
            body = self._body()
            if self.path == "/wake":
                self.server.calls.wake()
                self._send(200, {"ok": True})
            elif self.path == "/sql":
                self._sql(body)
            else:
                raise Refused(f"There is no {self.path} here.", hint=_PATHS)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong before the answer begins is answered in words."""
        try:
            yield
        except LabError as error:
            self._fail(503 if isinstance(error, Unavailable) else 400, error)

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > BODY:
            self.close_connection = True
            raise Refused(f"The request is larger than {BODY} bytes or does not say its length.")
        try:
            body = json.loads(self.rfile.read(int(length)) or b"{}")
        except (ValueError, RecursionError):
            raise Refused("The request is not JSON.") from None
        if not isinstance(body, dict):
            raise Refused("The request is not a JSON object.")
        return body

    def _sql(self, body: Mapping[str, Any]) -> None:
        sql = body.get("sql")
        if not isinstance(sql, str):
            raise Refused('The request has no "sql".')
        if not self.server.slots.acquire(timeout=5):
            raise Unavailable("Too many queries run at once.", retry_in=5)
        try:
            self._stream(self.server.calls.sql(sql, _limits(body)))
        finally:
            self.server.slots.release()

    def _stream(self, answer: Answer) -> None:
        batches = iter(answer.batches())
        try:
            first = next(batches, None)  # a query that fails at once is answered with 400
            self.send_response(200)
            self.send_header("Content-Type", ARROW)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._chunks(answer, first, batches)
        finally:
            getattr(batches, "close", lambda: None)()

    def _chunks(self, answer: Answer, first: Any, batches: Iterator[Any]) -> None:
        schema = answer.schema
        sink = _Chunks(self.wfile)
        writer = pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema)
        try:
            while first is not None:
                writer.write_batch(first)
                first = next(batches, None)
        except LabError as error:
            self.close_connection = True  # no end mark: every client sees that something is missing
            words = {"error": error.message, "hint": error.hint}
            writer.write_batch(_empty(schema), custom_metadata=words)
            return
        if answer.truncated:
            writer.write_batch(_empty(schema), custom_metadata={"truncated": "true"})
        writer.close()
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, code: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body, default=str).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, code: int, error: LabError) -> None:
        self._send(code, {"error": error.message, "hint": error.hint})


class _Chunks:
    """A file whose every write is one chunk of the HTTP body."""

    closed = False

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, data: Any) -> int:
        if size := memoryview(data).nbytes:
            self._out.write(b"%x\r\n" % size)
            self._out.write(data)
            self._out.write(b"\r\n")
        return size

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        pass


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _limits(body: Mapping[str, Any]) -> QueryLimits:
    """What the client asks for; the server's own defaults are the most it gets of seconds and memory."""
    most = QueryLimits()
    try:
        return QueryLimits(
            seconds=min(max(float(body.get("seconds", most.seconds)), 0.01), 600.0),
            rows=max(int(body.get("rows", most.rows)), 0),
            memory_mb=min(max(int(body.get("memory_mb", most.memory_mb)), 16), most.memory_mb),
        )
    except (TypeError, ValueError, OverflowError):
        raise Refused("seconds, rows and memory_mb are numbers.") from None


class Server:
    """A running server; `close` removes its socket."""

    def __init__(self, path: Path, server: _Server) -> None:
        self.path, self._server = path, server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)


def serve_socket(
    path: Path,
    sql: Callable[[str, QueryLimits], Answer],
    wake: Callable[[], None],
    status: Callable[[], Mapping[str, Any]],
    *,
    at_once: int = 8,
) -> Server:
    """Serves in a daemon thread; `at_once` queries run, more wait. Raises Refused when somebody else serves there."""
    path = path.absolute()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    clear_stale(path)
    with short_path(path) as address:
        old = os.umask(0o177)
        try:
            server = _Server(address, _Handler)
        finally:
            os.umask(old)
    path.chmod(0o600)
    server.calls, server.slots = Calls(sql, wake, status), threading.BoundedSemaphore(at_once)
    return Server(path, server)
