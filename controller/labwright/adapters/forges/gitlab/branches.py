"""What keeps people from pushing to a branch, and who did."""

from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

from labwright.adapters.forges.api import Api, NotThere
from labwright.adapters.forges.gitlab import parse
from labwright.adapters.forges.gitlab.parse import Json, readable
from labwright.domain.errors import Refused
from labwright.domain.forge import Protection

_PUSHES = 500  # of the newest that are looked through


def protection(api: Api, project: str, branch: str) -> Protection:
    with readable(f"the protection of {branch}"):
        try:
            rules = list(api.pages(f"{project}/protected_branches", per_page=100))
            return parse.protection(rules, branch, _reviews(api, project, branch) if rules else 0)
        except NotThere:
            raise
        except Refused as error:  # these rules are for maintainers to read
            return _seen_from_below(api, project, branch, error)


def _reviews(api: Api, project: str, branch: str) -> int:
    """How many a merge takes: rules that only Premium has, and that are there for the words alone."""
    try:
        return parse.reviews_needed(api.pages(f"{project}/approval_rules", per_page=100), branch)
    except Refused:
        return 0


def _seen_from_below(api: Api, project: str, branch: str, error: Refused) -> Protection:
    """What GitLab tells a developer of a branch."""
    try:
        found = api.get(f"{project}/repository/branches/{quote(branch, safe='')}")
    except NotThere:
        raise error from None
    if not found["protected"]:
        return Protection(False)
    if found["developers_can_push"]:
        return Protection(False, "every developer may push")
    return Protection(True, "pushes by maintainers, or fewer")


def pusher(api: Api, project: str, branch: str, commit: str) -> str:
    with readable(f"who pushed to {branch}"):
        for event in pushes(api, project, branch):
            if event["push_data"].get("commit_to") == commit:
                return str(event["author"]["username"])
    return ""


def pushers(api: Api, project: str, branch: str) -> frozenset[str]:
    return frozenset(str(event["author"]["username"]) for event in pushes(api, project, branch))


def pushes(api: Api, project: str, branch: str) -> Iterator[Json]:
    """Newest first."""
    events = api.pages(f"{project}/events", action="pushed", per_page=100)
    return (event for event in islice(events, _PUSHES) if parse.pushed(event, branch))
