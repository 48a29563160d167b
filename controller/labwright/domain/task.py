"""task.yaml: every field, its meaning, its default. The published JSON Schema is made from this model."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accelerators(Model):
    """`A100:8`, `8xA100`, a count, or a vendor such as `NVIDIA`."""

    type: str | None = None  # None = any
    count: int = 1


class Resources(Model):
    compute_provider: str | None = None
    cpus: float | None = None
    memory_gb: float | None = Field(None, alias="memory")
    disk_gb: float | None = Field(None, alias="disk_space")
    accelerators: Accelerators | None = None
    num_nodes: int = 1
    instance_type: str | None = None
    cloud: str | None = None
    region: str | None = None
    zone: str | None = None
    use_spot: bool = False
    image_id: str | None = None
    fleet_name: str | None = None


class Environment(Model):
    python: str | None = None
    requirements: str | None = None  # path below the task's folder
    lock: str | None = None
    image: str | None = None


def _short(value: Any) -> Any:
    """`lr: 0.1` is {default: 0.1}."""
    schema = (
        isinstance(value, dict) and value.keys() <= Parameter.model_fields.keys() and value.keys() & {"type", "default"}
    )
    return value if schema else {"default": value}


class Parameter(Model):
    """One declared parameter; the short form `lr: 0.1` is {default: 0.1}."""

    default: Any = None
    type: Literal["int", "float", "bool", "enum", "string"] | None = None
    title: str | None = None
    description: str | None = None
    min: float | None = None
    max: float | None = None
    step: float | None = None
    options: tuple[Any, ...] | None = None
    ui_widget: str | None = None


class Sweep(Model):
    config: Mapping[str, tuple[Any, ...]] = Field(alias="sweep_config")
    metric: str = Field("eval/loss", alias="sweep_metric")
    lower_is_better: bool = True
    max_parallel: int | None = None
    strategy: Literal["grid"] = "grid"


class Retry(Model):
    """How many new attempts each outcome is worth."""

    preempted: int = 20
    node_failed: int = 3
    no_capacity: int = 20
    lost: int = 2
    error: int = 0
    setup_error: int = 0
    timeout: int = 0
    oom: int = 0


class Supersede(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    NEVER = "never"


class Concurrency(Model):
    group: str | None = None
    supersede: Supersede = Supersede.QUEUED


class On(Model):
    branches: tuple[str, ...] | None = None
    label: str | None = None
    schedule: str | None = None
    manual: bool = False


class Task(Model):
    """A whole task.yaml. Paths in it are relative to the task's folder."""

    name: str
    run: str
    setup: str | None = None
    envs: Mapping[str, str] = Field(default_factory=dict)
    resources: Resources = Resources()
    github_repo_url: str | None = None
    github_repo_dir: str | None = None
    github_repo_branch: str | None = None
    parameters: Mapping[str, Annotated[Parameter, BeforeValidator(_short)]] = Field(default_factory=dict)
    sweeps: Sweep | None = None
    minutes_requested: int | None = None
    file_mounts: bool | Mapping[str, str] | None = None
    inputs: tuple[str, ...] = ()
    environment: Environment | None = None
    needs: tuple[str, ...] = ()  # task paths, `alpha/train` or relative `../train`
    rerun: int = 0
    retry: Retry = Retry()
    timeout_s: float | None = Field(None, alias="timeout")  # seconds, or `90m`, `2h`, `1d12h`
    resume: Literal["auto", "never"] = "auto"
    artifacts: tuple[str, ...] = ()
    priority: int = 0
    on: On = On()
    concurrency: Concurrency = Concurrency()
    notify: Any = None

    def to_json(self) -> str:
        """What `from_json` makes an equal Task of; the ledger keeps it."""
        return self.model_dump_json(by_alias=True)

    @classmethod
    def from_json(cls, text: str) -> "Task":
        return cls.model_validate_json(text)

    @property
    def limit_seconds(self) -> float | None:
        """The shorter of `timeout` and `minutes_requested`; None = no limit."""
        asked = [self.timeout_s, self.minutes_requested and self.minutes_requested * 60.0]
        return min((s for s in asked if s), default=None)
