"""Which artifacts of a job the lab keeps itself, and whose folders may go."""

from collections.abc import Iterable

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
