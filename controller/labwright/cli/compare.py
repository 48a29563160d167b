"""`lab compare`: two jobs side by side, only where they differ."""

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Look, Row, looking, note
from labwright.cli.shell import JsonOption, RepoOption
from labwright.domain.errors import LabError

if TYPE_CHECKING:
    from labwright.domain.bundle import Bundle

_LARGEST = 1 << 20  # bytes of a file whose lines are compared


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="A job, the start of its id, or a task (its newest job)", autocompletion=completion.tasks_and_jobs
        ),
    ],
    b: Annotated[str, typer.Argument(help="The other", autocompletion=completion.tasks_and_jobs)],
    code: Annotated[bool, typer.Option("--code/--no-code", help="Show the differing lines of the code")] = True,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two jobs: parameters, code, environment, results."""
    from labwright.cli.names import one
    from labwright.cli.show import all_of

    with looking(repo) as look:
        first, second = (all_of(look, one(look, name).job) for name in (a, b))
        made = {
            "a": _short(first),
            "b": _short(second),
            "parameters": _differing(first["parameters"] or {}, second["parameters"] or {}),
            "environment": _differing(_packages(first), _packages(second)),
            "metrics": _metrics(first, second),
            "code": code_differences(look, first, second, lines=code),
        }
    if as_json:
        print_json(made)
        return
    from labwright.cli.compare_page import page
    from labwright.cli.tables import console

    console().print(page(made))


def _short(job: Row) -> Row:
    names = (
        "job",
        "task",
        "state",
        "reason",
        "score",
        "commit",
        "branch",
        "author",
        "created",
        "seconds",
        "generation",
        "trial",
    )
    return {name: job.get(name) for name in names}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Row]:
    """Name → both values, of what is not the same; null where one has none."""
    names = [*a, *(name for name in b if name not in a)]
    return {name: {"a": a.get(name), "b": b.get(name)} for name in names if a.get(name) != b.get(name)}


def _packages(job: Row) -> dict[str, Any]:
    made = job.get("environment") or {}
    packages = dict(made.get("packages") or {})
    python = {"python": made["python"]} if made.get("python") else {}
    image = {"image": made["image"]} if made.get("image") else {}
    return {**python, **image, **(packages or ({"digest": made["digest"]} if made.get("digest") else {}))}


def _metrics(a: Row, b: Row) -> dict[str, Row]:
    """Scores and last values, with how far b lies above a."""
    values = []
    for job in (a, b):
        last = {m["name"]: m["last"] for m in job["metrics"]}
        values.append({**last, **(job.get("scores") or {})})
    first, second = values
    found: dict[str, Row] = {}
    for name in sorted({*first, *second}):
        one, two = first.get(name), second.get(name)
        found[name] = {"a": one, "b": two, "delta": two - one if one is not None and two is not None else None}
    return found


def code_differences(look: Look, a: Row, b: Row, *, lines: bool) -> list[Row]:
    """Files of the two bundles that are not the same: path, what happened to it, and its differing lines (unified)."""
    before, after = _files(look, a), _files(look, b)
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    oids = [oid for path in changed for side in (before, after) if (oid := side.get(path))]
    texts = _texts(look, sorted(set(oids))) if lines and oids else {}
    return [_change(path, before.get(path), after.get(path), texts) for path in changed]


def _change(path: str, old: str | None, new: str | None, texts: Mapping[str, list[str]]) -> Row:
    what = "added" if old is None else "removed" if new is None else "changed"
    one, two = (texts.get(oid, []) if oid else [] for oid in (old, new))
    known = all(oid is None or oid in texts for oid in (old, new))
    diff = list(difflib.unified_diff(one, two, f"a/{path}", f"b/{path}", lineterm="")) if known else []
    return {"path": path, "what": what, "diff": "\n".join(diff)}


def _files(look: Look, job: Row) -> dict[str, str]:
    """Path → object id, seen from the task's folder or, with `inputs`, from the repository's root."""
    bundle = _bundle(look, job["job"])
    return {file.path: file.oid for file in bundle.files} if bundle else dict(job.get("code") or {})


def _bundle(look: Look, job: str) -> "Bundle | None":
    import json

    from labwright.domain.bundle import Bundle

    known = look.ledger.jobs(ids=[job]) if look.ledger else ()
    text = look.ledger.contents([known[0].bundle]).get(known[0].bundle) if look.ledger and known else None
    return Bundle.from_json(json.loads(text)) if text else None


def _texts(look: Look, oids: list[str]) -> dict[str, list[str]]:
    """Lines of the blobs that are text, not large, and within reach."""
    from labwright.wiring import reading

    try:
        with reading(look.place) as (repo, _):
            sizes = repo.sizes(oids)
            small = [oid for oid in oids if sizes.get(oid, _LARGEST + 1) <= _LARGEST]
            return dict(_decoded(zip(small, repo.read(small), strict=True)))
    except LabError as error:
        note(f"the code's lines cannot be shown: {error}")
        return {}


def _decoded(blobs: Any) -> Iterator[tuple[str, list[str]]]:
    for oid, data in blobs:
        if b"\0" not in data[:8000]:
            yield oid, data.decode("utf-8", "replace").splitlines()
