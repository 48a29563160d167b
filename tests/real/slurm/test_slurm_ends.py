"""How jobs end of themselves on a cluster, or by what happens to it: preemption, time, memory, nodes."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.providers.slurm import judge
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import HANGS, Script, leaves
from tests.real.slurm.asking import all_ended, important, job_of, scontrol, shown, submitted, trials, until_said
from tests.real.slurm.cluster import BreakableCluster, Cluster
from tests.real.slurm.slurm_bench import MakeBench, SlurmBench

TRAIN = b"""
import os, sys, time
import lab

start = lab.resume()
done = int(open(start).read()) if start else 0
print(f"from {done}", flush=True)
while not os.path.exists(sys.argv[1]):
    done += 1
    with open("state", "w") as file:
        file.write(str(done))
    lab.log({"done": done}, step=done)
    lab.save_checkpoint("state", step=done, keep_last=3)
    if lab.should_checkpoint():
        print(f"noticed at {done}", flush=True)
    print("saved", flush=True)
    time.sleep(0.2)
lab.finish(score={"done": done})
"""


def training(bench: SlurmBench, **more: Any) -> Handle:
    """Goes on until there is a file `go` in the bench's folder."""
    script = Script(f"python3 train.py {bench.folder}/go")
    handle = bench.submit(script, files={"train.py": TRAIN}, **more)
    bench.until(handle, Phase.RUN)
    bench.until_logged(handle, b"saved\n")
    return handle


def lives(bench: SlurmBench, handle: Handle) -> list[int]:
    """Where each began."""
    return [
        int(line.removeprefix("from ")) for line in bench.log(handle).decode().splitlines() if line.startswith("from ")
    ]


def test_a_preempted_job_goes_on_from_its_checkpoint_or_has_ended_as_lab_yaml_says(
    cluster: Cluster, bench_of: MakeBench
) -> None:
    spot = {"resources": {"use_spot": True, "accelerators": 4}}
    again = bench_of(spot_partition="spot", sbatch=["--nodelist=node4"])
    ended = bench_of(spot_partition="spot", sbatch=["--nodelist=node4"], requeue=False)
    requeued, gone = training(again, task=spot), training(ended, task=spot)
    assert shown(cluster, requeued)["Partition"] == "spot"
    with important(cluster, "node4"):
        seen = ended.ended(gone)
        assert (seen.outcome, seen.detail) == (Outcome.PREEMPTED, "Slurm says PREEMPTED")
        assert until_said(again, requeued, "Slurm has requeued it").phase is Phase.QUEUED
    again.wait(lambda: len(lives(again, requeued)) == 2 or None, "the second life")
    (again.folder / "go").touch()
    seen = again.ended(requeued)
    first, second = lives(again, requeued)
    assert (seen.outcome, first) == (Outcome.OK, 0)
    assert second > 0
    assert "begun again by its scheduler once" in seen.detail
    steps = [json.loads(line) for line in again.stream(requeued, "events.jsonl").splitlines()]
    said = [event["m"]["done"] for event in steps if event["e"] == "metric"]
    assert said == sorted(said)
    assert len(said) - len(set(said)) <= 1  # a step that was logged and not saved yet

    (ended.folder / "go").touch()
    files = {"train.py": TRAIN}
    next_attempt = ended.submit(Script(f"python3 train.py {ended.folder}/go"), files=files, attempt=2, resume_from=gone)
    assert ended.ended(next_attempt).outcome is Outcome.OK
    assert lives(ended, next_attempt)[0] > 0


def test_the_cluster_s_own_time_limit_gives_notice_to_those_that_listen(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of(sbatch=["--time=1"], sbatch_allow=["time"])
    deaf = bench.submit(Script("echo begun; sleep 600"))
    saves = training(bench)
    script, pair = Script(f"python3 train.py {bench.folder}/go"), {"trials": 2, "at_once": 2}
    packed = submitted(bench, trials(bench, script, 2, {"train.py": TRAIN}, resources={"pack": pair}))
    for handle in packed:
        bench.until_logged(handle, b"saved\n")
    assert {shown(cluster, handle)["TimeLimit"] for handle in (deaf, saves, *packed)} == {"00:01:00"}
    for handle in (deaf, saves, packed[0]):  # Slurm looks every half minute: once before that, once after
        scontrol("update", f"JobId={job_of(handle)}", "EndTime=now+31")
    seen = all_ended(bench, [deaf, saves, *packed])
    assert (seen[deaf].outcome, seen[deaf].detail) == (Outcome.TIMEOUT, "Slurm says TIMEOUT")
    for handle in (saves, *packed):
        assert "noticed at" in bench.log(handle).decode()
        assert seen[handle].outcome is Outcome.PREEMPTED  # what is saved goes on in the next attempt
        assert seen[handle].detail.startswith("Slurm says TIMEOUT; it saved step-")


def test_a_job_that_takes_more_memory_than_it_asked_for_has_ended_for_that(
    cluster: Cluster, bench_of: MakeBench
) -> None:
    bench = bench_of()
    eats = "python3 -c 'import time; x = b\"x\" * (400 << 20); time.sleep(600)'"
    little = {"memory": "100MB"}
    alone = bench.submission(Script(eats), task={"resources": little})
    in_setup = bench.submission(Script("true", setup=eats), task={"resources": little})
    of_many = bench.submission(Script(f"{eats} || exit 3"), task={"resources": little})
    second = Script(f"[ $NODE_RANK = 0 ] || {eats}; sleep 600")
    handles = submitted(bench, [alone, in_setup, of_many])
    if (
        cluster.out_of_memory == "OUT_OF_MEMORY"
    ):  # else Slurm ends all of a node's processes, and nobody is left to tell
        handles += submitted(bench, [bench.submission(second, task={"resources": {**little, "num_nodes": 2}})])
    seen = all_ended(bench, handles)
    assert [seen[handle].outcome for handle in handles] == [Outcome.OOM] * len(handles), seen
    assert all(seen[handle].exit_code or seen[handle].signal for handle in handles)


def test_a_wrapper_that_is_killed_leaves_slurm_s_own_word(bench_of: MakeBench) -> None:
    bench = bench_of()
    seen = bench.outcome(Script("kill -9 $PPID; sleep 600"))
    assert (seen.outcome, seen.signal) == (Outcome.ERROR, signal.SIGKILL)
    assert seen.detail.startswith("Slurm says FAILED")


def test_a_success_without_a_record_is_none(
    cluster: Cluster, bench_of: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of()
    handle = bench.submit(leaves(0))
    assert cluster.wait(job_of(handle)) == {"COMPLETED"}
    (bench.root / "jobs" / handle.partition("@")[0] / "exit.json").unlink()
    for mark in (bench.root / "ended").iterdir():
        mark.unlink()
    seen = bench.until(handle, Phase.UNKNOWN)
    assert seen.detail == "Slurm says COMPLETED; its record is not here yet"
    monkeypatch.setattr(judge, "LAG_S", 1.0)
    assert bench.ended(handle).outcome is Outcome.LOST


def test_a_node_that_fails_or_is_drained(breakable_cluster: BreakableCluster, tmp_path: Path) -> None:
    benches = []
    for name, requeue in (("ends", False), ("again", True)):
        (tmp_path / name).mkdir()
        benches.append(SlurmBench(tmp_path / name, breakable_cluster, sbatch=["--nodelist=node3"], requeue=requeue))
    ends, again = benches
    try:
        gone, requeued = ends.submit(HANGS), training(again)
        ends.until_logged(gone)
        with breakable_cluster.node_down("node3"):
            seen = ends.ended(gone)
            assert (seen.outcome, seen.node, seen.detail) == (Outcome.NODE_FAILED, "node3", "Slurm says NODE_FAIL")
            assert until_said(again, requeued, "Slurm has requeued it").phase is Phase.QUEUED
        again.wait(lambda: len(lives(again, requeued)) == 2 or None, "the second life")
        with breakable_cluster.node_drained("node3"):
            late = ends.submit(leaves(3))
            assert until_said(ends, late, "ReqNodeNotAvail").phase is Phase.QUEUED
            assert again.see(requeued).phase is Phase.RUN
            (again.folder / "go").touch()
            assert again.ended(requeued).outcome is Outcome.OK
        assert ends.ended(late).exit_code == 3
    finally:
        for bench in benches:
            bench.close()
