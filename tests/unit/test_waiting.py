"""What is shown of jobs that wait in a provider's own queue, and of what a provider says of itself."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from labwright.adapters.providers.slurm.queue import away
from labwright.cli.status_page import page
from labwright.cli.waiting import reason
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import State

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
JOB = Job(
    id=JobId("a" * 12), task="a/b", work="w", generation=0, parameters={}, spec="s", bundle="b", provider="cluster",
    priority=0, commit="c" * 40, branch="main", author="ada", created=NOW, state=State.QUEUED, reason="admitted", attempt=1,
)  # fmt: skip
SLURMS = "waits in Slurm: Resources"


def attempt(handle: str | None = "x@1", detail: str = "") -> Attempt:
    return Attempt(JOB.id, 1, Token("x"), "cluster", NOW, Handle(handle) if handle else None, detail=detail)


@pytest.mark.parametrize(
    ("state", "tried", "said"),
    [
        (State.QUEUED, attempt(detail=SLURMS), SLURMS),
        (State.QUEUED, attempt(), "waits at cluster"),
        (State.QUEUED, attempt(None, "not yet"), "admitted"),
        (State.QUEUED, None, "admitted"),
        (State.RUNNING, attempt(detail="Slurm says: suspended"), "admitted"),
    ],
)
def test_a_job_that_its_provider_has_in_a_queue_says_what_that_says(
    state: State, tried: Attempt | None, said: str
) -> None:
    from dataclasses import replace

    assert reason(replace(JOB, state=state), tried) == said


def shown(**seen: Any) -> str:
    row = {
        "job": "j", "task": "a/b", "state": "QUEUED", "reason": SLURMS, "trial": 0, "parameters": {}, "provider": "cluster",
        "attempt": 1, "started": None, "seconds": None, "progress": None, "metrics": {},
    }  # fmt: skip
    whole = {
        "repo": "/lab", "state_folder": "/s", "controller": None, "alarms": {}, "notes": {}, "branches": {}, "unpublished": 0,
        "suspended": {}, "counts": {}, "queued": [], "held": [], "pulls": [], "finished": [], **seen,
    }  # fmt: skip
    whole["running"] = [{**row, **one} for one in seen.get("running", [])]
    out = Console(file=io.StringIO(), width=200)
    out.print(page(whole, NOW, width=200))
    return str(out.file.getvalue())  # type: ignore[attr-defined]


def test_jobs_that_wait_for_the_same_in_a_provider_s_queue_are_one_line() -> None:
    many = [{"job": f"j{n}"} for n in range(1000)]
    text = shown(
        running=[*many, {"job": "k", "state": "RUNNING", "seconds": 60.0}, {"job": "l", "reason": "waits for p"}]
    )
    assert f"queued 1,000 × a/b: {SLURMS}" in text
    assert "queued a/b (l): waits for p" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("j", "k", "l"))] == ["job", "k"]


def test_what_a_provider_says_of_itself_is_one_line() -> None:
    assert "cluster: squeue every 5 s; nobody waits\n" in "".join(
        line.rstrip() + "\n"
        for line in shown(notes={"cluster": {"a": "squeue every 5 s", "b": "nobody waits"}}).splitlines()
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            "squeue: slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
            "slurmctld does not answer (squeue: slurm_load_jobs error: Unable to contact slurm controller (connect failure))",
        ),
        ("squeue: command not found", "squeue: command not found"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_a_daemon_that_is_away_is_told_from_a_command_that_fails(words: str, shown: str) -> None:
    assert away("slurmctld", words) == shown
