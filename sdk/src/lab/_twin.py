"""The `async_` form of a function, made from it: quick ones run where they are called, slow ones in a thread."""

from __future__ import annotations

from lab._warn import dress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


def twin(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """For a call of microseconds: no thread is worth it."""

    async def inline(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return dress(inline, function, "async_")


def slow_twin(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """For a call that reads or writes files: the event loop goes on meanwhile."""

    async def threaded(*args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    return dress(threaded, function, "async_")
