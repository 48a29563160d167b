"""A person with a lab repository and a cluster: what `lab doctor` says of it, and what becomes of jobs that nobody knows."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.slurm import Ours, SlurmProvider
from labwright.domain import lab as domain_lab
from labwright.domain.ids import Handle, JobId, token
from labwright.domain.job import Move
from labwright.domain.lifecycle import Outcome, State
from labwright.domain.task import Task
from labwright.ports.provider import Submission
from labwright.testing.provider_bench import Blobs, accepted
from tests.e2e.lab_world import LabWorld
from tests.real.slurm.cluster import BreakableCluster, Cluster
from tests.real.slurm.slurm_bench import OnLoginNode

pytestmark = pytest.mark.slow
Make = Callable[..., LabWorld]
Found = dict[str, dict[str, str]]


def settings(cluster: Cluster, /, **more: Any) -> str:
    """lab.yaml; JSON is YAML."""
    key = " ".join(cluster.known_hosts.split()[1:])
    way = {"host": cluster.host, "port": cluster.ssh_port, "user": cluster.user, "ssh_key": str(cluster.key)}
    quick = {"grace": 2, "poll": 1, "notice": 0}
    made = {"type": "slurm", **way, "host_key": key, **quick, **more}
    provider = {name: value for name, value in made.items() if value is not None}
    return json.dumps({"name": f"m{os.getpid()}", "providers": {"cluster": provider}, "default_provider": "cluster"})


@pytest.fixture
def make_lab(tmp_path: Path, slurm: Cluster) -> Iterator[Make]:
    workdir = slurm.home / "labs" / f"manage-{os.getpid()}-{tmp_path.name}"

    def make(files: dict[str, str] | None = None, **more: Any) -> LabWorld:
        made = LabWorld(tmp_path)
        made.commit({"lab.yaml": settings(slurm, **{"workdir": str(workdir), **more}), **(files or {})})
        return made

    yield make
    shutil.rmtree(workdir, ignore_errors=True)


def doctor(world: LabWorld, *args: str, code: int = 0) -> Found:
    found = world.json("doctor", "cluster", *args, code=code)
    assert all(one["mend"] for one in found if one["result"] != "ok"), found
    return {one["check"]: one for one in found}


# lab doctor


def test_doctor_finds_nothing_to_mend_and_leaves_nothing_behind(cluster: Cluster, make_lab: Make) -> None:
    world = make_lab(partition="main", spot_partition="spot")
    found = doctor(world)
    assert {name: one for name, one in found.items() if one["result"] == "fail"} == {}
    assert found["login"]["text"].endswith("as lab")
    assert "4 of 4 nodes" in found["partition"]["text"]
    assert "lab in vision" in found["account"]["text"]
    assert found["sbatch"]["text"].startswith("takes a small job")
    assert "in partition spot" in found["sbatch, spot"]["text"]
    assert "gres: {H100: h100}" in found["GPUs"]["mend"]
    assert not list((cluster.home / "labs").glob(f"manage-{os.getpid()}-*"))
    assert not list((cluster.home / "labs").glob(".lab-doctor*"))


def test_doctor_s_job_looks_at_a_node(cluster: Cluster, make_lab: Make) -> None:
    found = doctor(make_lab(), "--submit")
    assert "ran on node" in found["probe job"]["text"]
    assert (found["shared"]["result"], found["node clock"]["result"]) == ("ok", "ok")
    assert found["node bash"]["result"] == "ok"
    assert "lab-doctor" not in cluster.run("squeue", "--me", "-h", "-o", "%j").stdout
    assert not list((cluster.home / "labs").glob(f"manage-{os.getpid()}-*/*/.doctor*"))


def test_doctor_s_job_proves_that_nodes_do_not_see_a_folder(cluster: Cluster, make_lab: Make) -> None:
    mine = f"/tmp/manage-{os.getpid()}"  # each machine of the test-bed has a /tmp of its own
    found = doctor(make_lab(workdir=mine), "--submit", code=1)
    assert found["shared"]["result"] == "fail"
    assert "nothing that it wrote" in found["shared"]["text"]
    assert "login and compute nodes share" in found["shared"]["mend"]
    assert not cluster.ssh(f"ls -A {mine} 2>/dev/null").stdout


@pytest.mark.parametrize(
    ("more", "check", "text", "mend"),
    [
        ({"ssh_key": "/nowhere/key"}, "key", "there is no such key file", "private key"),
        ({"port": 1}, "host", "Connection refused", "host"),
        ({"host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "host key", "CHANGED", "ask the site"),
        ({"host_key": "rubbish", "transport": "openssh"}, "host", "is not a host key", "ssh-keyscan"),
        ({"host_key": None}, "host key", "not known", 'host_key: "ssh-ed25519 AAAA'),
        ({"user": "ada"}, "login", "login refused", "ssh ada@"),
        ({"partition": "nope"}, "partition", "no such partition", "main, spot, spotgrace, few"),
        ({"account": "speech"}, "account", "lab may not use speech", "vision"),
        ({"qos": "gold"}, "account", "QOS gold", "few, normal"),
        ({"gres": {"A100": "a100"}}, "gres", "no node has GPUs of type a100", "h100"),
        ({"workdir": "/root/lab"}, "workdir", "cannot be written", "workdir"),
        ({"sbatch": ["--licenses=matlab:1"]}, "sbatch", "license", "sbatch --test-only"),
    ],
)  # fmt: skip
def test_doctor_says_what_is_wrong_and_how_to_mend_it(
    cluster: Cluster, make_lab: Make, more: dict[str, Any], check: str, text: str, mend: str
) -> None:
    found = doctor(make_lab(**more), code=1)[check]
    assert (found["result"], text in found["text"], mend in found["mend"]) == ("fail", True, True), found


def test_doctor_knows_a_key_with_a_passphrase_and_one_that_others_read(
    cluster: Cluster, make_lab: Make, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "secret", "-f", str(locked)], check=True)
    found = doctor(make_lab(ssh_key=str(locked)), code=1)
    assert list(found) == ["key"]
    assert "passphrase" in found["key"]["text"]
    assert "ssh-add" in found["key"]["mend"]
    shutil.copy(cluster.key, tmp_path / "open")
    (tmp_path / "open").chmod(0o644)
    found = doctor(make_lab(ssh_key=str(tmp_path / "open")))
    assert (found["key"]["result"], found["key"]["mend"]) == ("warn", f"chmod 600 {tmp_path / 'open'}")
    strict = doctor(make_lab(ssh_key=str(tmp_path / "open"), transport="openssh"), code=1)
    assert strict["key"]["result"] == "fail"


def test_doctor_asks_slurmrestd_where_that_is_what_submits(cluster: Cluster, make_lab: Make) -> None:
    found = doctor(make_lab(rest={"url": f"unix://{cluster.rest_socket}"}))
    assert (found["slurmrestd"]["result"], "the word of lab" in found["slurmrestd"]["text"]) == ("ok", True)
    found = doctor(make_lab(rest={"url": "http://127.0.0.1:1"}), code=1)
    assert "nobody answers" in found["slurmrestd"]["text"]


def test_doctor_goes_the_way_of_ssh_s_own_configuration(cluster: Cluster, make_lab: Make) -> None:
    found = doctor(make_lab(transport="openssh"))
    assert found["login"]["text"].endswith("as lab")
    assert "pinned in lab.yaml" in found["host key"]["text"]


def test_doctor_looks_at_what_each_user_has_of_their_own(cluster: Cluster, make_lab: Make) -> None:
    ada = cluster.as_user("ada")
    own = {"user": "ada", "ssh_key": str(ada.key), "account": "vision", "workdir": "~/labs"}
    found = doctor(make_lab(users={"ada@example.org": own}), code=1)
    assert found["ada: login"]["text"].endswith("as ada")
    assert "ada may not use vision" in found["ada: account"]["text"]
    assert found["ada: sbatch"]["result"] == "fail"
    assert found["account"]["result"] == "ok"


def test_doctor_of_everything_has_a_cluster_in_short(cluster: Cluster, make_lab: Make) -> None:
    world = make_lab()
    found = {one["check"]: one for one in world.json("doctor")}
    assert found["provider cluster"]["text"].startswith("slurm, ")
    assert "as lab" in found["provider cluster"]["text"]
    world.edit("lab.yaml", '"type": "slurm"', '"type": "slurm", "partition": "nope"')
    found = {one["check"]: one for one in world.json("doctor", code=1)}
    assert "no such partition" in found["provider cluster: partition"]["text"]
    assert "provider cluster" not in found


def test_doctor_says_which_daemon_is_away(breakable_cluster: BreakableCluster, make_lab: Make) -> None:
    world = make_lab()
    with breakable_cluster.without("slurmdbd"):
        found = doctor(world)
        assert found["accounting"]["result"] == "warn"
        assert "keep their state" in found["accounting"]["text"]
    with breakable_cluster.without("slurmctld"):
        found = doctor(world, code=1)
        assert found["slurmctld"]["result"] == "fail"
        assert "Unable to contact slurm controller" in found["slurmctld"]["text"]
        assert "partition" not in found
        assert found["workdir"]["result"] == "ok"


def test_doctor_refuses_a_provider_that_lab_yaml_does_not_have(cluster: Cluster, make_lab: Make) -> None:
    world = make_lab()
    assert "it has: cluster" in world.lab("doctor", "clutser", code=3).stderr
    assert "needs the name" in world.lab("doctor", "--submit", code=3).stderr


# lab status, jobs and show


WAITS = {"sbatch": ["--begin=now+1hour"]}
SWEEP = "name: s\nsweeps: {sweep_config: {x: [1, 2, 3]}}\nrun: sleep 600\n"


def test_what_waits_in_slurm_says_why_and_until_when(cluster: Cluster, make_lab: Make) -> None:
    world = make_lab({"experiments/a/sweep/task.yaml": SWEEP}, **WAITS)
    with world.controller("--launch-existing"):

        def said() -> list[dict[str, Any]]:
            return [job for job in world.json("status")["running"] if "waits in Slurm: BeginTime" in job["reason"]]

        world.until(lambda: len(said()) == 3)
        seen = world.json("status")
        assert {job["state"] for job in seen["running"]} == {"QUEUED"}
        assert all(
            re.search(r", expected to start by 20\d\d-\d\d-\d\d \d\d:\d\d UTC$", job["reason"]) for job in said()
        )
        text = world.lab("status").stdout
        assert "queued 3 × a/sweep: waits in Slurm: BeginTime, expected" in text
        assert "running" not in text.lower().replace("process", "")
        (job, *_) = world.json("jobs")
        assert (job["state"], job["reason"].startswith("waits in Slurm: BeginTime")) == ("QUEUED", True)
        assert world.json("show", job["job"])["reason"] == job["reason"]
        assert "waits in Slurm: BeginTime" in world.lab("show", job["job"]).stdout.splitlines()[0]
        assert "queued at cluster: waits in Slurm" in world.lab("why", job["job"]).stdout
        assert "squeue every 1 s while jobs are there" in seen["notes"]["cluster"]["slurmctld"]
        assert re.search(r"cluster: squeue every 1 s .* \d+ calls in the last minute", text)
        world.lab("stop", "--all")
        world.until(lambda: {job["state"] for job in world.jobs()} == {"STOPPED"})


def test_a_cluster_that_is_away_is_an_alarm_in_words_and_over_when_it_is_back(
    breakable_cluster: BreakableCluster, make_lab: Make
) -> None:
    world = make_lab({"experiments/a/hangs/task.yaml": HANGS})
    with world.controller("--launch-existing"):
        world.until(lambda: [job for job in world.jobs() if job["state"] == "RUNNING"])
        with breakable_cluster.without("slurmctld"):
            world.until(lambda: alarms(world))
            print(world.lab("status", COLUMNS="200").stdout)
            (message,) = alarms(world).values()
            assert message.startswith("slurmctld does not answer"), message
            assert "jobs keep their states meanwhile" in message
            assert [job["state"] for job in world.jobs()] == ["RUNNING"]
        world.until(lambda: not alarms(world))
        with breakable_cluster.without("sshd"):
            breakable_cluster.cut_connections()
            world.until(lambda: alarms(world))
            print(world.lab("status", COLUMNS="200").stdout)
            assert any("127.0.0.1" in message for message in alarms(world).values())
        world.until(lambda: not alarms(world))
        world.lab("stop", "--all")
        world.until(lambda: {job["state"] for job in world.jobs()} == {"STOPPED"})


# orphans


HANGS = "name: hangs\nrun: sleep 600\ntimeout: 20m\nretry: {lost: 0}\n"


def alarms(world: LabWorld) -> dict[str, str]:
    return world.json("status")["alarms"]


def queued(cluster: Cluster, *jobs: str) -> set[str]:
    """Of Slurm's jobs those that are in its queue."""
    there = cluster.run("squeue", "--me", "-h", "-o", "%A").stdout.split()
    return set(jobs) & set(there)


def stranger(cluster: Cluster, world: LabWorld) -> tuple[SlurmProvider, Handle]:
    """A job of this lab, and a provider that has it: made as another controller of it would, on a state that is gone."""
    (name, provider), *_ = json.loads((world.repo / "lab.yaml").read_text())["providers"].items()
    blobs, lab = Blobs(), json.loads((world.repo / "lab.yaml").read_text())["name"]
    job = JobId("b" * 12)
    ours = Ours(world.top / "other", lab, str(world.repo))
    made = SlurmProvider(
        name,
        domain_lab.SlurmProvider.model_validate(provider),
        ours,
        blobs.read,
        SystemClock(),
        lambda _: OnLoginNode(cluster),
    )
    submission = Submission(
        token=token(lab, job, 1), job=job, attempt=1, task_path="x/y", task=Task(name="x", run="sleep 600"), bundle=blobs.bundle({}),
        parameters={}, variables={},
    )  # fmt: skip
    return made, accepted(made.submit([submission])[submission.token])


def test_jobs_that_the_ledger_never_knew_are_told_and_foreign_jobs_are_nobody_s(
    cluster: Cluster, make_lab: Make
) -> None:
    world = make_lab()
    lab = json.loads((world.repo / "lab.yaml").read_text())["name"]
    foreign = [
        cluster.sbatch(f"-J{name}", wrap="sleep 600") for name in (f"{lab}-{'c' * 12}-1", f"{lab}-notes", "mine")
    ]
    provider, orphan = stranger(cluster, world)
    try:
        with world.controller():
            said = world.until(lambda: alarms(world).get("provider cluster: orphans"))
            assert f"1 job is ({orphan}) there and unknown to the ledger: `lab rebuild`" in said
            assert f"! provider cluster: orphans: 1 job is ({orphan})" in " ".join(
                world.lab("status", COLUMNS="400").stdout.split()
            )
        (ours,) = provider.list().values()
        assert ours == orphan, "it was left alone"
        assert queued(cluster, *foreign) == set(foreign)
        provider.cancel([orphan])
        world.until(lambda: provider.list() == {})
        assert queued(cluster, *foreign) == set(foreign)
        with world.controller():
            world.until(lambda: '"baseline"' in world.log() or '"serving"' in world.log())
            assert "provider cluster: orphans" not in alarms(world)
    finally:
        cluster.run("scancel", *foreign)


def test_an_attempt_that_was_given_up_and_runs_is_cancelled(cluster: Cluster, make_lab: Make) -> None:
    world = make_lab({"experiments/a/hangs/task.yaml": HANGS})
    with world.controller("--launch-existing"):
        world.until(lambda: [job for job in world.jobs() if job["state"] == "RUNNING"])
    (name,) = {
        line
        for line in cluster.run("squeue", "--me", "-h", "-o", "%j").stdout.split()
        if line.startswith(f"m{os.getpid()}-")
    }
    give_up(world)
    with world.controller():
        world.until(lambda: '"orphan"' in world.log())
        world.until(lambda: name not in cluster.run("squeue", "--me", "-h", "-o", "%j").stdout.split())
    assert [job["state"] for job in world.jobs()] == ["FAILED"]


def give_up(world: LabWorld) -> None:
    """The ledger as it is hours after a provider did not know the only attempt any more."""
    from labwright.adapters.ledgers.sql.ledger import SqlLedger

    (path,) = (world.top / "state").glob("*/ledger.sqlite3")
    ledger = SqlLedger.open(path)
    (job,), (attempt,) = ledger.jobs(), ledger.attempts()
    then = SystemClock().now() - timedelta(hours=2)
    over = replace(attempt, outcome=Outcome.LOST, ended=then, collected=True, published=True)
    with ledger.transaction():
        (lost,) = ledger.move([Move(job, State.LOST, "gone", then)])
        ledger.move([Move(lost, State.FAILED, "lost", then, over)])
    ledger.close()
