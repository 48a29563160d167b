"""People with ssh keys around one bare repository: they propose with branches and approve with signed tags. Real git, real ssh-keygen."""

import contextlib
import itertools
import json
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labwright.adapters.forges.git import OURS, GitForge
from labwright.adapters.results import GitResultsBranch
from labwright.domain.forge import Light, Opinion, Role, Status
from tests.contract.git_world import ENV, make_bare

PEOPLE = ("ada", "ben", "cleo", "dora")  # who have keys; mallory has one that lab.yaml does not name
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Keys:
    """Made once for a whole run of tests; the same person always has the same key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, login: str) -> Path:
        path = self.folder / login
        if not path.exists():
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{login}@laptop", "-f", str(path)]
            subprocess.run(make, check=True, capture_output=True)
        return path

    def public(self, login: str) -> str:
        return self.file(login).with_suffix(".pub").read_text().strip()

    def line(self, login: str, options: str = "", *, key_of: str = "") -> str:
        return " ".join(word for word in (login, options, self.public(key_of or login)) if word)


class Still:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = START + timedelta(days=30)

    def now(self) -> datetime:
        return self.at


class PlainWorld:
    """ForgeWorld of a bare repository."""

    def __init__(self, top: Path, keys: Keys, *, kind: str = "sha1", url: str = "{}") -> None:
        self.top, self.keys, self.clock = top, keys, Still()
        self.remote = make_bare(top / "remote.git", kind)
        self.url = url.format(self.remote)
        self._numbers, self._seconds = itertools.count(1), itertools.count(1)
        self._made: list[GitForge] = []
        self._reviews: dict[str, str] = {}  # id → tag
        self.commit("ada")
        self.forge = self.open_forge()

    def open_forge(self, lines: Sequence[str] | None = None, *, name: str = "mirror") -> GitForge:
        found = [self.keys.line(login) for login in PEOPLE] if lines is None else lines
        ours = GitResultsBranch(self.top / f"{name}-pulls.git", self.url, OURS)
        self._made.append(GitForge(self.url, self.top / f"{name}.git", ours, found, self.clock))
        return self._made[-1]

    def close(self) -> None:
        for forge in self._made:
            forge.close()

    def away(self) -> GitForge:
        gone = str(self.top / "nowhere.git")
        self._made.append(
            GitForge(gone, self.top / "away.git", GitResultsBranch(self.top / "x.git", gone, OURS), (), self.clock)
        )
        return self._made[-1]

    def stranger(self) -> GitForge:
        raise NotImplementedError("there are no tokens")

    def settle(self) -> None:
        pass

    def git(self, *args: str, by: str = "", stdin: str = "", at: datetime | None = None) -> str:
        """In the remote itself. `by`: what it makes is signed with this person's key."""
        moment = at or START + timedelta(seconds=next(self._seconds))
        when = f"{int(moment.timestamp())} +0000"
        env = {**ENV, "GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when}
        key = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={self.keys.file(by)}") if by else ()
        done = subprocess.run(
            ["git", *key, *args], cwd=self.remote, env=env, input=stdin.encode(), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    # what people do

    def make(self, by: str, parent: str, subject: str = "change", *, signed: bool = True) -> str:
        """A commit with a file that no other has; its id."""
        blob = self.git("hash-object", "-w", "--stdin", stdin=f"{next(self._seconds)}\n")
        tree = self.git("mktree", stdin=f"100644 blob {blob}\tfile.txt\n")
        parents = ("-p", parent) if parent else ()
        return self.git(
            "commit-tree",
            *(("-S",) if signed else ()),
            *parents,
            "-F",
            "-",
            tree,
            stdin=subject,
            by=by if signed else "",
        )

    def head(self, branch: str) -> str:
        return self.git("rev-parse", f"refs/heads/{branch}")

    def branch(self, number: int) -> str:
        return f"pull/{number}"

    def open(self, by: str = "cleo", *, title: str = "Change", base: str = "main", fork: bool = False) -> int:
        number = next(self._numbers)
        self.put(f"pull/{number}", self.make(by, self.head("main"), title))
        return number

    def put(self, branch: str, commit: str) -> None:
        self.git("update-ref", f"refs/heads/{branch}", commit)

    def push(self, number: int, by: str, *, signed: bool = True) -> str:
        commit = self.make(by, self.head(self.branch(number)), signed=signed)
        self.put(self.branch(number), commit)
        return commit

    def rename(self, number: int, title: str, by: str) -> None:
        self.put(self.branch(number), self.make(by, self.head("main"), title))

    def aim(self, number: int, base: str, by: str) -> None:
        raise NotImplementedError("every pull request is for the default branch")

    def shut(self, number: int, by: str) -> None:
        self.put(f"away/{number}", self.head(self.branch(number)))
        self.git("update-ref", "-d", f"refs/heads/{self.branch(number)}")

    def reopen(self, number: int, by: str) -> None:
        self.put(self.branch(number), self.head(f"away/{number}"))

    def merge(self, number: int, by: str) -> None:
        self.put("main", self.head(self.branch(number)))

    def sign(self, name: str, target: str, by: str, message: str = "yes", *, at: datetime | None = None) -> str:
        """A signed tag; its id."""
        self.git("tag", "-s", "-f", "-m", message, name, target, by=by, at=at)
        return self.git("rev-parse", f"refs/tags/{name}")

    def put_label(self, number: int, label: str, by: str, *, on: bool = True) -> None:
        kind = {"lab:run": "approve", "lab:stop": "stop", "lab:rerun": "rerun"}[label]
        assert on, "nobody takes another's tag off and is known for it"
        self.sign(f"{kind}/{number}/{by}-{next(self._seconds)}", self.head(self.branch(number)), by)

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED) -> str:
        name = f"{'approve' if opinion is Opinion.APPROVED else 'deny'}/{number}/{by}-{next(self._seconds)}"
        id = self.sign(name, self.head(self.branch(number)), by)
        self._reviews[id] = name
        return id

    def dismiss(self, number: int, review: str, by: str) -> None:
        self.git("tag", "-d", self._reviews[review])

    def write(self, number: int, body: str, by: str) -> str:
        raise NotImplementedError("nobody writes but Labwright")

    def edit(self, number: int, comment: str, body: str, by: str) -> None:
        raise NotImplementedError("nobody writes but Labwright")

    def erase(self, number: int, comment: str, by: str) -> None:
        self.write_ours({comment: None})

    def write_ours(self, files: Mapping[str, bytes | None]) -> None:
        """Somebody pushes to our branch."""
        ref, tip = f"refs/heads/{OURS}", self.head(OURS)
        parts = [f"commit {ref}\ncommitter M <m@x> now\ndata 1\n.\nfrom {tip}\n".encode()]
        for path, data in files.items():
            parts.append(
                f"D {path}\n".encode()
                if data is None
                else b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)
            )
        subprocess.run(
            ["git", "fast-import", "--quiet", "--date-format=now"],
            cwd=self.remote,
            env=ENV,
            input=b"".join(parts),
            check=True,
        )

    def let(self, login: str, role: Role) -> None:
        raise NotImplementedError("lab.yaml says who may")

    def make_team(self, name: str, members: Collection[str]) -> str:
        raise NotImplementedError("there are no teams")

    def protect(self, branch: str, *, reviews: int = 0, pushers: Sequence[str] = ()) -> None:
        raise NotImplementedError("plain git does not tell")

    def commit(self, by: str, branch: str = "main") -> str:
        known = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        made = self.make(by, known)
        self.put(branch, made)
        return made

    # what is shown

    def statuses(self, commit: str) -> Mapping[str, Status]:
        shown = json.loads(self.git("show", f"{OURS}:statuses/{commit}.json"))
        return {name: Status(name, Light(it["light"]), it["words"], it["url"]) for name, it in shown.items()}

    def labels(self) -> Collection[str]:
        raise NotImplementedError("there are none")

    def hooks(self) -> Sequence[str]:
        raise NotImplementedError("there are none")


@contextlib.contextmanager
def plain_world(top: Path, keys: Path, **how: str) -> Iterator[PlainWorld]:
    keys.mkdir(exist_ok=True)
    world = PlainWorld(top, Keys(keys), **how)
    try:
        yield world
    finally:
        world.close()


def path_without_keygen(folder: Path) -> str:
    """With git and without ssh-keygen."""
    folder.mkdir()
    for name in ("git", "false"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return str(folder)
