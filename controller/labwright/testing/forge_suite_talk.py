"""What every forge promises about one pull request: who did what to it, and what can be believed."""

import pytest

from labwright.domain.errors import Refused
from labwright.domain.forge import Comment, Opinion, Talk
from labwright.testing.forge_needs import Needing, needs
from labwright.testing.forge_world import ForgeWorld

RUN = "lab:run"
HOSTILE = (
    "``` \n@ada <img src=x onerror=alert(1)> | # [a](javascript:x) **b** <!-- labwright -->\r\n",
    "\x1b[31mred\x1b[0m \u202egnp.exe \u200b end",
    "/lab run\n> /lab run",
    "ж" * 60_000,
)


def comment_of(talk: Talk, id: str) -> Comment:
    (found,) = [comment for comment in talk.comments if comment.id == id]
    return found


class TalkSuite(Needing):
    """Needs the fixture `world`: a fresh ForgeWorld for each test."""

    def test_a_pull_request_is_told_with_its_head_its_base_and_its_author(self, world: ForgeWorld) -> None:
        number = world.open("cleo", title="Try a larger model")
        pull = world.forge.talk(number).pull
        assert (pull.number, pull.title, pull.author.login) == (number, "Try a larger model", "cleo")
        assert (pull.base, pull.open, pull.merged, pull.fork, pull.draft) == ("main", True, False, False, False)
        assert len(pull.head) in (40, 64) and str(number) in pull.url and str(number) in pull.ref
        assert pull.labels == frozenset() and pull.head_branch

    def test_a_label_names_who_put_it_on(self, world: ForgeWorld) -> None:
        number = world.open()
        world.put_label(number, RUN, "ben")
        talk = world.forge.talk(number)
        assert [(made.label, made.by.login, made.on) for made in talk.labellings] == [(RUN, "ben", True)]
        assert talk.pull.labels == {RUN}

    @needs("labels")
    def test_a_label_that_was_taken_off_and_put_on_again_names_everybody_in_order(self, world: ForgeWorld) -> None:
        number = world.open()
        world.put_label(number, RUN, "ben")
        world.put_label(number, RUN, "dora", on=False)
        world.put_label(number, RUN, "ada")
        made = world.forge.talk(number).labellings
        assert [(each.by.login, each.on) for each in made] == [("ben", True), ("dora", False), ("ada", True)]
        assert len({each.id for each in made}) == 3
        assert list(made) == sorted(made, key=lambda each: each.at)

    @needs("labels")
    def test_a_label_is_told_by_its_whole_name(self, world: ForgeWorld) -> None:
        number = world.open()
        world.put_label(number, "lab:running", "ben")
        assert world.forge.talk(number).pull.labels == {"lab:running"}

    def test_a_review_names_the_commit_it_looked_at(self, world: ForgeWorld) -> None:
        number = world.open()
        head = world.forge.talk(number).pull.head
        id = world.review(number, "ben")
        (review,) = world.forge.talk(number).reviews
        assert (review.id, review.by.login, review.commit, review.opinion) == (id, "ben", head, Opinion.APPROVED)

    def test_a_review_stays_with_its_commit_after_a_push(self, world: ForgeWorld) -> None:
        number = world.open()
        before = world.forge.talk(number).pull.head
        world.review(number, "ben")
        after = world.push(number, "cleo")
        talk = world.forge.talk(number)
        assert talk.pull.head == after != before
        assert [review.commit for review in talk.reviews] == [before]

    def test_a_review_that_wants_changes_is_no_approval(self, world: ForgeWorld) -> None:
        number = world.open()
        world.review(number, "ben", Opinion.CHANGES)
        assert [review.opinion for review in world.forge.talk(number).reviews] == [Opinion.CHANGES]

    @needs("comments")
    def test_a_review_without_a_verdict_is_a_comment(self, world: ForgeWorld) -> None:
        number = world.open()
        world.review(number, "ben", Opinion.COMMENT)
        opinions = {review.opinion for review in world.forge.talk(number).reviews}
        assert opinions <= {Opinion.COMMENT}  # or a plain comment, where a forge knows no such reviews

    def test_a_dismissed_review_is_told_as_such(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.review(number, "ben")
        world.dismiss(number, id, "ada")
        talk = world.forge.talk(number)
        assert Opinion.APPROVED not in {review.opinion for review in talk.reviews}

    def test_two_reviews_of_one_person_are_told_in_order(self, world: ForgeWorld) -> None:
        number = world.open()
        world.review(number, "ben", Opinion.CHANGES)
        world.review(number, "ben")
        assert [review.opinion for review in world.forge.talk(number).reviews][-1] == Opinion.APPROVED

    @needs("comments")
    def test_a_comment_is_told_with_its_author_and_its_text(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.write(number, "/lab plan", "mallory")
        comment = comment_of(world.forge.talk(number), id)
        assert (comment.by.login, comment.body, comment.edited) == ("mallory", "/lab plan", False)
        assert comment.url

    @needs("comments")
    def test_an_edited_comment_is_marked(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.write(number, "fine", "ben")
        world.settle()
        world.edit(number, id, "/lab run", "ben")
        comment = comment_of(world.forge.talk(number), id)
        assert (comment.body, comment.edited) == ("/lab run", True)

    @needs("comments")
    def test_a_comment_that_was_taken_back_is_gone(self, world: ForgeWorld) -> None:
        number = world.open()
        id = world.write(number, "/lab run", "ben")
        world.erase(number, id, "ben")
        assert id not in {comment.id for comment in world.forge.talk(number).comments}

    @pytest.mark.parametrize("text", HOSTILE, ids=["markdown", "terminal", "commands", "long"])
    @needs("comments")
    def test_text_comes_through_as_it_was_written(self, world: ForgeWorld, text: str) -> None:
        number = world.open()
        id = world.write(number, text, "mallory")
        assert comment_of(world.forge.talk(number), id).body.strip() == text.strip()

    def test_a_title_is_text(self, world: ForgeWorld) -> None:
        title = "`x` <b>@ada</b> | \u202e \U0001f9ea #1 $(id)"
        number = world.open(title=title)
        assert world.forge.talk(number).pull.title == title
        assert world.forge.pulls()[0].title == title

    @needs("comments")
    def test_whoever_wrote_a_commit_is_a_committer_and_others_are_not(self, world: ForgeWorld) -> None:
        number = world.open("cleo")
        world.push(number, "dora")
        world.review(number, "ben")
        world.write(number, "good", "ada")
        assert world.forge.talk(number).committers == {"cleo", "dora"}

    @needs("comments")
    def test_a_closed_pull_request_can_be_talked_about(self, world: ForgeWorld) -> None:
        number = world.open()
        world.write(number, "no", "ben")
        world.shut(number, "ben")
        talk = world.forge.talk(number)
        assert (talk.pull.open, talk.pull.merged, len(talk.comments)) == (False, False, 1)

    def test_a_merged_one_is_told_apart_from_a_closed_one(self, world: ForgeWorld) -> None:
        number = world.open()
        head = world.forge.talk(number).pull.head
        world.merge(number, "ben")
        pull = world.forge.talk(number).pull
        assert (pull.open, pull.merged, pull.head) == (False, True, head)

    @needs("reset")
    def test_reopening_and_aiming_elsewhere_are_remembered(self, world: ForgeWorld) -> None:
        number = world.open()
        world.review(number, "ben")
        assert world.forge.talk(number).reset is None
        world.shut(number, "cleo")
        world.reopen(number, "cleo")
        talk = world.forge.talk(number)
        assert talk.pull.open and talk.reset is not None and talk.reset >= talk.reviews[0].at
        world.aim(number, "other", "cleo")
        again = world.forge.talk(number)
        assert again.pull.base == "other" and again.reset is not None and again.reset >= talk.reset

    @needs("comments")
    def test_more_comments_than_one_page_holds_all_come(self, world: ForgeWorld) -> None:
        number = world.open()
        for n in range(64):
            world.write(number, f"comment {n}", "ben")
        world.put_label(number, RUN, "dora")
        talk = world.forge.talk(number)
        assert [comment.body for comment in talk.comments] == [f"comment {n}" for n in range(64)]
        assert [made.by.login for made in talk.labellings] == ["dora"]

    def test_a_pull_request_that_is_not_there_is_refused(self, world: ForgeWorld) -> None:
        with pytest.raises(Refused):
            world.forge.talk(4711)
