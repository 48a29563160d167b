"""One long-lived shell on another machine: commands go in through its standard input, answers come out between marks.

A shell for each command costs what the login costs (`~/.bashrc`: 50 to 250 ms on a usual cluster); this one costs it once.

    request   secret ␠ mark ␠ seconds ␠ size ␠ most ␠ count ␀, `count` arguments each with its ␀, `size` bytes of standard input
    answer    standard output: what the command wrote, mark ␠ code ␊        standard error: what the command wrote, mark

Arguments travel between NULs and are never read by a shell, so nothing needs quoting; a request that was cut short is not
run; what is left over of one (a fork that failed) does not begin with the secret and ends the shell. Each output goes through
a process of its own: what a child left in the background writes belongs to its command or to nobody, never to the next one.
"""

import math
import secrets
import shlex
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.ports.transport import Ran

COMMAND = "exec bash --noprofile --norc -p"
"""What is asked of sshd: the same words in bash, csh, fish and zsh. `-p`: nothing of the environment is read as code."""

LOOP = r"""
cd
unset OLDPWD
_lab_read() { LC_ALL=C TMOUT=0 IFS= read -r -d "" "$@"; } 2>/dev/null
_lab_run() {
  { timeout -k 5 "$_lab_limit" "$@" 2>&1 >&3 3>&- | head -c "$_lab_most" >&2 3>&-
    _lab_code=${PIPESTATUS[0]}
    [ "$_lab_size" = 0 ] || ! _lab_read -n 1 _lab_rest || cat >/dev/null 3>&-
    exit "$_lab_code"
  } 3>&1 | head -c "$_lab_most"
  return "${PIPESTATUS[0]}"
}
_lab_say() { printf "%s %s\n" "$1" "$2"; printf %s "$1" >&2; }
_lab_read _lab_secret || exit
_lab_say "$_lab_secret" 0
while _lab_read _lab_head; do
  set -- $_lab_head
  [ "$1" = "$_lab_secret" ] || exit
  _lab_mark=$2 _lab_limit=$3 _lab_size=$4 _lab_most=$5 _lab_count=$6 _lab_argv=()
  while [ "$_lab_count" -gt 0 ]; do
    _lab_read _lab_word || exit
    _lab_argv+=("$_lab_word") _lab_count=$((_lab_count - 1))
  done
  if [ "$_lab_size" = 0 ]; then
    _lab_run "${_lab_argv[@]}" </dev/null
    _lab_code=$?
  else
    head -c "$_lab_size" | _lab_run "${_lab_argv[@]}"
    _lab_codes=("${PIPESTATUS[@]}") _lab_code=${PIPESTATUS[1]}
    [ "${_lab_codes[0]}" = 0 ] || exit
  fi
  _lab_say "$_lab_mark" "$_lab_code"
done
"""


class Moved(NamedTuple):
    sent: int
    out: bytes
    err: bytes
    ended: bool


class Duplex(Protocol):
    """The two ends of a process elsewhere."""

    def pump(self, data: memoryview, wait: float) -> Moved:
        """Sends of `data` what goes at once; when nothing moves at all, waits `wait` seconds at most. Never raises."""
        ...

    def close(self) -> None: ...


class NoProfile(Exception):
    """The machine answers, its login shell does not."""


class _Lost(Exception):
    def __init__(self, why: str, sent: int) -> None:
        super().__init__(why)
        self.sent = sent


class _Answer:
    """Gathers both outputs until both marks are there."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._at = -1
        self._code = b""
        self.out, self.err = bytearray(), bytearray()

    def feed(self, out: bytes, err: bytes) -> None:
        before = len(self.out) - len(self._mark) - 8
        self.out += out
        self.err += err
        if self._at < 0:
            self._at = self.out.find(self._mark, max(0, before))
        if self._at >= 0 and not self._code:
            word, end, _ = bytes(self.out[self._at + len(self._mark) :]).partition(b"\n")
            self._code = word.strip() if end else b""

    def complete(self) -> bool:
        return bool(self._code) and self.err.endswith(self._mark)

    def take(self) -> tuple[int, bytes, bytes]:
        return int(self._code), bytes(self.out[: self._at]), bytes(self.err[: -len(self._mark)])

    def words(self) -> str:
        """The last of what was said, for a message."""
        text = (bytes(self.err[-2000:]) or bytes(self.out[-2000:])).decode(errors="replace")
        return " / ".join(line.strip() for line in text.splitlines()[-3:] if line.strip())


class Shell:
    """Used by one thread at a time. After an error it is to be closed: what comes out of it belongs to nobody."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._secret = secrets.token_hex(16)
        self._used = time.monotonic()

    def start(self, *, login: bool, patience: float, login_patience: float) -> None:
        """With `login`, in the environment of a login shell (`/etc/profile` is what puts Slurm on PATH at many sites).

        The profile itself runs in a shell that is then replaced, without our input and outputs: what it prints, reads, sets or
        defines does not reach us. Raises NoProfile when it hangs or ends, Unavailable when the machine does not answer.
        """
        here = secrets.token_hex(16)
        self._begin(f"printf '%s 0\\n' {here}; printf %s {here} >&2; {_boot(login)}\n", here, patience)
        try:
            self._exchange(self._secret.encode() + b"\0", self._secret, login_patience, 1 << 20)
        except _Lost as error:
            raise NoProfile(str(error)) from None

    def _begin(self, line: str, mark: str, patience: float) -> None:
        try:
            self._exchange(line.encode(), mark, patience, 1 << 20)
        except _Lost as error:
            raise Unavailable(f"no shell could be started: {error}") from None

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float, most: int) -> Ran:
        if not argv or any("\0" in word for word in argv):
            raise Refused(f"{argv!r}: a command is one word at least, and no word holds a NUL")
        mark = secrets.token_hex(16)
        limit = math.ceil(timeout) + 1  # there; here we leave first
        head = f"{self._secret} {mark} {limit} {len(stdin)} {most + 1} {len(argv)}"
        request = b"".join(word.encode(errors="surrogateescape") + b"\0" for word in (head, *argv))
        try:
            code, out, err = self._exchange(request + stdin, mark, timeout, most)
        except _Lost as error:
            if error.sent < len(request):
                raise Unavailable(f"{argv[0]}: not begun: {error}", retry_in=1) from None
            raise OutcomeUnknown(f"{argv[0]}: {error}, after it may have begun") from None
        self._used = time.monotonic()
        words = err.decode(errors="replace")
        if _could_not_fork(code, words):
            raise Unavailable(f"{argv[0]}: the machine starts no more processes for this user: {words.strip()[-200:]}")
        return Ran(code, out, words)

    def idle(self) -> float:
        return time.monotonic() - self._used

    def answers(self, patience: float) -> bool:
        """Whether it is still there; a connection can be lost without anybody being told."""
        try:
            self.run(["true"], b"", patience, 1 << 10)
        except (OutcomeUnknown, Unavailable):
            return False
        return True

    def ended(self) -> bool:
        """Known to have ended; costs nothing. Something said unasked counts: nobody knows what else will be."""
        moved = self._duplex.pump(memoryview(b""), 0)
        return moved.ended or bool(moved.out or moved.err)

    def close(self) -> None:
        self._duplex.close()

    def _exchange(self, data: bytes, mark: str, patience: float, most: int) -> tuple[int, bytes, bytes]:
        until = time.monotonic() + patience
        left = memoryview(data)
        answer = _Answer(mark)
        while True:
            wait = until - time.monotonic()
            if wait <= 0:
                raise _Lost(f"no answer in {patience:g} s", len(data) - len(left))
            moved = self._duplex.pump(left, wait)
            left = left[moved.sent :]
            answer.feed(moved.out, moved.err)
            if answer.complete():
                code, out, err = answer.take()
                if len(out) + len(err) > most:
                    raise _Lost(f"more than {most} bytes of output", len(data) - len(left))
                return code, out, err
            if len(answer.out) + len(answer.err) > most + 200:
                raise _Lost(f"more than {most} bytes of output", len(data) - len(left))
            if moved.ended:
                said = answer.words()
                raise _Lost("the shell there ended" + (f": {said}" if said else ""), len(data) - len(left))


def _boot(login: bool) -> str:
    loop = f"exec bash --noprofile --norc -p -c {shlex.quote(LOOP)} lab"
    if not login:
        return loop
    inner = f"{loop} <&201 >&202 2>&203 201<&- 202>&- 203>&-"  # numbers that no profile uses
    return f"exec bash -l -c {shlex.quote(inner)} 201<&0 202>&1 203>&2 </dev/null >/dev/null 2>&1"


def _could_not_fork(code: int, words: str) -> bool:
    """`timeout` or the shell could not start the command: it has not begun."""
    return (code == 125 and words.startswith("timeout: ")) or (code == 254 and ": fork: " in words)
