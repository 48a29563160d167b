"""Submissions made batches: equal trials are one job array, each other is a job of its own. A batch is a folder on the cluster."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from labwright.adapters.providers.local import variables
from labwright.adapters.providers.slurm.seal import new_key, seal
from labwright.domain.errors import Refused
from labwright.domain.ids import Token, parse_token
from labwright.domain.slurm import SlurmProvider
from labwright.ports.provider import Capacity, Submission

FEW = 2  # trials that are worth an array
PLAIN = Capacity(cpus=1, memory_gb=0)


@dataclass(frozen=True, slots=True)
class Group:
    """Submissions that differ in nothing but their own trial."""

    members: Sequence[Submission]
    pack: int = 1  # trials in one allocation
    at_once: int = 1  # of them, side by side

    @property
    def first(self) -> Submission:
        return self.members[0]

    @property
    def elements(self) -> int:
        return -(-len(self.members) // self.pack)

    @property
    def array(self) -> str:
        """`0-99%10`; empty for a single allocation."""
        if self.elements == 1:
            return ""
        most = _most_at_once(self.first)
        return f"0-{self.elements - 1}" + (f"%{max(1, most // self.at_once)}" if most else "")

    @property
    def sealed(self) -> bool:
        """Whether there is a value that no file on the cluster may show."""
        return any(self.first.secrets.values())

    @property
    def job(self) -> str:
        """Its name in Slurm: the token of a single one, else the lab's name and a digest of the tokens."""
        if len(self.members) == 1:
            return self.first.token
        parsed = parse_token(self.first.token)
        told = hashlib.sha256("\n".join(s.token for s in self.members).encode()).hexdigest()[:12]
        return f"{parsed[0] if parsed else 'lab'}-{told}-a{len(self.members)}" + (
            f"p{self.pack}" if self.pack > 1 else ""
        )


@dataclass(frozen=True, slots=True)
class Batch:
    name: str  # of its folder: the job's name and when it was made, for a token may be tried more than once
    group: Group
    files: Mapping[str, bytes] = field(default_factory=dict)
    key: str = ""  # that opens its secrets; empty where it has none


def groups(submissions: Iterable[Submission], most: int) -> Iterator[Group]:
    """`most`: allocations in one array."""
    alike: dict[tuple[object, ...], list[Submission]] = {}
    spelt: dict[tuple[int, int], tuple[str, ...]] = {}  # by task and bundle: the trials of a sweep share theirs
    for submission in submissions:
        task, bundle = submission.task, submission.bundle
        if (both := (id(task), id(bundle))) not in spelt:
            spelt[both] = (task.to_json(), bundle.digest, bundle.folder)
        likeness = (submission.task_path, *spelt[both], *sorted(submission.secrets.items()))
        alike.setdefault(likeness, []).append(submission)
    for members in alike.values():
        pack = members[0].task.resources.pack
        size, at_once = (pack.trials, pack.at_once) if pack else (1, 1)
        for at in range(0, len(members), most * size):
            part = members[at : at + most * size]
            yield Group(part, min(size, len(part)), min(at_once, size, _most_at_once(part[0]) or at_once))


def _most_at_once(submission: Submission) -> int | None:
    return submission.task.sweeps.max_parallel if submission.task.sweeps else None


def trial_files(
    submission: Submission, settings: SlurmProvider, root: str, sdk: str, *, folders: Mapping[str, str], resume: str
) -> tuple[dict[str, bytes], bytes]:
    """What one trial finds in its folder, and what of it is secret: variables as NUL-ended `NAME=value`.

    `folders` are needed artifacts: place below needs/ → folder on the cluster. Raises Refused."""
    env = open_ = environment(submission, settings, root, sdk)
    if submission.secrets:  # a value may be spelt in another way, as JSON spells a quote
        empty = replace(submission, secrets=dict.fromkeys(submission.secrets, ""))
        open_ = environment(empty, settings, root, sdk)
    values = [value for value in submission.secrets.values() if value]
    secret = {n: text for n, text in env.items() if text != open_[n] or any(value in text for value in values)}
    config = {
        "parameters": dict(submission.parameters),
        "task": submission.task_path,
        "job": submission.job,
        "attempt": submission.attempt,
    }
    files = {
        "config.json": json.dumps(config, ensure_ascii=False).encode(),
        "variables": _pairs({name: text for name, text in env.items() if name not in secret}),
        "needs.list": b"".join(f"{to}\0{source}\0".encode() for to, source in folders.items()),
        "resume": f"{resume}\n".encode(),
    }
    return files, _pairs(secret)


def environment(submission: Submission, settings: SlurmProvider, root: str, sdk: str) -> dict[str, str]:
    """As on every provider, but for what only Slurm and the node know: HOME, PATH, GPUs, the folder."""
    asked = submission.task.resources
    gpus = list(range(asked.accelerators.count)) if asked.accelerators else []
    placement = submission.placement or {"cpus": asked.cpus or 1, "gpus": gpus}
    made = variables.variables(
        replace(submission, placement=placement),
        Path(root, "jobs", submission.token),
        inherited={},
        provider=settings.env,
        capacity=PLAIN,
        sdk=Path(sdk) if sdk else None,
        resume=None,
    )
    given = {**settings.env, **submission.task.envs}
    if "CUDA_VISIBLE_DEVICES" not in given:
        made.pop("CUDA_VISIBLE_DEVICES", None)  # Slurm's to set
    return made


def _pairs(env: Mapping[str, str]) -> bytes:
    return b"".join(f"{name}={text}\0".encode() for name, text in env.items())


def trials_tar(trials: Sequence[tuple[dict[str, bytes], bytes]], key: str) -> bytes:
    """`<place>/<file>` of every trial, compressed."""
    pieces = []
    for place, (files, secret) in enumerate(trials):
        pieces += [_entry(f"{place}/{name}", data) for name, data in files.items()]
        if key:
            pieces.append(_entry(f"{place}/sealed", seal(secret, key)))
    return gzip.compress(b"".join(pieces) + bytes(1024), 1, mtime=0)


def _entry(name: str, data: bytes) -> bytes:
    """A file of mode 600 in a tar (POSIX.1-1988). A sweep has tens of thousands; tarfile would take five times as long."""
    start = name.encode().ljust(100, b"\0") + b"0000600\0" + 2 * b"0000000\0" + b"%011o\0" % len(data) + b"%011o\0" % 0
    end = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    checksum = sum(start) + 8 * ord(" ") + sum(end)
    return start + b"%06o\0 " % checksum + end + data + bytes(-len(data) % 512)


def add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def packed(batches: Sequence[Batch]) -> bytes:
    """All their folders as one compressed tar."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for batch in batches:
            folder = tarfile.TarInfo(batch.name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            for name, data in batch.files.items():
                add(tar, f"{batch.name}/{name}", data, 0o600 if name == "trials.tar" else 0o644)
    return gzip.compress(made.getvalue(), 1, mtime=0)


def token_list(group: Group) -> bytes:
    return "".join(f"{submission.token}\n" for submission in group.members).encode()


def make_key(group: Group) -> str:
    return new_key() if group.sealed else ""


def certain(token: Token) -> Token:
    """A token that can be the name of a folder and of a job. Raises Refused."""
    if not parse_token(token):
        raise Refused(f"{token!r} cannot be the name of a job")
    return token
