"""What every results branch promises. Subclass ResultsSuite and give the fixture `world`; pytest runs the rest."""

from typing import Protocol

import pytest

from labwright.domain.errors import Unavailable
from labwright.ports.repo import ResultsBranch


class ResultsWorld(Protocol):
    @property
    def branch(self) -> ResultsBranch: ...
    def other(self) -> ResultsBranch:
        """Another writer of the same remote branch, with a memory of its own."""
        ...

    def reopen(self) -> ResultsBranch:
        """The same branch after a restart of the process."""
        ...

    def commits(self) -> int:
        """How many the remote's branch has."""
        ...

    def reachable(self, yes: bool) -> None: ...


class ResultsSuite:
    """Needs the fixture `world`: a ResultsWorld without a results branch for each test."""

    def test_before_the_first_result_there_is_no_branch(self, world: ResultsWorld) -> None:
        assert world.branch.tip() is None
        assert list(world.branch.files()) == []

    def test_what_is_published_is_what_is_read(self, world: ResultsWorld) -> None:
        files = {"results/a/1/manifest.json": b"{}", "results/a/1/metrics.parquet": bytes(range(256)), "results/e": b""}
        tip = world.branch.publish(files, "first")
        assert world.branch.tip() == tip
        assert dict(world.branch.files()) == files
        assert dict(world.reopen().files()) == files

    def test_files_are_found_by_how_they_end_and_come_in_order(self, world: ResultsWorld) -> None:
        world.branch.publish({"results/b/manifest.json": b"2", "results/a/manifest.json": b"1", "results/x": b"3"}, "m")
        found = list(world.branch.files("/manifest.json"))
        assert found == [("results/a/manifest.json", b"1"), ("results/b/manifest.json", b"2")]

    def test_later_files_replace_and_add_and_the_others_stay(self, world: ResultsWorld) -> None:
        world.branch.publish({"a": b"1", "b": b"1"}, "one")
        world.branch.publish({"b": b"2", "c": b"2"}, "two")
        assert dict(world.branch.files()) == {"a": b"1", "b": b"2", "c": b"2"}
        assert world.commits() == 2

    def test_publishing_what_is_there_already_is_no_commit(self, world: ResultsWorld) -> None:
        tip = world.branch.publish({"a": b"1", "b": b"1"}, "one")
        assert world.branch.publish({"b": b"1"}, "again") == tip
        assert world.reopen().publish({"a": b"1"}, "again") == tip
        assert world.commits() == 1

    def test_what_another_writer_pushed_meanwhile_stays(self, world: ResultsWorld) -> None:
        other = world.other()
        world.branch.publish({"a": b"1"}, "mine")
        other.publish({"b": b"1"}, "theirs")
        world.branch.publish({"c": b"1"}, "mine again")
        other.publish({"d": b"1"}, "theirs again")
        assert dict(world.reopen().files()) == dict.fromkeys("abcd", b"1")
        assert world.commits() == 4

    def test_the_same_result_from_two_writers_is_there_once(self, world: ResultsWorld) -> None:
        other = world.other()
        other.publish({"a": b"1"}, "first")
        world.branch.publish({"a": b"1"}, "again")
        assert world.commits() == 1

    def test_a_remote_out_of_reach_is_unavailable_and_nothing_is_lost(self, world: ResultsWorld) -> None:
        world.branch.publish({"a": b"1"}, "one")
        world.reachable(False)
        for _ in range(2):
            with pytest.raises(Unavailable):
                world.branch.publish({"b": b"1"}, "two")
        world.reachable(True)
        world.branch.publish({"b": b"1"}, "two")
        assert dict(world.reopen().files()) == {"a": b"1", "b": b"1"}
        assert world.commits() == 2
