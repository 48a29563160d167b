"""The shell protocol over the pipes of a bash of this machine: all of a login node but its sshd."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labwright.adapters.transports import files, shells
from labwright.adapters.transports.dialing import Full
from labwright.adapters.transports.pipes import Child
from labwright.adapters.transports.shell import Shell
from labwright.adapters.transports.shells import ShellTransport
from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.ports.transport import Ran
from labwright.testing.transport_suite import TransportSuite

BASH = ["bash", "--noprofile", "--norc", "-p"]


class Here:
    """A link whose channels are processes of ours. `room` of them at once."""

    def __init__(self, home: Path, room: int = 10, command: list[str] = BASH) -> None:
        self.room, self.command, self.home = room, command, home
        self.up = True
        self._lock = threading.Lock()
        self.opened: list[Child] = []

    def alive(self, *, sure: bool = False) -> bool:
        return self.up

    def channel(self) -> Child:
        with self._lock:
            if len(self.opened) >= self.room:
                raise Full("no more sessions")
            self.opened.append(Child(["env", "-i", f"HOME={self.home}", f"PATH={os.environ['PATH']}", *self.command]))
            return self.opened[-1]

    def close(self) -> None:
        self.up = False
        for child in self.opened:
            child.close()


class World:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.links: list[Here] = []
        self.connects: Refused | Unavailable | None = None
        self.command = BASH
        self.room = 10

    def connect(self) -> Here:
        if self.connects:
            raise self.connects
        self.links.append(Here(self.home, self.room, self.command))
        return self.links[-1]

    def transport(self, **settings: float) -> ShellTransport:
        return ShellTransport("here", self.connect, **{"patience": 20, "login_patience": 20, **settings})  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    home = tmp_path / "home"
    home.mkdir()
    world = World(home)
    yield world
    for link in world.links:
        link.close()


class TestShellTransport(TransportSuite):
    @pytest.fixture
    def transport(self, world: World) -> ShellTransport:
        return world.transport(most=self.MOST)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        (tmp_path / "folder").mkdir()
        return str(tmp_path / "folder")


PROFILES = {
    "prints": "echo noise; echo noise >&2; (while sleep 0.01; do echo more; echo more >&2; done) & noise=$!; (sleep 3; kill $noise) &",
    "stops at errors": "set -euo pipefail",
    "is slow": "sleep 3",
    "defines what we use": "head() { echo no; }; printf() { echo no; }; read() { :; }; export -f head printf; alias cat=false; shopt -s expand_aliases",
    "reads its input": "cat; read -r line; read -r line",
    "ends a read": "readonly TMOUT=1; export TMOUT",
    "is posix": "export POSIXLY_CORRECT=1",
    "traces": "set -x; export SHELLOPTS BASH_XTRACEFD=1",
    "has other words": "export LC_ALL=no_such.locale IFS=e CDPATH=/:/usr",
    "names our names": "export _lab_secret=1 _lab_size=7 _lab_most=1",
    "reads a file in every shell": "echo 'echo noise; echo noise >&2' >~/env; export BASH_ENV=~/env ENV=~/env",
    "goes elsewhere": "cd /; export HOME",
    "sets parameters": "set -- a b c; exec 7>/dev/null 8>/dev/null 9</dev/null",
}


SLOW = {"is slow"}


@pytest.mark.parametrize(
    "profile",
    [pytest.param(text, id=name, marks=[pytest.mark.slow] if name in SLOW else []) for name, text in PROFILES.items()],
)
def test_a_profile_sets_the_environment_and_nothing_else(world: World, profile: str) -> None:
    (world.home / ".bash_profile").write_text(
        f"hello() {{ echo hello; }}; export -f hello\nexport PATH=$PATH:/opt/slurm/bin SITE=here\n{profile}\n"
    )
    transport = world.transport()
    for _ in range(3):
        assert transport.run(["tee", "/dev/stderr"], stdin=b"a line\n") == Ran(0, b"a line\n", "a line\n")
        lines = transport.run(["env"]).text.splitlines()
        assert {"SITE=here", f"PWD={world.home}"} <= set(lines)
        assert any(line.startswith("PATH=") and line.endswith(":/opt/slurm/bin") for line in lines)
    assert transport.run(["env", "-u", "BASH_ENV", "bash", "-c", "hello"]).text == "hello\n"
    assert transport.warning == ""


@pytest.mark.parametrize(
    "profile", ["exit 1", "exec sleep 0", "kill -9 $$", pytest.param("exec sleep 600", marks=pytest.mark.slow)]
)
def test_a_login_shell_that_ends_or_hangs_is_done_without_and_said_so(world: World, profile: str) -> None:
    (world.home / ".bash_profile").write_text(profile)
    transport = world.transport(login_patience=3)
    assert transport.run(["echo", "x"]).text == "x\n"
    assert "login shell" in transport.warning
    (world.home / ".bash_profile").write_text("export SITE=here")
    transport.close()
    assert transport.run(["sh", "-c", "echo $SITE"]).text == "here\n"
    assert transport.warning == "", "tried again with the next connection"


def test_the_environment_of_a_command_has_nothing_of_ours(world: World) -> None:
    (world.home / ".bash_profile").write_text(
        "export BASH_ENV=/none TMOUT=900 UNUSUAL='a\nb'\nmodule() { :; }; export -f module; umask 027; ulimit -c 0"
    )
    ran = world.transport().run(
        ["bash", "-p", "-c", "env -0 | cut -zd= -f1 | sort -z | tr '\\0' ' '; umask; ulimit -c"]
    )
    ours = "BASH_ENV BASH_FUNC_module%% HOME PATH PWD SHLVL TMOUT UNUSUAL _ 0027 0"
    assert ran.text.split() == ours.split()


def test_a_shell_that_is_killed_leaves_the_outcome_unknown_and_the_next_call_works(world: World) -> None:
    transport = world.transport()
    with pytest.raises(OutcomeUnknown):
        transport.run(["sh", "-c", KILL_OUR_SHELL])
    assert transport.run(["echo", "next"]).text == "next\n"


KILL_OUR_SHELL = """
group=$(cut -d' ' -f4 /proc/$PPID/stat)
kill -9 "$(cut -d' ' -f4 /proc/$group/stat)"
sleep 1
"""


@pytest.mark.slow
def test_a_site_that_ends_idle_shells_does_not_end_ours(world: World) -> None:
    (world.home / ".bash_profile").write_text("readonly TMOUT=1; export TMOUT")
    transport = world.transport()
    for _ in range(2):
        transport.run(["true"])
        time.sleep(1.5)
    assert len(world.links[0].opened) == 1


def test_a_shell_that_ends_while_idle_is_replaced_unnoticed(world: World) -> None:
    transport = world.transport()
    transport.run(["true"])
    world.links[0].opened[0].close()
    assert transport.run(["echo", "next"]).text == "next\n"
    assert len(world.links) == 1


def test_a_shell_that_hangs_while_idle_is_found_before_a_command_is_risked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shells, "_STALE", 0.0)
    transport = world.transport(patience=1)
    pid = transport.run(
        ["sh", "-c", "group=$(cut -d' ' -f4 /proc/$PPID/stat); cut -d' ' -f4 /proc/$group/stat"]
    ).text.strip()
    os.kill(int(pid), 19)
    assert transport.run(["echo", "next"]).text == "next\n"


def test_a_machine_that_allows_fewer_channels_is_used_with_fewer(world: World) -> None:
    world.room = 2
    transport = world.transport()
    with ThreadPoolExecutor(8) as pool:
        assert [ran.text for ran in pool.map(lambda n: transport.run(["echo", str(n)]), range(40))] == [
            f"{n}\n" for n in range(40)
        ]
    assert len(world.links[0].opened) == 2


def test_a_machine_that_allows_no_channel_is_unavailable(world: World) -> None:
    world.room = 0
    with pytest.raises(Unavailable, match="no channel"):
        world.transport().run(["true"])


def test_at_most_four_shells_are_opened(world: World) -> None:
    transport = world.transport()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda n: transport.run(["sleep", "0.1"]), range(24)))
    assert len(world.links) == 1 and len(world.links[0].opened) <= 4


def test_who_finds_all_channels_at_work_is_told_when_the_time_is_up(world: World) -> None:
    transport = world.transport(channels=1)
    transport.run(["true"])
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(transport.run, ["sleep", "2"])
        while not transport._taken:
            time.sleep(0.01)
        with pytest.raises(Unavailable, match="at work"):
            transport.run(["true"], timeout=0.2)
        assert busy.result().code == 0


def test_after_a_failed_connection_calls_fail_at_once_until_it_is_tried_again(world: World) -> None:
    world.connects = Unavailable("down")
    transport = world.transport()
    with pytest.raises(Unavailable) as first:
        transport.run(["true"])
    assert 0.7 < first.value.retry_in < 1.3
    world.connects = None
    with pytest.raises(Unavailable) as second:
        transport.run(["true"])
    assert 0 < second.value.retry_in <= first.value.retry_in and not world.links
    time.sleep(second.value.retry_in)
    assert transport.run(["true"]).code == 0


def test_a_refusal_is_not_tried_again_at_every_call(world: World) -> None:
    world.connects = Refused("no such key")
    transport = world.transport()
    for _ in range(3):
        with pytest.raises(Refused, match="no such key"):
            transport.run(["true"])
        world.connects = None
    transport.close()
    assert transport.run(["true"]).code == 0


@pytest.mark.parametrize("command", [["false"], ["sh", "-c", "echo This account is not available; exit 1"]])
def test_a_machine_that_gives_no_shell_is_unavailable_in_its_own_words(world: World, command: list[str]) -> None:
    world.command = command
    with pytest.raises(Unavailable, match="not available" if len(command) > 1 else "ended"):
        world.transport().run(["true"])


def test_what_is_not_said_by_us_is_not_run(world: World) -> None:
    child = Here(world.home).channel()
    shell = Shell(child)
    shell.start(login=False, patience=20, login_patience=20)
    child.pump(memoryview(b"secret mark 9 0 100 2\0touch\0" + f"{world.home}/evil\0".encode()), 5)
    until = time.monotonic() + 20
    while not shell.ended():
        assert time.monotonic() < until
    assert list(world.home.iterdir()) == []
    child.close()


def test_a_file_of_which_a_part_came_is_not_there(world: World) -> None:
    transport = world.transport()
    for data in (b"a part", b"all of it, and not what tells\n", b""):
        ran = transport.run(["sh", "-c", files._PUT, "lab", f"{world.home}/file", "600", "9", "end"], stdin=data)
        assert ran.code == 1
    assert list(world.home.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="sets a limit on another user")
def test_a_machine_that_starts_no_more_processes_runs_nothing_of_the_input(world: World) -> None:
    world.home.chmod(0o777)
    limited = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "prlimit", "--nproc=5", *BASH]
    world.command = limited
    for parent in world.home.parents:
        if parent != parent.parent and parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    transport = world.transport()
    for script in (b"touch ~/evil\n" * 100, b"\0touch ~/evil\0" * 100):
        for _ in range(2):  # whichever of our processes it is that cannot be started
            with contextlib.suppress(Unavailable, OutcomeUnknown):
                transport.run(["sh", "-c", "cat | cat"], stdin=script)
    assert list(world.home.iterdir()) == []
