"""`make demo`: a commit is pushed to a bare repository, and everything that follows is Labwright's.

Works in .build/demo, made afresh each time, with a state folder of its own there; leaves it behind to be played with."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from labwright.domain.lifecycle import AT_PROVIDER, FINAL
from labwright.settings import place_of
from labwright.wiring import open_ledger

TOP = Path(__file__).resolve().parent.parent
HERE = TOP / ".build" / "demo"
REMOTE, LAB, STATE = HERE / "remote.git", HERE / "lab", HERE / "state"
BIN = Path(sys.executable).parent
ENV = {
    **os.environ,
    "LABWRIGHT_STATE": str(STATE),
    "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_PAGER": "cat",
}
os.environ["LABWRIGHT_STATE"] = str(STATE)
say = Console(highlight=False)
BEST = "SELECT task, job, score, params FROM leaderboard WHERE place = 1"
SQL = "SELECT task, count(*) AS jobs, round(avg(score), 4) AS mean, round(sum(seconds), 1) AS s FROM jobs GROUP BY task"


def title(text: str) -> None:
    say.print(f"\n[bold cyan]▍{text}[/]")


def run(*argv: str, show: str | None = None, quiet: bool = False) -> str:
    """A command as a user would type it, shown with its output; stops the demo when it fails."""
    if not quiet:
        say.print(f"[green]$[/] [bold]{show or ' '.join(argv)}[/]", soft_wrap=True)
    done = subprocess.run(argv, cwd=LAB, env=ENV, check=False, stdout=subprocess.PIPE if quiet else None, text=True)
    if done.returncode:
        sys.exit(f"demo: {' '.join(argv)} ended with exit status {done.returncode}")
    return done.stdout or ""


def prepare() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(REMOTE)], check=True, env=ENV)
    subprocess.run(["git", "clone", "-q", str(REMOTE), str(LAB)], check=True, env=ENV, stderr=subprocess.DEVNULL)
    run("git", "checkout", "-q", "-b", "main", quiet=True)
    for name in ("lab.yaml", "README.md", ".gitignore", "queries"):
        copy(name)
    run("git", "add", "-A", quiet=True)
    run("git", "commit", "-qm", "An empty lab", quiet=True)
    run("git", "push", "-q", "-u", "origin", "main", quiet=True)


def copy(name: str) -> None:
    source, target = TOP / "example-lab-repo" / name, LAB / name
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)


def serve() -> subprocess.Popen[bytes]:
    say.print(f"[green]$[/] [bold]lab serve --repo {REMOTE.relative_to(TOP)} &[/]")
    log = (HERE / "serve.log").open("wb")
    process = subprocess.Popen([str(BIN / "lab"), "serve", "--repo", str(REMOTE)], env=ENV, stdout=log, stderr=log)
    for _ in range(300):
        if process.poll() is None and place_of(str(REMOTE)).socket.exists():
            return process
        time.sleep(0.1)
    sys.exit(f"demo: the controller did not start: see {HERE / 'serve.log'}")


def watch(expected: int, process: subprocess.Popen[bytes]) -> None:
    """Progress of the real jobs, read from the ledger, until all have ended."""
    ledger = open_ledger(place_of(str(REMOTE)), read_only=True)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=say) as progress:
        bar = progress.add_task("jobs ended", total=expected)
        ended = 0
        while ended < expected:
            known = ledger.jobs()
            ended = sum(job.state in FINAL for job in known)
            running = ", ".join(sorted({job.task for job in known if job.state in AT_PROVIDER}))
            progress.update(bar, completed=ended, description=f"jobs ended  {running[:32]:32}")
            if process.poll() is not None:
                sys.exit(f"demo: the controller ended: see {HERE / 'serve.log'}")
            time.sleep(0.2)
    ledger.close()


def published(expected: int) -> None:
    """Wait until the last result is a commit."""
    for _ in range(100):
        names = run("git", "ls-tree", "-r", "--name-only", "lab-results", quiet=True) if fetched() else ""
        if names.count("manifest.json") >= expected and "README.md" in names:
            return
        time.sleep(0.2)


def fetched() -> bool:
    fetch = ["git", "fetch", "-q", "origin", "+lab-results:lab-results"]
    return subprocess.run(fetch, cwd=LAB, env=ENV, capture_output=True, check=False).returncode == 0


def main() -> None:
    began = time.monotonic()
    title("A lab is a git repository; a controller watches it")
    prepare()
    process = serve()
    try:
        title("Experiments are folders. What would this commit run?")
        copy("experiments")
        run("git", "add", "-A")
        run("git", "commit", "-qm", "Digits, diabetes, and a shell script")
        run("lab", "plan")
        title("Push a commit …")
        run("git", "push", "-q")
        watch(16, process)
        title("… get a result")
        run("lab", "jobs")
        run("lab", "best", "diabetes/ridge", "-n", "3")
        run("lab", "sql", SQL, show=f'lab sql "{SQL}"')
        run("lab", "logs", "diabetes/broken")
        title("The same results are commits, for everyone who has the repository")
        published(16)
        run("git", "log", "--oneline", "-3", "lab-results")
        run(
            "lab",
            "sql",
            "--repo",
            str(REMOTE),
            "--from-results",
            BEST,
            show=f'lab sql --from-results --repo remote.git "{BEST}"',
        )
        title("Editing a README launches nothing")
        (LAB / "README.md").open("a").write("\nNotes.\n")
        run("git", "commit", "-qam", "Notes")
        run("git", "push", "-q")
        run("lab", "why", "digits/train")
    finally:
        process.terminate()
        process.wait(20)
    say.print(
        f"\n[bold]Done in {time.monotonic() - began:.0f} s.[/] Yours to play with, in [bold]{LAB.relative_to(Path.cwd()) if LAB.is_relative_to(Path.cwd()) else LAB}[/]:\n"
    )
    say.print(f"  export LABWRIGHT_STATE={STATE} PATH={BIN}:$PATH", soft_wrap=True)
    for line in (  # each is a command and what it is for
        "lab serve &                       # the controller again; then change something, commit, push",
        "lab status --watch                # a screen to leave open",
        "lab show digits/train             # everything about its newest job",
        "lab logs diabetes/broken          # a job that fails by design",
        'lab sql "SELECT * FROM leaderboard"',
    ):
        say.print("  " + line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
