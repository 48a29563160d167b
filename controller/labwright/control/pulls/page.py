"""What the comment of a pull request is made of: the lane's plan and judgement, its jobs, and what records know of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labwright.control.pulls.lane import Lane
from labwright.control.pulls.orders import Answer
from labwright.control.pulls.results import Finals, deltas_of, finals_of, requirements_of
from labwright.decide.discover import EXPERIMENTS
from labwright.decide.honesty import warnings_of
from labwright.decide.manifest_of import manifest_path
from labwright.decide.markdown import encoded
from labwright.domain.forge import Features
from labwright.domain.job import Job
from labwright.domain.lifecycle import LIVE, State
from labwright.domain.plan import Launch
from labwright.domain.pull_page import (
    Banner,
    Caution,
    Change,
    FileLine,
    JobLine,
    Links,
    Notice,
    PullPage,
    Reused,
    TaskLine,
    TrialLine,
)
from labwright.domain.task import Task
from labwright.ports.records import QueryLimits, Records
from labwright.ports.repo import Repo

CONFIGURES = ("lab.yaml", "templates/", "CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS",
              ".forgejo/CODEOWNERS", ".gitea/CODEOWNERS")  # fmt: skip
MOST_JOBS = 5000  # of which the records are asked
MOST_FILES, MOST_BYTES, MOST_RULES = 500, 4 << 20, 50  # that are looked into for what a diff does not show


@dataclass(frozen=True, slots=True)
class Draft:
    """All that the loop's thread knows; the rest is looked up off it."""

    lane: Lane
    lab: str
    label: str
    jobs: Sequence[Job]  # that it asks for and that are there, the newest of each trial
    base_jobs: Sequence[Job]  # that the base branch's tip asks for, of the same tasks
    require: Sequence[str]  # of lab.yaml
    answers: Sequence[Answer]
    void: str  # why an approval that was there counts no more, as last told
    suspended: str
    features: Features
    publishes: bool  # there is a results branch, and this pull request may fill it
    results_branch: str
    signature: str


def page_of(draft: Draft, records: Records, repo: Repo) -> PullPage:
    lane = draft.lane
    own = [job for job in draft.jobs if job.branch == lane.name]
    known = _known(records, [job.id for job in draft.jobs] if own else ())
    ended = [job for job in draft.jobs if job.state is State.COMPLETE] if own else []
    specs = {task: found.spec for task, found in lane.made.asked.items() if task in lane.touched and found.spec}
    finals = _finals(records, [job.id for job in (*ended, *draft.base_jobs)] if ended else ())
    return PullPage(
        lane=lane.name,
        number=lane.number,
        lab=draft.lab,
        head=lane.head,
        base_branch=lane.seen.talk.pull.base,
        digest=lane.offer.digest,
        signature=draft.signature,
        tasks=tuple(_tasks(draft, _past(records, lane.touched))),
        files=tuple(_files(lane)),
        cautions=_cautions(lane, repo),
        problems=lane.made.plan.invalid,
        banners=tuple(_banners(draft)),
        gates=lane.judgement.gates,
        approved_by=lane.judgement.approvers,
        jobs=tuple(_job(job, lane, known.get(job.id, {}), draft) for job in draft.jobs) if own else (),
        deltas=tuple(deltas_of(specs, ended, draft.base_jobs, finals)),
        requirements=tuple(requirements_of(specs, draft.require, ended, draft.base_jobs, finals)) if own else (),
        links=_links(draft),
        plan_path=f"{folder_of(lane)}/plan.md" if draft.publishes else "",
        label=draft.label,
        **_commands(draft),
    )


def _commands(draft: Draft) -> dict[str, Any]:
    """The usual ones, but where the forge has others."""
    number, head = draft.lane.number, draft.lane.head[:12]
    own = draft.features.commands
    return {"commands": tuple((how.format(number=number, head=head), words) for how, words in own)} if own else {}


def folder_of(lane: Lane) -> str:
    """On the results branch."""
    return f"pulls/{lane.number}"


def _tasks(draft: Draft, past: Mapping[str, float]) -> Iterator[TaskLine]:
    plan, asked = draft.lane.made.plan, draft.lane.made.asked
    launches: dict[str, list[Launch]] = {}
    for launch in plan.launch:
        launches.setdefault(launch.trial.task, []).append(launch)
    by_id = {job.id: job for job in draft.jobs}
    reused: dict[str, dict[str, list[str]]] = {}
    for reuse in plan.reuse:
        job = by_id.get(reuse.job)
        if job is not None and job.branch != draft.lane.name:
            reused.setdefault(reuse.trial.task, {}).setdefault(job.branch, []).append(job.id)
    stops: dict[str, list[str]] = {}
    for stop in plan.stop:
        stops.setdefault(stop.task, []).append(stop.job)
    refusals = {refusal.task: refusal for refusal in plan.refuse}
    for task in dict.fromkeys([*asked, *stops]):
        found = asked.get(task)
        line = TaskLine(
            task=task,
            launch=tuple(TrialLine(x.job, x.trial.parameters, x.place) for x in launches.get(task, ())),
            reuse=tuple(Reused(lane, tuple(jobs)) for lane, jobs in reused.get(task, {}).items()),
            supersede=tuple(stops.get(task, ())),
            refused=(refusals[task].reason,) if task in refusals else (),
            refused_trials=len(found.trials) if found and task in refusals else 0,
            provider=found.trials[0].provider if found and found.trials else "",
            gpu_hours=sum(x.gpu_hours for x in launches.get(task, ())),
        )
        yield _asking(line, found.spec, past.get(task)) if found and found.spec else line


def _asking(line: TaskLine, spec: Task, seconds: float | None) -> TaskLine:
    resources, gpus = spec.resources, spec.resources.accelerators
    each = gpus.count * resources.num_nodes if gpus else 0
    return replace(
        line,
        cpus=f"{resources.cpus:g}" if resources.cpus is not None else "",
        memory_gb=resources.memory_gb,
        accelerators=f"{gpus.type}:{gpus.count}" if gpus and gpus.type else str(gpus.count) if gpus else "",
        nodes=resources.num_nodes,
        limit_seconds=spec.limit_seconds,
        expected_seconds=seconds,
        expected_gpu_hours=seconds * each * len(line.launch) / 3600 if seconds is not None and each else None,
        metric=spec.sweeps.metric if spec.sweeps else "",
        lower_is_better=spec.sweeps.lower_is_better if spec.sweeps else None,
    )


def _files(lane: Lane) -> Iterator[FileLine]:
    """Every file of the bundles that is another one than at the base, or is not there any more."""
    bundled: set[str] = set()
    for task in sorted(lane.touched):
        file = lane.tree.tasks.get(task)
        if file is not None:
            bundled.update(path for path in lane.paths if path.startswith(file.folder + "/"))
    inputs = {path for path in lane.paths if not path.startswith(EXPERIMENTS)}
    for path in sorted(bundled | (inputs if lane.touched else set())):
        old, new = lane.base.entries.get(path), lane.tree.entries.get(path)
        change = Change.ADDED if old is None else Change.REMOVED if new is None else Change.CHANGED
        yield FileLine(path, change, old.mode if old else "", new.mode if new else "", new.oid if new else "")


def _cautions(lane: Lane, repo: Repo) -> tuple[Caution, ...]:
    """What the diff of a bundle's file may not show (R21)."""
    files = [file.path for file in _files(lane) if file.change is not Change.REMOVED]
    entries = lane.tree.entries
    regular = [path for path in files if entries[path].mode != "160000"]
    sizes = repo.sizes([entries[path].oid for path in regular]) if regular else {}
    read = [path for path in regular if sizes[entries[path].oid] <= MOST_BYTES][:MOST_FILES]
    data = dict(zip(read, repo.read([entries[path].oid for path in read]), strict=True)) if read else {}
    changed = ((path, lane.base.entries.get(path), entries[path], data.get(path, b"")) for path in files)
    rules = [path for path in entries if path.rpartition("/")[2] == ".gitattributes"][:MOST_RULES]
    rules = [path for path in rules if entries[path].mode in ("100644", "100755")]
    texts = dict(zip(rules, repo.read([entries[path].oid for path in rules]), strict=True)) if rules else {}
    specs = {lane.tree.tasks[task].path: spec for task in lane.touched if (spec := lane.made.asked[task].spec)}
    return warnings_of(changed, texts, specs)


def _banners(draft: Draft) -> Iterator[Notice]:
    lane, pull = draft.lane, draft.lane.seen.talk.pull
    if pull.fork:
        yield Notice(Banner.FORK)
    if any(path in CONFIGURES or path.startswith("templates/") for path in lane.paths):
        yield Notice(Banner.CONFIG)
    if lane.made.plan.held:
        yield Notice(Banner.HELD, lane.made.plan.held)
    if draft.suspended:
        yield Notice(Banner.SUSPENDED, draft.suspended)
    if pull.draft:
        yield Notice(Banner.DRAFT)
    if not pull.open:
        yield Notice(Banner.CLOSED, "merged" if pull.merged else "")
    if draft.void and not lane.judgement.approved:
        yield Notice(Banner.VOID, draft.void)
    for answer in draft.answers[-5:]:
        yield Notice(Banner.NOTE, f"`{answer.order}` by {answer.by}: {answer.words}")


def _job(job: Job, lane: Lane, known: Mapping[str, Any], draft: Draft) -> JobLine:
    page = (draft.features.links or {}).get("page", "")
    there = job.state not in LIVE
    return JobLine(
        job=job.id,
        task=job.task,
        trial=job.trial,
        state=job.state,
        reason=job.reason,
        parameters=job.parameters,
        score=known.get("score"),
        seconds=known.get("seconds"),
        link=_address(page, draft.results_branch, manifest_path(job)) if page and there else "",
        log_tail=str(known.get("log_tail") or "") if job.state is State.FAILED else "",
        reused=job.branch != lane.name,
    )


def _address(template: str, branch: str, path: str) -> str:
    return template.replace("{branch}", encoded(branch)).replace("{path}", encoded(path))


def _links(draft: Draft) -> Links:
    links = draft.features.links or {}
    return Links(links.get("page", ""), links.get("raw", ""), draft.results_branch)


def _known(records: Records, jobs: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
    if not jobs:
        return {}
    named = _in(list(jobs)[:MOST_JOBS])
    sql = f"SELECT job, score, seconds, log_tail FROM jobs WHERE job IN ({named})"  # noqa: S608  # quoted
    return {row["job"]: row for row in _rows(records, sql)}


def _finals(records: Records, jobs: Collection[str]) -> Finals:
    if not jobs:
        return {}
    named = _in(list(jobs)[:MOST_JOBS])
    return finals_of(_rows(records, f"SELECT job, name, last FROM final_metrics WHERE job IN ({named})"))  # noqa: S608


def _past(records: Records, tasks: Collection[str]) -> Mapping[str, float]:
    """Task → seconds that its complete jobs took, in the middle."""
    if not tasks:
        return {}
    complete = "state = 'COMPLETE' AND seconds IS NOT NULL"
    sql = f"SELECT task, median(seconds) AS seconds FROM jobs WHERE {complete} AND task IN ({_in(tasks)}) GROUP BY task"  # noqa: S608
    return {row["task"]: row["seconds"] for row in _rows(records, sql)}


def _rows(records: Records, sql: str) -> list[dict[str, Any]]:
    answer = records.query(sql, QueryLimits(rows=1_000_000))
    return [row for batch in answer.batches() for row in batch.to_pylist()]


def _in(texts: Collection[str]) -> str:
    """Quoted: names of tasks are anybody's text."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
