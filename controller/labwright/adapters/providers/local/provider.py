"""The Provider port on processes of this machine."""

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from labwright.adapters.providers.local import files, machine, shared, stage, variables
from labwright.adapters.providers.local.observe import Observer
from labwright.adapters.providers.local.prepare import Stager
from labwright.adapters.providers.local.process import Children
from labwright.adapters.providers.local.spool import Spool, read_exit
from labwright.domain import lab
from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.domain.ids import Handle, Token
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Task
from labwright.ports.clock import Clock
from labwright.ports.provider import Capacity, Chunk, Collected, Condition, Features, ReadBlobs, Submission, Tail


class LocalProvider:
    """`spool` is made if missing. A second object on the same spool, in this process or another, sees the same attempts.

    `sdk` is the package folder `lab`, copied into the spool; `lab_templates` are the lab repository's own, by name."""

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
        stage.tidy(self._spool, clock.now())
        self._settings = settings
        self._read_blobs = read_blobs
        self._sdk = stage.provide_sdk(self._spool, sdk) if sdk else None
        self._templates = dict(lab_templates or {})
        self._bash = shutil.which("bash") or "/bin/bash"  # not by the task's PATH
        self._children = Children()
        self._observer = Observer(self._spool, clock, self._children)
        self._clock = clock
        self._staging = shared.staging(self._spool.root)

    @property
    def ended(self) -> Path:
        """A folder in which a file appears with each end: watch it to be told at once."""
        return self._spool.ended

    @cached_property
    def _capacity(self) -> Capacity:
        return machine.capacity(self._settings, self._spool.root)

    def capacity(self) -> Capacity:
        return self._capacity

    def close(self) -> None: ...

    def condition(self) -> Condition:
        return Condition()

    def refuse(self, task: Task) -> Sequence[str]:
        return list(machine.refuse(task, self._capacity, self.name))

    def submit(self, batch: Sequence[Submission]) -> Mapping[Token, Handle | LabError]:
        stager = Stager(self._spool, self._settings, self._read_blobs, self._templates)
        return {submission.token: self._submit(submission, stager) for submission in batch}

    def _submit(self, submission: Submission, stager: Stager) -> Handle | LabError:
        handle = Handle(submission.token)
        job = self._spool.job(handle)
        if job is None:
            return Refused(f"{submission.token!r} cannot be the name of a folder")
        try:
            if self._observer.under_way(handle, job):
                return handle
            env = self._variables(submission, job)
            if not job.is_dir():
                with self._staging:
                    stager.stage(submission, job)
            # -p: no BASH_ENV and no functions from the task's variables in the wrapper itself
            self._children.spawn(handle, [self._bash, "-p", str(job / "run.sh")], env, job, job / "log.txt")
        except LabError as error:
            return error
        except OSError as error:
            return Unavailable(f"{self.name}: {error}", hint="nothing was started")
        return handle

    def _variables(self, submission: Submission, job: Path) -> dict[str, str]:
        former = self._spool.existing(submission.resume_from) if submission.resume_from else None
        return variables.variables(
            submission,
            job,
            inherited=os.environ,
            provider=self._settings.env,
            capacity=self._capacity,
            sdk=self._sdk,
            resume=former / "checkpoints" if former else None,
        )

    def find(self, tokens: Sequence[Token]) -> Mapping[Token, Handle | None]:
        found: dict[Token, Handle | None] = {}
        for token in tokens:
            job = self._spool.existing(token)
            claimed = job and (self._observer.under_way(Handle(token), job) or read_exit(job))
            found[token] = Handle(token) if claimed else None
        return found

    def list(self) -> Mapping[Token, Handle]:
        return {Token(handle): handle for handle in self._observer.live()}

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        return self._observer.observe(handles)

    def cancel(self, handles: Sequence[Handle]) -> None:
        for handle in handles:
            self._observer.cancel(handle)

    def read(self, tails: Sequence[Tail], *, limit: int = 8 << 20) -> Sequence[Chunk]:
        return list(files.read(self._spool, tails, limit))

    def collect(self, handle: Handle) -> Collected:
        return files.collect(self._spool, handle)

    def fetch(self, handle: Handle, path: str, into: Path) -> None:
        files.fetch(self._spool, handle, path, into)

    def forget(self, handles: Sequence[Handle]) -> None:
        ended = [handle for handle, seen in self.observe(handles).items() if seen.phase is Phase.ENDED]
        for handle in ended:
            if job := self._spool.existing(handle):
                self._observer.forget(handle)
                (self._spool.ended / handle).unlink(missing_ok=True)
                stage.remove(shared.put_aside(self._spool, job))

    def tidy(self, unused_for: float) -> None:
        now = self._clock.now()
        with self._staging:
            old = shared.take_old(self._spool, now.timestamp() - unused_for)
        for path in old:
            stage.remove(path)
        stage.tidy(self._spool, now)
