"""`lab why pull:7`: every gate between a pull request and its jobs, as the running controller has them; then its jobs."""

from typing import TYPE_CHECKING

from labwright.cli.lanes import lanes_with, page_of, told, wanted_by, where
from labwright.cli.look import Look, Row
from labwright.cli.why_jobs import of_job
from labwright.domain.errors import Refused
from labwright.domain.forge import number_of
from labwright.domain.ids import JobId
from labwright.domain.lifecycle import LIVE

if TYPE_CHECKING:
    from labwright.domain.job import Job

MOST_JOBS = 200


def explain_pull(look: Look, lane: str, job: str | None = None, task: str | None = None) -> Row:
    """As `explain` of a task, with `pull`. One job alone, or one task's, where `job` or `task` names it. Raises Refused for a
    pull request that nobody has seen."""
    number = number_of(lane)
    assert number is not None  # noqa: S101  # `lane_in` made it
    said = told(look)
    row = (said or {}).get(number)
    jobs = [x for x in _jobs(look, lane, job) if task in (None, x.task)]
    if row is None and not jobs:
        _unseen(look, lane, running=said is not None)
    pull = _pull(look, number, row)
    found: Row = {"task": task or lane, "job": job, "branch": lane, "commit": row and row["head"], "pull": pull}
    found["gates"] = _gates(row) if row else [_unknown(look, running=said is not None)]
    found["trials"] = [of_job(look, x.id) | {"task": x.task} for x in jobs[:MOST_JOBS]]
    return found


def elsewhere(look: Look, task: str) -> list[str]:
    """Lanes of pull requests that have this task, the newest first: where the tip that was looked at does not."""
    rows = (told(look) or {}).values()
    numbers = {row["number"] for row in rows if task in row["tasks"]}
    if look.ledger is not None:
        numbers |= {n for job in look.ledger.jobs(tasks=[task]) if (n := number_of(job.branch)) is not None}
    return [f"pull:{number}" for number in sorted(numbers, reverse=True)]


def _jobs(look: Look, lane: str, job: str | None) -> "list[Job]":
    """That it launched or reuses; those that a newer head took the place of are left out."""
    if look.ledger is None:
        return []
    if job is not None:
        return list(look.ledger.jobs(ids=[JobId(job)]))
    ids = [JobId(x) for x in wanted_by(look, lane)]
    wanted = look.ledger.jobs(ids=ids) if ids else ()
    live = [x for x in look.ledger.jobs(states=LIVE) if x.branch in lanes_with(lane)]
    return sorted({x.id: x for x in (*wanted, *live)}.values(), key=lambda x: (x.task, x.trial, x.id))


def _unseen(look: Look, lane: str, *, running: bool) -> None:
    if running:
        hint = "is it open, and does `watch.pull_requests` of lab.yaml say true? `lab status` lists those that ask for something"
        raise Refused(f"the controller knows no pull request {number_of(lane)}", hint=hint)
    state = "does not answer" if look.live else "is not running"
    hint = "start it: `lab serve`; the comment at the pull request says how it stood last"
    raise Refused(f"nothing is known of pull request {number_of(lane)}: the controller {state}", hint=hint)


def _unknown(look: Look, *, running: bool) -> Row:
    if running:
        return _gate("open", False, "it is not among the open pull requests any more", "")
    state = "does not answer" if look.live else "is not running"
    return _gate("controller", None, f"the controller {state}: how its approval stands is not known", "lab serve")


def _pull(look: Look, number: int, row: Row | None) -> Row:
    names = (
        "title",
        "author",
        "base",
        "head",
        "digest",
        "fork",
        "draft",
        "approved",
        "asked_by",
        "approved_by",
        "waits",
    )
    counts = ("launch", "reuse", "stop", "gpu_hours", "tasks")
    known = {name: row[name] if row else None for name in (*names, *counts)}
    return {"number": number, "url": (row and row["url"]) or page_of(look, number), **known}


def _gates(row: Row) -> list[Row]:
    made = []
    if row["head"] is None or (not row["gates"] and row["waits"]):
        return [_gate("forge", None, row["waits"], "lab doctor forge")]
    made.append(_gate("commit", True, f"its head is {row['head'][:10]}, to be merged into {row['base']}", ""))
    made += [_gate("valid", False, problem, "correct the file and push") for problem in row["invalid"]]
    for refusal in row["refused"]:
        made.append(_gate("provider", False, f"{refusal['task']}: {refusal['reason']}", "change task.yaml and push"))
    made.append(_plan(row))
    if row["held"]:
        made.append(
            _gate(
                "limit",
                False,
                f"held: {row['held'].partition('; confirm with')[0]}",
                f"lab confirm {row['digest'][:12]}",
            )
        )
    if row["tasks"]:
        made += [_gate(gate["name"], gate["passed"], _words(gate), "") for gate in row["gates"]]
    if row["void"]:
        made.append(_gate("void", False, f"an approval counts no more: {row['void']}", "approve the newest version"))
    if row["tasks"] and row["waits"] and all(gate["passed"] for gate in made):
        made.append(_gate("forge", None, row["waits"], ""))
    return made


def _plan(row: Row) -> Row:
    if not row["tasks"]:
        return _gate("planned", True, "it changes no task: nothing is launched for it", "")
    hours = f", {row['gpu_hours']:g} GPU-hours" if row["gpu_hours"] else ""
    counts = f"{row['launch']} to launch{hours}, {row['reuse']} there already, {row['stop']} to stop"
    return _gate("planned", True, f"planned as {row['digest'][:12]}: {counts}", "")


def _words(gate: Row) -> str:
    lead = "" if gate["passed"] else "waits for "
    return f"{lead}{gate['words']}" if gate["words"] else str(gate["name"])


def _gate(name: str, passed: bool | None, text: str, hint: str) -> Row:
    return {"gate": name, "passed": passed, "text": text, "hint": hint}


def heading(found: Row, look: Look) -> str:
    pull = found["pull"]
    by = f" by {pull['author']}" if pull["author"] else ""
    title = f": {pull['title']}" if pull["title"] else ""
    return f"{where(look, found['branch'])}{title}{by}"
