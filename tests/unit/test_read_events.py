import json
import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.decide.read_events import LINE, NAME, read_events
from labwright.ports.records import Batch, Point
from labwright.testing.records_suite import ask

T = 1_790_000_000.5
AT = datetime.fromtimestamp(T, UTC)


def line(e: str = "metric", **fields: Any) -> bytes:
    return json.dumps({"t": T, "e": e, **fields}).encode() + b"\n"


def read(*lines: bytes, rank: int = 0) -> Any:
    return read_events(b"".join(lines), "abcdefghijkl", 1, rank)


def test_a_metric_line_is_a_point_for_each_name() -> None:
    found = read(line(step=3, m={"loss": 0.5, "acc": 1}), rank=2)
    assert found.points == [
        Point("abcdefghijkl", 1, "loss", 3, 0.5, AT, 2),
        Point("abcdefghijkl", 1, "acc", 3, 1.0, AT, 2),
    ]
    assert read(line(m={"loss": 1})).points[0].step is None
    assert read(line(step=3.0, m={"loss": 1})).points[0].step == 3


def test_only_whole_lines_are_consumed() -> None:
    whole, half = line(step=1, m={"a": 1}), line(step=2, m={"a": 2})[:-5]
    found = read(whole, half)
    assert (found.consumed, len(found.points), found.skipped) == (len(whole), 1, 0)
    assert read(half).consumed == 0
    assert read().consumed == 0


def test_reading_in_pieces_gives_what_reading_at_once_gives() -> None:
    data = b"".join(line(step=i, m={"é": i}) for i in range(20)) + b"{bad\n" + line("finish", score={"s": 1})
    at_once = read(data)
    points, skipped, start, score = [], 0, 0, None
    for end in range(0, len(data) + 1, 7):
        piece = read_events(data[start:end], "abcdefghijkl", 1)
        points, skipped, start = points + piece.points, skipped + piece.skipped, start + piece.consumed
        score = score if piece.score is None else piece.score
    rest = read_events(data[start:], "abcdefghijkl", 1)
    assert points + rest.points == at_once.points
    assert (skipped + rest.skipped, rest.score or score) == (1, at_once.score)


def test_words_for_values_that_json_has_no_number_for_are_understood() -> None:
    found = read(line(m={"a": "NaN", "b": "Infinity", "c": "-Infinity"}), b'{"t":1,"e":"metric","m":{"d":NaN}}\n')
    assert [str(point.value) for point in found.points] == ["nan", "inf", "-inf", "nan"]


def test_what_is_not_such_an_object_is_skipped_and_counted() -> None:
    bad = [
        b"{half\n", b"[1]\n", b"7\n", b'"text"\n', b"null\n", b"\xff\xfe\x00\n", b'{"e":"metric"}\n', b"{}{}\n",
        b'{"t":"x","e":"metric","m":{"a":1}}\n', b'{"t":NaN,"e":"metric","m":{"a":1}}\n',
        b'{"t":1e300,"e":"metric","m":{"a":1}}\n', b'{"t":-1,"e":"metric","m":{"a":1}}\n',
        line(m=[1]), line(m={"a": "12"}), line(m={"a": None}), line(m={"a": [1]}), line(m={"": 1}),
        line(m={"x" * (NAME + 1): 1}), line(m={"a\x1b[2J": 1}), line(m={"a": 10**400}),
        line(step=1.5, m={"a": 1}), line(step="1", m={"a": 1}), line(step=1 << 63, m={"a": 1}),
        line(step=True, m={"a": 1}), line(e=7), line("artifact"), line("progress", v="x"), line("progress", v="NaN"),
        b'{"t":1,"e":"log","m":' + b"[" * 5000 + b"\n", b'{"t":' + b"9" * 5000 + b',"e":"log"}\n',
        b'{"t":1,"e":"x","v":' + b"[" * 40 + b"]" * 40 + b"}\n",
    ]  # fmt: skip
    for each in bad:
        found = read(each, line(m={"ok": 1}))
        assert (found.skipped, [p.name for p in found.points], found.events) == (1, ["ok"], []), each
        assert found.consumed == len(each) + len(line(m={"ok": 1}))


def test_empty_lines_are_nothing() -> None:
    assert read(b"\n \r\n", line(m={"a": 1}).replace(b"\n", b"\r\n")).skipped == 0


def test_a_line_without_end_is_given_up_so_that_reading_goes_on() -> None:
    endless = b'{"t":1,"e":"log","m":"' + b"x" * LINE
    found = read(line(m={"a": 1}), endless)
    assert (len(found.points), found.skipped, found.consumed) == (1, 1, len(line(m={"a": 1}) + endless))
    assert read(endless + b'"}\n').skipped == 1


def test_the_words_of_a_script_are_events() -> None:
    found = read(
        line("log", m="text"),
        line("config", v={"lr": 1}),
        line("artifact", path="model.pt", kind="model", size=12),
        line("checkpoint", path="step-3", step=3),
        line("surprise", x=1),
        line("error", m="boom"),
    )
    assert [event.kind for event in found.events] == ["log", "config", "artifact", "checkpoint", "surprise", "error"]
    assert found.events[0].message == "text"
    assert found.config == {"lr": 1}
    assert found.artifacts == [{"path": "model.pt", "kind": "model", "size": 12}]
    assert found.checkpoints == [{"path": "step-3", "step": 3}]
    assert found.error == "boom"


def test_the_newest_progress_counts_and_is_a_percentage() -> None:
    assert read(line("progress", v=10), line("progress", v=42)).progress == 42.0
    assert read(line("progress", v=1000)).progress == 100.0
    assert read(line("progress", v=-1)).progress == 0.0
    assert read(line("log", m="")).progress is None


def test_a_score_is_finite_numbers_by_name() -> None:
    found = read(line("finish", score={"loss": 0.5, "acc": "NaN"}, m="done"))
    assert (found.score, found.message) == ({"loss": 0.5}, "done")
    assert read(line("finish", score=0.25)).score == {"score": 0.25}
    assert read(line("finish")).score == {}
    assert read(line("log")).score is None


def test_text_that_no_store_can_keep_is_made_sound() -> None:
    from labwright.adapters.records.duckdb import DuckDbRecords

    found = read(b'{"t":1,"e":"log","m":"\\u0000\\ud800","v":{"\\udc00":["\\u0000"]}}\n')
    records = DuckDbRecords()
    records.write(Batch(events=found.events))
    assert ask(records, "SELECT message FROM events")[0]["message"] == "\ufffd?"
    records.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
events = st.fixed_dictionaries(
    {},
    optional={
        "t": json_values | st.just(1.0),
        "e": st.sampled_from(["metric", "log", "progress", "config", "artifact", "checkpoint", "finish", "error"]),
        "m": json_values,
        "v": json_values,
        "step": json_values,
        "path": json_values,
        "score": json_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60) | events.map(lambda e: json.dumps(e).encode()), max_size=6))
def test_no_file_breaks_the_reader_and_every_line_is_read_or_counted(lines: list[bytes]) -> None:
    data = b"\n".join(lines) + b"\n"
    found = read_events(data, "abcdefghijkl", 1)
    assert found.consumed == len(data)
    assert all(math.isfinite(value) for value in (found.score or {}).values())
    assert all(isinstance(point.value, float) for point in found.points)
