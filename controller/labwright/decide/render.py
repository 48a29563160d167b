"""Text from a template and values, and nothing else: no clock, no file, no network; the same input gives the same bytes."""

import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from labwright.domain.errors import Refused


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=DictLoader({}),  # a template includes no other
        undefined=StrictUndefined,
        autoescape=False,  # scripts, not HTML: `sh` quotes
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        comment_start_string="<#",  # `{#` is shell: ${#array[@]}
        comment_end_string="#>",
    )
    environment.filters["sh"] = lambda value: shlex.quote(str(value))
    return environment


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    return _environment().from_string(source)


def render(source: str, values: Mapping[str, Any], *, name: str = "template") -> str:
    """The text. Raises Refused, naming the template, for one that is broken, reaches out of its sandbox, or asks for a value
    that is not there. Values go into shell text through `| sh` only."""
    try:
        return _compiled(source).render(values)
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{name}:{line}" if line else name
        raise Refused(f"{where}: {error}", hint="correct the template in the lab repository") from error
