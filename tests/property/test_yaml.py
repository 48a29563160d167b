"""Whatever the bytes, the answer is a value or Invalid; whatever the value, its meaning is that of YAML 1.2."""

import json
import math
import re
from typing import Any

import jsonschema
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.decide.document import read, scalar
from labwright.decide.parse import parse_lab, parse_task
from labwright.decide.schema import schema
from labwright.domain.errors import Invalid
from labwright.domain.secrets import secret_names
from labwright.domain.task import Task

PATH = "experiments/alpha/train/task.yaml"
PLACE = re.compile(r"experiments/alpha/train/task\.yaml:[1-9][0-9]*:[1-9][0-9]*: .+")
SCHEMA = jsonschema.Draft202012Validator(schema("task"))

words = st.sampled_from(["x", "'1'", "1", "1e-4", ".inf", "no", "~", "", "{{secret.A}}", "4+", "A100:8", "90m", "- a", "[1]", "{a: 1}", "&a", "*a", "!t", "|\n  x", "\t"])  # fmt: skip
keys = st.sampled_from([*Task.model_json_schema()["properties"], "task", "<<", "cpus", "1", "lr", "sweep_config"])
pages = st.lists(st.tuples(st.sampled_from(["", "  ", "\t"]), keys, words), max_size=8).map(
    lambda rows: "".join(f"{indent}{key}: {word}\n" for indent, key, word in rows)
)
plain = st.text(st.sampled_from("0123456789+-.eExXoabfinNyYtTrulsL~_: "), max_size=8).map(str.strip)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6)  # fmt: skip
names = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["C", "Z"]), min_size=1, max_size=8
)


@given(
    st.binary(max_size=400)
    | pages.map(str.encode)
    | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
)
@settings(max_examples=250)
def test_any_bytes_are_a_document_or_invalid_with_a_place(data: bytes) -> None:
    for parse in (parse_task, parse_lab):
        try:
            parse(data, PATH)
        except Invalid as invalid:
            assert invalid.problems
            assert all(PLACE.fullmatch(str(problem)) for problem in invalid.problems), str(invalid)


def core_schema(text: str) -> Any:
    """The rules of YAML 1.2.2 chapter 10.3.2, in their order."""
    rules: list[tuple[str, Any]] = [
        (r"null|Null|NULL|~|", lambda _: None),
        (r"true|True|TRUE|false|False|FALSE", lambda t: t.lower() == "true"),
        (r"[-+]?[0-9]+", int),
        (r"0o[0-7]+", lambda t: int(t[2:], 8)),
        (r"0x[0-9a-fA-F]+", lambda t: int(t[2:], 16)),
        (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
        (r"[-+]?(\.inf|\.Inf|\.INF)", lambda t: -math.inf if t[0] == "-" else math.inf),
        (r"\.nan|\.NaN|\.NAN", lambda _: math.nan),
    ]
    return next((make(text) for rule, make in rules if re.fullmatch(rule, text)), text)


@given(plain)
@settings(max_examples=500)
def test_a_plain_scalar_resolves_by_the_core_schema(text: str) -> None:
    found, wanted = scalar(text), core_schema(text)
    assert type(found) is type(wanted)
    assert found == wanted or (found != found and wanted != wanted)


@given(st.dictionaries(st.text(max_size=6), values, max_size=4))
def test_what_json_holds_is_read_back_from_yaml(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    try:
        assert read(text.encode(), PATH).value == value
    except Invalid as invalid:
        assert "\\u0000" in text or "\\ud" in text or "\x7f" in text or "digits" in str(invalid)


@given(
    st.dictionaries(
        st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=["C"]), max_size=6), values, max_size=4
    )
)
def test_every_place_is_inside_the_file(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    try:
        found = read(text.encode(), PATH)
    except Invalid:
        return
    for path in found._values:
        for key in (True, False):
            line, column = found.where(path, key=key)
            assert 1 <= line <= text.count("\n") + 1
            assert 1 <= column <= max(map(len, text.split("\n"))) + 1


tasks = st.fixed_dictionaries(
    {"name": names, "run": names},
    optional={
        "setup": names,
        "envs": st.dictionaries(st.from_regex(r"[A-KM-Z_][A-Z0-9_]{0,5}", fullmatch=True), scalars, max_size=3),
        "parameters": st.dictionaries(names, values, max_size=3),
        "sweeps": st.fixed_dictionaries({"sweep_config": st.dictionaries(names, st.lists(scalars, max_size=3), max_size=3)}),
        "resources": st.fixed_dictionaries({}, optional={
            "cpus": st.sampled_from([1, 0.5, "4+", "x", None, 0, "1e1"]),
            "memory": st.sampled_from([1, "16GB", "512 MiB", "0.5t", "16 G+", "", -1]),
            "accelerators": st.sampled_from([0, 1, "4", "A100:8", "8xA100", {"A100": 2}, {"type": "T4"}, {"count": "2"}, [], "a b"]),
            "num_nodes": st.sampled_from([1, "2", 2.0, 0, 1.5, True]),
            "use_spot": st.sampled_from([True, "yes", "OFF", "nein", 1, None]),
        }),
        "timeout": st.sampled_from([1, 0, "90m", "1d 2h", "01:00:00", "1e3", "", None, "-1"]),
        "needs": st.sampled_from(["a", ["a", "b"], [], ["a", "a"], "../x", "/x", 3, [None]]),
        "inputs": st.sampled_from(["../a", ["/b", "c/**"], "../../../../x"]),
        "environment": st.sampled_from(["r.txt", "uv.lock", {"python": 3.1}, {"image": "x"}, "x", {"python": True}, {}]),
        "on": st.sampled_from([{}, {"manual": "no"}, {"branches": "a"}, {"schedule": "@daily"}, {"label": 3}]),
        "notify": st.sampled_from(["x", ["a"], {"to": "a", "when": ["failed"]}, {"when": []}]),
        "file_mounts": st.sampled_from([True, {"a": "b"}, "x", {}]),
        "rerun": st.sampled_from([0, "3", 2**40, -1, None]),
        "github_repo_branch": st.sampled_from(["main", 1.1, None]),
    },
)  # fmt: skip


@given(tasks)
@settings(max_examples=250)
def test_a_task_survives_json_and_what_parses_fits_the_schema(value: dict[str, Any]) -> None:
    try:
        task = parse_task(json.dumps(value).encode(), PATH)
    except Invalid:
        return
    assert Task.from_json(task.to_json()) == task
    assert Task.from_json(task.to_json()).to_json() == task.to_json()
    assert secret_names(task) == frozenset()
    read_back = read(json.dumps(value).encode(), PATH).value
    assert [error.message for error in SCHEMA.iter_errors(read_back)] == []
