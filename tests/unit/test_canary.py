"""R23: secrets of every sort are planted, jobs and servers say them in every way that they can, and nothing that is kept or told has
one of them."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from labwright.control.status import status
from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.domain.lifecycle import State
from labwright.ports.provider import Condition
from labwright.testing.fake_provider import Story
from tests.unit.planning import task
from tests.unit.pull_bench import PullBench

pytestmark = pytest.mark.slow

PLANTED = {
    "ENV": r"""c4n4ry-env"dq'sq`tick`$(x)*_|<b>\n[l](http://x)&""",
    "FILE": "-----BEGIN C4N4RY KEY-----\n  c4n4ry-l1ne-tw0/+=\nc4n4ry-l1ne-thr33\n-----END C4N4RY KEY-----",
    "COMMAND": 'c4n4ry cömmand {"a": [1, 2]}',
    "FORGE": "c4n4ry_forge_t0ken",
    "HOOK": "c4n4ry-hook+s3cret/==",
}
GIVEN = ("ENV", "FILE", "COMMAND")
USES = task("x", envs="{A: '{{secret.ENV}}', B: 'x {{secret.FILE}}', C: '{{secrets.COMMAND}}'}")


def settings(folder: Path) -> str:
    (folder / "key").write_text(PLANTED["FILE"] + "\n")
    (folder / "command").write_text(PLANTED["COMMAND"])
    program = f"[{sys.executable}, -c, 'print(open(\"{folder}/command\").read())']"
    return f"""
watch: {{pull_requests: true}}
forge:
  {{type: forgejo, url: "https://forge.example", repo: lab/vision, token: "{{{{secret.FORGE}}}}",
    hook_secrets: "{{{{secret.HOOK}}}}", update: 1s}}
secrets:
  ENV: {{env: CANARY_ENV}}
  FILE: {{file: {folder}/key}}
  COMMAND: {{command: {program}}}
  FORGE: {{env: CANARY_FORGE}}
  HOOK: {{env: CANARY_HOOK}}
"""


def said(value: str) -> list[str]:
    """As programs print it."""
    ways = [
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        repr(value.encode()),
        shlex.quote(value),
        quote(value, safe=""),
    ]
    return [*ways, *value.splitlines()]


def story() -> Story:
    """A job that says all of them everywhere, found or given, and fails with them."""
    words = [way for value in PLANTED.values() for way in said(value)]
    every = " ".join(PLANTED.values())
    html = (
        json.dumps(PLANTED["ENV"]).replace("<", r"\u003c").replace("&", r"\u0026").replace("/", r"\/")
    )  # as Go and PHP
    events = [
        json.dumps({"t": 1790000000, "e": "metric", "step": 1, "m": {f"loss {PLANTED[name]}": 1.0}}, ensure_ascii=how)
        for name in ("ENV", "COMMAND", "FORGE", "HOOK")
        for how in (True, False)
    ]
    events += [
        json.dumps({"t": 1790000001, "e": "log", "m": every, "more": {every: [every]}}),
        '{"t":1790000001,"e":"log","m":' + html + ',"x":{' + html + ":1}}",
        '{"t":1790000001,"e":"metric","step":2,"m":{' + html + ":1}}",
        json.dumps({"t": 1790000002, "e": "artifact", "path": f"{PLANTED['ENV']}.pt", "kind": every}),
        json.dumps({"t": 1790000003, "e": "error", "m": f"cannot log in with {every}"}),
        json.dumps({"t": 1790000004, "e": "finish", "score": {f"s{PLANTED['FORGE']}": 1.0, "loss": 2}, "m": every}),
    ]
    names = {f"{value.splitlines()[0]}.pt": b"weights" for value in PLANTED.values()}
    log = "before\n" + "\n".join(words) + "\nafter"
    return Story(run=2, code=1, log=log.encode(), events="\n".join(events).encode() + b"\n", artifacts=names)


class Canary(PullBench):
    def everywhere(self) -> str:
        """All that is kept, told and shown; but for what the test itself planted."""
        talks = [(talk.comments, talk.reviews) for talk in self.at.talks.values()]
        files = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        for name in ("key", "command"):
            (self.folder / name).rename(self.folder.parent / f"{self.folder.name}-{name}")
        try:
            kept = self.everything_kept()
        finally:
            for name in ("key", "command"):
                (self.folder.parent / f"{self.folder.name}-{name}").rename(self.folder / name)
        shown = json.dumps(status(self.controller), default=str)
        rows = [self.rows(f"SELECT * FROM {name}") for name in ("metrics", "params", "commits", "leaderboard")]
        assert len(files) > 2
        return repr((kept, talks, self.at.statuses, self.alarms, shown, rows))

    def assert_silent(self) -> None:
        found = self.everywhere()
        at = found.lower().find("c4n4ry")
        assert at == -1, found[max(0, at - 300) : at + 200]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    for name in ("ENV", "FORGE", "HOOK"):
        monkeypatch.setenv(f"CANARY_{name}", PLANTED[name])
    folder = tmp_path / "lab"
    folder.mkdir()
    bench = Canary(folder, settings(folder))
    ask = bench.at._ask

    def asking(what: str) -> None:
        """As the adapters do: the token is asked for with each request."""
        if bench.world.lab is not None:
            bench.world.masks.resolve(["FORGE"], bench.world.lab.secrets)
        ask(what)

    bench.at._ask = asking  # type: ignore[method-assign]
    bench.provider._story = story()
    yield bench
    bench.close()


def test_r23_what_a_job_says_reaches_nothing_that_is_kept_and_no_comment(bench: Canary) -> None:
    given: list[Any] = []
    submit = bench.provider.submit
    bench.provider.submit = lambda batch: given.extend(batch) or submit(batch)  # type: ignore[method-assign]
    bench.propose(**{"alpha/train": USES, "alpha/forge": task("x", envs="{F: '{{secret.FORGE}} {{secret.HOOK}}'}")})
    bench.label()
    bench.settle()
    assert given == [] and "the controller" in bench.comment()
    bench.approve()
    bench.until_idle()
    assert [one.secrets for one in given] == [{name: PLANTED[name] for name in GIVEN}]
    (job,) = bench.pulled
    assert job.state is State.FAILED and "cannot log in with *" in job.reason
    assert "\nafter\n" in bench.comment(), "the log's end is told"
    assert len([path for path in bench.results.content if "manifest" in path]) >= 2
    assert bench.rows("SELECT count(*) AS n FROM metrics WHERE name LIKE 'loss *%'") != [{"n": 0}]
    bench.assert_silent()


def test_r23_a_task_without_secrets_that_finds_the_forges_token_prints_it_in_vain(bench: Canary) -> None:
    """On this machine a job may read what its user may read."""
    own = {name: PLANTED[name] for name in ("FORGE", "HOOK")}
    bench.provider._story = Story(log=repr(own).encode(), artifacts={own["FORGE"]: b"x"}, code=1)
    bench.push(a=task("env"))
    bench.until_idle()
    assert bench.state("a") is State.FAILED
    bench.assert_silent()


ALL = " ".join(PLANTED.values())
ERRORS: dict[str, Callable[[], Exception]] = {
    "refused": lambda: Refused(f"401 for {ALL}", hint=f"is {ALL} right?"),
    "unavailable": lambda: Unavailable(f"500 for {ALL}", retry_in=1),
    "unknown": lambda: OutcomeUnknown(f"cut off after {ALL}"),
    "a defect": lambda: ValueError(f"Authorization: token {ALL}"),
    "of the system": lambda: OSError(5, f"cannot open {ALL}"),
}


def use_all(bench: Canary) -> None:
    """One good job, so that every value was handed out."""
    bench.propose(9, **{"first/t": USES})
    bench.approve(9)
    bench.until_idle()


@pytest.mark.parametrize("what", ERRORS)
def test_r23_a_forge_that_quotes_the_token_is_told_of_without_it(bench: Canary, what: str) -> None:
    use_all(bench)
    bench.propose(1, **{"alpha/train": USES})
    bench.settle()
    bench.approve(1)
    bench.at.away = ERRORS[what]()  # type: ignore[assignment]
    bench.settle()
    bench.turn(5, seconds=10)
    assert bench.alarms and bench.logged
    bench.assert_silent()
    bench.at.away = None
    bench.turn(40, seconds=10)
    bench.hook()
    bench.until_idle()
    bench.assert_silent()


@pytest.mark.parametrize("what", ERRORS)
def test_r23_a_provider_that_quotes_a_value_is_told_of_without_it(bench: Canary, what: str) -> None:
    use_all(bench)
    for call in ("submit", "observe", "read", "collect", "find", "fetch"):
        bench.provider.fail(call, ERRORS[what]())  # type: ignore[arg-type]
    bench.propose(1, **{"alpha/train": USES})
    bench.approve(1)
    bench.turn(6, seconds=2)
    bench.assert_silent()
    for _ in range(12):
        bench.turn(5, seconds=0.1)  # the forge's word is fresh for two seconds
        bench.turn(seconds=30)
    met = {call for call, faults in bench.provider._faults.items() if not faults}
    assert {"submit", "observe", "read", "collect"} <= met
    bench.assert_silent()


def test_r23_what_a_provider_says_of_an_end_or_of_itself_is_told_without_values(bench: Canary) -> None:
    use_all(bench)
    bench.provider._story = Story(hangs=True)
    bench.provider.condition = lambda: Condition({"queue": ALL})  # type: ignore[method-assign]
    bench.propose(1, **{"alpha/train": USES})
    bench.approve(1)
    bench.until(lambda: any(job.state is State.RUNNING for job in bench.pulled))
    (handle,) = [h for h, job in bench.provider._jobs.items() if not job.ended]
    bench.provider.end(handle, bench.provider._story.how, code=3, detail=f"slurmstepd: {ALL}")
    bench.turn(20)
    bench.assert_silent()


def test_r23_an_answer_to_an_order_repeats_no_value(bench: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    use_all(bench)
    monkeypatch.setattr(bench.provider, "_refusals", lambda task: [f"cannot with {ALL}"])
    bench.propose(1, **{"alpha/train": USES})
    bench.at.write(1, "/lab why", "ben")
    bench.settle()
    assert "cannot with" in bench.comment(1)
    from labwright.domain.job import ActKind

    act = bench.ask(ActKind.RUN, "base", provider="local")
    bench.turn(3)
    assert "cannot with" in bench.answer(act)
    bench.assert_silent()
