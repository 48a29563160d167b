"""`Lab-Rerun: TASK` in a commit's message is an act, once."""

from datetime import UTC, datetime

from labwright.decide.trailers import rerun_acts
from labwright.domain.job import ActKind
from labwright.domain.snapshot import CommitInfo

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def commit(sha: str, *trailers: tuple[str, str], email: str = "ada@example.org") -> CommitInfo:
    return CommitInfo(sha, (), "Ada", email, NOW, "subject", trailers)


def test_a_trailer_asks_for_one_rerun_in_the_name_of_its_author() -> None:
    (act,) = rerun_acts([commit("abc", ("Lab-Rerun", "a/train"))], {"a/train"}, NOW)
    assert (act.kind, act.target, act.by) == (ActKind.RERUN, "a/train", "ada@example.org")


def test_the_same_commit_read_twice_is_the_same_act() -> None:
    commits = [commit("abc", ("lab-rerun", "a"), ("LAB-RERUN", "b"))]
    first, second = rerun_acts(commits, {"a", "b"}, NOW), rerun_acts(commits, {"a", "b"}, NOW)
    assert [act.id for act in first] == [act.id for act in second] == ["trailer:abc:a", "trailer:abc:b"]


def test_it_runs_what_stands_on_the_branch_where_it_was_read() -> None:
    (act,) = rerun_acts([commit("abc", ("Lab-Rerun", "a"))], {"a"}, NOW, "dev")
    assert act.arguments == {"branch": "dev"}


def test_other_trailers_and_tasks_that_are_not_there_ask_for_nothing() -> None:
    assert rerun_acts([commit("abc", ("Signed-off-by", "a"), ("Lab-Rerun", "gone"))], {"a"}, NOW) == []


def test_an_author_without_an_address_is_named_by_name() -> None:
    assert rerun_acts([commit("abc", ("Lab-Rerun", "a"), email="")], {"a"}, NOW)[0].by == "Ada"
