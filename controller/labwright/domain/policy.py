"""`policy` of lab.yaml: who may let what run, and how much of it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from labwright.domain.forms import Amount, Fault, Flag, Form, Line, Lines, Natural, Positive, Retention, amount
from labwright.domain.requirement import Requires


def _above_zero(value: Any) -> float:
    found = amount(value)
    if not found:
        raise Fault("must be more than 0")
    return found


class Limits(Form):
    """A change beyond these is held until somebody confirms it."""

    jobs_per_commit: Natural = Field(200, description="New jobs of one commit.")
    gpu_hours_per_plan: Amount = Field(500, description="GPU-hours of one plan.")
    stops_per_commit: Natural = Field(200, description="Jobs that one commit stops.")


class TwoPersons(Form):
    """Above any of these, one approval more is needed. What is left out does not count."""

    gpu_hours: Amount | None = Field(None, description="GPU-hours of one plan.")
    jobs: Natural | None = Field(None, description="New jobs of one plan.")
    num_nodes: Natural | None = Field(None, description="Nodes of one job.")


class Smoke(Form):
    """A label that lets the first trial of each task run for a short time."""

    label: Line = Field("lab:smoke", description="The label that asks for it.")
    minutes: Annotated[
        float, BeforeValidator(_above_zero), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
    ] = Field(10.0, description="Time limit of such a job.")
    provider: Line | None = Field(None, description="Where it runs; left out: where the task says.")
    review: Flag = Field(True, description="Whether it takes the approval that the whole run takes.")


class Approve(Form):
    """Who may let a pull request run."""

    label: Line = Field("lab:run", description="The label that asks for it.")
    stop_label: Line = Field("lab:stop", description="The label that stops its jobs.")
    rerun_label: Line = Field("lab:rerun", description="The label that runs its failed jobs again.")
    approvals: Positive = Field(1, description="How many people must approve.")
    by: Lines = Field(
        (),
        description="Logins, `@org/team`s and `CODEOWNERS` (of every touched path) that may; left out: whoever may write.",
    )
    self_approval: Flag = Field(False, description="Whether an author's own approval counts.")
    bots: Lines = Field((), description="Logins of bots whose approvals and commands count.")
    smoke: Smoke | None = Field(None, description="A short run of one trial of each task; left out: there is none.")
    one_more_above: TwoPersons = Field(TwoPersons(), description="What needs one approval more.")


class Quota(Form):
    gpu_hours: Amount | None = Field(None, description="GPU-hours in a period.")
    minutes: Amount | None = Field(None, description="Minutes of jobs in a period.")


class Quotas(Form):
    """How much may be used in a period."""

    team: Quota | None = Field(None, description="By everybody together.")
    user: Quota | None = Field(None, description="By each author.")
    period: Literal["day", "week", "month"] = Field("month", description="When counting begins anew.")


class Policy(Form):
    limits: Limits = Field(Limits(), description="What is held until somebody confirms it.")
    approve: Approve = Field(Approve(), description="Who may let a pull request run.")
    push: Literal["protected", "any"] = Field(
        "protected", description="With a forge: branches whose pushes launch without a further word."
    )
    on_close: Literal["queued", "running", "never"] = Field(
        "queued", description="Jobs of a pull request that stop when it is closed unmerged; `running`: these too."
    )
    require: Requires = Field(
        (), description="What results of a pull request must be, of each task that reports the metric."
    )
    quotas: Quotas | None = Field(None, description="How much may be used.")
    retention_s: Retention = Field(
        None, alias="retention", description="After this time an ended attempt's folder may go; or `never`."
    )
