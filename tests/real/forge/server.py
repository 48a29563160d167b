"""A real Forgejo on a free loopback port, in a folder of its own; `scripts/forgejo` downloads it.

A folder with a migrated database and all people's accounts is made once and kept beside the program; each server starts on a
copy of it, within a second or two.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CANNOT_RUN_HERE = 69  # exit code of scripts/forgejo
NOBODY = 65534
PASSWORD = "correct-horse-battery-staple"  # everybody's

ADMIN = "root1"  # of the site: nobody in the tests acts as this one
PEOPLE = (ADMIN, "labwright", "ada", "ben", "cleo", "dora", "mallory")

_INI = """
RUN_USER = {user}
RUN_MODE = prod
WORK_PATH = {folder}
APP_NAME = Forgejo
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {folder}/forgejo.db
SQLITE_JOURNAL_MODE = WAL
[repository]
DEFAULT_BRANCH = main
ROOT = {folder}/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = ssssssssssssssssssssssssssssssssssssssss
INTERNAL_TOKEN = iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii
PASSWORD_HASH_ALGO = pbkdf2_v1
[oauth2]
JWT_SECRET = c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 5
[cron]
ENABLED = false
[cron.update_checker]
ENABLED = false
[actions]
ENABLED = false
[api]
MAX_RESPONSE_ITEMS = {page}
[indexer]
ISSUE_INDEXER_TYPE = db
[queue]
TYPE = channel
[log]
MODE = console
LEVEL = warn
"""
# it refuses to run as root
_DROP = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if os.getuid() == 0 else ()
_USER = "nobody" if _DROP else os.environ.get("USER", "lab")


class CannotRunHere(Exception):
    """This machine cannot have a Forgejo; the message says why."""


def program() -> Path:
    done = subprocess.run(
        [ROOT / "scripts" / "forgejo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise (CannotRunHere if done.returncode == CANNOT_RUN_HERE else RuntimeError)(done.stderr.strip())
    return Path(done.stdout.strip())


class ForgejoServer:
    """Raises CannotRunHere. `tokens` are everybody's, with all rights that their accounts have. `page`: items that it gives at
    most; its default is 50, fewer make several pages of little."""

    def __init__(self, page: int = 50) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lab-forgejo-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._program = _for_nobody(program(), self.folder)
        shutil.copytree(_template(), self.folder, dirs_exist_ok=True)
        _configure(self.folder, self.port, page)
        self.tokens: dict[str, str] = json.loads((self.folder / "tokens.json").read_text())
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_DROP, self._program, "web", "-c", self.folder / "app.ini"],
                env=_environment(self.folder), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                self.api("GET", "/version")
                return
            except OSError:
                assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, "Forgejo does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def api(self, method: str, path: str, body: Any = None, *, who: str = ADMIN) -> Any:
        """Raises ForgeSaysNo with its status and words."""
        headers = {"Authorization": f"token {self.tokens[who]}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ForgeSaysNo(error.code, f"{method} {path}: {error.read()[:400]!r}") from None
        return json.loads(text) if text.strip() else None

    def token(self, who: str, name: str, scopes: Sequence[str]) -> str:
        """One that may do no more than its scopes say, such as `write:repository`."""
        more = ["--username", who, "--token-name", name, "--scopes", ",".join(scopes), "--raw"]
        return _admin(self._program, self.folder, "user", "generate-access-token", *more).split()[-1]

    def git_url(self, repo: str, who: str) -> str:
        return f"http://{who}:{self.tokens[who]}@127.0.0.1:{self.port}/{repo}.git"


class ForgeSaysNo(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status} {words}")
        self.status = status


def _template() -> Path:
    """Made by whoever comes first; another recipe makes another one."""
    forgejo = program()
    recipe = hashlib.sha256(json.dumps([str(forgejo), _INI, PEOPLE, PASSWORD]).encode()).hexdigest()[:12]
    cache = ROOT / ".build" / "forgejo"
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / f"template-{recipe}"
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            with tempfile.TemporaryDirectory(prefix="lab-forgejo-", dir="/tmp") as made:
                Path(made).chmod(0o755)
                _fill(Path(made), forgejo)
                shutil.copytree(made, f"{ready}.new", dirs_exist_ok=True, ignore=shutil.ignore_patterns("program"))
            Path(f"{ready}.new").rename(ready)
    return ready


def _fill(folder: Path, forgejo: Path) -> None:
    runs = _for_nobody(forgejo, folder)
    _configure(folder, 1, 50)
    _forgejo(runs, folder, "migrate")
    tokens = {}
    for who in PEOPLE:
        more = ["--username", who, "--password", PASSWORD, "--email", email(who), "--must-change-password=false"]
        _admin(runs, folder, "user", "create", *more, *(["--admin"] if who == ADMIN else []))
        more = ["--username", who, "--token-name", "tests", "--scopes", "all", "--raw"]
        tokens[who] = _admin(runs, folder, "user", "generate-access-token", *more).split()[-1]
    (folder / "tokens.json").write_text(json.dumps(tokens))


def email(who: str) -> str:
    return f"{who}@lab.example"


def _configure(folder: Path, port: int, page: int) -> None:
    """It writes to its configuration: all of the folder is its own."""
    (folder / "app.ini").write_text(_INI.format(user=_USER, folder=folder, port=port, page=page))
    if _DROP:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def _admin(forgejo: Path, folder: Path, *arguments: str) -> str:
    return _forgejo(forgejo, folder, "admin", *arguments)


def _forgejo(forgejo: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*_DROP, forgejo, *arguments, "-c", folder / "app.ini"],
        env=_environment(folder), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "USER": _USER}


def _for_nobody(forgejo: Path, folder: Path) -> Path:
    """Where the unprivileged user can reach it: itself, or a copy where the way there is closed."""
    if not _DROP or all(parent.stat().st_mode & 0o1 for parent in forgejo.parents):
        return forgejo
    return Path(shutil.copy2(forgejo, folder / "program"))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
