"""The Provider port on processes of this machine."""

import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from labwright.adapters import templates
from labwright.adapters.providers.local import process, stage, variables
from labwright.adapters.providers.local.process import Children
from labwright.adapters.providers.local.spool import Claim, Spool, boot_id, read_claim, read_exit, read_phases
from labwright.decide.render import render
from labwright.domain import lab
from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.domain.ids import Handle, Token
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Task
from labwright.ports.clock import Clock
from labwright.ports.provider import Capacity, Chunk, Collected, Features, ReadBlobs, Submission, Tail

_STREAM = re.compile(r"log\.txt|events(\.\d+)?\.jsonl")


class LocalProvider:
    """`spool` is made if missing. A second object on the same spool, in this process or another, sees the same attempts."""

    def __init__(
        self,
        name: str,
        spool: Path,
        settings: lab.LocalProvider,
        read_blobs: ReadBlobs,
        clock: Clock,
        sdk: Path | None = None,
        lab_templates: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.features = Features(find_settles=2.0)
        self._spool = Spool(spool.absolute())
        self._spool.make()
        self._settings = settings
        self._read_blobs = read_blobs
        self._clock = clock
        self._sdk = stage.provide_sdk(self._spool, sdk) if sdk else None
        self._templates = dict(lab_templates or {})
        self._boot = boot_id()
        self._children = Children()
        self._claims: dict[Handle, Claim] = {}

    def refuse(self, task: Task) -> Sequence[str]:
        return []

    def capacity(self) -> Capacity:
        s = self._settings
        cpus = s.cpus or float(len(os.sched_getaffinity(0)))
        memory = s.memory_gb or psutil.virtual_memory().total / 2**30
        return Capacity(cpus, memory, tuple(str(n) for n in range(s.gpus or 0)), s.gpu_type)

    def submit(self, batch: Sequence[Submission]) -> Mapping[Token, Handle | LabError]:
        return {submission.token: self._submit(submission) for submission in batch}

    def _submit(self, submission: Submission) -> Handle | LabError:
        handle = Handle(submission.token)
        job = self._spool.job(handle)
        if job is None:
            return Refused(f"{submission.token!r} cannot be a folder's name")
        try:
            if self._claim(handle, job) or self._children.running(handle):
                return handle
            if not job.is_dir():
                self._stage(submission, job)
            env = variables.variables(
                submission,
                job,
                inherited=os.environ,
                provider=self._settings.env,
                capacity=self.capacity(),
                sdk=self._sdk,
                resume=None,
            )
            self._children.spawn(handle, ["bash", str(job / "run.sh")], env, job, job / "log.txt")
        except LabError as error:
            return error
        except OSError as error:
            return Unavailable(f"{self.name}: {error}")
        return handle

    def _stage(self, submission: Submission, job: Path) -> None:
        task = submission.task
        bundle = stage.materialise(self._spool, submission.bundle, self._read_blobs)
        with stage.appearing(self._spool, job) as folder:
            for name in ("artifacts", "checkpoints", "needs"):
                (folder / name).mkdir()
            stage.copy_tree(bundle, folder / "work")
            stage.write_config(folder, submission)
            for name, text in (("setup.sh", task.setup), ("main.sh", task.run)):
                if text:
                    (folder / name).write_text(variables.as_shell(text, submission.secrets) + "\n", encoding="utf-8")
            (folder / "run.sh").write_text(self._wrapper(submission, job), encoding="utf-8")

    def _wrapper(self, submission: Submission, job: Path) -> str:
        name = "local/run.sh.j2"
        values = {
            "token": submission.token,
            "job_dir": job,
            "ended_dir": self._spool.ended,
            "grace": self._settings.grace_s,
            "limit": submission.task.limit_seconds,
            "setup": bool(submission.task.setup),
        }
        return render(templates.find(name, self._templates), values, name=name)

    def _claim(self, handle: Handle, job: Path) -> Claim | None:
        claim = self._claims.get(handle) or read_claim(job)
        if claim:
            self._claims[handle] = claim
        return claim

    def find(self, tokens: Sequence[Token]) -> Mapping[Token, Handle | None]:
        found: dict[Token, Handle | None] = {}
        for token in tokens:
            job = self._spool.existing(token)
            found[token] = Handle(token) if job and self._claim(Handle(token), job) else None
        return found

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        self._children.reap()
        return {handle: self._observe(handle) for handle in handles}

    def _observe(self, handle: Handle) -> Seen:
        job = self._spool.existing(handle)
        if job is None:
            return Seen(Phase.MISSING)
        if ended := read_exit(job):
            return ended
        claim = self._claim(handle, job)
        if claim is None:
            return Seen(Phase.QUEUED)
        phases = read_phases(job)
        phase = Phase.RUN if "run" in phases else Phase.SETUP
        seen = Seen(phase, started=phases.get("setup") or phases.get("run"), running=phases.get("run"))
        return seen if self._alive(claim) else self._vanished(handle, job, claim, seen)

    def _alive(self, claim: Claim) -> bool:
        if claim.boot != self._boot:
            return False
        found = process.stat(claim.pid)
        return bool(found and found.start == claim.start and found.state != "Z")

    def _vanished(self, handle: Handle, job: Path, claim: Claim, seen: Seen) -> Seen:
        if ended := read_exit(job):  # it ended between two looks
            return ended
        if claim.boot != self._boot:
            return replace(seen, phase=Phase.ENDED, outcome=Outcome.NODE_FAILED, detail="the machine was restarted")
        process.kill_session(claim.pid)
        return replace(
            seen,
            phase=Phase.ENDED,
            outcome=Outcome.ERROR,
            signal=self._children.signal_of(handle),
            detail="killed (no exit record)",
        )

    def cancel(self, handles: Sequence[Handle]) -> None:
        for handle in handles:
            job = self._spool.existing(handle)
            if job is None or read_exit(job):
                continue
            (job / "cancel").touch()
            claim = self._claim(handle, job)
            if claim and self._alive(claim):
                os.kill(claim.pid, signal.SIGTERM)

    def read(self, tails: Sequence[Tail], *, limit: int = 8 << 20) -> Sequence[Chunk]:
        chunks: list[Chunk] = []
        for tail in tails:
            job = self._spool.existing(tail.handle)
            for name in sorted(n for n in os.listdir(job) if _STREAM.fullmatch(n)) if job else ():
                offset = tail.offsets.get(name, 0)
                with (Path(str(job)) / name).open("rb") as file:
                    file.seek(offset)
                    data = file.read(limit)
                if data:
                    chunks.append(Chunk(tail.handle, name, offset, data))
                    limit -= len(data)
        return chunks

    def collect(self, handle: Handle) -> Collected:
        return Collected()

    def fetch(self, handle: Handle, path: str, into: Path) -> None:
        job = self._spool.existing(handle)
        if job is None:
            raise Refused(f"{self.name} knows no attempt {handle}")
        shutil.copyfile(job / "artifacts" / path, into)

    def forget(self, handles: Sequence[Handle]) -> None:
        for handle in handles:
            if job := self._spool.job(handle):
                shutil.rmtree(job, ignore_errors=True)
                (self._spool.ended / handle).unlink(missing_ok=True)
