"""User text inside our Markdown (R33)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.decide.markdown import clean, code, fence, plain

HOSTILE = "```\n@org/all <!-- marker --> | [x](javascript:1) ![i](//e) #12 https://e.org www.e.org \x1b[31mred\x1b[0m\u202e**b**"


def test_r33_running_text_has_no_mention_link_bar_or_html() -> None:
    text = plain(HOSTILE)
    assert "\n" not in text
    assert "@org" not in text
    for mark in "<>|[]!*`#":
        assert not re.search(rf"(?<!\\){re.escape(mark)}", text), mark
    assert "://" not in text.replace("://\u2060", "")
    assert "www.e" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_r33_a_code_span_ends_only_where_we_end_it_and_breaks_no_table() -> None:
    assert code("a") == "`a`"
    assert code("a|b") == "`a\\|b`"
    assert code("`x``y`") == "``` `x``y` ```"
    assert code("") == code("\x00") == ""
    assert code("x" * 500) == "`" + "x" * 119 + "…`"


def test_r33_a_block_ends_only_where_we_end_it() -> None:
    block = fence("one\n````\n~~~\ntwo")
    assert block.split("\n")[0] == "`````text"
    assert block.endswith("\n`````")


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
        ("a\x00b\x9bc\ud800", "abc"),
        ("\u200b\u2066\ufeffx", "x"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_r33_what_is_not_seen_is_removed(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@given(st.text())
def test_r33_any_text_stays_in_its_place(text: str) -> None:
    assert "\n" not in plain(text)
    assert "\n" not in code(text)
    opening, *body, closing = fence(text).split("\n")
    assert opening == closing + "text"
    assert all(closing not in line for line in body)
    for shown in (plain(text), code(text), fence(text)):
        shown.encode()
