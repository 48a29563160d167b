"""A provider that runs nothing: jobs live by their stories, one step at each `tick`, and calls fail when told to."""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from labwright.domain.errors import LabError, OutcomeUnknown, Refused
from labwright.domain.ids import Handle, Token
from labwright.domain.lifecycle import Outcome
from labwright.domain.manifest import ManifestArtifact
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Task
from labwright.ports.clock import Clock
from labwright.ports.provider import Capacity, Chunk, Collected, Condition, Features, Submission, Tail


@dataclass(frozen=True, slots=True)
class Story:
    """What becomes of a job: how many ticks it spends in each phase, how it ends, what it leaves behind."""

    queued: int = 0
    setup: int = 0
    run: int = 1
    code: int = 0
    signal: int | None = None
    outcome: Outcome | None = None  # None: what code and phase say
    fails_in_setup: bool = False
    hangs: bool = False  # runs until it is cancelled
    log: bytes = b""
    events: bytes = b""
    artifacts: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def phases(self) -> list[Phase]:
        last = [] if self.fails_in_setup else [Phase.RUN] * self.run
        return [Phase.QUEUED] * self.queued + [Phase.SETUP] * self.setup + last

    @property
    def how(self) -> Outcome:
        if self.outcome:
            return self.outcome
        if self.fails_in_setup:
            return Outcome.SETUP_ERROR
        return Outcome.ERROR if self.code else Outcome.OK


@dataclass(slots=True)
class _Job:
    submission: Submission
    story: Story
    accepted: datetime
    age: int = 0
    ended: Seen | None = None
    started: datetime | None = None
    running: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Fault:
    error: LabError
    after: bool  # the call takes effect, and then its answer is lost


class FakeProvider:
    """`accepted` holds every token ever accepted, in order, each once. With `steps`, observing is a tick."""

    def __init__(
        self,
        clock: Clock,
        story: Story | Callable[[Submission], Story] | None = None,
        *,
        name: str = "fake",
        features: Features | None = None,
        capacity: Capacity | None = None,
        refusals: Callable[[Task], Sequence[str]] = lambda task: (),
        steps: bool = True,
    ) -> None:
        self.name = name
        self.features = features or Features(find_settles=0.0)
        self.accepted: list[Token] = []
        self.cancelled: list[Handle] = []
        self.forgotten: list[Handle] = []
        self.tidied: list[float] = []  # what each call was given
        self._clock = clock
        self._story = story or Story()
        self._capacity = capacity or Capacity(cpus=4, memory_gb=16)
        self._refusals = refusals
        self._steps = steps
        self._jobs: dict[Handle, _Job] = {}
        self._lost: dict[Handle, _Job] = {}
        self._stories: dict[Token, Story] = {}
        self._faults: dict[str, deque[_Fault]] = {}

    # what a test says

    def tell(self, token: Token, story: Story) -> None:
        """The story of a token that is not submitted yet."""
        self._stories[token] = story

    def fail(self, call: str, error: LabError, *, times: int = 1, after: bool = False) -> None:
        """The next calls of that name raise. With `after` a submission is accepted all the same, as when the line breaks
        while the answer is on its way; it should be OutcomeUnknown then."""
        self._faults.setdefault(call, deque()).extend([_Fault(error, after)] * times)

    def tick(self, times: int = 1) -> None:
        """Every job that is not over gets older."""
        for _ in range(times):
            for job in self._jobs.values():
                job.age += job.ended is None

    def end(self, handle: Handle, outcome: Outcome, *, code: int | None = None, detail: str = "") -> None:
        """Now, whatever its story says: preempted, node failed, killed."""
        job = self._jobs[handle]
        self._see(job)
        job.ended = self._end(job, outcome, code, None, detail)

    def lose(self, handle: Handle) -> None:
        """It is gone, and the provider never heard of it."""
        self._lost[handle] = self._jobs.pop(handle)

    def find_again(self, handle: Handle) -> None:
        """What was lost has been there all the time."""
        self._jobs[handle] = self._lost.pop(handle)

    # the port

    def close(self) -> None: ...

    def condition(self) -> Condition:
        return Condition()

    def refuse(self, task: Task) -> Sequence[str]:
        return self._refusals(task)

    def capacity(self) -> Capacity | None:
        self._fault("capacity")
        return None if self.features.queues else self._capacity

    def submit(self, batch: Sequence[Submission]) -> Mapping[Token, Handle | LabError]:
        lost = self._fault("submit")
        answers: dict[Token, Handle | LabError] = {}
        for submission in batch:
            token, handle = submission.token, Handle(f"fake:{submission.token}")
            if token not in self.accepted:
                self.accepted.append(token)
                story = self._stories.get(token) or (self._story if isinstance(self._story, Story) else self._story(submission))  # fmt: skip
                self._jobs[handle] = _Job(submission, story, self._clock.now())
            answers[token] = handle
        if lost is not None:
            if not isinstance(lost, OutcomeUnknown):
                raise lost
            return dict.fromkeys(answers, lost)
        return answers

    def find(self, tokens: Sequence[Token]) -> Mapping[Token, Handle | None]:
        self._fault("find")
        return {token: self._find(token) for token in tokens}

    def _find(self, token: Token) -> Handle | None:
        job = self._jobs.get(handle := Handle(f"fake:{token}"))
        settled = job and (self._clock.now() - job.accepted).total_seconds() >= self.features.find_settles
        return handle if settled else None

    def list(self) -> Mapping[Token, Handle]:
        self._fault("list")
        return {
            job.submission.token: handle
            for handle, job in self._jobs.items()
            if self._see(job).phase is not Phase.ENDED
        }

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        self._fault("observe")
        if self._steps:
            self.tick()
        return {h: self._see(job) if (job := self._jobs.get(h)) else Seen(Phase.MISSING) for h in handles}

    def _see(self, job: _Job) -> Seen:
        if job.ended:
            return job.ended
        phases, story = job.story.phases, job.story
        over = job.age > len(phases)
        phase = phases[min(job.age, len(phases)) - 1] if job.age and phases else Phase.QUEUED
        if phase is not Phase.QUEUED:
            job.started = job.started or self._clock.now()
        if phase is Phase.RUN:
            job.running = job.running or self._clock.now()
        if over and not story.hangs:
            job.ended = self._end(job, story.how, story.code, story.signal, "")
            return job.ended
        return Seen(phase, started=job.started, running=job.running, node="nowhere")

    def _end(self, job: _Job, outcome: Outcome, code: int | None, signal: int | None, detail: str) -> Seen:
        now = self._clock.now()
        return Seen(Phase.ENDED, outcome, code, signal, job.started, job.running, now, "nowhere", detail)

    def cancel(self, handles: Sequence[Handle]) -> None:
        self._fault("cancel")
        for handle in handles:
            self.cancelled.append(handle)
            job = self._jobs.get(handle)
            if job and not job.ended:
                self.end(handle, Outcome.CANCELLED, code=143)

    def read(self, tails: Sequence[Tail], *, limit: int = 8 << 20) -> Sequence[Chunk]:
        self._fault("read")
        chunks = []
        for tail in tails:
            job = self._jobs.get(tail.handle)
            begun = job is not None and self._see(job).phase in (Phase.RUN, Phase.ENDED)
            files = {"events.jsonl": job.story.events, "log.txt": job.story.log} if job and begun else {}
            for name, whole in files.items():
                offset = tail.offsets.get(name, 0)
                if data := whole[offset : offset + limit]:
                    limit -= len(data)
                    chunks.append(Chunk(tail.handle, name, offset, data))
        return chunks

    def collect(self, handle: Handle) -> Collected:
        self._fault("collect")
        job = self._jobs.get(handle)
        files = job.story.artifacts if job else {}
        return Collected([_artifact(path, data) for path, data in sorted(files.items())])

    def fetch(self, handle: Handle, path: str, into: Path) -> None:
        self._fault("fetch")
        job = self._jobs.get(handle)
        if job is None or path not in job.story.artifacts:
            raise Refused(f"{handle} has no artifact {path!r}")
        into.write_bytes(job.story.artifacts[path])

    def forget(self, handles: Sequence[Handle]) -> None:
        self._fault("forget")
        for handle in handles:
            job = self._jobs.get(handle)
            if job is not None and self._see(job).phase is Phase.ENDED:
                self.forgotten.append(handle)
                del self._jobs[handle]

    def tidy(self, unused_for: float) -> None:
        self._fault("tidy")
        self.tidied.append(unused_for)

    def _fault(self, call: str) -> LabError | None:
        """The error to answer once the call took effect; raises one that comes before."""
        waiting = self._faults.get(call)
        if not waiting:
            return None
        fault = waiting.popleft()
        if fault.after:
            return fault.error
        raise fault.error


def _artifact(path: str, data: bytes) -> ManifestArtifact:
    return ManifestArtifact(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
