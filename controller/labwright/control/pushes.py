"""Who moved a watched branch, and whether just anybody could have (R9): asked of the forge before anything of it is launched."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from labwright.control.world import World, later
from labwright.domain.errors import LabError, Unavailable
from labwright.ports.forge import Forge

UNKNOWN = "unknown"  # of whom a forge does not tell: an author's field is anybody's text


@dataclass(frozen=True, slots=True)
class Push:
    by: str
    held: str = ""  # why what it launches must be confirmed


class Pushes:
    def __init__(self, world: World) -> None:
        self.world = world
        self._known: dict[tuple[str, str], Push] = {}
        self.news = False  # since somebody looked
        self._again = world.now()
        self._forge: Forge | None = None

    def of(self, branch: str, commit: str) -> Push | None:
        """None: the forge has not said yet, and is being asked. Without a forge whoever may push may launch."""
        forge, lab = self.world.forge, self.world.lab
        if forge is None or lab is None:
            return Push("")
        if forge is not self._forge:
            self._known.clear()
            self._forge = forge
        known = self._known.get((branch, commit))
        now = self.world.now()
        if known is None and now >= self._again and not self.world.calls.busy("forge push"):
            call = partial(_ask, forge, branch, commit, lab.policy.push == "any")
            then = partial(self._learned, branch, commit)
            self.world.calls.start("forge push", call, then, self._unreachable)
        return known

    def due(self, now: datetime) -> datetime | None:
        return self._again if self._again > now else None

    def keep(self, tips: Mapping[str, str]) -> None:
        self._known = {key: push for key, push in self._known.items() if tips.get(key[0]) == key[1]}

    def _learned(self, branch: str, commit: str, push: Push) -> None:
        self.world.alarms.clear("forge push")
        self._known[branch, commit] = push
        self.news = True

    def _unreachable(self, error: Exception) -> None:
        words = str(error) if isinstance(error, LabError) else repr(error)
        if not isinstance(error, LabError):
            self.world.log.error("forge failed", error=repr(error), exc_info=error)
        self._again = later(self.world.now(), error.retry_in if isinstance(error, Unavailable) else 30.0)
        self.world.alarms.raise_("forge push", f"who pushed is not known: {words}; nothing new is launched until it is")


def _ask(forge: Forge, branch: str, commit: str, anybody: bool) -> Push:
    by = forge.pusher(branch, commit) or UNKNOWN
    if anybody or (protection := forge.protection(branch)).on:
        return Push(by)
    more = f" ({protection.words})" if protection.words else ""
    return Push(by, f"{branch} is not protected at the forge{more}: anybody who may write could have pushed this")
