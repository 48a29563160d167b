"""What a metric call writes."""

from __future__ import annotations

import importlib.util

import pytest

FAKES = """
class Scalar:
    "as numpy's and torch's: item()"
    def __init__(self, value): self.value = value
    def item(self): return self.value
class Floating:
    "as a Fraction or an eager tensor: __float__ alone"
    def __float__(self): return 2.5
class Half(float):
    "as numpy.float64: a subclass"
"""


def test_a_metric_call_is_one_line_with_time_step_and_numbers(job):
    job.run(
        "import lab; lab.log({'loss': 0.1, 'n': 3}, step=7); lab.log({'loss': 0.1}, step=8); lab.log({'loss': 1e-300})"
    )
    first, second, third = job.events()
    assert first == {"t": first["t"], "e": "metric", "step": 7, "m": {"loss": 0.1, "n": 3}}
    assert second["step"] == 8 and "step" not in third and third["m"] == {"loss": 1e-300}
    assert 1.7e9 < first["t"] <= second["t"] < 1e10


def test_both_imports_are_the_same_module(job):
    job.run("import lab; from lab import lab as other; assert other is lab and other.log is lab.log")


def test_the_hand_made_line_is_what_json_would_say(job):
    """Names with quotes, control characters, other scripts; extreme numbers; twice, so that the second call takes the fast road."""
    job.run(
        "import lab\n"
        "d = {'a\"b': 5e-324, 'tab\\t': 1.7976931348623157e308, 'größe/λ': -0.0, '{}': 2**62, 'big': 10**30, '\\ud800': 1e22}\n"
        "for step in range(3): lab.log(d, step=step)"
    )
    found = [event["m"] for event in job.events("metric")]
    assert found[0] == found[1] == found[2]
    assert found[0] == {
        'a"b': 5e-324,
        "tab\t": 1.7976931348623157e308,
        "größe/λ": 0.0,
        "{}": 2**62,
        "big": 1e30,
        "\ud800": 1e22,
    }


def test_nan_and_infinities_are_written_as_strings(job):
    code = (
        "import lab\nfor _ in range(2): lab.log({'a': float('nan'), 'b': float('inf'), 'c': -float('inf'), 'd': 1.0})"
    )
    job.run(code)
    for event in job.events():
        assert event["m"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.0}


def test_scalars_of_array_libraries_are_numbers(job):
    code = FAKES + (
        "import lab\nfor _ in range(2): lab.log({'a': Scalar(0.5), 'b': Scalar(3), 'c': Floating(), 'd': Half(1.5), 'e': True,"
        " 'f': Scalar(float('nan'))}, step=Scalar(4))"
    )
    job.run(code)
    for event in job.events():
        assert event["step"] == 4 and event["m"] == {"a": 0.5, "b": 3, "c": 2.5, "d": 1.5, "e": 1, "f": "NaN"}


@pytest.mark.skipif(
    importlib.util.find_spec("numpy") is None, reason="numpy is not part of the workspace; fakes stand in"
)
def test_numpy_scalars_are_numbers(job):
    job.run(
        "import lab, numpy as n; lab.log({'a': n.float32(0.5), 'b': n.int64(3), 'c': n.array(2.5), 'd': n.bool_(True)})"
    )
    assert job.events()[0]["m"] == {"a": 0.5, "b": 3, "c": 2.5, "d": 1}


def test_nested_metrics_are_joined_by_a_slash(job):
    job.run("import lab; lab.log({'train': {'loss': 1, 'top': {'k': 2}}, 'lr': 3}, step=1)")
    assert job.events()[0]["m"] == {"train/loss": 1, "train/top/k": 2, "lr": 3}


def test_what_is_no_number_is_told_and_the_rest_is_recorded(job):
    done = job.run(
        "import lab\nfor i in range(3): lab.log({'loss': 1.0, 'bad': None, 'list': [1, 2], 'note': 'x'}, step=i)"
    )
    assert [event["m"] for event in job.events("metric")] == [{"loss": 1.0}] * 3
    assert [event["m"] for event in job.events("log")] == ["note: x"] * 3
    assert done.stderr.count("bad is None") == 1 and done.stderr.count("list is a list") == 1


def test_text_is_a_log_line_and_is_printed(job):
    done = job.run("import lab; lab.log('epoch 1 done'); lab.log('zwei\\nlines')")
    assert [event["m"] for event in job.events("log")] == ["epoch 1 done", "zwei\nlines"]
    assert done.stdout == "epoch 1 done\nzwei\nlines\n"


def test_progress_is_within_0_and_100_and_carries_metrics(job):
    job.run(
        "import lab; lab.update_progress(42, {'loss': 0.1}, 3); lab.update_progress(-5); lab.update_progress(1000);"
        "lab.update_progress(float('nan')); lab.log_metrics({'a': 1}, step=2); lab.log_metric('b', 2)"
    )
    assert [event["v"] for event in job.events("progress")] == [42, 0, 100]
    assert [event["m"] for event in job.events("metric")] == [{"loss": 0.1}, {"a": 1}, {"b": 2}]


def test_images_and_tables_among_metrics_become_artifacts(job):
    job.run(
        "import lab\n"
        "class Figure:\n"
        "    def savefig(self, path, format): open(path, 'w').write(format)\n"
        "class Frame:\n"
        "    def items(self): raise AssertionError('a frame is no dict of metrics')\n"
        "    def to_csv(self, path, index): open(path, 'w').write('a\\n1\\n')\n"
        "lab.log({'loss': 1.0, 'curve': Figure(), 'rows': Frame()}, step=5)"
    )
    assert (job.dir / "artifacts/curve-5.png").read_text() == "png"
    assert (job.dir / "artifacts/rows-5.csv").read_text() == "a\n1\n"
    assert job.events("metric")[0]["m"] == {"loss": 1.0}


def test_a_wrong_call_raises_as_python_does(job):
    job.run(
        "import lab\nfor f in (lab.log, lab.update_progress, lab.save_artifact):\n try: f()\n except TypeError: continue\n raise SystemExit(3)"
    )


def test_track_yields_all_and_reports_the_outermost_alone(job):
    job.run(
        "import lab\n"
        "seen = [(a, b) for a in lab.track(range(3)) for b in lab.track('xy')]\n"
        "assert seen == [(a, b) for a in range(3) for b in 'xy']\n"
        "assert list(lab.track(iter([1, 2]))) == [1, 2]\n"
        "for i in lab.track(range(100000)):\n"
        "    if i == 50000: break\n"
    )
    assert [event["v"] for event in job.events("progress")] == [100, 100]


@pytest.mark.slow
def test_track_reports_at_most_once_a_second(job):
    job.run("import lab, time\nfor _ in lab.track(range(130)): time.sleep(0.02)")
    values = [event["v"] for event in job.events("progress")]
    assert 2 <= len(values) <= 4 and values == sorted(values) and values[-1] == 100


def test_track_draws_a_bar_only_on_a_terminal(job):
    code = "import lab\nfor _ in lab.track(range(3), description='epochs'): pass"
    assert job.run(code).stderr == ""
    done = job.run("import sys; sys.stderr.isatty = lambda: True\n" + code)
    assert "epochs" in done.stderr and "3/3" in done.stderr and done.stderr.endswith("\n")
