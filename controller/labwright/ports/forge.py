"""Where pull requests live. Everything may be asked as often as one likes: an adapter keeps what it knows to be unchanged."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from labwright.domain.finding import Finding
from labwright.domain.forge import Features, Person, Protection, Pull, Role, Status, Talk


class Forge(Protocol):
    """All methods raise Unavailable (try again later: nothing happened), Refused (a human must change something: the token, its
    rights, the address) and, those that write, OutcomeUnknown (it may have happened). Permissions that cannot be read are never
    guessed: they raise."""

    @property
    def features(self) -> Features: ...

    def me(self) -> Person:
        """Whose token it is: comments of this person are our own, and never commands."""
        ...

    def pulls(self) -> Sequence[Pull]:
        """Every open pull request of the lab repository. When nothing changed since it was asked last: one request."""
        ...

    def talk(self, number: int) -> Talk:
        """As it is now, never from a cache that the forge was not asked about; closed ones too."""
        ...

    def roles(self, logins: Collection[str]) -> Mapping[str, Role]:
        """As they are now; NONE for people who are not known."""
        ...

    def members(self, team: str) -> frozenset[str]:
        """Logins of `@org/team`. Raises Refused where there is none or it may not be read."""
        ...

    def protection(self, branch: str) -> Protection: ...

    def pusher(self, branch: str, commit: str) -> str:
        """Login of who moved the branch there; empty where the forge does not say."""
        ...

    def comment(self, number: int, body: str, replaces: str = "") -> str:
        """Write a comment, or write one of ours anew; its id. Raises Refused where that one is gone or not ours."""
        ...

    def set_status(self, commit: str, status: Status) -> None:
        """In place of the one of the same context."""
        ...

    def unlabel(self, number: int, label: str) -> None:
        """No error where it is not on."""
        ...

    def add_labels(self, labels: Mapping[str, str]) -> Sequence[str]:
        """Make these labels available (name → what it is for); those that are new."""
        ...

    def add_hook(self, url: str, secret: str) -> bool:
        """Have deliveries sent there, signed with the secret; False where that hook was there and is as it should be."""
        ...

    def examine(self, labels: Collection[str], hook: str, branches: Collection[str]) -> Sequence[Finding]:
        """For `lab doctor forge`: address, token, what it may do, labels, hook (empty: none is wanted), protection of branches."""
        ...

    def close(self) -> None: ...
