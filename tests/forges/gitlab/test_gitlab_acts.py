"""What we write at GitLab: comments, statuses, labels, webhooks."""

from base64 import b64encode

import pytest

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.errors import Refused
from labwright.domain.forge import Light, Status
from tests.forges.gitlab.fake import FakeGitLab, Refuse
from tests.forges.gitlab.world import World

A = "a" * 40
HOOK = "https://lab.example/hook"


@pytest.fixture(autouse=True)
def _one_request(world: World) -> None:
    world.open(7, A, "alice")


def test_a_comment_is_written_and_written_anew(forge: GitLabForge, world: World) -> None:
    made = forge.comment(7, "# Plan\n\n| a | b |\n")
    assert forge.comment(7, "done", replaces=made) == made
    (comment,) = forge.talk(7).comments
    assert (comment.id, comment.body, comment.by) == (made, "done", forge.me())


@pytest.mark.parametrize("whose", ["bob", "system", "gone", "../../../user"])
def test_only_comments_of_ours_are_written_anew(forge: GitLabForge, world: World, whose: str) -> None:
    note = world.note(7, "hands off", "bob" if whose == "bob" else "project_42_bot_8c1f", system=whose == "system")
    with pytest.raises(Refused, match=r"not ours|is gone"):
        forge.comment(7, "mine now", replaces=str(note["id"]) if whose in ("bob", "system") else whose)
    assert [n["body"] for n in world.notes[7]] == ["hands off"]


def test_the_longest_comment_is_taken_and_a_longer_one_refused(forge: GitLabForge, world: World) -> None:
    most = forge.features.comment_chars
    forge.comment(7, "x" * most)
    forge.comment(7, "/x\n" * (most // 3))  # made longer, so that nothing of it is obeyed
    with pytest.raises(Refused, match="characters at most"):
        forge.comment(7, "x" * (most + 1))


@pytest.mark.parametrize(
    "body",
    ["/merge", "  x\n/close", "x\n/approve\n", "x\r\n/merge\r\n", "x\n\r/merge", "```\n/merge\n```", "/merge\n/label ~lab:run", "x\n\t/close"],
)  # fmt: skip
def test_gitlab_obeys_nothing_that_we_write(forge: GitLabForge, world: World, body: str) -> None:
    made = forge.comment(7, body)
    forge.comment(7, body, replaces=made)
    assert world.obeyed == []
    assert body.strip().split("/")[1][:5] in world.notes[7][0]["body"]


def test_the_fake_obeys_what_gitlab_would(world: World) -> None:
    world.note(7, "x\n\r/merge\n/unknown", "bob")
    assert world.obeyed == ["merge"]
    assert world.notes[7][0]["body"] == "x\n/unknown"


def test_slashes_that_are_no_commands_stay(forge: GitLabForge, world: World) -> None:
    body = "see a/b and https://x/y\n\n- /x\n// twice" * 2
    forge.comment(7, "text: " + body)
    assert world.notes[7][0]["body"] == "text: " + body.replace("\n//", "\n //")


def test_each_light_is_a_state(forge: GitLabForge, world: World) -> None:
    for light in Light:
        forge.set_status(A, Status(f"lab/{light}", light, "words", url="https://lab.example/x"))
    states = {row["name"]: row["status"] for row in world.statuses}
    assert states == {
        "lab/pending": "pending",
        "lab/success": "success",
        "lab/failure": "failed",
        "lab/error": "failed",
    }
    assert {row["target_url"] for row in world.statuses} == {"https://lab.example/x"}
    assert {row["sha"] for row in world.statuses} == {A}


def test_a_status_takes_the_place_of_the_one_before(forge: GitLabForge, world: World) -> None:
    for light, words in (
        (Light.PENDING, "waits"),
        (Light.SUCCESS, "3 jobs"),
        (Light.PENDING, "again"),
        (Light.FAILURE, "1 failed"),
    ):
        forge.set_status(A, Status("lab", light, words))
        assert (world.statuses[-1]["description"], world.statuses[-1]["name"]) == (words, "lab")
    assert world.statuses[-1]["status"] == "failed"


def test_a_state_that_it_has_already_is_done(forge: GitLabForge, world: World) -> None:
    for words in ("waits", "runs", "runs still"):
        forge.set_status(A, Status("lab", Light.PENDING, words))
    assert [(row["status"], row["description"]) for row in world.statuses] == [("running", "runs")]
    forge.set_status(A, Status("lab", Light.SUCCESS, "done"))
    assert [(row["status"], row["description"]) for row in world.statuses] == [("success", "done")]


def test_words_that_are_too_long_are_refused_and_an_address_is_left_out(forge: GitLabForge, world: World) -> None:
    most = forge.features.words_chars
    forge.set_status(A, Status("lab", Light.SUCCESS, "x" * most, url="https://lab.example/" + "y" * 300))
    assert world.statuses[-1]["target_url"] is None
    with pytest.raises(Refused, match="characters at most"):
        forge.set_status(A, Status("lab", Light.SUCCESS, "x" * (most + 1)))


def test_a_status_of_a_commit_that_is_not_there_is_refused(forge: GitLabForge) -> None:
    with pytest.raises(Refused, match="Commit Not Found"):
        forge.set_status("f" * 40, Status("lab", Light.SUCCESS, "x"))


def test_a_label_is_taken_off_and_off_stays_off(forge: GitLabForge, world: World) -> None:
    world.label(7, "lab:run", "bob")
    world.label(7, "bug", "bob")
    forge.unlabel(7, "lab:run")
    forge.unlabel(7, "lab:run")
    talk = forge.talk(7)
    assert talk.pull.labels == {"bug"}
    assert [(x.by.bot, x.on) for x in talk.labellings if x.label == "lab:run"] == [(False, True), (True, False)]


def test_labels_are_made_once(forge: GitLabForge, world: World) -> None:
    wanted = {"lab:run": "Asks for the jobs", "lab:stop": "Stops them"}
    assert forge.add_labels({"lab:run": "Asks for the jobs"}) == ["lab:run"]
    assert forge.add_labels(wanted) == ["lab:stop"]
    assert forge.add_labels(wanted) == []
    assert {label["name"]: label["description"] for label in world.labels} == wanted


def test_a_hook_is_added_with_its_events_and_secret(forge: GitLabForge, world: World) -> None:
    assert forge.add_hook(HOOK, "s3cret")
    assert not forge.add_hook(HOOK, "s3cret")
    (hook,) = world.hooks.values()
    assert hook["url"] == HOOK
    assert (
        hook["push_events"]
        and hook["merge_requests_events"]
        and hook["note_events"]
        and hook["enable_ssl_verification"]
    )
    assert world.secrets == {1: {"token": "s3cret"}}


def test_a_new_secret_takes_the_place_of_the_old_one(forge: GitLabForge, world: World) -> None:
    forge.add_hook(HOOK, "old")
    assert forge.add_hook(HOOK, "new")
    assert world.secrets == {1: {"token": "new"}}


def test_a_hook_that_somebody_changed_is_mended(forge: GitLabForge, world: World) -> None:
    forge.add_hook(HOOK, "s3cret")
    world.hooks[1]["note_events"] = False
    assert forge.add_hook(HOOK, "s3cret")
    assert world.hooks[1]["note_events"]
    assert len(world.hooks) == 1


def test_a_hook_of_another_run_is_given_the_secret_anew(forge: GitLabForge, world: World, address: str) -> None:
    forge.add_hook(HOOK, "s3cret")
    world.secrets[1] = {"token": "forgotten"}
    other = GitLabForge(address, world.path, forge._token)
    assert other.add_hook(HOOK, "s3cret")
    assert world.secrets == {1: {"token": "s3cret"}}
    other.close()


def test_a_signing_token_signs_and_is_never_sent_along(forge: GitLabForge, world: World) -> None:
    secret = "whsec_" + b64encode(bytes(range(32))).decode()
    assert forge.add_hook(HOOK, secret)
    assert world.secrets == {1: {"signing_token": secret}}
    assert not forge.add_hook(HOOK, secret)


def test_where_gitlab_signs_nothing_it_is_the_secret_token(forge: GitLabForge, world: World) -> None:
    world.signs = False
    secret = "whsec_" + b64encode(bytes(range(32))).decode()
    assert forge.add_hook(HOOK, secret)
    assert world.secrets == {1: {"token": secret}}
    assert not forge.add_hook(HOOK, secret)


def test_a_developers_token_cannot_add_a_hook(forge: GitLabForge, world: World, fake: FakeGitLab) -> None:
    world.member("project_42_bot_8c1f", "developer")
    with pytest.raises(Refused, match="403"):
        forge.add_hook(HOOK, "s3cret")


def test_a_hook_into_gitlabs_own_network_is_refused_with_what_to_do(forge: GitLabForge, fake: FakeGitLab) -> None:
    fake.break_with = lambda call: Refuse(422, "Invalid url given") if call.startswith("POST") else None
    with pytest.raises(Refused) as caught:
        forge.add_hook(HOOK, "s3cret")
    assert "Outbound requests" in caught.value.hint
