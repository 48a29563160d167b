"""What trials need besides files of their own: brought over once per content, many folders in a call."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from labwright.adapters.providers.slurm.desk import CANNOT_WRITE, Desk, joined
from labwright.domain.errors import LabError, Unavailable

_MOST = 8 << 20  # bytes in one call, as they are; one folder alone may have more
_FOLDERS = 200  # in one call

Failure = LabError | OSError


def bring(desk: Desk, wanted: Mapping[str, Path]) -> Mapping[str, Failure]:
    """Folders and files of this machine, by the name below the lab's folder there. Of those that are not there now: why."""
    failed: dict[str, Failure] = {}
    try:
        there = set(desk.call("have", stdin=joined([*wanted])).decode().split("\n")) if wanted else set()
    except LabError as error:
        return dict.fromkeys(wanted, error)
    for some in _loads({name: path for name, path in wanted.items() if name not in there}, failed):
        failed.update(_place(desk, some))
    return failed


def _loads(missing: Mapping[str, Path], failed: dict[str, Failure]) -> Iterator[dict[str, bytes]]:
    some: dict[str, bytes] = {}
    for name, path in missing.items():
        try:
            content = _content(name, path)
        except OSError as error:
            failed[name] = error
            continue
        if some and (len(some) >= _FOLDERS or sum(map(len, some.values())) + len(content) > _MOST):
            yield some
            some = {}
        some[name] = content
    if some:
        yield some


def _place(desk: Desk, contents: Mapping[str, bytes]) -> Mapping[str, Failure]:
    """One folder that cannot be there keeps no other from it."""
    packed = gzip.compress(b"".join(contents.values()) + bytes(1024), 1, mtime=0)
    try:
        desk.call("place", *contents, stdin=packed, timeout=600)
    except LabError as error:
        if len(contents) == 1 or not (isinstance(error, Unavailable) and CANNOT_WRITE in error.message):
            return dict.fromkeys(contents, error)
        names = [*contents]
        halves = (names[: len(names) // 2], names[len(names) // 2 :])
        return {name: why for half in halves for name, why in _place(desk, _of(contents, half)).items()}
    return {}


def _of(contents: Mapping[str, bytes], names: Iterable[str]) -> Mapping[str, bytes]:
    return {name: contents[name] for name in names}


def _content(name: str, path: Path) -> bytes:
    """A folder, or one that has this file, as a part of a tar: nobody's."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        if path.is_dir():
            tar.add(path, arcname=name, filter=_plain)
        else:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            tar.add(path, arcname=f"{name}/{path.name}", filter=_plain)
        return made.getvalue()[: tar.offset]


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
