"""Each rule of an untrusted tree (R15, R16), one test a rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.decide.tree_rules import Limits, check_path, check_tree
from labwright.domain.snapshot import Entry

OID = "a" * 40


def told(*paths: str, mode: str = "100644", **limits: int) -> list[tuple[str, str]]:
    entries = {path: Entry(mode, OID) for path in paths}
    return [(p.path, p.message) for p in check_tree(entries, {}, {OID: 10}, Limits(**limits))]


def links(**targets: str | bytes) -> list[str]:
    """Messages about symlinks; a key's `__` is a `/`."""
    by_path = {path.replace("__", "/"): target for path, target in targets.items()}
    return [f"{p.path}: {p.message}" for p in check_tree({p: Entry("120000", OID) for p in by_path}, by_path)]


def test_r15_plain_files_programs_and_usual_names_pass() -> None:
    assert (
        told("task.yaml", "src/a b.py", "Grün/é.txt", ".gitignore", ".github/x", "a.git", "git", "...", "-x", "a:b")
        == []
    )
    assert told("run.sh", mode="100755") == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "an absolute path"),
        ("../x", "`..` parts"),
        ("a/../b", "`..` parts"),
        ("a/./b", "`.` or"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("a\0b", "control characters"),
        ("a\nb", "control characters"),
        ("a\x7f", "control characters"),
        ("a\x9b31m", "control characters"),
        ("a\\b", "a backslash"),
        ("a\u202egpj.py", "direction-changing"),
        ("a\u200b", "invisible"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_r15_a_name_that_means_something_else_elsewhere_is_rejected(path: str, why: str) -> None:
    [(shown, message), *_] = told(path)
    assert why in message
    assert shown.isprintable()


@pytest.mark.parametrize(
    "name",
    [
        ".git",
        ".GIT",
        ".Git",
        ".git.",
        ".git ",
        ".git. .",
        "git~1",
        "GIT~1",
        ".git::$INDEX_ALLOCATION",
        ".g\u200cit",
        "\ufeff.git",
    ],
)
def test_r15_names_read_as_dot_git_are_rejected_at_any_depth(name: str) -> None:
    for path in (name, f"a/{name}/config"):
        assert any("`.git`" in message for _, message in told(path))


def test_r15_a_submodule_is_rejected() -> None:
    [(path, message)] = told("lib", mode="160000")
    assert path == "lib"
    assert "submodule" in message


@pytest.mark.parametrize("mode", ["100664", "040000", "100600", ""])
def test_r15_any_other_mode_is_rejected(mode: str) -> None:
    assert "only plain files and symlinks" in told("x", mode=mode)[0][1]


def test_r15_paths_that_differ_only_in_case_are_rejected() -> None:
    assert told("a.py", "A.py") == [("a.py", "differs from `A.py` only in case")]
    assert told("src/x", "Src/y") == [("src", "differs from `Src` only in case")]
    assert told("straße", "STRASSE")[0][1].endswith("only in case")


def test_r15_paths_that_differ_only_in_unicode_composition_are_rejected() -> None:
    [(_, message)] = told("caf\u00e9", "cafe\u0301")
    assert "only in how Unicode composes" in message


def test_r15_a_link_and_a_folder_that_are_one_place_without_case_are_rejected() -> None:
    entries = {"A": Entry("120000", OID), "a/x": Entry("100644", OID)}
    assert [p.message for p in check_tree(entries, {"A": "b"})] == ["differs from `A` only in case"]


def test_r15_links_inside_pass_also_when_nothing_is_there_yet() -> None:
    assert links(a="b", b="c/../d", c__d="../x", e=".", f="./a", g__h__i="../../a", n=b"\xff") == []


@pytest.mark.parametrize("target", ["..", "../x", "b/../../x", "./../x", "b/../.."])
def test_r15_a_link_out_of_the_task_is_rejected(target: str) -> None:
    assert links(a=target) == [f"a: a symlink to `{target}`, which leaves the task's files"]


def test_r15_an_absolute_link_is_rejected() -> None:
    assert links(a="/etc/passwd") == ["a: a symlink to the absolute path `/etc/passwd`"]


def test_r15_a_link_out_by_way_of_another_link_is_rejected() -> None:
    """As text `x/y/d/../..` is `x`; as the kernel walks it, `d` is the root already."""
    assert links(x__y__d="../..", e="x/y/d/../..") == ["e: a symlink to `x/y/d/../..`, which leaves the task's files"]


def test_r15_links_in_a_circle_are_rejected() -> None:
    assert [m.split(", ")[1] for m in links(a="b", b="a")] == ["which goes round in a circle"] * 2
    assert len(links(a="a/a/a")) == 1


def test_r15_a_very_long_chain_of_links_is_rejected_and_does_not_hang() -> None:
    chain = {f"l{n}": f"l{n + 1}/l{n + 1}" for n in range(60)}
    assert any("circle" in m for m in links(**chain))


@pytest.mark.parametrize("target", ["a\nb", "a\\b", "a\x1b[31m", b"a\0b"])
def test_r15_a_link_with_a_target_of_odd_characters_is_rejected(target: str | bytes) -> None:
    assert links(a=target) == ["a: a symlink whose target has backslashes or control characters"]


def test_r15_an_empty_or_unread_link_is_rejected() -> None:
    assert links(a="") == ["a: a symlink to nothing"]
    assert [p.message for p in check_tree({"a": Entry("120000", OID)}, {})] == ["a symlink to nothing"]


def test_r16_too_many_files_are_rejected() -> None:
    paths = [str(n) for n in range(11)]
    assert told(*paths[:10], files=10) == []
    assert told(*paths, files=10) == [("", "the task has 11 files, and 10 are allowed")]
    assert Limits().files == 10_000


def test_r16_too_many_bytes_are_rejected_and_a_blob_counts_as_often_as_it_is_used() -> None:
    assert told("a", "b", total_bytes=20) == []
    assert told("a", "b", "c", total_bytes=20) == [("", "the task's files have 30 bytes, and 20 are allowed")]
    assert Limits().total_bytes == 512 << 20


def test_r16_too_long_paths_and_names_are_rejected_in_bytes() -> None:
    assert told("d/" * 500 + "x") == []
    assert "longer than 1,024 bytes" in told("d/" * 600 + "x")[0][1]
    assert "longer than 255 bytes" in told("é" * 128)[0][1]


def test_r16_the_problems_themselves_are_bounded() -> None:
    problems = told(*[f"{n}\\" for n in range(1000)])
    assert len(problems) == 51
    assert problems[-1] == ("", "and 950 more problems like these")


def test_r15_the_folder_that_a_task_lies_in_keeps_the_rules_of_names() -> None:
    assert check_path("experiments/alpha/train") == []
    assert [p.message for p in check_path("experiments/.GIT/a\nb")] == [
        "a name with control characters",
        "a name that some systems read as `.git`",
    ]


def test_every_problem_says_how_to_mend_it() -> None:
    entries = {"a\\b": Entry("100644", OID), "s": Entry("160000", OID), "l": Entry("120000", OID), "m": Entry("1", OID)}
    assert all(p.hint for p in check_tree(entries, {"l": "/x"}))


PART = st.sampled_from(["a", "b", "..", ".", "", "c"])


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
        st.lists(PART, min_size=1, max_size=6).map("/".join),
        max_size=6,
    )
)
def test_r15_no_accepted_link_leaves_when_the_kernel_follows_it(
    tmp_path_factory: pytest.TempPathFactory, targets: dict[str, str]
) -> None:
    targets = {p: t for p, t in targets.items() if not any(p.startswith(o + "/") for o in targets)}
    entries = {path: Entry("120000", OID) for path in targets}
    bad = {p.path for p in check_tree(entries, targets)}
    top = tmp_path_factory.mktemp("top") / "in"
    top.mkdir()
    for path, target in targets.items():
        if path not in bad:
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).symlink_to(target)
    for path in targets.keys() - bad:
        assert (top / path).resolve().is_relative_to(top.resolve())
