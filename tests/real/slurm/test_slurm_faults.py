"""What goes wrong between a controller and a cluster: no job is lost, none runs twice, and every trouble says what it is."""

import os
import subprocess
from pathlib import Path

import pytest

from labwright.domain.errors import LabError, OutcomeUnknown, Unavailable
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.ports.transport import Ran
from labwright.testing.provider_bench import HANGS, Script, accepted, leaves
from tests.e2e.test_crash import check
from tests.real.slurm.cluster import BreakableCluster, Cluster
from tests.real.slurm.faults import LIARS, Story
from tests.real.slurm.slurm_bench import OnLoginNode, SlurmBench


class Lying(OnLoginNode):
    """A login node whose sbatch takes every job and then does something else than saying so."""

    def __init__(self, cluster: Cluster, folder: Path, lie: str) -> None:
        super().__init__(cluster)
        self.folder = folder / "bin"
        cluster.run("mkdir", "-p", str(self.folder))
        self.sbatch = self.folder / "sbatch"
        self.sbatch.write_text(f'#!/bin/bash\n/usr/bin/sbatch "$@" >/dev/null\n{lie}\n')
        self.sbatch.chmod(0o755)
        self._as_user = [*self._as_user[:-1], f"PATH={self.folder}:/usr/bin:/bin"]


@pytest.mark.parametrize("lie", LIARS)
def test_a_job_whose_sbatch_lies_runs_once(tmp_path: Path, cluster: Cluster, lie: str) -> None:
    home = cluster.home / "labs" / f"lying-{os.getpid()}-{tmp_path.name}"
    bench = SlurmBench(tmp_path, cluster, lambda _: Lying(cluster, home, LIARS[lie]), submit_timeout=2)
    try:
        count = bench.folder / "count"
        submission = bench.submission(Script(f"echo x >>'{count}'"))
        answer = bench.provider.submit([submission])[submission.token]
        if isinstance(answer, LabError):
            assert isinstance(answer, OutcomeUnknown), answer
            found = bench.wait(lambda: bench.provider.find([submission.token])[submission.token], "the token")
            answer = found
        assert bench.ended(accepted(answer)).outcome is Outcome.OK
        assert accepted(bench.provider.submit([submission])[submission.token]) == answer
        assert count.read_text() == "x\n"
    finally:
        bench.close()


def test_a_full_disk_on_the_login_node_is_said_and_passes(tmp_path: Path, cluster: Cluster) -> None:
    workdir = cluster.home / "labs" / f"small-{os.getpid()}"
    cluster.run("mkdir", "-p", str(workdir))
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=2m,uid={workdir.stat().st_uid}", "none", str(workdir)], check=True
    )
    bench = SlurmBench(tmp_path, cluster, workdir=str(workdir), sbatch=["--begin=now+1hour"])
    try:
        files = {"data.bin": os.urandom(300_000)}
        first = accepted(bench.provider.submit([one := bench.submission(leaves(0), files=files)])[one.token])
        cluster.run("sh", "-c", f"cat /dev/zero >{workdir}/full")
        second = bench.submission(leaves(1), files={"data.bin": os.urandom(300_000)})
        answer = bench.provider.submit([second])[second.token]
        assert isinstance(answer, Unavailable)
        assert "space" in str(answer)
        assert bench.see(first).phase is Phase.QUEUED, "what is there is observed all the same"
        cluster.run("rm", f"{workdir}/full")
        handle = accepted(bench.provider.submit([second])[second.token])
        bench.provider.cancel([first, handle])
        assert {bench.ended(h).outcome for h in (first, handle)} == {Outcome.CANCELLED}
    finally:
        bench.close()
        subprocess.run(["umount", "-l", str(workdir)], check=True)


def test_a_dead_slurmctld_changes_no_state_and_raises_an_alarm(
    tmp_path: Path, breakable_cluster: BreakableCluster
) -> None:
    bench = SlurmBench(tmp_path, breakable_cluster, submit_timeout=3)
    try:
        handle, done = bench.submit(HANGS), bench.submit(leaves(0))
        bench.until_logged(handle)
        bench.ended(done)
        with breakable_cluster.without("slurmctld"):
            late = bench.submission(leaves(0))
            answer = bench.provider.submit([late])[late.token]
            assert isinstance(answer, LabError)
            bench.wait(lambda: bench.see(handle) and bench.provider.condition().alarms.get("squeue"), "an alarm")
            assert bench.see(handle).phase is Phase.RUN
            assert bench.see(done).outcome is Outcome.OK
        bench.wait(lambda: (bench.see(handle), "squeue" not in bench.provider.condition().alarms)[1] or None, "its end")
        assert bench.see(handle).phase is Phase.RUN
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED

        def again() -> Handle | None:
            made = bench.provider.submit([late])[late.token]
            return None if isinstance(made, LabError) else made

        assert bench.ended(bench.wait(again, "a slurmctld that takes jobs")).outcome is Outcome.OK
    finally:
        bench.close()


def test_without_accounting_jobs_end_as_they_should(tmp_path: Path, breakable_cluster: BreakableCluster) -> None:
    bench = SlurmBench(tmp_path, breakable_cluster)
    try:
        with breakable_cluster.without("slurmdbd"):
            assert bench.outcome(leaves(3)).exit_code == 3
            killed = bench.submit(Script("echo begun; kill -9 $PPID; sleep 60"))
            seen = bench.ended(killed)
            assert seen.outcome is Outcome.ERROR, "squeue remembers what the accounting cannot say"
    finally:
        bench.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_fault_loses_or_doubles_a_job(tmp_path: Path, breakable_cluster: BreakableCluster) -> None:
    story, outage = Story(tmp_path, breakable_cluster), float(os.environ.get("LABWRIGHT_OUTAGE", "8"))
    for met in story.recoveries(lambda _: outage):
        print(f"{met.fault}: {met.jobs} jobs complete {met.seconds:.1f} s after its end")
        assert (met.doubled, met.lost) == (0, 0), met
    check(tmp_path, story.world.repo, story.ran, story.jobs)


def test_what_a_broken_answer_means_is_not_guessed(tmp_path: Path, cluster: Cluster) -> None:
    class Cut(OnLoginNode):
        broken = False

        def run(self, argv: object, *, stdin: bytes = b"", timeout: float = 60) -> Ran:
            ran = super().run(argv, stdin=stdin, timeout=timeout)  # type: ignore[arg-type]
            return Ran(ran.code, ran.out[: len(ran.out) // 2], ran.err) if self.broken else ran

    transport = Cut(cluster)
    bench = SlurmBench(tmp_path, cluster, lambda _: transport)
    try:
        handle = bench.submit(HANGS)
        bench.until_logged(handle)
        transport.broken = True
        for _ in range(20):
            try:
                assert bench.fresh().observe([handle])[handle].phase not in (Phase.MISSING, Phase.ENDED)
            except Unavailable:
                continue
        transport.broken = False
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED
    finally:
        bench.close()


def test_a_limit_on_jobs_lets_in_what_fits_and_the_rest_waits(tmp_path: Path, cluster: Cluster) -> None:
    """The QOS refuses a user's sixth unfinished job, and with it a whole array that is too large."""
    bench = SlurmBench(tmp_path, cluster, qos="few", sbatch=["--begin=now+1hour"])
    try:
        batch = [bench.submission(leaves(0)) for _ in range(12)]
        answers = bench.provider.submit(batch)
        let_in = [answer for answer in answers.values() if not isinstance(answer, LabError)]
        assert 1 <= len(let_in) <= 5
        assert {type(answer) for answer in answers.values() if isinstance(answer, LabError)} == {Unavailable}
        bench.provider.cancel(let_in)
        assert {bench.ended(handle).outcome for handle in let_in} == {Outcome.CANCELLED}
        left = [s for s in batch if isinstance(answers[s.token], LabError)]
        assert any(not isinstance(answer, LabError) for answer in bench.provider.submit(left).values())
    finally:
        bench.close()
