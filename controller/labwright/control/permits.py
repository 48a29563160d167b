"""Which jobs of pull requests may be submitted. Everything that nobody said yes to is closed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labwright.domain.forge import number_of
from labwright.domain.ids import JobId
from labwright.domain.job import Job, Trial

Content = tuple[str, str, str, str, str]
FRESH = timedelta(seconds=2)  # so old may the forge's word be when a job is submitted


@dataclass
class Permits:
    """The loop's thread alone reads and writes it."""

    lanes: dict[str, str] = field(
        default_factory=dict
    )  # → why its jobs may not run; empty: they may, as far as is known
    asked: dict[str, frozenset[Content]] = field(default_factory=dict)  # lane → all that what was approved may run
    trusted: frozenset[JobId] = frozenset()  # jobs of pull requests that a watched branch wants as well: merged ones
    wanting: dict[JobId, tuple[str, ...]] = field(
        default_factory=dict
    )  # jobs of pull requests that others of them want as well
    verified: dict[str, datetime] = field(
        default_factory=dict
    )  # lane → when the forge was asked last, and all was well
    wanted: set[str] = field(default_factory=set)  # lanes that are to be asked about

    def why_held(self, job: Job) -> str:
        """Empty: admitted, as far as approval goes."""
        if number_of(job.branch) is None or job.id in self.trusted or self._allowing(job):
            return ""
        return self._why_not(job, job.branch)

    def _allowing(self, job: Job) -> list[str]:
        """Lanes that were approved with exactly this in them."""
        lanes = (job.branch, *self.wanting.get(job.id, ()))
        return [lane for lane in lanes if not self._why_not(job, lane)]

    def _why_not(self, job: Job, lane: str) -> str:
        why = self.lanes.get(lane, "the forge was not asked yet")
        if not why and content_of(job) not in self.asked.get(lane, ()):
            return "what was approved is not this: it is of another push"
        return why

    def may_submit(self, job: Job, now: datetime) -> bool:
        """Where the forge's word is too old, it is asked for."""
        if number_of(job.branch) is None or job.id in self.trusted:
            return True
        lanes = self._allowing(job)
        for lane in lanes:
            said = self.verified.get(lane)
            if said is not None and timedelta(0) <= now - said <= FRESH:
                return True
        self.wanted.update(lanes[:1])
        return False


def content_of(job: Job | Trial) -> Content:
    """All that makes one submission another one than was approved."""
    return (job.task, job.work, job.provider, job.bundle, job.spec)
