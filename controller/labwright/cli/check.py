"""`lab check`: is everything valid? Needs no controller and no network."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli.asjson import print_json
from labwright.cli.shell import NO, JsonOption
from labwright.cli.terminal import clean, say
from labwright.domain.errors import Refused

if TYPE_CHECKING:
    from labwright.cli.checking import Checked


class Format(StrEnum):
    TEXT = "text"
    GITHUB = "github"
    JSON = "json"


def check(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Only problems of these files")] = None,
    commit: Annotated[str | None, typer.Option(help="Check this commit instead of the working tree")] = None,
    repo: Annotated[str, typer.Option(help="A folder of the lab repository")] = ".",
    output: Annotated[Format, typer.Option("--format", help="github: annotations for its Actions")] = Format.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Check lab.yaml and every task.yaml: one line a problem (file:line:column), exit status 1 if there is any."""
    from labwright.cli.checking import annotation, under
    from labwright.cli.checking import as_json as plain

    top = _top(Path(repo))
    checked = _checked(top, commit)
    problems = under(checked.problems, [_below(path, top) for path in paths or ()])
    if as_json or output is Format.JSON:
        found = [plain(problem) for problem in problems]
        print_json({"ok": not found, "tasks": checked.tasks, "trials": checked.trials, "problems": found})
    else:
        for problem in problems:
            say(annotation(problem) if output is Format.GITHUB else str(problem))
        if not problems:
            say(f"{checked.tasks} tasks, {checked.trials} trials: no problem", err=output is Format.GITHUB)
    if problems:
        raise typer.Exit(NO)


def _checked(top: Path, commit: str | None) -> "Checked":
    from labwright.cli.checking import check_lab
    from labwright.cli.gitwork import WorkTree, need_commit
    from labwright.settings import Place, place_of, state_home
    from labwright.wiring import reading

    if commit is None:
        tree = WorkTree(top)
        return check_lab(Place(str(top), state_home() / "none"), tree, tree.snapshot)
    place = place_of(str(top))
    with reading(place) as (repo, _):
        return check_lab(place, repo, repo.snapshot(need_commit(top, commit)))


def _top(folder: Path) -> Path:
    """The repository around a folder; a folder with a lab.yaml or experiments/ of its own does, too."""
    from labwright.cli.gitwork import git

    if not folder.is_dir():
        raise Refused(f"there is no folder {clean(folder)}", hint="--repo takes a folder of the lab repository")
    top = git(folder, "rev-parse", "--show-toplevel")
    if _is_lab(folder) and not (
        top and _is_lab(Path(top))
    ):  # an example inside another repository, or not yet a repository
        return folder.absolute()
    if top:
        return Path(top)
    raise Refused("no git repository here, and no lab.yaml", hint="`lab init` makes a lab; `--repo` names one")


def _is_lab(folder: Path) -> bool:
    return (folder / "lab.yaml").exists() or (folder / "experiments").is_dir()


def _below(path: str, top: Path) -> str:
    """A path as the repository sees it. Raises Refused for one outside."""
    here = os.path.normpath(Path.cwd() / path)
    if not Path(here).exists():
        raise Refused(f"there is no {clean(path)}")
    found = os.path.relpath(Path(here).parent.resolve() / Path(here).name, top.resolve())
    if found.startswith(".."):
        raise Refused(f"{clean(path)} lies outside of {clean(top)}")
    return found
