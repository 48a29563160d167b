"""What an attempt is called: its token and Slurm's own id of it, `lab-abcdefghijkl-1@123_7`, its
place among those that share an allocation (`…@123_7.2-8`), and whose it is (`…@123_7/ada`)."""

import re
from dataclasses import dataclass

from labwright.domain.ids import Handle, Token

_HANDLE = re.compile(
    r"(?P<token>[A-Za-z0-9][A-Za-z0-9.-]{0,200})@(?P<job>[0-9]{1,12})(_(?P<index>[0-9]{1,9}))?"
    r"(\.(?P<slot>[0-9]{1,6})-(?P<of>[1-9][0-9]{0,5}))?(/(?P<user>[A-Za-z0-9_][A-Za-z0-9._@\\-]*\$?))?"
)


@dataclass(frozen=True, slots=True)
class Known:
    token: Token
    job: str  # Slurm's job id: of the whole array where it is an element's
    index: int | None = None  # of the array
    user: str = ""  # empty: the provider's own
    slot: int = 0  # its place in a packed allocation, …
    of: int = 1  # … which so many trials share

    @property
    def id(self) -> str:
        return self.job if self.index is None else f"{self.job}_{self.index}"

    @property
    def handle(self) -> Handle:
        shared = f".{self.slot}-{self.of}" if self.of > 1 else ""
        return Handle(f"{self.token}@{self.id}{shared}" + (f"/{self.user}" if self.user else ""))


def parse(handle: str) -> Known | None:
    """None for what no attempt of ours can be called."""
    found = _HANDLE.fullmatch(handle)
    if found is None:
        return None
    index = None if found["index"] is None else int(found["index"])
    return Known(
        Token(found["token"]), found["job"], index, found["user"] or "", int(found["slot"] or 0), int(found["of"] or 1)
    )
