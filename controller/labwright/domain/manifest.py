"""manifest.json of one job on the results branch: enough to rebuild ledger and records, and to run it again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from labwright.domain.task import Model


class ManifestAttempt(Model):
    n: int
    provider: str
    node: str = ""
    outcome: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    submitted: datetime | None = None
    started: datetime | None = None
    running: datetime | None = None
    ended: datetime | None = None
    detail: str = ""


class MetricSummary(Model):
    """Of one metric: its last, smallest and largest finite value, how many points, and at which step the last one was."""

    last: float | None
    min: float | None
    max: float | None
    count: int
    last_step: int | None = None


class ManifestArtifact(Model):
    path: str
    kind: str = "file"
    size: int
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
    generation: int
    trial: int = 0
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
    created: datetime
    ended: datetime | None = None
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
