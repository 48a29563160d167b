"""remote.sh on a login node without Slurm: what is brought over, submitted and found again."""

import os
from pathlib import Path

import pytest

from tests.unit.slurm_login import Remote, tar

TOKEN = "lab-abcdefghijkl-1"
OTHER = "lab-abcdefghijkl-10"
ACCEPTS = "printf '%s\\n' 42"
NOTHING = "true"
DAY = 86400


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def submitted(remote: Remote, *heads: str, seconds: int = 20, **files: bytes) -> list[list[str]]:
    """What is said of each batch; a head is `NAME JOB KEY`."""
    folders = {
        head.split()[0]: {"tokens": f"{TOKEN}\n".encode(), "name": head.split()[1].encode(), "job.sh": b"", **files}
        for head in heads
    }
    stdin = "".join(f"{head}\n" for head in heads).encode() + b"\n" + tar(folders)
    return sorted(line.split("\t") for line in remote.call("submit", seconds, stdin=stdin))


def older(path: Path, seconds: float) -> None:
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))


# the folders


def test_the_first_lab_owns_the_folder_and_a_second_one_is_told_so(remote: Remote) -> None:
    for name in ("jobs", "batches", "bundles", "environments", "sources", "tools", "ended", "tmp"):
        assert (remote.root / name).is_dir()
    owner, root, home, *_, now, platform, uv = remote.call("prepare", "another lab")
    assert (owner, root, home) == ("owner", str(remote.root), str(remote.login.home))
    assert float(now) > 1e9
    assert (platform.split()[0], uv) == ("Linux", "-")


def test_a_folder_behind_a_link_is_told_by_its_real_name(remote: Remote) -> None:
    link = remote.login.home / "link"
    link.symlink_to(remote.root)
    ran = remote.login.run(["bash", str(remote.script), str(link), "prepare", "owner"])
    assert ran.text.splitlines()[1] == str(remote.root)


def test_a_folder_that_cannot_be_made_is_73(remote: Remote) -> None:
    (remote.login.home / "file").write_text("")
    ran = remote.login.run(["bash", str(remote.script), str(remote.login.home / "file" / "lab"), "prepare", "owner"])
    assert ran.code == 73


def test_a_command_that_is_none_is_refused(remote: Remote) -> None:
    for name in ("keep", "submit_one", "rm", ""):
        assert remote.ran(name).code == 64


def test_what_is_there_is_named_and_counts_as_used(remote: Remote) -> None:
    for name in ("bundles/one", "sources/two"):
        (remote.root / name).mkdir()
        older(remote.root / name, 9 * DAY)
    before = (remote.root / "bundles/one").stat().st_mtime
    assert remote.call("have", stdin=["bundles/one", "bundles/none", "sources/two"]) == ["bundles/one", "sources/two"]
    assert (remote.root / "bundles/one").stat().st_mtime > before + 8 * DAY


def test_a_folder_is_placed_whole_or_not_at_all(remote: Remote) -> None:
    whole = tar({"bundles/one": {"a/b.txt": b"x" * 100_000, "c": b"c"}})
    assert remote.ran("place", "bundles/one", stdin=whole[: len(whole) // 2]).code == 73
    assert remote.ran("place", "bundles/one", stdin=b"no tar").code == 73
    assert not (remote.root / "bundles/one").exists()
    remote.call("place", "bundles/one", stdin=whole)
    assert (remote.root / "bundles/one/a/b.txt").read_bytes() == b"x" * 100_000
    assert (remote.root / "bundles/one").stat().st_mode & 0o777 == 0o755


def test_what_was_placed_stays_as_it_is(remote: Remote) -> None:
    remote.call("place", "bundles/one", stdin=tar({"bundles/one": {"c": b"first"}}))
    remote.call("place", "bundles/one", stdin=tar({"bundles/one": {"c": b"second"}}))
    assert (remote.root / "bundles/one/c").read_bytes() == b"first"
    assert not list((remote.root / "tmp").iterdir())


def test_many_folders_are_placed_in_one_go_and_those_that_are_there_stay(remote: Remote) -> None:
    remote.call("place", "bundles/one", stdin=tar({"bundles/one": {"c": b"first"}}))
    many = {"bundles/one": {"c": b"second"}, "bundles/two": {"c": b"2"}, "tools/sdk": {"lab/__init__.py": b""}}
    remote.call("place", *many, stdin=tar(many))
    assert [(remote.root / "bundles" / name / "c").read_bytes() for name in ("one", "two")] == [b"first", b"2"]
    assert (remote.root / "tools/sdk/lab/__init__.py").is_file()
    assert remote.ran("place", "bundles/three", "bundles/four", stdin=tar({"bundles/three": {"c": b"3"}})).code == 73
    assert not list((remote.root / "tmp").iterdir())


# sbatch


def test_a_batch_that_slurm_takes_is_answered_with_its_id(remote: Remote) -> None:
    remote.login.say("sbatch", 'echo "${*: -1}" >&2; printf "%s\\n" "42;cluster"')
    assert submitted(remote, f"{TOKEN}.01 {TOKEN} -") == [
        [f"{TOKEN}.01", "0", "42", f"{remote.root}/batches/{TOKEN}.01/job.sh"]
    ]
    assert (remote.root / f"batches/{TOKEN}.01/jobid").read_text() == "42\n"
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\t{TOKEN}.01\t0\t42"]
    assert remote.login.calls("squeue") == []


def test_batches_that_come_together_are_each_answered(remote: Remote) -> None:
    remote.login.say(
        "sbatch",
        'folder=${2%/*}; folder=${folder##*/}; case $folder in n3*) echo no >&2; exit 1 ;; *) echo "${folder#n}" ;; esac',
    )
    remote.login.say("squeue", NOTHING)
    found = submitted(remote, *(f"n{n} job{n} -" for n in range(7)))
    assert found == [[f"n{n}", *(("1", "-", "no") if n == 3 else ("0", str(n), ""))] for n in range(7)]


def test_what_slurm_refuses_is_told_in_its_own_words_in_one_line(remote: Remote) -> None:
    remote.login.say("sbatch", "printf 'sbatch: error: a\\tb\\r\\nBatch job submission failed: c\\n' >&2; exit 1")
    remote.login.say("squeue", NOTHING)
    assert submitted(remote, f"n.01 {TOKEN} -") == [
        ["n.01", "1", "-", "sbatch: error: a b  Batch job submission failed: c"]
    ]
    assert f"--name={TOKEN}" in remote.login.calls("squeue")[0]


def test_an_sbatch_that_says_no_and_has_taken_it_is_found_in_the_queue(remote: Remote) -> None:
    remote.login.say("sbatch", 'echo "Socket timed out on send/recv" >&2; exit 1')
    remote.login.say("squeue", "printf '77\\n77\\n'")
    assert submitted(remote, f"n.01 {TOKEN} -") == [["n.01", "1", "77", "Socket timed out on send/recv"]]
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t77"]


def test_an_sbatch_that_says_other_things_than_an_id_is_looked_up(remote: Remote) -> None:
    remote.login.say("sbatch", "echo Submitted batch job 78")
    remote.login.say("squeue", "echo 78")
    assert submitted(remote, f"n.01 {TOKEN} -") == [["n.01", "0", "78", ""]]


def test_where_slurm_does_not_answer_nobody_knows(remote: Remote) -> None:
    remote.login.say("sbatch", 'echo "Unable to contact slurm controller" >&2; exit 1')
    assert submitted(remote, f"n.01 {TOKEN} -") == [["n.01", "?", "-", "Unable to contact slurm controller"]]


def test_an_sbatch_that_hangs_is_ended_and_nobody_knows_until_it_is_old(remote: Remote) -> None:
    remote.login.say("sbatch", "exec sleep 60")
    remote.login.say("squeue", NOTHING)
    remote.login.say("sacct", NOTHING)
    assert submitted(remote, f"n.01 {TOKEN} -", seconds=1) == [["n.01", "124", "-", ""]]
    assert remote.call("find_tokens", 1, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t?"]
    older(remote.root / "batches/n.01/asked", 60)
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t?"]
    assert remote.call("find_tokens", 1, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t-"]
    remote.login.say("squeue", "echo 9")
    assert remote.call("find_tokens", 1, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t-"], "what was said stays"


def test_an_environment_of_the_login_does_not_reach_the_job_nor_what_the_batch_asks(remote: Remote) -> None:
    remote.login.environment |= {
        "SBATCH_PARTITION": "other",
        "SLURM_MEM_PER_NODE": "1",
        "PASSWORD": "p",
        "SLURM_CONF": "/conf",
    }
    remote.login.say("sbatch", "env >$asked/env; echo 42")
    submitted(remote, f"n.01 {TOKEN} -")
    env = dict(line.partition("=")[::2] for line in (remote.login.asked / "env").read_text().splitlines())
    assert env.keys() - {"PWD", "SHLVL", "_", "OLDPWD"} == {"HOME", "PATH", "SLURM_CONF"}


def test_a_key_is_in_its_own_jobs_environment_and_nowhere_else(remote: Remote) -> None:
    looks = (
        'batch=${2%/*}; echo "${LAB_UNLOCK-none}" >"$asked/key.${batch##*/}"; cat /proc/$PPID/cmdline >>"$asked/argv"'
    )
    remote.login.say("sbatch", f"{looks}; echo 42")
    keys = ["deadbeef", "-", "cafe", "-", "-", "beef", "-", "-", "-"]  # more than are under way at once
    submitted(remote, *(f"n.0{n} j{n} {key}" for n, key in enumerate(keys)))
    told = [(remote.login.asked / f"key.n.0{n}").read_text().strip() for n in range(len(keys))]
    assert told == [key.replace("-", "none") for key in keys]
    assert "deadbeef" not in (remote.login.asked / "argv").read_text()
    assert not [f for f in remote.root.rglob("*") if f.is_file() and b"deadbeef" in f.read_bytes()]


def test_what_is_no_tar_is_no_submission(remote: Remote) -> None:
    remote.login.say("sbatch", ACCEPTS)
    assert remote.ran("submit", 20, stdin=f"n.01 {TOKEN} -\n\nno tar".encode()).code == 73
    assert not remote.login.calls("sbatch")
    assert not list((remote.root / "batches").iterdir())


# the fence


def test_a_batch_whose_sbatch_was_never_reached_is_refused_from_then_on(remote: Remote) -> None:
    remote.login.say("sbatch", ACCEPTS)
    remote.batch("n.01", [TOKEN])
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t-"]
    late = f"n.01 {TOKEN} -\n\n".encode() + tar({"n.02": {"job.sh": b""}})
    assert remote.call("submit", 20, stdin=late) == ["n.01\t-\t-\ttaken"]
    assert not remote.login.calls("sbatch")
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t-"]


def test_a_batch_of_which_the_answer_was_lost_is_found_by_its_name(remote: Remote) -> None:
    (remote.batch("n.01", [TOKEN, OTHER], name="lab-0123-a2") / "asked").touch()
    remote.login.say("squeue", "echo 42")
    assert remote.call("find_tokens", 60, stdin=[OTHER]) == [f"{OTHER}\tn.01\t1\t42"]
    assert remote.login.calls("squeue") == ["--me --noheader --states=all --name=lab-0123-a2 --format=%F"]
    remote.login.say("squeue", "exit 1")
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t42"], "found once, it is asked no more"


def test_while_slurm_does_not_answer_an_old_batch_is_not_given_up(remote: Remote) -> None:
    asked = remote.batch("n.01", [TOKEN]) / "asked"
    asked.touch()
    older(asked, DAY)
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t?"]


def test_the_accounting_knows_what_left_the_queue_long_ago(remote: Remote) -> None:
    asked = remote.batch("n.01", [TOKEN]) / "asked"
    asked.touch()
    older(asked, DAY)
    remote.login.say("squeue", NOTHING)
    remote.login.say("sacct", "printf '43|42_0\\n44|42_1\\n'")
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t42"]


def test_without_an_accounting_what_the_queue_does_not_know_was_never_there(remote: Remote) -> None:
    asked = remote.batch("n.01", [TOKEN]) / "asked"
    asked.touch()
    older(asked, DAY)
    remote.login.say("squeue", NOTHING)
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t-"]


def test_a_token_is_found_whole_in_every_batch_that_has_it_and_at_its_place(remote: Remote) -> None:
    remote.batch("a.01", [OTHER, "lab-bbbbbbbbbbbb-1", TOKEN], jobid="7\n")
    remote.batch("b.02", [TOKEN], refused="")
    found = remote.call("find_tokens", 60, stdin=[TOKEN, "lab-abcdefghijk.-1"])
    assert sorted(found) == [f"{TOKEN}\ta.01\t2\t7", f"{TOKEN}\tb.02\t0\t-"]
    assert remote.call("find_tokens", 60) == []


def test_a_batch_that_was_refused_is_not_asked_for_again(remote: Remote) -> None:
    (remote.batch("n.01", [TOKEN]) / "asked").touch()
    remote.call("refuse", stdin=["n.01"])
    assert remote.call("find_tokens", 60, stdin=[TOKEN]) == [f"{TOKEN}\tn.01\t0\t-"]
    assert not remote.login.calls("squeue")


def test_what_slurm_has_in_hand_is_listed_with_the_trials_of_its_batches(remote: Remote) -> None:
    remote.batch("a.01", [TOKEN, OTHER], jobid="7\n")
    remote.batch("b.02", [TOKEN])
    remote.batch("c.03", [TOKEN], jobid="8\n")
    remote.login.say("squeue", "printf '%s\\n' '7_[0-1]|PENDING|Resources||N/A|/x|b.02' '9|RUNNING|None|n1|1|/y|z'")
    assert remote.call("list", "lab") == [
        "Q\t7_[0-1]|PENDING|Resources||N/A|/x|b.02",
        "Q\t9|RUNNING|None|n1|1|/y|z",
        "I\t7",
        f"L\t7\ta.01\t0\t{TOKEN}",
        f"L\t7\ta.01\t1\t{OTHER}",
        "B\tb",
        ".",
    ]
    remote.job(TOKEN, exit__json="{}")
    listed = remote.call("list", "lab")
    assert [line for line in listed if line[0] in "IL"] == ["I\t7", f"L\t7\ta.01\t1\t{OTHER}"], (
        "one has ended, not its array"
    )
    remote.login.say("squeue", "echo 'slurm_load_jobs error' >&2; exit 1")
    assert remote.call("list", "lab") == ["X\tslurm_load_jobs error"]


def test_facts_are_the_version_the_settings_and_the_nodes(remote: Remote) -> None:
    remote.login.say(
        "scontrol",
        'case $1 in --version) echo "slurm 23.11.4" ;; *) printf "%s\\n" "Configuration data" "MaxArraySize            = 1001" "MaxArraySizeX = 1" "PreemptMode=OFF" ;; esac',
    )
    remote.login.say("sinfo", "echo 'gpu*|up|64|1|(null)|infinite|4|idle|2:16:2'")
    assert remote.call("facts") == [
        "slurm 23.11.4",
        "MaxArraySize            = 1001",
        "PreemptMode=OFF",
        ".",
        "gpu*|up|64|1|(null)|infinite|4|idle|2:16:2",
        ".",
    ]
    remote.login.say("scontrol", "exit 1")
    remote.login.say("sinfo", "true")
    assert remote.call("facts") == [".", "", "."], "a site may show its nodes to nobody"


def test_a_cluster_that_does_not_answer_is_not_one_without_nodes(remote: Remote) -> None:
    remote.login.say("sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    ran = remote.ran("facts")
    assert (ran.code, ran.err) == (75, "slurm_load_partitions: Unable to contact slurm controller\n")
