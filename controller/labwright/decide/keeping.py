"""Which artifacts of a job the lab keeps itself, and whose folders may go."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from labwright.domain.ids import JobId
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import FINAL
from labwright.domain.manifest import ManifestArtifact

MOST_FILES = 100  # of one job
TIMES = 10  # the limit of one file: all of one job's together


def worth_keeping(artifacts: Iterable[ManifestArtifact], limit: int) -> list[ManifestArtifact]:
    """Of one job: those up to `limit` bytes, the smallest first, as many as are kept of one job. None with a limit of 0."""
    chosen: list[ManifestArtifact] = []
    left = TIMES * limit
    for artifact in sorted((a for a in artifacts if 0 <= a.size <= limit), key=lambda a: (a.size, a.path)):
        if limit <= 0 or len(chosen) >= MOST_FILES or artifact.size > left:
            break
        chosen.append(artifact)
        left -= artifact.size
    return chosen


def may_go(
    attempts: Iterable[Attempt], jobs: Mapping[JobId, Job], needed: Collection[Job], unpublished: Collection[JobId] = ()
) -> Sequence[Attempt]:
    """Of attempts that ended long enough ago, those whose folders nobody will read again: their jobs are over and published, and
    no job that is not over waits for the same work (`needed`: what such jobs wait for; a rerun of it may answer them)."""
    wanted = {(job.task, job.work) for job in needed}
    return [
        attempt
        for attempt in attempts
        if (job := jobs.get(attempt.job)) is not None
        and job.state in FINAL
        and (job.task, job.work) not in wanted
        and job.id not in unpublished
        and attempt.outcome is not None
        and attempt.collected
        and attempt.published
    ]
