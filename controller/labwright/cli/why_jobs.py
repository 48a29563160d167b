"""`lab why`, the second half: what answers each trial, where that job stands, and what it waits for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labwright.cli.lanes import where
from labwright.cli.look import Look, Row
from labwright.cli.waiting import under_way
from labwright.decide.plan import satisfying
from labwright.domain.errors import Refused
from labwright.domain.forge import number_of
from labwright.domain.job import SUPERSEDED, Held, Job, Trial, Want, Wanted
from labwright.domain.lifecycle import AT_PROVIDER, State

if TYPE_CHECKING:
    from labwright.decide.identity import Asked


def trials_of(look: Look, found: Row) -> list[Row]:
    """Of each trial at the tip, or, where there is none to be seen, of what the ledger last wanted."""
    if look.ledger is None:
        return [_unknown(trial) for trial in (found["asked"].trials if "asked" in found else ())]
    ledger = look.ledger
    jobs = ledger.jobs(tasks=[found["task"]])
    branch = found["branch"]
    wants = {(w.work, w.generation): w for w in ledger.wants(branch, [found["task"]])} if branch else {}
    asked: Asked | None = found.get("asked")
    if asked is None:
        return [of_job(look, job.id) for job in jobs[-1:]]
    return [_of_trial(look, trial, jobs, wants.get((trial.work, trial.generation)), asked) for trial in asked.trials]


def _unknown(trial: Trial) -> Row:
    next_ = "run `lab serve` here, or see `lab jobs`, which reads the results branch"
    row = {"want": None, "job": None, "state": None, "text": "no controller of this user has run", "next": next_}
    return {"work_digest": trial.work, "parameters": dict(trial.parameters), **row}


def _of_trial(look: Look, trial: Trial, jobs: Sequence[Job], want: Want | None, asked: "Asked") -> Row:
    same = [job for job in jobs if job.work == trial.work]
    job = satisfying(trial, same)
    row: Row = {"work_digest": trial.work, "parameters": dict(trial.parameters)}
    row |= {"want": str(want.how) if want else None, "job": job.id if job else None}
    row |= {"state": str(job.state) if job else None}
    if job is not None:
        return row | _answered(look, job, want)
    gone = [other for other in same if other.state is State.STOPPED]
    return row | _not_launched(trial, want, asked, gone)


def _not_launched(trial: Trial, want: Want | None, asked: "Asked", gone: Sequence[Job]) -> Row:
    run = f"lab run {trial.task}"
    if asked.refusals:
        return {"text": f"refused: {'; '.join(asked.refusals)}", "next": "change task.yaml or lab.yaml and commit"}
    if want is None:
        before = f"; {gone[-1].id} was {gone[-1].reason}" if gone else ""
        return {"text": f"not planned yet{before}", "next": "the controller plans it when it sees this commit"}
    if want.how is Wanted.BASELINE and want.detail.startswith("on.manual"):
        return {"text": "on.manual: starts only by hand", "next": run}
    if want.how is Wanted.BASELINE:
        text = f"baseline: was there at first sight ({want.commit[:10]}), so nothing was launched"
        return {"text": text, "next": f"{run}, or change the task and push"}
    return {"text": want.detail or str(want.how), "next": run}


def _answered(look: Look, job: Job, want: Want | None) -> Row:
    origin = f"by {job.author} with commit {job.commit[:10]} on {where(look, job.branch)}"
    asked = _asked_by(look, job)
    if want is not None and want.how is Wanted.REUSED and want.commit != job.commit:
        first = f"reused at {want.commit[:10]}: {job.id} has the same content, launched {origin}"
    else:
        first = f"{job.id} was launched {asked or origin}"
    stands = standing(look, job)
    return {"text": f"{first}; {stands['text']}", "next": stands["next"]}


def _asked_by(look: Look, job: Job) -> str:
    """The human act that made it, if it was one."""
    for act in look.ledger.acts(pending=False) if look.ledger else ():
        if job.id in act.answer.split() and act.answer.startswith("launched"):
            return f"by `lab {act.kind} {act.target}` of {act.by}, {act.at:%Y-%m-%d %H:%M} UTC"
    return ""


def of_job(look: Look, job_id: str) -> Row:
    """One job that was asked for by name."""
    found = look.ledger.jobs(ids=[job_id]) if look.ledger else ()
    if not found:
        rows = look.rows(f"SELECT state, reason, work_digest, params FROM jobs WHERE job = '{job_id}'")  # noqa: S608
        if not rows:
            raise Refused(f"nothing is known of {job_id}")
        row = rows[0]
        told = {"text": row["reason"], "next": "", "want": None}
        return {
            "work_digest": row["work_digest"],
            "parameters": row["params"],
            "job": job_id,
            "state": row["state"],
            **told,
        }
    job = found[0]
    wants = [w for w in look.ledger.wants(None, [job.task]) if w.job == job.id] if look.ledger else []
    row = {"work_digest": job.work, "parameters": dict(job.parameters), "job": job.id, "state": str(job.state)}
    row |= {"want": str(wants[0].how) if wants else None}
    made = _answered(look, job, None)
    if not wants and job.state not in (State.STOPPED,):
        made["text"] += "; no branch's tip asks for it any more"
    return row | made


def standing(look: Look, job: Job) -> Row:
    """Where a job stands, and the next step of whoever asks."""
    if job.stop_asked and job.state not in (State.COMPLETE, State.FAILED, State.STOPPED):
        return {"text": f"stopping: {job.stop_asked}", "next": ""}
    match job.state:
        case State.COMPLETE:
            return {"text": "complete", "next": f"lab show {job.id}"}
        case State.FAILED:
            text = f"failed: {job.reason}. It is not run again by itself"
            return {"text": text, "next": f"lab logs {job.id}; then change the task and push, or `lab retry {job.id}`"}
        case State.STOPPED:
            again = "" if job.reason.startswith(SUPERSEDED) else f"lab retry {job.id}"
            return {"text": f"stopped: {job.reason}", "next": again}
        case State.HELD:
            return _held(look, job)
        case State.QUEUED:
            return _queued(look, job)
        case _:
            word = str(job.state).lower()
            text = job.reason if job.reason.startswith(word) else f"{word}: {job.reason}"
            return {"text": text, "next": f"lab logs -f {job.id}"}


def _held(look: Look, job: Job) -> Row:
    gate, _, why = job.reason.partition(":")
    if gate == "needs" or (job.needs and gate not in ("limit", "suspended", "approval")):
        return _needs(look, job)
    steps = {"limit": f"lab confirm {job.plan[:12]}", "suspended": "lab resume"}
    if gate in steps:
        return {"text": f"held by {gate}:{why}", "next": steps[gate]}
    if gate == Held.APPROVAL and number_of(job.branch) is not None:
        return {"text": f"held by approval:{why}", "next": f"lab why {job.branch}"}
    return {"text": f"held: {job.reason}", "next": "" if look.live else "lab serve"}


def _needs(look: Look, job: Job) -> Row:
    """Which of the jobs that it waits for are not complete, as they stand now."""
    known = look.ledger.jobs(ids=job.needs) if look.ledger else ()
    unmet = [need for need in known if need.state is not State.COMPLETE]
    if not unmet:
        return {"text": f"held: {job.reason}", "next": "" if look.live else "lab serve"}
    some = ", ".join(f"{need.id} ({need.task}) is {need.state}" for need in unmet[:3]) + (
        " …" if len(unmet) > 3 else ""
    )
    return {
        "text": f"held by needs: {len(unmet)} of {len(job.needs)} are not complete: {some}",
        "next": f"lab why {unmet[0].id}",
    }


def _queued(look: Look, job: Job) -> Row:
    attempt = under_way(look, [job]).get(job.id)
    said = attempt.detail if attempt and attempt.handle else ""
    if not look.live:
        last = f"; last heard: {said}" if said else ""
        return {"text": f"queued, and no controller is running{last}", "next": "lab serve"}
    if said:
        return {"text": f"queued at {job.provider}: {said}", "next": "lab status"}
    if job.not_before and job.not_before > look.now:
        wait = (job.not_before - look.now).total_seconds()
        return {"text": f"queued: attempt {job.attempt + 1} in {wait:.0f} s ({job.reason})", "next": ""}
    return {"text": f"queued: {_waits_for(look, job)}", "next": "lab status"}


def _waits_for(look: Look, job: Job) -> str:
    """What of its provider is in use by whom, as far as the ledger tells."""
    assert look.ledger is not None  # noqa: S101  # a live job came out of it
    others = [
        j for j in look.ledger.jobs(states=[State.QUEUED, *AT_PROVIDER]) if j.provider == job.provider and j.attempt
    ]
    newest = {a.job: a for a in look.ledger.attempts([j.id for j in others])} if others else {}
    busy: Mapping[str, Any] = {j: a for j, a in newest.items() if a.outcome is None and j != job.id}
    if job.id in newest and newest[job.id].outcome is None:
        return f"submitted to {job.provider}, nothing runs yet"
    if not busy:
        return f"waits for {job.provider}"
    cpus = sum(float(a.placement.get("cpus") or 0) for a in busy.values())
    gpus = sum(len(a.placement.get("gpus") or ()) for a in busy.values())
    held = f"{cpus:g} CPUs" + (f" and {gpus} GPUs" if gpus else "")
    first = [j for j in others if j.id in busy][:3]
    who = ", ".join(f"{j.id} ({j.task})" for j in first) + (" …" if len(busy) > 3 else "")
    return f"waits for room at {job.provider}, where {len(busy)} jobs hold {held}: {who}"
