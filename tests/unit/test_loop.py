"""The loop, a turn at a time: from a push to a published result, whatever the world does meanwhile."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import FakeProvider, Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = STORY
    yield bench
    bench.close()


def test_a_push_becomes_a_job_its_records_and_a_commit_on_the_results_branch(bench: Bench) -> None:
    bench.push(a=task())
    bench.until_idle()
    job = bench.job("a")
    assert job.state is State.COMPLETE
    manifest = json.loads(bench.results.content[f"results/a/{job.id}/manifest.json"])
    assert (manifest["state"], manifest["score"], manifest["metrics"]["loss"]["last"]) == (
        "COMPLETE",
        {"loss": 0.5},
        0.5,
    )
    assert [a["path"] for a in manifest["artifacts"]] == ["model.pt"]
    assert bench.rows("SELECT job, state FROM jobs") == [{"job": job.id, "state": "COMPLETE"}]
    assert (bench.folder / "logs" / job.id / "1.txt").read_bytes() == b"hello\n"
    assert bench.outbox.waiting() == []
    assert bench.alarms == {}


def test_a_turn_without_anything_to_do_writes_nothing(bench: Bench) -> None:
    bench.push(a=task())
    bench.until_idle()
    before = bench.ledger.commits
    bench.turn(20)
    assert bench.ledger.commits == before


# the repository


def test_an_unreachable_repository_changes_no_job_and_is_said(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.push(a=task())
    bench.until(lambda: bench.state("a") is State.RUNNING)
    bench.repo.broken = "no route to host"
    bench.turn(40)
    assert "no route to host" in bench.alarms["repository"]
    assert bench.state("a") is State.RUNNING
    bench.repo.broken = ""
    bench.push(b=task())
    bench.until(lambda: "b/0.0" in bench.states())
    assert "repository" not in bench.alarms


def test_a_branch_that_cannot_be_read_waits_and_the_others_go_on(bench: Bench) -> None:
    lab = "watch: {branches: [main, dev]}"
    bench.push(lab=lab, a=task())
    bench.push(branch="dev", lab=lab, b=task())
    tree = bench.repo.trees.pop(bench.repo.branches["dev"])
    bench.until(lambda: bench.state("a") is State.COMPLETE)
    assert "branch dev" in bench.alarms
    bench.repo.trees[bench.repo.branches["dev"]] = tree
    bench.until(lambda: "b/0.0" in bench.states())
    assert "branch dev" not in bench.alarms


def test_a_broken_lab_yaml_keeps_the_last_good_settings(bench: Bench) -> None:
    bench.push(lab="policy: {limits: {jobs_per_commit: 1}}", a=task())
    bench.until_idle()
    bench.push(lab="policy: [", b=task(sweeps="{sweep_config: {x: [1, 2]}}"))
    bench.turn(5)
    assert "the settings before it stay in force" in bench.alarms["lab.yaml"]
    assert bench.job("b").reason.startswith("limit: 2 jobs")
    bench.start()
    bench.turn(3)
    assert bench.world.lab is not None
    assert bench.world.lab.policy.limits.jobs_per_commit == 1
    bench.push(lab="policy: {limits: {jobs_per_commit: 2}}")
    bench.turn(3)
    assert "lab.yaml" not in bench.alarms


def test_a_default_branch_that_vanished_does_not_reset_the_settings(bench: Bench) -> None:
    bench.push(lab="name: vision", a=task())
    bench.until_idle()
    bench.repo.branches["other"] = bench.repo.branches.pop("main")
    bench.world.pushed.set()
    bench.turn(5)
    assert bench.world.lab is not None
    assert bench.world.lab.name == "vision"
    assert "default branch main is not there" in bench.alarms["settings"]


def test_settings_that_changed_are_asked_of_the_provider_again(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.push(
        lab="providers: {local: {type: local, cpus: 1}}", a=task(sweeps="{sweep_config: {x: [1, 2, 3, 4, 5, 6]}}")
    )
    bench.until(lambda: list(bench.states().values()).count("RUNNING") == 4)
    bench.provider._capacity = type(bench.capacity)(cpus=6, memory_gb=64)
    twin = FakeProvider.__new__(FakeProvider)
    twin.__dict__ = bench.provider.__dict__
    bench.providers["local"] = twin
    bench.push(lab="providers: {local: {type: local, cpus: 6}}")
    bench.until(lambda: list(bench.states().values()).count("RUNNING") == 6)


# the provider


def test_an_unreachable_provider_changes_no_state_and_is_said(bench: Bench) -> None:
    bench.provider._story = Story(hangs=True)
    bench.push(a=task())
    bench.until(lambda: bench.state("a") is State.RUNNING)
    bench.provider.fail("observe", Unavailable("ssh: connection refused"), times=50)
    bench.turn(45)
    assert bench.state("a") is State.RUNNING
    assert "connection refused" in bench.alarms["provider local"]
    bench.turn(20)
    assert "provider local" not in bench.alarms


def test_a_provider_whose_files_cannot_be_read_holds_back_results_and_loses_none(bench: Bench) -> None:
    bench.provider.fail("read", Unavailable("ssh: connection refused"), times=5)
    bench.push(a=task())
    bench.turn(6)
    assert bench.results.content == {}
    assert "connection refused" in bench.alarms["reading from local"]
    bench.until_idle()
    assert bench.rows("SELECT value FROM metrics") == [{"value": 0.5}]
    assert "reading from local" not in bench.alarms


def test_a_submission_whose_answer_got_lost_is_found_and_not_submitted_twice(bench: Bench) -> None:
    submitted: list[str] = []
    submit = bench.provider.submit
    bench.provider.submit = lambda batch: submitted.extend(s.token for s in batch) or submit(batch)  # type: ignore[method-assign]
    bench.provider.fail("submit", OutcomeUnknown("the line broke"), after=True)
    bench.push(a=task())
    bench.until_idle()
    assert len(submitted) == 1
    assert bench.state("a") is State.COMPLETE
    assert bench.job("a").attempt == 1


def test_while_nobody_can_look_it_up_it_is_not_submitted_again(bench: Bench) -> None:
    submitted: list[str] = []
    submit = bench.provider.submit
    bench.provider.submit = lambda batch: submitted.extend(s.token for s in batch) or submit(batch)  # type: ignore[method-assign]
    bench.provider.fail("submit", OutcomeUnknown("the line broke"), after=True)
    bench.provider.fail("find", Unavailable("still broken"), times=3)
    bench.push(a=task())
    bench.turn(12)
    assert len(submitted) == 1
    assert "still broken" in bench.alarms["submit to local"]
    bench.until_idle()
    assert len(submitted) == 1
    assert bench.state("a") is State.COMPLETE


def test_a_submission_that_never_arrived_is_made_again_under_its_token(bench: Bench) -> None:
    bench.provider.fail("submit", OutcomeUnknown("the line broke"))
    bench.push(a=task())
    bench.until_idle()
    assert [str(token) for token in bench.provider.accepted] == [f"lab-{bench.job('a').id}-1"]
    assert bench.state("a") is State.COMPLETE


def test_an_unavailable_submission_is_tried_again_under_its_token(bench: Bench) -> None:
    bench.provider.fail("submit", Unavailable("maintenance"), times=2)
    bench.push(a=task())
    bench.until_idle()
    assert [str(token) for token in bench.provider.accepted] == [f"lab-{bench.job('a').id}-1"]
    assert bench.alarms == {}


def test_a_refused_submission_fails_its_job_with_the_providers_words(bench: Bench) -> None:
    bench.provider.submit = lambda batch: {s.token: Refused("no such partition") for s in batch}  # type: ignore[method-assign]
    bench.push(a=task())
    bench.until_idle()
    assert bench.job("a").reason == "not submitted: no such partition"
    assert bench.state("a") is State.FAILED
    manifest = json.loads(bench.results.content[f"results/a/{bench.job('a').id}/manifest.json"])
    assert manifest["attempts"][0]["detail"] == "no such partition", (
        "and is on the results branch as every job that ended"
    )


def test_a_provider_that_does_not_say_what_it_has_is_asked_again_but_not_all_the_time(bench: Bench) -> None:
    bench.provider.fail("capacity", Unavailable("maintenance", retry_in=5), times=2)
    bench.push(a=task())
    bench.until(lambda: "maintenance" in bench.alarms.get("provider local", ""))
    bench.turn(3)
    assert len(bench.provider._faults["capacity"]) == 1
    bench.until_idle()
    assert bench.state("a") is State.COMPLETE


# when the next turn is due


@pytest.mark.parametrize("call", ["fetch", "observe", "find", "submit"])
def test_while_a_call_is_under_way_the_loop_waits_for_its_end_and_does_not_spin(bench: Bench, call: str) -> None:
    bench.provider._story = Story(hangs=True)
    if call == "find":
        bench.provider.fail("submit", OutcomeUnknown("the line broke"))
    bench.push(a=task())
    key = "fetch" if call == "fetch" else "observe:local" if call == "observe" else "submit:local"
    bench.until(lambda: key in bench.world.calls._flying)
    pending: Future[Any] = Future()
    bench.world.calls._flying[key] = (pending, lambda _: None, lambda _: None)
    for _ in range(5):
        bench.turn()
        assert bench.due is None or bench.due >= bench.clock.now() - timedelta(seconds=1)
