"""What stands beside a commit on GitHub."""

from dataclasses import replace

import pytest

from labwright.adapters.forges.github.forge import GitHubForge
from labwright.domain.errors import Refused
from labwright.domain.forge import Annotation, Light, Status
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.routes import Reply
from tests.forges.github.world import World

A, B = "a" * 40, "b" * 40
RUNNING = Status("lab/plan", Light.PENDING, "3 of 5 run", "https://lab.example.org/7")


def remarks(count: int) -> tuple[Annotation, ...]:
    return tuple(Annotation("experiments/a/task.yaml", n + 1, f"wrong {n}", failure=n % 2 == 0) for n in range(count))


def test_only_an_app_has_check_runs(forge: GitHubForge, app_forge: GitHubForge, world: World) -> None:
    assert (forge.features.checks, app_forge.features.checks) == (False, True)
    forge.set_status(A, RUNNING)
    app_forge.set_status(A, RUNNING)
    assert len(world.statuses) == len(world.checks) == 1


@pytest.mark.parametrize(
    ("light", "state", "conclusion"),
    [
        (Light.PENDING, "pending", None),
        (Light.SUCCESS, "success", "success"),
        (Light.FAILURE, "failure", "failure"),
        (Light.ERROR, "error", "action_required"),
    ],
)
def test_lights_keep_their_meaning(
    forge: GitHubForge, app_forge: GitHubForge, world: World, light: Light, state: str, conclusion: str | None
) -> None:
    status = replace(RUNNING, light=light)
    forge.set_status(A, status)
    app_forge.set_status(A, status)
    [check] = world.checks.values()
    assert (world.statuses[0]["state"], check["conclusion"]) == (state, conclusion)
    assert check["status"] == ("completed" if conclusion else "in_progress")


def test_a_status_that_is_as_it_should_be_is_not_written_again(forge: GitHubForge, world: World) -> None:
    """GitHub takes 1,000 of a commit and context and then no more."""
    for _ in range(3):
        forge.set_status(A, RUNNING)
    forge.set_status(A, replace(RUNNING, context="lab/gates"))
    forge.set_status(B, RUNNING)
    forge.set_status(A, replace(RUNNING, light=Light.SUCCESS, words="done"))
    assert [(it["sha"], it["context"], it["state"]) for it in world.statuses] == [
        (A, "lab/plan", "pending"),
        (A, "lab/gates", "pending"),
        (B, "lab/plan", "pending"),
        (A, "lab/plan", "success"),
    ]


def test_a_check_run_is_one_a_commit_and_name(app_forge: GitHubForge, github: FakeGitHub, world: World) -> None:
    app_forge.set_status(A, RUNNING)
    app_forge.set_status(A, replace(RUNNING, words="4 of 5 run"))
    app_forge.set_status(A, replace(RUNNING, words="5 of 5", light=Light.SUCCESS))
    app_forge.set_status(A, replace(RUNNING, context="lab/gates"))
    assert sorted((it["name"], it["status"], it["output"]["title"]) for it in world.checks.values()) == [
        ("lab/gates", "in_progress", "3 of 5 run"),
        ("lab/plan", "completed", "5 of 5"),
    ]
    writes = len(github.requests("PATCH")) + len(github.requests("POST", "/check-runs"))
    app_forge.set_status(A, replace(RUNNING, words="5 of 5", light=Light.SUCCESS))
    assert len(github.requests("PATCH")) + len(github.requests("POST", "/check-runs")) == writes


@pytest.mark.parametrize("theirs", [{"name": "lab/Plan"}, {"app": {"id": 1}}])
def test_a_run_of_another_app_or_name_is_not_ours(
    app_forge: GitHubForge, github: FakeGitHub, world: World, theirs: dict[str, object]
) -> None:
    """Whatever GitHub's filters let through."""
    app_forge.set_status(A, RUNNING)
    [check] = world.checks.values()
    github.fail(
        "GET", "/check-runs", Reply(200, {"total_count": 1, "check_runs": [{**github.shapes.check(check), **theirs}]})
    )
    app_forge.set_status(A, replace(RUNNING, words="4 of 5 run"))
    assert [it["output"]["title"] for it in world.checks.values()] == ["3 of 5 run", "4 of 5 run"]


def test_what_ended_begins_anew_as_a_run_of_its_own(app_forge: GitHubForge, world: World) -> None:
    app_forge.set_status(A, replace(RUNNING, light=Light.FAILURE))
    app_forge.set_status(A, RUNNING)
    assert [it["status"] for it in world.checks.values()] == ["completed", "in_progress"]


def test_remarks_come_in_batches_and_the_end_comes_with_the_last(
    app_forge: GitHubForge, github: FakeGitHub, world: World
) -> None:
    app_forge.set_status(A, replace(RUNNING, light=Light.FAILURE, annotations=remarks(120)))
    [check] = world.checks.values()
    assert [it["message"] for it in check["annotations"]] == [f"wrong {n}" for n in range(120)]
    assert [it["annotation_level"] for it in check["annotations"][:2]] == ["failure", "warning"]
    sent = [it.body for it in github.requests("", "/check-runs") if it.method != "GET"]
    assert [len(it["output"]["annotations"]) for it in sent] == [50, 50, 20]
    assert [it["status"] for it in sent] == ["in_progress", "in_progress", "completed"]
    assert ["conclusion" in it for it in sent] == [False, False, True]


def test_remarks_are_not_doubled_and_old_ones_do_not_stay(app_forge: GitHubForge, world: World) -> None:
    failed = replace(RUNNING, light=Light.FAILURE, annotations=remarks(60))
    app_forge.set_status(A, failed)
    app_forge.set_status(A, replace(failed, words="still wrong"))
    [check] = world.checks.values()
    assert len(check["annotations"]) == 60
    app_forge.set_status(A, replace(failed, annotations=remarks(70)))
    assert len(check["annotations"]) == 70
    app_forge.set_status(A, replace(failed, annotations=remarks(1)))
    newest = list(world.checks.values())[-1]
    assert len(world.checks) == 2
    assert len(newest["annotations"]) == 1


def test_a_summary_that_is_too_long_is_cut_and_says_so(app_forge: GitHubForge, world: World) -> None:
    app_forge.set_status(A, replace(RUNNING, summary="x" * 200_000))
    [check] = world.checks.values()
    assert len(check["output"]["summary"]) < 65_535
    assert check["output"]["summary"].endswith("*The rest does not fit here.*")


def test_words_longer_than_a_status_has_room_for_are_refused(forge: GitHubForge, app_forge: GitHubForge) -> None:
    for one in (forge, app_forge):
        one.set_status(A, replace(RUNNING, words="w" * one.features.words_chars))
        with pytest.raises(Refused, match="140 characters at most"):
            one.set_status(A, replace(RUNNING, words="w" * 141))
