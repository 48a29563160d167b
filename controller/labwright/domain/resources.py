"""What a job runs on and in."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from labwright.domain.forms import Cores, Fault, Flag, Form, Gigabytes, Line, Positive, count, show, whole
from labwright.domain.paths import below

_TYPE = r"[A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9._-]*"
_TYPE_COUNT = re.compile(rf"({_TYPE})(?:\s*:\s*([0-9]{{1,6}}))?")
_COUNT_TYPE = re.compile(rf"([0-9]{{1,6}})\s*[xX]\s*({_TYPE})")
_PYTHON = re.compile(r"(>=|==|~=)?[0-9]+(\.[0-9]+){0,2}")


def _accelerators(value: Any) -> Any:
    """`RTX3090:1`, `8xA100`, `4`, `NVIDIA`, {type, count}, {A100: 8} → the fields of Accelerators; 0 → None."""
    if isinstance(value, Mapping) and len(value) == 1 and not value.keys() & {"type", "count"}:
        value = f"{next(iter(value))}:{next(iter(value.values()))}"
    if isinstance(value, str) and whole(value) is None:
        text = value.strip()
        if found := _COUNT_TYPE.fullmatch(text):
            return {"type": found[2], "count": found[1]}
        if found := _TYPE_COUNT.fullmatch(text):
            return {"type": found[1], "count": found[2] or 1}
        raise Fault(f"must be accelerators, not {show(value)}", "such as `A100:8`, `8xA100`, `NVIDIA` or a count")
    if isinstance(value, Mapping | Accelerators) or value is None:
        return value
    found_count = count(0)(value)
    return {"count": found_count} if found_count else None


class Accelerators(Form):
    """`A100:8`, `8xA100`, a count, or a vendor such as `NVIDIA`."""

    type: Line | None = Field(None, description="Model or vendor; left out: any.")
    count: Positive = Field(1, description="How many on each node.")

    @field_validator("type")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(_TYPE, value):
            raise Fault("must be the name of an accelerator", "such as `A100`: letters, digits, `.`, `_`, `-`")
        return value


_COUNT = {"type": ["integer", "string"]}
_ACCELERATORS_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "examples": ["A100:8", "8xA100", "NVIDIA", "4"]},
        {"type": "object", "properties": {"type": {"type": "string"}, "count": _COUNT}, "additionalProperties": False},
        {"type": "object", "additionalProperties": _COUNT, "maxProperties": 1},
    ]
}


def _pack(value: Any) -> Any:
    return value if isinstance(value, Mapping | Pack) or value is None else {"trials": value}


class Pack(Form):
    """Short trials that share one allocation of a cluster's queue."""

    trials: Positive = Field(description="How many share one allocation, which has the resources asked.")
    at_once: Positive = Field(1, description="How many of them run side by side.")


_PACK_SCHEMA = {
    "anyOf": [
        {"type": ["integer", "string"]},
        {
            "type": "object",
            "properties": {"trials": _COUNT, "at_once": _COUNT},
            "required": ["trials"],
            "additionalProperties": False,
        },
    ]
}


class Resources(Form):
    """What each node of the job needs. Left out: whatever the provider gives."""

    compute_provider: Line | None = Field(None, description="A provider's name in lab.yaml.")
    cpus: Cores | None = Field(None, description="CPU cores; `4+` means at least.")
    memory_gb: Gigabytes | None = Field(None, alias="memory", description="Memory in GB, or with a unit: `512MB`.")
    disk_gb: Gigabytes | None = Field(None, alias="disk_space", description="Disk in GB, or with a unit: `1TB`.")
    accelerators: Annotated[
        Accelerators | None, BeforeValidator(_accelerators), WithJsonSchema(_ACCELERATORS_SCHEMA)
    ] = Field(None, description="GPUs: `A100:8`, `8xA100`, a count, or a vendor such as `NVIDIA`.")
    num_nodes: Positive = Field(1, description="Machines that run the job together.")
    instance_type: Line | None = Field(None, description="A cloud's machine type.")
    cloud: Line | None = Field(None, description="Cloud to run on.")
    region: Line | None = Field(None, description="Region of the cloud.")
    zone: Line | None = Field(None, description="Zone of the region.")
    use_spot: Flag = Field(False, description="Run on machines that may be taken away, for less money.")
    image_id: Line | None = Field(None, description="Machine or container image to boot.")
    fleet_name: Line | None = Field(None, description="Fleet of the provider to run in.")
    pack: Annotated[Pack | None, BeforeValidator(_pack), WithJsonSchema(_PACK_SCHEMA)] = Field(
        None, description="Trials that share one allocation: `8`, or `{trials: 8, at_once: 4}`."
    )


class Environment(Form):
    """What is built once and kept for all jobs that name the same content."""

    python: Line | None = Field(None, description="Python version, such as `3.11`.")
    requirements: Line | None = Field(None, description="Requirements file below the task's folder.")
    lock: Line | None = Field(None, description="Lock file below the task's folder.")
    image: Line | None = Field(None, description="Container image.")

    @model_validator(mode="before")
    @classmethod
    def _file(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        if data.endswith((".txt", ".in")):
            return {"requirements": data}
        if data.endswith(".lock"):
            return {"lock": data}
        raise Fault(f"must be a mapping, or a file `*.txt` or `*.lock`, not {show(data)}")

    @field_validator("python", "requirements", "lock")
    @classmethod
    def _sound(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or info.field_name != "python":
            if value and info.field_name == "lock" and info.data.get("requirements"):
                raise Fault("stands beside `requirements`", "keep one of them", key=True)
            return value and below(value)
        if not _PYTHON.fullmatch(value):
            raise Fault(f"must be a version of Python, not {show(value)}", "such as `3.11`")
        return value
