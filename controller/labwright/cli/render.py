"""`lab render`: exactly what would be submitted."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.shell import JsonOption
from labwright.cli.terminal import clean, readable
from labwright.domain.errors import Invalid, Refused
from labwright.settings import Place, find_place, place_of

if TYPE_CHECKING:
    from labwright.decide.identity import Asked
    from labwright.ports.provider import Submission

HIDDEN = "***"


def render(
    task: Annotated[str, typer.Argument(help="A task's path: alpha/train", autocompletion=completion.tasks)],
    trial: Annotated[int, typer.Option(min=0, help="Which point of its sweep, from 0")] = 0,
    provider: Annotated[
        str | None, typer.Option(help="Where, instead of the file's provider", autocompletion=completion.providers)
    ] = None,
    commit: Annotated[str, typer.Option(help="The commit")] = "HEAD",
    repo: Annotated[str, typer.Option(help="A folder of the lab repository")] = ".",
    as_json: JsonOption = False,
) -> None:
    """Print the script and the variables that would be submitted for a task. Secrets are shown as ***; nothing is submitted."""
    from labwright.cli.drafting import desk
    from labwright.cli.gitwork import need_commit
    from labwright.cli.names import task_path
    from labwright.control.overrides import read_overrides
    from labwright.wiring import preview, shipped_templates

    work, state = place_of(repo), find_place(repo)
    with desk(work, need_commit(work.repo, commit)) as at:
        name = task_path(task, work.repo)
        if name not in at.tree.tasks:
            raise Refused(f"there is no task {clean(task)} at {commit}", hint="`lab check` counts what there is")
        asked = at.ask(at.tree, [name])[name]
        where = _where(at, asked, trial, provider)
        together = _submissions(at, asked, where, trial, work)
        place = next(n for n, (number, _) in enumerate(together) if number == trial)
        submission = together[place][1]
        templates = read_overrides(at.repo, at.settings, shipped_templates())
        there = Place(state.repo, state.state)
        files, variables = preview(there, at.repo, at.lab, where, [s for _, s in together], place, templates)
    if as_json:
        fields = {"token": submission.token, "job": submission.job, "task": name, "provider": where}
        print_json({**fields, "files": files, "variables": variables})
    else:
        _print(files, variables)


def _where(at: Any, asked: "Asked", number: int, provider: str | None) -> str:
    """The name of the provider. Raises Refused and Invalid for what is submitted nowhere."""
    if asked.problems:
        raise Invalid(asked.problems)
    if number >= len(asked.trials):
        raise Refused(f"{asked.task} has {len(asked.trials)} trials", hint=f"--trial 0 to {len(asked.trials) - 1}")
    where = _provider(at, provider or asked.trials[number].provider)
    refusals = at.providers[where].refuse(asked.spec) if provider else asked.refusals
    if refusals:
        raise Refused("; ".join(refusals))
    return where


def _submissions(at: Any, asked: "Asked", where: str, number: int, work: Place) -> "list[tuple[int, Submission]]":
    """What would be submitted together with a trial, each with its number: a provider may make one of many."""
    import json

    from labwright.domain import ids
    from labwright.domain.bundle import Bundle
    from labwright.domain.secrets import references, secret_names
    from labwright.ports.provider import Submission

    spec = asked.spec
    assert spec is not None  # noqa: S101  # a task without problems has one
    bundles = {p.bundle: Bundle.from_json(json.loads(asked.contents[p.bundle])) for p in asked.trials}
    secrets = secret_names(spec) | references(getattr(at.lab.providers[where], "env", {}))
    said = _variables(at, work)
    made = []
    for n, point in enumerate(asked.trials):
        if point.provider != asked.trials[number].provider:
            continue
        job = ids.job_id(point.work, asked.task, point.generation)
        submission = Submission(
            token=ids.token(at.lab.name, job, 1),
            job=job,
            attempt=1,
            task_path=asked.task,
            task=spec,
            bundle=bundles[point.bundle],
            parameters=point.parameters,
            variables={**said, "LAB_GENERATION": str(point.generation), "LAB_TRIAL": str(n)},
            secrets=dict.fromkeys(secrets, HIDDEN),
        )
        made.append((n, submission))
    return made


def _provider(at: Any, name: str) -> str:
    found: str | None = next((known for known in at.lab.providers if known.lower() == name.lower()), None)
    if found is None:
        raise Refused(f"lab.yaml has no provider {clean(name)}", hint=f"it has: {', '.join(at.lab.providers)}")
    if found not in at.providers:
        raise Refused(f"provider {found} is not available in this version of Labwright")
    return found


def _variables(at: Any, work: Place) -> dict[str, str]:
    commit = at.tree.snapshot.commit
    info = at.repo.commits([commit])[commit]
    return {"LAB_COMMIT": commit, "LAB_BRANCH": at.branch, "LAB_AUTHOR": info.email or info.author}


def _print(files: dict[str, str], variables: dict[str, str]) -> None:
    import sys

    for name, text in files.items():
        sys.stdout.write(f"# --- {name}\n{readable(text.encode('utf-8', 'replace'), sys.stdout)}\n")
    sys.stdout.write("# --- variables, beside the controller's PATH, HOME and the like\n")
    for name, value in sorted(variables.items()):
        sys.stdout.write(f"{clean(name)}={clean(value)}\n")
    sys.stdout.flush()
