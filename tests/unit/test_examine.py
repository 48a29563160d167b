"""What `lab doctor` makes of a cluster's answers."""

from collections.abc import Iterable
from typing import Any

import pytest

from labwright.adapters.providers.slurm import examine_login, examine_slurm
from labwright.adapters.providers.slurm.examined import Report, read
from labwright.domain.finding import FAIL, OK, WARN, Finding
from labwright.domain.slurm import Account, SlurmProvider

TOOLS = """timeout head stat tar find xargs grep mktemp realpath sha256sum gzip setsid flock openssl uv
sbatch squeue scancel sacct sinfo scontrol sacctmgr"""
ANSWER = """\
user	ada
node	login1
system	Linux x86_64
bash	4.4.20(1)-release
works timeout	1
works head	1
works stat	1
works sha256sum	1
works find	1
works xargs	1
works tar	1
works openssl	1
home	/home/ada
root	/home/ada/labwright/demo
there	/home/ada/labwright/demo
owner	git@example.org:demo
writable	1
works write	1
works link	1
works symlink	1
works rename	1
works flock	1
kind	nfs
space	server:/export 2000000000000 1000000000000 1000000000000      50% /home
inodes	server:/export 16777216 732541 16044675    5% /home
version	slurm 23.11.4
answered version	1
assoc	ml||high,normal|normal|
assoc	teaching||normal||20
answered assoc	1
default	ml
answered default	1
qos	normal|
qos	high|10
qos	few|5
answered qos	1
answered sacct	1
config	AccountingStorageEnforce = associations,limits,qos
config	AccountingStorageType = accounting_storage/slurmdbd
config	ClusterName = big
config	KillWait = 30 sec
config	MaxArraySize = 1001
config	MaxJobCount = 10000
config	MinJobAge = 300 sec
config	PreemptMode = REQUEUE
answered config	1
partition	PartitionName=cpu AllowAccounts=ALL Default=YES QoS=N/A GraceTime=0 MaxTime=2-00:00:00 PreemptMode=OFF State=UP
partition	PartitionName=gpu AllowAccounts=ALL Default=NO QoS=few GraceTime=0 MaxTime=UNLIMITED PreemptMode=OFF State=UP
partition	PartitionName=spot AllowAccounts=ALL Default=NO QoS=N/A GraceTime=60 MaxTime=1-00:00:00 PreemptMode=REQUEUE State=UP
partition	PartitionName=old AllowAccounts=ALL Default=NO QoS=N/A GraceTime=0 MaxTime=1-00:00:00 PreemptMode=OFF State=DRAIN
answered partition	1
nodes	cpu|up|64|256000|(null)|2-00:00:00|10|mix|2:32:1
nodes	cpu|up|64|256000|(null)|2-00:00:00|2|down*|2:32:1
nodes	gpu|up|64|512000|gpu:a100_80:4(S:0-1)|infinite|4|idle|2:32:1
nodes	gpu|up|64|512000|gpu:a100_40:8|infinite|1|drain|2:32:1
nodes	gpu|up|64|512000|gpu:nvidia_h100_80gb_hbm3:8|infinite|1|alloc|2:32:1
answered nodes	1
mine	RUNNING
mine	PENDING
answered mine	1
""" + "".join(f"tool {name}\t/usr/bin/{name}\n" for name in TOOLS.split())


def changed(*pairs: tuple[str, str]) -> Report:
    text = ANSWER
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return read(text.encode())


def settings(**more: Any) -> SlurmProvider:
    return SlurmProvider.model_validate({"type": "slurm", **more})


def cluster(*pairs: tuple[str, str], who: Account | None = None, **more: Any) -> dict[str, Finding]:
    return _by_check(examine_slurm.cluster(changed(*pairs), settings(**more), who))


def login(*pairs: tuple[str, str], owner: str = "git@example.org:demo", secrets: bool = False) -> dict[str, Finding]:
    report = changed(*pairs)
    found = [*examine_login.tools(report), *examine_login.extras(report, secrets=secrets, sure=False)]
    return _by_check([*found, *examine_login.folder(report, owner, submitted=False)])


def _by_check(found: Iterable[Finding]) -> dict[str, Finding]:
    listed = list(found)
    assert all(f.mend for f in listed if f.result != OK), "each that is not well says how to mend it"
    return {finding.check: finding for finding in listed}


def test_a_cluster_that_is_well_has_nothing_to_mend() -> None:
    found = {**login(), **cluster()}
    assert {f.result for f in found.values()} == {OK}
    assert "partition: cpu, the cluster's default: up, 10 of 12 nodes" in f"partition: {found['partition'].text}"
    assert found["workdir"].text == "/home/ada/labwright/demo, 1 TB free"
    assert "2 jobs of this user there now" in found["load"].text


@pytest.mark.parametrize(
    ("old", "new", "check", "result", "text"),
    [
        ("bash\t4.4.20", "bash\t4.2.46", "bash", FAIL, "4.2.46"),
        ("works sha256sum\t1", "works sha256sum\t0", "tools", FAIL, "sha256sum"),
        ("tool xargs\t/usr/bin/xargs", "tool xargs\t", "tools", FAIL, "xargs"),
        ("tool sbatch\t/usr/bin/sbatch", "tool sbatch\t", "commands", FAIL, "sbatch"),
        ("tool sacct\t/usr/bin/sacct", "tool sacct\t", "commands", WARN, "sacct"),
        ("slurm 23.11.4", "slurm 20.11.9", "version", WARN, "20.11"),
        ("works openssl\t1", "works openssl\t0", "openssl", WARN, "secrets"),
        ("tool flock\t/usr/bin/flock", "tool flock\t", "flock", WARN, "environment"),
        ("writable\t1", "writable\tmktemp: Permission denied", "workdir", FAIL, "Permission denied"),
        ("owner\tgit@example.org:demo", "owner\tgit@example.org:other", "workdir", FAIL, "belongs to the lab of"),
        ("works write\t1", "works write\t0", "workdir", FAIL, "quota"),
        ("1000000000000      50%", "100000000      50%", "workdir", FAIL, "100 MB free"),
        ("16044675    5%", "300    99%", "workdir", WARN, "300 inodes"),
        ("works link\t1", "works link\t0", "file system", WARN, "copied"),
        ("works flock\t1", "works flock\t0", "file system", WARN, "environment"),
        ("kind\tnfs", "kind\txfs", "shared", WARN, "login node alone"),
    ],
)
def test_what_a_login_node_lacks_is_said(old: str, new: str, check: str, result: str, text: str) -> None:
    found = login((old, new))[check]
    assert (found.result, text in found.text) == (result, True), found


def test_a_folder_of_another_lab_is_no_matter_for_who_only_looks() -> None:
    assert login(owner="")["workdir"].result == OK


@pytest.mark.parametrize(
    ("more", "check", "result", "text"),
    [
        ({"partition": "fast"}, "partition", FAIL, "no such partition"),
        ({"partition": "old"}, "partition", FAIL, "DRAIN"),
        ({"spot_partition": "cheap"}, "spot_partition", FAIL, "no such partition"),
        ({"account": "physics"}, "account", FAIL, "may not use physics"),
        ({"account": "teaching", "qos": "high"}, "account", FAIL, "QOS high in teaching"),
        ({"account": "ml", "qos": "high"}, "account", OK, "ada in ml; QOS high"),
        ({"account": "teaching"}, "jobs at once", WARN, "at most 20"),
        ({"qos": "high"}, "jobs at once", WARN, "at most 10"),
        ({"partition": "gpu"}, "jobs at once", WARN, "QOS few: at most 5"),
        ({"partition": "gpu", "submit_max": 5}, "jobs at once", OK, "at most 5"),
        ({"grace": "1m"}, "grace", WARN, "KillWait is 30 s"),
        ({"spot_partition": "spot"}, "preemption", OK, "60 s after they are told: Slurm starts the same attempt again"),
        ({"spot_partition": "spot", "requeue": False}, "preemption", OK, "retry.preempted"),
        ({"spot_partition": "cpu"}, "preemption", OK, "not preempted"),
        ({"gres": {"A100": "a100"}}, "gres", FAIL, "A100: no node has GPUs of type a100"),
    ],
)
def test_what_lab_yaml_asks_and_the_cluster_does_not_give_is_said(
    more: dict[str, Any], check: str, result: str, text: str
) -> None:
    found = cluster(**more)[check]
    assert (found.result, text in found.text) == (result, True), found


@pytest.mark.parametrize(
    ("old", "new", "check", "result", "text"),
    [
        ("answered config\t1", "trouble config\tUnable to contact slurm controller", "slurmctld", FAIL, "Unable to contact"),
        ("answered sacct\t1", "trouble sacct\tConnection refused", "accounting", WARN, "keep their state"),
        ("accounting_storage/slurmdbd", "accounting_storage/none", "accounting", OK, "300 s more"),
        ("Default=YES", "Default=NO", "partition", FAIL, "no default"),
        ("|10|mix|", "|10|drain|", "partition", WARN, "0 of 12 nodes"),
        ("KillWait = 30 sec", "KillWait = 5 sec", "grace", WARN, "KillWait is 5 s"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_cluster_is_said(old: str, new: str, check: str, result: str, text: str) -> None:
    found = cluster((old, new))[check]
    assert (found.result, text in found.text) == (result, True), found


def test_without_accounting_slurm_should_remember_ended_jobs_for_a_while() -> None:
    found = cluster(("accounting_storage/slurmdbd", "accounting_storage/none"), ("= 300 sec", "= 10 sec"))["accounting"]
    assert (found.result, "10 s more" in found.text) == (WARN, True)


def test_a_user_without_an_account_is_refused_only_where_accounts_are_enforced() -> None:
    gone = [("assoc\tml||high,normal|normal|\n", ""), ("assoc\tteaching||normal||20\n", "")]
    assert cluster(*gone)["account"].result == FAIL
    free = cluster(*gone, ("= associations,limits,qos", "= none"))["account"]
    assert (free.result, "sbatch alone" in free.text) == (OK, True)


def test_of_one_of_the_users_only_what_is_their_own_is_said() -> None:
    assert list(cluster(who=Account(user="ada", account="physics"))) == ["account"]


def test_alike_gpus_are_told_apart_by_their_types() -> None:
    assert "gres: {A100_40: a100_40, A100_80: a100_80, H100: nvidia_h100_80gb_hbm3}" in cluster()["GPUs"].mend
    known = {"A100": "a100_40"}
    assert examine_slurm.proposed(["a100_40", "a100_80"], known) == "A100_80: a100_80"
    assert examine_slurm.proposed(["a100_40"], known) == ""


def test_the_proposed_lines_are_yaml_that_lab_yaml_takes() -> None:
    from labwright.decide.parse import parse_lab

    mend = cluster()["GPUs"].mend
    line = mend.partition(": ")[2]
    lab = parse_lab(f"providers:\n  big:\n    type: slurm\n    {line}\n".encode(), "lab.yaml")
    assert dict(lab.providers["big"].gres)["H100"] == "nvidia_h100_80gb_hbm3"  # type: ignore[union-attr]
