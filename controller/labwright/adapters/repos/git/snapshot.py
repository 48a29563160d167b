"""A commit's tree: whole by `ls-tree`, or by what `diff-tree` says has changed since another one."""

from collections.abc import Mapping
from pathlib import Path
from sys import intern

from labwright.adapters.repos.git.run import run
from labwright.domain.errors import Unavailable
from labwright.domain.snapshot import Entry, Snapshot


def take(git_dir: Path, commit: str, since: Snapshot | None, extra: Mapping[str, str]) -> Snapshot:
    """The order of `entries` is not promised. With `since`, what is unchanged shares memory with it."""
    if since is None:
        return Snapshot(commit, _full(git_dir, commit, extra))
    if since.commit == commit:
        return since
    try:
        return Snapshot(commit, _changed(git_dir, since, commit, extra))
    except Unavailable:  # the older commit is gone
        return Snapshot(commit, _full(git_dir, commit, extra))


def _full(git_dir: Path, commit: str, extra: Mapping[str, str]) -> dict[str, Entry]:
    out = run(git_dir, "ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit, extra=extra)
    entries: dict[str, Entry] = {}
    for record in out.decode("utf-8", "surrogateescape").split("\0"):
        if record:  # "<mode> <type> <oid>\t<path>"
            what, _, path = record.partition("\t")
            mode, _, oid = what.split(" ")
            entries[path] = Entry(intern(mode), oid)
    return entries


def _changed(git_dir: Path, since: Snapshot, commit: str, extra: Mapping[str, str]) -> dict[str, Entry]:
    flags = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none", "--end-of-options")
    out = run(git_dir, "diff-tree", *flags, since.commit, commit, extra=extra)
    entries = dict(since.entries)
    words = iter(out.decode("utf-8", "surrogateescape").split("\0"))
    for what in words:
        if what:  # ":<old mode> <new mode> <old oid> <new oid> <status>", then the path
            path = next(words)
            _, mode, _, oid, status = what.split(" ")
            if status == "D":
                entries.pop(path, None)
            else:
                entries[path] = Entry(intern(mode), oid)
    return entries
