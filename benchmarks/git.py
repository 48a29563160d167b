"""From a commit to what changed, and from results to the results branch, beside plain git doing the same.

    python -m benchmarks.git [--repeat 30] [--jobs 10000]

The floor of reading is one git process a step (fetch, diff, one blob) and the fork/exec of /bin/true; ours ends with that too. The
floor of writing is `git fast-import` of the same files and `git push`. Turns alternate, so a busy machine hurts both. Git's objects
lie in a folder of the system's own for temporary files.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from labwright.adapters.repos.git import GitRepo
from labwright.adapters.results import GitResultsBranch, open_results

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
WHO = {f"GIT_{role}_{k}": "bench" for role in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
ENV = {**CLEAN, **WHO, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
HEADS = "+refs/heads/*:refs/heads/*"
Row = tuple[str, str, str, str]  # what, ours, floor, ratio


def git(where: Path, *args: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", *args], cwd=where, env=ENV, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def bare(path: Path) -> Path:
    path.mkdir()
    git(path, "init", "-q", "--bare", "-b", "main")
    return path


def task(number: int) -> bytes:
    return b"name: t\nrun: python train.py\nparameters: {lr: 0.%d}\n" % number


def commit(repo: Path, files: dict[str, bytes]) -> None:
    """Straight into a bare repository, on top of main."""
    old = subprocess.run(["git", "rev-parse", "-q", "--verify", "main"], cwd=repo, env=ENV, capture_output=True).stdout
    head = b"commit refs/heads/main\ncommitter b <b@b> now\ndata 1\nc\n" + (b"from " + old if old else b"")
    body = b"".join(b"M 100644 inline %s\ndata %d\n%s\n" % (p.encode(), len(d), d) for p, d in files.items())
    git(repo, "fast-import", "--quiet", "--date-format=now", stdin=head + body)


def clocked(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - begun)


def launch() -> None:
    subprocess.run(["/bin/true"], check=True)


class Follower:
    """Ours: fetch, the tree by its difference, the one changed file, and a process."""

    def __init__(self, remote: Path, mirror: Path, in_place: bool) -> None:
        self.repo = GitRepo(remote, mirror, in_place=in_place, settle_after=None)
        self.last = self.repo.snapshot(self.repo.fetch()["main"])

    def __call__(self) -> None:
        snapshot = self.repo.snapshot(self.repo.fetch()["main"], self.last)
        changed = [e.oid for path, e in snapshot.entries.items() if self.last.entries.get(path) != e]
        [_] = self.repo.read(changed)
        self.last = snapshot
        launch()


class PlainGit:
    def __init__(self, remote: Path, mirror: Path) -> None:
        self.mirror = bare(mirror)
        self.remote = remote
        git(self.mirror, "fetch", "-q", str(remote), HEADS)

    def __call__(self) -> None:
        git(self.mirror, "fetch", "-q", str(self.remote), HEADS)
        [path] = git(self.mirror, "diff", "--name-only", "main~1", "main").splitlines()
        git(self.mirror, "cat-file", "blob", f"main:{path}")
        launch()


def reading(top: Path, files: int, repeat: int) -> list[Row]:
    remote = bare(top / "lab.git")
    paths = [f"experiments/e{n % 200}/t{n}/task.yaml" for n in range(files)]
    commit(remote, {path: task(n) for n, path in enumerate(paths)})
    near, far = Follower(remote, top / "in-place.git", True), Follower(remote, top / "fetched.git", False)
    ways = {"in place": near, "fetched": far, "floor": PlainGit(remote, top / "floor.git")}
    times: dict[str, list[float]] = {name: [] for name in [*ways, "settle"]}
    for turn in range(repeat):
        commit(remote, {paths[turn % files]: task(files + turn)})
        for name, way in ways.items():
            times[name].append(clocked(way))
        times["settle"].append(clocked(near.repo.settle))
    tip = git(remote, "rev-parse", "main")
    whole = [clocked(lambda: far.repo.snapshot(tip)) for _ in range(repeat)]
    listed = [clocked(lambda: git(remote, "ls-tree", "-r", "-z", tip)) for _ in range(repeat)]
    commit(remote, {paths[0]: b"other"})
    newer = near.repo.fetch()["main"]
    step = [clocked(lambda: near.repo.snapshot(newer, near.last)) for _ in range(repeat)]
    diffed = [clocked(lambda: git(remote, "diff-tree", "-r", "main~1", "main")) for _ in range(repeat)]
    return [
        row(f"{files:,} files: commit → process, repository on this machine", times["in place"], times["floor"]),
        row(f"{files:,} files: commit → process, fetched", times["fetched"], times["floor"]),
        row(f"{files:,} files: whole snapshot; floor `ls-tree`", whole, listed),
        row(f"{files:,} files: snapshot by difference; floor `diff-tree`", step, diffed),
        row(f"{files:,} files: copy into the mirror, later", times["settle"], []),
    ]


def writing(top: Path, jobs: int) -> list[Row]:
    names = (("manifest.json", 1500), ("metrics.parquet", 700))
    files = {
        f"results/e{n % 20}/t/{n:06}/{name}": os.urandom(8).hex().encode() * (size // 16)
        for n in range(jobs)
        for name, size in names
    }
    ours = GitResultsBranch(top / "mirror.git", bare(top / "ours.git"))
    ours.tip()
    many = [clocked(lambda: ours.publish(files, f"{jobs} jobs"))]
    floor, remote = bare(top / "floor.git"), bare(top / "floor-remote.git")

    def plain() -> None:
        commit(floor, files)
        git(floor, "push", "-q", str(remote), "main")

    least = [clocked(plain)]
    one = [
        clocked(lambda n=n: ours.publish({f"results/e0/t/{n:06}/manifest.json": b"new %d" % n}, "1 job"))
        for n in range(10)
    ]

    def plain_one(n: int) -> None:
        commit(floor, {f"results/e0/t/{n:06}/manifest.json": b"new %d" % n})
        git(floor, "push", "-q", str(remote), "main")

    single = [clocked(lambda n=n: plain_one(n)) for n in range(10)]
    read = [clocked(lambda: list(open_results(top / "ours.git", "manifest.json")))]
    return [
        row(f"{jobs:,} jobs ({2 * jobs:,} files): commit and push", many, least),
        row(f"one more job on top of {jobs:,}: commit and push", one, single),
        row(f"{jobs:,} manifests read out of a clone", read, []),
    ]


def row(what: str, ours: list[float], floor: list[float]) -> Row:
    here, there = statistics.median(ours), statistics.median(floor) if floor else 0.0
    return what, f"{here:,.1f} ms", f"{there:,.1f} ms" if floor else "", f"{here / there:.2f}" if floor else ""


def run(repeat: int = 30, jobs: int = 10_000) -> str:
    """The table in Markdown."""
    rows: list[Row] = []
    for files in (2_000, 20_000):
        with tempfile.TemporaryDirectory() as name:
            rows += reading(Path(name), files, repeat)
    with tempfile.TemporaryDirectory() as name:
        rows += writing(Path(name), jobs)
    lines = ["| git, median | here | floor | ratio |", "|---|--:|--:|--:|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=10_000)
    given = parser.parse_args()
    print(run(given.repeat, given.jobs))


if __name__ == "__main__":
    main()
