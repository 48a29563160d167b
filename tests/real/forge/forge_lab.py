"""A lab on a real Forgejo: people with clones who push, propose and say yes, and `lab serve` in a process of its own that hears of it
by the forge's hook."""

import hmac
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from labwright.adapters.ledgers.sql.ledger import SqlLedger
from labwright.domain.forge import Light, Opinion, Status, lane_of
from labwright.domain.job import Job
from labwright.domain.plan import Want
from tests.e2e.lab_world import LabWorld
from tests.real.forge.forgejo_world import ForgejoWorld
from tests.real.forge.server import ForgejoServer, email

T = TypeVar("T")
PATIENCE = 60.0
SECRET = "the secret of the hook"
Files = Mapping[str, str | bytes | None]  # None: it goes


class ForgeLab(LabWorld):
    """ada owns it, ben, cleo and dora may write, mallory may read. `provider`: of lab.yaml, `p`'s settings."""

    def __init__(
        self, top: Path, server: ForgejoServer, provider: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(top)
        self.world = ForgejoWorld(server)
        self.server, self.url = server, f"{server.url}/{self.world.repo}.git"
        ours = server.git_url(self.world.repo, "labwright").removesuffix(f"/{self.world.repo}.git")
        (top / "credentials").write_text(ours + "\n")
        (top / "gitconfig").write_text(f"[credential]\n\thelper = store --file={top / 'credentials'}\n")
        self.env |= {
            "GIT_CONFIG_GLOBAL": str(top / "gitconfig"),
            "FORGE_TOKEN": server.tokens["labwright"],
            "HOOK": SECRET,
        }
        self.lab_yaml = json.dumps({
            "name": "vision",
            "watch": {"pull_requests": True},
            "default_provider": "p",
            "providers": {"p": dict(provider or {"type": "local", "cpus": 4, "gpus": 0})},
            "forge": {
                "type": "forgejo", "url": server.url, "repo": self.world.repo, "token": "{{secret.FORGE}}",
                "hook_secrets": "{{secret.HOOK}}", "update": "1s", "poll": "5m",
            },
            "secrets": {"FORGE": {"env": "FORGE_TOKEN"}, "HOOK": {"env": "HOOK"}},
            **more,
        }, indent=1)  # fmt: skip
        self.hook = ""  # where it listens

    # what people do

    def clone(self, who: str) -> Path:
        work = self.top / who
        if not work.exists():
            self.git("clone", "-q", self.server.git_url(self.world.repo, who), str(work), cwd=self.top)
            for key, value in (("user.name", who), ("user.email", email(who)), ("core.symlinks", "true")):
                self.git("config", key, value, cwd=work)
        return work

    def push(self, who: str, branch: str, files: Files, message: str = "change", **identity: str) -> str:
        """A commit on the branch as it is at the forge, or at main where it is new; its SHA. `identity`: GIT_… of it."""
        work = self.clone(who)
        self.git("fetch", "-q", "origin", cwd=work)
        there = self.git("branch", "-r", "--list", f"origin/{branch}", cwd=work)
        self.git("checkout", "-q", "-f", "-B", branch, f"origin/{branch}" if there else "origin/main", cwd=work)
        for name, text in files.items():
            path = work / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git("add", "-A", cwd=work)
        return self.commit_and_push(who, branch, message, **identity)

    def commit_and_push(self, who: str, branch: str, message: str = "change", **identity: str) -> str:
        """Of what is in the index."""
        work = self.clone(who)
        names = {
            f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in (("NAME", who), ("EMAIL", email(who)))
        }
        self._git(work, names | identity, "commit", "-q", "--allow-empty", "-m", message)
        self._git(work, names, "push", "-q", "origin", branch)
        return self.git("rev-parse", "HEAD", cwd=work)

    def _git(self, work: Path, env: Mapping[str, str], *args: str) -> None:
        done = subprocess.run(["git", *args], cwd=work, env={**self.env, **env}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def propose(self, who: str, branch: str, files: Files, title: str = "A change", **more: Any) -> int:
        """A pull request with one commit; its number."""
        self.push(who, branch, files)
        return self.open(who, branch, title, **more)

    def open(self, who: str, branch: str, title: str = "A change", **more: Any) -> int:
        body = {"title": title, "head": branch, "base": "main", **more}
        return int(self.world.api("POST", "/pulls", body, who=who)["number"])

    def approve(self, number: int, by: str = "ben") -> None:
        self.world.review(number, by, Opinion.APPROVED)

    def label(self, number: int, by: str = "ada", label: str = "lab:run") -> None:
        self.world.put_label(number, label, by)

    def protect(self) -> None:
        """Pushes by ada alone, merges by ben alone."""
        rule = {
            "rule_name": "main", "enable_push": True, "enable_push_whitelist": True, "push_whitelist_usernames": ["ada"],
            "enable_merge_whitelist": True, "merge_whitelist_usernames": ["ben"],
        }  # fmt: skip
        self.world.api("POST", "/branch_protections", rule)

    # what is seen

    def head(self, number: int) -> str:
        return str(self.world.api("GET", f"/pulls/{number}")["head"]["sha"])

    def comments(self, number: int) -> list[str]:
        """Ours, oldest first."""
        all_ = self.world.api("GET", f"/issues/{number}/comments")
        return [
            each["body"] for each in all_ if each["user"]["login"] == "labwright" and "<!-- labwright:" in each["body"]
        ]

    def comment(self, number: int) -> str:
        """The one comment; empty until it is there."""
        found = self.comments(number)
        assert len(found) <= 1, found
        return found[0] if found else ""

    def status(self, commit: str) -> Status | None:
        return self.world.statuses(commit).get("labwright")

    def light(self, commit: str) -> Light | None:
        found = self.status(commit)
        return found.light if found else None

    def page(self, number: int, who: str = "") -> str:
        """The pull request's page, rendered by the forge."""
        with urllib.request.urlopen(f"{self.server.url}/{self.world.repo}/pulls/{number}", timeout=30) as answer:
            return str(answer.read().decode())

    def shown(self, number: int) -> str:
        """Of that page what became of our comment."""
        page = self.page(number)
        ours = [
            block
            for block in re.split(r'(?=<div class="timeline-item comment")', page)[1:]
            if re.search(r'<a class="author[^>]*href="/labwright"', block)
        ]
        assert len(ours) == 1, len(ours)
        found = re.search(
            r'<div class="render-content markup"[^>]*>(.*?)<div id="issuecomment-\d+-raw"', ours[0], re.DOTALL
        )
        assert found is not None, ours[0][:2000]
        return found[1]

    def until(self, true: Callable[[], T], seconds: float = PATIENCE) -> T:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.05)
        return found

    def says(self, number: int, *words: str, seconds: float = PATIENCE) -> str:
        """The comment, once all of this is in it."""
        deadline = time.monotonic() + seconds
        while not all(word in (body := self.comment(number)) for word in words):
            assert time.monotonic() < deadline, f"{words} in {body}\n{self.log()[-3000:]}"
            time.sleep(0.05)
        return body

    def jobs_of(self, number: int) -> list[Job]:
        return [job for job in self.all_jobs() if job.branch == lane_of(number)]

    def all_jobs(self) -> list[Job]:
        with self._ledger() as ledger:
            return list(ledger.jobs())

    def wants(self, lane: str) -> list[Want]:
        with self._ledger() as ledger:
            return list(ledger.wants(lane))

    @contextmanager
    def _ledger(self) -> Iterator[SqlLedger]:
        (path,) = (self.top / "state").glob("*/ledger.sqlite3")
        ledger = SqlLedger.open(path, read_only=True)
        try:
            yield ledger
        finally:
            ledger.close()

    def events(self) -> list[dict[str, Any]]:
        """Of the controller's log."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    # the controller

    @contextmanager
    def serving(self, *args: str, cli_setup: bool = False) -> Iterator[None]:
        """It listens, the forge's hook leads there, and what main asks for is planned."""
        command = [sys.executable, "-m", "labwright", "serve", "--log-format", "json", "--repo", self.url]
        with (self.top / "serve.log").open("a") as log:
            running = subprocess.Popen(
                [*command, "--listen", "127.0.0.1:0", "--poll", "300", *args],
                cwd=self.top, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self.hook = self.until(lambda: self._hook(running))
            if cli_setup:
                self.lab("forge", "setup", "--yes", "--hook", self.hook, "--repo", self.url, cwd=self.top)
            else:
                self.world.forge.add_labels({"lab:run": "run it"})
                self.world.forge.add_hook(self.hook, SECRET)
            self.until(lambda: '"planned"' in self.log() or "baseline" in self.log())
            yield
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                running.wait(30)

    def _hook(self, running: "subprocess.Popen[bytes]") -> str:
        assert running.poll() is None, self.log()[-3000:]
        heard = [event for event in self.events() if event["event"] == "listening for deliveries"]
        return str(heard[-1]["url"]) if heard else ""

    def deliver(self, body: bytes, secret: str = SECRET, event: str = "push", id: str = "1") -> int:
        """As a forge would; the answer's status."""
        headers = {
            "Content-Type": "application/json",
            "X-Gitea-Event": event,
            "X-Gitea-Delivery": id,
            "X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}",
        }
        request = urllib.request.Request(self.hook, method="POST", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def task(run: str, **more: Any) -> str:
    """A task.yaml; JSON is YAML."""
    return json.dumps({"name": "t", "run": run, **more})
