"""A TCP proxy that can stop passing anything on without anybody being told: a network that is gone."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType


class Blackhole:
    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.open = True
        self._pairs: dict[socket.socket, socket.socket | None] = {}
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Blackhole":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended = True
        self._thread.join()
        for sock in (self._server, *self._pairs):
            sock.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            while not self._ended:
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._server:
                        self._accept(selector)
                    elif self.open and isinstance(key.fileobj, socket.socket):
                        self._pass(selector, key.fileobj)
                if not self.open:
                    threading.Event().wait(0.05)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._server.accept()
        if not self.open:
            self._pairs[near] = None  # connected, and that was all
            return
        far = socket.create_connection(("127.0.0.1", self._to))
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[one] = other
            selector.register(one, selectors.EVENT_READ)

    def _pass(self, selector: selectors.BaseSelector, one: socket.socket) -> None:
        other = self._pairs[one]
        assert other
        with contextlib.suppress(OSError):
            data = one.recv(1 << 16)
            if data:
                other.sendall(data)
                return
        for end in (one, other):
            with contextlib.suppress(KeyError):
                selector.unregister(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
