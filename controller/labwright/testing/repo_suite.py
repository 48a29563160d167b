"""What every lab repository promises. Subclass RepoSuite and give the fixture `world`; pytest runs the rest."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pytest

from labwright.domain.errors import Refused, Unavailable
from labwright.domain.snapshot import Snapshot
from labwright.ports.repo import Repo


class RepoWorld(Protocol):
    """A repository, and the people who push to it."""

    @property
    def repo(self) -> Repo: ...
    def commit(
        self,
        files: Mapping[str, bytes | None],
        *,
        branch: str = "main",
        message: str = "change",
        trailers: Sequence[tuple[str, str]] = (),
    ) -> str: ...
    def drop_branch(self, branch: str) -> None: ...
    def set_ref(self, ref: str, commit: str) -> None:
        """As a forge does for the head of a pull request."""
        ...

    def take_down(self) -> None:
        """From now on the remote cannot be reached."""
        ...


def read_at(repo: Repo, snapshot: Snapshot, *paths: str) -> list[bytes]:
    return list(repo.read([snapshot.entries[path].oid for path in paths]))


class RepoSuite:
    """Needs the fixture `world`: an empty RepoWorld for each test."""

    def test_a_fetch_names_the_tip_of_every_branch(self, world: RepoWorld) -> None:
        one = world.commit({"a": b"1"})
        two = world.commit({"a": b"2"}, branch="topic/x")
        assert world.repo.fetch() == {"main": one, "topic/x": two}

    def test_an_empty_repository_has_no_branches_and_that_is_no_error(self, world: RepoWorld) -> None:
        assert world.repo.fetch() == {}

    def test_a_repository_whose_first_commit_comes_later_is_seen(self, world: RepoWorld) -> None:
        assert world.repo.fetch() == {}
        tip = world.commit({"a": b"1"})
        assert world.repo.fetch() == {"main": tip}
        assert read_at(world.repo, world.repo.snapshot(tip), "a") == [b"1"]

    def test_the_results_branch_is_never_a_tip(self, world: RepoWorld) -> None:
        world.commit({"a": b"1"})
        world.commit({"results/x": b"1"}, branch="lab-results")
        assert list(world.repo.fetch()) == ["main"]

    def test_the_next_fetch_sees_a_new_commit_and_a_removed_branch(self, world: RepoWorld) -> None:
        world.commit({"a": b"1"})
        world.commit({"a": b"2"}, branch="topic")
        world.repo.fetch()
        tip = world.commit({"a": b"3"})
        world.drop_branch("topic")
        assert world.repo.fetch() == {"main": tip}

    def test_no_branch_where_there_were_some_is_unavailable(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1"})
        world.repo.fetch()
        world.drop_branch("main")
        for _ in range(2):
            with pytest.raises(Unavailable):
                world.repo.fetch()
        assert world.commit({"a": b"2"}) != tip
        assert list(world.repo.fetch()) == ["main"]

    def test_a_remote_out_of_reach_is_unavailable_and_what_is_known_stays(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1"})
        world.repo.fetch()
        before = world.repo.snapshot(tip)
        world.take_down()
        with pytest.raises(Unavailable):
            world.repo.fetch()
        assert before.entries.keys() == {"a"}

    def test_a_snapshot_names_each_file_and_its_blob(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1", "dir/b": b"2", "dir/deep/c": b"1"})
        world.repo.fetch()
        snapshot = world.repo.snapshot(tip)
        assert snapshot.commit == tip
        assert snapshot.entries.keys() == {"a", "dir/b", "dir/deep/c"}
        assert snapshot.entries["a"] == snapshot.entries["dir/deep/c"]
        assert snapshot.entries["a"].mode == "100644"

    def test_a_snapshot_by_the_difference_is_the_same_as_a_whole_one(self, world: RepoWorld) -> None:
        one = world.commit({"a": b"1", "b": b"2", "c/d": b"3"})
        two = world.commit({"a": b"1!", "b": None, "c/e": b"4"})
        three = world.commit({"c/d": None, "c/e": None, "c": b"now a file"})
        world.repo.fetch()
        first, last = world.repo.snapshot(one), world.repo.snapshot(three)
        assert world.repo.snapshot(three, first) == last
        assert world.repo.snapshot(two, first) == world.repo.snapshot(two)
        assert world.repo.snapshot(one, last) == first

    def test_blobs_come_in_the_order_asked_and_as_often(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1\n", "b": b"", "c": bytes(range(256)) * 1000})
        world.repo.fetch()
        snapshot = world.repo.snapshot(tip)
        assert read_at(world.repo, snapshot, "c", "a", "b", "a") == [bytes(range(256)) * 1000, b"1\n", b"", b"1\n"]

    def test_thousands_of_blobs_in_one_call(self, world: RepoWorld) -> None:
        tip = world.commit({f"d/{n}": str(n).encode() for n in range(1500)})
        world.repo.fetch()
        snapshot = world.repo.snapshot(tip)
        paths = sorted(snapshot.entries)
        assert read_at(world.repo, snapshot, *paths) == [path[2:].encode() for path in paths]
        oids = [snapshot.entries[path].oid for path in paths]
        sizes = world.repo.sizes(oids)
        assert [sizes[oid] for oid in oids] == [len(path) - 2 for path in paths]

    def test_an_iterator_left_half_way_disturbs_no_later_one(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1", "b": b"2", "c": b"3"})
        world.repo.fetch()
        snapshot = world.repo.snapshot(tip)
        half = iter(world.repo.read([e.oid for e in snapshot.entries.values()]))
        next(half)
        assert read_at(world.repo, snapshot, "c", "b") == [b"3", b"2"]
        assert len(list(half)) == 2

    def test_a_blob_over_the_limit_is_refused_and_the_next_one_is_read(self, world: RepoWorld) -> None:
        tip = world.commit({"large": b"x" * 1001, "small": b"y" * 1000})
        world.repo.fetch()
        snapshot = world.repo.snapshot(tip)
        with pytest.raises(Refused, match=r"1,001 bytes .*limit"):
            list(world.repo.read([snapshot.entries["large"].oid], limit=1000))
        assert list(world.repo.read([snapshot.entries["small"].oid], limit=1000)) == [b"y" * 1000]

    def test_an_object_that_is_not_there_is_unavailable(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1"})
        world.repo.fetch()
        for ask in (lambda: list(world.repo.read(["0" * len(tip)])), lambda: world.repo.sizes(["0" * len(tip)])):
            with pytest.raises(Unavailable):
                ask()

    def test_commits_say_who_and_with_which_trailers(self, world: RepoWorld) -> None:
        one = world.commit({"a": b"1"}, message="first")
        two = world.commit(
            {"a": b"2"}, message="second", trailers=[("Lab-Rerun", "alpha/train"), ("Lab-Rerun", "beta")]
        )
        world.repo.fetch()
        found = world.repo.commits([two, one])
        assert found[two].parents == (one,)
        assert found[two].trailers == (("Lab-Rerun", "alpha/train"), ("Lab-Rerun", "beta"))
        assert (found[one].subject, found[one].author, found[one].email) == ("first", "Ada", "ada@example.org")
        assert found[one].parents == ()
        assert found[one].trailers == ()
        assert found[one].at.tzinfo is not None

    def test_commits_between_are_oldest_first_and_bounded_to_the_newest(self, world: RepoWorld) -> None:
        shas = [world.commit({"a": str(n).encode()}) for n in range(5)]
        world.repo.fetch()
        assert [c.sha for c in world.repo.between(shas[1], shas[4])] == shas[2:]
        assert [c.sha for c in world.repo.between(None, shas[4], most=2)] == shas[3:]
        assert world.repo.between(shas[4], shas[4]) == ()

    def test_the_default_branch_is_named(self, world: RepoWorld) -> None:
        world.commit({"a": b"1"}, branch="topic")
        world.commit({"a": b"1"})
        world.repo.fetch()
        assert world.repo.default_branch() == "main"

    def test_a_pull_requests_head_is_brought_by_its_ref(self, world: RepoWorld) -> None:
        base = world.commit({"a": b"1"})
        world.commit({"a": b"1"}, branch="topic")
        head = world.commit({"a": b"2"}, branch="topic")
        world.set_ref("refs/pull/7/head", head)
        world.drop_branch("topic")
        assert world.repo.fetch() == {"main": base}
        world.repo.bring("refs/pull/7/head", head)
        assert read_at(world.repo, world.repo.snapshot(head), "a") == [b"2"]
        world.repo.bring("refs/pull/7/head", head)

    def test_a_head_that_moved_on_is_unavailable_and_another_ref_refused(self, world: RepoWorld) -> None:
        tip = world.commit({"a": b"1"})
        world.set_ref("refs/merge-requests/7/head", tip)
        world.repo.fetch()
        with pytest.raises(Unavailable):
            world.repo.bring("refs/merge-requests/7/head", "1" * len(tip))
        for ref in ("refs/heads/main", "--upload-pack=x", "refs/pull/7/head:refs/heads/main"):
            with pytest.raises(Refused):
                world.repo.bring(ref, "1" * len(tip))

    def test_the_merge_base_is_where_two_lines_part(self, world: RepoWorld) -> None:
        one = world.commit({"a": b"1"})
        two = world.commit({"a": b"2"})
        world.set_ref("refs/heads/topic", two)
        side = world.commit({"b": b"1"}, branch="topic")
        main = world.commit({"a": b"3"})
        world.repo.fetch()
        assert world.repo.merge_base(side, main) == two
        assert world.repo.merge_base(main, one) == one
        with pytest.raises(Unavailable):
            world.repo.merge_base(main, "0" * len(main))
