"""What attempts share in the spool goes when it is old and nobody refers to it, and never before."""

import os
import threading
from pathlib import Path

import pytest

from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import HANGS, Script, leaves
from tests.contract.local_bench import LocalBench

DAY = 86400.0


@pytest.fixture
def bench(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)


def names(bench: LocalBench, kind: str) -> set[str]:
    return {path.name for path in (bench.spool / kind).iterdir()}


def age(bench: LocalBench, kind: str, seconds: float = 2 * DAY) -> None:
    for path in (bench.spool / kind).iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def make_environment(bench: LocalBench, digest: str) -> None:
    folder = bench.spool / "environments" / digest
    (folder / "bin").mkdir(parents=True)
    (folder / "environment.json").write_text("{}")
    for name in (f"{digest}.lock", f"{digest}.building.77"):
        (folder.parent / name).touch()


def done(bench: LocalBench, **files: bytes) -> Handle:
    handle = bench.submit(leaves(0), files=files)
    bench.ended(handle)
    return handle


def test_a_bundle_stays_while_a_folder_refers_to_it_or_it_was_used_of_late(bench: LocalBench) -> None:
    handle = done(bench, a=b"1")
    (bundle,) = names(bench, "bundles")
    age(bench, "bundles")
    bench.provider.tidy(DAY)
    assert names(bench, "bundles") == {bundle}
    bench.provider.forget([handle])
    again = done(bench, a=b"1")
    bench.provider.forget([again])
    bench.provider.tidy(DAY)
    assert names(bench, "bundles") == {bundle}, "it was used again a moment ago"
    age(bench, "bundles")
    bench.provider.tidy(DAY)
    assert names(bench, "bundles") == set()
    assert names(bench, "tmp") == set()


def test_an_environment_goes_with_its_lock_and_what_a_killed_build_left(bench: LocalBench) -> None:
    make_environment(bench, "a" * 64)
    bench.provider.tidy(DAY)
    assert len(names(bench, "environments")) == 3
    age(bench, "environments")
    bench.provider.tidy(DAY)
    assert names(bench, "environments") == set()


def test_an_environment_that_a_running_job_uses_stays_however_old(bench: LocalBench) -> None:
    asked = {"environment": {"python": "3"}}
    handle = bench.submit(leaves(0), task=asked)
    bench.ended(handle)
    (digest,) = {name.partition(".")[0] for name in names(bench, "environments")}
    running = bench.submit(Script("sleep 600", setup="sleep 600"), task=asked)
    bench.until(running, Phase.SETUP, Phase.RUN)
    bench.provider.forget([handle])
    age(bench, "environments")
    bench.provider.tidy(0.0)
    assert digest in names(bench, "environments")
    bench.provider.cancel([running])
    bench.ended(running)
    bench.provider.tidy(0.0)
    assert digest in names(bench, "environments"), "its folder refers to it"
    bench.provider.forget([running])
    bench.provider.tidy(0.0)
    assert names(bench, "environments") == set()


def test_a_running_job_of_an_earlier_version_keeps_every_environment(bench: LocalBench) -> None:
    running = bench.submit(HANGS)
    bench.until_logged(running)
    (bench.spool / "jobs" / running / "uses.json").unlink()
    make_environment(bench, "a" * 64)
    age(bench, "environments")
    bench.provider.tidy(0.0)
    assert "a" * 64 in names(bench, "environments")
    bench.provider.cancel([running])
    bench.ended(running)
    bench.provider.tidy(0.0)
    assert names(bench, "environments") == set()


def test_what_a_job_writes_in_place_of_the_note_removes_nothing_of_others(bench: LocalBench) -> None:
    mine = bench.submit(HANGS, files={"a": b"1"})
    bench.until_logged(mine)
    for text in ('{"uses": 7}', "[]", '{"uses": [{}, null, "../../x"]}', "x" * 100_000):
        (bench.spool / "jobs" / mine / "uses.json").write_text(text)
        make_environment(bench, "b" * 64) if "b" * 64 not in names(bench, "environments") else None
        bench.provider.tidy(DAY)
    other = done(bench, a=b"2")
    age(bench, "bundles")
    bench.provider.tidy(0.0)
    assert len(names(bench, "bundles")) >= 1
    assert bench.see(other).outcome is Outcome.OK
    bench.provider.cancel([mine])
    bench.ended(mine)


def test_a_folder_that_the_job_made_unwritable_is_forgotten_all_the_same(bench: LocalBench) -> None:
    script = Script('mkdir -p "$LAB_JOB_DIR/artifacts/a/b"; touch "$LAB_JOB_DIR/artifacts/a/b/c"; chmod 0 "$LAB_JOB_DIR/artifacts/a/b"; chmod 500 "$LAB_JOB_DIR"/artifacts/a')  # fmt: skip
    handle = bench.submit(script)
    bench.ended(handle)
    bench.provider.forget([handle])
    assert bench.see(handle).phase is Phase.MISSING
    assert names(bench, "jobs") == names(bench, "tmp") == set()


def test_a_mark_that_comes_after_its_folder_was_forgotten_goes_too(bench: LocalBench) -> None:
    stays, gone = done(bench), done(bench)
    for handle in (stays, gone):
        bench.wait(lambda name=str(handle): True if name in names(bench, "ended") else None, "the mark")
    bench.provider.forget([gone])
    (bench.spool / "ended" / gone).touch()
    bench.provider.tidy(DAY)
    assert names(bench, "ended") == {stays}


def test_a_killed_wrappers_folder_can_be_forgotten(bench: LocalBench) -> None:
    handle = bench.submit(HANGS)
    bench.until_logged(handle)
    os.kill(int((bench.spool / "jobs" / handle / "claim").read_text().split()[0]), 9)
    bench.ended(handle)
    bench.provider.forget([handle])
    assert bench.see(handle).phase is Phase.MISSING


def test_tidying_beside_submissions_breaks_none(bench: LocalBench) -> None:
    over = threading.Event()

    def tidy() -> None:
        while not over.is_set():
            bench.provider.tidy(0.0)

    thread = threading.Thread(target=tidy)
    thread.start()
    try:
        for number in range(20):
            handle = bench.submit(Script("cat a"), files={"a": str(number % 2).encode()})
            assert bench.ended(handle).outcome is Outcome.OK
            bench.provider.forget([handle])
    finally:
        over.set()
        thread.join()
