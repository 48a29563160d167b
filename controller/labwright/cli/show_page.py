"""What `lab show` shows."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labwright.cli.look import Row
from labwright.cli.tables import STYLES, ago, bar, cell, number, pairs, parameters, size, span, state, table
from labwright.cli.terminal import clean_lines

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_LINES = 20  # of a failed job's log
_MOST = 20  # metrics, artifacts
_PACKAGES = 8


def page(job: Row, now: datetime) -> "Group":
    from rich.console import Group

    return Group(*_parts(job, now))


def _parts(job: Row, now: datetime) -> Iterator["RenderableType"]:
    from rich.text import Text

    yield Text.assemble(
        cell(job["task"], "bold"), "  ", cell(job["job"]), "  ", state(job["state"]), cell(f"  {job['reason']}")
    )
    if job.get("stop_asked") and job["state"] not in ("STOPPED", "COMPLETE", "FAILED"):
        yield cell(f"stop asked: {job['stop_asked']}", "yellow")
    yield pairs(_facts(job, now))
    for title, made in (
        ("attempts", _attempts(job)),
        ("metrics", _metrics(job)),
        ("artifacts", _artifacts(job)),
        ("history", _history(job)),
    ):
        if made is not None:
            yield Text()
            yield Text(title, style="bold underline")
            yield made
    if job["log_tail"]:
        yield Text()
        yield Text(f"the log's last lines (`lab logs {job['job']}` has all)", style="bold underline")
        yield Text("\n".join(clean_lines(job["log_tail"]).rstrip("\n").split("\n")[-_LINES:]))


def _facts(job: Row, now: datetime) -> Iterator[tuple[str, Any]]:
    yield "parameters", parameters(job["parameters"] or {}, most=2000)
    yield "commit", f"{(job['commit'] or '')[:12]} on {job.get('where') or job['branch']} by {job['author']}"
    yield "created", f"{_time(job['created'])} ({ago(job['created'], now)})"
    if job.get("started"):
        ran = span(job.get("seconds")) or span((now - job["started"]).total_seconds())
        yield "ran", f"{ran} on {job.get('node') or job['provider']}, from {_time(job['started'])}"
    if job["state"] == "RUNNING" and job.get("progress") is not None:
        yield "progress", bar(job["progress"])
    if job.get("not_before") and job["not_before"] > now:
        yield "next attempt", f"in {span((job['not_before'] - now).total_seconds())}"
    if job.get("score") is not None:
        others = {k: v for k, v in (job.get("scores") or {}).items() if k != job.get("sweep_metric")}
        order = "" if not job.get("sweep_metric") else f" ({'lower' if job['lower_is_better'] else 'higher'} is better)"
        yield "score", f"{job.get('sweep_metric') or ''} {number(job['score'])}{order}".strip()
        yield "scores", parameters(others, most=500) if len(job.get("scores") or {}) > 1 else ""
    yield "provider", f"{job['provider']}, {number(job.get('cpus') or 1)} CPU" + _gpus(job.get("gpus"))
    yield "needs", ", ".join(job.get("needs") or ())
    yield "generation", job["generation"] or ""
    yield "trial", job["trial"] or ""
    yield "work digest", job.get("work_digest")
    yield "plan", (job.get("plan") or "")[:12]
    yield "source", parameters(job.get("source") or {}, most=300)
    yield "environment", _environment(job.get("environment"))


def _gpus(count: Any) -> str:
    return f", {number(count)} GPU" if count else ""


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""


def _environment(made: Row | None) -> str:
    if not made:
        return ""
    packages = made.get("packages") or {}
    names = [f"{name} {version}" for name, version in list(packages.items())[:_PACKAGES]]
    more = f" and {len(packages) - _PACKAGES} more (--json has all)" if len(packages) > _PACKAGES else ""
    python = f"Python {made['python']}" if made.get("python") else ""
    told = "; ".join(part for part in (python, ", ".join(names) + more, made.get("image") or "") if part)
    return told or (made.get("digest") or "")[:12]


def _attempts(job: Row) -> "RenderableType | None":
    rows = job["attempts"]
    if not rows:
        return None
    made = table(
        ["", "outcome", "exit", "setup", "run", "node", "submitted", "detail"], right=["", "exit", "setup", "run"]
    )
    for row in rows:
        begun, ran = row["started"], row["running"]
        setup = span((ran - begun).total_seconds()) if begun and ran and ran > begun else ""
        run = span((row["ended"] - ran).total_seconds()) if ran and row["ended"] else ""
        style = STYLES["COMPLETE"] if row["outcome"] == "ok" else STYLES["FAILED"] if row["outcome"] else ""
        how = f"signal {row['signal']}" if row["signal"] else number(row["exit_code"])
        cells: list[RenderableType] = [
            cell(row["attempt"]),
            cell(row["outcome"] or "under way", style),
            cell(how),
            setup,
            run,
        ]
        made.add_row(*cells, cell(row["node"]), _time(row["submitted"]), cell(row["detail"], "dim", most=200))
    return made


def _metrics(job: Row) -> "RenderableType | None":
    rows = job["metrics"]
    if not rows:
        return None
    names = ["name", "last", "min", "max", "step", "points"]
    made = table(names, right=names[1:], whole=[])
    for row in rows[:_MOST]:
        figures = [number(row[name]) for name in ("last", "min", "max", "last_step", "count")]
        made.add_row(cell(row["name"]), *figures)
    if len(rows) > _MOST:
        made.add_row(cell(f"and {len(rows) - _MOST} more", "dim"))
    return made


def _artifacts(job: Row) -> "RenderableType | None":
    rows = job["artifacts"]
    if not rows:
        return None
    made = table(["path", "kind", "size"], right=["size"], whole=[])
    for row in rows[:_MOST]:
        made.add_row(cell(row["path"]), cell(row["kind"]), size(row["size"]))
    if len(rows) > _MOST:
        made.add_row(cell(f"and {len(rows) - _MOST} more", "dim"))
    return made


def _history(job: Row) -> "RenderableType | None":
    rows = job["history"]
    if not rows:
        return None
    made = table(["time", "after", "state", "reason"], right=["after"], whole=["time"])
    before = None
    for row in rows:
        passed = f"+{span((row['at'] - before).total_seconds())}" if before else ""
        made.add_row(cell(f"{row['at']:%Y-%m-%d %H:%M:%S}"), passed, state(row["after"]), cell(row["reason"]))
        before = row["at"]
    return made
