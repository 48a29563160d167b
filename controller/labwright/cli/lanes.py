"""Pull requests: as people type them, where their pages are, and what the running controller says of them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labwright.cli.look import Look, Row, listed
from labwright.domain.errors import LabError
from labwright.domain.forge import LANE, is_smoke, lane_of, number_of
from labwright.domain.lifecycle import LIVE

if TYPE_CHECKING:
    from labwright.domain.lab_forge import Forge

_TYPED = re.compile(rf"(?:{LANE}|#|!)([0-9]{{1,9}})")
_PAGES = {"github": "{home}/{repo}/pull/{number}", "gitlab": "{home}/{repo}/-/merge_requests/{number}"}
_PAGE = "{home}/{repo}/pulls/{number}"  # Forgejo, Gitea


def lane_in(text: str | None) -> str | None:
    """`pull:7` of `pull:7`, of `#7` and, as GitLab writes it, of `!7`; None of anything else."""
    found = _TYPED.fullmatch((text or "").strip())
    return lane_of(int(found[1])) if found else None


def where(look: Look, branch: str | None) -> str:
    """A branch's name, or `pull request 7 (https://…)`, as far as the settings in force say where that is."""
    number = number_of(branch or "")
    if number is None:
        return branch or ""
    page = page_of(look, number)
    return f"pull request {number}" + (f" ({page})" if page else "")


def page_of(look: Look, number: int) -> str:
    """Its address; empty where no forge is known."""
    forge = _forge(look)
    if forge is None or forge.repo is None:
        return ""
    return _PAGES.get(forge.type, _PAGE).format(home=forge.address, repo=forge.repo, number=number)


def _forge(look: Look) -> "Forge | None":
    from labwright.domain.lab import Lab

    text = look.ledger.cursor("lab.yaml") if look.ledger else None
    try:
        return Lab.model_validate_json(text).forge if text else None
    except ValueError:  # of another version
        return None


def told(look: Look) -> Mapping[int, Row] | None:
    """Number → what the running controller says of that pull request (control/status.py). None where none answers."""
    if not look.live or not look.place.socket.exists():
        return None
    from labwright.web.client import status

    try:
        return by_number(status(look.place.socket))
    except LabError:
        return None


def by_number(said: Mapping[str, Any]) -> Mapping[int, Row]:
    return {row["number"]: row for row in said.get("pulls", ())}


def jobs_by_state(look: Look, numbers: Sequence[int]) -> Mapping[int, dict[str, int]]:
    """Of jobs that these pull requests launched: what the ledger knows of live ones is newer than the records."""
    lanes = [lane for number in numbers for lane in lanes_with(lane_of(number))]
    if not lanes or look.ledger is None:
        return {}
    states: dict[str, tuple[str, str]] = {}
    try:
        for row in look.rows(f"SELECT job, branch, state FROM jobs WHERE branch IN ({listed(lanes)})"):  # noqa: S608
            states[row["job"]] = (row["branch"], row["state"])
    except LabError:
        states = {job.id: (job.branch, str(job.state)) for job in look.ledger.jobs() if job.branch in lanes}
    for job in look.ledger.jobs(states=LIVE):
        if job.branch in lanes:
            states[job.id] = (job.branch, str(job.state))
    found: dict[int, dict[str, int]] = {}
    for (lane, state), count in Counter(states.values()).items():
        number = number_of(lane)
        assert number is not None  # noqa: S101  # it is one of those asked for
        by_state = found.setdefault(number, {})
        by_state[state] = by_state.get(state, 0) + count
    return found


def lanes_with(lane: str) -> tuple[str, ...]:
    """Of a pull request: it, and its smoke run."""
    number = number_of(lane)
    return (lane,) if number is None or is_smoke(lane) else (lane, lane_of(number, smoke=True))


def wanted_by(look: Look, lane: str) -> list[str]:
    """Ids of the jobs that answer what it asks for, those of other branches among them. Needs the ledger."""
    names = lanes_with(lane)
    return sorted({want.job for x in names for want in look.ledger.wants(x) if want.job}) if look.ledger else []


def condition(look: Look, lane: str) -> str:
    """SQL: jobs that it launched or reuses."""
    reused = wanted_by(look, lane)
    own = f"branch IN ({listed(lanes_with(lane))})"
    return f"({own} OR job IN ({listed(reused)}))" if reused else own
