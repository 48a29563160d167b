"""job.sh and run.sh of a batch, run as slurmd runs them, without Slurm: claim, record, phases, requeues, ends of every kind."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.slurm import SlurmProvider
from labwright.adapters.providers.slurm.handles import parse
from labwright.adapters.providers.slurm.provider import Ours
from labwright.domain.ids import Handle
from labwright.ports.provider import Submission
from labwright.testing.provider_bench import Bench, Blobs, Script, accepted
from tests.unit.slurm_login import Login
from tests.unit.slurm_trials import cluster

PATIENCE = 30.0
LISTENS = "trap 'echo told' USR1; echo begun; while :; do sleep 0.05; done"
SAVES = "trap 'echo saved; exit 0' TERM; echo begun; while :; do sleep 0.05; done"


def session(of: subprocess.Popen[bytes]) -> dict[int, str]:
    """Processes of a job, by id: their names."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, rest = stat.read_text().rpartition(") ")
            state, _, _, sid, *_ = rest.split()
            if sid == str(of.pid) and state != "Z":
                found[int(stat.parent.name)] = head.partition("(")[2]
    return found


def kill(job: subprocess.Popen[bytes]) -> None:
    """All of it at once, as when a node dies."""
    while there := session(job):
        for pid in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    job.wait()


class Cluster(Bench):
    """A login node whose sbatch takes everything as job 7; its jobs run when a test says so."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.login = Login(folder)
        self.login.say("sbatch", 'key=$(dirname "$2")/key; printf %s "${LAB_UNLOCK-}" >"$key"; echo 7')
        blobs, made = Blobs(), cluster(**{"workdir": "~/it's there", "grace": 1, **settings})
        ours = Ours(folder / "spool", "suite", "owner")
        (folder / "shared").mkdir()
        super().__init__(
            SlurmProvider("cluster", made, ours, blobs.read, SystemClock(), lambda _: self.login),
            folder / "shared",
            blobs,
        )
        self.running: list[subprocess.Popen[bytes]] = []

    @property
    def root(self) -> Path:
        return self.login.home / "it's there" / "suite"

    def job(self, handle: Handle) -> Path:
        known = parse(handle)
        assert known
        return self.root / "jobs" / known.token

    def start(self, index: int | None = None, **more: str) -> subprocess.Popen[bytes]:
        """As slurmd would: the newest batch, or an element of its array."""
        batch = max((self.root / "batches").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        key = (batch / "key").read_text()
        env = {"HOME": str(self.login.home), "PATH": self.login.path, "SLURM_JOB_ID": "7", **more}
        env |= {"LAB_UNLOCK": key} if key else {}
        env |= {} if index is None else {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}
        out = (batch / ("slurm-7.out" if index is None else f"slurm-7_{index}.out")).open("ab")
        with out:
            started = subprocess.Popen(
                ["bash", str(batch / "job.sh")],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.running.append(started)
        return started

    def ran(self, index: int | None = None, **more: str) -> int:
        return self.start(index, **more).wait(PATIENCE)

    def record(self, handle: Handle) -> dict[str, Any] | None:
        file = self.job(handle) / "exit.json"
        return dict(json.loads(file.read_text())) if file.exists() else None

    def text(self, handle: Handle, name: str = "log.txt") -> str:
        file = self.job(handle) / name
        return file.read_text() if file.exists() else ""

    def until(self, there: Callable[[], object], what: str = "") -> None:  # type: ignore[override]
        end = time.monotonic() + PATIENCE
        while not there():
            assert time.monotonic() < end, what
            time.sleep(0.02)

    def logged(self, handle: Handle, text: str = "begun") -> None:
        self.until(lambda: text in self.text(handle), self.text(handle))

    def sweep(self, *runs: str, task: Mapping[str, Any] | None = None, **more: Any) -> list[Handle]:
        """Trials of one array: their `run` is that of the trial's number."""
        cases = "\n".join(f"{n}) {run} ;;" for n, run in enumerate(runs))
        script = Script(f"case $LAB_PARAM_N in\n{cases}\nesac")
        made = [self.submission(script, task=task, parameters={"n": n}, **more) for n in range(len(runs))]
        answers = self.provider.submit(made)
        return [accepted(answers[submission.token]) for submission in made]

    def close(self) -> None:
        for started in self.running:
            if started.poll() is None:
                kill(started)


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
    started.send_signal(signal.SIGUSR1)
    bench.logged(handle, "told")
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


# trials that share an allocation

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
    started.send_signal(signal.SIGUSR1)
    for handle in handles:
        bench.logged(handle, "told")
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


def test_what_is_submitted_again_is_what_is_there(bench: Cluster) -> None:
    made: Submission = bench.submission(Script("true"))
    answers = [accepted(bench.provider.submit([made])[made.token]) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(bench.login.calls("sbatch")) == 1
