"""Who may do what at GitLab, as it is now."""

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.errors import Refused
from labwright.domain.forge import Person, Protection, Role
from tests.forges.gitlab.fake import FakeGitLab, Refuse
from tests.forges.gitlab.world import World

A, B = "a" * 40, "b" * 40


def test_we_are_the_tokens_user(forge: GitLabForge) -> None:
    assert forge.me() == Person("project_42_bot_8c1f", bot=True)


def test_levels_are_roles(forge: GitLabForge, world: World) -> None:
    levels = {
        5: Role.NONE,
        10: Role.READ,
        15: Role.READ,
        20: Role.TRIAGE,
        30: Role.WRITE,
        40: Role.ADMIN,
        50: Role.ADMIN,
    }
    for level in levels:
        world.member(f"person{level}", level)
    world.user("stranger")
    expected = {f"person{level}": role for level, role in levels.items()} | {"stranger": Role.NONE, "nobody": Role.NONE}
    assert forge.roles(expected) == expected


def test_roles_are_answered_under_the_names_that_were_asked_for(forge: GitLabForge) -> None:
    assert forge.roles(["Alice", "BOB"]) == {"Alice": Role.WRITE, "BOB": Role.ADMIN}


def test_a_membership_that_ended_or_a_user_who_is_blocked_may_do_nothing(forge: GitLabForge, world: World) -> None:
    today = world.now.date().isoformat()
    world.member("yesterday", "owner", expires_at="2026-02-28")
    world.member("today", "owner", expires_at=today)
    world.member("tomorrow", "developer", expires_at="2026-03-02")
    world.member("waiting", "developer", membership_state="awaiting")
    world.member("blocked", "maintainer")
    world.users[world.one("blocked")]["state"] = "blocked"
    assert forge.roles(["yesterday", "today", "tomorrow", "waiting", "blocked"]) == {
        "yesterday": Role.NONE, "today": Role.NONE, "tomorrow": Role.WRITE, "waiting": Role.NONE, "blocked": Role.NONE,
    }  # fmt: skip


def test_a_membership_ends_while_gitlab_answers_that_nothing_changed(forge: GitLabForge, world: World) -> None:
    """Its row is the same text every day: only the answer's date tells."""
    world.member("erin", "developer", expires_at="2026-03-02")
    assert forge.roles(["erin"]) == {"erin": Role.WRITE}
    world.tick(24 * 3600)
    assert forge.roles(["erin"]) == {"erin": Role.NONE}


def test_a_role_that_was_taken_away_is_gone_at_once(forge: GitLabForge, world: World) -> None:
    assert forge.roles(["bob"]) == {"bob": Role.ADMIN}
    world.member("bob", "guest")
    assert forge.roles(["bob"]) == {"bob": Role.READ}
    del world.members[world.one("bob")]
    assert forge.roles(["bob"]) == {"bob": Role.NONE}


@pytest.mark.parametrize("name", ["bοb", "аlice", "ｂｏｂ", "bob\u200b", "boℬ", "\u212aim", ""])
def test_names_that_only_look_alike_are_nobody(forge: GitLabForge, fake: FakeGitLab, world: World, name: str) -> None:
    world.member("kim", "owner")  # the sign of Kelvin is a k in lower case
    assert forge.roles([name]) == {name: Role.NONE}
    assert not [call for call in fake.asked if "members" in call]


def test_another_user_than_asked_for_is_nobody(forge: GitLabForge, world: World) -> None:
    """A server that finds names that are only similar must not lend anybody a role."""
    world.users[world.one("bob")]["username"] = "bob2"
    world.users[world.one("alice")]["username"] = "bob"
    assert forge.roles(["bob"]) == {"bob": Role.NONE}  # the member of that id is called alice still


def test_roles_that_cannot_be_read_are_not_guessed(forge: GitLabForge, fake: FakeGitLab) -> None:
    fake.break_with = lambda call: Refuse(403, "403 Forbidden") if "members" in call else None
    with pytest.raises(Refused, match="403"):
        forge.roles(["bob"])


def test_members_of_a_group_are_its_active_ones_of_all_pages(forge: GitLabForge, world: World) -> None:
    people = [world.user(f"p{n}") for n in range(150)]
    group = [world.membership(number, "developer") for number in people]
    group[3]["expires_at"] = "2026-01-01"
    group[4]["state"] = "blocked"
    group[5]["access_level"] = 5
    world.groups["ml/leads"] = group
    assert forge.members("@ml/leads") == {f"p{n}" for n in range(150)} - {"p3", "p4", "p5"}


def test_a_group_that_is_not_there_is_refused(forge: GitLabForge) -> None:
    with pytest.raises(Refused, match="no group ml/nobody"):
        forge.members("@ml/nobody")


def test_maintainers_only_keeps_others_from_pushing(forge: GitLabForge, world: World) -> None:
    world.protect("main", (40, "Maintainers"))
    assert forge.protection("main") == Protection(True, "pushes by Maintainers")
    assert forge.protection("dev") == Protection(False)


def test_nobody_may_push_is_the_strictest(forge: GitLabForge, world: World) -> None:
    world.protect("main", (0, "No one"))
    assert forge.protection("main") == Protection(True, "nobody may push")


def test_a_branch_that_every_developer_may_push_to_is_not_protected(forge: GitLabForge, world: World) -> None:
    world.protect("main", (30, "Developers + Maintainers"))
    assert forge.protection("main") == Protection(False, "every developer may push")


def test_a_developer_who_is_named_is_not_every_developer(forge: GitLabForge, world: World) -> None:
    world.protect("main", (40, "Maintainers"), (30, "Alice"))
    world.protected[0]["push_access_levels"][1]["user_id"] = world.one("alice")
    assert forge.protection("main") == Protection(True, "pushes by Alice, Maintainers")


def test_wildcards_hold_for_branches_below(forge: GitLabForge, world: World) -> None:
    world.protect("release/*", (40, "Maintainers"))
    world.protect("*-stable", (0, "No one"))
    assert forge.protection("release/1/2").on
    assert forge.protection("3-stable").on
    assert not forge.protection("releases").on
    assert not forge.protection("x-stable-y").on


def test_of_two_rules_the_laxer_counts(forge: GitLabForge, world: World) -> None:
    world.protect("main", (0, "No one"))
    world.protect("ma*", (30, "Developers + Maintainers"))
    assert not forge.protection("main").on


def test_a_developers_token_sees_protection_from_below(forge: GitLabForge, world: World) -> None:
    world.member("project_42_bot_8c1f", "developer")
    world.protect("main", (40, "Maintainers"))
    world.protect("dev/x", (30, "Developers + Maintainers"))
    assert forge.protection("main") == Protection(True, "pushes by maintainers, or fewer")
    assert not forge.protection("dev/x").on
    assert not forge.protection("free").on


def test_the_pusher_is_who_moved_the_branch_there(forge: GitLabForge, world: World) -> None:
    world.pushed("main", A, "alice")
    world.pushed("dev", B, "dave")
    world.pushed("main", B, "bob")
    world.pushed("main", "c" * 40, "dave", kind="tag")
    world.pushed("main", None, "erin")  # who deletes a branch moves it nowhere
    assert forge.pusher("main", A) == "alice"
    assert forge.pusher("main", B) == "bob"
    assert forge.pusher("main", "c" * 40) == ""
    assert forge.pusher("other", A) == ""


def test_a_push_long_ago_is_found_on_a_later_page(forge: GitLabForge, world: World) -> None:
    world.pushed("main", A, "alice")
    for number in range(250):
        world.pushed("dev", f"{number:040x}", "dave")
    assert forge.pusher("main", A) == "alice"


def test_reviews_that_a_merge_takes_are_told(forge: GitLabForge, world: World) -> None:
    for name in ("main", "dev"):
        world.protect(name, (0, "No one"))
    world.rule(1)
    world.rule(2, "main")
    assert forge.protection("main") == Protection(True, "nobody may push, 2 reviews")
    assert forge.protection("dev") == Protection(True, "nobody may push, 1 review")
    world.premium = False
    assert forge.protection("main") == Protection(True, "nobody may push")


@pytest.mark.parametrize("name", ["@", "@/", "@ml/..", "@../ml", "@ml//x", "@ml?x", "@ml/leads\n"])
def test_what_is_no_groups_name_is_not_asked_for(forge: GitLabForge, fake: FakeGitLab, name: str) -> None:
    with pytest.raises(Refused, match="is no group"):
        forge.members(name)
    assert fake.asked == []
