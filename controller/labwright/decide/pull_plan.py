"""The whole plan of a pull request, for the results branch: every job, every file, every warning. As a page and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from labwright.decide.markdown import code, plain, prose, row
from labwright.decide.pull_head import banners, headline
from labwright.decide.pull_parts import caution_line, foot, gates, refusals, task_table
from labwright.domain.pull_page import FileLine, PullPage, TaskLine

SCHEMA = "labwright/pull-plan/1"


def full_plan(page: PullPage) -> str:
    """A Markdown file, complete however long."""
    return "\n\n".join(part for part in _sections(page) if part) + "\n"


def _sections(page: PullPage) -> Iterator[str]:
    yield f"# Plan of pull request {page.number}"
    yield headline(page)
    yield foot(page)
    yield banners(page.banners)
    yield gates(page, 300)
    if page.problems:
        yield "## Not valid"
        yield "\n".join(
            f"- {code(f'{p.path}:{p.line}:{p.column}', 400)} {prose(p.message, 1000)}" for p in page.problems
        )
    if page.cautions:
        yield "## Look closer"
        yield "\n".join(map(caution_line, page.cautions))
    if page.tasks:
        yield "## Tasks"
        yield "\n".join(task_table(page.tasks))
    if refused := [task for task in page.tasks if task.refused]:
        yield "### Refused"
        yield "\n".join(refusals(refused))
    for task in page.tasks:
        yield from _task(task)
    if page.files:
        yield "## Files"
        yield "\n".join(
            [row(["", "path", "mode", "object"]), row(["---"] * 4), *(_file_row(file) for file in page.files)]
        )


def _task(task: TaskLine) -> Iterator[str]:
    if not (task.launch or task.reuse or task.supersede):
        return
    yield f"## {plain(task.task)}"
    if task.launch:
        names = sorted({name for trial in task.launch for name in trial.parameters})
        head = [row(["launches", *(code(name) for name in names)]), row(["---"] * (len(names) + 1))]
        yield "\n".join([*head, *(row([code(t.job), *(_value(t.parameters, n) for n in names)]) for t in task.launch)])
    for found in task.reuse:
        yield f"Reused, of {code(found.lane)}: {', '.join(map(code, found.jobs))}"
    if task.supersede:
        yield f"Superseded: {', '.join(map(code, task.supersede))}"


def _value(parameters: Mapping[str, Any], name: str) -> str:
    return code(str(parameters[name]), 400) if name in parameters else ""


def _file_row(file: FileLine) -> str:
    moved = f"{code(file.old_mode)} → " if file.old_mode and file.old_mode != file.new_mode else ""
    return row([str(file.change), code(file.path, 1000), f"{moved}{code(file.new_mode)}", code(file.oid)])


def plan_json(page: PullPage) -> Mapping[str, Any]:
    """The same for programs: plain JSON values under stable names. Results are not in it: those are the manifests."""
    kept = ("lane", "number", "lab", "head", "base_branch", "digest", "approved_by", "room")
    return {
        "schema": SCHEMA,
        **{name: _plain(getattr(page, name)) for name in kept},
        "totals": {
            "launch": page.launches,
            "reused": page.reused,
            "superseded": page.superseded,
            "refused": page.refused,
            "gpu_hours": page.gpu_hours,
            "expected_gpu_hours": page.expected_gpu_hours,
        },
        **{
            name: [_plain(asdict(one)) for one in getattr(page, name)]
            for name in ("tasks", "files", "cautions", "problems", "banners", "gates")
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, str) else value
