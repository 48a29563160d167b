"""What the local provider puts in place before a job starts, and what it takes from one that is over."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labwright.adapters import templates
from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.local import LocalProvider
from labwright.domain import lab
from labwright.domain.errors import LabError, Refused
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import Script, leaves
from tests.contract.local_bench import LocalBench


@pytest.fixture
def bench(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)


def test_one_bundle_of_many_jobs_is_staged_once(bench: LocalBench) -> None:
    files = {f"folder {n}/file": b"x" * n for n in range(50)}
    providers = [bench.provider, bench.fresh(), bench.fresh(), bench.fresh()]
    submissions = [bench.submission(Script("cat folder*/file | wc -c"), files=files) for _ in providers]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: pair[0].submit([pair[1]]), zip(providers, submissions, strict=True)))
    for submission in submissions:
        assert bench.ended(Handle(submission.token)).outcome is Outcome.OK
        assert bench.log(Handle(submission.token)) == b"1225\n"
    assert len(list((bench.spool / "bundles").iterdir())) == 1
    assert not list((bench.spool / "tmp").iterdir())


def test_the_lab_repositorys_own_wrapper_is_used(bench: LocalBench) -> None:
    text = templates.find("local/run.sh.j2").replace("set -u\n", "set -u\necho mine\n", 1)
    provider = LocalProvider(
        "local", bench.spool, bench.settings, bench.blobs.read, SystemClock(), lab_templates={"local/run.sh.j2": text}
    )
    bench.provider = provider
    handle = bench.submit(leaves(0))
    bench.ended(handle)
    assert bench.log(handle) == b"mine\n"


def test_a_wrapper_that_does_not_render_refuses_the_job(bench: LocalBench) -> None:
    bench.provider = LocalProvider(
        "local",
        bench.spool,
        bench.settings,
        bench.blobs.read,
        SystemClock(),
        lab_templates={"local/run.sh.j2": "{{ x }}"},
    )
    submission = bench.submission(leaves(0))
    answer = bench.provider.submit([submission])[submission.token]
    assert isinstance(answer, Refused)
    assert "local/run.sh.j2" in str(answer)


def test_a_full_disk_is_told_and_starts_nothing(bench: LocalBench, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = bench.submission(leaves(0), files={"a": b"x"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labwright.adapters.providers.local.stage.copy_tree", full)
    answer = bench.provider.submit([submission])[submission.token]
    assert isinstance(answer, LabError)
    assert "No space left" in str(answer)
    assert bench.see(Handle(submission.token)).phase is Phase.MISSING
    assert not list((bench.spool / "tmp").iterdir())


def test_links_that_a_job_planted_are_not_followed(bench: LocalBench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    plant = f'cd "$LAB_JOB_DIR"; ln -s {secret} artifacts/a; ln -s {tmp_path} artifacts/d; ln -s {secret} events.1.jsonl; mkfifo artifacts/f'
    handle = bench.submit(Script(plant))
    bench.ended(handle)
    assert not bench.provider.collect(handle).artifacts
    assert bench.stream(handle, "events.1.jsonl") == b""
    for path in ("a", "d/secret", "f"):
        with pytest.raises(LabError):
            bench.provider.fetch(handle, path, tmp_path / "got")


def test_a_job_imports_the_sdk_and_sees_the_providers_variables(bench: LocalBench) -> None:
    bench.settings = lab.LocalProvider(type="local", env={"SITE": "here"}, gpus=2)
    bench.provider = bench.fresh()
    check = f"{sys.executable} -c 'import lab, os; print(lab.__file__)'; echo \"$SITE <$CUDA_VISIBLE_DEVICES>\""
    handle = bench.submit(Script(check), task={"envs": {"PYTHONPATH": "/mine"}})
    assert bench.ended(handle).outcome is Outcome.OK
    lines = bench.log(handle).decode().splitlines()
    assert lines[0].startswith(str(bench.spool / "sdk"))
    assert lines[1] == "here <>"
    handle = bench.submit(Script(check), placement={"gpus": ["1"]})
    bench.ended(handle)
    assert bench.log(handle).decode().splitlines()[1] == "here <1>"
