"""YAML in, plain values and positions out; whatever is hostile costs one line (rules R16, R17)."""

import math

import pytest
import yaml

from labwright.decide import document
from labwright.decide.document import read
from labwright.domain.errors import Invalid


@pytest.fixture(params=["C", "Python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "Python":
        monkeypatch.setattr(document, "_Parser", yaml.BaseLoader)
    return str(request.param)


def value(text: str) -> object:
    return read(text.encode(), "t.yaml").value


def refusal(data: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        read(data, "t.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+3", 3),
        ("-3", -3),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("=", "="),
        ("true", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("False", False),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("", None),
        ("nULL", "nULL"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("'~'", "~"),
        ("1.2.3", "1.2.3"),
        ("1 2", "1 2"),
        ("٣", "٣"),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    found = value(f"a: {written}\n")
    assert found == {"a": meant}
    assert type(found["a"]) is type(meant)  # type: ignore[index]


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(value("a: .nan")["a"])  # type: ignore[index]


def test_every_key_and_value_knows_its_line_and_column() -> None:
    found = read(b"name: x\nresources:\n  cpus: 4\n  list: [a, {b: 2}]\nrun: |\n  go\n", "t.yaml")
    assert found.value == {"name": "x", "resources": {"cpus": 4, "list": ["a", {"b": 2}]}, "run": "go\n"}
    assert found.where(("resources", "cpus")) == (3, 9)
    assert found.where(("resources", "cpus"), key=True) == (3, 3)
    assert found.where(("resources", "list", 1, "b")) == (4, 17)
    assert found.where(("run",)) == (5, 6)
    assert found.where(()) == (1, 1)
    assert found.where(("resources", "nowhere", 3)) == (3, 3), "what is not there is at its nearest parent"


def test_columns_count_characters_and_a_byte_order_mark_is_no_character() -> None:
    found = read("\ufeffä: {ö: 1}\n".encode(), "t.yaml")
    assert found.where(("ä", "ö")) == (1, 8)


def test_the_text_of_a_scalar_is_kept_as_it_was_written() -> None:
    found = read(b"a: 0.10\nb: '0.10'\nc: [1]\nd:\n", "t.yaml")
    assert [found.text((key,)) for key in "abcd"] == ["0.10", "0.10", None, ""]


def test_an_empty_file_is_nothing() -> None:
    assert value("") is None
    assert value("# only a comment\n") is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: the key `a` is here a second time; the first is in line 1"),
        (b"x:\n  a: 1\n  'a': 3\n", "t.yaml:3:3: the key `a` is here a second time; the first is in line 2"),
        (b"a: &x 1\n", "t.yaml:1:4: the anchor `&x`: anchors and aliases are not supported"),
        (b"a: *x\n", "t.yaml:1:4: the alias `*x`: anchors and aliases are not supported"),
        (b"a: !!str 1\n", "t.yaml:1:4: the tag `tag:yaml.org,2002:str`: tags are not supported"),
        (b"a: !x {}\n", "t.yaml:1:4: the tag `!x`: tags are not supported"),
        (b"a:\n  <<: {b: 1}\n", "t.yaml:2:3: the merge key `<<` is not supported"),
        (b"a: 1\n---\nb: 1\n", "t.yaml:2:1: a second document begins here"),
        (b"a: \0\n", "t.yaml:1:4: a character that YAML does not allow: U+0000"),
        (b'a: "\\0"\n', "t.yaml:1:4: text with a NUL character"),
        (b"a: b\nc: \xff\n", "t.yaml:2:4: not UTF-8 text: byte 0xff (save the file as UTF-8)"),
        ("a: b".encode("utf-16"), "t.yaml:1:1: not UTF-8 text"),
        (b"\x7fELF\x02\x01\x01\x00", "t.yaml:1:1: a character that YAML does not allow: U+007F"),
        (b"a:\n\tb: 1\n", "t.yaml:2:1: a tab in the indentation (YAML indents with spaces only)"),
        (b"a:\n  b: 1\n \tc: 1\n", "t.yaml:3:2: a tab in the indentation"),
        (b"run: |\n\techo\n", "t.yaml:2:1: a tab in the indentation"),
        (b"1: a\n", 't.yaml:1:1: the key `1` is not text (put it in quotes: "1")'),
        (b"a: {true: 1}\n", "t.yaml:1:5: the key `true` is not text"),
        (b"a: {{secret.X}}\n", "t.yaml:1:5: a key must be text (put {{…}} in quotes)"),
        (b"? [a]\n: 1\n", "t.yaml:1:3: a key must be text"),
        (b"a: b: c\n", "t.yaml:1:5: a second `:` in this place"),
        (b"a: [1, 2\nb: 1\n", "a `,` or `]` is missing in a list"),
        (b"a: @b\n", "t.yaml:1:4: a value cannot begin with this character (put it in quotes)"),
        (b'a: "b\n', "t.yaml:1:4: a quote or bracket is opened and never closed"),
        (b"a: " + b"1" * 101, "t.yaml:1:4: a number of 101 digits (put it in quotes if it is text)"),
    ],
)
def test_what_is_refused_is_refused_with_its_place_and_a_way_out(data: bytes, said: str) -> None:
    assert said in refusal(data)


def test_on_is_a_key_like_any_other_and_a_quoted_number_too() -> None:
    assert value("on: {manual: true}\n'1': a\n'<<': b\n") == {"on": {"manual": True}, "1": "a", "<<": "b"}


def test_all_faulty_keys_are_told_at_once() -> None:
    assert refusal(b"a: 1\na: 2\n3: 4\n").count("\n") == 1


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 120))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 1000, "t.yaml:1:33: nested more than 32 levels deep"),
        (b"[" * 250_000, "t.yaml:1:33: nested more than 32 levels deep"),
        (b"- " * 100_000, "t.yaml:1:65: nested more than 32 levels deep"),
        (b"{" * 250_000, "t.yaml:1:2: a key must be text"),
        ("\n".join(" " * n + "a:" for n in range(600)).encode(), "t.yaml:33:33: nested more than 32 levels deep"),
        (BOMB, "t.yaml:1:4: the anchor `&a`"),
        (b"a: b\n" * 10_000_000, "t.yaml:1:1: the file has 50,000,000 bytes; at most 262,144 are read"),
        (b"[" + b"a," * 120_000 + b"]", "more than 20,000 values in one file"),
        (b"a: 1\n" * 50_000, "the key `a` is here a second time"),
        (bytes(range(256)) * 1000, "t.yaml:2:118: not UTF-8 text: byte 0x80"),
    ],
)
def test_a_hostile_file_costs_one_line_of_complaint(data: bytes, said: str) -> None:
    assert said in refusal(data)


def test_depth_32_is_allowed_and_the_size_limit_is_an_argument() -> None:
    assert value("[" * 32 + "]" * 32)
    with pytest.raises(Invalid, match="at most 3 are read"):
        read(b"a: b", "t.yaml", size=3)
