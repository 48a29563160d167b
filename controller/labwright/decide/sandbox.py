"""Jinja cut down to what makes text from values: nothing but the values can be reached, and everything comes to an end.

What is repeated, joined or put out is paid for from one budget a rendering. So that nothing grows unpaid, there are no macros,
captured blocks, other templates, calls of anything but a few methods of texts and mappings, and no lists of lists."""

import math
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

BUDGET = 2 << 20  # characters put out or made, parts of loops evaluated
MOST_RANGE = 1000
MOST_NODES = 20_000  # parts of a template: it is compiled in a second or so
_FILTERS = (
    "abs", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last", "length", "list", "lower", "map",
    "max", "min", "reject", "rejectattr", "select", "selectattr", "sort", "string", "trim", "unique", "upper",
)  # fmt: skip
_METHODS = frozenset({
    "endswith", "get", "items", "keys", "lower", "lstrip", "removeprefix", "removesuffix", "rstrip", "split", "splitlines",
    "startswith", "strip", "upper", "values",
})  # fmt: skip
_WORDS = {
    nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "import", nodes.Extends: "extends",
    nodes.Block: "block", nodes.Macro: "macro", nodes.CallBlock: "call", nodes.FilterBlock: "filter",
    nodes.AssignBlock: "set … endset", nodes.Concat: "~", nodes.Pow: "**", nodes.Dict: "{…}", nodes.NSRef: "set a.b",
}  # fmt: skip
_NODES = frozenset({
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.With, nodes.Assign, nodes.Name, nodes.Const,
    nodes.List, nodes.Tuple, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Keyword, nodes.Call, nodes.Add, nodes.Sub, nodes.Mul,
    nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos,
})  # fmt: skip
_PACED = "a loop"  # no template can write such a name
_left: ContextVar[list[int]] = ContextVar("left")


@contextmanager
def limited() -> Iterator[None]:
    token = _left.set([BUDGET])
    try:
        yield
    finally:
        _left.reset(token)


def spend(cost: int) -> None:
    left = _left.get()
    left[0] -= cost
    if left[0] < 0:
        raise SecurityError("it makes too much text, or does not come to an end")


def _paid(value: Any) -> Any:
    spend(1 + len(value) if isinstance(value, str | list | tuple | dict) else 1)
    return value


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MOST_RANGE:
        raise SecurityError(f"range is longer than {MOST_RANGE}")
    return found


def _replace(value: object, old: str, new: str) -> str:
    text = str(value)
    spend(text.count(old) * len(new) + len(text))
    return text.replace(old, new)


def _join(values: Iterable[object], between: str = "") -> str:
    parts = []
    for value in values:
        parts.append(str(value))
        spend(len(parts[-1]) + len(between))
    return between.join(parts)


def _pace(values: Iterable[Any], cost: int) -> Iterator[Any]:
    for value in values:
        spend(cost)
        yield value


def _filter(made: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(made)
    def paying(*args: Any, **kwargs: Any) -> Any:
        return _paid(made(*args, **kwargs))

    return paying


class Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,  # scripts, not HTML: `sh` quotes
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            comment_start_string="<#",  # `{#` is shell: ${#array[@]}
            comment_end_string="#>",
        )
        to_json = self.filters["tojson"]
        self.filters = {name: _filter(self.filters[name]) for name in _FILTERS} | {
            "sh": _filter(lambda value: shlex.quote(str(value))),
            "tojson": _filter(wraps(to_json)(lambda context, value: to_json(context, value))),
            "replace": _replace,
            "join": _join,
            _PACED: _pace,
        }
        self.globals = {"range": _range}

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        if __obj is not _range and not (
            isinstance(__obj, BuiltinMethodType)
            and isinstance(__obj.__self__, str | dict)
            and __obj.__name__ in _METHODS
        ):
            raise SecurityError(f"{getattr(__obj, '__name__', 'that')!r} cannot be called")
        return _paid(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)  # says which
        texts = operator == "+" and isinstance(left, str) and isinstance(right, str)
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not texts and not numbers:
            raise SecurityError(f"{operator} takes numbers" + (", or two texts" if operator == "+" else ""))
        value = _paid(super().call_binop(context, operator, left, right))
        if numbers and not (math.isfinite(value) and abs(value) < 1 << 64):
            raise SecurityError("a number is too large")
        return value


def verify(tree: nodes.Template) -> None:
    """Raises TemplateSyntaxError for what a template may not use."""
    targets = {id(loop.target) for loop in tree.find_all(nodes.For)}  # `k, v` of `for k, v in …`
    for number, node in enumerate(tree.find_all(nodes.Node)):
        if number >= MOST_NODES:
            raise TemplateSyntaxError(f"it has more than {MOST_NODES:,} parts", node.lineno)
        if type(node) not in _NODES or (isinstance(node, nodes.For) and node.recursive):
            what = _WORDS.get(type(node), type(node).__name__.lower())
            raise TemplateSyntaxError(f"`{what}` is not available in these templates", node.lineno)
        listed = isinstance(node, nodes.List | nodes.Tuple) and id(node) not in targets
        if listed and not all(isinstance(item, nodes.Const) for item in node.iter_child_nodes()):
            raise TemplateSyntaxError("a list holds constants only in these templates", node.lineno)


def paced(tree: nodes.Template) -> nodes.Template:
    """The same with loops that pay for each turn what is in them."""
    for loop in list(tree.find_all(nodes.For)):
        cost = sum(_weight(node) for node in loop.find_all(nodes.Node))
        loop.iter = nodes.Filter(loop.iter, _PACED, [nodes.Const(cost)], [], None, None, lineno=loop.lineno)
    return tree


def _weight(node: nodes.Node) -> int:
    return 1 + len(node.value) if isinstance(node, nodes.Const) and isinstance(node.value, str) else 1
