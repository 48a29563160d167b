"""What jobs leave behind: nothing is lost while the results branch cannot be reached, and no secret is kept anywhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.control import gather
from labwright.domain.lifecycle import State
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.planning import task

CANARY = 'c4n4ry-t0ken"with\\quotes'
SECRETS = "secrets: {TOKEN: {env: TEST_TOKEN}}"
USES = task("x", envs="{HF: '{{secret.TOKEN}}'}")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.provider._story = STORY
    yield bench
    bench.close()


def manifests(bench: Bench) -> list[str]:
    return [path for path in bench.results.content if path.endswith("manifest.json")]


def test_results_wait_in_the_outbox_while_the_branch_cannot_be_reached_and_that_is_said(bench: Bench) -> None:
    bench.results.broken = "no route to host"
    bench.push(a=task(), b=task("y"))
    bench.until_idle()
    bench.turn(5)
    assert bench.outbox.waiting() == sorted(job.id for job in bench.jobs)
    assert "no route to host; 2 finished jobs wait in the outbox" in bench.alarms["results branch"]
    bench.results.broken = ""
    bench.until(lambda: len(manifests(bench)) == 2, most=400)
    bench.until_idle()
    assert bench.outbox.waiting() == []
    assert bench.alarms == {}


def test_results_that_wait_survive_a_restart(bench: Bench) -> None:
    bench.results.broken = "no route to host"
    bench.push(a=task())
    bench.until_idle()
    bench.results.broken = ""
    bench.start()
    bench.until_idle()
    assert len(manifests(bench)) == 1
    assert bench.rows("SELECT count(*) AS n FROM metrics") == [{"n": 1}]


def test_any_number_of_results_that_wait_keeps_no_newer_job_from_being_collected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "ROWS", 2)
    bench.results.broken = "no route to host"
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2, 3, 4, 5, 6]}}"))
    bench.until(lambda: len(bench.outbox.waiting()) == 6)
    bench.until(lambda: bench.rows("SELECT count(*) AS n FROM jobs WHERE state = 'COMPLETE'") == [{"n": 6}])


def test_without_a_results_branch_results_stay_in_the_records_and_the_outbox(bench: Bench) -> None:
    bench.push(lab="results: {push: false}", a=task())
    bench.until_idle()
    assert bench.results.content == {}
    assert bench.outbox.waiting() == [bench.job("a").id]
    assert bench.world.book.unpublished == {}


@pytest.mark.parametrize("file", ["manifest.json", ""])
def test_a_result_that_vanished_from_the_outbox_is_made_again_and_never_called_published(
    bench: Bench, file: str
) -> None:
    bench.results.broken = "no route to host"
    bench.push(a=task(sweeps="{sweep_config: {x: [1, 2]}}"))
    bench.until(lambda: len(bench.outbox.waiting()) == 2)
    bench.turn(2)
    lost, _ = bench.outbox.waiting()
    manifest = dict(bench.outbox.files(lost))["manifest.json"]
    shutil.rmtree(bench.folder / "outbox" / lost) if not file else (bench.folder / "outbox" / lost / file).unlink()
    bench.results.broken = ""
    bench.until(lambda: len(manifests(bench)) == 2, most=400)
    bench.until_idle()
    assert bench.results.content[f"results/a/{lost}/manifest.json"] == manifest
    assert f"results/a/{lost}/metrics.parquet" in bench.results.content
    assert [entry["job"] for entry in bench.logged if "vanished" in entry["event"]] == [lost]
    assert bench.rows("SELECT count(*) AS n FROM metrics") == [{"n": 2}]
    assert bench.outbox.waiting() == []


def test_what_a_crash_left_in_the_outbox_after_it_was_published_goes_at_the_next_start(bench: Bench) -> None:
    drop = bench.outbox.drop
    bench.outbox.drop = lambda job: None  # type: ignore[method-assign]
    bench.push(a=task())
    bench.until_idle()
    assert bench.outbox.waiting() == [bench.job("a").id]
    (bench.folder / "outbox" / "unknown").mkdir()
    messages = list(bench.results.messages)
    bench.outbox.drop = drop  # type: ignore[method-assign]
    bench.start()
    bench.until_idle()
    assert bench.outbox.waiting() == ["unknown"], "what the ledger does not know is not ours to drop"
    assert bench.results.messages == messages, "the same files are no commit"


def test_what_ended_while_nothing_was_published_is_published_once_the_lab_says_so(bench: Bench) -> None:
    bench.push(lab="results: {push: false}", a=task())
    bench.until_idle()
    bench.push(lab="name: lab")
    bench.turn(2)
    bench.until_idle()
    assert len(manifests(bench)) == 1
    assert bench.outbox.waiting() == []


def test_pages_are_made_when_results_were_published(bench: Bench) -> None:
    made: list[Any] = []
    bench.pages = lambda experiments: (
        made.append(list(experiments)) or {f"results/{x}/README.md": b"x" for x in experiments}
    )  # type: ignore[func-returns-value]
    bench.push(**{"a": task(), "b/deep": task("y")})
    bench.until_idle()
    assert {name for names in made for name in names} == {"a", "b"}
    assert {"results/a/README.md", "results/b/README.md"} <= bench.results.content.keys()
    assert bench.ledger.cursor("stale pages") is None


def test_the_page_above_them_all_is_made_with_them(bench: Bench) -> None:
    bench.pages = lambda experiments: {f"results/{'/'.join([*experiments, 'README.md'])}": b"x"}
    bench.push(a=task())
    bench.until_idle()
    assert {"results/a/README.md", "results/README.md"} <= bench.results.content.keys()


def test_pages_that_are_due_at_a_crash_are_made_afterwards(bench: Bench) -> None:
    bench.push(a=task())
    bench.until(lambda: bench.ledger.cursor("stale pages"))
    bench.pages = lambda experiments: {f"results/{x}/README.md": b"x" for x in experiments}
    bench.start()
    bench.until_idle()
    assert "results/a/README.md" in bench.results.content


# secrets


def chatty(secret: str) -> Story:
    import json

    event = {"t": 1790000000, "e": "log", "m": f"my token is {secret}"}
    score = {"t": 1790000001, "e": "finish", "score": {"loss": 1}, "m": secret}
    lines = "\n".join(json.dumps(one) for one in (event, score)) + "\n" + json.dumps(event, ensure_ascii=False)
    return Story(log=f"before {secret} after\n{secret}".encode(), events=lines.encode(), code=1)


@pytest.mark.parametrize(
    "secret", [CANARY, "línea-één ü", "-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----"]
)
def test_a_secret_reaches_the_job_and_nothing_that_is_kept(
    bench: Bench, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", secret)
    given: list[Any] = []
    submit = bench.provider.submit
    bench.provider.submit = lambda batch: given.extend(batch) or submit(batch)  # type: ignore[method-assign]
    bench.provider._story = chatty(secret)
    bench.push(lab=SECRETS, a=USES)
    bench.until_idle()
    assert given[0].secrets == {"TOKEN": secret}
    assert bench.state("a") is State.FAILED
    kept = bench.everything_kept()
    assert "before " in kept and "my token is" in kept
    for line in secret.splitlines():
        assert line not in kept
        assert repr(line)[1:-1] not in kept
        assert repr(line.encode())[2:-1] not in kept


def test_a_secret_that_is_longer_than_another_is_masked_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", "abcd")
    monkeypatch.setenv("LONG", "abcdefgh")
    bench.provider._story = Story(log=b"abcdefgh\n")
    both = task("x", envs="{A: '{{secret.TOKEN}}', B: '{{secret.LONG}}'}")
    bench.push(lab="secrets: {TOKEN: {env: TEST_TOKEN}, LONG: {env: LONG}}", a=both)
    bench.until_idle()
    assert (bench.folder / "logs" / bench.job("a").id / "1.txt").read_bytes() == b"********\n"


def test_the_trials_of_a_sweep_share_their_secret_and_its_source_is_asked_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", CANARY)
    given, asked = [], []
    submit, resolve = bench.provider.submit, bench.world.masks.resolve
    bench.provider.submit = lambda batch: given.extend(batch) or submit(batch)  # type: ignore[method-assign]
    monkeypatch.setattr(bench.world.masks, "resolve", lambda names, of: asked.append(names) or resolve(names, of))
    bench.push(lab=SECRETS, a=task("x", envs="{HF: '{{secret.TOKEN}}'}", sweeps="{sweep_config: {i: [1, 2, 3]}}"))
    bench.until_idle()
    assert [submission.secrets for submission in given] == [{"TOKEN": CANARY}] * 3
    assert asked.count(frozenset({"TOKEN"})) == 1


def test_a_secret_that_was_changed_while_the_job_ran_is_masked_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", "old-secret")
    bench.provider._story = Story(run=5, log=b"old-secret\n")
    bench.push(lab=SECRETS, a=USES)
    bench.until(lambda: bench.provider.accepted)
    monkeypatch.delenv("TEST_TOKEN")
    bench.until_idle()
    assert "old-secret" not in bench.everything_kept()


def test_what_a_job_printed_is_not_read_before_its_secrets_can_be_masked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", CANARY)
    bench.provider._story = chatty(CANARY)
    bench.push(lab=SECRETS, a=USES, b=task("y"))
    bench.until(lambda: bench.provider.accepted)
    monkeypatch.delenv("TEST_TOKEN")
    bench.start()
    bench.turn(20)
    assert "what " in bench.alarms["secrets"]
    assert len(manifests(bench)) == 1, "the other job is not held back"
    monkeypatch.setenv("TEST_TOKEN", CANARY)
    bench.until_idle()
    assert len(manifests(bench)) == 2
    assert "secrets" not in bench.alarms
    assert CANARY not in bench.everything_kept()


def test_a_job_whose_secret_is_missing_fails_with_its_name_and_holds_back_no_other(bench: Bench) -> None:
    bench.push(lab=SECRETS, a=USES, b=task("y"))
    bench.until_idle()
    assert (
        bench.job("a").reason == "not submitted: secret TOKEN: the controller's environment has no variable TEST_TOKEN"
    )
    assert bench.state("b") is State.COMPLETE


def test_an_error_of_a_provider_that_quotes_its_input_is_not_repeated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", CANARY)

    def broken(batch: Any) -> Any:
        raise ValueError(f"cannot do {batch[0].secrets}")

    bench.provider.submit = broken  # type: ignore[method-assign]
    bench.push(lab=SECRETS, a=USES)
    bench.turn(10)
    assert "ValueError while submitting" in bench.alarms["submit to local"]
    assert "c4n4ry" not in bench.everything_kept() + repr(bench.alarms)
