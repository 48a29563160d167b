"""The Transport port on the system's own ssh: whatever opens a connection at the terminal opens it here."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from labwright.adapters.transports import ssh_words
from labwright.adapters.transports.dialing import Link, turn
from labwright.adapters.transports.host_keys import pinned
from labwright.adapters.transports.login import Login
from labwright.adapters.transports.pipes import Child
from labwright.adapters.transports.shell import COMMAND
from labwright.adapters.transports.shells import ShellTransport
from labwright.domain.errors import Refused, Unavailable

_LOGIN_TIME = 30.0
_LINGERS = 60
"""Seconds that our master outlives us, should we be killed."""


class OpenSshTransport(ShellTransport):
    """One master connection (ControlMaster) to a login node, made at the first call, and again when it is lost.

    Where the user's own ~/.ssh/config names a ControlPath and a master is open there (behind a second factor, say), that one is
    used and left as it is. Otherwise all of ~/.ssh/config is followed: ProxyJump, Kerberos, keys on tokens, Include. Nothing is
    ever asked (BatchMode), host keys are always checked, nothing is forwarded.
    """

    def __init__(
        self,
        login: Login,
        *,
        channels: int = 4,
        most: int = 64 << 20,
        connect_timeout: float = 10.0,
        keepalive: int = 15,
    ) -> None:
        connect = functools.partial(_connect, login, connect_timeout, keepalive)
        super().__init__(str(login), connect, channels=channels, most=most, patience=connect_timeout + 5)


def _connect(login: Login, timeout: float, keepalive: int) -> Link:
    login.check_key_file()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="lab-ssh-", dir=_short()))  # 0700
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ssh = _Ssh(login, _options(login, folder, timeout, keepalive), timeout)
        settings = ssh.settings()
        users = settings.get("controlpath", "none")
        if users != "none" and (pid := ssh.master(users)):
            return OpenSshLink(ssh, users, pid, stack.pop_all(), ours=False)
        path = str(folder / "master")
        with turn(f"{settings['hostname']}:{settings['port']}"):
            ssh.open_master(path)
        pid = ssh.master(path)
        if not pid:
            raise Unavailable(f"{ssh.name}: the connection was lost as soon as it was made")
        return OpenSshLink(ssh, path, pid, stack.pop_all(), ours=True)


def configured(login: Login, folder: Path, timeout: float) -> dict[str, str]:
    """What ssh makes of its settings and the login. `folder` is for files of ours."""
    return _Ssh(login, _options(login, folder, timeout, 15), timeout).settings()


def _short() -> str:
    """Where a socket's path, of 107 characters at most, finds room."""
    usual = tempfile.gettempdir()
    return usual if len(usual) < 60 else "/tmp"  # noqa: S108  # a private folder in it


def _options(login: Login, folder: Path, timeout: float, keepalive: int) -> Sequence[str]:
    settings = [
        "BatchMode=yes", "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes",
        "PermitLocalCommand=no", "RemoteCommand=none", "RequestTTY=no",
        f"ConnectTimeout={max(1, round(timeout))}", "ConnectionAttempts=1", f"ServerAliveInterval={keepalive}", "ServerAliveCountMax=2",
    ]  # fmt: skip
    if login.key_file:
        settings += [f'IdentityFile="{Path(login.key_file).expanduser()}"', "IdentitiesOnly=yes"]
    if login.host_key:
        file = folder / "known_hosts"
        file.write_text("".join(f"pinned {key.kind} {key.base64}\n" for key in pinned(login.host_key)))
        settings += [f'UserKnownHostsFile="{file}"', "GlobalKnownHostsFile=/dev/null", "HostKeyAlias=pinned"]
    elif login.known_hosts:
        settings += [f'UserKnownHostsFile="{Path(login.known_hosts).expanduser()}"', "GlobalKnownHostsFile=/dev/null"]
    return [
        *(["-F", str(Path(login.config_file).expanduser())] if login.config_file else []),
        *(["-l", login.user] if login.user else []),
        *(["-p", str(login.port)] if login.port else []),
        *(part for setting in settings for part in ("-o", setting)),
    ]


class _Ssh:
    def __init__(self, login: Login, options: Sequence[str], timeout: float) -> None:
        self._login, self._options, self._timeout = login, options, timeout
        self.name = str(login)

    def argv(self, *more: str) -> list[str]:
        return ["ssh", *self._options, *more, "--", self._login.host]

    def settings(self) -> dict[str, str]:
        """What ssh makes of its settings for this host."""
        code, said = self._ran(self.argv("-G"), self._timeout)
        if code:
            raise Refused(f"{self.name}: {said.strip()}", hint="see ~/.ssh/config")
        return dict(line.partition(" ")[::2] for line in said.splitlines())

    def master(self, path: str) -> int:
        """The process that keeps a connection open at `path`, or 0."""
        code, said = self._ran(self.argv("-S", path, "-O", "check"), self._timeout)
        pid = said.partition("(pid=")[2].partition(")")[0]
        return int(pid) if code == 0 and pid.isdigit() else 0

    def open_master(self, path: str) -> None:
        control = ["-o", "ControlMaster=yes", "-o", f"ControlPath={path}", "-o", f"ControlPersist={_LINGERS}"]
        code, said = self._ran(self.argv("-v", "-fN", *control), self._timeout + _LOGIN_TIME)
        if code:
            raise ssh_words.told(said, self.name, self._login)

    def end_master(self, path: str, pid: int) -> None:
        with contextlib.suppress(Refused, Unavailable):
            code, _ = self._ran(self.argv("-S", path, "-O", "exit"), self._timeout)
            if code and Path(path).exists():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)

    def _ran(self, argv: Sequence[str], timeout: float) -> tuple[int, str]:
        """Output goes to a file: a master that stays would keep a pipe open."""
        with tempfile.TemporaryFile() as file:
            try:
                code = subprocess.run(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    check=False,
                    start_new_session=True,  # no terminal to ask at
                    env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise Unavailable(f"{self.name}: no answer in {timeout:g} s") from error
            except OSError as error:
                raise Refused(
                    "ssh: cannot be run here", hint="install OpenSSH's client, or use the fabric transport"
                ) from error
            file.seek(0)
            return code, file.read().decode(errors="replace")


class OpenSshLink:
    def __init__(self, ssh: _Ssh, path: str, pid: int, opened: contextlib.ExitStack, *, ours: bool) -> None:
        self._ssh, self._path, self._pid, self._opened, self._ours = ssh, path, pid, opened, ours

    def alive(self, *, sure: bool = False) -> bool:
        if sure:
            with contextlib.suppress(Unavailable, Refused):
                return self._ssh.master(self._path) == self._pid
        try:
            os.kill(self._pid, 0)
        except OSError:
            return False
        return Path(self._path).exists()

    def channel(self) -> Child:
        """ssh would make a connection of its own where the master is gone; `false` keeps it from that."""
        command = ["-S", self._path, "-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-T"]
        return Child([*self._ssh.argv(*command), COMMAND])

    def close(self) -> None:
        if self._ours:
            self._ssh.end_master(self._path, self._pid)
        self._opened.close()
