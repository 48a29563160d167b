"""What `lab doctor forge` finds at GitHub, and the hooks that it makes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from labwright.adapters.forges.github.forge import GitHubForge
from labwright.domain.errors import Refused
from labwright.domain.finding import FAIL, OK, WARN, Finding
from tests.forges.github.bench import PAT, as_person
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.routes import Reply
from tests.forges.github.world import World

HOOK = "https://lab.example.org/hooks/github"
EVENTS = ["issue_comment", "pull_request", "pull_request_review", "push"]


@pytest.fixture
def admin(github: FakeGitHub, forge: GitHubForge) -> GitHubForge:
    """Its token may set hooks."""
    github.world.tokens[PAT].permissions["repository_hooks"] = "write"  # type: ignore[index]
    return forge


def found(forge: GitHubForge, labels: tuple[str, ...] = (), hook: str = "") -> dict[str, Finding]:
    """By check, the worst of each."""
    rank = [OK, WARN, FAIL]
    findings = sorted(forge.examine(labels, hook, ["main"]), key=lambda it: rank.index(it.result))
    return {it.check: it for it in findings}


def test_where_all_is_well_it_says_so(admin: GitHubForge, world: World) -> None:
    world.require_reviews("main", 1)
    admin.add_labels({"lab:run": "runs"})
    admin.add_hook(HOOK, "s")
    findings = admin.examine(["lab:run"], HOOK, ["main"])
    assert {it.result for it in findings} == {OK}
    assert "ml/vision, private, as robot" in findings[0].text


@pytest.mark.parametrize(
    ("permission", "said", "mend"),
    [
        ("statuses", "commit statuses may not be written", "Commit statuses: read and write"),
        ("pull_requests", "labels and comments may not be written", "Pull requests: read and write"),
    ],
)
def test_what_a_persons_token_may_not_do_is_found_without_doing_it(
    forge: GitHubForge, world: World, permission: str, said: str, mend: str
) -> None:
    world.tokens[PAT].permissions[permission] = "read"  # type: ignore[index]
    finding = found(forge)["permissions"]
    assert (finding.result, finding.text) == (FAIL, said)
    assert mend in finding.mend
    assert not world.statuses
    assert not world.labels


def test_a_classic_token_is_warned_of_and_its_scopes_are_looked_at(forge: GitHubForge, world: World) -> None:
    token = world.tokens[PAT]
    token.permissions, token.scopes = None, "repo, read:org"
    assert found(forge)["token"].result == WARN
    token.scopes = "read:org"
    assert found(forge)["token"].result == FAIL


def test_the_end_of_a_token_is_told(forge: GitHubForge, world: World) -> None:
    world.tokens[PAT].ends = datetime(2026, 3, 1, tzinfo=UTC)
    assert "2026-03-01" in found(forge)["token"].text


def test_what_an_app_lacks_and_what_it_needs_not_is_said(app_forge: GitHubForge, world: World) -> None:
    assert found(app_forge)["permissions"].result == OK
    world.app["permissions"] |= {"checks": "read", "contents": "write"}
    world.tokens.clear()  # a new one has the new permissions
    with pytest.raises(Refused):
        app_forge.pulls()
    results = {(it.result, it.text) for it in app_forge.examine([], "", []) if it.check == "permissions"}
    assert (FAIL, "missing: `checks: write`") in results
    assert any(result == WARN and "contents" in text for result, text in results)


def test_a_wrong_token_ends_in_one_finding_with_a_hint(github: FakeGitHub) -> None:
    forge = as_person(github, "wrong")
    [finding] = [it for it in forge.examine([], "", []) if it.check == "forge"]
    assert finding.result == FAIL
    assert "401" in finding.text
    assert finding.mend
    forge.close()


def test_an_archived_repository_can_be_of_no_use(forge: GitHubForge, world: World) -> None:
    world.archived = True
    assert "archived" in found(forge)["forge"].text


def test_labels_are_missing_there_or_spelled_otherwise(forge: GitHubForge, world: World) -> None:
    assert "missing: lab:hold, lab:run" in found(forge, ("lab:run", "lab:hold"))["labels"].text
    world.a_label("Lab:Run")
    assert found(forge, ("lab:run",))["labels"].text == "lab.yaml says lab:run, GitHub says Lab:Run"
    assert found(forge, ("Lab:Run",))["labels"] == Finding("labels", OK, "all there")


def test_a_branch_without_a_review_is_warned_of(forge: GitHubForge, world: World) -> None:
    assert found(forge)["branch main"].result == WARN
    world.require_reviews("main", 1)
    assert found(forge)["branch main"] == Finding("branch main", OK, "1 review")
    world.branches["main"].rules = []
    world.branches["main"].older = {"lock_branch": {"enabled": True}}
    assert found(forge)["branch main"].result == FAIL  # it may not be read


def test_few_requests_left_are_warned_of(forge: GitHubForge, world: World) -> None:
    assert found(forge)["requests"].result == OK
    world.spent["robot"] = 4900
    assert found(forge)["requests"].result == WARN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"active": False}, "is switched off"),
        ({"events": ["push"]}, "does not send issue_comment, pull_request, pull_request_review"),
        ({"config": {"url": HOOK, "content_type": "json"}}, "has no secret"),
        ({"config": {"url": HOOK, "content_type": "form", "secret": "s"}}, "does not send JSON"),
        (
            {"config": {"url": HOOK, "content_type": "json", "secret": "s", "insecure_ssl": "1"}},
            "does not verify the certificate",
        ),
        ({"last": {"code": 502, "status": "x", "message": "Bad Gateway"}}, "answered with 502: Bad Gateway"),
    ],
)
def test_a_hook_that_is_not_right_is_found_and_made_right(
    admin: GitHubForge, world: World, change: dict[str, Any], said: str
) -> None:
    assert "there is none" in found(admin, hook=HOOK)["hook"].text
    assert admin.add_hook(HOOK, "s")
    assert found(admin, hook=HOOK)["hook"].result == OK
    [hook] = world.hooks.values()
    hook |= change
    assert said in found(admin, hook=HOOK)["hook"].text
    if "last" not in change:
        assert admin.add_hook(HOOK, "s")
        assert found(admin, hook=HOOK)["hook"].result == OK
    assert hook["config"] == {"url": HOOK, "content_type": "json", "secret": "s", "insecure_ssl": "0"}


def test_a_hook_gets_the_secret_of_now_and_keeps_events_that_others_want(admin: GitHubForge, world: World) -> None:
    admin.add_hook(HOOK, "old")
    [hook] = world.hooks.values()
    hook["events"].append("release")
    assert not admin.add_hook(HOOK, "old")
    assert admin.add_hook(HOOK, "new")
    assert hook["config"]["secret"] == "new"
    assert hook["events"] == sorted([*EVENTS, "release"])


def test_hooks_need_an_admin(forge: GitHubForge, world: World) -> None:
    with pytest.raises(Refused):
        forge.add_hook(HOOK, "s")
    world.tokens[PAT].permissions = None
    with pytest.raises(Refused, match="may not be read") as refused:
        forge.add_hook(HOOK, "s")
    assert "Webhooks: read and write" in refused.value.hint


def test_an_app_has_a_hook_of_its_own(app_forge: GitHubForge, world: World) -> None:
    assert "to nowhere" in found(app_forge, hook=HOOK)["hook"].text
    assert app_forge.add_hook(HOOK, "s")
    assert not app_forge.add_hook(HOOK, "s")
    assert world.app["hook"] == {"url": HOOK, "content_type": "json", "secret": "s", "insecure_ssl": "0"}
    assert not world.hooks
    assert found(app_forge, hook=HOOK)["hook"].result == OK


def test_an_apps_hook_that_leads_elsewhere_is_left_alone(app_forge: GitHubForge, world: World) -> None:
    """It serves all installations of the App."""
    world.app["hook"]["url"] = "https://other.example.org"
    with pytest.raises(Refused, match=r"other\.example\.org"):
        app_forge.add_hook(HOOK, "s")
    assert world.app["hook"]["url"] == "https://other.example.org"


def test_events_that_an_app_is_not_subscribed_to_are_named(app_forge: GitHubForge, world: World) -> None:
    world.app["events"] = ["push"]
    with pytest.raises(Refused, match="not subscribed to issue_comment, pull_request, pull_request_review"):
        app_forge.add_hook(HOOK, "s")
    world.app["hook"]["url"] = HOOK
    assert found(app_forge, hook=HOOK)["hook"].result == WARN


def test_a_server_without_limits_has_no_word_on_them(forge: GitHubForge, github: FakeGitHub) -> None:
    github.fail("GET", "/rate_limit", Reply(404, {"message": "Rate limiting is not enabled."}))
    assert "requests" not in found(forge)
