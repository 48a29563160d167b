"""job.sh and run.sh of a batch, run as slurmd runs them, without Slurm: claim, record, phases, requeues, ends of every kind."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.providers.slurm.handles import parse
from labwright.ports.provider import Submission
from labwright.testing.provider_bench import Script, accepted
from tests.unit.slurm_node import LISTENS, PATIENCE, SAVES, Cluster, kill, session


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("code", [0, 5, 137])
def test_a_job_runs_and_its_record_says_how_it_ended(bench: Cluster, code: int) -> None:
    handle = bench.submit(Script(f"echo hello; pwd; exit {code}"), files={"a b.txt": b"x"})
    assert bench.ran() == 0
    record = bench.record(handle)
    assert record
    assert (record["phase"], record["code"], record["signal"], record["reason"]) == ("run", code, None, None)
    assert record["token"] == parse(handle).token  # type: ignore[union-attr]
    assert record["started"] <= record["running"] <= record["ended"]
    assert bench.text(handle) == f"hello\n{bench.job(handle)}/work\n"
    assert (bench.job(handle) / "work" / "a b.txt").read_bytes() == b"x"
    assert bench.text(handle, "claim").split()[3] == "7"
    assert (bench.root / "ended" / bench.job(handle).name).exists()
    assert bench.see(handle).exit_code == code


def test_every_element_of_an_array_runs_its_own_trial(bench: Cluster) -> None:
    handles = bench.sweep("echo zero", "echo one", "exit 3")
    assert [bench.ran(n) for n in (0, 1, 2)] == [0, 0, 0]
    assert [bench.text(h) for h in handles] == ["zero\n", "one\n", ""]
    assert [(bench.record(h) or {})["code"] for h in handles] == [0, 0, 3]
    assert bench.text(handles[2], "claim").split()[3] == "7_2"


def test_phases_are_told_as_they_begin(bench: Cluster) -> None:
    handle = bench.submit(Script("true", setup="exit 4"))
    assert bench.ran() == 0
    assert [line.split()[0] for line in bench.text(handle, "phase").splitlines()] == ["setup"]
    assert {k: (bench.record(handle) or {})[k] for k in ("phase", "code", "running")} == {
        "phase": "setup",
        "code": 4,
        "running": None,
    }


def test_variables_reach_the_job_whatever_they_are_called(bench: Cluster) -> None:
    odd = {"job": "j", "token": "t t", "pairs": "p", "pair": "q", "sealed": "s", "root": "r", "batch": "b", "own_path": "/x", "setsid": "no", "to": "", "from": 'f"\n$x', "IFS": "x", "phase": "f", "node": "n", "timer": "1", "killer": "1", "given": "g", "job_path": "/y", "died": "d"}  # fmt: skip
    names = " ".join(f'"${name}"' for name in odd)
    handle = bench.submit(Script(f"unset IFS; printf '<%s>' {names}"), task={"envs": odd})
    assert bench.ran() == 0
    assert bench.text(handle) == "".join(f"<{'' if name == 'IFS' else value}>" for name, value in odd.items())


def test_secrets_are_there_and_in_no_file(bench: Cluster) -> None:
    odd = "h'un\"ter\n2 é"
    task = {"envs": {"T": "x {{secret.TOKEN}}"}}
    run = 'printf %s "$T|{{secret.TOKEN}}|$LAB_PARAM_L|${LAB_UNLOCK-none}" | sha256sum'
    handle = bench.submit(
        Script(run), task=task, parameters={"l": ["{{secret.TOKEN}}"]}, secrets={"TOKEN": odd, "EMPTY": ""}
    )
    assert bench.ran() == 0
    listed = json.dumps([odd], ensure_ascii=False)
    said = subprocess.run(
        ["sha256sum"], input=f"x {odd}|{odd}|{listed}|none".encode(), capture_output=True, check=True
    ).stdout.decode()
    assert bench.text(handle) == said
    for file in bench.root.rglob("*"):
        if file.is_file() and file.name != "key":
            data = file.read_bytes()
            assert odd.encode() not in data
            assert json.dumps(odd, ensure_ascii=False)[1:-1].encode() not in data, file


def test_a_key_that_does_not_fit_starts_nothing_and_says_so_where_the_controller_looks(bench: Cluster) -> None:
    bench.login.say("sbatch", "echo 7")
    handle = bench.submit(Script("touch never"), secrets={"TOKEN": "hunter22"})
    (batch,) = (bench.root / "batches").iterdir()
    (batch / "key").touch()
    assert bench.ran() == 78
    assert "lab: the secrets could not be opened" in (batch / "slurm-7.out").read_text()
    assert "lab: the secrets could not be opened" in bench.text(handle)
    assert bench.record(handle) is None


def test_needed_artifacts_that_are_gone_start_nothing_and_are_named(bench: Cluster) -> None:
    first = bench.submit(Script("true"))
    bench.submit(Script("true"), needs={"alpha/prepare": [first]})
    assert bench.ran() == 78
    (said,) = bench.root.glob("batches/*/slurm-7.out")
    assert said.read_text() == f"lab: needs: the artifacts in {bench.job(first)}/artifacts are no longer there\n"


def test_needed_artifacts_are_there_to_read_and_the_originals_stay(bench: Cluster) -> None:
    first = bench.submit(Script('echo one >"$LAB_JOB_DIR/artifacts/a b"'))
    assert bench.ran() == 0
    second = bench.submit(
        Script('cat "$LAB_NEEDS_DIR"/alpha/prepare/*/"a b"; rm -rf "$LAB_NEEDS_DIR"'), needs={"alpha/prepare": [first]}
    )
    assert bench.ran() == 0
    assert bench.text(second) == "one\n"
    assert (bench.job(first) / "artifacts" / "a b").read_text() == "one\n"


def test_a_checkpoint_to_resume_from_is_named_if_it_is_there(bench: Cluster) -> None:
    first = bench.submit(Script('touch "$LAB_JOB_DIR/checkpoints/step-1"'))
    assert bench.ran() == 0
    second = bench.submit(Script('ls "$LAB_RESUME_FROM"'), resume_from=first)
    assert bench.ran() == 0
    assert bench.text(second) == "step-1\n"


# again, and elsewhere


def test_a_second_copy_leaves_what_another_job_has_begun(bench: Cluster) -> None:
    handle = bench.submit(Script("echo begun; sleep 600"))
    bench.start()
    bench.logged(handle)
    assert bench.ran(SLURM_JOB_ID="8") == 0
    assert bench.text(handle) == "begun\n"
    assert bench.record(handle) is None


def test_a_requeue_of_the_same_job_goes_on_in_its_own_folder(bench: Cluster) -> None:
    handle = bench.submit(
        Script("cat count; echo x >>count; [[ $(wc -l <count) == 2 ]] || { echo begun; sleep 600; }"),
        files={"count": b""},
    )
    first = bench.start()
    bench.logged(handle)
    kill(first)  # the node is gone
    (bench.job(handle) / "notice").touch()
    assert bench.ran(SLURM_RESTART_COUNT="1") == 0
    assert bench.text(handle) == "begun\nx\n"
    assert not (bench.job(handle) / "notice").exists()
    record = bench.record(handle)
    assert record
    assert (record["code"], record["restarts"]) == (0, 1)


def test_a_requeue_while_the_files_were_being_copied_begins_anew(bench: Cluster) -> None:
    handle = bench.submit(Script("cat a"), files={"a": b"whole\n"})
    half = bench.job(handle) / ".work"
    half.mkdir(parents=True)
    (half / "a").write_text("half")
    (half / "stray").mkdir(mode=0o555)
    assert bench.ran() == 0
    assert bench.text(handle) == "whole\n"
    assert not (bench.job(handle) / "work" / "stray").exists()


def test_a_requeue_after_the_end_runs_nothing(bench: Cluster) -> None:
    handle = bench.submit(Script("echo once"))
    assert (bench.ran(), bench.ran()) == (0, 0)
    assert bench.text(handle) == "once\n"


# ends


def test_slurms_own_term_leaves_no_record_so_that_its_reason_counts(bench: Cluster) -> None:
    handle = bench.submit(Script("echo begun; sleep 600"))
    started = bench.start()
    bench.logged(handle)
    started.send_signal(signal.SIGTERM)
    assert started.wait(PATIENCE) == 143
    assert bench.record(handle) is None
    assert not list((bench.root / "ended").iterdir())


def test_slurms_own_term_before_the_job_has_begun_leaves_no_record_either(bench: Cluster) -> None:
    handle = bench.submit(Script("echo never"))
    slow = bench.login.bin / "cp"  # the file system takes its time
    slow.write_text(
        f'#!/bin/bash\ntouch "{bench.folder}/copying"\nuntil [[ -e "{bench.folder}/go" ]]; do sleep 0.05; done\nexec /bin/cp "$@"\n'
    )
    slow.chmod(0o755)
    started = bench.start()
    bench.until((bench.folder / "copying").exists)
    started.send_signal(signal.SIGTERM)
    (bench.folder / "go").touch()
    assert started.wait(PATIENCE) == 143
    assert (bench.record(handle), bench.text(handle)) == (None, "")


def test_a_job_that_somebody_stopped_says_so(bench: Cluster) -> None:
    handle = bench.submit(Script(SAVES))
    started = bench.start()
    bench.logged(handle)
    (bench.job(handle) / "cancel").touch()
    started.send_signal(signal.SIGTERM)
    assert started.wait(PATIENCE) == 0
    assert (bench.record(handle) or {})["reason"] == "cancelled"
    assert "saved" in bench.text(handle)


def test_a_job_that_was_stopped_before_it_began_runs_nothing_and_says_so(bench: Cluster) -> None:
    handle = bench.submit(Script("echo never"))
    bench.job(handle).mkdir(parents=True)
    (bench.job(handle) / "cancel").touch()
    assert bench.ran() == 0
    assert {k: (bench.record(handle) or {})[k] for k in ("reason", "phase", "running")} == {
        "reason": "cancelled",
        "phase": "setup",
        "running": None,
    }
    assert bench.text(handle) == ""


def test_the_notice_reaches_only_processes_that_listen(bench: Cluster) -> None:
    handle = bench.submit(Script(f"(trap - USR1; exec sleep 600) & {LISTENS}"))
    started = bench.start()
    bench.logged(handle)
    bench.told(started, handle)
    assert (bench.job(handle) / "notice").exists()
    assert started.poll() is None
    assert "sleep" in session(started).values()
    (bench.job(handle) / "cancel").touch()
    started.send_signal(signal.SIGTERM)
    assert started.wait(PATIENCE) == 0


def test_the_wrappers_own_limit_gives_notice_first(tmp_path: Path) -> None:
    bench = Cluster(tmp_path, notice=1)
    handle = bench.submit(Script(LISTENS), task={"timeout": 2})
    assert bench.ran() == 0
    assert (bench.record(handle) or {})["reason"] == "timeout"
    assert bench.text(handle) == "begun\ntold\n"


def test_artifacts_are_kept_and_hashed_on_the_node(bench: Cluster) -> None:
    task = {"artifacts": ["*.pt"]}
    handle = bench.submit(Script('echo hello >"a b.pt"; echo x >c.txt'), task=task)
    assert bench.ran() == 0
    (bench.job(handle) / "artifacts" / "late").write_text("x")
    (found,) = bench.provider.collect(handle).artifacts
    assert (found.path, found.size) == ("a b.pt", 6)
    assert found.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"


def test_what_a_job_leaves_running_ends_with_it(bench: Cluster) -> None:
    handle = bench.submit(Script("sleep 600 & nohup sleep 600 & set -m; sleep 600 &"))
    started = bench.start()
    assert started.wait(PATIENCE) == 0
    assert bench.record(handle)
    bench.until(lambda: not session(started))


# nodes, modules, containers

SRUN = """
count=1
while [[ $1 == --* ]]; do
  case $1 in --ntasks=*) count=${1#*=} ;; --chdir=*) cd "${1#*=}" ;; esac
  shift
done
for ((n = 0; n < count; n++)); do SLURM_NODEID=$n SLURM_STEP_ID=3 "$@" & done
code=0
while wait -n; last=$?; ((last != 127)); do ((last > code)) && code=$last; done
exit "$code"
"""


def test_a_job_of_several_nodes_runs_once_on_each_and_knows_the_others(bench: Cluster) -> None:
    bench.login.say("srun", SRUN)
    bench.login.say("scontrol", "printf 'node1\\nnode2\\n'")
    task = {"resources": {"num_nodes": 2, "accelerators": 4}}
    handle = bench.submit(Script('echo "$NODE_RANK of $WORLD_SIZE by $LOCAL_WORLD_SIZE at $MASTER_ADDR"'), task=task)
    assert bench.ran(SLURM_JOB_NODELIST="node[1-2]") == 0
    assert sorted(bench.text(handle).splitlines()) == [f"{n} of 8 by 4 at node1" for n in (0, 1)]
    assert bench.login.calls("scontrol")[-1] == "show hostnames node[1-2]"
    assert (bench.record(handle) or {})["code"] == 0


def test_of_several_nodes_the_first_that_fails_says_how_the_job_ended(bench: Cluster) -> None:
    bench.login.say("srun", SRUN)
    run = '[[ $NODE_RANK == 1 ]] && exit 3; until [[ -e "$LAB_JOB_DIR/.failed-3" ]]; do sleep 0.05; done; exit 9'
    handle = bench.submit(Script(run), task={"resources": {"num_nodes": 2}})
    assert bench.ran() == 0
    assert (bench.record(handle) or {})["code"] == 3


def test_a_module_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    bench = Cluster(tmp_path, modules=["it's/1"])
    bench.submit(Script("true"))
    assert bench.ran() == 78
    (said,) = bench.root.glob("batches/*/slurm-7.out")
    assert "lab: module load it's/1 does not work on " in said.read_text()


def test_a_container_runs_the_job_in_its_folder(tmp_path: Path) -> None:
    bench = Cluster(tmp_path, containers="apptainer")
    program = bench.login.bin / "apptainer"
    program.write_text('#!/bin/bash\nprintf "<%s>" "${@:1:7}"\nshift 7\nexec "$@"\n')
    program.chmod(0o755)
    handle = bench.submit(Script("echo; pwd"), task={"resources": {"image_id": "docker://it's:1"}})
    assert bench.ran() == 0
    work = f"{bench.job(handle)}/work"
    options = "".join(f"<{word}>" for word in ("exec", "--nv", "--bind", bench.root, "--pwd", work, "docker://it's:1"))
    assert bench.text(handle) == f"{options}\n{work}\n"


def test_what_is_submitted_again_is_what_is_there(bench: Cluster) -> None:
    made: Submission = bench.submission(Script("true"))
    answers = [accepted(bench.provider.submit([made])[made.token]) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(bench.login.calls("sbatch")) == 1
