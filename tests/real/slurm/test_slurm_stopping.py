"""Stopping some of an array: those that run and those that wait, and nobody else."""

from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import Script, accepted
from tests.real.slurm.asking import all_ended, job_of
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import MakeBench


def test_of_an_array_those_that_run_and_those_that_wait_are_stopped_and_no_other(
    cluster: Cluster, bench_of: MakeBench
) -> None:
    bench = bench_of()
    foreign = bench_of(sbatch=["--begin=now+1hour"]).submit(Script("true"))
    script = Script("if ((LAB_PARAM_N == 0)); then echo begun; sleep 600; fi; echo $LAB_PARAM_N")
    task = {"sweeps": {"sweep_config": {"n": [1]}, "max_parallel": 1}}
    trials = [bench.submission(script, parameters={"n": n}, task=task) for n in range(6)]
    answers = bench.provider.submit(trials)
    handles = [accepted(answers[trial.token]) for trial in trials]
    bench.until(handles[0], Phase.RUN)
    bench.provider.cancel([handles[n] for n in (0, 2, 3, 5)])
    seen = all_ended(bench, handles)
    assert [seen[h].outcome for h in handles] == [Outcome.OK if n in (1, 4) else Outcome.CANCELLED for n in range(6)]
    assert [bench.log(h) for h in handles] == [b"begun\n", b"1\n", b"", b"", b"4\n", b""]
    left = cluster.run("squeue", "-h", "-t", "pending", "-j", job_of(foreign), "-o", "%T").stdout.split()
    assert left == ["PENDING"], "another job of the same user"
