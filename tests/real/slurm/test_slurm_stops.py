"""Who ends a job on a cluster, and what is said of it: the lab itself, its user, an administrator."""

import subprocess

from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import HANGS, Script, leaves
from tests.real.slurm.asking import Counter, all_ended, id_of, job_of, scontrol, submitted, trials, until_said
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import MakeBench, OnLoginNode, SlurmBench


def test_a_sweep_is_cancelled_in_one_call_for_those_that_wait_and_one_for_those_that_run(
    cluster: Cluster, bench_of: MakeBench
) -> None:
    counter = Counter(cluster, cluster.home / "labs" / "counted-stops")
    bench = bench_of(connect=lambda _: OnLoginNode(cluster, counter.path))
    sweep = {"sweep_config": {"n": [1]}, "max_parallel": 2}
    handles = submitted(bench, trials(bench, HANGS, 20, sweeps=sweep))
    other = bench.submit(HANGS)
    for handle in (*handles[:2], other):
        bench.until_logged(handle)
    bench.provider.cancel(handles)
    assert {seen.outcome for seen in all_ended(bench, handles).values()} == {Outcome.CANCELLED}
    waiting, running = counter.calls("scancel")
    assert f"{job_of(handles[0])}_[" in waiting
    assert "--signal=TERM" in running
    assert bench.see(other).phase is Phase.RUN


def test_a_job_that_waits_is_cancelled_and_leaves_the_queue(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of(sbatch=["--begin=now+1hour"])
    handles = submitted(bench, [*trials(bench, leaves(0), 5), bench.submission(leaves(7))])
    assert until_said(bench, handles[0], "waits in Slurm: BeginTime").phase is Phase.QUEUED
    bench.provider.cancel([*handles[1:3], handles[5]])
    assert {seen.outcome for seen in all_ended(bench, [*handles[1:3], handles[5]]).values()} == {Outcome.CANCELLED}
    assert {bench.see(handle).phase for handle in (handles[0], *handles[3:5])} == {Phase.QUEUED}
    assert cluster.states(job_of(handles[5])) == {"CANCELLED"}


def test_a_job_that_others_cancelled_is_cancelled_and_it_is_said_who_did(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of()
    waits = bench_of(sbatch=["--begin=now+1hour"])
    by_user, by_root = submitted(bench, trials(bench, HANGS, 2))
    queued = waits.submit(HANGS)
    for handle in (by_user, by_root):
        bench.until_logged(handle)
    cluster.run("scancel", id_of(by_user), id_of(queued))
    subprocess.run(["scancel", id_of(by_root)], check=True)
    seen = all_ended(bench, [by_user, by_root])
    assert {one.outcome for one in seen.values()} == {Outcome.CANCELLED}
    assert "by lab" in seen[by_user].detail
    assert "by root" in seen[by_root].detail
    seen_queued = waits.ended(queued)
    assert seen_queued.outcome is Outcome.CANCELLED
    assert "by lab" in seen_queued.detail


def test_a_job_that_others_requeue_goes_on_as_the_same_attempt(bench_of: MakeBench) -> None:
    bench = bench_of()
    go = bench.folder / "go"
    handle = bench.submit(Script(f"echo begun; until [ -e {go} ]; do sleep 0.1; done"))
    bench.until(handle, Phase.RUN)
    bench.until_logged(handle)
    scontrol("requeue", id_of(handle))
    until_said(bench, handle, "requeued")
    bench.until_logged(handle, b"begun\nbegun\n")
    bench.until(handle, Phase.RUN)
    go.touch()
    seen = bench.ended(handle)
    assert seen.outcome is Outcome.OK
    assert "begun again by its scheduler once" in seen.detail


def test_a_held_job_says_so_and_runs_when_it_is_released(bench_of: MakeBench) -> None:
    bench = bench_of(sbatch=["--begin=now+1hour"])
    handle = bench.submit(leaves(0))
    scontrol("hold", id_of(handle))
    assert until_said(bench, handle, "JobHeldAdmin").phase is Phase.QUEUED
    scontrol("update", f"JobId={id_of(handle)}", "StartTime=now")
    scontrol("release", id_of(handle))
    assert bench.ended(handle).outcome is Outcome.OK


def test_a_requeue_that_is_held_waits_for_whoever_holds_it(bench_of: MakeBench) -> None:
    bench: SlurmBench = bench_of()
    handle = bench.submit(HANGS)
    bench.until_logged(handle)
    scontrol("requeuehold", id_of(handle))
    assert until_said(bench, handle, "requeued in held state").phase is Phase.QUEUED
    bench.provider.cancel([handle])
    assert bench.ended(handle).outcome is Outcome.CANCELLED
