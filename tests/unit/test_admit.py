"""HELD jobs become QUEUED when every gate is open; the reason of the others says which is not."""

from dataclasses import replace

import pytest

from labwright.decide.admit import Gates, admit, answering
from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Job
from labwright.domain.lifecycle import State
from tests.unit.planning import NOW

OPEN = Gates({}, {}, {}, {})


def job(name: str = "b", state: State = State.HELD, generation: int = 0, needs: tuple[str, ...] = ()) -> Job:
    return Job(
        id=JobId(f"{name}{generation}"),
        task=name,
        work=Digest(name),
        generation=generation,
        parameters={},
        spec=Digest("s"),
        bundle=Digest("b"),
        provider="cluster",
        priority=0,
        commit="c",
        branch="main",
        author="ada",
        created=NOW,
        state=state,
        needs=tuple(map(JobId, needs)),
        plan="p",
    )


def verdict(one: Job, gates: Gates) -> tuple[bool, str]:
    (found,) = admit([one], gates)
    return found.admitted, found.reason


def gates_of(*jobs: Job) -> Gates:
    siblings: dict[tuple[str, str], list[Job]] = {}
    for one in jobs:
        siblings.setdefault((one.task, one.work), []).append(one)
    return Gates({}, {}, {one.id: one for one in jobs}, siblings)


def test_with_every_gate_open_a_job_is_admitted() -> None:
    assert verdict(job(), OPEN) == (True, "admitted")


@pytest.mark.parametrize("what", ["*", "cluster"])
def test_a_suspended_provider_or_lab_holds(what: str) -> None:
    assert verdict(job(), replace(OPEN, suspended={what: "by ada"})) == (False, "suspended: by ada")


def test_another_providers_suspension_does_not_hold() -> None:
    assert verdict(job(), replace(OPEN, suspended={"laptop": "by ada"}))[0]


def test_an_unconfirmed_plan_holds_before_anything_else() -> None:
    gates = replace(OPEN, unconfirmed={"p": "300 jobs"}, suspended={"*": "by ada"})
    assert verdict(job(), gates) == (False, "limit: 300 jobs")


@pytest.mark.parametrize("state", set(State) - {State.COMPLETE})
def test_a_needed_job_that_is_not_complete_holds(state: State) -> None:
    assert verdict(job(needs=("a0",)), gates_of(job("a", state))) == (False, f"needs: a (a0) is {state}")


def test_a_needed_job_that_is_complete_does_not_hold() -> None:
    assert verdict(job(needs=("a0",)), gates_of(job("a", State.COMPLETE)))[0]


def test_the_reason_names_one_and_counts_the_others() -> None:
    needed = [job(name, State.RUNNING) for name in "acd"]
    reason = verdict(job(needs=("a0", "c0", "d0")), gates_of(*needed))[1]
    assert reason == "needs: a (a0) is RUNNING and 2 more"


def test_a_needed_job_that_nobody_knows_holds() -> None:
    assert verdict(job(needs=("gone",)), OPEN) == (False, "needs: job gone is not known")


@pytest.mark.parametrize(("rerun", "admitted"), [(State.COMPLETE, True), (State.RUNNING, False), (State.FAILED, False)])
def test_a_rerun_of_a_failed_need_lets_its_dependants_go_on_once_complete(rerun: State, admitted: bool) -> None:
    again = job("a", rerun, 1)
    gates = replace(gates_of(job("a", State.FAILED), again), needed={JobId("a0"): job("a", State.FAILED)})
    assert verdict(job(needs=("a0",)), gates)[0] is admitted
    assert answering(job("a", State.FAILED), gates) == again


def test_a_complete_need_answers_whatever_a_rerun_does() -> None:
    pinned = job("a", State.COMPLETE)
    assert answering(pinned, gates_of(pinned, job("a", State.FAILED, 1))) == pinned
