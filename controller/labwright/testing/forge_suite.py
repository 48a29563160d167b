"""What every forge promises. Subclass ForgeSuite and give the fixture `world`; pytest runs the rest."""

from collections.abc import Callable

import pytest

from labwright.domain.errors import Refused, Unavailable
from labwright.domain.finding import FAIL
from labwright.domain.forge import Light, Pull, Role, Status
from labwright.ports.forge import Forge
from labwright.testing.forge_needs import needs
from labwright.testing.forge_suite_talk import RUN, TalkSuite, comment_of
from labwright.testing.forge_world import ForgeWorld

HOOK = "http://127.0.0.1:9/hooks"
Act = Callable[[ForgeWorld, int], object]

ACTS: dict[str, Act] = {
    "a push": lambda world, n: world.push(n, "cleo"),
    "a label": lambda world, n: world.put_label(n, RUN, "ben"),
    "a label taken off": lambda world, n: world.put_label(n, "other", "ben", on=False),
    "a review": lambda world, n: world.review(n, "ben"),
    "a review dismissed": lambda world, n: world.dismiss(n, world.review(n, "ben"), "ada"),
    "a comment": lambda world, n: world.write(n, "/lab plan", "ben"),
    "another base": lambda world, n: world.aim(n, "other", "cleo"),
    "another title": lambda world, n: world.rename(n, "Another", "cleo"),
}
ASKS: dict[str, Callable[[Forge], object]] = {
    "me": lambda forge: forge.me(),
    "pulls": lambda forge: forge.pulls(),
    "talk": lambda forge: forge.talk(1),
    "roles": lambda forge: forge.roles(["ada"]),
    "members": lambda forge: forge.members("@acme/leads"),
    "protection": lambda forge: forge.protection("main"),
    "pusher": lambda forge: forge.pusher("main", "0" * 40),
    "comment": lambda forge: forge.comment(1, "text"),
    "status": lambda forge: forge.set_status("0" * 40, Status("lab", Light.PENDING, "…")),
    "unlabel": lambda forge: forge.unlabel(1, RUN),
    "labels": lambda forge: forge.add_labels({RUN: "asks"}),
    "hook": lambda forge: forge.add_hook(HOOK, "secret"),
}


def listed(world: ForgeWorld, number: int) -> Pull:
    (found,) = [pull for pull in world.forge.pulls() if pull.number == number]
    return found


class ForgeSuite(TalkSuite):
    """Needs the fixture `world`: a fresh ForgeWorld for each test."""

    many = 62  # pull requests: more than the forge at hand puts on one page

    # the list

    def test_without_pull_requests_the_list_is_empty(self, world: ForgeWorld) -> None:
        assert list(world.forge.pulls()) == []

    def test_open_ones_are_listed_as_they_are_talked_about(self, world: ForgeWorld) -> None:
        number = world.open("cleo", title="One")
        world.put_label(number, RUN, "ben")
        one, other = listed(world, number), world.forge.talk(number).pull
        for name in (
            "number",
            "title",
            "author",
            "head",
            "head_branch",
            "ref",
            "base",
            "url",
            "labels",
            "fork",
            "open",
        ):
            assert getattr(one, name) == getattr(other, name), name

    def test_a_closed_one_is_not_listed_until_it_is_reopened(self, world: ForgeWorld) -> None:
        stays, goes = world.open(), world.open()
        world.forge.pulls()
        world.shut(goes, "cleo")
        assert [pull.number for pull in world.forge.pulls()] == [stays]
        world.reopen(goes, "cleo")
        assert {pull.number for pull in world.forge.pulls()} == {stays, goes}

    @needs("forks")
    def test_a_pull_request_from_another_repository_is_a_fork(self, world: ForgeWorld) -> None:
        here, there = world.open("cleo"), world.open("mallory", fork=True)
        assert {pull.number: pull.fork for pull in world.forge.pulls()} == {here: False, there: True}
        assert world.forge.talk(there).pull.fork

    def test_a_push_changes_the_head(self, world: ForgeWorld) -> None:
        number = world.open()
        before = listed(world, number).head
        after = world.push(number, "cleo")
        assert listed(world, number).head == after != before

    @pytest.mark.slow
    @pytest.mark.parametrize("act", ACTS)
    @needs("labels")
    def test_whatever_happens_to_it_is_seen_in_the_list(self, world: ForgeWorld, act: str) -> None:
        number, bystander = world.open(), world.open("dora")
        world.put_label(number, "other", "ben")
        world.settle()
        before, beside = listed(world, number).updated, listed(world, bystander).updated
        world.settle()
        assert listed(world, number).updated == before, "nothing happened"
        ACTS[act](world, number)
        assert listed(world, number).updated != before
        assert listed(world, bystander).updated == beside

    @pytest.mark.slow
    @needs("comments")
    def test_an_edited_comment_is_seen_in_the_list(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.write(number, "/lab plan", "ben")
        world.settle()
        before = listed(world, number).updated
        world.edit(number, id, "/lab run", "ben")
        assert listed(world, number).updated != before

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_more_than_one_page_holds_are_all_listed_and_one_of_the_last_changes(self, world: ForgeWorld) -> None:
        numbers = [world.open() for _ in range(self.many)]
        assert [pull.number for pull in world.forge.pulls()] == sorted(numbers)
        world.put_label(numbers[0], RUN, "ben")
        world.put_label(numbers[-1], RUN, "ben")
        assert {pull.number for pull in world.forge.pulls() if RUN in pull.labels} == {numbers[0], numbers[-1]}
        world.shut(numbers[1], "cleo")
        assert {pull.number for pull in world.forge.pulls()} == set(numbers) - {numbers[1]}

    # who may do what

    @needs("roles")
    def test_roles_are_as_they_are_now(self, world: ForgeWorld) -> None:
        assert world.forge.roles(["ada", "ben", "mallory"]) == {
            "ada": Role.ADMIN,
            "ben": Role.WRITE,
            "mallory": Role.READ,
        }
        world.let("ben", Role.READ)
        world.let("mallory", Role.WRITE)
        assert world.forge.roles(["ben", "mallory"]) == {"ben": Role.READ, "mallory": Role.WRITE}

    @pytest.mark.parametrize("login", ["nemo", "", "..", "ben/../ada", "ben?x=1", "a b", "ж"])
    def test_an_unknown_person_has_no_role(self, world: ForgeWorld, login: str) -> None:
        assert world.forge.roles([login]) == {login: Role.NONE}

    @needs("teams")
    def test_the_members_of_a_team_are_told(self, world: ForgeWorld) -> None:
        team = world.make_team("leads", ["ben", "dora"])
        assert {"ben", "dora"} <= world.forge.members(team)
        assert "cleo" not in world.forge.members(team)

    @pytest.mark.parametrize("team", ["@acme/no-such-team", "@no-such-org/leads", "@acme", "@acme/..", "@/"])
    @needs("teams")
    def test_a_team_that_is_not_there_is_refused_and_not_empty(self, world: ForgeWorld, team: str) -> None:
        world.make_team("leads", ["ben"])
        with pytest.raises(Refused):
            world.forge.members(team)

    @needs("protection")
    def test_a_branch_is_not_protected_until_it_is(self, world: ForgeWorld) -> None:
        assert not world.forge.protection("main").on
        world.protect("main", reviews=2)
        found = world.forge.protection("main")
        assert found.on and "2 review" in found.words

    @needs("protection")
    def test_the_protection_of_one_branch_is_not_that_of_another(self, world: ForgeWorld) -> None:
        world.protect("main", reviews=1)
        world.commit("cleo", "topic")
        assert not world.forge.protection("topic").on
        assert not world.forge.protection("no-such-branch").on

    def test_who_moved_a_branch_is_told_or_not_but_never_wrong(self, world: ForgeWorld) -> None:
        first = world.commit("ben")
        second = world.commit("dora")
        assert world.forge.pusher("main", first) in ("ben", "")
        assert world.forge.pusher("main", second) in ("dora", "")
        assert world.forge.pusher("main", "0" * 40) == ""
        assert world.forge.pusher("elsewhere", second) == ""

    # what we write

    def test_our_comment_is_ours_and_can_be_written_anew(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.forge.comment(number, "plan: 3 jobs")
        assert comment_of(world.forge.talk(number), id).by == world.forge.me()
        assert world.forge.comment(number, "plan: 4 jobs", replaces=id) == id
        comments = world.forge.talk(number).comments
        assert [(comment.id, comment.body) for comment in comments] == [(id, "plan: 4 jobs")]

    @needs("comments")
    def test_a_foreign_comment_is_never_written_anew(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.write(number, "mine", "mallory")
        with pytest.raises(Refused):
            world.forge.comment(number, "plan", replaces=id)
        assert comment_of(world.forge.talk(number), id).body == "mine"

    def test_a_comment_that_is_gone_is_refused_so_that_another_is_written(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.forge.comment(number, "plan")
        world.erase(number, id, "ada")
        with pytest.raises(Refused):
            world.forge.comment(number, "plan", replaces=id)

    def test_the_longest_comment_is_taken_and_a_longer_one_is_refused(self, world: ForgeWorld) -> None:
        number, most = world.open(), world.forge.features.comment_chars
        id = world.forge.comment(number, "я" * most)
        assert comment_of(world.forge.talk(number), id).body == "я" * most
        with pytest.raises(Refused):
            world.forge.comment(number, "я" * (most + 1))

    def test_a_status_takes_the_place_of_the_one_of_its_context(self, world: ForgeWorld) -> None:
        number = world.open()
        head = world.forge.talk(number).pull.head
        for light, words in ((Light.PENDING, "2 of 3 jobs"), (Light.SUCCESS, "3 of 3 jobs")):
            world.forge.set_status(head, Status("labwright", light, words, "https://lab.example/x"))
        world.forge.set_status(head, Status("labwright/alpha", Light.FAILURE, "alpha/train FAILED"))
        shown = {context: (status.light, status.words) for context, status in world.statuses(head).items()}
        assert shown == {
            "labwright": (Light.SUCCESS, "3 of 3 jobs"),
            "labwright/alpha": (Light.FAILURE, "alpha/train FAILED"),
        }

    @pytest.mark.parametrize("light", Light)
    def test_every_light_can_be_shown(self, world: ForgeWorld, light: Light) -> None:
        head = world.commit("ben")
        world.forge.set_status(
            head, Status("labwright", light, "words " + "й" * (world.forge.features.words_chars - 6))
        )
        assert list(world.statuses(head)) == ["labwright"]

    @needs("labels")
    def test_taking_a_label_off_twice_is_no_error_and_others_stay(self, world: ForgeWorld) -> None:
        number = world.open()
        world.put_label(number, RUN, "ben")
        world.put_label(number, "keep", "ben")
        for _ in range(2):
            world.forge.unlabel(number, RUN)
        talk = world.forge.talk(number)
        assert talk.pull.labels == {"keep"}
        assert [(made.by, made.on) for made in talk.labellings if made.label == RUN][-1] == (world.forge.me(), False)

    @needs("labels")
    def test_labels_are_made_once(self, world: ForgeWorld) -> None:
        wanted = {RUN: "asks that it runs", "lab:held": "waits for somebody"}
        assert set(world.forge.add_labels(wanted)) == set(wanted)
        assert list(world.forge.add_labels(wanted)) == []
        assert sorted(name for name in world.labels() if name in wanted) == sorted(wanted)

    @needs("hooks")
    def test_a_hook_is_made_once(self, world: ForgeWorld) -> None:
        assert world.forge.add_hook(HOOK, "secret")
        assert not world.forge.add_hook(HOOK, "secret")
        assert list(world.hooks()) == [HOOK]

    @needs("hooks")
    def test_a_hook_whose_secret_changes_is_still_one(self, world: ForgeWorld) -> None:
        world.forge.add_hook(HOOK, "secret")
        world.forge.add_hook(HOOK, "another")
        assert list(world.hooks()) == [HOOK]

    # what goes wrong

    @pytest.mark.parametrize("ask", ASKS)
    @needs("requests")
    def test_a_forge_out_of_reach_is_unavailable(self, world: ForgeWorld, ask: str) -> None:
        with pytest.raises(Unavailable):
            ASKS[ask](world.away())

    @pytest.mark.parametrize("ask", ASKS)
    @needs("tokens")
    def test_a_token_that_is_not_taken_is_refused_and_never_an_empty_answer(self, world: ForgeWorld, ask: str) -> None:
        with pytest.raises(Refused) as caught:
            ASKS[ask](world.stranger())
        assert caught.value.hint

    @needs("labels")
    def test_examining_finds_nothing_to_fail_where_all_is_well(self, world: ForgeWorld) -> None:
        world.forge.add_labels({RUN: "asks that it runs"})
        world.forge.add_hook(HOOK, "secret")
        world.protect("main", reviews=1)
        found = world.forge.examine([RUN], HOOK, ["main"])
        assert [finding for finding in found if finding.result == FAIL] == []

    @needs("tokens")
    def test_examining_with_a_wrong_token_fails_and_says_how_to_mend_it(self, world: ForgeWorld) -> None:
        found = world.stranger().examine([RUN], "", ["main"])
        assert any(finding.result == FAIL and finding.mend for finding in found)
