"""A job's manifest: all of it, there and back."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from labwright.decide.manifest_of import (
    manifest_bytes,
    manifest_of,
    manifest_path,
    parse_manifest,
    results_folder,
    summary_of,
)
from labwright.domain.errors import Refused
from labwright.domain.lifecycle import Outcome, State
from labwright.domain.manifest import Manifest, ManifestArtifact, ManifestEnvironment, MetricSummary
from labwright.domain.task import Task
from labwright.ports.provider import Collected
from labwright.testing.ledger_suite import NOON, a_job, an_attempt

JOB = a_job(1, state=State.COMPLETE, trial=3)
TASK = Task.from_json(json.dumps({"name": "train", "run": "python train.py"}))
COLLECTED = Collected(
    artifacts=[
        ManifestArtifact(path="b.pt", size=2, sha256="b"),
        ManifestArtifact(path="a.pt", kind="model", size=1, sha256="a"),
    ],
    environment=ManifestEnvironment(python="3.11.7", packages={"numpy": "2.3.1"}, digest="e"),
    source={"url": "https://example.org/x", "sha": "f" * 40, "dir": ""},
)
TRY = replace(
    an_attempt(JOB, 2), outcome=Outcome.OK, exit_code=0, started=NOON, ended=NOON + timedelta(seconds=3), node="n1"
)


def made(**changes: object) -> Manifest:
    how = {
        "files": {"b": "2", "a": "1"},
        "metrics": {"loss": MetricSummary(last=0.1, min=0.1, max=1, count=3, last_step=2)},
        "score": {"eval/loss": 0.3},
        "collected": COLLECTED,
        "log_tail": "last words",
        "job": JOB,
        "task": TASK,
        "attempts": [TRY, an_attempt(JOB, 1)],
    } | changes
    return manifest_of(how.pop("job"), how.pop("task"), how.pop("attempts"), **how)  # type: ignore[arg-type]


def test_a_manifest_comes_back_as_it_was_written() -> None:
    manifest = made()
    assert parse_manifest(manifest_bytes(manifest)) == manifest


def test_the_same_job_gives_the_same_bytes_whatever_the_order_of_its_parts() -> None:
    other = made(files={"a": "1", "b": "2"}, attempts=[an_attempt(JOB, 1), TRY])
    assert manifest_bytes(other) == manifest_bytes(made())


def test_it_says_what_is_needed_to_run_the_job_again() -> None:
    manifest = made()
    assert Task.from_json(json.dumps(dict(manifest.spec))) == TASK
    assert (manifest.trial, manifest.files, manifest.parameters) == (3, {"a": "1", "b": "2"}, JOB.parameters)
    assert manifest.source["sha"] == "f" * 40
    assert [a.n for a in manifest.attempts] == [1, 2]
    assert manifest.ended == NOON + timedelta(seconds=3)


def test_numbers_that_json_has_no_word_for_are_null_or_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    metrics = {
        "loss": MetricSummary(last=nan, min=-inf, max=inf, count=3),
        "ok": MetricSummary(last=0.0, min=0, max=0, count=1),
    }
    manifest = made(metrics=metrics, score={"a": nan, "b": 1.0})
    back = parse_manifest(manifest_bytes(manifest))
    assert back == manifest
    assert back.metrics["loss"] == MetricSummary(last=None, min=None, max=None, count=3)
    assert back.metrics["ok"].last == 0.0
    assert back.score == {"b": 1.0}
    assert b"NaN" not in manifest_bytes(manifest)


def test_only_a_job_that_did_not_complete_keeps_the_end_of_its_log() -> None:
    assert made().log_tail == ""
    failed = made(job=replace(JOB, state=State.FAILED), log_tail="x" * 20_000 + "\udcffend")
    assert len(failed.log_tail) == 16 << 10
    assert failed.log_tail.endswith("?end")
    assert parse_manifest(manifest_bytes(failed)) == failed


def test_a_job_that_still_runs_has_no_manifest() -> None:
    with pytest.raises(ValueError, match="RUNNING"):
        made(job=replace(JOB, state=State.RUNNING))


def test_a_job_stopped_before_any_attempt_has_one_too() -> None:
    manifest = made(
        job=replace(JOB, state=State.STOPPED, updated=NOON), attempts=[], collected=Collected(), metrics={}, score={}
    )
    assert parse_manifest(manifest_bytes(manifest)) == manifest
    assert manifest.ended == NOON


def test_its_path_follows_the_tasks_path_and_the_jobs_id() -> None:
    assert manifest_path(JOB) == f"results/alpha/train/{JOB.id}/manifest.json"
    assert manifest_path(made()) == manifest_path(JOB)
    assert results_folder(replace(JOB, task="alpha")) == f"results/alpha/{JOB.id}"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"schema": "other/1"}', b"\xff", b'{"schema": "labwright/manifest/1", "x": 1}']
)
def test_r26_a_file_that_is_no_manifest_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(Refused, match=r"results/x/manifest\.json: "):
        parse_manifest(data, "results/x/manifest.json")


def test_a_summary_is_of_the_finite_values_and_counts_all() -> None:
    nan = float("nan")
    assert summary_of([(0, 3.0), (1, 1.0), (2, 2.0), (3, nan)]) == MetricSummary(
        last=2.0, min=1.0, max=3.0, count=4, last_step=3
    )
    assert summary_of([(None, nan)]) == MetricSummary(last=None, min=None, max=None, count=1, last_step=None)
    assert summary_of([]) == MetricSummary(last=None, min=None, max=None, count=0, last_step=None)
