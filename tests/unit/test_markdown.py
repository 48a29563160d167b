"""User text inside our Markdown (R33)."""

import re

import pytest

from labwright.decide.markdown import clean, code, encoded, fence, image, link, plain, prose, short

HOSTILE = "```\n@org/all <!-- marker --> | [x](javascript:1) ![i](//e) #12 https://e.org www.e.org \x1b[31mred\x1b[0m\u202e**b**"


def test_r33_running_text_has_no_mention_link_bar_or_html() -> None:
    text = plain(HOSTILE)
    assert "\n" not in text
    assert "@org" not in text
    assert "|" not in text
    for mark in "<>[]!*`#":
        assert not re.search(rf"(?<!\\){re.escape(mark)}", text.replace("&#124;", "")), mark
    assert "://" not in text
    assert "www." not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("1. one", "1\\. one"),
        ("0.88 of 1", "0.88 of 1"),
        ("- a", "\\- a"),
        ("/lab run", "\\/lab run"),
        ("===", "\\==="),
        ("GH-12", "GH\u2060-12"),
        ("ab12cd3", "ab12cd\u20603"),
        ("a_b", "a\\_b"),
    ],
)
def test_r33_what_would_begin_a_block_a_command_or_a_reference_does_not(raw: str, shown: str) -> None:
    assert plain(raw) == shown


def test_r33_a_code_span_ends_only_where_we_end_it_and_breaks_no_table() -> None:
    assert code("a") == "`a`"
    assert code("a|b\\|") == "<code>a&#124;b&#92;&#124;</code>"
    assert code("`x``y`") == "``` `x``y` ```"
    assert code("") == ""
    assert code("<!-- x") == "`<\u2060!-- x`"
    assert code("x" * 500) == "`" + "x" * 119 + "…`"


def test_our_own_words_keep_their_spans_of_code() -> None:
    assert prose("needs `a/b`, and `c` is not there") == "needs `a/b`, and `c` is not there"
    assert prose("one ` alone") == "one \\` alone"
    assert prose("by @org/leads: `@x`") == "by @\u2060org/leads: `@x`"
    assert prose("") == ""


def test_r33_a_block_ends_only_where_we_end_it() -> None:
    block = fence("one\n````\n~~~\ntwo")
    assert block.split("\n")[0] == "`````text"
    assert block.endswith("\n`````")


def test_r34_no_line_of_a_block_is_a_command() -> None:
    assert fence("/lab run\n  /LAB stop\n/labs").split("\n")[1:-1] == ["\u2060/lab run", "  \u2060/LAB stop", "/labs"]


def test_a_block_has_the_last_lines_cut_to_a_width() -> None:
    block = fence("\n".join(f"{n} {'x' * 500}" for n in range(100)))
    lines = block.split("\n")[1:-1]
    assert len(lines) == 30
    assert lines[-1].startswith("99 ")
    assert {len(line) for line in lines} == {240}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://e\x1b\\link", "link"),
        ("50%\r100%\r\nnext", "50%\n100%\nnext"),
        ("a\x00b\x9bc\ud800", "a\ufffdb\ufffdc\ufffd"),
        ("\u200b\u2066\ufeffx\U000e0041", "\ufffd\ufffd\ufffdx\ufffd"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_r33_colours_go_and_what_is_not_seen_is_shown_to_be_there(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_only_web_addresses_become_links_and_they_end_where_they_should() -> None:
    assert link("`a`", "https://e.org/a b)c<d>") == "[`a`](https://e.org/a%20b%29c%3Cd%3E)"
    assert link("a", "javascript:alert(1)") == "a"
    assert link("a", "https://") == "a"
    assert image("a](b", "https://e.org/x.svg") == "![a\\](b](https://e.org/x.svg)"
    assert image("a", "data:image/svg") == "a"


def test_a_path_in_an_address_is_encoded_even_where_it_is_not_utf8() -> None:
    assert encoded("a b/#é?%\udcff") == "a%20b/%23%C3%A9%3F%25%FF"


def test_a_huge_text_costs_no_more_than_what_is_shown_of_it() -> None:
    assert short("\x1b[31m" * 10_000_000 + "x", 10) == ""
