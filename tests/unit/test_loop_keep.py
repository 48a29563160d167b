"""Small artifacts of ended jobs come into the lab's own store, whatever happens to the provider or the controller meanwhile."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labwright.control import keep
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import Bench
from tests.unit.planning import task
from tests.unit.test_loop_collect import until

pytestmark = pytest.mark.slow

SMALL, LARGE = b"weights", b"x" * 3000
FILES = {"model.pt": SMALL, "large.bin": LARGE, "deep/empty": b""}
LAB = "results: {keep_artifacts: 2KB}"
PAIR = "{sweep_config: {x: [1, 2]}}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def story(files: Mapping[str, bytes] = FILES, **more: Any) -> Story:
    return Story(artifacts=files, **more)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = story()
    yield bench
    bench.close()


def test_artifacts_up_to_the_limit_are_kept_and_larger_ones_are_not(bench: Bench) -> None:
    bench.push(lab=LAB, a=task())
    bench.until_idle()
    assert bench.store.content == {digest(SMALL): SMALL, digest(b""): b""}
    assert list((bench.folder / "incoming").iterdir()) == []
    assert bench.alarms == {}


def test_by_default_ten_megabytes_are_kept_and_with_0_nothing(bench: Bench) -> None:
    bench.push(a=task())
    bench.until_idle()
    assert set(bench.store.content.values()) == {SMALL, LARGE, b""}
    bench.store.content.clear()
    bench.push(lab="results: {keep_artifacts: 0}", b=task("other"))
    bench.until_idle()
    assert bench.state("b") is State.COMPLETE
    assert bench.store.content == {}


@pytest.mark.parametrize("code", [0, 1])
def test_those_of_a_failed_job_are_kept_too_and_only_of_its_last_attempt(bench: Bench, code: int) -> None:
    bench.provider._story = lambda submission: story({"n": str(submission.attempt).encode()}, code=code)
    bench.push(lab=LAB, a=task(retry="{error: 1}"))
    bench.until_idle()
    assert set(bench.store.content.values()) == {b"2" if code else b"1"}


def test_a_job_is_complete_and_published_while_its_artifacts_are_still_on_their_way(bench: Bench) -> None:
    opened, fetch = threading.Event(), bench.provider.fetch
    entered = threading.Event()

    def slow(*args: Any) -> None:
        entered.set()
        assert opened.wait(60)
        fetch(*args)

    bench.provider.fetch = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(32) as pool:
        bench.world.calls._pool = bench.world.calls._left = pool
        bench.push(lab=LAB, a=task())
        until(bench, entered.is_set)
        until(bench, lambda: [p for p in bench.results.content if p.endswith("manifest.json")])
        assert bench.state("a") is State.COMPLETE
        bench.push(b=task("y"))
        until(bench, lambda: len([p for p in bench.results.content if p.endswith("manifest.json")]) == 2)
        assert bench.store.content == {}
        opened.set()
        until(bench, lambda: len(bench.store.content) == 2)


def test_a_provider_that_is_away_is_asked_again_later_and_later_and_that_is_said(bench: Bench) -> None:
    asked: list[datetime] = []
    fetch = bench.provider.fetch

    def away(*args: Any) -> None:
        asked.append(bench.clock.now())
        if len(asked) <= 5:
            raise Unavailable("no route to host")
        fetch(*args)

    bench.provider.fetch = away  # type: ignore[method-assign]
    bench.push(lab=LAB, a=task())
    bench.until_idle()  # `--once` does not wait for it
    assert len(asked) < 5
    assert bench.store.content == {}
    bench.until(lambda: "artifacts of local" in bench.alarms, 200)
    assert bench.alarms["artifacts of local"] == "no route to host; those of 1 ended jobs are not kept yet"
    bench.until(lambda: len(bench.store.content) == 2, 2000)
    pauses = [(after - before).total_seconds() for before, after in pairwise(asked[:6])]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 8 * keep.PATIENCE
    bench.until(lambda: bench.alarms == {})


def test_one_artifact_that_cannot_be_read_holds_back_no_other_job(bench: Bench) -> None:
    fetch, bad = bench.provider.fetch, []

    def broken(handle: Any, path: str, into: Path) -> None:
        if bad and bad[0] in handle:
            raise OSError(5, "Input/output error")
        fetch(handle, path, into)

    bench.provider.fetch = broken  # type: ignore[method-assign]
    bench.provider._story = lambda submission: story({"x": submission.token.encode()})
    bench.push(lab=LAB, a=task(sweeps=PAIR))
    bench.turn(2)
    bad.append(bench.jobs[0].id)
    bench.until(lambda: len(bench.store.content) == 1, 200)
    bench.push(b=task("y"))
    bench.until(lambda: len(bench.store.content) == 2, 200)
    bad.clear()
    bench.until(lambda: len(bench.store.content) == 3, 2000)


def test_what_is_gone_or_changed_since_is_not_kept_and_not_asked_for_again(bench: Bench) -> None:
    fetch, asked = bench.provider.fetch, []

    def odd(handle: Any, path: str, into: Path) -> None:
        asked.append(path)
        if path == "gone":
            raise Refused("no artifact `gone`")
        fetch(handle, path, into)
        if path == "changed":
            into.write_bytes(b"something else")

    bench.provider.fetch = odd  # type: ignore[method-assign]
    bench.provider._story = story({"changed": b"c", "gone": b"g", "good": b"good"})
    bench.push(lab=LAB, a=task())
    bench.until_idle()
    bench.turn(30, seconds=60)
    assert set(bench.store.content.values()) == {b"good"}
    assert sorted(asked) == ["changed", "gone", "good"]
    assert sorted(entry["path"] for entry in bench.logged if entry["event"] == "artifact not kept") == [
        "changed",
        "gone",
    ]
    assert bench.alarms == {}


def test_a_store_without_room_is_said_and_filled_later(bench: Bench) -> None:
    bench.store.full = "artifacts has 900 MiB free"
    bench.push(lab=LAB, a=task())
    bench.until(lambda: "artifacts of local" in bench.alarms, 200)
    bench.store.full = ""
    bench.until(lambda: len(bench.store.content) == 2, 2000)
    bench.until(lambda: bench.alarms == {})


@pytest.mark.parametrize("after", range(1, 16))
def test_a_controller_that_dies_at_any_turn_keeps_them_after_its_next_start(bench: Bench, after: int) -> None:
    bench.push(lab=LAB, a=task(sweeps=PAIR))
    bench.turn(after)
    bench.start()
    bench.until_idle()
    assert len(bench.store.content) == 2


def test_what_could_not_be_kept_before_a_crash_is_kept_after_it(bench: Bench) -> None:
    bench.provider.fail("fetch", Unavailable("no route to host"), times=1000)
    bench.push(lab=LAB, a=task())
    bench.until_idle()
    bench.provider._faults.clear()
    bench.start()
    bench.until_idle()
    assert len(bench.store.content) == 2


def test_a_higher_limit_brings_in_what_ended_before_it_but_for_what_ended_long_ago(bench: Bench) -> None:
    bench.provider._story = lambda submission: story({"x": submission.task.run.encode() * 1000})
    bench.push(lab="results: {keep_artifacts: 0}", a=task("o"))
    bench.until_idle()
    bench.turn(1, seconds=(keep.DAYS + 1) * 86400)
    bench.push(b=task("n"))
    bench.until_idle()
    bench.push(lab=LAB)
    bench.until_idle()
    assert set(bench.store.content.values()) == {b"n" * 1000}


@pytest.mark.parametrize("trouble", ["full", "gone"])
@pytest.mark.parametrize("after", range(8))
def test_a_ledger_that_fails_meanwhile_keeps_none_from_being_kept(bench: Bench, after: int, trouble: str) -> None:
    bench.push(lab=LAB, a=task())
    bench.until(lambda: bench.state("a") is State.COMPLETE)
    bench.turn(after, seconds=0.3)
    setattr(bench.ledger, trouble, "disk full")
    bench.turn(4, seconds=3)
    setattr(bench.ledger, trouble, "")
    bench.turn(1, seconds=10)
    bench.until_idle()
    assert len(bench.store.content) == 2


def test_a_provider_that_lab_yaml_lost_holds_up_nothing(bench: Bench) -> None:
    bench.provider.fail("fetch", Unavailable("no route to host"), times=1000)
    bench.push(lab=LAB, a=task())
    bench.until_idle()
    bench.push(lab="providers: {other: {type: local}}\n" + LAB)
    bench.turn(3)
    bench.until_idle()


def test_the_secret_in_an_artifacts_name_reaches_neither_the_records_nor_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", "c4n4ry-token")
    bench.provider._story = story({"c4n4ry-token.txt": b"hello"})
    bench.push(lab="secrets: {TOKEN: {env: TEST_TOKEN}}\n" + LAB, a=task("x", envs="{HF: '{{secret.TOKEN}}'}"))
    bench.until_idle()
    assert "c4n4ry" not in bench.everything_kept()
