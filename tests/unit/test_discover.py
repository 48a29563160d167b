"""Which tasks a tree has, which files are theirs, and whom a change concerns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.decide.discover import Links, Tree, affected, changed_paths, glob_regex, resolve, resolve_need
from labwright.domain.snapshot import Entry, Snapshot


def tree(*paths: str, commit: str = "c", **oids: str) -> Tree:
    return Tree(Snapshot(commit, {path: Entry("100644", oids.get(path.replace("/", "_"), "o")) for path in paths}))


def with_change(before: Tree, *paths: str, without: tuple[str, ...] = ()) -> Tree:
    entries = {p: e for p, e in before.entries.items() if p not in without}
    return Tree(Snapshot("d", {**entries, **{path: Entry("100644", "changed") for path in paths}}))


def test_a_task_is_a_folder_below_experiments_that_has_a_task_yaml() -> None:
    seen = tree("experiments/a/task.yaml", "experiments/b/train/task.yaml", "src/task.yaml", "experiments/task.yaml")
    assert sorted(seen.tasks) == ["a", "b/train"]
    assert seen.tasks["b/train"].path == "experiments/b/train/task.yaml"


def test_a_nested_task_owns_its_files() -> None:
    seen = tree(
        "experiments/a/task.yaml",
        "experiments/a/x.py",
        "experiments/a/deep/y.py",
        "experiments/a/eval/task.yaml",
        "experiments/a/eval/z.py",
        "experiments/a/eval/more/task.yaml",
        "experiments/a/eval.py",
        "experiments/ab/other.py",
    )
    below = {"deep/y.py", "eval.py", "task.yaml", "x.py"}
    assert {path.removeprefix("experiments/a/") for path in seen.below("experiments/a")} == below
    assert list(seen.below("experiments/a/eval")) == ["experiments/a/eval/task.yaml", "experiments/a/eval/z.py"]


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/deep/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/deep/er/a.py", True),
        ("src/**", "src/deep/a.py", True),
        ("src", "src/deep/a.py", True),
        ("src/", "src/a.py", True),
        ("src", "srcs/a.py", False),
        ("s?c/a.py", "src/a.py", True),
        ("s?c/a.py", "s/c/a.py", False),
        ("data/[1].csv", "data/[1].csv", True),
        ("data/[1].csv", "data/1.csv", False),
        ("**/x*y*z", "a/b/x1y2z", True),
        ("**/b/**/b/c", "a/b/b/c", True),
        ("a*b*c", "a/b/c", False),
        ("*", "folder/file", True),
    ],
)
def test_a_star_stays_in_its_folder_and_two_do_not(pattern: str, path: str, fits: bool) -> None:
    assert bool(glob_regex(pattern).fullmatch(path)) is fits


def plainly(pattern: str) -> str:
    """The same globs as a regex that may take for ever."""
    pattern = re.sub(r"(?<![^/])(\*\*/)+", "**/", pattern)
    found = re.findall(r"(?:(?<=/)|^)\*\*/|\*\*|\*|\?|[^*?]", pattern.rstrip("/"))
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(one, re.escape(one)) for one in found) + "(?:/.*)?"


@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**/", "**", "/"]), max_size=9).map("".join),
    st.lists(st.sampled_from(["a", "b", "ab", "/"]), min_size=1, max_size=9).map("".join),
)
def test_globs_match_as_if_every_way_were_tried(pattern: str, path: str) -> None:
    if "***" not in pattern:
        assert bool(glob_regex(pattern).fullmatch(path)) == bool(re.fullmatch(plainly(pattern), path, re.DOTALL))


def test_a_glob_full_of_stars_does_not_take_for_ever() -> None:
    path = "a/" * 100 + "end"
    for pattern in ("**/" * 30 + "x", "**/a/" * 30 + "x", "*a" * 60 + "x", "**a" * 40 + "x"):
        assert not glob_regex(pattern).fullmatch(path + "a" * 200)


@pytest.mark.parametrize(
    ("pattern", "root"),
    [
        ("data.csv", "experiments/a/data.csv"),
        ("../shared/*.py", "experiments/shared/*.py"),
        ("/src/lib.py", "src/lib.py"),
        ("./x", "experiments/a/x"),
        ("../../../secret", None),
    ],
)
def test_inputs_are_relative_to_the_tasks_folder_or_to_the_root(pattern: str, root: str | None) -> None:
    assert resolve("experiments/a", pattern) == root


def test_a_glob_finds_the_files_of_the_repository() -> None:
    seen = tree("src/a.py", "src/b.txt", "src/deep/c.py", "srcs/d.py")
    assert list(seen.matching("src/**/*.py")) == ["src/a.py", "src/deep/c.py"]
    assert list(seen.matching("src")) == ["src/a.py", "src/b.txt", "src/deep/c.py"]
    assert not seen.matching("nothing/*")


@pytest.mark.parametrize(
    ("written", "task"),
    [
        ("b/train", "b/train"),
        ("../train", "a/train"),
        ("./deep", "a/eval/deep"),
        ("experiments/b/x", "b/x"),
        ("b/", "b"),
    ],
)
def test_a_need_is_named_as_people_name_it(written: str, task: str) -> None:
    assert resolve_need("a/eval", written) == task


def test_mode_content_and_presence_are_changes() -> None:
    before = tree("x", "y", "z")
    after = Snapshot("d", {"x": Entry("100755", "o"), "y": Entry("100644", "o"), "n": Entry("100644", "o")})
    assert changed_paths(before.snapshot, after) == {"x", "z", "n"}
    assert changed_paths(None, after) == {"x", "y", "n"}


A, B = "experiments/a/task.yaml", "experiments/b/task.yaml"
EVAL = "experiments/a/eval/task.yaml"


@pytest.mark.parametrize(
    ("changed", "links", "concerned"),
    [
        (("experiments/a/x.py",), {}, {"a"}),
        (("experiments/a/eval/x.py",), {}, {"a", "a/eval"}),
        (("src/x.py", "lab.yaml"), {}, set()),
        (("src/x.py",), {"b": Links(inputs=("/src/*.py",))}, {"b"}),
        (("src/x.txt",), {"b": Links(inputs=("/src/*.py",))}, set()),
        (("experiments/b/x",), {"a": Links(needs=("b",))}, {"a", "b"}),
        (
            ("experiments/b/x",),
            {"a/eval": Links(needs=("../../b",)), "a": Links(needs=("./eval",))},
            {"a", "a/eval", "b"},
        ),
    ],
)
def test_a_change_concerns_its_task_those_that_read_it_and_those_that_wait(
    changed: tuple[str, ...], links: dict[str, Links], concerned: set[str]
) -> None:
    before = tree(A, B, EVAL)
    assert affected(before.snapshot, with_change(before, *changed), links) == concerned


def test_a_removed_task_is_concerned_and_so_is_the_folder_above_it() -> None:
    before = tree(A, B, EVAL)
    assert affected(before.snapshot, with_change(before, without=(EVAL,)), {}) == {"a", "a/eval"}


def test_at_first_sight_every_task_is_concerned() -> None:
    assert affected(None, tree(A, B), {}) == {"a", "b"}
