"""Nobody's quote, code or hidden text is a command (R8, R33, R34), as a CommonMark reader sees the same comment."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from labwright.decide.commands import MOST_COMMANDS, parse_commands
from labwright.decide.markdown import code, fence, plain

command = st.sampled_from(
    ["/lab run", "/lab run deadbee", "/lab stop alpha", "/lab", "/lab nonsense", "/lab rerun all"]
)
words = st.text("ab `~<>!-[]()|*\n/lab run", max_size=40)
harmless = st.text("abc .,\n", max_size=30)


@given(command, harmless, st.integers(3, 8), st.sampled_from("`~"), st.sampled_from(["", "\n"]))
def test_r8_no_fence_lets_a_command_out(text: str, inside: str, length: int, mark: str, end: str) -> None:
    body = f"{mark * length}\n{inside}\n{text}\n"
    assert parse_commands(body) == ()
    assert parse_commands(body + mark * length + end) == ()
    assert parse_commands(body + mark * (length - 1) + f"\n{text}") == ()


@given(command, words, st.sampled_from(["> ", ">", ">> ", "    ", "\t", " > ", "- ", "`", "<b>", "[", "x ", " ", "| "]))
def test_r8_no_prefix_lets_a_command_out(text: str, other: str, prefix: str) -> None:
    assert parse_commands("\n".join(prefix + line for line in re.split(r"\r\n|\n|\r", f"{other}\n{text}"))) == ()


@given(command, st.text("ab -\n", max_size=30).filter(lambda t: "-->" not in t and not t.startswith(("-", ">"))))
def test_r8_no_html_hides_a_command(text: str, inside: str) -> None:
    assert parse_commands(f"<!-- {inside}\n{text}\n-->") == ()
    for name in ("details", "div", "script", "pre", "kbd"):
        assert parse_commands(f"<{name}>\n{inside}\n\n{text}\n\n</{name}>\n\n{text}") == ()


@given(command, harmless)
def test_r8_no_code_over_lines_lets_a_command_out(text: str, inside: str) -> None:
    paragraph = " ".join(inside.split())
    assert parse_commands(f"a `{paragraph}\n{text}\nb` c") == ()
    assert parse_commands(f"a ``{paragraph} ` b\n{text}\nb`` c") == ()


@given(st.text())
def test_r34_what_we_say_of_people_s_texts_holds_no_command(text: str) -> None:
    for said in (f"/lab run\n{text}", text):
        assert (
            parse_commands(f"- {plain(said)}")
            == parse_commands(fence(said))
            == parse_commands(f"Task {code(said)}")
            == ()
        )


FRAGMENTS = ["a", "", "", "> q", ">", "```", "~~~", "````", "   ```", "  ~~~", "    ```", "\t```", "- ```", "- a", "  b", "1. c",
             "1. ~~~", "`", "``", "`x`", "a ` b", "\\`", "<!--", "-->", "<!-- c -->", "  <!--", "--> d", "<!-->", "<details>",
             "</details>", "<img src='a'>", "<img alt='", "'>", "[", "](", "[r]:", "[r]: /u '", "'", "[a](b)", "![", "](c)", "~~",
             "***", "---", "===", "# h", "| a | b |", "|---|---|", "a | b", "--- | ---", ">>>", "> ```", "> - a", "- > b", "    code",
             "<https://e.org>", "<a", ">", "<pre>", "</pre>", "$$", "``` a ` b", "```x```", "- <!--", "<br>", "{-", "-}"]  # fmt: skip
line = st.one_of(st.sampled_from(FRAGMENTS), st.just("/lab why "), st.just("/lab why "))
reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HARMLESS_HTML = re.compile(
    r"<!--(?:(?!-->).)*-->|<(?:img|br)[^<>]*>|<https:[^<>]*>", re.DOTALL
)  # hides nothing below it


def seen(body: str) -> set[str]:
    """Commands that a reader shows as running text of the page itself, in a line of their own, with nothing hidden above them."""
    found: set[str] = set()
    for token in reader.parse(body):
        if token.type == "html_block" and re.search("<[a-z/!]", HARMLESS_HTML.sub("", token.content)):
            return found
        if token.type == "inline" and token.level == 1:
            found |= _own_lines(token.children or [])
    return found


def _own_lines(children: list[Token]) -> set[str]:
    found, depth, fresh = set[str](), 0, True
    for child in children:
        if child.type == "text" and fresh and depth == 0 and child.content.startswith("/lab"):
            found.add(child.content.split()[-1])
        if child.type in ("link_open", "s_open", "link_close", "s_close"):
            depth += child.nesting
        fresh = child.type in ("softbreak", "hardbreak") or (fresh and child.type == "text" and not child.content)
    return found


@settings(max_examples=1500, deadline=None)
@given(st.lists(line, min_size=2, max_size=9))
def test_r8_what_commands_is_what_a_reader_shows_as_the_person_s_own_line(fragments: list[str]) -> None:
    lines = [f"{text}u{n}" if text == "/lab why " else text for n, text in enumerate(fragments)]
    body = "\n".join(lines)
    taken = {command.argument for command in parse_commands(body)}
    assert taken <= seen(body), body


@given(st.text("`~<>!-[]()|* \n\t\r/lab runstopwhyhelp\\\"'$#0123456789.{}:@", max_size=200) | st.text(max_size=200))
def test_any_text_is_read_without_an_error(body: str) -> None:
    commands = parse_commands(body)
    assert len(commands) <= MOST_COMMANDS
    for found in commands:
        assert re.split(r"\r\n|\n|\r", body)[found.line - 1].startswith("/lab")
