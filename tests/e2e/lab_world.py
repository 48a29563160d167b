"""A person with a lab repository and the `lab` command: real git, the real controller, each in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "LAB", "XDG_"))}
_ADA = {f"GIT_{r}_{k}": v for r in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))}


class LabWorld:
    def __init__(self, top: Path) -> None:
        self.top, self.repo = top, top / "demo"
        self.env = {
            **_CLEAN,
            **_ADA,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(top),
            "LABWRIGHT_STATE": str(top / "state"),
        }

    def lab(
        self, *args: str, code: int | None = 0, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        where = cwd or (self.repo if self.repo.is_dir() else self.top)
        command = [sys.executable, "-m", "labwright", *args]
        done = subprocess.run(command, cwd=where, env={**self.env, **env}, capture_output=True, text=True, timeout=100)
        assert code is None or done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *args: str, code: int | None = 0, cwd: Path | None = None, **env: str) -> Any:
        return json.loads(self.lab(*args, "--json", code=code, cwd=cwd, **env).stdout)

    def once(self, *args: str) -> list[str]:
        """`lab serve --once`; the tasks of the jobs that ended by it, sorted."""
        done = self.lab("serve", "--once", "--log-format", "json", *args)
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert events[-1]["event"] == "done", done.stderr
        assert all(job["state"] == "COMPLETE" for job in events[-1]["ran"]), events[-1]
        return sorted(job["task"] for job in events[-1]["ran"])

    @contextmanager
    def controller(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "labwright", "serve", "--log-format", "json", *args]
        log = (self.top / "serve.log").open("w+")
        running = subprocess.Popen(command, cwd=self.repo, env=self.env, stdout=log, stderr=log, text=True)
        try:
            self.until(lambda: '"serving"' in self.log() and ('"planned"' in self.log() or "baseline" in self.log()))
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                running.wait(30)
            log.close()

    def log(self) -> str:
        return (self.top / "serve.log").read_text()

    def until(self, true: Any) -> Any:
        """Waits, a test's whole patience long."""
        while not (found := true()):
            time.sleep(0.1)
        return found

    def git(self, *args: str, cwd: Path | None = None) -> str:
        done = subprocess.run(["git", *args], cwd=cwd or self.repo, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: Mapping[str, str], message: str = "change") -> str:
        if not self.repo.exists():
            self.repo.mkdir()
            self.git("init", "-q", "-b", "main")
        self.write(files)
        self.git("add", ".")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def edit(self, name: str, old: str, new: str, message: str = "edit") -> str:
        text = (self.repo / name).read_text()
        assert old in text
        return self.commit({name: text.replace(old, new)}, message)

    def jobs(self) -> list[dict[str, Any]]:
        """Of the ledger, oldest first."""
        from labwright.adapters.ledgers.sql.ledger import SqlLedger

        (path,) = (self.top / "state").glob("*/ledger.sqlite3")
        ledger = SqlLedger.open(path, read_only=True)
        try:
            return [
                {"id": j.id, "task": j.task, "state": str(j.state), "reason": j.reason, "plan": j.plan}
                for j in ledger.jobs()
            ]
        finally:
            ledger.close()

    def state(self, job: str) -> str:
        return next(str(j["state"]) for j in self.jobs() if j["id"] == job)


def job_ids(text: str) -> list[str]:
    return re.findall(r"\b[a-z2-7]{12}\b", text)
