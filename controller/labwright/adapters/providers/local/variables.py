"""What a job finds in its environment. Values of secrets are there, and nowhere else."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labwright.domain import secrets
from labwright.domain.errors import Refused
from labwright.ports.provider import Capacity, Submission

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *(
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ),  # which authorities this machine trusts: no secret, and nothing is installed without
)


def as_shell(text: str, values: Mapping[str, str]) -> str:
    """A script whose secrets are shell expansions, so that none reaches a file. Raises Refused for one that is not given."""
    secrets.substitute(text, values)
    return secrets.to_shell(text)


def parameter_name(name: str) -> str:
    return "LAB_PARAM_" + re.sub(r"[^A-Z0-9_]", "_", name.upper())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _resolved(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return secrets.substitute(value, values)
    if isinstance(value, Mapping):
        return {name: _resolved(inner, values) for name, inner in value.items()}
    return [_resolved(inner, values) for inner in value] if isinstance(value, list | tuple) else value


def variables(
    submission: Submission,
    job: Path,
    *,
    inherited: Mapping[str, str],
    provider: Mapping[str, str],
    capacity: Capacity,
    sdk: Path | None,
    resume: Path | None,
) -> dict[str, str]:
    """Later ones win: the controller's few, lab.yaml's `env`, ours, the task's `envs`."""
    values, placement = submission.secrets, submission.placement
    gpus = [str(gpu) for gpu in placement.get("gpus", ())]
    env = {name: inherited[name] for name in INHERITED if name in inherited}
    env |= {name: secrets.substitute(value, values) for name, value in provider.items()}
    env |= submission.variables
    env |= {
        "LAB_JOB_DIR": str(job),
        "LAB_JOB_ID": submission.job,
        "LAB_TOKEN": submission.token,
        "LAB_ATTEMPT": str(submission.attempt),
        "LAB_TASK": submission.task_path,
        "LAB_EXPERIMENT": submission.task_path.partition("/")[0],
        "LAB_CPUS": f"{float(placement.get('cpus', 1)):g}",
        "LAB_GPUS": str(len(gpus)),
        "LAB_NEEDS_DIR": str(job / "needs"),
        "PYTHONUNBUFFERED": "1",
    }
    if gpus or capacity.gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)  # empty: none of the machine's GPUs is this job's
    if resume:
        env["LAB_RESUME_FROM"] = str(resume)
    env |= {parameter_name(name): _text(_resolved(value, values)) for name, value in submission.parameters.items()}
    env |= secrets.variables(values)
    env |= {name: secrets.substitute(value, values) for name, value in submission.task.envs.items()}
    if sdk:
        env["PYTHONPATH"] = ":".join(filter(None, [str(sdk), env.get("PYTHONPATH", "")]))
    _check(env)
    return env


def _check(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise Refused(
                f"the variable {name!r} cannot be given to a process", hint="no `=` in a name, no NUL in a value"
            )
