"""What the provider suite works on: one provider, and how to hand it jobs and wait for them."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from labwright.domain.bundle import Bundle, BundleFile
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle, JobId, token
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Task
from labwright.ports.provider import Provider, Submission, Tail

T = TypeVar("T")
File = bytes | tuple[str, bytes]  # content, or git's mode and content


@dataclass(frozen=True, slots=True)
class Script:
    """What a job of the suite does: as bash for providers that run it, in words for those that pretend to."""

    run: str
    setup: str | None = None
    code: int = 0
    fails_in_setup: bool = False
    hangs: bool = False
    log: bytes = b""
    artifacts: Mapping[str, bytes] | None = None


def leaves(code: int) -> Script:
    return Script(f"exit {code}", code=code)


HANGS = Script("echo begun; sleep 600", hangs=True, log=b"begun\n")


class Blobs:
    """Git blobs by a made-up id; `read` is a ReadBlobs."""

    def __init__(self) -> None:
        self.by_oid: dict[str, bytes] = {}

    def bundle(self, files: Mapping[str, File]) -> Bundle:
        made = []
        for path, file in files.items():
            mode, data = ("100644", file) if isinstance(file, bytes) else file
            oid = hashlib.sha256(data).hexdigest()[:40]
            self.by_oid[oid] = data
            made.append(BundleFile(path, mode, oid))
        return Bundle(tuple(made))

    def read(self, oids: Any) -> Iterator[bytes]:
        for oid in oids:
            yield self.by_oid[oid]


class Bench:
    """`folder` is one that jobs can write to and the test can read. Override what the provider at hand needs."""

    patience = 60.0  # seconds that the suite waits for anything; never a measure of speed

    def __init__(self, provider: Provider, folder: Path, blobs: Blobs | None = None) -> None:
        self.provider = provider
        self.folder = folder
        self.blobs = blobs or Blobs()

    def prepare(self, submission: Submission, script: Script) -> None:
        """Before each submission: a fake is told the story here."""

    def pause(self) -> None:
        time.sleep(0.02)

    def left_behind(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every file that the provider keeps, for the search for secrets."""
        raise NotImplementedError

    def fresh(self) -> Provider:
        """Another object on the same state, as after a restart of the controller."""
        raise NotImplementedError

    def new_job(self) -> JobId:
        """Of no other test: a cluster remembers the names of jobs."""
        return JobId(base64.b32encode(secrets.token_bytes(10)).decode().lower()[:12])

    def submission(
        self,
        script: Script,
        *,
        job: JobId | None = None,
        attempt: int = 1,
        files: Mapping[str, File] | None = None,
        folder: str = "",
        parameters: Mapping[str, Any] | None = None,
        task: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Submission:
        job = job or self.new_job()
        made = Submission(
            token=token("suite", job, attempt),
            job=job,
            attempt=attempt,
            task_path="alpha/train",
            task=Task.model_validate({"name": "suite", "run": script.run, "setup": script.setup, **(task or {})}),
            bundle=replace(self.blobs.bundle(files or {}), folder=folder),
            parameters=parameters or {},
            variables={"LAB_COMMIT": "c" * 40, "LAB_BRANCH": "main", "LAB_GENERATION": "0", "LAB_TRIAL": "0"},
            **more,
        )
        self.prepare(made, script)
        return made

    def submit(self, script: Script, **more: Any) -> Handle:
        submission = self.submission(script, **more)
        return accepted(self.provider.submit([submission])[submission.token])

    def see(self, handle: Handle) -> Seen:
        return self.provider.observe([handle])[handle]

    def until(self, handle: Handle, *phases: Phase) -> Seen:
        return self.wait(lambda: seen if (seen := self.see(handle)).phase in phases else None, f"{handle} in {phases}")

    def ended(self, handle: Handle) -> Seen:
        return self.until(handle, Phase.ENDED)

    def outcome(self, script: Script, **more: Any) -> Seen:
        return self.ended(self.submit(script, **more))

    def wait(self, ask: Callable[[], T | None], what: str) -> T:
        until = time.monotonic() + self.patience
        while (answer := ask()) is None:
            if time.monotonic() > until:
                raise AssertionError(f"waited {self.patience:g} s for {what}")
            self.pause()
        return answer

    def until_logged(self, handle: Handle, text: bytes = b"begun\n") -> None:
        def there() -> bool | None:
            over = self.see(handle).phase is Phase.ENDED
            if text in (log := self.log(handle)):
                return True
            if over:
                raise AssertionError(f"{handle} ended without saying {text!r}: {log!r}")
            return None

        self.wait(there, f"{text!r} in the log of {handle}")

    def log(self, handle: Handle) -> bytes:
        return self.stream(handle, "log.txt")

    def stream(self, handle: Handle, name: str) -> bytes:
        chunks = self.provider.read([Tail(handle, {})])
        return b"".join(chunk.data for chunk in chunks if chunk.file == name)


def accepted(answer: Handle | LabError) -> Handle:
    if isinstance(answer, LabError):
        raise AssertionError(f"the submission was not accepted: {answer}")
    return answer
