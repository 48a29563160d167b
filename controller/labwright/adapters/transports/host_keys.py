"""Which key a login node must show: the `known_hosts` of OpenSSH (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT") and keys pinned in settings."""

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labwright.domain.errors import Refused


@dataclass(frozen=True, slots=True)
class HostKey:
    kind: str
    base64: str
    where: str = ""
    revoked: bool = False

    def fingerprint(self) -> str:
        """As `ssh-keygen -l` says it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return f"{self.kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    def same(self, other: "HostKey") -> bool:
        return (self.kind, self.base64) == (other.kind, other.base64)


def pinned(text: str, where: str = "host_key") -> tuple[HostKey, ...]:
    """`ssh-ed25519 AAAA…`, one a line; what ssh-keyscan prints, with the host before it, is understood too."""
    found = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if line.startswith("#"):
            continue
        words = line.split()
        at = next((n for n, word in enumerate(words[:-1]) if _is_key(word, words[n + 1])), None)
        if at is None:
            raise Refused(f'{where}: {line!r} is not a host key; it looks like "ssh-ed25519 AAAAC3Nz…"', hint=_SCAN)
        found.append(HostKey(words[at], words[at + 1], where))
    return tuple(found)


def known(files: Iterable[Path], host: str, port: int) -> tuple[HostKey, ...]:
    """Every key that the files hold for a host, its revoked ones included."""
    name = host.lower() if port == 22 else f"[{host.lower()}]:{port}"
    return tuple(key for path in files for patterns, key in lines(path) if _matches(patterns, name))


def check(shown: HostKey, keys: Sequence[HostKey], host: str, port: int, where: str) -> None:
    """Raises Refused when the key that a host shows is not one of `keys`; `where` says where keys are looked for."""
    target = host if port == 22 else f"-p {port} {host}"
    if any(key.revoked and key.same(shown) for key in keys):
        raise Refused(f"{host}: its host key {shown.fingerprint()} is revoked in {where}")
    good = [key for key in keys if not key.revoked]
    if any(key.same(shown) for key in good):
        return
    if not good:
        raise Refused(
            f"{host}: its host key {shown.fingerprint()} is not known in {where}",
            hint=f"ask the site for the fingerprint; if it is this one, run `ssh-keyscan {target} >> {where}`, or pin it in "
            f'lab.yaml: host_key: "{shown.kind} {shown.base64}"',
        )
    expected = ", ".join(f"{key.fingerprint()} ({key.where})" for key in good)
    raise Refused(
        f"{host}: its host key has CHANGED: it shows {shown.fingerprint()}, known is {expected}",
        hint="somebody may be in between; ask the site. If the machine was replaced, take the old key out: "
        f"`ssh-keygen -R {host if port == 22 else f'[{host}]:{port}'}`, or out of host_key in lab.yaml, and add the new one",
    )


_SCAN = "`ssh-keyscan HOST` prints it; compare its fingerprint with what the site says"


def _is_key(kind: str, text: str) -> bool:
    """The blob of every SSH key begins with the length and the name of its kind."""
    try:
        return base64.b64decode(text, validate=True).startswith(len(kind).to_bytes(4, "big") + kind.encode())
    except (binascii.Error, ValueError):
        return False


def lines(path: Path) -> Iterable[tuple[str, HostKey]]:
    """(host patterns, key); certificate authorities are not understood and left out."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#") and marker in {"", "@revoked"} and _is_key(*words[1:3]):
            yield words[0], HostKey(words[1], words[2], f"{path}:{number}", marker == "@revoked")


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        _, _, salt, digest = patterns.split("|", 3) if patterns.count("|") == 3 else ("", "", "", "")
        try:
            made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
            return hmac.compare_digest(made, base64.b64decode(digest))
        except (binascii.Error, ValueError):
            return False
    found = False
    for pattern in patterns.lower().split(","):
        # the brackets of [host]:port are themselves; only * and ? stand for something
        if fnmatch.fnmatchcase(name, pattern.lstrip("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found
