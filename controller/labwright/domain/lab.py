"""lab.yaml: who, where, how much. Read from the default branch only."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from labwright.domain.task import Model


class Watch(Model):
    branches: tuple[str, ...] = ("main",)
    pull_requests: bool = False


class LocalProvider(Model):
    """Jobs as processes of this machine. Sizes left out are what the machine has."""

    type: Literal["local"]
    cpus: float | None = None
    memory_gb: float | None = Field(None, alias="memory")
    gpus: int | None = None
    gpu_type: str | None = None
    env: Mapping[str, str] = Field(default_factory=dict)
    grace_s: float = Field(10.0, alias="grace")  # from SIGTERM to SIGKILL


class Results(Model):
    branch: str = "lab-results"
    push: bool = True
    signing_key: str | None = None


class Limits(Model):
    jobs_per_commit: int = 200
    gpu_hours_per_plan: float = 500
    stops_per_commit: int = 200


class Policy(Model):
    limits: Limits = Limits()
    approve: Any = None
    quotas: Any = None


class SecretSource(Model):
    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None


class Lab(Model):
    name: str = "lab"
    watch: Watch = Watch()
    default_provider: str | None = None
    providers: Mapping[str, LocalProvider] = Field(default_factory=lambda: {"local": LocalProvider(type="local")})
    results: Results = Results()
    policy: Policy = Policy()
    secrets: Mapping[str, SecretSource] = Field(default_factory=dict)
