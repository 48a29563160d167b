"""Somebody who may push, and may not approve: tags and commits of every sort that look like a yes."""

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labwright.adapters.repos.git import run as git_run
from labwright.domain.errors import LabError, Refused
from labwright.domain.forge import Light, Opinion, Status
from tests.contract.plain_git import PEOPLE, PlainWorld, plain_world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile-keys")


@pytest.fixture
def world(tmp_path: Path, keys: Path) -> Iterator[PlainWorld]:
    with plain_world(tmp_path, keys) as made:
        yield made


def signed(world: PlainWorld, payload: str, by: str, namespace: str = "git") -> str:
    """With ssh-keygen itself, whatever the text says."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(world.keys.file(by))]
    return subprocess.run(command, input=payload, capture_output=True, text=True, check=True).stdout


def payload(name: str, commit: str, *, kind: str = "commit", by: str = "ben", at: datetime | None = None) -> str:
    when = int((at or datetime(2026, 3, 2, tzinfo=UTC)).timestamp())
    return f"object {commit}\ntype {kind}\ntag {name}\ntagger {by} <{by}@example.org> {when} +0000\n\nyes\n"


def put(world: PlainWorld, name: str, text: str) -> str:
    """An object as it stands, at a tag's name."""
    sha = world.git("hash-object", "-t", "tag", "-w", "--stdin", "--literally", stdin=text)
    world.git("update-ref", f"refs/tags/{name}", sha)
    return sha


def other_text(world: PlainWorld, n: int, head: str) -> None:
    text = payload(f"approve/{n}/x", world.head("main"))
    seal = signed(world, text, "ben")
    put(world, f"approve/{n}/x", payload(f"approve/{n}/x", head) + seal)


def gpg(world: PlainWorld, n: int, head: str) -> None:
    seal = signed(world, payload(f"approve/{n}/x", head), "ben").replace("SSH SIGNATURE", "PGP SIGNATURE")
    put(world, f"approve/{n}/x", payload(f"approve/{n}/x", head) + seal)


def two_seals(world: PlainWorld, n: int, head: str) -> None:
    """ben's good one of another text, and mallory's of this one after it."""
    text = payload(f"approve/{n}/x", head) + signed(world, payload(f"approve/{n}/x", world.head("main")), "ben")
    put(world, f"approve/{n}/x", text + signed(world, text, "mallory"))


def tag_of_a_tag(world: PlainWorld, n: int, head: str) -> None:
    inner = world.sign(f"release/{n}", head, "ben")
    world.sign(f"approve/{n}/x", inner, "ben")


def says(world: PlainWorld, name: str, text: str, by: str, namespace: str = "git") -> None:
    put(world, name, text + signed(world, text, by, namespace))


def as_another_kind(world: PlainWorld, n: int, head: str) -> None:
    world.git("update-ref", f"refs/tags/approve/{n}/x", world.sign(f"stop/{n}/x", head, "ben"))
    world.git("tag", "-d", f"stop/{n}/x")


FORGED: dict[str, Callable[[PlainWorld, int, str], object]] = {
    "a light tag": lambda w, n, head: w.git("tag", f"approve/{n}/ben", head),
    "an unsigned tag": lambda w, n, head: w.git("tag", "-a", "-m", "yes", f"approve/{n}/ben", head),
    "a tag in ben's name by mallory's key": lambda w, n, head: says(w, f"approve/{n}/ben", payload(f"approve/{n}/ben", head), "mallory"),
    "a signature of another text": other_text,
    "a signature for files": lambda w, n, head: says(w, f"approve/{n}/x", payload(f"approve/{n}/x", head), "ben", "file"),
    "a signature called PGP": gpg,
    "two signatures": two_seals,
    "half a signature": lambda w, n, head: put(w, f"approve/{n}/x", payload(f"approve/{n}/x", head) + signed(w, payload(f"approve/{n}/x", head), "ben")[:200]),
    "a tag of a tag": tag_of_a_tag,
    "a tag of a tree": lambda w, n, head: w.sign(f"approve/{n}/x", f"{head}^{{tree}}", "ben"),
    "a tag of a file": lambda w, n, head: w.sign(f"approve/{n}/x", f"{head}:file.txt", "ben"),
    "a tag that was signed for another pull request": lambda w, n, head: w.git("update-ref", f"refs/tags/approve/{n}/x", w.sign(f"approve/{n + 90}/x", head, "ben")),
    "a tag that was signed as another kind": as_another_kind,
    "a tag without a name below the number": lambda w, n, head: w.sign(f"approve/{n}", head, "ben"),
    "a number with a nought before it": lambda w, n, head: w.sign(f"approve/0{n}/x", head, "ben"),
    "a tag of nobody's date": lambda w, n, head: says(w, f"approve/{n}/x", payload(f"approve/{n}/x", head).replace("tagger ben", "tagger\nben"), "ben"),
}  # fmt: skip


@pytest.mark.parametrize("way", FORGED)
def test_only_a_tag_that_a_known_key_signed_for_this_very_name_and_commit_approves(world: PlainWorld, way: str) -> None:
    number, sound = world.open(), world.open()
    FORGED[way](world, number, world.head(f"pull/{number}"))
    world.review(sound, "ben")
    numbers = {pull.number for pull in world.forge.pulls()}
    assert numbers == {number, sound}
    try:
        talk = world.forge.talk(number)
        assert [made for made in talk.reviews if made.opinion is Opinion.APPROVED] == []
        assert talk.labellings == () and talk.comments == ()
    except Refused as error:
        assert error.hint, "or it is not read at all"
    assert [made.by.login for made in world.forge.talk(sound).reviews] == ["ben"], "others do not suffer"


def test_a_tag_that_ssh_keygen_signed_by_hand_is_as_good_as_one_by_git(world: PlainWorld) -> None:
    """So the forgeries above fail for what is wrong with them."""
    number = world.open()
    says(world, f"approve/{number}/x", payload(f"approve/{number}/x", world.head(f"pull/{number}")), "ben")
    assert [made.by.login for made in world.forge.talk(number).reviews] == ["ben"]


def test_a_tag_moved_to_another_commit_approves_neither(world: PlainWorld) -> None:
    """Moving it makes another object, which its signature is not of."""
    number = world.open()
    world.review(number, "ben")
    (name,) = re.findall(r"approve/\S+", world.git("tag"))
    new = world.push(number, "cleo")
    text = world.git("cat-file", "tag", name)
    put(world, name, re.sub(r"^object \w+", f"object {new}", text) + "\n")
    assert world.forge.talk(number).reviews == ()
    world.git("tag", "-f", name, new)
    assert world.forge.talk(number).reviews == ()


def test_an_approval_by_the_wrong_number_names_the_commit_it_is_of(world: PlainWorld) -> None:
    """One that says 1 and is of 2's head: 1 is not at that commit, and 2 is not what was said."""
    one, two = world.open(), world.open()
    there = world.head(f"pull/{two}")
    world.sign(f"approve/{one}/x", there, "ben")
    assert [made.commit for made in world.forge.talk(one).reviews] == [there] != [world.head(f"pull/{one}")]
    assert world.forge.talk(two).reviews == ()


def test_an_old_approval_stays_with_its_commit_after_a_push_and_is_no_second_one(world: PlainWorld) -> None:
    number = world.open()
    before = world.head(f"pull/{number}")
    id = world.review(number, "ben")
    world.push(number, "mallory")
    world.git("update-ref", f"refs/tags/approve/{number}/again", id)
    assert [(made.id, made.commit) for made in world.forge.talk(number).reviews] == [(id, before)]


@pytest.mark.parametrize("dated", ["then", "now"])
def test_a_key_that_ran_out_approves_nothing_whatever_date_it_writes(world: PlainWorld, dated: str) -> None:
    number = world.open()
    at = datetime(2026, 3, 1, tzinfo=UTC) if dated == "then" else world.clock.at
    world.sign(f"approve/{number}/x", world.head(f"pull/{number}"), "ben", at=at)
    forge = world.open_forge([world.keys.line("ben", 'valid-before="20260315Z",namespaces="git"')])
    assert forge.talk(number).reviews == () and forge.talk(number).committers == frozenset()
    world.clock.at = datetime(2026, 3, 10, tzinfo=UTC)
    assert len(forge.talk(number).reviews) == (dated == "then"), "while it was good it was"


def test_a_key_that_does_not_count_yet_approves_nothing(world: PlainWorld) -> None:
    number = world.open()
    world.sign(f"approve/{number}/x", world.head(f"pull/{number}"), "ben", at=world.clock.at)
    forge = world.open_forge([world.keys.line("ben", 'valid-after="20260601Z"')])
    assert forge.talk(number).reviews == ()
    world.clock.at += timedelta(days=100)
    assert forge.talk(number).reviews == (), "it is of a date when the key was not known"


def test_a_new_key_beside_one_that_ran_out_counts(world: PlainWorld) -> None:
    number = world.open()
    lines = [world.keys.line("ben", 'valid-before="20260101Z"'), world.keys.line("ben", key_of="ben-2")]
    head = world.head(f"pull/{number}")
    world.sign(f"approve/{number}/old", head, "ben")
    new = world.sign(f"approve/{number}/new", head, "ben-2")
    assert [(made.id, made.by.login) for made in world.open_forge(lines).talk(number).reviews] == [(new, "ben")]


@pytest.mark.parametrize("lines, words", [
    (["ben {ben}", "Ben {cleo}"], "told apart"),
    (["ben {ben}", "cleo {ben}"], "key of ben as well"),
    (["b\u0435n {ben}"], "one plain name"),
    (["* {ben}"], "one plain name"),
    (["ben,cleo {ben}"], "one plain name"),
    (["labwright {ben}"], "Labwright itself"),
    (["ben cert-authority {ben}"], "cert-authority"),
    (['ben namespaces="file" {ben}'], "namespaces without `git`"),
])  # fmt: skip
def test_people_who_could_be_taken_for_another_are_refused(world: PlainWorld, lines: list[str], words: str) -> None:
    public = {login: " ".join(world.keys.public(login).split()[:2]) for login in PEOPLE}
    with pytest.raises(Refused, match=words) as caught:
        world.open_forge([line.format(**public) for line in lines])
    assert caught.value.hint


def test_a_commit_in_somebodys_name_is_nobodys(world: PlainWorld) -> None:
    number = world.open("cleo")
    world.push(number, "mallory")
    world.push(number, "ben", signed=False)
    digest = "cd" * 32
    text = f"Fine\n\nLab-Approve: {digest}\n"
    unsigned = world.make("ben", world.head("main"), text, signed=False)
    world.put(f"approvals/{number}", world.make("mallory", unsigned, text))
    talk = world.forge.talk(number)
    assert talk.comments == () and talk.committers == {"cleo"} and talk.pull.author.login == ""


def test_a_number_that_two_branches_claim_is_seen_and_not_read(world: PlainWorld) -> None:
    number, other = world.open(), world.open()
    world.put(f"pull/{number}-copy", world.make("mallory", world.head("main")))
    world.review(other, "ben")
    assert {pull.number for pull in world.forge.pulls()} == {number, other}
    with pytest.raises(Refused, match=f"pull/{number} and pull/{number}-copy"):
        world.forge.talk(number)
    assert len(world.forge.talk(other).reviews) == 1


def test_names_that_only_look_like_a_number_are_no_pull_requests(world: PlainWorld) -> None:
    for name in ("pull/x", "pull/07", "pull/7x", "pull/-7", "pull/12345678901", "pulls/7", "pull/٧"):
        world.put(name, world.make("cleo", world.head("main")))
    assert list(world.forge.pulls()) == []


def test_what_others_write_on_our_branch_is_never_obeyed(world: PlainWorld) -> None:
    number = world.open()
    world.put_label(number, "lab:stop", "ben")
    world.forge.comment(number, "plan")
    world.forge.set_status(world.head("main"), status_of())
    hostile = [b"\xff\xfe", b"[" * 100_000, b'{"off": {"a": 1}}', b'{"off": [1, null]}', b"x" * (5 << 20)]
    for text in hostile:
        world.write_ours({f"{number}/labels.json": text, f"{number}/comment.md": b"/lab run\n" + text,
                          f"statuses/{world.head('main')}.json": text})  # fmt: skip
        talk = world.forge.talk(number)
        assert talk.pull.labels == {"lab:stop"}
        assert {made.by for made in talk.comments} <= {world.forge.me()}
        world.forge.set_status(world.head("main"), status_of())
        assert list(world.statuses(world.head("main"))) == ["labwright"]


def status_of() -> Status:
    return Status("labwright", Light.PENDING, "words")


def test_an_object_that_git_does_not_take_hides_its_own_pull_request_alone(world: PlainWorld) -> None:
    number, other = world.open(), world.open()
    bad = payload(f"approve/{number}/bad", world.head("main")).replace("ben <ben@example.org>", "nobody")
    put(world, f"approve/{number}/bad", bad)
    world.review(other, "ben")
    assert {pull.number for pull in world.forge.pulls()} == {number, other}
    with pytest.raises(Refused) as caught:
        world.forge.talk(number)
    assert "delete" in caught.value.hint
    assert len(world.forge.talk(other).reviews) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_tags_cost_one_listing_and_only_those_of_open_pull_requests_are_verified(
    world: PlainWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = world.open()
    world.review(number, "ben")
    old = world.sign("approve/4000/old", world.head("main"), "ben")
    world.git(
        "update-ref", "--stdin", stdin="".join(f"create refs/tags/approve/{n + 5000}/x {old}\n" for n in range(10_000))
    )
    started = count_processes(monkeypatch)
    assert [pull.number for pull in world.forge.pulls()] == [number]
    first = len(started)
    assert world.forge.pulls()[0].labels == {"lab:run"}
    assert sum("verify-tag" in command for command in started) == 1
    assert first < 25 and len(started) - first <= 6
    assert world.forge.talk(number).reviews and sum("verify-tag" in command for command in started) == 1


@pytest.mark.slow
def test_more_tags_than_anybody_looks_through_make_it_unreadable(
    world: PlainWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, other = world.open(), world.open()
    world.review(number, "ben")
    head = world.head("main")
    world.git(
        "update-ref", "--stdin", stdin="".join(f"create refs/tags/deny/{number}/{n} {head}\n" for n in range(600))
    )
    started = count_processes(monkeypatch)
    assert {pull.number for pull in world.forge.pulls()} == {number, other}
    with pytest.raises(Refused, match="601 tags"):
        world.forge.talk(number)
    assert not any("verify-tag" in command for command in started)


def count_processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    started: list[list[str]] = []
    real = git_run.argv

    def argv(*args: object, **more: object) -> list[str]:
        started.append(real(*args, **more))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(git_run, "argv", argv)
    return started


def test_nothing_but_ssh_keygen_is_ever_started(
    world: PlainWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit's own text chooses whose signature it claims; its program does not run."""
    told = tmp_path / "gpg-ran"
    for name in ("gpg", "gpg2", "gpgsm"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch {told}\nexit 0\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    number = world.open()
    head = world.head(f"pull/{number}")
    for kind in ("PGP SIGNATURE", "PGP MESSAGE", "SIGNED MESSAGE"):
        text = world.git("cat-file", "commit", head) + "\n"
        seal = f"gpgsig -----BEGIN {kind}-----\n \n AAAA\n -----END {kind}-----\n"
        text = re.sub(r"gpgsig .*?-----END SSH SIGNATURE-----\n", seal, text, flags=re.DOTALL)
        assert kind in text
        world.put(f"pull/{number}", world.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text))
        put(
            world,
            f"approve/{number}/{kind[:3]}",
            payload(f"approve/{number}/{kind[:3]}", head) + f"-----BEGIN {kind}-----\n\nAAAA\n-----END {kind}-----\n",
        )
        talk = world.forge.talk(number)
        assert talk.reviews == () and talk.committers == frozenset()
    assert not told.exists()


def test_the_file_of_keys_is_gone_when_git_is_done(world: PlainWorld) -> None:
    number = world.open()
    world.review(number, "ben")
    assert world.forge.talk(number).reviews
    assert list(world.top.glob("allowed-signers-*")) == []


def test_too_many_commits_are_refused_for_one_of_them_could_be_the_approvers(world: PlainWorld) -> None:
    number = world.open()
    tip = world.head(f"pull/{number}")
    stream = "".join(
        f"commit refs/heads/pull/{number}\ncommitter a <a@b> 1 +0000\ndata 1\n.\n" + (f"from {tip}\n" if n == 0 else "")
        for n in range(501)
    )
    world.git("fast-import", "--quiet", "--force", stdin=stream)
    assert [pull.number for pull in world.forge.pulls()] == [number]
    with pytest.raises(LabError, match="more than 500 commits"):
        world.forge.talk(number)
