"""Calls that may block, off the loop's thread; what they answer is taken up on the loop's thread again."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Calls:
    """At most one call a key at a time. `then` and `failed` run in `settle`, on the thread that calls it."""

    def __init__(self, wake: threading.Event, workers: int = 8) -> None:
        self._wake = wake
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="call")
        self._flying: dict[str, tuple[Future[Any], Callable[[Any], None], Callable[[Exception], None]]] = {}

    def busy(self, key: str) -> bool:
        return key in self._flying

    def __len__(self) -> int:
        return len(self._flying)

    def start(
        self, key: str, call: Callable[[], T], then: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        if key in self._flying:
            raise RuntimeError(f"call {key} is in flight already")
        future = self._pool.submit(call)
        self._flying[key] = (future, then, failed)
        future.add_done_callback(lambda _: self._wake.set())

    def settle(self) -> int:
        """Take up every answer that is there; how many there were."""
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
        self._pool.shutdown(wait=True, cancel_futures=True)
