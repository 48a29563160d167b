"""Owners of touched paths: CODEOWNERS of the base branch as it is now, where the policy counts them."""

from collections.abc import Collection, Mapping

from labwright.decide.approve import CODEOWNERS
from labwright.decide.codeowners import PLACES, Dialect, parse
from labwright.domain.lab import Lab
from labwright.domain.snapshot import Snapshot
from labwright.ports.repo import Repo

_DIALECTS: Mapping[str, Dialect] = {
    "github": "github", "gitlab": "gitlab", "forgejo": "forgejo", "gitea": "forgejo", "git": "github",
}  # fmt: skip
LARGEST = 3 << 20  # GitHub's own limit


def owners_of(repo: Repo, base: Snapshot, paths: Collection[str], lab: Lab) -> Mapping[str, frozenset[str]]:
    """Path → logins and `@org/team`s in lower case; a path that no rule names is anybody's, and not in here."""
    if lab.forge is None or CODEOWNERS not in lab.policy.approve.by:
        return {}
    dialect = _DIALECTS[lab.forge.type]
    place = next((path for path in PLACES[dialect] if path in base.entries), None)
    if place is None:
        return {}
    text = next(iter(repo.read([base.entries[place].oid], limit=LARGEST))).decode("utf-8", "replace")
    owners = parse(text, dialect)
    found = {path: owners.of(path) for path in sorted(paths)}
    return {path: names for path, names in found.items() if names is not None}
