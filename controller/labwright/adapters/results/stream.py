"""The stream that `git fast-import` reads, and the seal on what comes of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import run
from labwright.domain.errors import Refused

Author = tuple[str, str]
"""Name and e-mail address."""

_HERE = Remote("")  # signing needs the user's own configuration and agent


@dataclass(frozen=True, slots=True)
class Signing:
    format: str  # git's gpg.format: ssh or openpgp
    key: str

    @classmethod
    def of(cls, key: str) -> "Signing":
        """`key` is an ssh key (its file, or `ssh-… …` itself) or else the id of a GPG key."""
        if key.startswith(("ssh-", "key::", "ecdsa-", "sk-")):
            return cls("ssh", key)
        path = Path(key).expanduser()
        return cls("ssh", str(path.absolute())) if path.is_file() else cls("openpgp", key)


def check_author(author: Author) -> None:
    if any(set(text) & set("<>\n\r\0") for text in author) or not all(text.strip() for text in author):
        raise Refused(
            f"{author!r} cannot be the author of a commit", hint="give a name and an address without < > or newlines"
        )


def commit_stream(ref: str, tip: str | None, files: Mapping[str, bytes], message: str, author: Author) -> bytes:
    """One commit at `ref` on `tip` (None: a root) that adds or replaces `files`."""
    return b"".join(_parts(ref, tip, files, message, author))


def _parts(ref: str, tip: str | None, files: Mapping[str, bytes], message: str, author: Author) -> Iterator[bytes]:
    text = marked(message).encode("utf-8", "replace")
    yield f"reset {ref}\n\ncommit {ref}\n".encode()
    yield f"committer {author[0]} <{author[1]}> now\ndata {len(text)}\n".encode() + text + b"\n"
    if tip is not None:
        yield f"from {tip}\n".encode()
    for path, data in files.items():
        yield b"M 100644 inline %s\ndata %d\n%s\n" % (_quoted(path), len(data), data)
    yield b"done\n"


def _quoted(path: str) -> bytes:
    """In C's way, as fast-import reads it."""
    parts = path.split("/")
    if any(not x or x in {".", ".."} or x.lower() == ".git" for x in parts) or "\0" in path:
        raise Refused(f"{path!r} cannot be a file of the results branch")
    raw = path.encode("utf-8", "surrogateescape")
    return b'"%s"' % re.sub(rb'[\x00-\x1f"\\]', lambda found: b"\\%03o" % ord(found[0]), raw)


def marked(message: str) -> str:
    """With `[skip ci]` and the trailer by which the controller knows its own commits (R38: beside the signature)."""
    subject, _, rest = message.strip().partition("\n")
    head = subject if "[skip ci]" in subject else f"{subject} [skip ci]"
    body = rest.strip("\n")
    last = body.rpartition("\n\n")[2].splitlines()
    trailers = bool(last) and all(": " in line and " " not in line.partition(":")[0] for line in last)
    return f"{head}\n\n{body}{'' if not body else chr(10) if trailers else chr(10) * 2}Lab-Written-By: labwright\n"


def seal(mirror: Path, tree: str, tip: str | None, message: str, author: Author, signing: Signing) -> str:
    """The same commit, signed. Raises Unavailable with the signer's words."""
    parent = ("-p", tip) if tip else ()
    who = {
        f"GIT_{role}_{what}": text
        for role in ("AUTHOR", "COMMITTER")
        for what, text in zip(("NAME", "EMAIL"), author, strict=True)
    }
    how = ("-c", f"gpg.format={signing.format}", "-c", f"user.signingKey={signing.key}")
    made = run(
        mirror,
        *how,
        "commit-tree",
        "-S",
        *parent,
        "-F",
        "-",
        tree,
        stdin=marked(message).encode(),
        remote=_HERE,
        extra=who,
    )
    return made.decode().strip()
