"""Who may sign: lines of OpenSSH's allowed_signers file (ssh-keygen(1), ALLOWED SIGNERS), of which less is taken than ssh-keygen would:

    ben namespaces="git",valid-before="20271231Z" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…  ben@laptop

A principal is one plain name and is the login: no pattern, which would let whoever holds that key be anybody. Times are in UTC."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from labwright.domain.forms import Fault, line, show

OURS = "labwright"  # whom our own words are by
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}")
_KIND = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+")
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"]*)")?(?:,|\Z)')
_TIME = re.compile(r"([0-9]{8})(?:([0-9]{4})([0-9]{2})?)?Z")


@dataclass(frozen=True, slots=True)
class Signer:
    login: str
    key: str  # its kind and its bytes, without a comment
    after: datetime | None = None
    before: datetime | None = None

    @property
    def rule(self) -> str:
        """For ssh-keygen. Times are left out: it would ask the date that a signature claims to be of, which its writer chose."""
        return f'{self.login} namespaces="git" {self.key}'

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen shows it."""
        digest = hashlib.sha256(base64.b64decode(self.key.split(" ")[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def counts(self, now: datetime) -> bool:
        return (self.after is None or now >= self.after) and (self.before is None or now < self.before)


def parse_signer(value: str) -> Signer:
    """Raises Fault."""
    text = line(value)
    login, _, rest = text.partition(" ")
    if _KIND.fullmatch(login):
        raise Fault("does not say whose key it is", "put their login before it: `ben ssh-ed25519 AAAA…`")
    if not _NAME.fullmatch(login):
        hint = "such as `ben ssh-ed25519 AAAA…`: a login, and then the line of their .pub file"
        raise Fault(f"must begin with one plain name, not {show(login)}", hint)
    if login.lower() == OURS:
        raise Fault(f"{OURS} is Labwright itself, which approves nothing", "give this person another name")
    options, kind, key = _parts(rest.strip())
    _check_key(kind, key)
    return Signer(login, f"{kind} {key}", _time(options, "valid-after"), _time(options, "valid-before"))


def parse_signers(lines: Sequence[str]) -> tuple[Signer, ...]:
    """Raises Fault, too, for a key of two people and for names that are told apart by capitals only."""
    found = tuple(parse_signer(text) for text in lines)
    keys, names = dict[str, str](), dict[str, str]()
    for n, signer in enumerate(found):
        key = signer.fingerprint  # one key can be spelled in several ways
        if keys.setdefault(key, signer.login) != signer.login:
            hint = "one person could approve as two; give each a key of their own"
            raise Fault(f"is the key of {keys[key]} as well as of {signer.login}", hint, at=(n,))
        if names.setdefault(signer.login.lower(), signer.login) != signer.login:
            spelled = f"{names[signer.login.lower()]} and {signer.login}"
            raise Fault(f"cannot be told apart: {spelled}", "spell one person's name alike in all lines", at=(n,))
    return found


def signer_line(value: str) -> str:
    """For lab.yaml: the line as it is, if it can be one."""
    parse_signer(value)
    return line(value)


def _parts(rest: str) -> tuple[dict[str, str], str, str]:
    """Options, the key's kind, the key."""
    words = rest.split(" ", 1)
    options = dict[str, str]()
    if words[0] and not _KIND.fullmatch(words[0]):
        end = re.match(r'(?:[^\s"]|"[^"]*")+', rest)
        options = _options(end[0] if end else rest)
        rest = rest[len(end[0]) if end else len(rest) :].strip()
    kind, _, after = rest.partition(" ")
    if not _KIND.fullmatch(kind):
        raise Fault("has no key", "after the name comes the line of their .pub file: `ssh-ed25519 AAAA…`")
    return options, kind, after.strip().partition(" ")[0]


def _options(text: str) -> dict[str, str]:
    found, at = dict[str, str](), 0
    while at < len(text):
        option = _OPTION.match(text, at)
        if not option:
            raise Fault(f"has options that cannot be read: {show(text)}", 'such as namespaces="git"')
        name = option[1].lower()
        if name not in ("namespaces", "valid-after", "valid-before"):
            hint = "name each key by itself" if name == "cert-authority" else "namespaces, valid-after, valid-before"
            raise Fault(f"has the option {show(name)}, which is not taken here", hint)
        if name in found or option[2] is None:
            raise Fault(f"must give {name} once, with a value in double quotes")
        found[name], at = option[2], option.end()
    if "namespaces" in found and "git" not in found["namespaces"].split(","):
        raise Fault("has namespaces without `git`, so no signature of it counts", 'namespaces="git"')
    return found


def _check_key(kind: str, key: str) -> None:
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 20 or data[4 : 4 + size].decode("ascii", "replace") != kind:
        raise Fault(f"is no key of the kind {kind}", "copy the whole line of the .pub file")


def _time(options: Mapping[str, str], name: str) -> datetime | None:
    if name not in options:
        return None
    found = _TIME.fullmatch(options[name])
    try:
        if found is None:
            raise ValueError(name)
        return datetime.strptime(f"{found[1]}{found[2] or '0000'}{found[3] or '00'}+0000", "%Y%m%d%H%M%S%z")
    except ValueError as error:
        hint = "YYYYMMDDZ or YYYYMMDDHHMMZ: in UTC, which the Z says"
        raise Fault(f"has a {name} that cannot be read: {show(options[name])}", hint) from error
