"""A real lab with tiny tasks, for tests of the commands that look."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b[2Jgone [bold]markup[/bold] \u202eevil"
TASKS = {
    "alpha/train": """
name: train
run: |
  printf 'hello\\n\\033[31mred\\033[0m\\033[2J clear\\n'
  python -m lab log loss=0.9 step=1
  python -m lab log loss=0.6 step=2
  echo weights > model.txt; python -m lab artifact model.txt --kind model
  mkdir more; echo one > more/a.txt; python -m lab artifact more
  python -m lab finish loss=0.6
parameters: {lr: 0.1, note: "[red]not markup[/red]"}
""",
    "alpha/bad": """
name: bad
run: |
  echo going wrong; printf '\\033]0;owned\\007\\033[2J[bold]no such file\\n' >&2; exit 3
""",
    "beta/sweep": """
name: sweep
run: |
  python -m lab log acc=0.$LAB_PARAM_X step=1
  python -m lab finish score=$LAB_PARAM_X
parameters: {x: 1}
sweeps: {sweep_config: {x: [3, 1, 2]}, sweep_metric: score, lower_is_better: true}
""",
}
LAB = "name: look\nproviders:\n  local: {type: local, cpus: 2, gpus: 0}\n"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class LookingLab:
    """`top` is the repository, `state` what LABWRIGHT_STATE names."""

    top: Path
    state: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LAB_", "LABWRIGHT_", "GIT_"))}
        own = {"LABWRIGHT_STATE": str(self.state), "COLUMNS": "100", "PATH": f"{BIN}:{os.environ['PATH']}"}
        return {**kept, **own, "NO_COLOR": "1", "HOME": str(self.top.parent)}

    @property
    def folder(self) -> Path:
        """The state of this lab."""
        (found,) = [path for path in self.state.iterdir() if path.name.startswith(self.top.name)]
        return found

    def lab(self, *argv: str, stdin: str = "", cwd: Path | None = None, **env: str) -> Ran:
        done = subprocess.run(
            [str(BIN / "lab"), *argv],
            cwd=cwd or self.top,
            env={**self.env, **env},
            input=stdin.encode(),
            capture_output=True,
        )
        return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def git(self, *argv: str) -> str:
        return subprocess.run(
            ["git", *argv], cwd=self.top, env=self.env, capture_output=True, text=True, check=True
        ).stdout.strip()

    def write(self, task: str, text: str) -> None:
        path = self.top / "experiments" / task / "task.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    @contextmanager
    def serving(self, *options: str) -> Iterator[None]:
        """A controller, until the block ends."""
        command = [str(BIN / "lab"), "serve", *options]
        quiet = subprocess.DEVNULL
        serving = subprocess.Popen(command, cwd=self.top, env=self.env, stdout=quiet, stderr=quiet)
        try:
            for _ in range(300):
                if self.state.exists() and list(self.state.glob("*/control.sock")):
                    break
                time.sleep(0.1)
            yield
        finally:
            serving.terminate()
            serving.wait(20)


def make(at: Path, tasks: dict[str, str] | None = None) -> LookingLab:
    made = LookingLab(at / "lab", at / "state")
    made.top.mkdir(parents=True)
    made.git("init", "-q", "-b", "main")
    made.git("config", "user.name", "Ana")
    made.git("config", "user.email", "ana@example.org")
    (made.top / "lab.yaml").write_text(LAB)
    for task, text in (TASKS if tasks is None else tasks).items():
        made.write(task, text)
    made.commit(f"first {HOSTILE}")
    return made
