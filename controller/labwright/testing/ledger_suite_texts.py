"""The ledger's promises on wants, texts, acts, plans and cursors; part of LedgerSuite."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from labwright.domain.ids import Digest, JobId
from labwright.domain.job import Act, ActKind, Want, Wanted
from labwright.ports.ledger import Ledger, PlanRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRANGE = {
    "unicode": "größe/训练/🧪",
    "newlines": "a\r\nb\n\tc ",
    "not UTF-8": b"caf\xe9/\xff\xfe".decode("utf-8", "surrogateescape"),
    "lone surrogate": "\ud800x",
    "NUL": "a\x00b",
    "our own escape": "\x1a\x1adcff \x1a",
    "quotes": "'; DROP TABLE jobs; -- \" % _ \\ :name",
    "empty": "",
    "huge": "x" * 3_000_000,
}


def a_want(task: str = "alpha/train", letter: str = "a", branch: str = "main", how: Wanted = Wanted.LAUNCHED) -> Want:
    return Want(branch, task, Digest(letter * 64), 0, how, JobId("job1"), "c" * 40, "why")


def an_act(number: int = 1) -> Act:
    return Act(
        f"act{number}", ActKind.RERUN, "alpha/train", "ada", NOON + timedelta(seconds=number), {"params": {"lr": 1}}
    )


def a_plan(digest: str = "abc123", minutes: int = 0) -> PlanRow:
    return PlanRow(digest, "c" * 40, "main", NOON + timedelta(minutes=minutes), 3, 2, 1, 0, True, detail={"rows": [1]})


class TextsSuite:
    def test_wants_are_kept_in_the_order_given(self, ledger: Ledger) -> None:
        b, a, first = a_want(letter="b"), a_want(letter="a"), a_want("aaa", "c")
        bare = replace(a_want("zzz"), job=None, how=Wanted.INVALID, work=Digest(""))
        ledger.set_wants("main", {"zzz": [bare], "alpha/train": [b, a], "aaa": [first]})
        assert ledger.wants() == [first, b, a, bare]

    def test_wants_are_replaced_for_exactly_the_tasks_named(self, ledger: Ledger) -> None:
        ledger.set_wants("main", {"one": [a_want("one"), a_want("one", "b")], "two": [a_want("two")]})
        ledger.set_wants("dev", {"one": [a_want("one", branch="dev")]})
        ledger.set_wants("main", {"one": [a_want("one", "z", how=Wanted.REUSED)]})
        assert ledger.wants("main") == [a_want("one", "z", how=Wanted.REUSED), a_want("two")]
        assert ledger.wants("dev") == [a_want("one", branch="dev")]
        ledger.set_wants("main", {"two": []})
        assert ledger.wants("main", ["two"]) == [] and len(ledger.wants(tasks=["one"])) == 2
        assert ledger.wants("nowhere") == []

    def test_contents_once_known_are_left_alone(self, ledger: Ledger) -> None:
        one, two = Digest("1"), Digest("2")
        ledger.put_contents({one: "first"})
        ledger.put_contents({one: "changed", two: "second"})
        assert ledger.contents([one, two, Digest("3")]) == {one: "first", two: "second"}
        assert ledger.contents([]) == {}

    def test_what_was_parsed_is_replaced(self, ledger: Ledger) -> None:
        ledger.put_parsed({"blob1": "old", "blob2": "kept"})
        ledger.put_parsed({"blob1": "new"})
        assert ledger.parsed() == {"blob1": "new", "blob2": "kept"}

    def test_an_act_is_put_once_however_often_it_arrives(self, ledger: Ledger) -> None:
        act = an_act()
        assert ledger.put_act(act) is True
        assert ledger.put_act(act) is False
        assert ledger.put_act(replace(act, target="other")) is False
        assert ledger.acts() == [act]

    def test_pending_acts_are_those_not_finished_oldest_first(self, ledger: Ledger) -> None:
        for number in (3, 1, 2):
            ledger.put_act(an_act(number))
        ledger.finish_act("act2", NOON, "ran again as job x")
        assert ledger.acts() == [an_act(1), an_act(3)]
        assert ledger.acts(pending=False)[1] == replace(an_act(2), done=NOON, answer="ran again as job x")
        assert ledger.put_act(an_act(2)) is False and len(ledger.acts()) == 2
        ledger.finish_act("unknown", NOON, "nothing happens")

    def test_plans_come_newest_first_and_by_prefix(self, ledger: Ledger) -> None:
        old, new = a_plan("abc1", 1), a_plan("abd2", 2)
        ledger.put_plan(new)
        ledger.put_plan(old)
        assert ledger.plans() == [new, old] and ledger.plans(most=1) == [new]
        assert ledger.plans(digest="abc") == [old] and ledger.plans(digest="ab") == [new, old]
        assert ledger.plans(digest="%") == [] and ledger.plans(digest="ABC") == []

    def test_a_plan_is_replaced_when_it_is_confirmed(self, ledger: Ledger) -> None:
        ledger.put_plan(a_plan())
        ledger.put_plan(replace(a_plan(), confirmed="ada", detail=None))
        assert ledger.plans() == [replace(a_plan(), confirmed="ada", detail=None)]

    def test_a_cursor_is_set_changed_and_taken_away(self, ledger: Ledger) -> None:
        assert ledger.cursor("tip") is None
        ledger.set_cursor("tip", "1")
        ledger.set_cursor("tip", "2")
        assert ledger.cursor("tip") == "2"
        ledger.set_cursor("tip", None)
        ledger.set_cursor("tip", None)
        assert ledger.cursor("tip") is None

    @pytest.mark.parametrize("kind", STRANGE)
    def test_any_text_comes_back_as_it_was(self, ledger: Ledger, kind: str) -> None:
        text = STRANGE[kind]
        want = replace(a_want(task=text[:1000]), detail=text)
        act = replace(an_act(), target=text, arguments={text: [text, None, 1.5, True]})
        ledger.set_wants("main", {want.task: [want]})
        ledger.put_act(act)
        ledger.put_contents({Digest("1"): text})
        ledger.set_cursor(text[:1000], text)
        assert ledger.wants("main", [want.task]) == [want]
        assert ledger.acts() == [act]
        assert ledger.contents([Digest("1")]) == {"1": text}
        assert ledger.cursor(text[:1000]) == text
