"""Who signed a tag or a commit. Names and addresses in them are anybody's text and are not looked at.

git itself verifies, with ssh-keygen, against a file that holds the keys of lab.yaml and nothing else. What it says is read
strictly: a good signature by one known login, or nobody's. No other program ever runs: a commit that claims an OpenPGP or X.509
signature would otherwise have git start gpg on it."""

import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

from labwright.adapters.repos.git.run import attempt, failure
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.signers import Signer

_GOOD = re.compile(r'Good "git" signature for (\S+) with [A-Za-z0-9-]+ key (SHA256:[A-Za-z0-9+/=]+)\n?')
_LOG = ("log", "--no-walk=unsorted", "--stdin", "--no-color", "--no-show-signature", "--no-mailmap")
_FIELDS = "--format=tformat:%H%x00%G?%x00%GS%x00%GF%x00%ct"
MOST_KEPT = 50_000  # answers remembered
Signed = tuple[Signer, datetime]  # by which key, and when as its owner says


class Signatures:
    """Of objects that are in `mirror`. Answers are kept by object id: what an object is never changes, and which of the keys
    count is asked each time. Not safe for threads at once: the forge asks under its lock."""

    def __init__(self, mirror: Path, signers: Sequence[Signer], now: Callable[[], datetime]) -> None:
        self._mirror, self._now = mirror, now
        self._signers = {(signer.login, signer.fingerprint): signer for signer in signers}
        self._known: dict[str, Signed | None] = {}

    def of_commits(self, commits: Collection[str]) -> Mapping[str, str]:
        """Login of who signed each; empty for those that nobody known signed."""
        new = [commit for commit in commits if commit not in self._known]
        if new and self._signers:
            self._make_room()
            try:
                self._learn(new)
            except Refused:
                for commit in new:  # the one at fault alone is refused
                    self._learn([commit])
        return {commit: self._counts(self._known.get(commit)) for commit in commits}

    def _learn(self, commits: Collection[str]) -> None:
        with self._rules() as settings:
            asked = "".join(f"{commit}\n" for commit in commits).encode()
            done = attempt(self._mirror, *settings, *_LOG, _FIELDS, stdin=asked, timeout=600)
        _check(done, commits)
        for record in done.stdout.decode("utf-8", "replace").splitlines():
            commit, grade, login, key, at = record.split("\0")
            signer = self._signers.get((login, key)) if grade == "G" else None
            self._known[commit] = (signer, moment(at)) if signer else None

    def of_tag(self, tag: str, at: datetime) -> str:
        """Login of who signed this tag object, which says that it is of this moment; empty for nobody known."""
        if tag not in self._known:
            self._make_room()
            self._known[tag] = self._ask(tag, at) if self._signers else None
        return self._counts(self._known[tag])

    def _ask(self, tag: str, at: datetime) -> Signed | None:
        with self._rules() as settings:
            done = attempt(self._mirror, *settings, "verify-tag", "--raw", tag)
        _check(done, [tag], refusing=1)
        good = _GOOD.fullmatch(done.stderr.decode("utf-8", "replace")) if done.returncode == 0 else None
        if done.returncode == 0 and good is None:
            said = done.stderr.decode("utf-8", "replace").strip()[:200]
            raise Refused(f"what git says of the tag {tag[:12]} is not understood: {said!r}")
        signer = self._signers.get((good[1], good[2])) if good else None
        return (signer, at) if signer else None

    def _counts(self, signed: Signed | None) -> str:
        """By a key that is good now and was so at the date of the signature. The date alone proves nothing: with an old key in
        the wrong hands comes an old date."""
        if signed is None:
            return ""
        signer, at = signed
        return signer.login if signer.counts(self._now()) and signer.counts(at) else ""

    def _make_room(self) -> None:
        if len(self._known) > MOST_KEPT:
            self._known.clear()

    @contextmanager
    def _rules(self) -> Iterator[Sequence[str]]:
        """git's settings, with a file of the keys that is there for this one command (0600)."""
        descriptor, name = tempfile.mkstemp(prefix="allowed-signers-", dir=self._mirror.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.writelines(f"{signer.rule}\n" for signer in self._signers.values())
            settings = {
                "gpg.format": "ssh",
                "gpg.minTrustLevel": "fully",
                "gpg.ssh.program": "ssh-keygen",
                "gpg.ssh.allowedSignersFile": name,
                "gpg.program": "false",
                "gpg.x509.program": "false",
            }
            yield tuple(word for key, value in settings.items() for word in ("-c", f"{key}={value}"))
        finally:
            Path(name).unlink(missing_ok=True)


def _check(done: CompletedProcess[bytes], objects: Collection[str], *, refusing: int = 0) -> None:
    """What could not be verified at all is neither good nor bad, and must not be remembered as either. `refusing`: git's exit
    status for a signature that is not good."""
    if b"cannot run ssh-keygen" in done.stderr:
        raise Unavailable("ssh-keygen cannot be run", hint="install OpenSSH's client", retry_in=60)
    if done.returncode not in (0, refusing):
        shown = ", ".join(sha[:12] for sha in [*objects][:3])
        hint = "leave that commit or tag out"
        raise Refused(f"git cannot verify {shown}: {failure('verify', done.stderr).message}", hint=hint)


_LAST = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())


def moment(seconds: str) -> datetime:
    """Hostile objects carry any number."""
    return datetime.fromtimestamp(min(max(int(seconds[:20] or 0), 0), _LAST), UTC)
