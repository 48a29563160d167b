"""How the controller's events are written: for people on a terminal, as JSON lines for machines. Always standard error."""

import sys
from collections.abc import MutableMapping
from typing import Any, Literal

from labwright.cli.terminal import clean

Format = Literal["auto", "human", "json"]


def is_human(format: Format) -> bool:
    return format == "human" or (format == "auto" and sys.stderr.isatty())


def configure(format: Format, *, quiet: bool = False) -> None:
    """`quiet`: warnings and errors only."""
    import logging

    import structlog

    human = is_human(format)
    colours = human and sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
    ]
    told: list[Any] = (
        [_cleaned, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=16, exception_formatter=_plain_traceback)]
        if human
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=True, default=str)]
    )
    structlog.configure(
        processors=[*shared, *told],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _cleaned(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names and messages come from commits; `exc_info` is ours."""
    return {key: clean(value) if isinstance(value, str) else value for key, value in event.items()}


def _plain_traceback(out: Any, exc_info: Any) -> None:
    import structlog

    structlog.dev.plain_traceback(out, exc_info)
