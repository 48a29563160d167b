"""Text from a template and values, and nothing else: no clock, no file, no network; the same input gives the same bytes."""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables

from labwright.decide import sandbox
from labwright.domain.errors import Refused

_BROKEN = (
    TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
    RecursionError, SyntaxError, MemoryError,  # of source that is nested without end
)  # fmt: skip
_ENVIRONMENT = sandbox.Environment()


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(sandbox.paced(_parsed(source)))


def _parsed(source: str) -> nodes.Template:
    tree = _ENVIRONMENT.parse(source)
    sandbox.verify(tree)
    return tree


def render(source: str, values: Mapping[str, Any], *, name: str = "template") -> str:
    """The text. Raises Refused, naming the template, for one that is broken, reaches out of its sandbox, asks for a value that
    is not there, or does not come to an end. Values go into shell text through `| sh` only."""
    chunks = []
    try:
        with sandbox.limited():
            for chunk in _compiled(source).generate(values):
                sandbox.spend(len(chunk))
                chunks.append(chunk)
    except _BROKEN as error:
        line = _line(error)
        where = f"{name}:{line}" if line else name
        raise Refused(f"{where}: {_words(error)}", hint="correct the template in the lab repository") from error
    return "".join(chunks)


def asked(source: str) -> frozenset[str]:
    """Names of the values that a template asks for."""
    with sandbox.limited():
        return frozenset(find_undeclared_variables(_parsed(source)) - _ENVIRONMENT.globals.keys())


def faults(source: str, given: Collection[str]) -> Iterator[tuple[int, str, str]]:
    """(line, what is wrong, how to mend it) of a template that will be given these values."""
    try:
        with sandbox.limited():
            _compiled(source)
        missing = asked(source) - set(given)
    except _BROKEN as error:
        yield _line(error) or 1, _words(error), ""
        return
    if missing:
        there = f"there are: {', '.join(sorted(given)) or 'none'}"
        for node in _parsed(source).find_all(nodes.Name):
            if node.name in missing:
                missing -= {node.name}
                yield node.lineno, f"`{node.name[:80]}` is no value that this template is given", there


def _line(error: BaseException) -> int | None:
    """Of the template: jinja2 names its lines in syntax errors and in the traces of others."""
    found: int | None = error.lineno if isinstance(error, TemplateSyntaxError) else None
    trace = error.__traceback__
    while trace is not None and not isinstance(error, TemplateSyntaxError):
        if trace.tb_frame.f_code.co_filename == "<template>":
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _words(error: BaseException) -> str:
    nested = isinstance(error, RecursionError | SyntaxError | MemoryError)
    return "it is nested too deeply, or too large" if nested else getattr(error, "message", None) or str(error)
