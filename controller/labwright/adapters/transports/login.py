"""Which login node, as whom, with what: the same for both ways of speaking SSH."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labwright.domain.errors import Refused


@dataclass(frozen=True, slots=True)
class Login:
    """What is empty is taken from the user's SSH settings, as `ssh host` would.

    `host` is a name or an alias of ~/.ssh/config. `known_hosts` replaces the usual files; `host_key` ("ssh-ed25519 AAAA…",
    several a line each) replaces them, too, for this host. `config_file` replaces ~/.ssh/config and the system's.
    """

    host: str
    user: str = ""
    port: int = 0
    key_file: str = ""
    known_hosts: str = ""
    host_key: str = ""
    config_file: str = ""

    def __str__(self) -> str:
        return (f"{self.user}@" if self.user else "") + self.host + (f":{self.port}" if self.port else "")

    def check_key_file(self) -> None:
        """Raises Refused saying which file and what to do."""
        path = Path(self.key_file).expanduser()
        if self.key_file and not path.is_file():
            raise Refused(f"{path}: there is no such key file", hint="key_file names the private key")
        if self.key_file and not os.access(path, os.R_OK):
            raise Refused(f"{path}: permission denied", hint="the controller's user must be able to read the key")

    def known_hosts_files(self, configured: str = "") -> Sequence[Path]:
        """`configured`: UserKnownHostsFile of the settings."""
        if self.known_hosts:
            return (Path(self.known_hosts).expanduser(),)
        users = configured.split() or ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
        return tuple(Path(path).expanduser() for path in (*users, "/etc/ssh/ssh_known_hosts"))
