"""Files of a machine where only commands run: put, get and list as commands of coreutils. `~` is the home there."""

import secrets
from collections.abc import Callable, Sequence

from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.ports.transport import Ran

Run = Callable[[Sequence[str], bytes, float], Ran]

_HOME = r"""case $1 in "~") p=$HOME ;; "~/"*) p=$HOME/${1#"~/"} ;; *) p=$1 ;; esac
"""
_PUT = (
    _HOME
    + r"""case $p in /*) d=${p%/*} ;; */*) d=./${p%/*} ;; *) d=. ;; esac
[ -d "$d/" ] || mkdir -p -- "$d/" || exit 1
t=$d/.lab.$4
trap 'rm -f -- "$t"; exit 1' HUP INT TERM
umask 077
head -c "$3" >"$t" && IFS= read -r end && [ "$end" = "$4" ] && { [ "$2" = 600 ] || chmod -- "$2" "$t"; } &&
mv -fT -- "$t" "$d/${p##*/}" || { rm -f -- "$t"; exit 1; }
"""
)
"""What follows the data tells that all of it came."""

_GET = (
    _HOME
    + r"""[ -e "$p" ] || exit 44
exec dd bs=64K iflag=skip_bytes,count_bytes,fullblock skip="$2" count="$3" status=none <"$p"
"""
)
_LIST = _HOME + r"""[ -d "$p" ] || exit 44; cd -- "$p" && exec find . -mindepth 1 -maxdepth 1 -printf '%f\0'"""

_MISSING = 44
_PIECE = 8 << 20
_SLOW = 100_000
"""Bytes a second: a transfer slower than this is taken for dead."""


def put(run: Run, data: bytes, path: str, mode: int) -> None:
    end = secrets.token_hex(8)
    argv = ["sh", "-c", _PUT, "lab", path, f"{mode:o}", str(len(data)), end]
    ran = _asked(run, argv, data + f"{end}\n".encode(), 60 + len(data) / _SLOW)
    if ran.code:
        raise _failed(path, ran)


def get(run: Run, path: str, offset: int, limit: int | None) -> bytes:
    """In pieces: a file of any size takes no more of one command's output than a piece."""
    found = bytearray()
    while limit is None or len(found) < limit:
        piece = _PIECE if limit is None else min(_PIECE, limit - len(found))
        argv = ["sh", "-c", _GET, "lab", path, str(offset + len(found)), str(piece)]
        ran = _asked(run, argv, b"", 60 + piece / _SLOW)
        if ran.code == _MISSING:
            raise FileNotFoundError(path)
        if ran.code:
            raise _failed(path, ran)
        found += ran.out
        if len(ran.out) < piece:
            break
    return bytes(found)


def names(run: Run, path: str) -> Sequence[str]:
    ran = _asked(run, ["sh", "-c", _LIST, "lab", path], b"", 60)
    if ran.code == _MISSING:
        return []
    if ran.code:
        raise _failed(path, ran)
    return sorted(name.decode(errors="surrogateescape") for name in ran.out.split(b"\0")[:-1])


def _asked(run: Run, argv: Sequence[str], data: bytes, timeout: float) -> Ran:
    """Doing any of these twice is harmless, so an unknown outcome is one to try again."""
    if "\0" in argv[4]:
        raise Refused(f"{argv[4]!r}: a path holds no NUL")
    try:
        return run(argv, data, timeout)
    except OutcomeUnknown as error:
        raise Unavailable(f"{argv[4]}: {error.message}") from error


def _failed(path: str, ran: Ran) -> Unavailable:
    return Unavailable(f"{path}: {ran.err.strip()[-300:] or f'code {ran.code}'}")
