"""A job once more."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from labwright.control.acts import again_of
from labwright.domain.ids import Digest, JobId, job_id
from labwright.domain.job import Act, ActKind, Job
from labwright.domain.lifecycle import State

THEN = datetime(2026, 3, 1, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
WORK = Digest("a" * 64)
NAMED = {"id", "generation", "author", "created"}
LIVED: dict[str, Any] = {
    "state": State.FAILED, "reason": "exit code 1", "updated": NOW, "attempt": 3, "not_before": NOW, "stop_asked": "by bob",
    "plan": "b" * 64, "version": 9,
}  # fmt: skip
KEPT: dict[str, Any] = {
    "task": "a/t", "work": WORK, "parameters": {"lr": 0.1}, "spec": Digest("c" * 64), "bundle": Digest("d" * 64),
    "provider": "laptop", "priority": 5, "commit": "e" * 40, "branch": "topic", "needs": (JobId("n" * 12),), "trial": 7,
}  # fmt: skip


def test_every_field_of_a_job_is_kept_named_anew_or_has_yet_to_come_to_pass() -> None:
    names = {field.name for field in fields(Job)}
    new = names - NAMED - LIVED.keys() - KEPT.keys()
    assert new == set(), (
        "say here what becomes of it when a job runs again, and in _LIFE of control/acts.py if it starts anew"
    )
    job = Job(id=job_id(WORK, "a/t", 0), generation=0, author="ada", created=THEN, **KEPT, **LIVED)
    others = [replace(job, generation=4, id=job_id(WORK, "a/t", 4))]
    made = again_of(job, others, Act("x", ActKind.RERUN, job.id, "bob", NOW), NOW)
    assert {name: getattr(made, name) for name in KEPT} == KEPT
    assert (made.id, made.generation, made.author, made.created) == (job_id(WORK, "a/t", 5), 5, "bob", NOW)
    fresh = Job(id=made.id, generation=5, author="bob", created=NOW, reason="planned", **KEPT)
    assert made == fresh
