"""The job's parameters, typed as the task gave them: `lab.config["lr"]`, `lab.get_config()`."""

from __future__ import annotations

import os
from _collections_abc import Mapping  # loaded by the interpreter itself; `collections.abc` would import a package

from lab._events import attach, emit
from lab._place import rank
from lab._secrets import resolved
from lab._warn import nothing, recording, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    _Base = Mapping[str, Any]
else:
    _Base = Mapping


class Config(_Base):
    """A read-only mapping of parameters. What the task says wins over what the script set with `init` or `set_config`."""

    def __init__(self) -> None:
        self._defaults: dict[str, Any] = {}
        self._read: tuple[str, dict[str, Any]] = ("", {})

    def _all(self) -> dict[str, Any]:
        folder = os.environ.get("LAB_JOB_DIR", "")
        if self._read[0] != folder:
            self._read = (folder, _parameters(folder))
        return {**self._defaults, **self._read[1]}

    def __getitem__(self, name: str) -> Any:
        """Raises KeyError with the names that are there: a script must not train with a parameter it did not get."""
        values = self._all()
        if name not in values:
            raise KeyError(f"{name}: no such parameter; this job has {', '.join(sorted(values)) or 'none'}")
        return resolved(values[name])

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"lab.config({self._all()!r})"  # placeholders, not secrets

    def update_defaults(self, values: Mapping[str, Any]) -> None:
        """What the script says of its own configuration."""
        self._defaults.update(values)


config = Config()


def get_config() -> dict[str, Any]:
    """The parameters as a new dict, secrets filled in."""
    return {name: config[name] for name in config}


@recording(nothing)
def set_config(values: Mapping[str, Any]) -> None:
    """Record what the script says of its configuration; also the values of `lab.config` that the task does not give."""
    config.update_defaults(values)
    if rank() == 0:
        emit("config", v=dict(values))


def init(experiment_id: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """Attach to the job that the environment names. Optional: the first call that records does it too.

    `experiment_id` is accepted for scripts that pass it; the experiment is the folder in the repository.
    """
    from lab._signals import listen

    attach()
    listen()
    if config is not None:
        set_config(config)


def _parameters(folder: str) -> dict[str, Any]:
    import json

    path = os.path.join(folder, "config.json")
    if not folder or not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)["parameters"]
        return dict(found)
    except (OSError, ValueError, TypeError, KeyError) as problem:
        warn(f"{path} cannot be read ({problem!r}); lab.config is empty")
        return {}
