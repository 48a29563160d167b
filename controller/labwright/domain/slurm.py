"""A Slurm cluster as lab.yaml describes it (docs/spec/slurm-admin.md)."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from labwright.domain.forms import Fault, Flag, Form, Line, Lines, Positive, Span, Variables, named, show

WORD = r"[A-Za-z0-9][A-Za-z0-9_.@+-]*"  # of Slurm: partitions, accounts, QOS, GRES
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(=[^\x00-\x1f]*)?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*\$?")
_SECRET = re.compile(r"\{\{\s*secrets?\.[A-Za-z_][A-Za-z0-9_]*\s*\}\}")
_LIST = re.compile(rf"{WORD}(,{WORD})*")

_OURS = """array batch chdir clusters comment dependency error export export-file get-user-env help hold immediate input
job-name kill-on-invalid-dep no-requeue open-mode output parsable quiet requeue signal test-only uid gid usage version wait
wckey wrap"""
_ASKED = """nodes ntasks ntasks-per-node cpus-per-task mem gres gpus gpus-per-node time partition account qos constraint
reservation"""
OURS = frozenset(_OURS.split())  # what the controller itself decides, follows or reads back
ASKED = frozenset(_ASKED.split())  # what a task asks for under its own names


def whole(name: str) -> str:
    """An option's name, of the beginning of one: sbatch takes `--arr` for `--array`."""
    begun = sorted(known for known in OURS | ASKED if name and known.startswith(name))
    return name if name in begun or not begun else begun[0]


def word(value: Any) -> str:
    """A name that Slurm knows: no blank, no quote, nothing that a shell or `#SBATCH` would read otherwise."""
    if not isinstance(value, str) or not re.fullmatch(WORD, value.strip()):
        raise Fault(f"must be a name as Slurm writes it, not {show(value)}", "letters, digits and `_.@+-`")
    return value.strip()


def words(value: Any) -> str:
    """`gpu` or `gpu,long`: Slurm takes the first that has room."""
    text = ",".join(value) if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value) else value
    found = re.sub(" *, *", ",", text.strip(" ")) if isinstance(text, str) else ""
    if not _LIST.fullmatch(found):
        raise Fault(
            f"must be one name or several, as Slurm writes them, not {show(value)}", "such as `gpu` or `gpu,long`"
        )
    return found


def _constraint(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.&|*\[\]()=,-]+", value.strip()):
        raise Fault(f"must be a constraint as sbatch takes it, not {show(value)}", "such as `a100&nvlink`")
    return value.strip()


def _host(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", value.strip()):
        raise Fault(f"must be a host's name, not {show(value)}", "a user is given by `user`, a port by `port`")
    return value.strip()


def _user(value: Any) -> str:
    if not isinstance(value, str) or not _USER.fullmatch(value.strip()):
        raise Fault(f"must be a user's name, not {show(value)}")
    return value.strip()


_TEXT = WithJsonSchema({"type": "string"})
Word = Annotated[str, BeforeValidator(word), _TEXT]
Words = Annotated[
    str, BeforeValidator(words), WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}})
]
Constraint = Annotated[str, BeforeValidator(_constraint), _TEXT]
Host = Annotated[str, BeforeValidator(_host), _TEXT]
UserName = Annotated[str, BeforeValidator(_user), _TEXT]


class Account(Form):
    """Whose jobs they are on the cluster: quotas and fair-share stay the site's own."""

    user: UserName = Field(description="Name on the cluster.")
    ssh_key: Line | None = Field(None, description="Private key of this user, on the controller's machine.")
    account: Word | None = Field(None, description="`--account` of their jobs.")
    qos: Word | None = Field(None, description="`--qos` of their jobs.")
    workdir: Line | None = Field(None, description="Their folder on the cluster's shared file system.")


class Rest(Form):
    """slurmrestd instead of sbatch; files, and all other questions to Slurm, still go the way of `transport`."""

    url: Line = Field(description="`unix:///run/slurmrestd.sock` or `https://host:6820`.")
    version: Annotated[str, *named(r"v0\.0\.[0-9]{2}", "a version such as `v0.0.38`")] = Field(
        "v0.0.38", description="Of its OpenAPI plug-in."
    )
    token: Line | None = Field(
        None, description="`{{secret.NAME}}` of a JWT; a unix socket of the same user needs none."
    )

    @field_validator("token")
    @classmethod
    def _secret(cls, value: str | None) -> str | None:
        if value is not None and not _SECRET.fullmatch(value):
            raise Fault("must be a reference to a secret, never a token itself", "such as `{{secret.SLURM_JWT}}`")
        return value

    @field_validator("url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if not re.fullmatch(r"unix://(localhost)?/[^\s?#]+|https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise Fault(
                f"must be a unix:// or https:// address, not {show(value)}", "such as `unix:///run/slurmrestd.sock`"
            )
        return value


class SlurmProvider(Form):
    """A cluster on which nothing is installed: reached over SSH, or from its own login node."""

    type: Literal["slurm"]
    host: Host | None = Field(None, description="Login node; left out: the controller runs on it.")
    user: UserName | None = Field(None, description="Name on the cluster; left out: as ssh would.")
    port: Positive | None = Field(None, description="Port of sshd; left out: as ssh would.")
    ssh_key: Line | None = Field(None, description="Private key, on the controller's machine; left out: as ssh would.")
    host_key: Line | None = Field(None, description="The login node's public key; left out: as in known_hosts.")
    transport: Literal["fabric", "openssh"] = Field(
        "fabric", description="`openssh` uses the ssh command, for what only its configuration can do (2FA, Kerberos)."
    )
    rest: Rest | None = Field(None, description="slurmrestd instead of sbatch.")
    workdir: Line = Field("~/labwright", description="Folder on the file system that login and compute nodes share.")
    partition: Words | None = Field(None, description="`--partition`; left out: the cluster's default.")
    spot_partition: Words | None = Field(None, description="Partition of tasks with `use_spot`: preemptible nodes.")
    account: Word | None = Field(None, description="`--account`.")
    qos: Word | None = Field(None, description="`--qos`.")
    constraint: Constraint | None = Field(None, description="`--constraint`.")
    reservation: Word | None = Field(None, description="`--reservation`.")
    sbatch: Lines = Field((), description="Further options of sbatch, such as `--exclusive` or `--mail-type=END`.")
    sbatch_allow: Lines = Field(
        (), description="Options that are let through although Labwright sets or reads them itself."
    )
    gres: Mapping[str, Word] = Field(
        default_factory=dict, description="Accelerator as tasks write it → type in the cluster's GRES: {A100: a100_80}."
    )
    modules: Lines = Field((), description="Environment modules that every job loads, such as `cuda/12.4`.")
    containers: Literal["apptainer", "pyxis"] | None = Field(None, description="What runs `image_id`.")
    env: Variables = Field(default_factory=dict, description="Environment variables of every job here.")
    users: Mapping[str, Account] = Field(
        default_factory=dict, description="Author's address (with a forge: login) → their own account on the cluster."
    )
    requeue: Flag = Field(True, description="Whether Slurm itself may start a preempted job again.")
    notice_s: Span = Field(
        120.0, alias="notice", description="Time between SIGUSR1 (save your work) and the time limit."
    )
    grace_s: Span = Field(30.0, alias="grace", description="Time from SIGTERM to SIGKILL when a job is stopped.")
    poll_s: Span = Field(10.0, alias="poll", description="The least time between two calls of squeue.")
    submit_timeout_s: Span = Field(60.0, alias="submit_timeout", description="How long an sbatch may take.")
    array_max: Positive = Field(
        1000, description="Trials in one job array, at most; the cluster's own limit counts too."
    )
    submit_max: Positive | None = Field(None, description="Jobs in Slurm's queue at once, at most; left out: no limit.")

    @field_validator("sbatch", mode="after")
    @classmethod
    def _options(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for option in value:
            if not _OPTION.fullmatch(option):
                raise Fault(
                    f"must be long options of sbatch, not {show(option)}", "such as `--exclusive` or `--nice=100`"
                )
        return value

    @model_validator(mode="after")
    def _allowed(self) -> Self:
        allowed = {name.removeprefix("--") for name in self.sbatch_allow}
        for n, option in enumerate(self.sbatch):
            name = whole(option.removeprefix("--").partition("=")[0])
            if name in OURS - allowed:
                hint = f"remove it, or add `{name}` to sbatch_allow"
                raise Fault(f"must not have {show(option)}: Labwright sets it itself", hint, at=("sbatch", n))
            if name in ASKED - allowed:
                hint = f"use this file's own key, or add `{name}` to sbatch_allow"
                raise Fault(f"must not have {show(option)}: it follows from the task", hint, at=("sbatch", n))
        if self.host is None and (self.user or self.ssh_key or self.port or self.host_key or self.users):
            raise Fault("`user`, `port`, `ssh_key`, `host_key` and `users` need `host`", "name the login node")
        return self
