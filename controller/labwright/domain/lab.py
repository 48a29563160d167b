"""lab.yaml: who, where, how much. Read from the default branch only. Every key is optional."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from labwright.domain.forms import (
    Cores,
    Fault,
    Flag,
    Form,
    Gigabytes,
    Line,
    Lines,
    Natural,
    Room,
    Span,
    Variables,
    named,
    show,
)
from labwright.domain.lab_forge import Forge
from labwright.domain.policy import Policy
from labwright.domain.slurm import SlurmProvider

NAME_MAX = 20
_NAME = "[a-z0-9][a-z0-9-]*"
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_BRANCH = re.compile(r"(?!.*(\.\.|//|@\{))[^\s~^:?*\[\\/.-][^\s~^:?*\[\\]*(?<![/.])")


class Watch(Form):
    """Which commits are looked at."""

    branches: Lines = Field(("main",), description="Branches (globs) whose tips are run.")
    pull_requests: Flag = Field(False, description="Whether pull requests are planned and, once approved, run.")


class LocalProvider(Form):
    """Jobs as processes of this machine. Sizes left out are what the machine has."""

    type: Literal["local"]
    cpus: Cores | None = Field(None, description="CPU cores that jobs may fill.")
    memory_gb: Gigabytes | None = Field(None, alias="memory", description="Memory that jobs may fill, in GB.")
    gpus: Natural | None = Field(None, description="GPUs that jobs may use.")
    gpu_type: Line | None = Field(None, description="What they are, such as `RTX3090`.")
    env: Variables = Field(default_factory=dict, description="Environment variables of every job here.")
    grace_s: Span = Field(10.0, alias="grace", description="Time from SIGTERM to SIGKILL.")


class OtherProvider(Form):
    """A provider of another type. Its settings are kept as they are; a task that names it is refused while the type is not
    available, never run elsewhere."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[Line, WithJsonSchema({"type": "string", "not": {"enum": ["local", "slurm"]}})] = Field(
        description="`skypilot`, …"
    )

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.model_extra or {}


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in ("local", "slurm") else "other"


Provider = Annotated[
    Annotated[LocalProvider, Tag("local")]
    | Annotated[SlurmProvider, Tag("slurm")]
    | Annotated[OtherProvider, Tag("other")],
    Discriminator(_kind),
]


class Results(Form):
    """Where results are published."""

    branch: Line = Field("lab-results", description="Orphan branch that only the controller writes.")
    push: Flag = Field(True, description="Whether it is pushed to the remote.")
    signing_key: Line | None = Field(None, description="Key that signs its commits.")
    keep_artifacts_gb: Room = Field(
        10 / 1024, alias="keep_artifacts", description="Artifacts up to this size the controller keeps itself; 0: none."
    )

    @property
    def keep_bytes(self) -> int:
        return int(self.keep_artifacts_gb * 2**30)

    @field_validator("branch")
    @classmethod
    def _branch_name(cls, value: str) -> str:
        if not _BRANCH.fullmatch(value):
            raise Fault("must be a branch's name")
        return value


def _command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise Fault(f"must be a list: a program and its arguments, not {show(value)}", "such as [pass, show, hf]")
    if not all(isinstance(word, str) and "\0" not in word for word in value) or not value[0].strip():
        raise Fault("must be a list of texts", "put numbers in quotes")
    return tuple(value)


class SecretSource(Form):
    """Where the controller finds a secret's value when it submits a job: one of `env`, `file`, `command`; and who is given it."""

    env: Line | None = Field(None, description="A variable of the controller's environment.")
    file: Line | None = Field(None, description="A file on the controller's machine.")
    command: (
        Annotated[
            tuple[str, ...], BeforeValidator(_command), WithJsonSchema({"type": "array", "items": {"type": "string"}})
        ]
        | None
    ) = Field(None, description="A program, with arguments, that prints it.")
    tasks: Lines | None = Field(None, description="Tasks (globs of their paths) whose jobs may have it; left out: all.")
    branches: Lines | None = Field(
        None, description="Branches (globs) whose jobs may have it; left out: all that are watched."
    )
    pull_requests: Flag | None = Field(
        None,
        description="Whether jobs of approved pull requests may have it; left out: yes, unless `branches` is given.",
    )

    @property
    def of_pulls(self) -> bool:
        return self.branches is None if self.pull_requests is None else self.pull_requests

    def same_as(self, other: "SecretSource") -> bool:
        """One value, whatever it is called and whoever may have it."""
        return (self.env, self.file, self.command) == (other.env, other.file, other.command)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.env, self.file, self.command].count(None) != 2:
            raise Fault("must have exactly one of `env`, `file` and `command`")
        return self


class Lab(Form):
    name: Line = Field("lab", description="Prefix of everything that is created at a provider.")
    watch: Watch = Field(Watch(), description="Which commits are looked at.")
    forge: Forge | None = Field(None, description="Where pull requests live.")
    providers: Mapping[Annotated[str, *named(_NAME, "lower-case letters, digits and `-`")], Provider] = Field(
        default_factory=lambda: {"local": LocalProvider(type="local")}, description="Places that run jobs, by name."
    )
    default_provider: Line | None = Field(None, description="Provider of tasks that name none.")
    results: Results = Field(Results(), description="Where results are published.")
    policy: Policy = Field(Policy(), description="Approval, limits, quotas.")
    secrets: Mapping[Annotated[str, *named(_VARIABLE, "letters, digits and `_`, no digit first")], SecretSource] = (
        Field(default_factory=dict, description="Where the values of `{{secret.NAME}}` come from.")
    )

    @model_validator(mode="after")
    def _pulls(self) -> Self:
        for name in self.forge.references if self.forge else ():
            if name not in self.secrets:
                raise Fault(f"names the secret {name}, which `secrets` does not have", "add it there", at=("forge",))
        return self

    @model_validator(mode="after")
    def _branches(self) -> Self:
        if self.forge is not None:
            self.forge.check_branches(self.watch.branches, self.results.branch)
        return self

    @model_validator(mode="after")
    def _cheap(self) -> Self:
        smoke = self.policy.approve.smoke
        if smoke is not None and smoke.provider is not None and smoke.provider not in self.providers:
            raise Fault("names no provider of this file", at=("policy", "approve", "smoke", "provider"))
        return self

    @model_validator(mode="after")
    def _tokens(self) -> Self:
        for name, provider in self.providers.items():
            rest = provider.rest if isinstance(provider, SlurmProvider) else None
            if rest and rest.token and rest.token.strip("{} ").partition(".")[2] not in self.secrets:
                raise Fault(
                    "names no secret of this file", "add it to `secrets`", at=("providers", name, "rest", "token")
                )
        return self

    @field_validator("name")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value) or len(value) > NAME_MAX:
            raise Fault(f"must be at most {NAME_MAX} lower-case letters, digits and `-`, not {show(value)}")
        return value

    @field_validator("default_provider")
    @classmethod
    def _known(cls, value: str | None, info: ValidationInfo) -> str | None:
        providers = info.data.get("providers")
        if value is not None and providers is not None and value not in providers:
            raise Fault("names no provider of this file", f"there are: {', '.join(sorted(providers))}")
        return value
