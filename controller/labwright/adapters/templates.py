"""Where templates come from: the lab repository's own, else the installed package's, else the checkout's."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from labwright.domain.errors import Refused


def find(name: str, overrides: Mapping[str, str] | None = None) -> str:
    """The template's text. `name` is such as `local/run.sh.j2`; `overrides` are the lab repository's, read from its default
    branch. Raises Refused where no such template is."""
    return overrides[name] if overrides and name in overrides else _own(name)


@lru_cache
def _own(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        raise Refused(f"{name!r} cannot be the name of a template")
    package = files("labwright")
    checkout = Path(str(package)).parent.parent / "templates"  # of an editable install
    for root in (package / "_templates", checkout):
        found = root.joinpath(*name.split("/"))
        if found.is_file():
            return found.read_text(encoding="utf-8")
    raise Refused(f"there is no template {name}", hint="reinstall Labwright, or add it to the lab repository")
