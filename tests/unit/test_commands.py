"""Commands in comments of pull requests (R8, R33, R34)."""

import re

import pytest

from labwright.decide.commands import MOST_CHARS, MOST_COMMANDS, Command, Verb, parse_commands

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        ("/lab run", Verb.RUN, ""),
        ("/lab run deadbee", Verb.RUN, "deadbee"),
        ("/lab run DEADBEEF", Verb.RUN, "deadbeef"),
        (f"/lab run {DIGEST}", Verb.RUN, DIGEST),
        ("/lab stop", Verb.STOP, ""),
        ("/lab stop alpha/train", Verb.STOP, "alpha/train"),
        ("/lab stop ./sub_1.2", Verb.STOP, "./sub_1.2"),
        ('/lab stop "my task/größe 2"', Verb.STOP, "my task/größe 2"),
        ("/lab rerun", Verb.RERUN, "failed"),
        ("/lab rerun failed", Verb.RERUN, "failed"),
        ("/lab rerun all", Verb.RERUN, "all"),
        ("/lab rerun k3jf2m5q7xab", Verb.RERUN, "k3jf2m5q7xab"),
        ("/lab plan", Verb.PLAN, ""),
        ("/lab why", Verb.WHY, ""),
        ("/lab why alpha", Verb.WHY, "alpha"),
        ("/lab help", Verb.HELP, ""),
        ("/lab", Verb.HELP, ""),
        ("/lab \t  why \t alpha \t ", Verb.WHY, "alpha"),
    ],
)
def test_a_line_that_begins_with_lab_is_a_command(line: str, verb: Verb, argument: str) -> None:
    assert parse_commands(line) == (Command(verb, argument, 1),)


def test_several_commands_keep_their_order_and_their_lines() -> None:
    body = "Looks good to me.\r\n/lab run deadbee\r\n\r\nand\r/lab stop beta\n/lab plan\n"
    assert [(c.verb, c.line) for c in parse_commands(body)] == [(Verb.RUN, 2), (Verb.STOP, 5), (Verb.PLAN, 6)]


@pytest.mark.parametrize(
    "line",
    [" /lab run", "\t/lab run", "please /lab run", "/labrun", "/lab-run", "/LAB run", "\u200b/lab run", "\ufeff/lab run",
     "／lab run", "//lab run", "\\/lab run", "&#47;lab run", "lab run", "**/lab run**", "/lab\u00a0run", "/lab\u2003run",
     "x\u2028/lab run", "x\x0b/lab run", "x\x0c/lab run", "x\x85/lab run", "", "/"],
)  # fmt: skip
def test_r34_only_the_very_start_of_a_line_commands(line: str) -> None:
    assert parse_commands(line) == ()


@pytest.mark.parametrize(
    "before",
    ["> quoted", "> quoted\nlazily", ">>> nested", "   > quoted", "- item", "  * item\n  more", "1. first", "- item\n\n  more", "  indented", "2) second",
     "`unclosed", "``unclosed ` here", "an \\` escaped one", "[text", "[link](", "![picture", "[ref]:", "[ref]: /url '",
     "| a |\n|---|", "a | b\n-|-", "~~struck", "$x", "{-gone", '<img alt="x>', "<br>", "x" * 400 + "`"],
)  # fmt: skip
def test_r8_what_may_reach_over_lines_ends_with_its_paragraph(before: str) -> None:
    assert parse_commands(f"{before}\n/lab run") == ()
    assert parse_commands(f"{before}\nmore\n/lab run") == ()
    assert parse_commands(f"{before}\n\n/lab run") == (Command(Verb.RUN, "", before.count("\n") + 3),)


@pytest.mark.parametrize(
    "before",
    ["<details>", "<details>\n\n", "text <b>", "<!-->", "<!--->", "a <!-- b\n\n-->", "<script>\n</script>", "<?php", "<![CDATA[",
     "</div>", "<DIV", "<!DOCTYPE html>", ">>>", "  >>>>  ", "- ```\n", "1. ~~~\n", "    ```\n", "\t~~~\n", "- > ```\n",
     "$$\n", "---\ntitle: x\n---", "+++\n", ";;;\n", "> q\n```\nx\n```", "- a\n  ```\n```", "<!-- a --> <!-- b", "<!-- a\n--> <div",
     "- a\n  <!-- b\nc -->", "<pre\n"],
)  # fmt: skip
def test_r8_what_may_hide_or_show_as_code_ends_all_commands(before: str) -> None:
    assert parse_commands(f"{before}\n\n/lab run") == ()
    assert parse_commands(f"/lab run\n\n{before}\n\n/lab stop")[0].verb is Verb.RUN  # what stood above it stands


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("```", "```"), ("~~~", "~~~"), ("````md", "`````"), ("  ~~~ a`b", "  ~~~~ \t"), ("<!-- hidden", "until here -->"),
     ("<!--", "-->")],
)  # fmt: skip
def test_r8_a_block_hides_up_to_its_own_end_and_no_further(opening: str, closing: str) -> None:
    indent = opening[: len(opening) - len(opening.lstrip())]
    inside = f"{opening}\n\n{indent}text\n{closing}\n"
    assert parse_commands(f"{opening}\n/lab run\n{closing}") == ()
    assert parse_commands(f"{opening}\n\n/lab run\n") == ()
    assert [c.verb for c in parse_commands(f"{inside}/lab run")] == [Verb.RUN]


@pytest.mark.parametrize("closing", ["``", "~~~", "``` x", "    ```", "> ```", "\t```"])
def test_r8_code_ends_with_a_fence_of_its_own_kind_alone(closing: str) -> None:
    assert parse_commands(f"```\n{closing}\n/lab run") == ()


def test_a_fence_cannot_be_closed_by_a_shorter_one() -> None:
    assert parse_commands("````\n```\n/lab run\n```\n/lab stop\n````\n/lab plan") == (Command(Verb.PLAN, "", 7),)


@pytest.mark.parametrize(
    "before",
    ["# Title", "a `b` ``c`d`` e", "see [this](https://e.org/a) now", "https://e.org", "<https://e.org/a?b=c>", "<a@e.org>",
     "a < b and b > c", "loss <0.5 ", "**bold** _and_ such", "10 % more!", "```inline```", "***", "`<details>` and `[`", ":tada:",
     "<!-- template -->", "@ada", "- item\n"],
)  # fmt: skip
def test_usual_words_above_a_command_do_not_hide_it(before: str) -> None:
    (command,) = parse_commands(f"{before}\n/lab run")
    assert command.verb is Verb.RUN


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/lab rn", "there is no command `rn`; did you mean `/lab run`?"),
        ("/lab Rerun", "did you mean `/lab rerun`?"),
        ("/lab cancel x", "did you mean `/lab stop`?"),
        ("/lab retry", "did you mean `/lab rerun`?"),
        ("/lab frobnicate", "there is no command `frobnicate`; `/lab help` lists those there are"),
        ("/lab @org/all", "there is no command of this name; `/lab help` lists those there are"),
        ("/lab run abc", "`abc` is no digest: 7 to 64 hex digits"),
        ("/lab run please", "`please` is no digest"),
        (f"/lab run {'a' * 65}", "this is no digest"),
        ("/lab run deadbee x", "this is no digest"),
        ("/lab run alpha/train", "takes a digest, not `alpha/train`; did you mean `/lab rerun`?"),
        ("/lab run all", "did you mean `/lab rerun`?"),
        ("/lab stop a b", "`/lab stop` takes one name; put a name with blanks in double quotes"),
        ("/lab stop ../../x", "`../../x` is no name of a task or job"),
        ("/lab stop -x", "`-x` is no name"),
        ('/lab stop ""', "this is no name"),
        ("/lab why `x`", "this is no name"),
        ("/lab why a\u202eb", "this is no name"),
        ("/lab why <!--", "this is no name"),
        ("/lab plan now", "`/lab plan` stands alone on its line"),
        ("/lab help me", "`/lab help` stands alone on its line"),
        ("/lab stop " + "x" * 300, "at most 300 characters long"),
    ],
)
def test_what_cannot_be_understood_is_answered_and_never_done(line: str, words: str) -> None:
    (command,) = parse_commands(line)
    assert words in command.problem
    assert command.argument == ""


@pytest.mark.parametrize(
    "text", ["@org/all", "`x` @y", "<!-- -->", "| |", "[x](y)", "![](//e)", "**x**", "\x1b[31m", "a\u202eb"]
)
@pytest.mark.parametrize("verb", ["", "run ", "stop ", "why ", "plan ", "help "])
def test_r33_an_answer_repeats_nothing_that_markdown_reads(verb: str, text: str) -> None:
    for command in parse_commands(f"/lab {verb}{text}"):
        assert re.fullmatch(r"[\w ;:,./?`-]*", command.problem), command.problem
        assert command.problem.count("`") % 2 == 0


def test_a_comment_with_too_many_commands_does_none_of_them() -> None:
    assert len(parse_commands("/lab plan\n" * MOST_COMMANDS)) == MOST_COMMANDS
    (only,) = parse_commands("hello\n" + "/lab stop\n" * (MOST_COMMANDS + 1))
    assert (only.verb, only.line) == (Verb.UNKNOWN, 2)
    assert "11: none of them was done" in only.problem


def test_a_comment_too_long_to_be_read_commands_nothing() -> None:
    assert parse_commands("/lab run\n" + "x" * (MOST_CHARS - 9)) == (Command(Verb.RUN, "", 1),)
    assert parse_commands("/lab run\n" + "x" * (MOST_CHARS - 8)) == ()


@pytest.mark.parametrize(
    "piece", ["`", "~", "<a", "[", "](", "<!--", "> ", "- ", "\\`", "` ", "<img ", "[x](y", "$", "\n`", "\n["]
)
def test_hostile_comments_of_full_length_are_read_at_once(piece: str) -> None:
    assert parse_commands((piece * MOST_CHARS)[:MOST_CHARS]) == ()


OURS = """\
### Plan `deadbeef0123` for abc1234
| job | where | GPU-hours |
| --- | --- | ---: |
| `alpha/train` | laptop | 2 |
To let it run: label `lab:run`, or comment `/lab run deadbeef0123`.
`/lab run` approves, `/lab stop` stops, `/lab rerun` runs again, `/lab plan` plans anew, `/lab why` explains, `/lab help` lists them.
> /lab run
- `/lab stop alpha/train`: stops one task
    /lab run deadbee
<!-- labwright:plan -->
@\u2060ada asked: there is no command `rn`; did you mean `/lab run`?
""".splitlines()


@pytest.mark.parametrize("line", OURS)
def test_r34_our_own_lines_hold_no_command(line: str) -> None:
    assert parse_commands(line) == ()


def test_r34_our_own_text_holds_no_command() -> None:
    assert parse_commands("\n".join(OURS)) == parse_commands("\n\n".join(OURS)) == ()
