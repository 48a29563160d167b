"""lab.yaml: read from the default branch whenever that moves; the last good one stays in force while a new one is bad."""

from labwright.control.world import World
from labwright.decide.parse import parse_lab
from labwright.domain.errors import Invalid, LabError, Refused
from labwright.domain.lab import Lab
from labwright.domain.snapshot import Snapshot

LAB_FILE = "lab.yaml"
_GOOD = "lab.yaml"  # cursor: JSON of the last good one


class Settings:
    def __init__(self, world: World) -> None:
        self.world = world
        self._oid: str | None = "unread"
        good = world.book.ledger.cursor(_GOOD)
        if good is not None:  # what runs must be observed, whatever the repository says today
            try:
                self._adopt(Lab.model_validate_json(good))
            except (LabError, OSError, ValueError) as error:  # of an older version, or a provider's folder is gone
                world.alarms.raise_(LAB_FILE, f"the settings in force until now cannot be taken up: {error}")

    def recover(self) -> None:
        """The turn that read it was not written."""
        self._oid = "unread"

    def read(self, snapshot: Snapshot, default: str = "") -> bool:
        """True when the lab's settings are others than before. May raise Unavailable and OSError, and is asked again then."""
        entry = snapshot.entries.get(LAB_FILE)
        oid = entry.oid if entry else None
        if oid == self._oid:
            return False
        try:
            data = next(iter(self.world.repo.read([oid]))) if oid else b""
            lab = parse_lab(data, LAB_FILE)
            refuse_unsupported(lab, default)
            self._adopt(lab)
        except Refused as error:
            what = str(error) if isinstance(error, Invalid) else f"{LAB_FILE}: {error}"
            kept = (
                "the settings before it stay in force" if self.world.lab else "nothing is launched until it is mended"
            )
            self.world.alarms.raise_(LAB_FILE, f"{what}; {kept}")
            self._oid = oid
            return False
        self._oid = oid
        self.world.alarms.clear(LAB_FILE)
        self.world.book.ledger.set_cursor(_GOOD, lab.model_dump_json(by_alias=True))
        return True

    def _adopt(self, lab: Lab) -> None:
        world = self.world
        providers = {}
        for name, settings in lab.providers.items():
            same = world.lab is not None and world.lab.providers.get(name) == settings
            provider = world.providers.get(name) if same else world.make_provider(name, settings)
            if provider is not None:
                providers[name] = provider
        gone = {name: p for name, p in world.providers.items() if name not in providers}
        busy = {job.provider for job in world.book.live.values()}
        busy |= {attempt.provider for attempt in world.book.unpublished.values()}
        providers.update({name: p for name, p in gone.items() if name in busy})
        world.providers = providers
        if world.lab is None or world.lab.results != lab.results:
            world.results = world.make_results(lab)
        world.lab = lab


def refuse_unsupported(lab: Lab, default: str = "") -> None:
    """Settings that this version reads and cannot honour yet are refused: a quota that nobody counts is worse than none."""
    later = {
        "watch.pull_requests": lab.watch.pull_requests,
        "policy.approve": lab.policy.approve is not None,
        "policy.quotas": lab.policy.quotas is not None,
    }
    if lab.results.branch in (
        *lab.watch.branches,
        default,
    ):  # a glob such as `*` leaves the results branch out by itself
        raise Refused(
            f"results.branch: {lab.results.branch} is a branch that people write",
            hint="results go to a branch of their own, such as lab-results",
        )
    used = [name for name, value in later.items() if value]
    if used:
        raise Refused(f"{', '.join(used)}: not available in this version of Labwright", hint="remove it from lab.yaml")
