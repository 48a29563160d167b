"""Whether a pull request may spend compute: a label or a command only asks; people who may approve exactly this plan let it run
(DESIGN §9, docs/threat-model.md R1-R8, R12)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from labwright.decide.commands import Verb, parse_commands
from labwright.domain.errors import Refused
from labwright.domain.forge import Comment, Labelling, Opinion, Person, Review, Role, Talk
from labwright.domain.policy import Approve
from labwright.domain.pull_page import Gate

CODEOWNERS = "CODEOWNERS"  # in policy.approve.by: owners of every touched path
MOST_PEOPLE = 200  # whose roles are asked for; of a pull request with more nothing runs
WHOLE = 40  # digits that approve: whoever pushes can make another commit that begins as a few digits do


@dataclass(frozen=True, slots=True)
class Offer:
    """What would be let run."""

    digest: str
    heads: frozenset[str]  # commits of this pull request that ask for exactly this
    gpu_hours: float = 0.0
    jobs: int = 0
    nodes: int = 1  # of the largest job
    owners: Mapping[str, frozenset[str]] = field(
        default_factory=dict
    )  # touched path → logins and `@org/team`s (CODEOWNERS)
    shut: str = ""  # what it lacks before anybody may say yes at all

    def is_named(self, text: str) -> bool:
        """By the start of its digest, or of a commit that asks for it."""
        return any(name.startswith(text) for name in (self.digest, *self.heads))


@dataclass(frozen=True, slots=True)
class People:
    """As the forge says now. Logins as `folded` writes them."""

    me: str
    roles: Mapping[str, Role]
    teams: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Judgement:
    gates: tuple[Gate, ...]
    asked_by: str = ""
    approvers: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()  # ids of reviews and comments
    void: str = ""  # why an approval that was there counts no more

    @property
    def approved(self) -> bool:
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def why_not(self) -> str:
        """Empty of what is approved."""
        lacking = [gate.words for gate in self.gates if not gate.passed]
        return "" if self.approved else f"waits for {'; '.join(lacking) or 'a look at it'}"


def who_matters(talk: Talk, policy: Approve, owners: Iterator[str] | Collection[str] = ()) -> tuple[set[str], set[str]]:
    """(logins whose roles, teams whose members) `judge` needs to know. Raises Refused where there are too many of them."""
    labels = {policy.label, policy.stop_label, policy.rerun_label, policy.smoke.label if policy.smoke else policy.label}
    acted = [x.by for x in talk.reviews if x.opinion is not Opinion.COMMENT]
    acted += [x.by for x in talk.labellings if x.label in labels]
    acted += [x.by for x in commands_of(talk)]
    logins = {folded(person.login) for person in acted if person.login}
    if len(logins) > MOST_PEOPLE:
        raise Refused(
            f"{len(logins)} people reviewed it or gave orders, and {MOST_PEOPLE} are asked about at most",
            hint="open another pull request for this branch",
        )
    return logins, {name.lower() for name in (*policy.by, *owners) if name.startswith("@")}


def folded(login: str) -> str:
    """As logins are compared: without case, where that is sure. `str.lower` reads a Kelvin sign as a k, and one person as another."""
    return login.lower() if login.isascii() else login


def judge(talk: Talk, policy: Approve, offer: Offer, people: People) -> Judgement:
    """Pure, and of nothing but what is true now: asked again just before each submission."""
    asking = _Asking(talk, policy, people)
    approving = _Approving(talk, policy, offer, people)
    asked_by = asking.by(offer)
    gates = [_may_run(talk, offer), asking.gate(asked_by), *approving.gates()]
    approvers = approving.approvers
    return Judgement(
        gates=tuple(gate for gate in gates if gate is not None),
        asked_by=asked_by,
        approvers=tuple(sorted(approvers)),
        evidence=tuple(sorted(evidence for found in approvers.values() for evidence in found)),
        void=approving.void(),
    )


def judge_smoke(talk: Talk, policy: Approve, offer: Offer, people: People) -> Judgement:
    """Of a smoke run: asked for by its own label alone, and approved as the whole run is where the policy says so."""
    smoke = policy.smoke
    if smoke is None:
        return Judgement((Gate("request", False, "`smoke` in lab.yaml's policy.approve"),))
    own = policy.model_copy(update={"label": smoke.label})
    asking, approving = _Asking(talk, own, people, by_command=False), _Approving(talk, own, offer, people)
    asked_by = asking.by(offer)
    gates = [_may_run(talk, offer), asking.gate(asked_by), *(approving.gates() if smoke.review else ())]
    approvers = approving.approvers if smoke.review else {}
    evidence = sorted(evidence for found in approvers.values() for evidence in found)
    return Judgement(tuple(gates), asked_by, tuple(sorted(approvers)), tuple(evidence))


def _may_run(talk: Talk, offer: Offer) -> Gate:
    pull = talk.pull
    if pull.fork:
        return Gate("place", False, "a branch of this repository: forks never launch")
    if not pull.open:
        return Gate("place", False, "nothing: it is merged" if pull.merged else "somebody to reopen it")
    if offer.shut:
        return Gate("place", False, offer.shut)
    return Gate("place", True, "a branch of this repository")


@dataclass(frozen=True, slots=True)
class _Asking:
    talk: Talk
    policy: Approve
    people: People
    by_command: bool = True

    def by(self, offer: Offer) -> str:
        """Who asks, rightfully; the newest of them."""
        asks: list[tuple[datetime, str]] = []
        put = self._put_on()
        if put is not None and self._counts(put.by, put.at):
            asks.append((put.at, put.by.login))
        for comment in commands_of(self.talk, Verb.RUN) if self.by_command else ():
            fits = any(not digits or offer.is_named(digits) for digits in _named(comment))
            if fits and self._counts(comment.by, comment.at):
                asks.append((comment.at, comment.by.login))
        return max(asks)[1] if asks else ""

    def gate(self, by: str) -> Gate:
        if by:
            return Gate("request", True, f"asked for by {by}")
        label = self.policy.label
        put = self._put_on()
        if put is None and label in self.talk.pull.labels:
            return Gate("request", False, f"the label `{label}` once more: it was there from the start")
        if put is None:
            return Gate("request", False, f"the label `{label}`" + (", or `/lab run`" if self.by_command else ""))
        why = why_no_say(put.by, put.at, self.talk, self.policy, self.people)
        return Gate(
            "request", False, f"the label `{label}` by somebody who may: it was put on by {put.by.login}, {why}"
        )

    def _put_on(self) -> Labelling | None:
        """A label that is on without anybody having put it there was there from the start, and asks for nothing (R6)."""
        label = self.policy.label
        if label not in self.talk.pull.labels:
            return None
        theirs = sorted((x for x in self.talk.labellings if x.label == label), key=lambda x: x.at)
        return theirs[-1] if theirs and theirs[-1].on else None

    def _counts(self, person: Person, at: datetime) -> bool:
        return not why_no_say(person, at, self.talk, self.policy, self.people)


def why_no_say(person: Person, at: datetime, talk: Talk, policy: Approve, people: People) -> str:
    """Why somebody's word does not count at all; empty where it does."""
    login = folded(person.login)
    if not login:
        return "whose account is gone"
    if login == folded(people.me):
        return "which is Labwright itself"
    if person.bot and login not in _lower(policy.bots):
        return "a bot"
    if talk.reset is not None and at <= talk.reset:
        return "before it was reopened, made ready or aimed at another branch"
    if people.roles.get(login, Role.NONE) < Role.WRITE:
        return f"who may only {_MAY[people.roles.get(login, Role.NONE)]} here"
    return ""


_MAY = {Role.NONE: "look from outside", Role.READ: "read", Role.TRIAGE: "triage"}


@dataclass(frozen=True, slots=True)
class _Approving:
    talk: Talk
    policy: Approve
    offer: Offer
    people: People

    @property
    def approvers(self) -> dict[str, list[str]]:
        """Login → ids of what they said, of those whose approval counts."""
        found: dict[str, list[str]] = {}
        for login, review in self._opinions().items():
            if (
                review.opinion is Opinion.APPROVED
                and review.commit in self.offer.heads
                and self._may(review.by, review.at)
            ):
                found.setdefault(login, []).append(f"review {review.id}")
        for comment in self._digests():
            if self._may(comment.by, comment.at):
                found.setdefault(folded(comment.by.login), []).append(f"comment {comment.id}")
        return found

    def gates(self) -> list[Gate]:
        vetoes = [
            login for login, x in self._opinions().items() if x.opinion is Opinion.CHANGES and self._may(x.by, x.at)
        ]
        approvers, needed = self.approvers, self._needed()
        head = self.talk.pull.head[:10]
        lacking = needed - len(approvers)
        of_whom = f" by {_any_of(self.policy.by)}" if self.policy.by else " by somebody who may write"
        reviews = f"{lacking} approving review{'s' if lacking != 1 else ''} of {head}"
        words = f"{reviews}{of_whom}" + self._near_misses()
        if lacking <= 0:
            words = f"approved by {', '.join(sorted(approvers))}"
        gates = [Gate("approval", lacking <= 0, words)]
        if vetoes:
            gates.append(Gate("changes", False, f"the changes that {', '.join(sorted(vetoes))} asked for"))
        if CODEOWNERS in self.policy.by:
            gates.append(self._owned(set(approvers)))
        return gates

    def void(self) -> str:
        """Approvals of other commits, whose plan was another one."""
        old = [
            x for x in self._opinions().values() if x.opinion is Opinion.APPROVED and x.commit not in self.offer.heads
        ]
        old = [x for x in old if self._may(x.by, x.at)]
        if not old or self.approvers:
            return ""
        given = ", ".join(f"{x.by.login}'s of {x.commit[:10] or 'no commit'}" for x in old)
        return f"what was approved is not what is there now: {given}, and the plan of {self.talk.pull.head[:10]} is another"

    def _opinions(self) -> dict[str, Review]:
        """The newest of each person that is not a mere remark."""
        newest: dict[str, Review] = {}
        for review in sorted(self.talk.reviews, key=lambda x: x.at):
            if review.opinion is not Opinion.COMMENT:
                newest[folded(review.by.login)] = review
        return newest

    def _digests(self) -> Iterator[Comment]:
        """Comments that name the whole of the plan's digest or of a commit: as good as a review of it."""
        for comment in commands_of(self.talk, Verb.RUN):
            if any(len(digits) >= WHOLE and self.offer.is_named(digits) for digits in _named(comment)):
                yield comment

    def _may(self, person: Person, at: datetime) -> bool:
        return not self._why_not(person, at)

    def _why_not(self, person: Person, at: datetime) -> str:
        login = folded(person.login)
        if why := why_no_say(person, at, self.talk, self.policy, self.people):
            return why
        wrote = {folded(self.talk.pull.author.login), *_lower(self.talk.committers)}
        if login in wrote and not self.policy.self_approval:
            return "who wrote it"
        if not self._listed(login):
            return "who is not among those who may approve"
        return ""

    def _listed(self, login: str) -> bool:
        named = _lower(self.policy.by)
        if not named or login in named:
            return True
        if any(login in self.people.teams.get(name, ()) for name in named if name.startswith("@")):
            return True
        return CODEOWNERS.lower() in named and any(self._owns(login, owners) for owners in self.offer.owners.values())

    def _owned(self, approvers: Collection[str]) -> Gate:
        lacking = [
            path
            for path, owners in self.offer.owners.items()
            if not any(self._owns(login, owners) for login in approvers)
        ]
        if not lacking:
            return Gate("owners", True, "an owner of every touched path approved")
        owners = (
            _any_of(sorted(self.offer.owners[lacking[0]]))
            if self.offer.owners[lacking[0]]
            else "nobody: it has no owner"
        )
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return Gate("owners", False, f"approval by an owner of {lacking[0]}{more}: {owners}")

    def _owns(self, login: str, owners: frozenset[str]) -> bool:
        return login in owners or any(login in self.people.teams.get(x, ()) for x in owners if x.startswith("@"))

    def _needed(self) -> int:
        above, offer = self.policy.one_more_above, self.offer
        amounts = ((above.gpu_hours, offer.gpu_hours), (above.jobs, offer.jobs), (above.num_nodes, offer.nodes))
        return self.policy.approvals + any(limit is not None and is_ > limit for limit, is_ in amounts)

    def _near_misses(self) -> str:
        """Approvals that are there and do not count, and why."""
        misses = []
        for review in self._opinions().values():
            if review.opinion is Opinion.APPROVED:
                why = self._why_not(review.by, review.at)
                if not why and review.commit not in self.offer.heads:
                    why = f"which is for {review.commit[:10] or 'no commit'}"
                if why:
                    misses.append(f"{review.by.login}'s does not count: {why.removeprefix('which is ')}")
        for comment in commands_of(self.talk, Verb.RUN):
            short = [x for x in _named(comment) if x and len(x) < WHOLE and self.offer.is_named(x)]
            if short and self._may(comment.by, comment.at):
                misses.append(f"{comment.by.login}'s `/lab run {short[0]}` asks only: all digits of it approve")
        return f" ({'; '.join(misses)})" if misses else ""


def commands_of(talk: Talk, *verbs: Verb) -> Iterator[Comment]:
    """Comments with such a command, or with any. Edited ones never command (R8)."""
    for comment in talk.comments:
        found = parse_commands(comment.body) if not comment.edited and "/lab" in comment.body else ()
        if any((not verbs or c.verb in verbs) and not (verbs and c.problem) for c in found):
            yield comment


def _named(comment: Comment) -> list[str]:
    """Digits that its `/lab run`s name; empty ones where they name none."""
    return [c.argument for c in parse_commands(comment.body) if c.verb is Verb.RUN and not c.problem]


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" or {names[-1]}"


def _lower(names: Collection[str]) -> set[str]:
    return {folded(name) for name in names}
