"""Calls that may block, off the loop's thread; what they answer is taken up on the loop's thread again."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
WORKERS = 32  # so many that a provider that hangs stops no other


class Left(Executor):
    """A thread a call, that the process does not wait for when it ends. How many there are is the caller's to bound."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # it is whoever asked who is told
                future.set_exception(error)

        threading.Thread(target=run, name="left", daemon=True).start()
        return future


@dataclass(frozen=True, slots=True)
class _Call:
    call: Callable[[], Any]
    then: Callable[[Any], None]
    failed: Callable[[Exception], None]
    left: bool


class Calls:
    """At most one call a key at a time. What is started goes off with `launch`, once the intent to do it is written;
    `then` and `failed` run in `settle`. All three on the loop's thread."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self.closing = False  # calls of many parts look at it
        self._pool: Executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="call")
        self._left: Executor = Left()
        self._flying: dict[str, tuple[Future[Any], _Call]] = {}
        self._ready: dict[str, _Call] = {}

    def busy(self, key: str) -> bool:
        return key in self._flying or key in self._ready

    def __len__(self) -> int:
        return len(self._flying) + len(self._ready)

    def start(
        self,
        key: str,
        call: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
        *,
        left: bool = False,
    ) -> None:
        """`left`: it may take hours and harms nothing when it is cut off at any point, so closing does not wait for it."""
        if self.busy(key):
            raise RuntimeError(f"call {key} is under way already")
        self._ready[key] = _Call(call, then, failed, left)

    def launch(self) -> None:
        ready, self._ready = self._ready, {}
        for key, one in ready.items():
            future = (self._left if one.left else self._pool).submit(one.call)
            self._flying[key] = (future, one)
            future.add_done_callback(lambda _: self._wake.set())

    def drop(self) -> None:
        """Forget what was started and has not gone off: its intent could not be written."""
        self._ready.clear()

    def settle(self) -> int:
        """Take up every answer that is there; how many there were. One that cannot be taken up is gone, as are those before
        it: who asked looks again at what the ledger says."""
        done = [key for key, (future, _) in self._flying.items() if future.done()]
        for key in done:
            future, one = self._flying.pop(key)
            error = future.exception()
            if error is None:
                one.then(future.result())
            elif isinstance(error, Exception):
                one.failed(error)
            else:
                raise error
        return len(done)

    def close(self) -> None:
        self.closing = True
        self._pool.shutdown(wait=True, cancel_futures=True)
