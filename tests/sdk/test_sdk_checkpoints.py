"""A checkpoint is complete or not there, and the last complete one is never lost."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest


def names(job):
    return sorted(path.name for path in (job.dir / "checkpoints").iterdir())


def test_a_checkpoint_lists_its_files_with_size_and_sha256(job):
    (job.cwd / "dir/sub").mkdir(parents=True)
    (job.cwd / "dir/w").write_bytes(b"12")
    (job.cwd / "dir/sub/o").write_bytes(b"3")
    job.run("import lab; lab.save_checkpoint('dir', step=3, metric=0.3); lab.save_checkpoint('dir/w', name='one')")
    mark = json.loads((job.dir / "checkpoints/step-3.json").read_text())
    assert (mark["name"], mark["step"], mark["metric"]) == ("step-3", 3, 0.3)
    assert [(file["path"], file["size"], len(file["sha256"])) for file in mark["files"]] == [
        ("step-3/sub/o", 1, 64),
        ("step-3/w", 2, 64),
    ]
    assert json.loads((job.dir / "checkpoints/one.json").read_text())["files"][0]["path"] == "one"
    assert [(event["path"], event["size"]) for event in job.events("checkpoint")] == [("step-3", 3), ("one", 2)]
    assert names(job) == ["one", "one.json", "step-3", "step-3.json"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_same_name_again_replaces_it(job, kind):
    make = (
        "open('c', 'w').write(str(i))"
        if kind == "file"
        else "os.makedirs('c', exist_ok=True); open('c/x', 'w').write(str(i))"
    )
    job.run(f"import lab, os\nfor i in range(3):\n    {make}; assert lab.save_checkpoint('c')\n")
    assert names(job) == ["c", "c.json"]
    path = job.dir / "checkpoints" / ("c" if kind == "file" else "c/x")
    assert path.read_text() == "2"


KILLED = """
import builtins, lab, os, signal
def put(text):
    if KIND == 'folder': os.makedirs('c', exist_ok=True)
    with open('c/w' if KIND == 'folder' else 'c', 'w') as file: file.write(text)
def wrapped(module, name):
    real = getattr(module, name)
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0: os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(module, name, call)
put('version-1' + 'x' * 10)
assert lab.save_checkpoint('c')
put('version-2' + 'x' * 5000)
left = CALLS
for name in ('open', 'rename', 'replace', 'unlink', 'rmdir', 'fsync', 'makedirs', 'chmod'): wrapped(os, name)
wrapped(builtins, 'open')
assert lab.save_checkpoint('c')
os._exit(9)
"""
READ = """
import lab, os
path = lab.resume()
assert path == lab.resume(verify=True)
with open(path + '/w' if os.path.isdir(path) else path) as file: print(file.read()[:9])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_before_any_system_call_of_a_save_leaves_a_complete_checkpoint(job, kind):
    """The process is killed before its 1st, 2nd, … change of the file system; each time one version must be whole."""
    seen = []
    for calls in range(100):
        done = job.run(KILLED.replace("CALLS", str(calls)).replace("KIND", repr(kind)), status=None)
        seen.append(job.run(READ).stdout.strip())
        assert seen[-1] in ("version-1", "version-2"), (calls, seen, names(job))
        if done.returncode == 9:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    else:
        raise AssertionError("the save never ended")
    assert set(seen) == {"version-1", "version-2"} and len(seen) > 8
    assert names(job) == ["c", "c.json"]  # what the killed ones left is swept


@pytest.mark.slow
def test_a_kill_at_any_instant_of_a_save_leaves_the_previous_one(job):
    """Real SIGKILL at random instants of saves of 20 MB."""
    code = (
        "import lab\n"
        "for i in range(1000):\n"
        "    with open('c', 'wb') as file: file.write(b'%08d\\n' % i + bytes(20_000_000 + i))\n"
        "    assert lab.save_checkpoint('c'); print(i, flush=True)"
    )
    for delay in [random.Random(7).uniform(0.05, 0.6) for _ in range(8)]:
        process = job.start(code)
        first = process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        told = (first + process.communicate()[0]).split()
        found = int(job.run("import lab; print(open(lab.resume(verify=True), 'rb').read(8).decode())").stdout)
        assert found >= int(told[-1])


def test_an_incomplete_checkpoint_is_no_checkpoint(job):
    folder = job.dir / "checkpoints"
    folder.mkdir()
    (folder / "data-only").write_text("x")
    (folder / "mark-only.json").write_text(
        json.dumps({"name": "mark-only", "t": 9e9, "files": [{"path": "mark-only", "size": 1}]})
    )
    (folder / "short").write_text("x")
    (folder / "short.json").write_text(json.dumps({"name": "short", "t": 9e9, "files": [{"path": "short", "size": 2}]}))
    (folder / "odd.json").write_text("[1]")
    (folder / "torn.json").write_text('{"name":')
    (folder / ".tmp-0-1-1").write_text("x")
    assert job.run("import lab; print(lab.resume(), lab.get_checkpoint_paths())").stdout == "None []\n"


def test_a_damaged_checkpoint_is_passed_over_when_verified(job):
    job.run("import lab\nfor i in (1, 2): open('c', 'w').write(f'v{i}'); lab.save_checkpoint('c', step=i)")
    (job.dir / "checkpoints/step-2").write_text("vX")
    assert (
        job.run("import lab; print(lab.resume().split('/')[-1], lab.resume(verify=True).split('/')[-1])").stdout
        == "step-2 step-1\n"
    )


def test_resume_looks_in_the_own_folder_then_where_the_last_attempt_left(job):
    old = job.cwd / "old"
    old.mkdir()
    code = "import lab; print(lab.resume() == lab.get_checkpoint_to_resume(), lab.resume(), lab.get_parent_job_checkpoint_path())"
    assert job.run(code).stdout == "True None None\n"
    job.run("import lab; lab.save_checkpoint('/etc/hostname', step=7)", LAB_JOB_DIR=str(old))
    there = f"{old}/checkpoints/step-7"
    assert job.run(code, LAB_RESUME_FROM=f"{old}/checkpoints").stdout == f"True {there} {there}\n"
    job.run("import lab; lab.save_checkpoint('/etc/hostname', step=8)")
    assert job.run(code, LAB_RESUME_FROM=f"{old}/checkpoints").stdout == f"True {job.dir}/checkpoints/step-8 {there}\n"
    assert (
        job.run(
            "import lab; print(lab.get_parent_job_checkpoint_path('j', 'step-9'))", LAB_RESUME_FROM=f"{old}/checkpoints"
        ).stdout
        == "None\n"
    )


def save(job, keep, metrics=(0.5, 0.2, 0.9, 0.3, 0.7)):
    job.run(
        f"import lab\nfor i, m in enumerate({list(metrics)}): lab.save_checkpoint('/etc/hostname', step=i, metric=m, {keep})"
    )
    return [name for name in names(job) if not name.endswith(".json")]


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("keep_last=2", [3, 4]),
        ("keep_last=0", [4]),
        ("keep_best=2", [1, 3, 4]),
        ("keep_best=2, lower_is_better=False", [2, 4]),
        ("keep_last=2, keep_best=1", [1, 3, 4]),
        ("keep_last=9", [0, 1, 2, 3, 4]),
    ],
)
def test_the_last_and_the_best_are_kept_and_always_the_newest(job, keep, left):
    assert save(job, keep) == [f"step-{step}" for step in left]


def test_a_nan_metric_is_the_worst(job):
    job.run(
        "import lab\nfor i, m in enumerate([float('nan'), 0.2, float('inf'), 0.9]):"
        " lab.save_checkpoint('/etc/hostname', step=i, metric=m, keep_best=2)"
    )
    assert [name for name in names(job) if "." not in name] == ["step-1", "step-3"]


def test_without_a_metric_keep_best_removes_nothing(job):
    job.run("import lab\nfor i in range(3): lab.save_checkpoint('/etc/hostname', step=i, keep_best=1)")
    assert len(names(job)) == 6


def test_a_checkpoint_written_in_place_is_not_copied(job):
    job.run(
        "import lab, os\np = lab.get_checkpoints_dir() + '/checkpoint-5'; os.mkdir(p); open(p + '/w', 'w').write('x')\n"
        "assert lab.save_checkpoint(p, step=5) == p and lab.resume() == p"
    )
    assert names(job) == ["checkpoint-5", "checkpoint-5.json"]


def test_ranks_do_not_overwrite_each_other(job):
    for rank in ("0", "1"):
        job.run("import lab; lab.save_checkpoint('/etc/hostname', step=3, keep_last=1)", RANK=rank)
    assert names(job) == ["step-3", "step-3-rank1", "step-3-rank1.json", "step-3.json"]
    assert job.run("import lab; print(lab.resume())", RANK="1").stdout.endswith("rank1\n")
    assert job.run("import lab; print(lab.resume())", RANK="2").stdout != "None\n"
    assert job.run("import lab; print(lab.resume())").stdout.endswith("step-3\n")
