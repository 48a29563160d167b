"""An approval is tied to the one commit that it was given for, or to none."""

from labwright.adapters.forges.gitlab import GitLabForge
from labwright.domain.forge import Opinion, Review
from tests.forges.gitlab.world import World

A, B = "a" * 40, "b" * 40


def of(forge: GitLabForge, number: int = 7) -> list[tuple[str, str, Opinion]]:
    return [(review.by.login, review.commit, review.opinion) for review in forge.talk(number).reviews]


def test_an_approval_is_of_the_version_that_was_newest_when_it_was_given(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.approve(7, "bob")
    assert of(forge) == [("bob", A, Opinion.APPROVED)]


def test_an_approval_before_a_later_push_does_not_carry_over(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.approve(7, "bob")
    world.push(7, B, "alice")
    assert of(forge) == [("bob", A, Opinion.APPROVED)]
    assert forge.talk(7).pull.head == B


def test_without_approved_at_the_system_note_ties_it(forge: GitLabForge, world: World) -> None:
    world.tells_when = False
    world.open(7, A, "alice")
    world.tick(120)
    world.approve(7, "bob")
    world.push(7, B, "alice")
    assert of(forge) == [("bob", A, Opinion.APPROVED)]


def test_a_note_that_comes_late_does_not_lend_an_approval_to_the_next_push(forge: GitLabForge, world: World) -> None:
    """GitLab writes the note in the background: bob approved A, and the note's time is after B was pushed."""
    world.tells_when, world.note_lag = False, 15.0
    world.open(7, A, "alice")
    world.tick(600)
    world.approve(7, "bob")
    world.push(7, B, "mallory")
    world.tick(60)
    assert of(forge) == [("bob", "", Opinion.APPROVED)]


def test_with_approved_at_a_late_note_changes_nothing(forge: GitLabForge, world: World) -> None:
    world.note_lag = 15.0
    world.open(7, A, "alice")
    world.tick(600)
    world.approve(7, "bob")
    before = forge.talk(7).reviews
    world.push(7, B, "mallory")
    world.tick(60)
    assert forge.talk(7).reviews == before == (Review(before[0].id, before[0].by, A, Opinion.APPROVED, before[0].at),)


def test_an_approval_that_is_not_told_yet_is_of_no_commit(forge: GitLabForge, world: World) -> None:
    world.tells_when, world.note_lag = False, 500.0
    world.open(7, A, "alice")
    world.approve(7, "bob")
    assert of(forge) == [("bob", "", Opinion.APPROVED)]


def test_an_approval_at_the_moment_of_a_push_is_of_no_commit(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.push(7, B, "alice")
    world.tick(-9)  # one second after the push
    world.approve(7, "bob")
    assert of(forge) == [("bob", "", Opinion.APPROVED)]


def test_a_withdrawn_approval_is_dismissed(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.tick(120)
    world.approve(7, "bob")
    world.unapprove(7, "bob")
    assert of(forge) == [("bob", A, Opinion.DISMISSED)]


def test_approvals_that_a_push_reset_are_dismissed_and_may_be_given_again(forge: GitLabForge, world: World) -> None:
    world.reset_on_push = True
    world.open(7, A, "alice")
    world.tick(120)
    world.approve(7, "bob")
    world.push(7, B, "alice")
    assert of(forge) == [("bob", A, Opinion.DISMISSED)]
    world.tick(120)
    world.approve(7, "bob")
    assert of(forge) == [("bob", A, Opinion.DISMISSED), ("bob", B, Opinion.APPROVED)]


def test_a_push_back_to_what_was_approved_is_the_approved_commit(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.approve(7, "bob")
    world.push(7, B, "alice")
    world.push(7, A, "alice")
    assert of(forge) == [("bob", A, Opinion.APPROVED)]
    assert forge.talk(7).pull.head == A


def test_requested_changes_are_told(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.tick(120)
    world.note(7, "requested changes", "dave", system=True)
    assert of(forge) == [("dave", A, Opinion.CHANGES)]


def test_people_cannot_type_an_approval(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    for body in ("approved this merge request", "requested changes", "unapproved this merge request"):
        world.note(7, body, "bob")
    talk = forge.talk(7)
    assert talk.reviews == ()
    assert talk.comments[0].body == "approved this merge request"


def test_a_system_note_alone_is_no_approval_that_counts(forge: GitLabForge, world: World) -> None:
    """An imported project brings notes of any author along: what stands in `approved_by` is GitLab's own word."""
    world.open(7, A, "alice")
    world.tick(120)
    world.note(7, "approved this merge request", "bob", system=True)
    assert of(forge) == [("bob", A, Opinion.DISMISSED)]


def test_reviews_keep_their_ids(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    world.tick(120)
    for name in ("bob", "dave"):
        world.approve(7, name)
    world.unapprove(7, "dave")
    ids = [review.id for review in forge.talk(7).reviews]
    world.push(7, B, "alice")
    assert [review.id for review in forge.talk(7).reviews] == ids
    assert len(set(ids)) == 2


def test_what_makes_approvals_void_is_told_with_its_time(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice")
    assert forge.talk(7).reset is None
    world.note(7, "changed target branch from `a` to `b`", "bob")  # typed
    assert forge.talk(7).reset is None
    world.aim(7, "next", "alice")
    aimed = forge.talk(7).reset
    assert aimed == world.now
    world.draft(7, "alice", on=True)
    assert forge.talk(7).reset == aimed
    world.draft(7, "alice", on=False)
    assert forge.talk(7).reset == world.now
    world.turn(7, "closed", "alice")
    world.turn(7, "reopened", "alice")
    assert forge.talk(7).reset == world.now


def test_a_base_that_was_deleted_aims_it_at_another(forge: GitLabForge, world: World) -> None:
    world.open(7, A, "alice", base="stack")
    body = "deleted the `stack` branch. This merge request now targets the `main` branch"
    world.note(7, body, "mallory")
    assert forge.talk(7).reset is None
    world.note(7, body, "alice", system=True)
    assert forge.talk(7).reset == world.now
