"""`lab run`: a task now, as the branch's tip has it."""

from typing import Annotated, Any

import typer

from labwright.cli import completion
from labwright.cli.shell import JsonOption, RepoOption
from labwright.settings import find_place


def run(
    task: Annotated[str, typer.Argument(help="A task's path: alpha/train", autocompletion=completion.tasks)],
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter; may be repeated")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Where, instead of the file's provider", autocompletion=completion.providers)
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Whose tip is run (default: the default branch)")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay, and exit with the job's outcome")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a task as it is committed, even if nothing of it changed. What ran already with this content is not run again."""
    from labwright.cli.acting import act
    from labwright.cli.asking import Wish
    from labwright.cli.targets import Desk, parameters
    from labwright.domain.job import ActKind
    from labwright.wiring import reading

    place = find_place(repo)
    arguments: dict[str, Any] = {}
    with reading(place) as (source, tips):
        desk = Desk(place, source, tips, branch)
        name, spec = desk.task(task)
        if param:
            arguments["parameters"] = dict(parameters(spec, param))
        if provider:
            arguments["provider"] = desk.provider(provider, spec)
    if branch:
        arguments["branch"] = branch
    act(place, [Wish(ActKind.RUN, name, arguments)], wait=wait, as_json=as_json)
