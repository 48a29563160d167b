"""`lab doctor forge` for GitLab."""

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.finding import FAIL, OK, WARN, Finding
from tests.forges.gitlab.conftest import TOKEN
from tests.forges.gitlab.world import World

HOOK = "https://lab.example/hook"


def look(forge: GitLabForge, hook: str = HOOK) -> dict[str, Finding]:
    """By check; of two findings of one check, the worse."""
    found: dict[str, Finding] = {}
    order = [OK, WARN, FAIL]
    for finding in forge.examine(["lab:run"], hook, ["main"]):
        if finding.check not in found or order.index(finding.result) > order.index(found[finding.check].result):
            found[finding.check] = finding
    return found


@pytest.fixture
def good(forge: GitLabForge, world: World) -> GitLabForge:
    forge.add_labels({"lab:run": "x"})
    forge.add_hook(HOOK, "s3cret")
    world.protect("main", (40, "Maintainers"))
    return forge


def test_all_is_well(good: GitLabForge) -> None:
    found = look(good)
    assert {finding.result for finding in found.values()} == {OK}
    assert list(found) == ["forge", "token", "role", "labels", "hook", "branch main", "approvals"]
    assert "19.2.1-ee" in found["forge"].text


def test_each_fault_is_told_with_its_mend(good: GitLabForge, world: World) -> None:
    faults = {
        "token": lambda: setattr(world.tokens[TOKEN], "expires_at", "2026-03-05"),
        "labels": lambda: world.labels.clear(),
        "hook": lambda: world.hooks[1].update(note_events=False),
        "branch main": lambda: world.protected.clear(),
    }
    for check, fault in faults.items():
        fault()
        found = look(good)[check]
        assert found.result in (WARN, FAIL) and found.mend, check


def test_a_hook_that_gitlab_switched_off_is_a_fault(good: GitLabForge, world: World) -> None:
    world.hooks[1]["alert_status"] = "disabled"
    assert look(good)["hook"].result == FAIL
    world.hooks.clear()
    assert look(good)["hook"].result == WARN
    assert "hook" not in look(good, hook="")


@pytest.mark.parametrize(
    ("role", "result"), [("reporter", FAIL), ("developer", WARN), ("maintainer", OK), ("owner", WARN)]
)
def test_the_tokens_role_is_what_it_needs(good: GitLabForge, world: World, role: str, result: str) -> None:
    world.member("project_42_bot_8c1f", role)
    assert look(good)["role"].result == result


def test_a_developer_is_enough_without_a_hook(good: GitLabForge, world: World) -> None:
    world.member("project_42_bot_8c1f", "developer")
    assert look(good, hook="")["role"].result == OK


@pytest.mark.parametrize(
    ("scopes", "result"), [(("read_api",), FAIL), (("api", "write_repository"), WARN), (("api",), OK)]
)
def test_the_scopes_are_what_it_needs(good: GitLabForge, world: World, scopes: tuple[str, ...], result: str) -> None:
    world.tokens[TOKEN].scopes = scopes
    assert look(good)["token"].result == result


def test_a_wrong_token_is_one_finding(good: GitLabForge, world: World) -> None:
    world.tokens.clear()
    (finding,) = good.examine(["lab:run"], HOOK, ["main"])
    assert finding.result == FAIL and "401" in finding.text and finding.mend


def test_without_premium_approvals_are_ours_to_demand(good: GitLabForge, world: World) -> None:
    world.premium = False
    found = look(good)["approvals"]
    assert found.result == OK and "Premium" in found.text
