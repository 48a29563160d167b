"""What `lab doctor forge` looks at in a lab without a forge."""

import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from labwright.adapters.forges.git.refs import OURS, Listing, listing
from labwright.adapters.forges.git.store import Store
from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import attempt, failure, run
from labwright.domain.errors import LabError
from labwright.domain.finding import FAIL, OK, WARN, Finding, told
from labwright.domain.signers import Signer

OLDEST = (2, 34)  # git that knows signatures of ssh keys


def examine(
    remote: Remote, store: Store, signers: Sequence[Signer], now: datetime, hook: str, branches: Collection[str]
) -> Iterator[Finding]:
    try:
        seen = listing(remote)
        store.open()
        store.bring([(f"refs/heads/{seen.default}", seen.heads[seen.default])] if seen.default in seen.heads else [])
    except LabError as error:
        yield told("forge", error)
        return
    open_ones = f"{len(seen.pulls)} pull request{'s' if len(seen.pulls) != 1 else ''}"
    yield Finding("forge", OK, f"plain git: {remote.shown}, {open_ones} as branches pull/<number>")
    yield from _tools()
    yield from _keys(signers, now)
    yield from _numbers(seen)
    yield _pushing(remote, store, seen)
    if hook:
        yield Finding(
            "hook", FAIL, "plain git sends no deliveries", "leave --hook out: `forge.poll` is how often we look"
        )
    for branch in branches:
        mend = "if only few may push to it, say so with `policy: {push: any}`; else what it launches must be confirmed"
        yield Finding(f"branch {branch}", WARN, "whether anybody may push to it, plain git does not tell", mend)


def _tools() -> Iterator[Finding]:
    said = run(None, "version").decode("utf-8", "replace").strip()
    version = tuple(int(part) for part in re.findall(r"[0-9]+", said)[:2])
    if version < OLDEST:
        yield Finding("git", FAIL, f"{said} cannot verify signatures of ssh keys", "install git 2.34 or newer")
    if shutil.which("ssh-keygen") is None:
        mend = "install OpenSSH's client (Debian, Ubuntu: openssh-client)"
        yield Finding("ssh-keygen", FAIL, "is not installed: no signature can be verified", mend)
    else:
        yield Finding("ssh-keygen", OK, "is there")


def _keys(signers: Sequence[Signer], now: datetime) -> Iterator[Finding]:
    able = sorted({signer.login for signer in signers if signer.counts(now)})
    for signer in signers:
        if not signer.counts(now):
            over = signer.before is not None and now >= signer.before
            words = f"{signer.login}'s key {signer.fingerprint} {'counts no more' if over else 'does not count yet'}"
            yield Finding("keys", WARN, words, "change its line in `forge.keys`")
    if able:
        yield Finding("keys", OK, f"of {', '.join(able)}")
    else:
        mend = "add lines such as `ben ssh-ed25519 AAAA…` to `forge.keys`"
        yield Finding("keys", FAIL, "nobody has a key that counts: nothing can be approved", mend)


def _numbers(seen: Listing) -> Iterator[Finding]:
    for number, names in seen.pulls.items():
        if len(names) > 1:
            words = f"{' and '.join(names)} both are pull request {number}, which is not read"
            yield Finding("numbers", WARN, words, "rename or delete one of them")


def _pushing(remote: Remote, store: Store, seen: Listing) -> Finding:
    """Tried without sending anything."""
    base = seen.heads.get(seen.default)
    if base is None:
        return Finding(OURS, WARN, "cannot be tried before the first commit")
    target = f"{base}:refs/heads/{OURS}"
    done = attempt(store.mirror, "push", "--dry-run", "--no-verify", "--", remote.url, target, remote=remote)
    if done.returncode and b"non-fast-forward" not in done.stderr and b"fetch first" not in done.stderr:
        return told(OURS, failure("push", done.stderr, remote))
    return Finding(OURS, OK, "can be pushed" if OURS in seen.heads else "does not exist yet and can be pushed")
