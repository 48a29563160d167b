"""A task's trials: its parameters at every point of its sweep."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from labwright.domain.task import Task


def expand(task: Task) -> Sequence[Mapping[str, Any]]:
    """One mapping of parameters a trial, in the order of the file: the Cartesian product, last key fastest."""
    defaults = {name: parameter.default for name, parameter in task.parameters.items()}
    if task.sweeps is None:
        return [defaults]
    names = list(task.sweeps.config)
    return [{**defaults, **dict(zip(names, point, strict=True))} for point in product(*task.sweeps.config.values())]


def trial_count(task: Task) -> int:
    """How many `expand` would give, without making them."""
    count = 1
    for values in task.sweeps.config.values() if task.sweeps else ():
        count *= len(values)
    return count
