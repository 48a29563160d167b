"""Submission through slurmrestd: what sbatch promises, kept by another way."""

import hashlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.ports.transport import Ran
from labwright.testing.process_suite import EndSuite
from labwright.testing.provider_bench import Script, accepted, leaves
from labwright.testing.provider_suite import ProviderSuite
from tests.real.slurm.asking import Counter, all_ended, id_of, job_of, shown
from tests.real.slurm.cluster import BreakableCluster, Cluster
from tests.real.slurm.conftest import MakeBench
from tests.real.slurm.slurm_bench import OnLoginNode, SlurmBench
from tests.real.slurm.tcp_proxy import Proxy

REFERENCE = "{{secret.SLURM_JWT}}"


def over_socket(cluster: Cluster, version: str = "v0.0.38") -> dict[str, object]:
    return {"rest": {"url": f"unix://{cluster.rest_socket}", "version": version}}


def over_http(cluster: Cluster, port: int = 0, version: str = "v0.0.38") -> dict[str, object]:
    rest = {"url": f"http://127.0.0.1:{port or cluster.rest_port}", "version": version, "token": REFERENCE}
    return {"rest": rest, "rest_token": cluster.token}


def answered(bench: SlurmBench, script: Script | None = None, **task: object) -> Handle | LabError:
    submission = bench.submission(script or leaves(0), task=task)
    return bench.provider.submit([submission])[submission.token]


class TestOverASocket(ProviderSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path, cluster: Cluster) -> Iterator[SlurmBench]:
        made = SlurmBench(tmp_path, cluster, **over_socket(cluster))  # type: ignore[arg-type]
        try:
            yield made
        finally:
            made.close()


class TestOverHttp(EndSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path, cluster: Cluster) -> Iterator[SlurmBench]:
        made = SlurmBench(tmp_path, cluster, **over_http(cluster, version="v0.0.37"))  # type: ignore[arg-type]
        try:
            yield made
        finally:
            made.close()


VISIBLE = ("Partition", "NumTasks", "CPUs/Task", "MinMemoryNode", "MinTmpDiskNode", "TimeLimit", "Requeue", "TresPerNode",
           "WorkDir", "Nice", "OverSubscribe", "ExcNodeList", "MailType", "NtasksPerN:B:S:C", "TRES")  # fmt: skip
ASKS: dict[str, object] = {
    "resources": {"cpus": 2, "memory": 0.2, "accelerators": "h100:2", "num_nodes": 2},
    "timeout": 600,
}
MORE = ["--begin=now+1hour", "--nice=7", "--exclude=node4", "--mail-type=FAIL", "--exclusive=user"]


@pytest.mark.parametrize("version", ["v0.0.36", "v0.0.37", "v0.0.38"])
@pytest.mark.parametrize("requeue", [True, False])
def test_slurm_is_asked_for_the_same_as_by_sbatch(
    bench_of: MakeBench, cluster: Cluster, version: str, requeue: bool
) -> None:
    settings: dict[str, object] = {"sbatch": MORE, "partition": "main", "requeue": requeue}
    by_sbatch, by_rest = bench_of(**settings), bench_of(**settings, **over_socket(cluster, version))
    found = []
    for bench in (by_sbatch, by_rest):
        handle = accepted(answered(bench, leaves(0), **ASKS))
        said = dict(shown(cluster, handle))
        said["WorkDir"] = said["WorkDir"].replace(str(bench.root), "ROOT")
        found.append({name: said.get(name) for name in VISIBLE} | {"Comment": said["Comment"]})
        assert "/batches/" in said["StdOut"]
        assert said["NumNodes"].partition("-")[0] == "2"
        bench.provider.cancel([handle])
    assert found[0] == found[1]


SEES = Script(
    'env -0 | tr "\\0\\n" "\\n " | grep -E "^(SLURM|PATH|HOME|USER|LOGNAME|SHELL|LANG|SECRET|LAB_UNLOCK|FOO)" | sort'
)
NOT_THE_SAME = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_TASK_PID", "SLURM_JOB_NAME", "SLURM_PRIO_PROCESS", "SLURM_JOB_GPUS",
                "SLURM_ARRAY_JOB_ID", "SLURM_NODELIST", "SLURM_JOB_NODELIST", "SLURMD_NODENAME", "SLURM_TOPOLOGY_ADDR")  # fmt: skip


def test_the_environment_of_a_job_is_as_clean_as_from_sbatch(bench_of: MakeBench, cluster: Cluster) -> None:
    found: list[Mapping[str, str]] = []
    for more in ({}, over_socket(cluster)):
        bench = bench_of(connect=lambda _: OnLoginNode(cluster), **more)
        handle = accepted(answered(bench, SEES, resources={"cpus": 2}, envs={"FOO": "bar"}))
        assert bench.ended(handle).outcome is Outcome.OK
        lines = bench.log(handle).decode().splitlines()
        found.append(
            {name: text for name, _, text in (line.partition("=") for line in lines) if name not in NOT_THE_SAME}
        )
    assert found[1] == found[0]
    assert found[1]["FOO"] == "bar"


def test_arrays_go_in_whole_without_sbatch(bench_of: MakeBench, cluster: Cluster, tmp_path: Path) -> None:
    counter = Counter(cluster, cluster.home / "labs" / f"rest-calls-{os.getpid()}")
    bench = bench_of(connect=lambda _: OnLoginNode(cluster, counter.path), **over_socket(cluster))
    trials = [bench.submission(Script("echo $LAB_JOB_ID")) for _ in range(7)]
    answers = [accepted(answer) for answer in bench.provider.submit(trials).values()]
    assert len({job_of(handle) for handle in answers}) == 1
    assert {seen.outcome for seen in all_ended(bench, answers).values()} == {Outcome.OK}
    assert bench.fresh().find([s.token for s in trials]) == dict(zip([s.token for s in trials], answers, strict=True))
    assert counter.calls("sbatch") == []


def test_of_an_array_that_waits_one_element_is_cancelled(bench_of: MakeBench, cluster: Cluster) -> None:
    bench = bench_of(sbatch=["--begin=now+1hour"], **over_http(cluster))
    trials = [bench.submission(leaves(0)) for _ in range(3)]
    handles = [accepted(answer) for answer in bench.provider.submit(trials).values()]
    bench.provider.cancel(handles[1:2])
    assert bench.ended(handles[1]).outcome is Outcome.CANCELLED
    waiting = cluster.run("squeue", "-h", "-r", "-t", "pending", "-j", job_of(handles[0]), "-o", "%i").stdout.split()
    assert sorted(waiting) == sorted(id_of(handle) for handle in (handles[0], handles[2]))
    bench.provider.cancel(handles)


@pytest.mark.parametrize("after", [-1, 0, 30])
def test_a_job_whose_answer_is_lost_runs_once(bench_of: MakeBench, cluster: Cluster, after: int) -> None:
    with Proxy(cluster.rest_port) as proxy:
        bench = bench_of(submit_timeout=5, **over_http(cluster, proxy.port))
        count = bench.folder / "count"
        submission = bench.submission(Script(f"echo x >>'{count}'"))
        with proxy.losing_answers(after=after):
            answer = bench.provider.submit([submission])[submission.token]
        if isinstance(answer, LabError):  # slurmrestd had not handed it on when its name was looked up
            assert isinstance(answer, OutcomeUnknown), answer
            answer = bench.wait(lambda: bench.provider.find([submission.token])[submission.token], "the token")
        assert bench.ended(accepted(answer)).outcome is Outcome.OK
        assert bench.fresh().submit([submission])[submission.token] == answer
        assert count.read_text() == "x\n"


class Forgetful(OnLoginNode):
    """A login node that breaks off before ids are written down."""

    broken = True

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        if self.broken and "settle" in argv:
            raise OutcomeUnknown("the connection broke")
        return super().run(argv, stdin=stdin, timeout=timeout)


def test_a_job_whose_id_was_not_written_down_is_found_by_its_name(bench_of: MakeBench, cluster: Cluster) -> None:
    login = Forgetful(cluster)
    bench = bench_of(connect=lambda _: login, **over_http(cluster))
    count = bench.folder / "count"
    submission = bench.submission(Script(f"echo x >>'{count}'"))
    handle = accepted(bench.provider.submit([submission])[submission.token])
    assert not [*bench.root.glob("batches/*/jobid")]
    login.broken = False
    assert bench.fresh().find([submission.token])[submission.token] == handle
    assert bench.fresh().submit([submission])[submission.token] == handle
    assert bench.ended(handle).outcome is Outcome.OK
    assert count.read_text() == "x\n"


def test_nobody_at_the_address_is_unavailable_and_passes(bench_of: MakeBench, cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bench = bench_of(**over_http(cluster, port))
    submission = bench.submission(leaves(0))
    answer = bench.provider.submit([submission])[submission.token]
    assert isinstance(answer, Unavailable)
    assert f"nobody answers at http://127.0.0.1:{port}" in str(answer)
    assert not [*bench.root.glob("batches/*")], "nothing is laid down in vain"
    with Proxy(cluster.rest_port, port):
        assert bench.ended(accepted(bench.provider.submit([submission])[submission.token])).outcome is Outcome.OK


def test_a_slurmrestd_that_was_stopped_is_unavailable_until_it_is_back(
    tmp_path: Path, breakable_cluster: BreakableCluster
) -> None:
    bench = SlurmBench(tmp_path, breakable_cluster, **over_socket(breakable_cluster))  # type: ignore[arg-type]
    try:
        submission = bench.submission(leaves(0))
        with breakable_cluster.without("slurmrestd", signal="KILL"):
            assert isinstance(bench.provider.submit([submission])[submission.token], Unavailable)
        assert bench.ended(accepted(bench.provider.submit([submission])[submission.token])).outcome is Outcome.OK
        with breakable_cluster.without("slurmctld"):
            late = bench.submission(leaves(0))
            assert isinstance(bench.provider.submit([late])[late.token], OutcomeUnknown | Unavailable)
    finally:
        bench.close()


@pytest.mark.parametrize("token", ["forged", "of another", "run out", "no token"])
def test_a_wrong_token_is_refused_with_words(bench_of: MakeBench, cluster: Cluster, token: str) -> None:
    good = cluster.token(seconds=1 if token == "run out" else 600)
    given = {
        "forged": good[:-8] + "AAAAAAAA",
        "of another": cluster.as_user("ada").token(),
        "run out": good,
        "no token": "hunter2",
    }[token]
    time.sleep(2 if token == "run out" else 0)
    bench = bench_of(**{**over_http(cluster), "rest_token": lambda: given})
    answer = answered(bench)
    assert isinstance(answer, Refused), answer
    assert "rest.token ({{secret.SLURM_JWT}})" in str(answer)
    assert given not in str(answer)


def test_a_slurmrestd_of_another_user_is_refused_before_anything_is_sent(tmp_path: Path, cluster: Cluster) -> None:
    bench = SlurmBench(tmp_path, cluster.as_user("ada"), **over_socket(cluster))  # type: ignore[arg-type]
    try:
        answer = answered(bench)
        assert isinstance(answer, Refused), answer
        assert "runs as lab" in str(answer)
        assert not [*bench.root.glob("batches/*")]
    finally:
        bench.close()


def test_on_several_nodes_the_job_runs_on_each(bench_of: MakeBench, cluster: Cluster) -> None:
    bench = bench_of(**over_socket(cluster))
    handle = accepted(
        answered(bench, Script('echo "$NODE_RANK of $WORLD_SIZE"'), resources={"num_nodes": 2, "cpus": 2})
    )
    assert bench.ended(handle).outcome is Outcome.OK
    assert sorted(bench.log(handle).decode().splitlines()) == ["0 of 2", "1 of 2"]


def test_a_multi_line_script_with_every_character_arrives_as_it_is(bench_of: MakeBench, cluster: Cluster) -> None:
    text = "".join(map(chr, range(32, 127))) + "äé€😀"
    bench = bench_of(**over_socket(cluster))
    handle = accepted(answered(bench, Script("cat <<'END'\n" + text + "\nEND"), envs={"ODD": text}))
    assert bench.ended(handle).outcome is Outcome.OK
    assert bench.log(handle).decode() == text + "\n"


REFUSALS = {
    "a partition that is not there": ({"partition": "nope"}, "Invalid partition name"),
    "an account that is not there": ({"account": "nope"}, "Invalid account"),
    "a reservation that is not there": ({"reservation": "nope"}, "reservation"),
    "an option that the API does not have": ({"sbatch": ["--switches=1"]}, "has nothing for --switches"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_slurm_refuses_is_refused_in_its_words(bench_of: MakeBench, cluster: Cluster, what: str) -> None:
    settings, words = REFUSALS[what]
    answer = answered(bench_of(**settings, **over_socket(cluster)))
    assert isinstance(answer, Refused), answer
    assert words in str(answer)


def test_a_version_that_it_does_not_have_is_refused(bench_of: MakeBench, cluster: Cluster) -> None:
    answer = answered(bench_of(**over_socket(cluster, "v0.0.43")))
    assert isinstance(answer, Refused)
    assert "has no API v0.0.43" in str(answer)


def test_arrays_that_a_limit_refuses_go_in_as_far_as_they_fit(bench_of: MakeBench, cluster: Cluster) -> None:
    bench = bench_of(partition="few", sbatch=["--begin=now+1hour"], **over_socket(cluster))
    trials = [bench.submission(leaves(0)) for _ in range(8)]
    answers = bench.provider.submit(trials)
    inside = [answer for answer in answers.values() if not isinstance(answer, LabError)]
    bench.provider.cancel(inside)
    assert 0 < len(inside) < 8
    assert all(isinstance(answer, Unavailable) for answer in answers.values() if isinstance(answer, LabError))


def test_secrets_reach_the_job_and_no_file(bench_of: MakeBench, cluster: Cluster) -> None:
    bench = bench_of(**over_http(cluster))
    seen: list[str] = []
    bench.rest_token = lambda: seen.append(cluster.token()) or seen[-1]
    bench.provider = bench.fresh()
    submission = bench.submission(
        Script('printf %s "$KEY" | sha256sum'), task={"envs": {"KEY": "{{secret.KEY}}"}}, secrets={"KEY": "tell-nobody"}
    )
    handle = accepted(bench.provider.submit([submission])[submission.token])
    assert bench.ended(handle).outcome is Outcome.OK
    assert bench.log(handle).decode().split()[0] == hashlib.sha256(b"tell-nobody").hexdigest()
    for path, data in bench.left_behind():
        assert b"tell-nobody" not in data, path
        assert seen[0].encode() not in data, path
