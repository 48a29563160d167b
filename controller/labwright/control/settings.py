"""lab.yaml and the lab's own templates: read from the default branch whenever that moves; the last good ones stay in force while
new ones are bad."""

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from labwright.control.overrides import TEMPLATES, read_overrides
from labwright.control.world import World
from labwright.decide.overrides import listed
from labwright.decide.parse import parse_lab
from labwright.domain.errors import Invalid, LabError, Refused
from labwright.domain.lab import Lab
from labwright.domain.snapshot import Snapshot

T = TypeVar("T")
LAB_FILE = "lab.yaml"
_GOOD = "lab.yaml"  # cursor: JSON of the last good one


class Settings:
    def __init__(self, world: World) -> None:
        self.world = world
        self._seen: object = None  # object ids of what was read last
        ledger = world.book.ledger
        good, templates = ledger.cursor(_GOOD), ledger.cursor(TEMPLATES)
        if good is not None:  # what runs must be observed, whatever the repository says today
            try:
                self._adopt(Lab.model_validate_json(good), json.loads(templates or "{}"))
            except (LabError, OSError, ValueError) as error:  # of an older version, or a provider's folder is gone
                world.alarms.raise_(LAB_FILE, f"the settings in force until now cannot be taken up: {error}")

    def recover(self) -> None:
        """The turn that read it was not written."""
        self._seen = None

    def read(self, snapshot: Snapshot, default: str = "") -> bool:
        """True when the lab's settings are others than before. May raise Unavailable and OSError, and is asked again then."""
        world, wrong = self.world, dict[str, str]()
        entry = snapshot.entries.get(LAB_FILE)
        oid = entry.oid if entry else None
        seen = (oid, listed(snapshot))
        if seen == self._seen:
            return False
        lab = _good(LAB_FILE, wrong, lambda: self._lab(oid, default))
        templates = _good(TEMPLATES, wrong, lambda: read_overrides(world.repo, snapshot, world.shipped))
        if world.lab is None and wrong:
            lab = templates = None  # of the first ones, both must be good
        force, own = lab or world.lab, world.templates if templates is None else templates
        changed = lab is not None or own != world.templates
        if changed and force is not None:
            changed = _good(LAB_FILE, wrong, lambda: self._adopt(force, own)) or False
        self._seen = seen
        self._say(wrong)
        if changed and lab is not None:
            world.book.ledger.set_cursor(_GOOD, lab.model_dump_json(by_alias=True))
        if changed and templates is not None:
            world.book.ledger.set_cursor(TEMPLATES, json.dumps(templates))
        return changed

    def _lab(self, oid: str | None, default: str) -> Lab:
        lab = parse_lab(next(iter(self.world.repo.read([oid]))) if oid else b"", LAB_FILE)
        refuse_unsupported(lab, default)
        return lab

    def _say(self, wrong: Mapping[str, str]) -> None:
        before = self.world.lab is not None
        for what, stay in ((LAB_FILE, "the settings before it stay"), (TEMPLATES, "the templates before them stay")):
            if what in wrong:
                kept = f"{stay} in force" if before else "nothing is launched until it is mended"
                self.world.alarms.raise_(what, f"{wrong[what]}; {kept}")
            else:
                self.world.alarms.clear(what)

    def _adopt(self, lab: Lab, templates: Mapping[str, str]) -> bool:
        world = self.world
        providers = {}
        for name, settings in lab.providers.items():
            before = world.lab
            same = before is not None and before.providers.get(name) == settings and before.name == lab.name
            same = same and world.templates == templates
            provider = world.providers.get(name) if same else world.make_provider(name, lab, templates)
            if provider is not None:
                providers[name] = provider
        gone = {name: p for name, p in world.providers.items() if name not in providers}
        busy = {job.provider for job in world.book.live.values()}
        busy |= {attempt.provider for attempt in world.book.unpublished.values()}
        providers.update({name: p for name, p in gone.items() if name in busy})
        kept = {id(p) for p in providers.values()}
        replaced = [p for p in world.providers.values() if id(p) not in kept]
        world.providers = providers
        for provider in replaced:
            provider.close()
        if world.lab is None or world.lab.results != lab.results:
            world.results = world.make_results(lab)
        self._meet_forge(lab)
        world.lab, world.templates = lab, templates
        return True

    def _meet_forge(self, lab: Lab) -> None:
        world, before = self.world, self.world.lab
        if before is not None and _of_forge(before) == _of_forge(lab):
            return
        old, world.forge = world.forge, world.make_forge(lab) if lab.forge else None
        if old is not None:
            old.close()


def _of_forge(lab: Lab) -> object:
    """What a forge is made of; plain git has no labels but what the policy calls so."""
    policy = lab.policy.approve
    labels = (policy.label, policy.stop_label, policy.rerun_label, policy.smoke and policy.smoke.label)
    return lab.forge, lab.secrets, lab.results.signing_key, labels


def _good(what: str, wrong: dict[str, str], read: Callable[[], T]) -> T | None:
    """None for what is refused, and why in `wrong`."""
    try:
        return read()
    except Refused as error:
        wrong[what] = str(error) if isinstance(error, Invalid) else f"{what}: {error}"
        return None


def refuse_unsupported(lab: Lab, default: str = "") -> None:
    """Settings that this version reads and cannot honour yet are refused: a quota that nobody counts is worse than none."""
    later = {"policy.quotas": lab.policy.quotas is not None}
    if lab.watch.pull_requests and lab.forge is None:
        raise Refused("watch.pull_requests: lab.yaml does not say where they are", hint="add `forge` to it")
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
