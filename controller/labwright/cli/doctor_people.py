"""`lab doctor forge`: whether those whom lab.yaml lets approve are there, may write, and are enough."""

from collections.abc import Iterator

from labwright.cli.finding import FAIL, OK, WARN, Finding, told
from labwright.cli.terminal import clean
from labwright.decide.approve import CODEOWNERS
from labwright.domain.errors import LabError
from labwright.domain.forge import Role
from labwright.domain.lab import Lab
from labwright.domain.snapshot import Snapshot
from labwright.ports.forge import Forge

_WHERE = "policy.approve.by"
_SOME = 5  # names in one line


def people_findings(lab: Lab, forge: Forge, snapshot: Snapshot) -> Iterator[Finding]:
    policy = lab.policy.approve
    names = [name for name in policy.by if name != CODEOWNERS]
    able: set[str] = set()
    whole = bool(policy.by) and CODEOWNERS not in policy.by
    for name in names:
        try:
            yield _team(forge, name, able) if name.startswith("@") else _person(forge, name, able, _mend(lab))
        except LabError as error:
            whole = False
            yield told(f"{_WHERE}: {clean(name)}", error)
    if CODEOWNERS in policy.by:
        yield _code_owners(lab, snapshot)
    for bot in policy.bots:
        yield _bot(forge, bot)
    if whole:
        yield _enough(lab, able)


def _mend(lab: Lab) -> str:
    """Of a name that nobody has."""
    if lab.forge is not None and lab.forge.type == "git":
        return "spell it as in `forge.keys`, or add a key of theirs there"
    return "spell it as the forge does, or invite them"


def _person(forge: Forge, name: str, able: set[str], mend: str) -> Finding:
    role = next(iter(forge.roles([name]).values()), Role.NONE)
    what = f"{_WHERE}: {clean(name)}"
    if role is Role.NONE:
        return Finding(what, FAIL, "nobody of that name may see the repository", mend)
    if role < Role.WRITE:
        return Finding(
            what, FAIL, f"may only {_can(role)}: an approval would not count", "give them the right to write"
        )
    able.add(name.lower())
    return Finding(what, OK, "may approve")


def _team(forge: Forge, name: str, able: set[str]) -> Finding:
    members, what = forge.members(name), f"{_WHERE}: {clean(name)}"
    roles = forge.roles(sorted(members)) if members else {}
    writers = {login.lower() for login, role in roles.items() if role >= Role.WRITE}
    able |= writers
    if not writers:
        text = "none of its members may write here" if members else "it has no member"
        return Finding(what, FAIL, text, "give the team the right to write")
    if len(writers) < len(members):
        rest = sorted(clean(login) for login in members if login.lower() not in writers)
        some = ", ".join(rest[:_SOME]) + (" …" if len(rest) > _SOME else "")
        return Finding(
            what, WARN, f"{some} may not write: their approvals do not count", "give them the right to write"
        )
    return Finding(what, OK, f"{len(members)} who may approve")


def _bot(forge: Forge, name: str) -> Finding:
    what = f"policy.approve.bots: {clean(name)}"
    try:
        role = next(iter(forge.roles([name]).values()), Role.NONE)
    except LabError as error:
        return told(what, error)
    if role < Role.WRITE:
        return Finding(what, WARN, f"may {_can(role)}: what it says does not count", "give it the right to write")
    return Finding(what, OK, "may write")


def _can(role: Role) -> str:
    return {Role.NONE: "nothing", Role.READ: "read", Role.TRIAGE: "put labels on"}.get(role, "write")


def _code_owners(lab: Lab, snapshot: Snapshot) -> Finding:
    from labwright.decide.codeowners import PLACES, Dialect

    kind = lab.forge.type if lab.forge else ""
    dialect: Dialect = "github" if kind == "github" else "gitlab" if kind == "gitlab" else "forgejo"
    place = next((path for path in PLACES[dialect] if path in snapshot.entries), None)
    what = f"{_WHERE}: {CODEOWNERS}"
    if place is None:
        alone = set(lab.policy.approve.by) == {CODEOWNERS}
        so = "nobody may approve anything" if alone else "no path has an owner"
        text = f"the default branch has none of {', '.join(PLACES[dialect])}: {so}"
        return Finding(what, FAIL if alone else WARN, text, f"commit one, or take {CODEOWNERS} out of `by`")
    return Finding(what, OK, place)


def _enough(lab: Lab, able: set[str]) -> Finding:
    """Of those who are named, without owners of paths."""
    policy = lab.policy.approve
    more = policy.one_more_above
    most = policy.approvals + any(x is not None for x in (more.gpu_hours, more.jobs, more.num_nodes))
    what, mend = "approvers", f"name more people in `{_WHERE}`"
    said = f"{len(able)} may approve, and {policy.approvals} must"
    if len(able) < policy.approvals:
        return Finding(what, FAIL, f"{said}: no pull request can ever run", mend)
    if len(able) < most:
        return Finding(what, WARN, f"{said}, {most} of a large plan: that one can never run", mend)
    if len(able) == policy.approvals and not policy.self_approval:
        text = f"{said}: pull requests of {', '.join(sorted(map(clean, able))[:_SOME])} can never run"
        return Finding(what, WARN, text, f"{mend}, or set policy.approve.self_approval")
    return Finding(what, OK, said)
