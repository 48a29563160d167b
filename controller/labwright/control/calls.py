"""Calls that may block, off the loop's thread; what they answer is taken up on the loop's thread again."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Calls:
    """At most one call a key at a time. What is started goes off with `launch`, once the intent to do it is written;
    `then` and `failed` run in `settle`. All three on the loop's thread."""

    def __init__(
        self, wake: threading.Event, workers: int = 32
    ) -> None:  # so many that a provider that hangs stops no other
        self._wake = wake
        self.closing = False  # calls that take long look at it
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="call")
        self._flying: dict[str, tuple[Future[Any], Callable[[Any], None], Callable[[Exception], None]]] = {}
        self._ready: dict[str, tuple[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]]] = {}

    def busy(self, key: str) -> bool:
        return key in self._flying or key in self._ready

    def __len__(self) -> int:
        return len(self._flying) + len(self._ready)

    def start(
        self, key: str, call: Callable[[], T], then: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        if self.busy(key):
            raise RuntimeError(f"call {key} is under way already")
        self._ready[key] = (call, then, failed)

    def launch(self) -> None:
        ready, self._ready = self._ready, {}
        for key, (call, then, failed) in ready.items():
            future = self._pool.submit(call)
            self._flying[key] = (future, then, failed)
            future.add_done_callback(lambda _: self._wake.set())

    def drop(self) -> None:
        """Forget what was started and has not gone off: its intent could not be written."""
        self._ready.clear()

    def settle(self) -> int:
        """Take up every answer that is there; how many there were. One that cannot be taken up is gone, as are those before
        it: who asked looks again at what the ledger says."""
        done = [key for key, (future, _, _) in self._flying.items() if future.done()]
        for key in done:
            future, then, failed = self._flying.pop(key)
            error = future.exception()
            if error is None:
                then(future.result())
            elif isinstance(error, Exception):
                failed(error)
            else:
                raise error
        return len(done)

    def close(self) -> None:
        self.closing = True
        self._pool.shutdown(wait=True, cancel_futures=True)
