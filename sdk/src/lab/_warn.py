"""What the SDK says when recording fails: one sentence on stderr, once, and training goes on."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F")

_said: set[str] = set()


def say(text: str) -> None:
    """Write one line to stderr; a closed stderr is no reason to stop either."""
    try:
        sys.stderr.write(f"lab: {text}\n")
    except Exception:
        pass


def warn(text: str, about: str = "") -> None:
    """Say `text` once per process for each `about` (the text itself where it is not given)."""
    about = about or text
    if about in _said or len(_said) > 1000:  # a bound: a million kinds of trouble must not grow memory
        return
    _said.add(about)
    say(text)


def recording(failed: Callable[[], F], name: str = "") -> Callable[[Callable[P, R]], Callable[P, R | F]]:
    """Decorate a function that records: what goes wrong inside is warned of (as of `name`), and `failed()` is returned.

    Raises only the TypeError of a call that does not fit the signature: that is the script's mistake, met at its first run.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R | F]:
        def safe(*args: P.args, **kwargs: P.kwargs) -> R | F:
            try:
                return function(*args, **kwargs)
            except Exception as problem:
                trace = problem.__traceback__
                if isinstance(problem, TypeError) and trace is not None and trace.tb_next is None:
                    raise  # never entered `function`
                told = f"{type(problem).__name__}: {problem}" if not isinstance(problem, OSError) else str(problem)
                who = name or function.__name__
                warn(f"{who} did not record ({told}); training goes on", who + told[:60])
                return failed()

        return dress(safe, function)

    return decorate


def dress(outer: Callable[P, R], inner: Callable[..., object], prefix: str = "") -> Callable[P, R]:
    """`functools.wraps` without importing functools: name, docstring and signature of `inner` on `outer`."""
    outer.__name__ = prefix + inner.__name__
    outer.__qualname__ = prefix + inner.__qualname__
    outer.__doc__, outer.__module__ = inner.__doc__, inner.__module__
    outer.__dict__["__wrapped__"] = inner
    return outer


def nothing() -> None:
    """What most functions return when recording failed."""


def spare_dir() -> str:
    """What a script may write to where the job's folder cannot be written: training goes on, the files are not kept."""
    import tempfile

    return tempfile.mkdtemp(prefix="lab-")


def no_paths() -> list[str]:
    """What listings return when reading failed."""
    return []
