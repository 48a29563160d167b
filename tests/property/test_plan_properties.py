"""Random stories of a repository, planned and carried out: what planning promises holds at every commit."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.domain.job import SUPERSEDED, Wanted
from labwright.domain.lifecycle import LIVE, State
from labwright.domain.plan import Plan
from tests.unit.planning import Lab, task

TASKS = ("a", "a/deep", "b", "c")
ENDS = (State.COMPLETE, State.FAILED, State.STOPPED, None)


@dataclass(frozen=True)
class File:
    """One of the few contents that a task.yaml has in these stories."""

    run: int
    sweep: int
    rerun: int
    needs: str
    inputs: bool
    special: str

    def text(self) -> str:
        if self.special == "bad":
            return "name: ["
        more = {"rerun": str(self.rerun)}
        more |= {"needs": f"[{self.needs}]"} if self.needs else {}
        more |= {"sweeps": f"{{sweep_config: {{n: {list(range(self.sweep))}}}}}"} if self.sweep else {}
        more |= {"inputs": "[/shared/*]"} if self.inputs else {}
        more |= {"refused": {"resources": "{cpus: 1000}"}, "manual": {"on": "{manual: true}"}}.get(self.special, {})
        more |= {"branch": {"on": "{branches: [dev]}"}, "running": {"concurrency": "{supersede: running}"}}.get(
            self.special, {}
        )
        return task(f"run {self.run}", **more)


FILES = st.builds(
    File,
    run=st.integers(0, 1),
    sweep=st.integers(0, 3),
    rerun=st.integers(0, 1),
    needs=st.sampled_from(["", "", "a", "b", "../b", "c", "./deep"]),
    inputs=st.booleans(),
    special=st.sampled_from([*[""] * 12, "bad", "refused", "manual", "branch", "running"]),
)
PATHS = {name: f"experiments/{name}/task.yaml" for name in TASKS}
EDITS = st.one_of(
    st.tuples(st.sampled_from(list(PATHS.values())), st.one_of(FILES.map(File.text), st.none())),
    st.tuples(st.sampled_from(["shared/x", "experiments/a/x.py", "experiments/a/deep/x.py", "README.md"]), st.sampled_from(["1", "2", None])),
)  # fmt: skip
COMMITS = st.lists(st.lists(EDITS, min_size=1, max_size=3).map(dict), min_size=1, max_size=8)  # type: ignore[arg-type]
CHANCES = st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(ENDS)), max_size=4)
STORY = st.tuples(COMMITS, st.lists(CHANCES, min_size=8, max_size=8))


def live_a_little(lab: Lab, chances: list[tuple[int, State | None]]) -> None:
    """Some jobs run and end, one way or another."""
    for which, end in chances:
        waiting = lab.ledger.jobs(states=[State.HELD, State.QUEUED])
        if waiting:
            job = waiting[which % len(waiting)]
            lab.run(job.id, end) if job.state is State.HELD else lab.become(job.id, State.RUNNING)
    for job in lab.ledger.jobs(states=[State.RUNNING]):
        if job.stop_asked:
            lab.become(job.id, State.STOPPED, job.stop_asked)


def check_once(lab: Lab, made: Plan) -> None:
    """What is launched has no complete or live job of the same content that nobody wants stopped."""
    jobs = lab.ledger.jobs()
    for launch in made.launch:
        same = [job for job in jobs if (job.task, job.work) == (launch.trial.task, launch.trial.work)]
        fit = [job for job in same if job.generation >= launch.trial.generation]
        assert not [job for job in fit if job.state is State.COMPLETE]
        assert not [job for job in fit if job.state in LIVE and not job.stop_asked.startswith(SUPERSEDED)]
        assert launch.job not in {job.id for job in jobs}


def check_wants(lab: Lab, made: Plan) -> None:
    known = {job.id for job in lab.ledger.jobs()} | {launch.job for launch in made.launch}
    for wants in made.wants.values():
        for want in wants:
            named = want.how in (Wanted.LAUNCHED, Wanted.REUSED)
            assert (want.job in known) if named else want.job is None
    for launch in made.launch:
        assert set(launch.needs) <= known
        assert len(launch.needs) == len(launch.trial.needs), "no job runs without what it needs"


def meaning(made: Plan) -> object:
    """What a plan does to the tasks that it speaks of."""
    launches = sorted((x.job, x.needs, x.place) for x in made.launch)
    stops = sorted(stop.job for stop in made.stop)
    return launches, stops


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(STORY)
def test_planning_keeps_its_promises_over_any_story(
    story: tuple[list[dict[str, str | None]], list[list[tuple[int, State | None]]]],
) -> None:
    commits, lives = story
    lab = Lab("policy: {limits: {jobs_per_commit: 1000}}")
    lab.push({"shared/x": "0"} | {path: task() for path in PATHS.values()}, first=bool(len(commits) % 2))
    for files, chances in zip(commits, lives, strict=False):
        tree = lab.commit(files)
        made = lab.plan(tree)
        if made.held:  # no task is left, and something would stop: a person's to decide
            return
        assert meaning(made) == meaning(lab.plan(tree, whole=True)), "by what changed, or everything from scratch"
        check_once(lab, made)
        check_wants(lab, made)
        lab.planned["main"] = tree
        lab.apply(made)
        again = lab.plan(tree, whole=True)
        assert again.empty, "planning the same tip twice"
        everything = {task: wants for task, wants in again.wants.items() if wants}
        assert {want.task for want in lab.ledger.wants("main")} == everything.keys()
        live_a_little(lab, chances)
        assert not lab.plan(tree, whole=True).launch, "whatever becomes of jobs launches nothing by itself"


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.permutations([{PATHS["a"]: task(f"run {n}")} for n in range(4)]), st.lists(st.booleans(), min_size=4, max_size=4)
)
def test_whatever_the_order_of_commits_the_last_content_is_what_is_wanted(
    order: list[dict[str, str]], ended: list[bool]
) -> None:
    lab = Lab()
    for files, end in zip([*order, *order[::-1]], ended + ended, strict=True):
        made = lab.push(files)
        for launch in made.launch if end else ():
            lab.run(launch.job)
    last = lab.one(order[0])
    (want,) = lab.ledger.wants("main", ["a"])
    assert want.work == last.trials[0].work
    job = lab.job(str(want.job))
    assert job.state is State.COMPLETE or (job.state in LIVE and not job.stop_asked)
    waiting = [job for job in lab.ledger.jobs(states=LIVE)]
    assert {job.work for job in waiting} <= {want.work}


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 9), min_size=1), st.sets(st.integers(0, 9), min_size=1))
def test_an_edited_sweep_launches_what_is_new_and_stops_what_is_gone(before: set[int], after: set[int]) -> None:
    lab = Lab()
    first = lab.push({PATHS["a"]: task(sweeps=f"{{sweep_config: {{n: {sorted(before)}}}}}")})
    point = {launch.job: launch.trial.parameters["n"] for launch in first.launch}
    made = lab.push({PATHS["a"]: task(sweeps=f"{{sweep_config: {{n: {sorted(after)}}}}}")})
    assert {launch.trial.parameters["n"] for launch in made.launch} == after - before
    assert {point[stop.job] for stop in made.stop} == before - after
