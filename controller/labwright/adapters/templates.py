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


def find_all(folder: str) -> Mapping[str, bytes]:
    """Every file of a folder of the package's own templates, by its path below that folder."""
    for root in _roots():
        top = root / folder
        if top.is_dir():
            files = (
                file for file in sorted(top.rglob("*")) if file.is_file() and file.suffix != ".pyc"
            )  # pip makes those
            return {str(file.relative_to(top)): file.read_bytes() for file in files}
    raise Refused(f"there is no template {folder}", hint="reinstall Labwright")


@lru_cache
def shipped() -> Mapping[str, str]:
    """Every template that a lab repository may have its own of: texts by name."""
    names = {str(found.relative_to(root)) for root in _roots() for found in root.rglob("*.j2")}
    return {name: _own(name) for name in sorted(names)}


@lru_cache
def _own(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        raise Refused(f"{name!r} cannot be the name of a template")
    for root in _roots():
        found = root.joinpath(*name.split("/"))
        if found.is_file():
            return found.read_text(encoding="utf-8")
    raise Refused(f"there is no template {name}", hint="reinstall Labwright, or add it to the lab repository")


def _roots() -> tuple[Path, ...]:
    """Of a wheel, then of an editable install."""
    package = Path(str(files("labwright")))
    return package / "_templates", package.parent.parent / "templates"
