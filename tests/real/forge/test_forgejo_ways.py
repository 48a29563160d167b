"""What is particular to Forgejo and Gitea, and what somebody could try there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.forges.forgejo import ForgejoForge
from labwright.domain.errors import Refused
from labwright.domain.finding import FAIL, WARN
from labwright.domain.forge import Role
from tests.real.forge.deliveries import Receiver
from tests.real.forge.forgejo_world import ForgejoWorld
from tests.real.forge.server import email


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(["old secret", "new secret"])
    yield made
    made.close()


def git(folder: Path, *arguments: str, by: str, author: str = "") -> str:
    """With a committer's name that is anybody's to choose."""
    name = author or by
    who = ["-c", f"user.name={name}", "-c", f"user.email={email(name)}"]
    done = subprocess.run(["git", "-C", folder, *who, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def clone(world: ForgejoWorld, folder: Path, by: str) -> Path:
    git(folder, "clone", "-q", world.server.git_url(world.repo, by), "work", by=by)
    return folder / "work"


def commit(work: Path, by: str, author: str = "") -> str:
    (work / "file").write_text("text\n" + author)
    git(work, "add", ".", by=by)
    git(work, "commit", "-qm", "change", by=by, author=author)
    return git(work, "rev-parse", "HEAD", by=by)


def requests_of(forge: ForgejoForge, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    call = forge._api._call
    monkeypatch.setattr(forge._api, "_call", lambda *args, **more: (made.append(args[1]), call(*args, **more))[1])
    return made


def test_a_reader_who_pushes_for_review_has_made_a_fork(world: ForgejoWorld, tmp_path: Path) -> None:
    """refs/for/main (AGit) takes no right to write, and Forgejo says that its head is in the lab repository."""
    work = clone(world, tmp_path, "mallory")
    head = commit(work, "mallory")
    git(work, "push", "-q", "origin", "HEAD:refs/for/main/topic", by="mallory")
    (pull,) = world.forge.pulls()
    assert (pull.author.login, pull.head, pull.fork) == ("mallory", head, True)
    assert world.forge.talk(pull.number).pull.fork


def test_a_fork_that_is_gone_is_still_one(world: ForgejoWorld) -> None:
    number = world.open("mallory", fork=True)
    world.server.api("DELETE", f"/repos/mallory/{world.repo.partition('/')[2]}", who="mallory")
    assert world.forge.talk(number).pull.fork


def test_the_ref_leads_to_the_head(world: ForgejoWorld, tmp_path: Path) -> None:
    number = world.open("mallory", fork=True)
    pull = world.forge.talk(number).pull
    url = world.server.git_url(world.repo, "labwright")
    assert git(tmp_path, "ls-remote", url, pull.ref, by="labwright").split() == [pull.head, pull.ref]


def test_whoever_pushes_under_another_name_is_a_committer_too(world: ForgejoWorld, tmp_path: Path) -> None:
    number = world.open("cleo")
    work = clone(world, tmp_path, "ben")
    git(work, "checkout", "-q", world.forge.talk(number).pull.head_branch, by="ben")
    commit(work, "ben", author="cleo")
    git(work, "push", "-q", by="ben")
    world.wait_for_head(number, git(work, "rev-parse", "HEAD", by="ben"))
    assert world.forge.talk(number).committers == {"ben", "cleo"}


def test_remarks_at_lines_do_not_hide_what_comes_after_them(world: ForgejoWorld) -> None:
    """They fill pages of the timeline and are left out of the answer: such a page is empty, and not the last."""
    number = world.open()
    (file,) = world.api("GET", f"/pulls/{number}/files")
    remarks = [{"path": file["filename"], "body": f"remark {n}", "new_position": 1} for n in range(25)]
    world.api("POST", f"/pulls/{number}/reviews", {"event": "COMMENT", "comments": remarks}, who="mallory")
    world.put_label(number, "lab:run", "ben")
    assert [made.by.login for made in world.forge.talk(number).labellings] == ["ben"]


def test_a_title_makes_a_draft_and_taking_it_out_of_that_counts_anew(world: ForgejoWorld) -> None:
    number = world.open(title="WIP: not yet")
    assert world.forge.talk(number).pull.draft
    world.rename(number, "Now", "cleo")
    talk = world.forge.talk(number)
    assert not talk.pull.draft and talk.reset is not None


@pytest.mark.slow
def test_a_look_at_what_did_not_change_is_two_requests(world: ForgejoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(12):  # two pages
        world.open()
    world.settle()
    made = requests_of(world.forge, monkeypatch)
    first = world.forge.pulls()
    assert len(made) == 5  # the newest, both pages, the newest again, edited comments
    made.clear()
    assert [pull.number for pull in world.forge.pulls()] == [pull.number for pull in first]
    assert len(made) == 2


@pytest.mark.slow
def test_one_that_closes_while_pages_are_read_hides_no_other(
    world: ForgejoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [world.open() for _ in range(12)]
    page = world.forge._listing._page

    def closes_the_newest(which: int, limit: int) -> object:
        if which == 2 and world.api("GET", f"/pulls/{numbers[-1]}")["state"] == "open":
            world.shut(numbers[-1], "cleo")  # what was first on page two is now last on page one
        return page(which, limit)

    monkeypatch.setattr(world.forge._listing, "_page", closes_the_newest)
    assert [pull.number for pull in world.forge.pulls()] == numbers[:-1]


def test_two_that_change_within_one_second_are_both_seen(world: ForgejoWorld) -> None:
    """The second of them may be listed below the first, at the same time by whole seconds."""
    older, newer = world.open(), world.open()
    for n in range(6):
        on = n % 2 == 0
        world.put_label(newer, "lab:run", "ben", on=on)
        world.forge.pulls()
        world.put_label(older, "lab:run", "ben", on=on)
        wanted = {older: on, newer: on}
        assert {pull.number: "lab:run" in pull.labels for pull in world.forge.pulls()} == wanted


def test_a_changed_secret_is_the_one_that_deliveries_are_signed_with(world: ForgejoWorld, receiver: Receiver) -> None:
    assert world.forge.add_hook(receiver.url, "old secret")
    number = world.open()
    assert receiver.wait(lambda d: d.event == "pull_request").secret == "old secret"
    again = world.with_token(world.server.tokens["labwright"])  # as after a restart: what the secret was is not known
    assert again.add_hook(receiver.url, "new secret") and world.hooks() == [receiver.url]
    since = len(receiver.got)
    world.put_label(number, "lab:run", "ben")
    assert receiver.wait(lambda d: d.event == "pull_request_label", since).secret == "new secret"


def test_everything_that_matters_is_delivered(world: ForgejoWorld, receiver: Receiver) -> None:
    world.forge.add_hook(receiver.url, "new secret")
    number = world.open()
    world.put_label(number, "lab:run", "ben")
    world.review(number, "ben")
    world.write(number, "/lab plan", "ben")
    world.push(number, "cleo")
    world.commit("ada")
    for event in (
        "pull_request_label",
        "pull_request_review_approved",
        "pull_request_comment",
        "pull_request_sync",
        "push",
    ):
        assert receiver.wait(lambda d, event=event: d.event == event).secret == "new secret"  # type: ignore[misc]


def test_a_hook_that_somebody_bent_is_put_right(world: ForgejoWorld) -> None:
    world.forge.add_hook("http://127.0.0.1:9/hooks", "secret")
    (hook,) = world.api("GET", "/hooks")
    world.api("PATCH", f"/hooks/{hook['id']}", {"active": False, "events": ["push"]})
    found = world.forge.examine([], "http://127.0.0.1:9/hooks", [])
    assert any(finding.check == "forge hook" and finding.result == WARN for finding in found)
    assert world.forge.add_hook("http://127.0.0.1:9/hooks", "secret")
    assert [hook["active"] for hook in world.api("GET", "/hooks")] == [True]


@pytest.mark.parametrize(
    ("rule", "on", "words"),
    [
        ({"enable_push": True}, False, "pushes by everybody"),
        ({"enable_push": True, "required_approvals": 1}, False, "pushes by everybody"),
        ({"enable_push": False}, False, "merges without a review"),
        ({"enable_push": False, "required_approvals": 1}, True, "1 review"),
        ({"enable_push": True, "enable_push_whitelist": True, "push_whitelist_usernames": ["ada"]}, False, "without a review"),
        (
            {"enable_push": True, "enable_push_whitelist": True, "push_whitelist_usernames": ["ada"],
             "enable_merge_whitelist": True, "merge_whitelist_usernames": ["ben"]}, True, "pushes by ada, merges by ben",
        ),
        (
            {"enable_push": False, "required_approvals": 1, "unprotected_file_patterns": "experiments/**"},
            False, "pushes of experiments/**",
        ),
        ({"rule_name": "ma*", "enable_push": False, "required_approvals": 3}, True, "3 reviews"),
    ],
)  # fmt: skip
def test_a_branch_is_protected_where_both_ways_into_it_are(
    world: ForgejoWorld, rule: dict[str, object], on: bool, words: str
) -> None:
    world.api("POST", "/branch_protections", {"rule_name": "main"} | rule)
    found = world.forge.protection("main")
    assert found.on == on and words in found.words


def test_a_rule_with_a_slash_and_a_glob_is_found(world: ForgejoWorld) -> None:
    world.commit("cleo", "release/1.0")
    assert not world.forge.protection("release/1.0").on
    world.api("POST", "/branch_protections", {"rule_name": "release/*", "required_approvals": 2})
    assert world.forge.protection("release/1.0").words == "2 reviews"
    assert not world.forge.protection("main").on


def test_an_account_that_is_no_administrator_is_told_what_it_lacks(world: ForgejoWorld) -> None:
    world.let("labwright", Role.WRITE)
    for ask in (lambda: world.forge.roles(["ben"]), lambda: world.forge.add_hook("http://127.0.0.1:9/", "secret")):
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.hint
    found = {finding.check: finding for finding in world.forge.examine(["lab:run"], "http://127.0.0.1:9/", ["main"])}
    assert found["forge account"].result == FAIL and "Administrator" in found["forge account"].mend
    assert found["forge reads what people may do"].result == FAIL


@pytest.mark.parametrize(
    ("scopes", "lacks"),
    [
        (["read:repository", "write:issue", "read:user"], "forge writes hooks and statuses"),
        (["write:repository", "read:issue", "read:user"], "forge writes comments"),
        (["write:repository", "read:user"], "forge reads what people did"),
    ],
)
def test_a_token_that_may_too_little_is_told_what_it_lacks(world: ForgejoWorld, scopes: list[str], lacks: str) -> None:
    name = f"few-{world.repo.rpartition('-')[2]}"
    forge = world.with_token(world.server.token("labwright", name, scopes))
    found = {finding.check: finding for finding in forge.examine([], "", [])}
    assert found[lacks].result == FAIL and "write:issue" in found[lacks].mend


def test_the_scopes_that_are_named_are_enough(world: ForgejoWorld) -> None:
    name = f"enough-{world.repo.rpartition('-')[2]}"
    token = world.server.token("labwright", name, ["write:repository", "write:issue", "read:user", "read:organization"])
    forge, number = world.with_token(token), world.open()
    world.put_label(number, "lab:run", "ben")
    assert {finding.check for finding in forge.examine([], "", []) if finding.result == FAIL} == set()
    assert forge.add_hook("http://127.0.0.1:9/", "secret") and forge.add_labels({"lab:held": "waits"})
    assert forge.comment(number, "two", replaces=forge.comment(number, "one"))
    forge.unlabel(number, "lab:run")
    assert forge.members(world.make_team("leads", ["ben"])) >= {"ben"}
    assert forge.roles(["ben"]) == {"ben": Role.WRITE}


def test_in_a_private_repository_outsiders_have_no_role(world: ForgejoWorld) -> None:
    world.api("PATCH", "", {"private": True})
    assert world.forge.roles(["mallory", "ben"]) == {"mallory": Role.NONE, "ben": Role.WRITE}


def test_a_repository_that_cannot_be_seen_gives_nobody_a_role(world: ForgejoWorld) -> None:
    forge = ForgejoForge(world.server.url, "ada/no-such-repository", lambda: world.server.tokens["labwright"])
    with pytest.raises(Refused):
        forge.roles(["ada"])
    with pytest.raises(Refused):
        forge.protection("main")


@pytest.mark.parametrize("repo", ["vision", "a/b/c", "/b", "a/"])
def test_a_repository_is_named_by_owner_and_name(repo: str) -> None:
    with pytest.raises(Refused, match="owner/name"):
        try:
            ForgejoForge("http://127.0.0.1:9", repo, lambda: "0" * 40)
        except Refused as error:
            raise Refused(str(error)) from error


@pytest.mark.parametrize("token", ["", " \n", "a\nb: c", "ж"])
def test_a_token_that_is_none_is_refused_before_it_is_sent(token: str) -> None:
    with pytest.raises(Refused, match="token"):
        ForgejoForge("http://127.0.0.1:9", "ada/vision", lambda: token).pulls()
