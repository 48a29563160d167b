"""The forge suite on a bare repository, as far as there is what it asks for; and what is there in place of the rest."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from labwright.adapters.forges.git import GitForge
from labwright.adapters.repos.git import GitRepo
from labwright.decide.parse import parse_lab
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.finding import FAIL
from labwright.domain.forge import Light, Opinion, Role, Status
from labwright.settings import Place
from labwright.testing.forge_suite import RUN, ForgeSuite
from labwright.wiring import make_forge
from tests.contract.plain_git import PEOPLE, PlainWorld, plain_world

pytestmark = pytest.mark.slow

ASKS: dict[str, Callable[[GitForge], object]] = {
    "pulls": lambda forge: forge.pulls(),
    "talk": lambda forge: forge.talk(1),
    "pusher": lambda forge: forge.pusher("main", "0" * 40),
    "comment": lambda forge: forge.comment(1, "text"),
    "status": lambda forge: forge.set_status("0" * 40, Status("lab", Light.PENDING, "…")),
    "unlabel": lambda forge: forge.unlabel(1, RUN),
}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def world(tmp_path: Path, keys: Path) -> Iterator[PlainWorld]:
    with plain_world(tmp_path, keys) as made:
        yield made


class TestPlainGit(ForgeSuite):
    without = ("comments", "forks", "hooks", "labels", "protection", "requests", "reset", "roles", "teams", "tokens")
    many = 12  # there are no pages

    @pytest.fixture
    def world(self, tmp_path: Path, keys: Path) -> Iterator[PlainWorld]:
        with plain_world(tmp_path, keys) as made:
            yield made


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL's pattern. The other side is a shell of this machine."""
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\nwhile [ "$1" != there ]; do shift; done\nshift\nexec sh -c "$*"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(program))
    return "ssh://there{}"


class TestPlainGitFromAfar(TestPlainGit):
    """By ssh, with SHA-256: nothing is read where it lies."""

    @pytest.fixture
    def world(self, tmp_path: Path, keys: Path, ssh: str) -> Iterator[PlainWorld]:
        with plain_world(tmp_path, keys, kind="sha256", url=ssh) as made:
            yield made


def test_a_head_that_was_talked_about_is_in_the_lab_repositorys_mirror(tmp_path: Path, keys: Path, ssh: str) -> None:
    """The two share it, so that what is to be planned need not be fetched again, nor be there still."""
    with plain_world(tmp_path, keys, url=ssh) as world, closing(GitRepo(world.url, tmp_path / "mirror.git")) as repo:
        repo.fetch()
        number = world.open()
        pull = world.forge.talk(number).pull
        world.shut(number, "cleo")
        repo.bring(pull.ref, pull.head)
        assert list(repo.snapshot(pull.head).entries) == ["file.txt"]
        assert repo.merge_base(pull.head, world.head("main")) == world.head("main")


# what it has in place of what it has not


@pytest.mark.parametrize("ask", ASKS)
def test_a_repository_out_of_reach_is_unavailable(world: PlainWorld, ask: str) -> None:
    with pytest.raises(Unavailable):
        ASKS[ask](world.away())


@pytest.mark.parametrize("act", ["push", "approve", "stop", "a tag gone", "a signed commit", "a key runs out"])
def test_whatever_happens_to_one_is_seen_in_the_list(world: PlainWorld, act: str) -> None:
    lines = [world.keys.line(login) for login in PEOPLE[1:]]
    forge = world.open_forge([*lines, world.keys.line("ada", 'valid-before="20260501Z"')])
    number, bystander = world.open(), world.open("dora")
    review = world.review(number, "ben")
    before = {pull.number: pull.updated for pull in forge.pulls()}
    assert {pull.number: pull.updated for pull in forge.pulls()} == before
    acts: dict[str, Callable[[], object]] = {
        "push": lambda: world.push(number, "cleo"),
        "approve": lambda: world.review(number, "dora"),
        "stop": lambda: world.put_label(number, "lab:stop", "dora"),
        "a tag gone": lambda: world.dismiss(number, review, "ada"),
        "a signed commit": lambda: world.put(f"approvals/{number}", world.make("ben", world.head("main"))),
        "a key runs out": lambda: setattr(world.clock, "at", world.clock.at + timedelta(days=60)),
    }
    acts[act]()
    after = {pull.number: pull.updated for pull in forge.pulls()}
    assert after[number] != before[number]
    assert (after[bystander] == before[bystander]) == (act != "a key runs out")


def test_what_we_write_is_no_news_about_a_pull_request(world: PlainWorld) -> None:
    number = world.open()
    before = world.forge.pulls()
    world.forge.comment(number, "plan: 3 jobs")
    world.forge.set_status(before[0].head, Status("labwright", Light.PENDING, "2 of 3 jobs"))
    assert world.forge.pulls() == before
    assert world.forge.talk(number).pull == before[0]


def test_whoever_signed_a_commit_is_a_committer_and_others_are_not(world: PlainWorld) -> None:
    number = world.open("cleo")
    world.push(number, "dora")
    world.push(number, "mallory")
    world.push(number, "ben", signed=False)
    world.review(number, "ada")
    talk = world.forge.talk(number)
    assert talk.committers == {"cleo", "dora"}
    assert talk.pull.author.login == ""


def test_a_key_makes_a_writer_and_nothing_else_does(world: PlainWorld) -> None:
    assert world.forge.roles(["ben", "BEN", "mallory", "Ada <ada@example.org>"]) == {
        "ben": Role.WRITE, "BEN": Role.WRITE, "mallory": Role.NONE, "Ada <ada@example.org>": Role.NONE,
    }  # fmt: skip
    forge = world.open_forge([world.keys.line("ben", 'valid-before="20260101Z"')])
    assert forge.roles(["ben"]) == {"ben": Role.NONE}


def test_there_are_no_teams_labels_or_hooks_and_each_refusal_says_what_to_do(world: PlainWorld) -> None:
    for ask in (
        lambda: world.forge.members("@acme/leads"),
        lambda: world.forge.add_labels({RUN: "asks"}),
        lambda: world.forge.add_hook("http://127.0.0.1:9/hooks", "secret"),
    ):
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.hint
    assert not world.forge.protection("main").on


def test_who_signed_the_tip_moved_the_branch_and_a_name_in_it_did_not(world: PlainWorld) -> None:
    signed = world.commit("ben")
    assert world.forge.pusher("main", signed) == "ben"
    world.put("main", unsigned := world.make("ada", signed, signed=False))
    assert world.forge.pusher("main", unsigned) == ""
    assert world.forge.pusher("main", signed) == "", "it is elsewhere now"


def test_a_pull_request_whose_branch_is_gone_is_closed(world: PlainWorld) -> None:
    number = world.open()
    head = world.forge.talk(number).pull.head
    world.forge.comment(number, "plan")
    world.shut(number, "ben")
    talk = world.forge.talk(number)
    assert (talk.pull.open, talk.pull.merged, talk.pull.head, len(talk.comments)) == (False, False, head, 1)
    assert list(world.forge.pulls()) == []


def test_a_comment_that_is_not_ours_is_never_written_anew(world: PlainWorld) -> None:
    number, other = world.open(), world.open()
    there = world.forge.comment(other, "theirs")
    for id in ("1234", f"{number}/comment.md", there, "../x"):
        with pytest.raises(Refused):
            world.forge.comment(number, "plan", replaces=id)
    with pytest.raises(Refused):
        world.forge.comment(4711, "plan")


def test_a_label_that_was_taken_off_stays_off_until_somebody_signs_anew(world: PlainWorld) -> None:
    number = world.open()
    world.put_label(number, RUN, "ben")
    world.put_label(number, "lab:stop", "ben")
    before = world.forge.pulls()[0]
    for _ in range(2):
        world.forge.unlabel(number, "lab:stop")
    talk = world.forge.talk(number)
    assert talk.pull.labels == {RUN} and world.forge.pulls()[0].updated != before.updated
    last = [(made.by, made.on) for made in talk.labellings if made.label == "lab:stop"][-1]
    assert last == (world.forge.me(), False)
    assert world.open_forge(name="another").talk(number).pull.labels == {RUN}, "it is written down"
    world.put_label(number, "lab:stop", "dora")
    talk = world.forge.talk(number)
    assert talk.pull.labels == {RUN, "lab:stop"}
    assert [made.by.login for made in talk.labellings if made.label == "lab:stop" and made.on] == ["ben", "dora"]


def test_a_tag_that_is_put_back_is_the_same_order_and_no_new_one(world: PlainWorld) -> None:
    number = world.open()
    id = world.sign(f"rerun/{number}/once", world.head(f"pull/{number}"), "ben")
    (first,) = world.forge.talk(number).labellings
    world.git("tag", "-d", f"rerun/{number}/once")
    assert world.forge.talk(number).labellings == ()
    world.git("update-ref", f"refs/tags/rerun/{number}/once", id)
    assert world.forge.talk(number).labellings == (first,) and first.id == id


@pytest.mark.parametrize("way", ["a tag", "a commit"])
def test_a_signed_digest_is_the_command_that_names_it_and_approves_no_commit(world: PlainWorld, way: str) -> None:
    number, digest = world.open(), "ab" * 32
    if way == "a tag":
        world.sign(f"approve/{number}/plan", "main", "ben", f"Fine.\n\nLab-Approve: {digest}")
    else:
        world.put(f"approvals/{number}", world.make("ben", world.head("main"), f"Fine\n\nLab-Approve: {digest}\n"))
    talk = world.forge.talk(number)
    assert [(said.by.login, said.body, said.edited) for said in talk.comments] == [("ben", f"/lab run {digest}", False)]
    assert talk.reviews == ()


@pytest.mark.parametrize(
    "trailer", ["Lab-Approve: abcdef1", "Lab-Approve: yes", "Lab-Approve:", "Lab-Approved: " + "ab" * 32]
)
def test_what_is_no_digest_or_a_short_one_commands_nothing(world: PlainWorld, trailer: str) -> None:
    number = world.open()
    world.put(f"approvals/{number}", world.make("ben", world.head("main"), f"Fine\n\n{trailer}\n"))
    assert world.forge.talk(number).comments == ()


@pytest.mark.parametrize("way", ["a tag", "a trailer", "a commit"])
def test_a_denial_asks_for_changes(world: PlainWorld, way: str) -> None:
    number = world.open()
    head = world.head(f"pull/{number}")
    if way == "a tag":
        world.sign(f"deny/{number}/ben", head, "ben", "too large")
    elif way == "a trailer":
        world.sign(f"approve/{number}/ben", head, "ben", f"No.\n\nLab-Deny: too large\nLab-Approve: {'ab' * 32}")
    else:
        world.put(f"approvals/{number}", world.make("ben", head, "No\n\nLab-Deny: too large\n"))
    talk = world.forge.talk(number)
    assert [(made.by.login, made.commit, made.opinion) for made in talk.reviews] == [("ben", head, Opinion.CHANGES)]
    assert talk.comments == ()


def test_examining_a_whole_lab_finds_nothing_to_fail_and_writes_nothing(world: PlainWorld) -> None:
    world.open()
    before = world.git("for-each-ref")
    found = world.forge.examine([RUN], "", ["main"])
    assert [finding for finding in found if finding.result == FAIL] == []
    assert any("1 pull request " in finding.text for finding in found if finding.check == "forge")
    assert world.git("for-each-ref") == before


def test_examining_says_what_is_wrong_and_how_to_mend_it(world: PlainWorld) -> None:
    lines = [world.keys.line("ben", 'valid-before="20260101Z"')]
    found = world.open_forge(lines).examine([RUN], "http://127.0.0.1:9/hooks", ["main"])
    failed = {finding.check: finding for finding in found if finding.result == FAIL}
    assert set(failed) == {"keys", "hook"} and all(finding.mend for finding in failed.values())
    (gone,) = world.away().examine([], "", [])
    assert (gone.check, gone.result) == ("forge", FAIL)


def test_examining_without_ssh_keygen_fails(world: PlainWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.contract.plain_git import path_without_keygen

    number = world.open()
    world.review(number, "ben")
    monkeypatch.setenv("PATH", path_without_keygen(tmp_path / "bin"))
    found = world.forge.examine([], "", [])
    assert [finding.check for finding in found if finding.result == FAIL] == ["ssh-keygen"]
    with pytest.raises(Unavailable, match="ssh-keygen"):
        world.forge.talk(number)
    monkeypatch.undo()
    assert len(world.forge.talk(number).reviews) == 1, "and nothing wrong was learnt"


def test_lab_yaml_says_whose_keys_count_and_what_orders_are_called(world: PlainWorld, tmp_path: Path) -> None:
    number = world.open()
    head = world.head(f"pull/{number}")
    for kind, by in (("approve", "ben"), ("stop", "cleo"), ("rerun", "ben"), ("smoke", "ben")):
        world.sign(f"{kind}/{number}/x", head, by)
    lab = parse_lab(
        f"""
        watch: {{pull_requests: true}}
        forge: {{type: git, keys: ["{world.keys.line("ben")}"]}}
        policy: {{approve: {{label: go, rerun_label: again, smoke: {{label: short}}}}}}
        """.encode(),
        "lab.yaml",
    )
    place = Place(str(world.remote), tmp_path / "state")
    forge = make_forge(place, lab)
    assert forge is not None
    with closing(forge):
        talk = forge.talk(number)
        assert talk.pull.labels == {"go", "again", "short"}, "cleo is nobody here"
        assert {made.by.login for made in talk.labellings} == {"ben"}
        forge.comment(number, "plan")
    assert not place.state.exists(), "who looks leaves nothing behind"
    assert world.git("show", "lab-pulls:1/comment.md") == "plan"
