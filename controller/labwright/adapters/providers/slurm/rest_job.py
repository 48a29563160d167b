"""What slurmrestd is told of a job: the options that sbatch would read from the rendered script, as fields of its API. It reads no
`#SBATCH` line itself. Up to v0.0.38 a field takes what sbatch takes, as text (tried with 22.05); since v0.0.39 each has a type."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labwright.adapters.providers.slurm.options import directives
from labwright.domain.errors import Refused

_ALIKE = {
    "account": "account", "array": "array", "chdir": "current_working_directory", "comment": "comment",
    "constraint": "constraints", "cpus-per-task": "cpus_per_task", "dependency": "dependency", "distribution": "distribution",
    "error": "standard_error", "input": "standard_input", "job-name": "name", "licenses": "licenses",
    "mail-user": "mail_user", "mincpus": "minimum_cpus_per_node", "nice": "nice", "nodes": "nodes", "ntasks": "tasks",
    "ntasks-per-node": "tasks_per_node", "output": "standard_output", "partition": "partition", "prefer": "prefer",
    "qos": "qos", "reservation": "reservation", "threads-per-core": "threads_per_core", "tmp": "temporary_disk_per_node",
    "wckey": "wckey", "mem": "memory_per_node", "mem-per-cpu": "memory_per_cpu", "time": "time_limit",
    "time-min": "time_minimum",
}  # fmt: skip
_OLD = _ALIKE | {
    "begin": "begin_time", "cpus-per-gpu": "cpus_per_gpu", "deadline": "deadline", "exclude": "exclude_nodes",
    "exclusive": "exclusive", "gpus": "gpus", "gpus-per-node": "gpus_per_node", "gpus-per-task": "gpus_per_task",
    "gres": "gres", "gres-flags": "gres_flags", "hint": "cpu_binding_hint", "hold": "hold", "mail-type": "mail_type",
    "mem-per-gpu": "memory_per_gpu", "nodelist": "nodelist", "no-requeue": "no_requeue", "open-mode": "open_mode",
    "requeue": "requeue", "signal": "signal", "spread-job": "spread_job",
}  # fmt: skip
_BARE: Mapping[str, Any] = {
    "exclusive": "exclusive",
    "hold": True,
    "no-requeue": True,
    "requeue": True,
    "spread-job": True,
}
_CLOCK = re.compile(r"(?:(?P<days>[0-9]+)-)?(?P<clock>[0-9]+(?::[0-9]+){0,2})")
_SIZE = re.compile(r"(?P<size>[0-9]+)(?P<unit>[KMGTkmgt]?)[Bb]?")
_MB = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}


def body(script: str, version: str, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """Of POST job/submit. Raises Refused for an option that the API does not have."""
    chosen = with_tasks(directives(script))
    env = {**environment, **told_to_the_job(chosen)}
    if is_old(version):
        return {"script": script, "job": {**_old(chosen), "environment": env}}
    return {"script": script, "job": {**_new(chosen), "environment": [f"{name}={text}" for name, text in env.items()]}}


def is_old(version: str) -> bool:
    return int(version.rpartition(".")[2]) <= 38


def refusals(options: Sequence[str], version: str) -> Sequence[str]:
    """Why these of lab.yaml cannot be passed on."""
    found = []
    for option in options:
        name, _, value = option.removeprefix("--").partition("=")
        try:
            (_old if is_old(version) else _new)({name: value})
        except Refused as error:
            found.append(str(error))
    return found


def with_tasks(chosen: Mapping[str, str]) -> Mapping[str, str]:
    """As sbatch does: without their number, slurmctld would count the CPUs of one node alone."""
    nodes, each = chosen.get("nodes", ""), chosen.get("ntasks-per-node", "")
    if chosen.get("ntasks") or not (nodes.isdigit() and each.isdigit()):
        return chosen
    return {**chosen, "ntasks": str(int(nodes) * int(each))}


def told_to_the_job(chosen: Mapping[str, str]) -> Mapping[str, str]:
    """Variables that sbatch sets itself, and slurmrestd does not."""
    told = {
        "SLURM_CPUS_PER_TASK": "cpus-per-task",
        "SLURM_NTASKS_PER_NODE": "ntasks-per-node",
        "SLURM_NTASKS": "ntasks",
        "SLURM_NPROCS": "ntasks",
    }
    return {variable: chosen[name] for variable, name in told.items() if chosen.get(name)}


def _no_field(name: str) -> Refused:
    return Refused(
        f"slurmrestd's API has nothing for --{name}", hint="remove it from `sbatch` in lab.yaml, or remove `rest`"
    )


def _old(chosen: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in chosen.items():
        if name not in _OLD or (not value and name not in _BARE):
            raise _no_field(name)
        if name == "signal" and re.match("[Bb]|[Rr][Bb]", value):
            continue  # slurmrestd has no way to say `B:`, and without it the signal would end the steps of `srun`
        made[_OLD[name]] = value or _BARE[name]
    return made


def _new(chosen: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in chosen.items():
        try:
            fields = _TYPED[name](value) if name in _TYPED else {_ALIKE[name]: value} if value else None
        except (KeyError, ValueError):
            fields = None
        if fields is None:
            raise _no_field(f"{name}={value}" if value else name)
        for field, text in fields.items():  # --gres and --gpus-per-node are one field
            made[field] = f"{made[field]},{text}" if field.startswith("tres_") and field in made else text
    return made


def _typed(field: str, convert: Callable[[str], Any]) -> Callable[[str], dict[str, Any]]:
    return lambda value: {field: convert(value)}


def _set(value: int) -> Mapping[str, Any]:
    return {"set": True, "infinite": False, "number": value}


def _listed(value: str) -> list[str]:
    if not value:
        raise ValueError
    return value.split(",")


def _tres(value: str) -> str:
    """`gpu:a100:2,shard:1` → `gres/gpu:a100:2,gres/shard:1`."""
    return ",".join(f"gres/{one}" for one in _listed(value))


def _gpu(value: str) -> str:
    return ",".join(f"gres/gpu:{one}" for one in _listed(value))


def megabytes(value: str) -> int:
    found = _SIZE.fullmatch(value)
    if found is None:
        raise ValueError(value)
    return max(1, round(int(found["size"]) * _MB[found["unit"].upper()])) if int(found["size"]) else 0


def minutes(value: str) -> int:
    """Of the ways sbatch takes: `M`, `M:S`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`; seconds count as a minute begun."""
    found = _CLOCK.fullmatch(value)
    if found is None:
        raise ValueError(value)
    parts = [int(part) for part in found["clock"].split(":")]
    if found["days"]:
        hours, mins, secs = [*parts, 0, 0][:3]
    else:
        hours, mins, secs = ([0, parts[0], 0], [0, *parts[:2]], parts)[len(parts) - 1]
    return int(found["days"] or 0) * 1440 + hours * 60 + mins + (1 if secs else 0)


def _signal(value: str) -> dict[str, Any]:
    found = re.fullmatch(r"(?:(?P<whom>[BbRr]+):)?(?P<signal>[A-Za-z0-9]+)(?:@(?P<delay>[0-9]+))?", value)
    if found is None:
        raise ValueError(value)
    flags = {"B": "BATCH_JOB", "R": "RESERVATION_JOB"}
    return {
        "kill_warning_flags": [flags[letter] for letter in (found["whom"] or "").upper()],
        "kill_warning_signal": found["signal"],
        "kill_warning_delay": _set(int(found["delay"] or 60)),
    }


def _shared(value: str) -> list[str]:
    return [{"": "none", "user": "user", "mcs": "mcs"}[value]]


_TYPED: Mapping[str, Callable[[str], dict[str, Any]]] = {
    **{name: _typed(_ALIKE[name], int) for name in ("cpus-per-task", "mincpus", "nice", "ntasks", "ntasks-per-node", "threads-per-core")},
    "cpus-per-gpu": _typed("cpus_per_tres", _gpu),
    "exclude": _typed("excluded_nodes", _listed),
    "exclusive": _typed("shared", _shared),
    "gpus": _typed("tres_per_job", _gpu),
    "gpus-per-node": _typed("tres_per_node", _gpu),
    "gpus-per-task": _typed("tres_per_task", _gpu),
    "gres": _typed("tres_per_node", _tres),
    "mail-type": _typed("mail_type", _listed),
    "mem": _typed("memory_per_node", lambda value: _set(megabytes(value))),
    "mem-per-cpu": _typed("memory_per_cpu", lambda value: _set(megabytes(value))),
    "no-requeue": lambda _: {"requeue": False},
    "nodelist": _typed("required_nodes", _listed),
    "open-mode": _typed("open_mode", lambda value: [value.upper()]),
    "requeue": lambda _: {"requeue": True},
    "signal": _signal,
    "time": _typed("time_limit", lambda value: _set(minutes(value))),
    "time-min": _typed("time_minimum", lambda value: _set(minutes(value))),
    "tmp": _typed("temporary_disk_per_node", megabytes),
}  # fmt: skip
