"""A real sshd of one's own: on a free port of loopback, with throw-away keys, as whoever runs the tests."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

BINARY = "/usr/sbin/sshd"


def _key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)], check=True)
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Sshd:
    """`home` is what its sessions take for home; `settings` are lines of sshd_config and come first."""

    def __init__(self, folder: Path, home: Path, settings: str = "") -> None:
        self.folder, self.home = folder, home
        self.user, self.port = getpass.getuser(), _free_port()
        self.key, self.log = _key(folder / "user_key"), folder / "sshd.log"
        self.known_hosts = folder / "known_hosts"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._host_key = _key(folder / "host_key")
        self.trust()

    def trust(self) -> None:
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.host_key}\n")

    @property
    def host_key(self) -> str:
        return " ".join(self._host_key.with_name(self._host_key.name + ".pub").read_text().split()[:2])

    def new_host_key(self) -> None:
        self._host_key = _key(self.folder / f"{self._host_key.name}_")

    def other_key(self, name: str, passphrase: str = "") -> Path:
        return _key(self.folder / name, passphrase=passphrase)

    def login(self, **other: Any) -> dict[str, Any]:
        """What a Login needs to get in; `other` replaces parts of it."""
        plain = self.folder / "no_ssh_config"
        plain.touch()
        settings = {
            "host": "127.0.0.1", "user": self.user, "port": self.port, "key_file": str(self.key),
            "known_hosts": str(self.known_hosts), "config_file": str(plain),
        }  # fmt: skip
        return {**settings, **other}

    def start(self) -> None:
        (self.folder / "authorized_keys").write_text(self.key.with_name("user_key.pub").read_text())
        config = self.folder / "sshd_config"
        config.write_text(f"""{self._settings}
Port {self.port}
ListenAddress 127.0.0.1
HostKey {self._host_key}
AuthorizedKeysFile {self.folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
SetEnv HOME={self.home}
""")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # it insists
        self._process = subprocess.Popen(
            [BINARY, "-D", "-f", str(config), "-E", str(self.log)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as probe:
                probe.recv(4)
                return
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError("sshd does not answer")

    def kill(self) -> None:
        """The server and every session of it, as when the machine goes down."""
        if self._process:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(self._process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            self._process.kill()
            self._process.wait()
            self._process = None

    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")


@contextlib.contextmanager
def sshd(folder: Path, settings: str = "") -> Iterator[Sshd]:
    """Skips where it is not installed, and fails there under CI."""
    if not Path(BINARY).exists() or not shutil.which("ssh"):
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent("OpenSSH's server is not installed: run scripts/test-services")
    home = folder / "home"
    home.mkdir()
    server = Sshd(folder, home, settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()
