"""Nothing recorded is lost, whatever ends or hinders the process; and nothing that hinders recording ends the process."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

POINTS = 100_000


@pytest.mark.slow
def test_sigkill_loses_no_point(job):
    code = f"import lab, os, signal\nfor i in range({POINTS}): lab.log({{'loss': 1 / (i + 1)}}, step=i)\nos.kill(os.getpid(), signal.SIGKILL)"
    job.run(code, status=-signal.SIGKILL)
    assert [event["step"] for event in job.events("metric")] == list(range(POINTS))


def test_killed_from_outside_every_finished_call_is_kept_and_every_line_is_whole(job):
    """The script tells, after each call, which it was; the last told must be there."""
    code = "import lab, os\ni = 0\nwhile True:\n    lab.log({'loss': 0.5}, step=i); os.write(1, b'%d\\n' % i); i += 1"
    process = job.start(code)
    while not job.events("metric"):
        time.sleep(0.01)
    time.sleep(0.1)
    process.kill()
    told = process.communicate()[0].splitlines()
    steps = [event["step"] for event in job.events("metric")]
    assert steps == list(range(len(steps))) and int(told[-1]) <= steps[-1]


def test_forked_writers_append_whole_lines(job):
    """DataLoader workers, in short: 8 processes, long and short lines, one file."""
    code = (
        "import lab, os\nlab.init()\n"
        "for worker in range(8):\n"
        "    if os.fork() == 0:\n"
        "        for i in range(500): lab.log({'w%d/%s' % (worker, 'x' * (i % 50) * 40): i}, step=worker)\n"
        "        os._exit(0)\n"
        "for _ in range(8): os.wait()"
    )
    job.run(code)
    steps = [event["step"] for event in job.events("metric")]
    assert sorted(steps) == sorted(list(range(8)) * 500)


def test_threads_append_whole_lines(job):
    code = (
        "import lab, threading\n"
        "def work():\n    for i in range(300): lab.log({'a': 1.0, 'b': i})\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]"
    )
    job.run(code)
    assert len(job.events("metric")) == 2400


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID", "LAB_RANK"])
def test_each_rank_writes_its_own_file(job, variable):
    job.run("import lab; lab.log({'a': 1})", **{variable: "0"})
    job.run("import lab; lab.log({'a': 2}); lab.finish()", **{variable: "3"})
    assert [event["m"] for event in job.events("metric")] == [{"a": 1}]
    assert [event["m"] for event in job.events("metric", "events.3.jsonl")] == [{"a": 2}]
    assert not (job.dir / "manifest.json").exists()


def test_a_forked_child_with_another_rank_writes_its_own_file(job):
    code = "import lab, os\nlab.log({'a': 1})\nif os.fork() == 0:\n    os.environ['RANK'] = '1'; lab.log({'a': 2}); os._exit(0)\nos.wait()"
    job.run(code)
    assert len(job.events("metric")) == 1 and len(job.events("metric", "events.1.jsonl")) == 1


def test_a_full_disk_warns_once_and_training_goes_on(job):
    """RLIMIT_FSIZE stands in for the full disk: the write that crosses it is cut short, the next ones fail."""
    code = (
        "import lab, resource, os\n"
        "lab.log({'before': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "for i in range(200): lab.log({'loss': 1.0}, step=i)\n"
        "lab.save_artifact(b'x' * 5000, 'big.bin'); lab.save_checkpoint('/bin/sh'); lab.finish()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "lab.log({'after': 1}); print('trained')"
    )
    done = job.run(code)
    assert done.stdout == "trained\n"
    assert done.stderr.count("events are not recorded") == 1
    lines = (job.dir / "events.jsonl").read_bytes().splitlines()
    assert b'"after"' in lines[-1] and lines[-1].startswith(b"{")  # the torn line does not swallow what follows
    assert list((job.dir / "checkpoints").iterdir()) == []


def test_dev_full_warns_and_training_goes_on(job):
    (job.dir / "events.jsonl").symlink_to("/dev/full")
    assert "No space left" in job.run("import lab\nfor i in range(5): lab.log({'a': i})").stderr


def test_a_folder_that_cannot_be_written_warns_and_training_goes_on(job):
    """A file where the folder should be: refused to root too."""
    code = (
        "import lab\nlab.init(config={'a': 1}); lab.log({'a': 1}); lab.log('text'); lab.update_progress(5)\n"
        "for _ in lab.track(range(2)): pass\n"
        "assert lab.resume() is None and lab.save_checkpoint('/bin/sh') is None and lab.save_artifact({'a': 1}) is None\n"
        "open(lab.get_checkpoints_dir() + '/x', 'w').close(); open(lab.get_artifacts_dir() + '/x', 'w').close()\n"
        "assert lab.get_artifact_paths() == [] and lab.artifacts_of('alpha/train') == []\n"
        "lab.finish(score=1); lab.error('x'); print('trained')"
    )
    (job.cwd / "file").write_text("")
    done = job.run(code, LAB_JOB_DIR=str(job.cwd / "file" / "job"))
    assert done.stdout == "text\ntrained\n" and "training goes on" in done.stderr


def test_a_missing_file_warns_and_training_goes_on(job):
    done = job.run("import lab; assert lab.save_artifact('no.pt') is None; assert lab.save_checkpoint('no.pt') is None")
    assert "there is no file no.pt" in done.stderr and "there is no checkpoint no.pt" in done.stderr


def test_a_closed_descriptor_is_opened_again(job):
    job.run("import lab, os\nlab.log({'a': 1}); os.closerange(3, 256); lab.log({'a': 2}); lab.log({'a': 3})")
    assert [event["m"]["a"] for event in job.events("metric")] == [1, 2, 3]


def test_an_unfinished_last_line_of_an_earlier_process_is_ended_first(job):
    (job.dir / "events.jsonl").write_bytes(b'{"t":1,"e":"met')
    job.run("import lab; lab.log({'a': 1}); lab.log({'a': 2})")
    lines = (job.dir / "events.jsonl").read_bytes().splitlines()
    assert len(lines) == 3 and lines[0] == b'{"t":1,"e":"met'


@pytest.mark.slow
def test_memory_does_not_grow_with_calls(job):
    code = (
        "import lab, resource\n"
        "rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for i in range(20000): lab.log({'loss': 0.5}, step=i)\n"
        "before = rss()\n"
        "for i in range(1000000): lab.log({'loss': 0.5}, step=i)\n"
        "print(rss() - before)"
    )
    job.run("pass")
    grown = int(job.run(code).stdout) * (1 if os.uname().sysname == "Linux" else 1 / 1024)
    assert grown < 1024, f"{grown} KiB"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0


def test_recording_starts_no_thread_and_leaves_no_child(job):
    job.run(
        "import lab, os\nlab.init(); lab.log({'a': 1}); assert len(os.listdir('/proc/self/task')) == 1"
        if Path("/proc").is_dir()
        else ""
    )
