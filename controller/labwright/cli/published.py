"""Jobs as the results branch knows them: finished ones, without their content."""

import re
from collections.abc import Collection

from labwright.domain.errors import Refused
from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Job
from labwright.domain.lifecycle import State
from labwright.domain.manifest import Manifest

_MANIFEST = re.compile(r"results/(?P<task>.+)/[a-z2-7]{12}/manifest\.json")


def published(repo: str, branch: str, tasks: Collection[str]) -> list[Job]:
    """Jobs of these tasks that the results branch knows; none where there is no such branch."""
    from labwright.wiring import read_results

    jobs = []
    try:
        for path, data in read_results(repo, branch, "manifest.json"):
            found = _MANIFEST.fullmatch(path)
            if found and found["task"] in tasks and (job := _job(data)) is not None:
                jobs.append(job)
    except Refused:
        return []
    return jobs


def _job(data: bytes) -> Job | None:
    try:
        made = Manifest.model_validate_json(data)
    except ValueError:
        return None
    return Job(
        id=JobId(made.job),
        task=made.task,
        work=Digest(made.work_digest),
        generation=made.generation,
        parameters=made.parameters,
        spec=Digest(""),
        bundle=Digest(made.bundle_digest),
        provider=made.provider,
        priority=0,
        commit=made.commit,
        branch=made.branch,
        author=made.author,
        created=made.created,
        state=State(made.state),
        reason=made.reason,
        trial=made.trial,
    )
