"""The fake, and what the adapter asks of it, compared with what GitHub says of itself: the OpenAPI description of its REST API, and
examples of what it delivers. Both come from npm (scripts/vendor-specs)."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from labwright.adapters.forges.github import parse
from labwright.adapters.forges.github.forge import GitHubForge
from labwright.domain.errors import LabError
from labwright.domain.forge import Annotation, Light, Opinion, Person, Status
from tests.forges.github.bench import PAT, a_github, as_app, as_person
from tests.forges.github.described import Described
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.routes import ROUTES

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(400)]

A, B = "a" * 40, "b" * 40
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder() -> Path:
    done = subprocess.run([ROOT / "scripts/vendor-specs"], capture_output=True, text=True, check=False, timeout=350)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(done.stderr.strip())
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def described(folder: Path) -> Described:
    return Described(folder / "openapi.json")


@pytest.fixture(scope="module")
def examples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {it["name"]: it["examples"] for it in json.loads((folder / "webhooks.json").read_text())}


@pytest.fixture(scope="module")
def played() -> Iterator[FakeGitHub]:
    """After everything that the port has was asked, as a person and as an App."""
    with a_github().running() as fake:
        world = fake.world
        world.tokens[PAT].permissions |= {"repository_hooks": "write", "administration": "read"}  # type: ignore[operator]
        _people_act(fake)
        for forge in (as_person(fake), as_app(fake)):
            with closing(forge):
                _all_is_asked(forge, fake)
        yield fake


def _people_act(fake: FakeGitHub) -> None:
    world = fake.world
    for login, role in [("ada", "admin"), ("ben", "maintain"), ("tom", "triage"), ("cas", "deployer")]:
        world.grant(login, role, "write" if login == "cas" else "")
    world.teams["ml", "leads"] = ["ada", "ben"]
    world.open(7, A, "cleo")
    world.open(8, B, "eve", fork=True, draft=True)
    world.open(9, B, "ada", commits=[(f"{n:040x}", "ada", None) for n in range(260)])
    world.change(8, draft=False)
    world.change(7, base="main", title="Another")
    world.put_label(7, "lab:run", "ben")
    world.put_label(7, "lab:hold", "dependabot[bot]")
    world.put_label(7, "lab:hold", "ben", on=False)
    world.dismiss(7, world.review(7, "ben"), "ada")
    world.review(7, None, "COMMENTED", commit=None)
    world.review(7, "ada", "PENDING")
    world.edit(world.write(7, "hello", "cleo")["id"], "hello?")
    world.push("main", A, "ben")
    world.push("feature/x", B, None)
    main = world.branches["main"]
    main.rules = [{"type": "deletion"}]
    url = f"{fake.shapes.repo_url}/branches/main/protection"
    reviews = {"dismiss_stale_reviews": True, "require_code_owner_reviews": False, "required_approving_review_count": 1}
    pushers = {"url": url, "users_url": url, "teams_url": url, "apps_url": url, "teams": [], "apps": []}
    main.older = {
        "required_pull_request_reviews": reviews,
        "restrictions": {**pushers, "users": [fake.shapes.user("ada")]},
        "enforce_admins": {"url": url, "enabled": True},
    }


def _all_is_asked(forge: GitHubForge, fake: FakeGitHub) -> None:
    forge.pulls()
    for number in (7, 8, 9):
        forge.talk(number)
    forge.roles(["ada", "ben", "tom", "cas", "nobody"])
    forge.members("@ml/leads")
    if forge.features.checks:
        fake.world.require_reviews("main", 2)  # it may not read the other kind
    for branch in ("main", "feature/x"):
        forge.protection(branch)
    forge.pusher("main", A)
    own = forge.comment(7, "plan")
    forge.comment(7, "results", replaces=own)
    fake.world.put_label(7, "lab:run", "ben")
    for _ in range(2):
        forge.unlabel(7, "lab:run")
    forge.add_labels({"lab:fork": "of a fork", f"lab:{forge.features.checks}": ""})
    for light in Light:
        remarks = tuple(Annotation("task.yaml", n + 1, "wrong") for n in range(51)) if light is Light.FAILURE else ()
        for words in ("some", "more"):
            forge.set_status(A, Status("lab", light, words, "https://lab.example.org", "# Plan", remarks))
    for secret in ("old", "new"):
        forge.add_hook("https://lab.example.org/hooks", secret)
    assert {it.result for it in forge.examine(["lab:run"], "https://lab.example.org/hooks", ["main"])} >= {"ok"}


def test_every_route_of_the_fake_is_one_of_githubs(described: Described) -> None:
    assert [f"{it.method} {it.path}" for it in ROUTES if not described.knows(it.method, it.path)] == []


def test_the_play_reaches_every_route(played: FakeGitHub) -> None:
    reached = {(it.method, it.path) for it in played.log if it.status < 300}
    assert {(it.method, it.path) for it in ROUTES} - reached == set()


def test_every_answer_of_the_fake_is_as_github_describes_it(described: Described, played: FakeGitHub) -> None:
    wrong, compared = set(), 0
    for it in played.log:
        if it.status < 300:
            compared += 1
            for words in described.wrong_with_answer(it.method, it.path, it.status, it.reply.body):
                wrong.add(f"{it.method} {it.path}: {re.sub(r'[0-9]+', 'N', words)}")
    assert compared > 100
    assert sorted(wrong) == []


def test_every_request_of_the_adapter_is_as_github_describes_it(described: Described, played: FakeGitHub) -> None:
    wrong = set()
    for it in played.log:
        probe = it.body == {} and it.status == 422  # of the doctor: meant to be wrong
        if it.method != "GET" and not probe:
            wrong |= {
                f"{it.method} {it.path}: {words}" for words in described.wrong_with_request(it.method, it.path, it.body)
            }
        query = dict(parse_qsl(urlsplit(it.at).query))
        wrong |= {f"{it.method} {it.path}: ?{name}" for name in query.keys() - described.parameters(it.method, it.path)}
    assert sorted(wrong) == []


def test_the_comparison_would_find_what_is_wrong(described: Described, played: FakeGitHub) -> None:
    """A negative control."""
    path = "/repos/{owner}/{repo}/pulls/{pull_number}"
    body = next(it.reply.body for it in played.log if it.path == path and it.status == 200)
    assert described.wrong_with_answer("GET", path, 200, body) == []
    assert described.wrong_with_answer("GET", path, 200, {**body, "number": "7"})
    assert described.wrong_with_answer("GET", path, 200, {key: body[key] for key in body if key != "head"})
    assert described.wrong_with_request("POST", "/repos/{owner}/{repo}/labels", {"color": 7})
    assert "sort" in described.parameters("GET", "/repos/{owner}/{repo}/pulls")
    assert "order" not in described.parameters("GET", "/repos/{owner}/{repo}/pulls")


def test_statuses_that_the_fake_answers_with_are_described(described: Described, played: FakeGitHub) -> None:
    general = {"401", "403", "404", "422"}  # which any call may be answered with
    seen = {(it.method, it.path, str(it.status)) for it in played.log}
    strange = {it for it in seen if it[2] not in general | {"304"} | described.statuses(it[0], it[1])}
    assert strange == set()


# deliveries


def test_pull_requests_of_real_deliveries_are_understood(examples: dict[str, list[dict[str, Any]]]) -> None:
    seen = [(it, parse.pull(it["pull_request"])) for it in examples["pull_request"]]
    assert len(seen) > 20
    for it, pull in seen:
        assert pull.number == it["number"]
        assert re.fullmatch(r"[0-9a-f]{40}", pull.head)
        assert pull.author.login
        assert pull.merged == (it["pull_request"]["merged"] is True)
        assert pull.open == (it["pull_request"]["state"] == "open")
        assert pull.updated.startswith(it["pull_request"]["updated_at"])
    assert {pull.fork for _, pull in seen} == {False}
    assert len({pull.updated for _, pull in seen}) > 5


def test_labels_of_real_deliveries_are_on_the_pull_request_as_they_say(
    examples: dict[str, list[dict[str, Any]]],
) -> None:
    for it in examples["pull_request"]:
        if it.get("action") in ("labeled", "unlabeled") and "label" in it:
            event = {
                "id": 1,
                "event": it["action"],
                "label": it["label"],
                "actor": it["sender"],
                "created_at": "2026-01-01T00:00:00Z",
            }
            [made] = parse.labellings([event])
            assert made.by == parse.person(it["sender"])
            assert made.on == (it["action"] == "labeled")
            assert made.label in parse.pull(it["pull_request"]).labels  # in the example of one taken off too


def test_reviews_of_real_deliveries_are_understood(examples: dict[str, list[dict[str, Any]]]) -> None:
    found = [review for it in examples["pull_request_review"] for review in parse.reviews([it["review"]])]
    assert len(found) == len(examples["pull_request_review"])
    assert {it.opinion for it in found} >= {Opinion.COMMENT, Opinion.DISMISSED}
    assert all(re.fullmatch(r"[0-9a-f]{40}", it.commit) and it.at.tzinfo is UTC for it in found)


def test_comments_of_real_deliveries_are_understood(examples: dict[str, list[dict[str, Any]]]) -> None:
    for it in examples["issue_comment"]:
        [comment] = parse.comments([it["comment"]])
        assert comment.by == Person(it["comment"]["user"]["login"], it["comment"]["user"]["type"] == "Bot")
        assert comment.edited == (it["comment"]["created_at"] != it["comment"]["updated_at"])


def test_a_lab_error_is_never_what_a_play_ends_with(played: FakeGitHub) -> None:
    with pytest.raises(LabError), closing(as_person(played, "wrong")) as forge:
        forge.pulls()
