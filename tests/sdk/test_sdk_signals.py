"""SIGTERM and SIGUSR1 ask for a checkpoint where the script asks for them, and do what they always did where it does not."""

from __future__ import annotations

import signal

LOOP = """
import lab, os, signal, sys, time
{before}
print('ready', flush=True)
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    {step}
    time.sleep(0.005)
"""
ASK = "if lab.should_checkpoint(): print('save', lab.should_checkpoint(), flush=True); sys.exit(7)"


def ended(job, number, before, step):
    process = job.start(LOOP.format(before=before, step=step))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_sigterm_makes_should_checkpoint_true_once(job):
    assert ended(job, signal.SIGTERM, "lab.should_checkpoint()", ASK) == (7, "save False\n", "")


def test_sigusr1_makes_should_checkpoint_true_once(job):
    assert ended(job, signal.SIGUSR1, "lab.should_checkpoint()", ASK) == (7, "save False\n", "")


def test_sigusr1_is_heard_from_init_on(job):
    assert ended(job, signal.SIGUSR1, "lab.init()", "time.sleep(0.2)\n    " + ASK)[0] == 7


def test_a_script_that_never_asks_ends_at_sigterm(job):
    assert ended(job, signal.SIGTERM, "lab.init(); lab.log({'a': 1})", "lab.log({'a': 1})")[0] == -signal.SIGTERM


def test_the_handler_of_the_script_is_called_too(job):
    before = "signal.signal(signal.SIGTERM, lambda *a: print('mine', flush=True)); lab.should_checkpoint()"
    assert ended(job, signal.SIGTERM, before, ASK) == (7, "mine\nsave False\n", "")


def test_a_forked_worker_ends_at_sigterm_though_its_parent_listens(job):
    """As DataLoader and Pool end theirs: a worker that swallowed the signal would hang them for ever."""
    code = (
        "import lab, os, signal, time\nlab.should_checkpoint()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    time.sleep(30); os._exit(0)\n"
        "time.sleep(0.1); os.kill(pid, signal.SIGTERM); print(os.waitpid(pid, 0)[1])"
    )
    assert job.run(code).stdout == f"{int(signal.SIGTERM)}\n"


def test_a_started_program_ends_at_sigterm_though_its_parent_listens(job):
    code = (
        "import lab, subprocess\nlab.init(); lab.should_checkpoint()\n"
        "p = subprocess.Popen(['sleep', '30']); p.terminate(); print(p.wait())"
    )
    assert job.run(code).stdout == f"{-signal.SIGTERM}\n"


def test_asked_first_in_another_thread_it_says_what_to_do_and_the_main_thread_can_still_ask(job):
    code = (
        "import lab, threading, os, signal\n"
        "t = threading.Thread(target=lab.should_checkpoint); t.start(); t.join()\n"
        "assert lab.should_checkpoint() is False\n"
        "os.kill(os.getpid(), signal.SIGTERM); assert lab.should_checkpoint() is True"
    )
    assert "in the main thread" in job.run(code).stderr


def test_a_checkpoint_is_due_every_so_many_seconds(job):
    code = (
        "import lab, time\nassert not lab.should_checkpoint(); time.sleep(0.25)\n"
        "assert lab.should_checkpoint() and not lab.should_checkpoint(); time.sleep(0.25)\n"
        "lab.save_checkpoint('/etc/hostname'); assert not lab.should_checkpoint()"
    )
    job.run(code, LAB_CHECKPOINT_EVERY="0.2")


def test_an_interval_that_is_no_number_is_told(job):
    assert (
        "not a number" in job.run("import lab; assert not lab.should_checkpoint()", LAB_CHECKPOINT_EVERY="soon").stderr
    )
