"""Trials that share an allocation, run as slurmd runs their job, without Slurm."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.providers.slurm.handles import parse
from tests.unit.slurm_node import LISTENS, PATIENCE, SAVES, Cluster


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


SHARED = {"resources": {"pack": {"trials": 4, "at_once": 2}}}


def test_packed_trials_each_have_their_own_record_and_log(bench: Cluster) -> None:
    handles = bench.sweep("echo zero", "exit 3", "echo two", "echo three", "echo four", task=SHARED)
    assert (bench.ran(0), bench.ran(1)) == (0, 0)
    assert [(bench.record(h) or {})["code"] for h in handles] == [0, 3, 0, 0, 0]
    assert [bench.text(h) for h in handles] == ["zero\n", "", "two\n", "three\n", "four\n"]
    assert [parse(h).id for h in handles] == ["7_0"] * 4 + ["7_1"]  # type: ignore[union-attr]


def test_no_more_packed_trials_run_side_by_side_than_asked(bench: Cluster) -> None:
    one = f"mkdir '{bench.folder}'/$LAB_PARAM_N; ls '{bench.folder}' | wc -l; sleep 0.3; rmdir '{bench.folder}'/$LAB_PARAM_N"
    handles = bench.sweep(one, one, one, one, task=SHARED)
    assert bench.ran() == 0
    assert {int(bench.text(h)) for h in handles} <= {1, 2}


def test_one_of_those_that_share_an_allocation_is_stopped_alone(bench: Cluster) -> None:
    wait = f"echo begun; until [[ -e '{bench.folder}/go' ]]; do sleep 0.05; done"
    handles = bench.sweep(wait, SAVES, wait, "echo three", task=SHARED)
    started = bench.start()
    bench.logged(handles[0])
    bench.logged(handles[1])
    (bench.job(handles[1]) / "cancel").touch()
    started.send_signal(signal.SIGUSR2)
    bench.until(lambda: bench.record(handles[1]))
    bench.logged(handles[2])
    (bench.folder / "go").touch()
    assert started.wait(PATIENCE) == 0
    assert [(bench.record(h) or {})["reason"] for h in handles] == [None, "cancelled", None, None]
    assert "saved" in bench.text(handles[1])


def test_when_all_that_share_an_allocation_are_stopped_those_that_had_not_begun_say_so_too(bench: Cluster) -> None:
    handles = bench.sweep(*["echo begun; sleep 600"] * 4, task=SHARED)
    started = bench.start()
    bench.logged(handles[1])
    bench.logged(handles[0])
    for handle in handles:
        bench.job(handle).mkdir(exist_ok=True)
        (bench.job(handle) / "cancel").touch()
    started.send_signal(signal.SIGTERM)
    assert started.wait(PATIENCE) == 0
    assert [(bench.record(h) or {})["reason"] for h in handles] == ["cancelled"] * 4
    assert [bench.text(h) for h in handles] == ["begun\n", "begun\n", "", ""]


def test_slurms_own_term_ends_all_that_share_an_allocation_and_starts_no_other(bench: Cluster) -> None:
    handles = bench.sweep(*["echo begun; sleep 600"] * 4, task=SHARED)
    started = bench.start()
    bench.logged(handles[1])
    bench.logged(handles[0])
    started.send_signal(signal.SIGTERM)
    started.wait(PATIENCE)
    assert [bench.record(h) for h in handles] == [None] * 4
    assert not bench.job(handles[2]).exists()


def test_the_notice_reaches_every_packed_trial_that_listens(bench: Cluster) -> None:
    handles = bench.sweep(LISTENS, LISTENS, task=SHARED)
    started = bench.start()
    for handle in handles:
        bench.logged(handle)
    bench.told(started, *handles)
    started.send_signal(signal.SIGTERM)
    started.wait(PATIENCE)


def test_a_packed_trial_that_cannot_be_set_up_is_told_and_the_others_run(bench: Cluster) -> None:
    handles = bench.sweep("echo zero", "echo one", "echo two", task=SHARED)
    bench.job(handles[1]).parent.mkdir(exist_ok=True)
    bench.job(handles[1]).write_text("in the way")
    assert bench.ran() == 78
    assert [bench.text(handles[n]) for n in (0, 2)] == ["zero\n", "two\n"]


def test_a_requeued_allocation_runs_only_what_has_not_ended(bench: Cluster) -> None:
    runs = ["echo zero", "[[ -e once ]] || { touch once; echo begun; sleep 600; }; echo one", "echo two"]
    handles = bench.sweep(*runs, task={"resources": {"pack": 3}})
    started = bench.start()
    bench.logged(handles[1])
    started.send_signal(signal.SIGTERM)
    started.wait(PATIENCE)
    assert [bool(bench.record(h)) for h in handles] == [True, False, False]
    assert bench.ran() == 0
    assert [bench.text(h) for h in handles] == ["zero\n", "begun\none\n", "two\n"]
