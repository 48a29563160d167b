"""What the forge suite works on: a forge, and people who act there as people do."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from labwright.domain.forge import Opinion, Role, Status
from labwright.ports.forge import Forge


class ForgeWorld(Protocol):
    """A lab repository with a commit on `main` and no pull request. ada administers it, ben, cleo and dora may write, mallory
    may read, and nobody is called nemo. Whoever acts is named by their login."""

    @property
    def forge(self) -> Forge:
        """With our own token, which may all that it needs."""
        ...

    def away(self) -> Forge:
        """The same, but its server cannot be reached."""
        ...

    def stranger(self) -> Forge:
        """The same, with a token that the server does not know."""
        ...

    def settle(self) -> None:
        """Until what happened is so long ago that `Pull.updated` changes no more on its account."""
        ...

    # pull requests

    def open(self, by: str = "cleo", *, title: str = "Change", base: str = "main", fork: bool = False) -> int:
        """With one commit, by the same person; its number."""
        ...

    def push(self, number: int, by: str) -> str:
        """One commit more at the head; its id."""
        ...

    def rename(self, number: int, title: str, by: str) -> None: ...
    def aim(self, number: int, base: str, by: str) -> None:
        """At another branch, which is made if need be."""
        ...

    def shut(self, number: int, by: str) -> None: ...
    def reopen(self, number: int, by: str) -> None: ...
    def merge(self, number: int, by: str) -> None: ...

    # what is said about them

    def put_label(self, number: int, label: str, by: str, *, on: bool = True) -> None:
        """The label is made if need be."""
        ...

    def review(self, number: int, by: str, opinion: Opinion = Opinion.APPROVED) -> str:
        """Of its head; its id."""
        ...

    def dismiss(self, number: int, review: str, by: str) -> None: ...
    def write(self, number: int, body: str, by: str) -> str:
        """A comment; its id."""
        ...

    def edit(self, number: int, comment: str, body: str, by: str) -> None: ...
    def erase(self, number: int, comment: str, by: str) -> None: ...

    # who may do what

    def let(self, login: str, role: Role) -> None: ...
    def make_team(self, name: str, members: Collection[str]) -> str:
        """`@org/team`, such that our token may read its members."""
        ...

    def protect(self, branch: str, *, reviews: int = 0, pushers: Sequence[str] = ()) -> None:
        """Nobody pushes but these; merging takes so many reviews."""
        ...

    def commit(self, by: str, branch: str = "main") -> str:
        """Pushed straight to the branch; its id."""
        ...

    # what the forge shows

    def statuses(self, commit: str) -> Mapping[str, Status]:
        """By context, the newest of each."""
        ...

    def labels(self) -> Collection[str]: ...
    def hooks(self) -> Sequence[str]:
        """URLs."""
        ...
