import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.clock import SystemClock
from labwright.adapters.lease import FileLease, holder
from labwright.domain.errors import Refused
from labwright.ports.ledger import Lease
from labwright.testing.clock import FakeClock

HOLD = """
import sys, time
from pathlib import Path
from labwright.adapters.clock import SystemClock
from labwright.adapters.lease import FileLease
lease = FileLease(Path(sys.argv[1]), SystemClock())
lease.acquire()
exec(sys.argv[2])
print("held", flush=True)
time.sleep(600)
"""


class Holder:
    """Another process that holds the lease until it is killed."""

    def __init__(self, state: Path, then: str = "") -> None:
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, state, then], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.said = self.process.stdout.readline()
        if self.said != "held\n":
            self.said += self.process.stdout.readline()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Holder]:
    process = Holder(tmp_path)
    yield process
    process.kill()


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Lease]:
    mine = FileLease(tmp_path, FakeClock())
    yield mine
    mine.release()


def test_who_holds_it_and_since_when_is_told(tmp_path: Path, lease: Lease, other: Holder) -> None:
    with pytest.raises(
        Refused, match=rf"running already: process {other.process.pid} on .+, since 20..-..-..T.*lab status"
    ):
        lease.acquire()
    found = holder(tmp_path)
    assert found and found["pid"] == other.process.pid


def test_death_releases_it(tmp_path: Path, lease: Lease, other: Holder) -> None:
    other.kill()
    assert holder(tmp_path) is None
    lease.acquire()
    found = holder(tmp_path)
    assert found and found["pid"] == os.getpid() and found["since"] == "2026-01-01T00:00:00+00:00"


def test_it_can_be_released_and_acquired_again(tmp_path: Path, lease: Lease) -> None:
    assert holder(tmp_path) is None
    for _ in range(2):
        lease.acquire()
        lease.acquire()
        assert holder(tmp_path)
        lease.release()
        lease.release()
        assert holder(tmp_path) is None
        second = FileLease(tmp_path, FakeClock())
        second.acquire()
        with pytest.raises(Refused):
            lease.acquire()
        second.release()


def test_the_state_folder_is_made(tmp_path: Path) -> None:
    assert holder(tmp_path / "new") is None
    lease = FileLease(tmp_path / "new" / "state", FakeClock())
    lease.acquire()
    lease.release()


@pytest.mark.parametrize(
    "child",
    [
        "import subprocess; child = subprocess.Popen(['sleep', '600'], close_fds=False).pid",
        "import os; child = os.fork()\nif not child: time.sleep(600)",
        "import os, subprocess; child = subprocess.Popen(['sleep', '600'], close_fds=False, start_new_session=True).pid",
    ],
    ids=["started", "forked", "own session"],
)
def test_jobs_that_outlive_the_controller_do_not_keep_it(tmp_path: Path, lease: Lease, child: str) -> None:
    process = Holder(tmp_path, child + "\nprint(child, flush=True)")
    pid = int(process.said.split()[0])
    try:
        process.kill()
        os.kill(pid, 0)  # still there
        assert holder(tmp_path) is None
        lease.acquire()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_forked_child_does_not_release_it_for_its_parent(tmp_path: Path, lease: Lease) -> None:
    lease.acquire()
    child = os.fork()
    if not child:
        lease.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(Refused):
        FileLease(tmp_path, FakeClock()).acquire()
    found = holder(tmp_path)
    assert found and found["pid"] == os.getpid()


def test_looking_never_keeps_anybody_from_acquiring(tmp_path: Path, lease: Lease) -> None:
    code = "import sys; from pathlib import Path; from labwright.adapters.lease import holder\nprint(flush=True)\nwhile True: holder(Path(sys.argv[1]))"
    looking = [subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for process in looking:
            assert process.stdout and process.stdout.readline()
        for _ in range(200):
            lease.acquire()
            lease.release()
    finally:
        for process in looking:
            process.kill()
            process.communicate()


def test_a_pid_that_was_given_out_again_is_not_the_holder(tmp_path: Path, lease: Lease) -> None:
    lease.acquire()
    file = tmp_path / "lease"
    file.write_text(json.dumps({**json.loads(file.read_text()), "started": "1"}))
    assert holder(tmp_path) is None


@pytest.mark.parametrize(
    "words", ["", "{", "[]", '{"pid": 1}', '{"host": "elsewhere", "pid": 1, "boot": "b", "since": "s"}']
)
def test_the_lock_decides_where_the_words_cannot(tmp_path: Path, lease: Lease, words: str) -> None:
    lease.acquire()
    (tmp_path / "lease").write_text(words)
    assert holder(tmp_path) is not None
    with pytest.raises(Refused):
        FileLease(tmp_path, FakeClock()).acquire()
    lease.release()
    (tmp_path / "lease").write_text(words)
    assert holder(tmp_path) is None


def test_the_system_clock_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.tzname() == "UTC"


def test_the_fake_clock_moves_only_when_told_to() -> None:
    clock = FakeClock()
    start = clock.now()
    assert clock.now() == start
    assert (clock.advance(1.5) - start).total_seconds() == 1.5 and clock.now() > start
