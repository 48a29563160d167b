"""A way to a local port that can turn into a black hole, where nothing arrives and nobody is told, or lose answers."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class Proxy:
    def __init__(self, to_port: int, port: int = 0) -> None:
        self._to = to_port
        self._server = socket.create_server(("127.0.0.1", port))
        self._let_through: int | None = None
        self.port: int = self._server.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        for each in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                each.close()

    @contextmanager
    def blackhole(self) -> Iterator[None]:
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    @contextmanager
    def losing_answers(self, *, after: int) -> Iterator[None]:
        """Requests arrive; a connection ends as soon as more than so many bytes come back. -1: once anything was sent."""
        self._let_through = after
        try:
            yield
        finally:
            self._let_through = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:  # nobody listens there just now
                client.close()
                continue
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, source is server), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._open.wait()
                limit = self._let_through
                if answers and limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: max(0, limit - passed)])
                    break
                sink.sendall(data)
                passed += len(data)
                if limit == -1 and data.endswith(b"}"):  # of a request
                    break
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
