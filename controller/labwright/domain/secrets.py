"""References to secrets: `{{secret.NAME}}` or `{{secrets.NAME}}`. A task holds references only; values come at submission."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from labwright.domain.errors import Refused
from labwright.domain.task import Task

VARIABLE = "LAB_SECRET_"
_REFERENCE = re.compile(r"\{\{\s*secrets?\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def secret_names(task: Task) -> frozenset[str]:
    """Every secret that envs, run, setup, parameters or a sweep refer to."""
    parameters = [parameter.default for parameter in task.parameters.values()]
    swept = [task.sweeps.config] if task.sweeps else []
    return references([task.run, task.setup, task.envs, parameters, swept])


def references(value: Any) -> frozenset[str]:
    """Every secret that a text, or any text inside lists and mappings, refers to."""
    return frozenset(name for text in _texts(value) if "{{" in text for name in _REFERENCE.findall(text))


def substitute(text: str, values: Mapping[str, str]) -> str:
    """The text with every reference replaced by its value, once: a value that looks like a reference stays as it is.

    Raises Refused, naming the secrets that are missing."""
    missing = sorted(set(_REFERENCE.findall(text)) - values.keys())
    if missing:
        raise Refused(f"no such secret: {', '.join(missing)}", hint="add it under `secrets:` in lab.yaml")
    return _REFERENCE.sub(lambda found: values[found[1]], text)


def to_shell(script: str) -> str:
    """A script whose references are shell expansions, so that no value is ever part of a file or of argv."""
    return _REFERENCE.sub(rf"${{{VARIABLE}\1}}", script)


def variables(values: Mapping[str, str]) -> dict[str, str]:
    """The environment that `to_shell` counts on."""
    return {VARIABLE + name: value for name, value in values.items()}


def _texts(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            todo += item.values()
        elif isinstance(item, list | tuple):
            todo += item
