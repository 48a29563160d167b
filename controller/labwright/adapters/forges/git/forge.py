"""Pull requests of a bare repository: `pull/<number>` branches, which people approve with tags that they signed.

docs/spec/forge-git.md says how to use it, docs/adr/0013-plain-git.md why it is so."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from labwright.adapters.forges.git import words
from labwright.adapters.forges.git.desk import Branch, Desk, comment_path
from labwright.adapters.forges.git.examine import examine
from labwright.adapters.forges.git.refs import OURS, Listing, interest, listing, shared
from labwright.adapters.forges.git.signatures import Signatures
from labwright.adapters.forges.git.store import Store
from labwright.adapters.forges.git.words import COMMANDS, ME, Labels, Words
from labwright.adapters.repos.git import commits
from labwright.adapters.repos.git.remotes import Remote, parse_remote
from labwright.domain.errors import Refused
from labwright.domain.finding import Finding
from labwright.domain.forge import Comment, Features, Person, Protection, Pull, Role, Status, Talk
from labwright.domain.forms import Fault
from labwright.domain.signers import parse_signers
from labwright.ports.clock import Clock

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SPEC = "docs/spec/forge-git.md says how"


class GitForge:
    """`mirror`: a bare repository that objects are brought into, made when missing; best the one that the lab repository is
    mirrored in. `branch` writes `lab-pulls`. `keys`: lines of an allowed_signers file; raises Refused for bad ones."""

    features = Features(comment_chars=500_000, words_chars=1_000, hooks=False, commands=COMMANDS)

    def __init__(
        self,
        remote: str | Path,
        mirror: Path,
        branch: Branch,
        keys: Sequence[str],
        clock: Clock,
        *,
        labels: Labels | None = None,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            self._signers = parse_signers(keys)
        except Fault as fault:
            where = "".join(f"[{at}]" for at in fault.at)
            raise Refused(f"forge.keys{where} {fault.message}", hint=fault.hint) from fault
        self._remote: Remote = parse_remote(remote)
        self._clock, self._closing = clock, closing
        self._labels = labels or Labels()
        self._store = Store(mirror, self._remote)
        self._signatures = Signatures(mirror, self._signers, clock.now)
        self._words = Words(self._store, self._signatures)
        self._desk = Desk(mirror, branch)
        self._lock = threading.RLock()
        self._writing = threading.Lock()  # what is read before it is written is still so when it is
        self._pulls: dict[int, tuple[object, Pull]] = {}  # as listed last, by what they were made of

    def me(self) -> Person:
        return ME

    def pulls(self) -> Sequence[Pull]:
        """A number that two branches claim is listed, so that it is seen, and cannot be read."""
        with self._lock:
            now = self._look(())
            claimed = sorted(now.pulls)
            with contextlib.suppress(Refused):  # one that git does not take is met again, by itself
                self._bring(now, claimed)
            found = [self._listed(now, number) for number in claimed]
            self._pulls = {number: self._pulls[number] for number in claimed}
        return [pull for pull in found if pull.open]

    def talk(self, number: int) -> Talk:
        with self._lock:
            now = self._look((number,))
            return self._told(now, number)

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        """Whoever has a key that counts may write; nobody else is anybody."""
        now = self._clock.now()
        able = {signer.login.lower() for signer in self._signers if signer.counts(now)}
        return {login: Role.WRITE if login.lower() in able else Role.NONE for login in logins}

    def members(self, team: str) -> frozenset[str]:
        raise Refused(f"there is no team {team[:100]}: plain git knows none", hint="name the people, as `keys` does")

    def protection(self, branch: str) -> Protection:
        return Protection(False, "plain git tells of no protection")

    def pusher(self, branch: str, commit: str) -> str:
        """Who signed that commit, while the branch is there. Who sent it, git does not know."""
        with self._lock:
            now = self._look(())
            if now.heads.get(branch) != commit:
                return ""
            self._store.bring([(f"refs/heads/{branch}", commit)])
            return self._signatures.of_commits([commit])[commit]

    # what we write

    def comment(self, number: int, body: str, replaces: str = "") -> str:
        if len(body) > self.features.comment_chars:
            raise Refused(f"a comment of {len(body):,} characters is over {self.features.comment_chars:,}")
        id = comment_path(number)
        with self._writing:
            with self._lock:
                now = self._look((number,))
                if number not in now.pulls and not self._store.kept(number):
                    raise self._unknown(number)
                if replaces and (replaces != id or not self._desk.is_there(id)):
                    raise Refused(f"there is no comment {replaces[:100]} of ours at pull request {number}")
            self._desk.write_comment(number, body)
        return id

    def set_status(self, commit: str, status: Status) -> None:
        if not _COMMIT.fullmatch(commit):
            raise Refused(f"{commit[:80]!r} is no full commit id")
        with self._writing:
            with self._lock:
                now = self._look(())
                ours = (n for n, names in now.pulls.items() if any(now.heads[name] == commit for name in names))
                number = min(ours, default=None)
            self._desk.write_status(commit, status, number)

    def unlabel(self, number: int, label: str) -> None:
        """A tag is its signer's, and stays; that its label was taken off is written down beside our comment."""
        with self._writing:
            with self._lock:
                now = self._look((number,))
                spent = self._desk.spent(number)
                off = [word.id for word in self._words.tags(now, number) if self._labels.of(word.kind) == label]
            if set(off) - spent:
                self._desk.write_spent(number, off)

    def add_labels(self, labels: Mapping[str, str]) -> Sequence[str]:
        raise Refused("plain git has no labels: signed tags take their place", hint=_SPEC)

    def add_hook(self, url: str, secret: str) -> bool:
        raise Refused("plain git sends no deliveries: `lab serve` looks every `forge.poll`", hint="leave --hook out")

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> Sequence[Finding]:
        now = self._clock.now()
        return [*examine(self._remote, self._store, self._signers, now, hook, branches)]

    def close(self) -> None:
        with self._lock:
            self._desk.close()
        self._closing()

    # how it is read

    def _look(self, numbers: Collection[int]) -> Listing:
        """The remote is asked once; what these pull requests are made of is here then, and our own branch."""
        now = listing(self._remote)
        self._bring(now, numbers)
        self._desk.look(now.heads.get(OURS, ""))
        return now

    def _bring(self, now: Listing, numbers: Collection[int]) -> None:
        self._store.open()
        wanted = dict(shared(now))
        for number in numbers:
            tags = len(now.tags.get(number, {})) <= words.MOST_TAGS  # more are not read either
            wanted.update(interest(now, number, tags=tags))
        self._store.bring(wanted.items())
        self._store.keep({n: now.heads[now.pulls[n][0]] for n in numbers if n in now.pulls})

    def _listed(self, now: Listing, number: int) -> Pull:
        made_of = (self._updated(now, number), now.heads.get(now.default))
        known = self._pulls.get(number)
        if known is None or known[0] != made_of:
            try:
                self._bring(now, (number,))
                pull = self._told(now, number).pull
            except Refused:  # whoever reads it is told why
                names = now.pulls[number]
                pull = self._pull(now, number, now.heads[names[0]], ", ".join(names), Person(""))
            self._pulls[number] = (made_of, pull)
        return self._pulls[number][1]

    def _told(self, now: Listing, number: int) -> Talk:
        names = now.pulls.get(number, ())
        if len(names) > 1:
            raise Refused(f"{' and '.join(names)} both are pull request {number}", hint="rename or delete one of them")
        head = now.heads[names[0]] if names else self._store.kept(number)
        if not head:
            raise self._unknown(number)
        base = now.heads.get(now.default)
        tags, said = self._words.tags(now, number), self._words.said(base, now, number)
        own = self._words.own(base, head, number)
        signed = self._signatures.of_commits({head, *(commit.sha for commit in own)})
        title = own[0].subject if own else self._subject(head)
        spent = self._desk.spent(number)
        pull = self._pull(
            now,
            number,
            head,
            names[0] if names else f"pull/{number}",
            Person(signed[head]),
            title=title,
            labels=words.on(tags, self._labels, spent),
            open=bool(names and own),
            merged=not own,
        )
        return Talk(
            pull,
            reviews=words.reviews_of(tags, said, head),
            labellings=words.labellings_of(tags, self._labels, spent),
            comments=(*words.comments_of(tags, said, pull.url), *self._ours(number, pull.url)),
            committers=frozenset(signed.values()) - {""},
        )

    def _pull(self, now: Listing, number: int, head: str, branch: str, author: Person, **more: object) -> Pull:
        return Pull(
            number=number,
            head=head,
            head_branch=branch,
            author=author,
            ref=f"refs/heads/{branch}",
            base=now.default,
            url=f"{self._remote.shown}#pull/{number}",
            updated=self._updated(now, number),
            **{"title": branch, **more},  # type: ignore[arg-type]
        )

    def _updated(self, now: Listing, number: int) -> str:
        counts = [signer.counts(self._clock.now()) for signer in self._signers]
        parts = (sorted(interest(now, number)), self._desk.mark(number), now.default, counts)
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def _subject(self, commit: str) -> str:
        return commits.named(self._store.mirror, [commit], {})[commit].subject

    def _ours(self, number: int, url: str) -> Sequence[Comment]:
        body = self._desk.comment(number)
        when = datetime.fromtimestamp(0, UTC)  # what we write is never obeyed, and so never weighed by its date
        return () if body is None else (Comment(comment_path(number), ME, body, when, url=url),)

    def _unknown(self, number: int) -> Refused:
        return Refused(f"there is no pull request {number}", hint=f"it is a branch pull/{number}; {_SPEC}")
