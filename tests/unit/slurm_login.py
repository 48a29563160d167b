"""A login node without Slurm: a home in a temporary folder, and a bash script in the place of each of Slurm's commands."""

import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from labwright.adapters.providers.slurm.desk import Desk
from labwright.adapters.templates import find
from labwright.adapters.transports.local import LocalTransport
from labwright.ports.transport import Ran

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "srun")
SILENT = "exit 1"


class Login:
    """The Transport port. Each command of Slurm keeps what it was called with, a line a call."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        self.home, self.bin, self.asked = folder / "the user's home", folder / "bin", folder / "asked"
        self.environment: dict[str, str] = {}  # that this user's login makes
        for made in (self.home, self.bin, self.asked):
            made.mkdir()
        for command in COMMANDS:
            self.say(command, SILENT)
        self.say("sinfo", "true")  # a site may show its nodes to nobody

    def say(self, command: str, script: str) -> None:
        """From now on, `command` is this script; `$asked` is a folder of its own."""
        head = f'#!/bin/bash\nasked={self.asked}\nprintf "%s\\n" "$*" >>"$asked/{command}"\n'
        file = self.bin / command
        file.with_suffix(".new").write_text(head + script + "\n")
        file.with_suffix(".new").chmod(0o755)
        file.with_suffix(".new").replace(file)

    def calls(self, command: str) -> list[str]:
        file = self.asked / command
        return file.read_text().splitlines() if file.exists() else []

    @property
    def path(self) -> str:
        return f"{self.bin}:/usr/bin:/bin"

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        given = [f"HOME={self.home}", f"PATH={self.path}", *(f"{k}={v}" for k, v in self.environment.items())]
        return LocalTransport().run(["env", "-i", *given, *argv], stdin=stdin, timeout=timeout)

    def put(self, data: bytes, path: str, *, mode: int = 0o600) -> None:
        LocalTransport().put(data, path, mode=mode)

    def get(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        return LocalTransport().get(path, offset=offset, limit=limit)

    def list(self, path: str) -> Sequence[str]:
        return LocalTransport().list(path)

    def close(self) -> None:
        """Nothing is held open."""


class Remote:
    """remote.sh in a folder of its own, called as the controller calls it."""

    def __init__(self, folder: Path) -> None:
        self.login = Login(folder)
        self.root = self.login.home / "lab"
        self.script = folder.resolve() / "remote.sh"
        self.script.write_text(find("slurm/remote.sh"))
        self.ran("prepare", "owner")

    def ran(self, command: str, *args: object, stdin: bytes = b"") -> Ran:
        argv = ["bash", str(self.script), str(self.root), command, *map(str, args)]
        return self.login.run(argv, stdin=stdin)

    def call(self, command: str, *args: object, stdin: bytes | Sequence[str] = b"") -> list[str]:
        """Lines of the answer. Nothing is said on the side."""
        given = stdin if isinstance(stdin, bytes) else "".join(f"{line}\n" for line in stdin).encode()
        ran = self.ran(command, *args, stdin=given)
        assert (ran.code, ran.err) == (0, "")
        return ran.text.splitlines()

    def job(self, token: str, /, **files: str | bytes) -> Path:
        """A job's folder, with files of these names (`__` for a point)."""
        folder = self.root / "jobs" / token
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (folder / name.replace("__", ".")).write_bytes(data)
        return folder

    def batch(self, name: str, tokens: Sequence[str], /, **files: str) -> Path:
        """A batch that was placed, and of which sbatch was not asked."""
        folder = self.root / "batches" / name
        folder.mkdir()
        made = {"tokens": "".join(f"{token}\n" for token in tokens), "name": name.rpartition(".")[0], **files}
        for file, text in made.items():
            (folder / file).write_text(text)
        return folder

    def desk(self) -> Desk:
        return Desk(self.login, "~/clusters", "lab", "owner")


def tar(folders: Mapping[str, Mapping[str, bytes]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as to:
        for folder, files in folders.items():
            for name, data in files.items():
                info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
                info.size = len(data)
                to.addfile(info, io.BytesIO(data))
    return made.getvalue()


def bash(script: str, *args: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> bytes:
    """What a script prints. It ends well."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *args], input=stdin, env=env, capture_output=True, check=True
    ).stdout
