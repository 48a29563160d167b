"""task.yaml: every field, its meaning, its default. The published JSON Schema is made from these models.

An attribute's name is ours, its alias the key in the file. `docs/spec/task.yaml.md` is the page for users."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from labwright.domain.cron import cron
from labwright.domain.forms import (
    Fault,
    Faults,
    Flag,
    Form,
    Line,
    Lines,
    Model,
    Natural,
    Priority,
    Text,
    Timeout,
    Variables,
    line,
    show,
)
from labwright.domain.parameters import Parameter, Parameters, Sweep
from labwright.domain.paths import Below, Needs, Tracked, below, remote, revision
from labwright.domain.requirement import Requires
from labwright.domain.resources import Accelerators, Environment, Resources

__all__ = ["Accelerators", "Concurrency", "Environment", "Form", "Model", "Notify", "On", "Parameter", "Resources"]
__all__ += ["Retry", "Supersede", "Sweep", "Task"]

NAME_MAX = 100
_SECRET_SLIP = re.compile(r"\{\{\s*secrets?\b(?!\.[A-Za-z_][A-Za-z0-9_]*\s*\}\})")


class Retry(Form):
    """How many new attempts each outcome is worth."""

    preempted: Natural = Field(20, description="The machine was taken away.")
    node_failed: Natural = Field(3, description="The machine died.")
    no_capacity: Natural = Field(20, description="There was no machine.")
    lost: Natural = Field(2, description="The provider no longer knows the job.")
    error: Natural = Field(0, description="`run` ended with another exit code than 0.")
    setup_error: Natural = Field(0, description="`setup` ended with another exit code than 0.")
    timeout: Natural = Field(0, description="The time was up.")
    oom: Natural = Field(0, description="The memory was used up.")


class Supersede(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    NEVER = "never"


class Concurrency(Form):
    """What a newer content of the task, or of its group, does to older jobs."""

    group: Line | None = Field(None, description="Jobs of one group run one at a time, whichever task they are of.")
    supersede: Supersede = Field(
        Supersede.QUEUED, description="Which older jobs stop: only `queued`, `running` too, or none."
    )


class On(Form):
    """What launches the task. Left out: a change on a watched branch."""

    branches: Lines | None = Field(None, description="Branches (globs) that launch it; left out: every watched one.")
    label: Line | None = Field(None, description="Label of a pull request that launches it.")
    schedule: Annotated[Line, BeforeValidator(lambda value: cron(line(value)))] | None = Field(
        None, description="Five cron fields, UTC: `0 3 * * 1`."
    )
    manual: Flag = Field(False, description="Only a person launches it.")


Moment = Literal["started", "complete", "failed", "stopped"]


class Notify(Form):
    """Who is told of the job's end."""

    to: Lines = Field(description="Addresses: https:// hooks, or names that the lab knows.")
    when: tuple[Moment, ...] = Field(("complete", "failed", "stopped"), description="At which moments.")

    @model_validator(mode="before")
    @classmethod
    def _only_to(cls, data: Any) -> Any:
        return {"to": data} if isinstance(data, str | list) else data


def _mounts(value: Any) -> Any:
    if isinstance(value, Mapping):
        faults = [Fault("must be a path", at=(k,)) for k, v in value.items() if not isinstance(v, str) or not v.strip()]
        if faults:
            raise Faults(faults)
    elif not isinstance(value, bool):
        raise Fault(f"must be true, false or a mapping of paths, not {show(value)}")
    return value


def _slip(text: Any) -> bool:
    return isinstance(text, str) and "{{" in text and bool(_SECRET_SLIP.search(text))


class Task(Form):
    """A whole task.yaml. Paths in it are relative to the task's folder."""

    name: Line = Field(description="What people call it.")
    run: Text = Field(description="The command, run by bash in the job's working folder.")
    setup: Text | None = Field(None, description="Commands before `run`: dependencies, downloads.")
    envs: Variables = Field(default_factory=dict, description="Environment variables; values are taken as text.")
    resources: Resources = Field(Resources(), description="What each node of the job needs.")
    github_repo_url: Line | None = Field(None, description="Repository that is cloned into the working folder.")
    github_repo_dir: Line | None = Field(None, description="Only this folder of it.")
    github_repo_branch: Line | None = Field(None, description="Branch, tag or commit; left out: its default branch.")
    parameters: Parameters = Field(default_factory=dict, description="Values, or declarations with type and default.")
    sweeps: Sweep | None = Field(None, description="A trial for every combination of values.")
    minutes_requested: Natural | None = Field(None, description="Minutes asked of the quota; a time limit as well.")
    file_mounts: Annotated[bool | Mapping[str, str] | None, BeforeValidator(_mounts)] = Field(
        None, description="true (the task's folder, as always), or path in the job → path in the repository."
    )
    inputs: Tracked = Field((), description="Globs of files outside the folder that belong to the task.")
    environment: Environment | None = Field(None, description="Python environment or image, built once and kept.")
    needs: Needs = Field((), description="Tasks whose artifacts this one waits for.")
    rerun: Natural = Field(0, description="Bump it to run the same content again.")
    retry: Retry = Field(Retry(), description="New attempts for each outcome.")
    timeout_s: Timeout | None = Field(None, alias="timeout", description="Time limit: `90m`, `2h`, `1d12h`, seconds.")
    resume: Literal["auto", "never"] = Field("auto", description="Whether an attempt continues from a checkpoint.")
    artifacts: Below = Field((), description="Globs of files in the working folder that are kept.")
    priority: Priority = Field(0, description="Higher goes first.")
    on: On = Field(On(), description="What launches the task.")
    concurrency: Concurrency = Field(Concurrency(), description="What newer content does to older jobs.")
    require: Requires = Field((), description="What its results in a pull request must be: `val_loss <= base + 0.01`.")
    notify: Notify | None = Field(None, description="Who is told of the end.")

    @model_validator(mode="before")
    @classmethod
    def _nothing_swept(cls, data: Any) -> Any:
        return {**data, "sweeps": None} if isinstance(data, dict) and data.get("sweeps") == {} else data

    @field_validator("name")
    @classmethod
    def _short_name(cls, value: str) -> str:
        if len(value) > NAME_MAX:
            raise Fault(f"must have at most {NAME_MAX} characters")
        return value

    @field_validator("sweeps")
    @classmethod
    def _as_declared(cls, value: Sweep | None, info: ValidationInfo) -> Sweep | None:
        return value and value.fitted(info.data.get("parameters", {}))

    @field_validator("github_repo_url", "github_repo_dir", "github_repo_branch")
    @classmethod
    def _cloned(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or info.field_name == "github_repo_url":
            return value and remote(value)
        if "github_repo_url" in info.data and info.data["github_repo_url"] is None:
            raise Fault("needs `github_repo_url` beside it", key=True)
        return below(value) if info.field_name == "github_repo_dir" else revision(value)

    @field_validator("run", "setup", "envs", "parameters")
    @classmethod
    def _references(cls, value: Any) -> Any:
        texts = value.items() if isinstance(value, Mapping) else [(None, value)]
        slips = [name for name, text in texts if _slip(text.default if isinstance(text, Parameter) else text)]
        if slips:
            message, hint = "refers to a secret in a way that is not understood", "write `{{secret.NAME}}`"
            raise Faults(Fault(message, hint, at=() if name is None else (name,)) for name in slips)
        return value

    def to_json(self) -> str:
        """What `from_json` makes an equal Task of; the ledger keeps it. Fields that are as they would be are left out."""
        plain = {name for name, value in _defaults().items() if getattr(self, name) == value}
        return self.model_dump_json(by_alias=True, exclude=plain)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.model_validate_json(text)

    @property
    def limit_seconds(self) -> float | None:
        """The shorter of `timeout` and `minutes_requested`; None = no limit."""
        asked = [self.timeout_s, self.minutes_requested and self.minutes_requested * 60.0]
        return min((s for s in asked if s), default=None)


@cache
def _defaults() -> Mapping[str, Any]:
    return {name: field.get_default(call_default_factory=True) for name, field in Task.model_fields.items()}
