"""manifest.json of one job on the results branch: enough to rebuild ledger and records, and to run it again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from labwright.domain.task import Model

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _when(at: datetime) -> datetime:
    if at.tzinfo is None or not _FIRST <= at < _LAST:
        raise ValueError("must have an offset and lie between 1970 and 2200")
    return at


def _within(bits: int) -> AfterValidator:
    def check(number: int) -> int:
        if not -(1 << bits - 1) <= number < 1 << bits - 1:
            raise ValueError(f"must be a whole number of {bits} bits")
        return number

    return AfterValidator(check)


When = Annotated[
    datetime, AfterValidator(_when)
]  # anybody may have edited the file: what no store can hold is refused here
Int32 = Annotated[int, _within(32)]
Int64 = Annotated[int, _within(64)]


class ManifestAttempt(Model):
    n: Int32
    provider: str
    node: str = ""
    outcome: str | None = None
    exit_code: Int32 | None = None
    signal: Int32 | None = None
    submitted: When | None = None
    started: When | None = None
    running: When | None = None
    ended: When | None = None
    detail: str = ""


class MetricSummary(Model):
    """Of one metric: its last, smallest and largest finite value, how many points, and at which step the last one was."""

    last: float | None
    min: float | None
    max: float | None
    count: Int64
    last_step: Int64 | None = None


class ManifestArtifact(Model):
    path: str
    kind: str = "file"
    size: Int64
    sha256: str
    uri: str = ""  # where its bytes are


class ManifestEnvironment(Model):
    python: str = ""
    packages: Mapping[str, str] = Field(default_factory=dict)
    digest: str = ""
    image: str = ""


class Manifest(Model):
    schema_: Literal["labwright/manifest/1"] = Field("labwright/manifest/1", alias="schema")
    job: str
    task: str
    generation: Int32
    trial: Int32 = 0
    work_digest: str
    bundle_digest: str
    state: Literal["COMPLETE", "FAILED", "STOPPED"]
    reason: str = ""
    commit: str
    branch: str
    author: str = ""
    plan: str = ""  # digest of the plan that launched it; empty when a person did
    source: Mapping[str, str] = Field(default_factory=dict)  # github_repo_url and the exact SHA that was fetched
    files: Mapping[str, str] = Field(default_factory=dict)  # bundle path → git object id
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    score: Mapping[str, float] = Field(default_factory=dict)
    created: When
    ended: When | None = None
    provider: str
    environment: ManifestEnvironment | None = None
    attempts: tuple[ManifestAttempt, ...] = ()
    metrics: Mapping[str, MetricSummary] = Field(default_factory=dict)
    artifacts: tuple[ManifestArtifact, ...] = ()
    sweep_metric: str = ""
    lower_is_better: bool = True
    log_tail: str = ""  # of a job that failed
    spec: Mapping[str, Any] = Field(default_factory=dict)  # the task as it was understood
    needs: tuple[str, ...] = ()
