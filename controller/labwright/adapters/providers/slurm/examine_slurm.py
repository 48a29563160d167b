"""`lab doctor` at a cluster: what its Slurm has and allows, against what lab.yaml asks of it."""

import re
from collections.abc import Iterator, Mapping, Sequence

from labwright.adapters.providers.slurm.examined import Report, whole
from labwright.adapters.providers.slurm.facts import seconds
from labwright.domain.finding import FAIL, OK, WARN, Finding
from labwright.domain.slurm import Account, SlurmProvider

_AGAIN = "try again; if it stays so, ask the site"
_MODEL = re.compile(
    r"gb\d00|gh200|[abh]\d{2,3}|l40s?|l4|v100|p\d{2,3}|t4|k80|mi\d{3}[ax]?|rtx[_-]?(?:pro[_-]?)?a?\d{4}|max[_-]?1\d{3}",
    re.IGNORECASE,
)
_DOWN = ("down", "drain", "drng", "fail", "maint", "unk", "boot", "inval", "futr", "no_respond", "plnd")
_KNOWN_SOON = 60  # seconds for which Slurm should remember an ended job where no accounting does


def cluster(report: Report, settings: SlurmProvider, account: Account | None) -> Iterator[Finding]:
    """Of one of `users` only what is their own."""
    why = report.trouble("config")
    if account is not None:
        yield from () if why else _association(report, settings, account)
        return
    if why:
        yield Finding("slurmctld", FAIL, why, _AGAIN)
    else:
        yield Finding("slurmctld", OK, f"answers; cluster {report.config.get('ClusterName', 'without a name')}")
    yield _accounting(report)
    if why:
        return
    yield from _partitions(report, settings)
    yield from _association(report, settings, account)
    yield from _limits(report, settings)
    yield from _preemption(report, settings)
    yield from _gpus(report, settings)
    yield _load(report, settings)


def _accounting(report: Report) -> Finding:
    kind = report.config.get("AccountingStorageType", "")
    if kind.endswith("/none"):
        age = whole(report.config.get("MinJobAge", "")) or 0
        text = f"there is none; a job that leaves no record of its end is known for {age} s more (MinJobAge), then it is LOST"
        if age < _KNOWN_SOON:
            return Finding("accounting", WARN, text, "ask the site for accounting, or for a MinJobAge of 300 s")
        return Finding("accounting", OK, text)
    if why := report.trouble("sacct"):
        text = f"{why}; meanwhile jobs that left the queue without a record of their end keep their state"
        return Finding("accounting", WARN, text, _AGAIN)
    return Finding("accounting", OK, "slurmdbd answers: how a job without a record of its end ended is asked there")


# partitions


def _partitions(report: Report, settings: SlurmProvider) -> Iterator[Finding]:
    there = report.partitions
    known = ", ".join(there) or "none"
    for key in ("partition", "spot_partition"):
        for name in (getattr(settings, key) or "").split(","):
            if name and name not in there:
                yield Finding(key, FAIL, f"{name}: there is no such partition", f"correct `{key}` in lab.yaml: {known}")
            elif name:
                yield _partition(report, key, name, there[name])
    if not settings.partition:
        default = next((name for name, said in there.items() if said.get("Default") == "YES"), "")
        if default:
            yield _partition(report, "partition", default, there[default], ", the cluster's default")
        else:
            yield Finding(
                "partition", FAIL, "the cluster has no default", f"name one as `partition` in lab.yaml: {known}"
            )


def _partition(report: Report, key: str, name: str, said: Mapping[str, str], note: str = "") -> Finding:
    if (state := said.get("State", "UP")) != "UP":
        return Finding(
            key,
            FAIL,
            f"{name}{note}: its state is {state}",
            "choose another partition, or ask the site when it is back",
        )
    nodes = [n for n in report.facts.nodes if n.partition == name]
    well = sum(
        n.count for n in nodes if not n.state.rstrip("*~#!%$@^-+").startswith(_DOWN) and not n.state.endswith("*")
    )
    every = sum(n.count for n in nodes)
    text = (
        f"{name}{note}: up, {well} of {every} nodes can run jobs, for {said.get('MaxTime', 'any time').lower()} at most"
    )
    if not well and every:
        return Finding(
            key, WARN, text, "jobs wait until nodes are back; `sinfo -R` on the login node says why they are not"
        )
    return Finding(key, OK, text)


# account and limits


def _association(report: Report, settings: SlurmProvider, account: Account | None) -> Iterator[Finding]:
    name = (account and account.account) or settings.account
    qos = (account and account.qos) or settings.qos
    user, rows, default = report.get("user"), report.associations, report.get("default")
    held = "associations" in report.config.get("AccountingStorageEnforce", "")
    if report.trouble("assoc") or not (rows or held):
        asked = " and ".join(f"{key} {value}" for key, value in (("account", name), ("QOS", qos)) if value)
        yield Finding("account", OK, f"{asked or 'none asked'}; sbatch alone says whether that will do")
        return
    bad = FAIL if held else WARN
    accounts = list(dict.fromkeys(row[0] for row in rows))
    if not rows:
        yield Finding(
            "account", bad, f"{user} has no account in the accounting", "ask the site to add one (sacctmgr add user)"
        )
        return
    if name and name not in accounts:
        yield Finding(
            "account", bad, f"{user} may not use {name}", f"correct `account` in lab.yaml: {', '.join(accounts)}"
        )
        return
    mine = [row for row in rows if row[0] == (name or default or row[0])]
    allowed = list(dict.fromkeys(q for row in mine for q in row[2].split(",") if q))
    if qos and qos not in allowed:
        mend = f"correct `qos` in lab.yaml: {', '.join(allowed) or 'none'}"
        yield Finding("account", bad, f"{user} may not use the QOS {qos} in {name or 'any account'}", mend)
        return
    which = name or (f"{default}, the default" if default else f"one of {', '.join(accounts)}")
    yield Finding("account", OK, f"{user} in {which}; QOS {qos or 'by default'}, of {', '.join(allowed) or 'none'}")


def _limits(report: Report, settings: SlurmProvider) -> Iterator[Finding]:
    most = report.facts.array_max(settings)
    jobs = whole(report.config.get("MaxJobCount", ""))
    text = (
        f"arrays of up to {most} trials; {jobs:,} jobs of all users at once"
        if jobs
        else f"arrays of up to {most} trials"
    )
    yield Finding("limits", OK, text)
    mine = _submit_limits(report, settings)
    if mine:
        least, who = min(mine)
        enough = settings.submit_max is not None and settings.submit_max <= least
        mend = f"`submit_max: {least}` in lab.yaml keeps Labwright from asking in vain"
        text = f"{who}: at most {least} jobs of a user in the queue, elements of arrays counted"
        yield Finding("jobs at once", OK if enough else WARN, text, "" if enough else mend)
    wait = whole(report.config.get("KillWait", ""))
    if wait is not None and wait < settings.grace_s:
        text = f"KillWait is {wait} s: what Slurm itself ends or preempts is killed before `grace` ({settings.grace_s:g} s) is over"
        yield Finding("grace", WARN, text, f"`grace: {wait}s` in lab.yaml is what jobs can count on")
    elif wait is not None:
        yield Finding("grace", OK, f"{settings.grace_s:g} s from SIGTERM to SIGKILL; Slurm's own KillWait is {wait} s")


def _submit_limits(report: Report, settings: SlurmProvider) -> Sequence[tuple[int, str]]:
    name = settings.account or report.get("default")
    rows = [row for row in report.associations if not name or row[0] == name]
    found = [(int(row[4]), f"account {row[0]}") for row in rows if row[4].isdigit()]
    used = (
        {settings.qos}
        if settings.qos
        else {row[3] or row[2].split(",")[0] for row in rows if row[3] or "," not in row[2]}
    )
    for wanted in (settings.partition, settings.spot_partition):
        used |= {report.partitions.get(p, {}).get("QoS", "") for p in (wanted or "").split(",")}
    return found + [(limit, f"QOS {qos}") for qos, limit in report.qos_limits.items() if qos in used]


def _preemption(report: Report, settings: SlurmProvider) -> Iterator[Finding]:
    name = settings.spot_partition
    said = report.partitions.get((name or "").split(",")[0], {})
    mode = (said.get("PreemptMode") or report.config.get("PreemptMode", "")).upper()
    if not name or not mode:
        return
    notice = int(seconds(said.get("GraceTime", "")) or 0)
    how = f"{name}: jobs are preempted by {mode}, {notice} s after they are told"
    if mode.startswith("OFF"):
        yield Finding("preemption", OK, f"{name}: jobs are not preempted")
    elif mode.startswith("CANCEL") and settings.requeue:
        text = f"{how}: `requeue: true` changes nothing, a task's `retry.preempted` starts new attempts"
        yield Finding("preemption", WARN, text, "`requeue: false` in lab.yaml says what happens")
    elif "SUSPEND" in mode:
        yield Finding(
            "preemption",
            WARN,
            f"{how}: they keep their memory, and their time limit is Slurm's",
            "ask the site how spot jobs go on",
        )
    else:
        again = (
            "Slurm starts the same attempt again"
            if settings.requeue
            else "a task's `retry.preempted` starts new attempts"
        )
        yield Finding("preemption", OK, f"{how}: {again}")


# GPUs, load


def _gpus(report: Report, settings: SlurmProvider) -> Iterator[Finding]:
    facts = report.facts
    for name, kind in settings.gres.items():
        if kind not in facts.gpu_types:
            has = ", ".join(facts.gpu_types) or "none with a name"
            yield Finding(
                "gres", FAIL, f"{name}: no node has GPUs of type {kind}", f"correct `gres` in lab.yaml: {has}"
            )
    counts: dict[str, set[int]] = {}
    for node in facts.nodes:
        for kind, count in node.gpus.items():
            counts.setdefault(kind or "of no type", set()).add(count)
    if not counts:
        yield Finding("GPUs", OK, "no node has any")
        return
    text = "; ".join(f"{kind}, {' or '.join(map(str, sorted(c)))} on a node" for kind, c in sorted(counts.items()))
    block = proposed(facts.gpu_types, settings.gres)
    yield Finding("GPUs", OK, text, f"for lab.yaml, if tasks shall name them so: gres: {{{block}}}" if block else "")


def proposed(kinds: Sequence[str], known: Mapping[str, str]) -> str:
    """`A100: a100_80gb, H100: h100` of types that lab.yaml does not name yet; of alike ones with what tells them apart."""
    new = [kind for kind in kinds if kind not in known.values()]
    models = {
        kind: found[0].upper().replace("_", "").replace("-", "") for kind in new if (found := _MODEL.search(kind))
    }
    named = {}
    for kind in new:
        model = models.get(kind, kind)
        alone = sum(other == model for other in models.values()) == 1 and model not in known
        named[model if alone else kind.upper()] = kind
    return ", ".join(f"{name}: {kind}" for name, kind in named.items())


def _load(report: Report, settings: SlurmProvider) -> Finding:
    there = len(report.all("mine"))
    now = f"{there} job{'' if there == 1 else 's'} of this user there now"
    text = (
        f"while jobs are there, squeue every {settings.poll_s:g} s for all of them and files looked at every 1 to 2.5 s, over one "
        f"connection with 4 channels at most; sacct only for what vanished; when none is there, nothing; {now}"
    )
    return Finding("load", OK, text)
