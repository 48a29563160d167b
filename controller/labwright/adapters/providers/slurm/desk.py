"""One user's folder on a cluster, and remote.sh there: every question to the cluster is one call."""

import hashlib
import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from labwright.adapters import templates
from labwright.domain.errors import Refused, Unavailable
from labwright.ports.transport import Ran, Transport

_CANTCREAT = 73  # of sysexits.h, as remote.sh has it
CANNOT_WRITE = "on the cluster cannot be written"
_NO_SUCH_FILE = 127  # bash has no script of that name


@dataclass(frozen=True, slots=True)
class Site:
    """What the first contact told."""

    root: str  # the lab's folder, absolute and without links
    home: str
    user: str
    skew_from: float  # the login node's clock then, seconds since the epoch
    platform: str  # `Linux x86_64`
    uv: str | None


class Desk:
    def __init__(self, transport: Transport, workdir: str, lab: str, owner: str) -> None:
        self.transport, self._workdir, self._lab, self._owner = transport, workdir, lab, owner
        self._script = templates.find("slurm/remote.sh").encode()
        self._digest = hashlib.sha256(self._script).hexdigest()[:16]
        self._site: Site | None = None
        self._lock = threading.Lock()

    def site(self) -> Site:
        """Raises Unavailable, and Refused where the folder is another lab's."""
        with self._lock:
            if self._site is None:
                self._site = self._first_contact()
            return self._site

    def call(self, command: str, *args: object, stdin: bytes = b"", timeout: float = 60) -> bytes:
        """What remote.sh answers. Raises Unavailable, OutcomeUnknown and Refused."""
        ran = self.run(command, *args, stdin=stdin, timeout=timeout)
        if ran.code:
            raise Unavailable(f"{command} on the cluster: {words(ran)}")
        return ran.out

    def run(self, command: str, *args: object, stdin: bytes = b"", timeout: float = 60) -> Ran:
        root = self.site().root
        ran = self._run(root, command, *args, stdin=stdin, timeout=timeout)
        if ran.code == _NO_SUCH_FILE and "remote.sh" in ran.err:  # somebody cleaned up
            with self._lock:
                self._site = None
            root = self.site().root
            ran = self._run(root, command, *args, stdin=stdin, timeout=timeout)
        if ran.code == _CANTCREAT:
            raise Unavailable(f"{root} {CANNOT_WRITE}: {words(ran)}", hint="free space, or choose another workdir")
        return ran

    def _run(self, root: str, command: str, *args: object, stdin: bytes = b"", timeout: float = 60) -> Ran:
        argv = ["bash", f"{root}/tools/{self._digest}/remote.sh", root, command, *map(str, args)]
        return self.transport.run(argv, stdin=stdin, timeout=timeout)

    def _first_contact(self) -> Site:
        home = self._home()
        below = self._workdir.removeprefix("~/") if self._workdir.startswith("~/") else self._workdir
        root = f"{home}/{below}/{self._lab}" if not below.startswith("/") else f"{below}/{self._lab}"
        ran = self._run(root, "prepare", self._owner)
        if ran.code == _NO_SUCH_FILE:
            self.transport.put(self._script, f"{root}/tools/{self._digest}/remote.sh", mode=0o755)
            ran = self._run(root, "prepare", self._owner)
        lines = ran.text.split("\n")
        if ran.code or len(lines) < 7:
            raise Unavailable(f"{root} on the cluster cannot be used: {words(ran)}", hint="see `workdir` in lab.yaml")
        owner, real, home, user, now, platform, uv = lines[:7]
        if owner != self._owner:
            raise Refused(
                f"{root} on the cluster belongs to the lab of {owner}",
                hint=f"give one of them another `name` or `workdir` in lab.yaml; if it is the same lab, remove {root}/owner",
            )
        return Site(real, home, user, float(now), platform, None if uv == "-" else uv)

    def _home(self) -> str:
        ran = self.transport.run(["sh", "-c", "cd && pwd -P"])
        if ran.code or not ran.text.startswith("/"):
            raise Unavailable(f"the login node has no home folder for this user: {words(ran)}")
        return ran.text.strip()


def words(ran: Ran) -> str:
    """What it said, in one line."""
    said = " ".join((ran.err or ran.text).split())[-500:]
    return said or f"exit status {ran.code}"


def joined(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def quoted(words_: Sequence[str]) -> str:
    return shlex.join(words_)
