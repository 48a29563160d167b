"""No text that a user can write leaves the place that we gave it (R33), read by a model of what forges look for."""

import html
import re

from hypothesis import example, given
from hypothesis import strategies as st

from labwright.decide.markdown import code, fence, plain, prose

HOSTILE = "``` ``` @org/all <!-- marker --> | ![x](http://e/x) \u202e"
_PIECES = [
    *"@#!<>|`[]()*_~$&^\\:/.-+={}%'\" \n\t\r",
    *("www.e.org", "http://e.org", "/lab run", "<!--", "-->", "<b>", "&lt;", "&#64;", "a@b.org", "[^1]", "```", "~~~"),
    *(
        "GH-1",
        "abc1234",
        "12",
        "org",
        "![x](y)",
        "\x1b[31m",
        "\u202e",
        "\u200b",
        "\ud800",
        "\x00",
        "---",
        "1. ",
        "</details>",
    ),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
SPAN = re.compile(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)")
OURS = re.compile(r"<code>[^<>`|]*</code>")
LOOKED_FOR = re.compile(  # in the text that is shown, after Markdown: references, addresses, emoji
    r"@[A-Za-z0-9_]|[#!$%&~][A-Za-z0-9]|://|www\.|:[a-z0-9_+-]+:|\b[A-Za-z]+-[0-9]|(?<![0-9a-zA-Z])[0-9a-f]{7,40}(?![0-9a-zA-Z])"
)
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2061-\u206f\ufeff\ud800-\udfff]")


def live(markdown: str) -> str:
    """The characters that still mean something to a parser of Markdown, once what is escaped is gone."""
    return re.sub(r"&#[0-9]+;", "", ESCAPED.sub("", markdown))


def shown(markdown: str) -> str:
    return html.unescape(ESCAPED.sub(r"\1", markdown))


def check_inline(text: str) -> None:
    assert "\n" not in text
    assert not UNSEEN.search(text)
    assert not re.search(r"[`*_<>|\[\]!#~$&]", live(text))
    assert not LOOKED_FOR.search(shown(text)), shown(text)
    assert not re.match(r"\s*(/|[-+=]|[0-9]+[.)](\s|$))", text)
    text.encode()


@given(TEXTS)
@example(HOSTILE)
def test_r33_running_text_is_text_and_nothing_else(text: str) -> None:
    check_inline(plain(text))


@given(TEXTS)
@example(HOSTILE)
@example("a\\|b`")
def test_r33_a_span_of_code_is_one_span_wherever_it_stands(text: str) -> None:
    made = code(text)
    assert "|" not in made
    assert "\n" not in made
    assert "<!--" not in made
    assert not UNSEEN.search(made)
    assert not made or OURS.fullmatch(made) or SPAN.fullmatch(made), made


@given(TEXTS)
@example(HOSTILE)
@example("`a` `/lab run` ` @org")
def test_r33_our_words_with_users_words_in_them_have_text_and_code_alone(text: str) -> None:
    made = prose(text)
    assert "|" not in made
    assert not made.startswith("/")
    check_inline(OURS.sub("", SPAN.sub("", made)) if not made.startswith(("`", "<code>")) else plain(""))


@given(TEXTS, TEXTS)
@example(HOSTILE, "\n/lab run\n")
def test_r33_a_block_holds_whatever_it_is_given(one: str, two: str) -> None:
    made = fence(one + two)
    opening, *body, closing = made.split("\n")
    assert opening == closing + "text"
    assert all(closing not in line for line in body)
    assert "<!--" not in made
    assert not any(re.match(r"\s*/lab\b", line, re.IGNORECASE) for line in body)
    assert not UNSEEN.search(made.replace("\n", ""))
