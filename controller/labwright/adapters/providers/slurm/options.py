"""The options of sbatch: made from a task and lab.yaml, written as `#SBATCH` lines, and read back from what was rendered."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from labwright.domain.errors import Refused
from labwright.domain.slurm import ASKED, OURS, Account, SlurmProvider, whole
from labwright.domain.task import Accelerators, Task

_SHORT = {
    "p": "partition", "t": "time", "A": "account", "N": "nodes", "n": "ntasks", "c": "cpus-per-task", "q": "qos",
    "C": "constraint", "G": "gpus", "J": "job-name", "a": "array", "o": "output", "D": "chdir", "e": "error",
    "M": "clusters", "d": "dependency", "i": "input",
}  # fmt: skip
_FLAGS = {
    "H": "hold",
    "O": "overcommit",
    "Q": "quiet",
    "V": "version",
    "W": "wait",
    "h": "help",
    "s": "oversubscribe",
    "v": "verbose",
}
_ALSO_READ = ("#SLURM", "#PBS", "#BSUB")  # by sbatch, in place of #SBATCH
_HELD_TO = ASKED | OURS
_LONGEST_SIGNAL_S = 65535
_SPARE_S = 60.0  # of the time limit, beyond the wrapper's own: it ends a job to the second, Slurm to the minute


@dataclass(frozen=True, slots=True)
class Run:
    """What of a batch is no one's wish: its name, its place, how many there are."""

    job: str  # name in Slurm's queue
    folder: str  # of the batch, absolute
    root: str
    comment: str
    array: str = ""  # `0-99%10`
    rounds: int = 1  # trials that one allocation runs one after another
    longest_s: float | None = None  # that the cluster lets a job run, as far as is known
    gpu: str | None = None  # GRES type of the accelerators asked


def options(task: Task, settings: SlurmProvider, account: Account | None, run: Run) -> Mapping[str, str]:
    """By long name, without dashes; a flag's value is empty. In the order in which they are written."""
    asked = task.resources
    output = f"{run.folder}/slurm-{'%A_%a' if run.array else '%j'}.out"
    chosen: list[tuple[str, object]] = [
        ("job-name", run.job),
        ("comment", run.comment),
        ("partition", settings.spot_partition if asked.use_spot else settings.partition),
        ("account", (account and account.account) or settings.account),
        ("qos", (account and account.qos) or settings.qos),
        ("constraint", settings.constraint),
        ("reservation", settings.reservation),
        ("nodes", asked.num_nodes),
        ("ntasks-per-node", 1),
        ("cpus-per-task", math.ceil(asked.cpus) if asked.cpus else None),
        ("mem", f"{math.ceil(asked.memory_gb * 1024)}M" if asked.memory_gb else None),
        ("tmp", f"{math.ceil(asked.disk_gb * 1024)}M" if asked.disk_gb else None),
        ("gres", gres(asked.accelerators, run.gpu)),
        ("time", minutes(task, settings, run.rounds, run.longest_s)),
        ("array", run.array),
        ("signal", f"B:USR1@{min(math.ceil(settings.notice_s), _LONGEST_SIGNAL_S)}" if settings.notice_s else None),
        ("output", _path(output)),
        ("chdir", run.root),  # no pattern: a % is a %
    ]
    made = {name: str(value) for name, value in chosen if value not in (None, "")}
    made |= {"open-mode": "append", "requeue" if settings.requeue else "no-requeue": ""}
    for option in settings.sbatch:
        name, _, value = option.removeprefix("--").partition("=")
        made[name] = value
    return made


def gres(wanted: Accelerators | None, kind: str | None) -> str | None:
    if wanted is None:
        return None
    return f"gpu:{kind}:{wanted.count}" if kind else f"gpu:{wanted.count}"


def minutes(task: Task, settings: SlurmProvider, rounds: int = 1, longest_s: float | None = None) -> int | None:
    """Whole minutes that surely outlast the wrapper's own limit; but no more than the cluster allows, for beyond that a job
    waits for ever."""
    limit = task.limit_seconds
    if limit is None:
        return None
    wanted = math.ceil(((limit + settings.grace_s) * rounds + _SPARE_S) / 60)
    return wanted if longest_s is None else max(1, min(wanted, math.floor(longest_s / 60)))


def comment(**said: str) -> str:
    """`task=alpha/train user=ada@example.org`, without what quotes, `#SBATCH` or a log would trip over."""
    return " ".join(f"{key}={re.sub(r'[^A-Za-z0-9./_@:+-]', '_', value)}" for key, value in said.items())[:250]


def _path(path: str) -> str:
    return re.sub(r"%(?!A_%a\.out$|a\.out$|j\.out$)", "%%", path)


def lines(chosen: Mapping[str, str]) -> Sequence[str]:
    """For the template: what stands behind `#SBATCH`. Raises Refused for what would be more than one line."""
    written = []
    for name, value in chosen.items():
        if re.search(r"[\x00-\x1f]", value):
            raise Refused(f"sbatch: --{name} has a control character", hint="correct lab.yaml")
        plain = re.fullmatch(r"[A-Za-z0-9./_@:=,+%*&|\[\]()-]*", value)
        text = value if plain else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
        written.append(f"--{name}={text}" if value else f"--{name}")
    return written


def directives(script: str) -> Mapping[str, str]:
    """What sbatch will read from a script: `#SBATCH` lines before the first command, short names and beginnings of names as
    whole ones. Raises ValueError for what cannot be told."""
    found: dict[str, str] = {}
    for line in script.split("\n"):
        if line.startswith("#SBATCH"):
            found.update(_split(shlex.split(line.removeprefix("#SBATCH"), comments=True)))
        elif line.startswith(_ALSO_READ):
            raise ValueError(f"sbatch would read {line.split()[0]} as well")
        elif (text := line.strip(" \t\r\v\f")) and not text.startswith("#"):
            break
    return found


def _split(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = list(parts)
    while rest:
        part = rest.pop(0)
        if part.startswith("--"):
            name, equals, value = part[2:].partition("=")
            takes = not equals and rest and not rest[0].startswith("-")
            yield whole(name), rest.pop(0) if takes else value
            continue
        while part.startswith("-") and part[1:2] in _FLAGS:  # `-HN4` is `-H -N4`
            yield _FLAGS[part[1]], ""
            part = f"-{part[2:]}"
        if part.startswith("-") and part[1:2] in _SHORT:
            yield _SHORT[part[1]], part[2:].removeprefix("=") or (rest.pop(0) if rest else "")
        elif part != "-":
            yield part, ""


def verify(script: str, planned: Mapping[str, str]) -> None:
    """A rendered script asks for what was planned, nothing less and nothing more. Raises Refused, saying what differs."""
    try:
        found = directives(script)
    except ValueError as error:
        raise Refused(f"templates/slurm/job.sh.j2: a #SBATCH line cannot be read: {error}") from error
    for name in sorted(_HELD_TO & (found.keys() | planned.keys())):
        if found.get(name) != planned.get(name):
            there, meant = (f"--{name}={v[name]}" if name in v else f"no --{name}" for v in (found, planned))
            raise Refused(
                f"templates/slurm/job.sh.j2 makes {there} where {meant} was planned",
                hint="let the template write its `options` as they are; lab.yaml and the task say what they are",
            )
