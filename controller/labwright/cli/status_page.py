"""What `lab status` shows, once or on a screen that stays."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labwright.cli.look import Row
from labwright.cli.tables import STYLES, ago, bar, cell, number, parameters, span, state, table

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.text import Text

_ORDER = ("RUNNING", "LAUNCHING", "QUEUED", "HELD", "STOPPING", "LOST", "COMPLETE", "FAILED", "STOPPED")
_METRICS = 3
_PULLS = 8


def page(seen: Row, now: datetime, *, width: int, height: int | None = None) -> "Group":
    """At most `height` lines: the list of running jobs is cut first."""
    from rich.console import Group

    return Group(*_parts(seen, now, width, height))


def _parts(seen: Row, now: datetime, width: int, height: int | None) -> Iterator["RenderableType"]:
    from rich.text import Text

    yield _head(seen, now)
    for about, message in seen["alarms"].items():
        yield cell(f"! {about}: {message}", "bold red", most=500)
    for name, why in seen["suspended"].items():
        what = "everything is" if name == "*" else f"{name} is"
        yield cell(f"‖ {what} suspended {why}; `lab resume{'' if name == '*' else ' ' + name}` goes on", "yellow")
    for name, notes in seen["notes"].items():
        yield cell(f"{name}: {'; '.join(notes.values())}", "dim", most=500)
    yield _counts(seen["counts"])
    used = (
        6
        + len(seen["alarms"])
        + len(seen["notes"])
        + len(seen["suspended"])
        + min(len(seen["held"]), 5) * 2
        + min(len(seen["pulls"]), _PULLS + 1)
        + 2 * bool(seen["pulls"])
        + len(seen["finished"])
    )
    queued = [*_at_providers(seen["running"]), *seen["queued"]]
    running = [job for job in seen["running"] if job["state"] != "QUEUED"]
    room = 50 if height is None else max(3, height - used - (4 if queued else 0))
    if running:
        yield Text()
        yield _running(running[:room], width)
        if (more := len(running) - room) > 0:
            yield cell(f"and {more:,} more running", "dim")
    yield from _waiting("queued", queued)
    yield from _waiting("held", seen["held"])
    yield from _pulls(seen["pulls"], width)
    if seen["finished"]:
        yield Text()
        yield _finished(seen["finished"], now, width)


def _head(seen: Row, now: datetime) -> "Text":
    from rich.text import Text

    who = seen["controller"]
    where = cell(seen["repo"], "bold")
    if who is None:
        return Text.assemble(where, "  ", ("no controller is running", "yellow"), "; `lab serve` starts one")
    since = ago(datetime.fromisoformat(who["since"]), now).removesuffix(" ago") if who["since"] else ""
    up = f", up {since}" if since and since != "just now" else ""
    what = ("controller", "green") if who["answers"] else ("controller does not answer", "bold red")
    return Text.assemble(where, "  ", what, cell(f" (process {who['pid']} on {who['host']}{up})", "dim"))


def _counts(counts: dict[str, int]) -> "Text":
    from rich.text import Text

    words = [(f"{counts[word]:,} {word}", STYLES[word]) for word in _ORDER if counts.get(word)]
    parts: list[Any] = []
    for n, word in enumerate(words):
        parts += [" · "] * bool(n) + [word]
    return Text.assemble(*parts) if parts else Text("no job yet: push a commit that changes a task", "dim")


def _running(jobs: list[Row], width: int) -> "RenderableType":
    wide = width >= 90
    made = table(
        ["job", "task", "parameters", "progress", "time", "metrics"], right=["time"], whole=["job", "progress"]
    )
    for job in jobs:
        shown = list(job["metrics"].items())[:_METRICS]
        metrics = " ".join(f"{name}={number(value)}" for name, value in shown)
        odd = job["state"] if job["state"] != "RUNNING" else ""
        progress = state(odd) if odd else bar(job["progress"], 16 if wide else 8)
        time = f"{span(job['seconds'])}" + (f" #{job['attempt']}" if job["attempt"] > 1 else "")
        asked = parameters(job["parameters"], most=30 if wide else 16)
        made.add_row(cell(job["job"], STYLES["RUNNING"]), cell(job["task"]), cell(asked), progress, time, cell(metrics))
    return made


def _at_providers(jobs: list[Row]) -> list[Row]:
    """Those that wait in a provider's own queue, as groups that wait for the same."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for job in jobs:
        if job["state"] == "QUEUED":
            groups.setdefault((job["task"], job["reason"], job["provider"]), []).append(job["job"])
    return [
        {"task": task, "reason": reason, "provider": provider, "count": len(ids), "jobs": ids[:10]}
        for (task, reason, provider), ids in groups.items()
    ]


def _waiting(word: str, groups: list[Row]) -> Iterator["RenderableType"]:
    from rich.text import Text

    if not groups:
        return
    yield Text()
    for group in groups[:5]:
        count = f"{group['count']:,} × " if group["count"] > 1 else ""
        one = f" ({group['jobs'][0]})" if group["count"] == 1 else ""
        head = Text.assemble((f"{word} ", STYLES[word.upper()]), cell(f"{count}{group['task']}{one}"))
        reason = f"waits for room at {group['provider']}" if group["reason"] == "admitted" else group["reason"]
        yield Text.assemble(head, ": ", cell(reason, "dim" if word == "queued" else ""))
    if len(groups) > 5:
        yield cell(f"and {sum(g['count'] for g in groups[5:]):,} more {word}", "dim")


def _pulls(pulls: list[Row], width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    if not pulls:
        return
    yield Text()
    made = table(["pull request", "title", "head", "jobs", "waits for"], whole=["pull request", "head"])
    for pull in pulls[:_PULLS]:
        by_state = [f"{pull['jobs'][word]:,} {word}" for word in _ORDER if pull["jobs"].get(word)]
        made.add_row(
            cell(f"#{pull['number']}", "bold"),
            cell(pull["title"], most=60 if width >= 120 else 30),
            cell((pull["head"] or "")[:10], "dim"),
            cell(", ".join(by_state)),
            cell(_standing(pull), "green" if pull["approved"] else "", most=200),
        )
    yield made
    if len(pulls) > _PULLS:
        yield cell(f"and {len(pulls) - _PULLS:,} more pull requests", "dim")


def _standing(pull: Row) -> str:
    if pull["waits"] is None:
        return "no controller says"
    words = str(pull["waits"]).removeprefix("waits for ")
    if words:
        return words
    return "approved" if pull["approved"] else ""


def _finished(jobs: list[Row], now: datetime, width: int) -> "RenderableType":
    made = table(["last", "task", "parameters", "state", "score", "time", "ended", ""], right=["score", "time"])
    for job in jobs:
        reason = job["reason"] if job["state"] != "COMPLETE" else ""
        asked = parameters(job["parameters"] or {}, most=30 if width >= 90 else 16)
        cells: list[RenderableType] = [
            cell(job["job"]),
            cell(job["task"]),
            cell(asked),
            state(job["state"]),
            number(job["score"]),
        ]
        made.add_row(*cells, span(job["seconds"]), ago(job["ended"], now), cell(reason, "dim", most=80))
    return made
