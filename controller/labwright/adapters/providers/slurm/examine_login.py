"""`lab doctor` at a cluster: what the login node has, and the lab's folder on it."""

import re
from collections.abc import Iterator

from labwright.adapters.providers.slurm.examined import Report, bytes_of
from labwright.domain.finding import FAIL, OK, WARN, Finding

_TOOLS = ("timeout", "head", "stat", "tar", "find", "xargs", "grep", "mktemp", "realpath", "sha256sum", "gzip")
_TRIED = ("timeout", "head", "stat", "sha256sum", "find", "xargs", "tar")  # in the way in which they are used
_ASKED = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")
_ON_PATH = "put them on PATH in ~/.bash_profile there, with `module load slurm` perhaps"
_LITTLE, _TOO_LITTLE, _FEW = 5e9, 2e8, 10_000
_OWN_DISKS = ("ext2/ext3", "xfs", "btrfs", "tmpfs", "overlayfs", "zfs")
_OLDEST = (22, 5)


def tools(report: Report) -> Iterator[Finding]:
    yield bash(report, "bash")
    missing = [
        *report.missing(*_TOOLS),
        *(name for name in _TRIED if report.get(f"tool {name}") and not report.works(name)),
    ]
    if missing:
        mend = "GNU's coreutils, findutils, tar and gzip are needed: put them on PATH in ~/.bash_profile there"
        yield Finding("tools", FAIL, f"not there, or not as GNU has them: {', '.join(missing)}", mend)
    else:
        yield Finding("tools", OK, "coreutils, find, xargs, tar and gzip do what is needed")
    absent = report.missing(*_ASKED)
    if absent:
        yield Finding("commands", FAIL, f"not on PATH of a login: {', '.join(absent)}", _ON_PATH)
    elif report.missing("sacct"):
        yield Finding("commands", WARN, "sacct is not on PATH: the accounting cannot be asked", _ON_PATH)
    else:
        yield Finding(
            "commands", OK, f"sbatch, squeue, scancel, sacct in {report.get('tool sbatch').rpartition('/')[0]}"
        )
    said = report.get("version") or report.trouble("version")
    found = re.search(r"(\d+)\.(\d+)", report.get("version"))
    if found and (int(found[1]), int(found[2])) < _OLDEST:
        yield Finding(
            "version",
            WARN,
            f"{said}: nobody has tried one before 22.05",
            "jobs may show states that are new to Labwright",
        )
    else:
        yield Finding("version", OK if found else FAIL, said, "" if found else _ON_PATH)


def bash(report: Report, what: str) -> Finding:
    found = re.match(r"(\d+)\.(\d+)", report.get("bash"))
    if found and (int(found[1]), int(found[2])) >= (4, 4):
        return Finding(what, OK, f"{found[0]} on {report.get('node')}, {report.get('system')}")
    mend = "4.4 or newer is needed, first on PATH"
    return Finding(what, FAIL, f"{report.get('bash') or 'none'} on {report.get('node')}", mend)


def extras(report: Report, *, secrets: bool, sure: bool) -> Iterator[Finding]:
    """What only some jobs need. `sure`: of a node itself, not of the login node, from which it is guessed."""
    if sure and report.missing("setsid", "timeout"):
        yield Finding(
            "node tools", FAIL, f"not there: {', '.join(report.missing('setsid', 'timeout'))}", "ask the site"
        )
    where = "" if sure else " on the login node; nodes are usually alike, `--submit` looks"
    if not report.works("openssl"):
        text = f"no openssl with PBKDF2 (1.1.1 or newer){where}: jobs with secrets could not open them"
        result = FAIL if secrets and sure else WARN
        yield Finding("openssl", result, text, "ask the site, or load a module of it under `modules` in lab.yaml")
    else:
        yield Finding("openssl", OK, "opens sealed secrets" + ("" if secrets else "; lab.yaml has none"))
    if report.missing("flock"):
        yield Finding(
            "flock", WARN, f"no flock{where}: a task with `environment:` needs it", "ask the site for util-linux"
        )
    own = report.get("tool uv")
    yield Finding("uv", OK, own or "none of the site's: Labwright brings its own, where a task has an `environment`")


def folder(report: Report, owner: str, *, submitted: bool) -> Iterator[Finding]:
    root, there = report.get("root"), report.get("there")
    mend = "set `workdir` in lab.yaml to a folder of yours on the shared file system"
    if report.get("writable") != "1":
        yield Finding("workdir", FAIL, f"{there} cannot be written: {report.get('writable')}", mend)
        return
    if owner and (theirs := report.get("owner")) and theirs != owner:
        mend = f"another `name` or `workdir` in lab.yaml; if it is the same lab, remove {root}/owner"
        yield Finding("workdir", FAIL, f"{root} belongs to the lab of {theirs}, and this one is {owner}", mend)
        return
    if not report.works("write") or not report.works("rename") or not report.works("symlink"):
        yield Finding(
            "workdir",
            FAIL,
            f"{there}: files cannot be written and renamed there: a full quota?",
            "free space, or another workdir",
        )
        return
    yield _space(report, root if root == there else f"{root} (not made yet)")
    lacking = [name for name, tool in (("hard links", "link"), ("flock", "flock")) if not report.works(tool)]
    if lacking:
        costs = (
            "needed artifacts are copied" if lacking == ["hard links"] else "two jobs may build one environment at once"
        )
        yield Finding("file system", WARN, f"{' and '.join(lacking)} do not work in {there}: {costs}", mend)
    else:
        yield Finding("file system", OK, f"{report.get('kind')}; hard links and flock work")
    if not submitted:
        yield _shared(report)


def _space(report: Report, named: str) -> Finding:
    free, inodes = report.free
    little = (free is not None and free < _LITTLE) or (inodes is not None and 0 < inodes < _FEW)
    result = FAIL if free is not None and free < _TOO_LITTLE else WARN if little else OK
    left = "free space is not known" if free is None else f"{bytes_of(free)} free"
    text = f"{named}, {left}" + (f", {inodes:,} inodes" if little and inodes else "")
    return Finding("workdir", result, text, "free some, or choose another workdir" if result != OK else "")


def _shared(report: Report) -> Finding:
    """A login node alone cannot know it."""
    mend = "`--submit` makes sure by a job of a minute"
    kind = report.get("kind")
    if kind in _OWN_DISKS:
        return Finding("shared", WARN, f"{kind} may be a disk of the login node alone, which no node sees", mend)
    return Finding("shared", OK, f"{kind} looks like a file system that nodes share; {mend}")
