"""What the local provider makes of broken things: killed wrappers, half-made folders, a restarted machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import HANGS, Script, leaves
from tests.contract.local_bench import LocalBench


@pytest.fixture
def bench(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)


ROOT = Path(__file__).parents[2]


def running(bench: LocalBench, script: Script = HANGS) -> tuple[Handle, Path, int]:
    handle = bench.submit(script)
    bench.until_logged(handle)
    job = bench.spool / "jobs" / handle
    return handle, job, int((job / "claim").read_text().split()[0])


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(bench: LocalBench, pid: int) -> None:
    bench.wait(lambda: None if alive(pid) else True, f"the end of process {pid}")


PID = Script('echo $$ >"$LAB_JOB_DIR/artifacts/pid"; echo begun; sleep 600', hangs=True)


def test_a_process_group_that_is_killed_leaves_a_record_of_the_signal(bench: LocalBench) -> None:
    handle, job, _ = running(bench, PID)
    os.killpg(int((job / "artifacts/pid").read_text()), signal.SIGKILL)
    seen = bench.ended(handle)
    assert (seen.outcome, seen.exit_code, seen.signal) == (Outcome.ERROR, 137, 9)
    assert json.loads((job / "exit.json").read_text())["signal"] == 9


def test_a_killed_wrapper_is_an_error_and_takes_its_processes_along(bench: LocalBench) -> None:
    handle, job, pid = running(bench, PID)
    os.kill(pid, signal.SIGKILL)
    seen = bench.ended(handle)
    assert (seen.outcome, seen.exit_code, seen.signal) == (Outcome.ERROR, None, 9)
    assert "no exit record" in seen.detail
    assert seen.running
    gone(bench, int((job / "artifacts/pid").read_text()))


@pytest.mark.slow
def test_a_wrapper_killed_under_another_controller_is_an_error_of_unknown_signal(bench: LocalBench) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.contract.local_bench import LocalBench\n"
        "from labwright.testing.provider_bench import HANGS\n"
        "bench = LocalBench(Path(sys.argv[1])); handle = bench.submit(HANGS); bench.until_logged(handle); print(handle)"
    )
    other = bench.folder.parent / "other"
    other.mkdir()
    ran = subprocess.run([sys.executable, "-c", code, str(other)], capture_output=True, text=True, check=True, cwd=ROOT)
    handle = Handle(ran.stdout.strip())
    (other / "shared").rmdir()
    adopted = LocalBench(other)  # the first controller is dead, its job is not
    assert adopted.see(handle).phase is Phase.RUN
    os.kill(int((adopted.spool / "jobs" / handle / "claim").read_text().split()[0]), signal.SIGKILL)
    seen = adopted.ended(handle)
    assert (seen.outcome, seen.signal, seen.detail) == (Outcome.ERROR, None, "killed (no exit record)")


@pytest.mark.slow
def test_a_job_outlives_the_controllers_process_group(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.contract.local_bench import LocalBench\n"
        "from labwright.testing.provider_bench import Script\n"
        "os.setsid(); bench = LocalBench(Path(sys.argv[1]))\n"
        "handle = bench.submit(Script('echo begun; sleep 0.5; echo done')); bench.until_logged(handle)\n"
        "print(handle, flush=True); os.killpg(0, signal.SIGKILL)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    (tmp_path / "shared").rmdir()
    bench = LocalBench(tmp_path)
    handle = Handle(ran.stdout.strip())
    assert ran.returncode == -signal.SIGKILL
    assert bench.ended(handle).outcome is Outcome.OK
    assert bench.log(handle) == b"begun\ndone\n"


def test_an_end_is_announced_in_the_watched_folder(bench: LocalBench) -> None:
    handle = bench.submit(leaves(0))
    bench.wait(lambda: True if (bench.provider.ended / handle).exists() else None, "the mark")
    assert (bench.spool / "jobs" / handle / "exit.json").exists()


def test_an_attempt_of_before_a_restart_of_the_machine_is_the_machines_fault(bench: LocalBench) -> None:
    handle, job, pid = running(bench)
    fresh = bench.fresh()
    (job / "claim").write_text(f"{pid} 1 00000000-0000-0000-0000-000000000000 -\n")
    assert fresh.observe([handle])[handle].outcome is Outcome.NODE_FAILED
    os.kill(pid, signal.SIGTERM)  # it does live, after all: the claim was a lie
    bench.wait(lambda: True if (job / "exit.json").exists() else None, "its end")


def test_a_pid_that_is_another_process_now_is_not_touched(bench: LocalBench) -> None:
    handle = bench.submit(leaves(0))
    bench.ended(handle)
    job = bench.spool / "jobs" / handle
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        (job / "exit.json").unlink()
        boot = (job / "claim").read_text().split()[2]
        (job / "claim").write_text(f"{stranger.pid} 1 {boot} -\n")
        fresh = bench.fresh()
        assert fresh.observe([handle])[handle].outcome is Outcome.ERROR
        fresh.cancel([handle])
        assert stranger.poll() is None
        stranger.kill()


def test_a_staged_folder_without_a_wrapper_is_queued_not_found_and_started_by_the_next_submit(
    bench: LocalBench,
) -> None:
    submission = bench.submission(leaves(0))
    handle = Handle(submission.token)
    bench.provider.submit([submission])
    bench.ended(handle)
    job = bench.spool / "jobs" / handle
    for name in ("claim", "exit.json", "phase", "log.txt"):
        (job / name).unlink()
    fresh = bench.fresh()
    assert fresh.observe([handle])[handle].phase is Phase.QUEUED
    assert fresh.find([submission.token]) == {submission.token: None}
    fresh.submit([submission])
    bench.provider = fresh
    assert bench.ended(handle).outcome is Outcome.OK


def test_a_cancelled_folder_without_a_wrapper_can_never_run(bench: LocalBench) -> None:
    count = bench.folder / "count"
    submission = bench.submission(Script(f"echo x >>'{count}'"))
    handle = Handle(submission.token)
    bench.provider.submit([submission])
    bench.ended(handle)
    job = bench.spool / "jobs" / handle
    for name in ("claim", "exit.json", "phase"):
        (job / name).unlink()
    fresh = bench.fresh()
    fresh.cancel([handle])
    assert fresh.observe([handle])[handle].outcome is Outcome.CANCELLED
    subprocess.run(["bash", str(job / "run.sh")], check=True)  # a wrapper that comes late
    assert count.read_text() == "x\n"


def test_a_folder_whose_wrapper_never_began_is_lost_in_the_end(
    bench: LocalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labwright.adapters.providers.local.observe._UNCLAIMED_S", 0.0)
    submission = bench.submission(leaves(0))
    handle = Handle(submission.token)
    bench.provider.submit([submission])
    bench.ended(handle)
    for name in ("claim", "exit.json", "phase"):
        (bench.spool / "jobs" / handle / name).unlink()
    fresh = bench.fresh()
    seen = bench.wait(lambda: s if (s := fresh.observe([handle])[handle]).phase is Phase.ENDED else None, "the end")
    assert seen.outcome is Outcome.LOST
    assert fresh.observe([handle])[handle].outcome is Outcome.LOST


def test_a_second_copy_of_a_wrapper_runs_nothing_but_a_requeue_of_the_same_provider_job_does(bench: LocalBench) -> None:
    count = bench.folder / "count"
    handle = bench.submit(Script(f"echo x >>'{count}'"))
    bench.ended(handle)
    job = bench.spool / "jobs" / handle
    run = ["bash", str(job / "run.sh")]
    subprocess.run(run, check=True)
    subprocess.run(run, check=True, env={**os.environ, "LAB_PROVIDER_JOB": "77"})
    assert count.read_text() == "x\n"
    (job / "claim").write_text("1 1 x 77\n")
    subprocess.run(run, check=True, env={**os.environ, "LAB_PROVIDER_JOB": "78"}, start_new_session=True)
    subprocess.run(run, check=True, env={**os.environ, "LAB_PROVIDER_JOB": "77"}, start_new_session=True)
    assert count.read_text() == "x\n"  # it had ended
    (job / "exit.json").unlink()
    subprocess.run(run, check=True, env={**os.environ, "LAB_PROVIDER_JOB": "77"}, start_new_session=True)
    assert count.read_text() == "x\nx\n"


@pytest.mark.slow
def test_a_job_over_its_memory_is_killed_and_says_so(bench: LocalBench) -> None:
    hog = f"echo begun; {sys.executable} -c 'x = bytearray(200 << 20); import time; time.sleep(600)'"
    handle = bench.submit(Script(hog), task={"resources": {"memory": 0.1}})
    assert bench.ended(handle).outcome is Outcome.OOM
    fits = bench.submit(leaves(0), task={"resources": {"memory": 1}})
    assert bench.ended(fits).outcome is Outcome.OK


def test_a_half_written_exit_record_is_none(bench: LocalBench) -> None:
    handle, job, pid = running(bench)
    (job / "exit.json").write_text('{"token": "x", "co')
    assert bench.see(handle).phase is Phase.RUN
    os.kill(pid, signal.SIGTERM)
    assert bench.ended(handle).outcome is Outcome.ERROR  # a signal of the system, nobody cancelled it
