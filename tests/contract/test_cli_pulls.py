"""`lab status`, `jobs`, `why`, `show`, `stop` about pull requests: a real controller on a real repository, people at a forge in memory."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labwright.cli.main import program
from labwright.control.world import Options
from labwright.domain.forge import Protection, Role
from labwright.settings import Place, find_place
from labwright.testing.memory_forge import MemoryForge
from labwright.wiring import Site, open_site

pytestmark = pytest.mark.slow

LAB = """\
watch: {pull_requests: true}
forge: {type: forgejo, url: "https://forge.example", repo: ml/vision, token: "{{secret.T}}", poll: 1s, update: 1s}
secrets: {T: {env: LAB_TEST_TOKEN}}
"""
PEOPLE = {"ada": Role.ADMIN, "ben": Role.WRITE, "cleo": Role.WRITE, "mallory": Role.READ}
HOSTILE = "\x1b[2J[bold]gone[/bold]\n\u202eevil"


class Town:
    def __init__(self, top: Path, patch: pytest.MonkeyPatch) -> None:
        self.repo = top / "lab"
        self.repo.mkdir()
        self.forge = MemoryForge(people=dict(PEOPLE), protected={"main": Protection(True)})
        patch.setattr("labwright.wiring.make_forge", lambda place, lab, *more: self.forge if lab.forge else None)
        patch.setenv("LABWRIGHT_STATE", str(top / "state"))
        patch.setenv("LAB_TEST_TOKEN", "t")
        patch.chdir(self.repo)
        self.git("init", "-q", "-b", "main")
        self.main = self.commit({"lab.yaml": LAB, "experiments/base/task.yaml": task("base")})
        self.site: Site | None = None

    def git(self, *args: str) -> str:
        who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(["git", *who, *args], cwd=self.repo, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            path = self.repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def propose(self, number: int, files: dict[str, str], **more: Any) -> str:
        self.git("checkout", "-q", "--detach", self.main)
        head = self.commit(files)
        self.git("update-ref", f"refs/pull/{number}/head", head)
        self.git("checkout", "-q", "main")
        self.forge.open(number, head, "ada", **more)
        return head

    @property
    def place(self) -> Place:
        return find_place(str(self.repo))

    def start(self) -> None:
        """Until all is planned, and 2 has run."""
        self.site = open_site(self.place, Options(poll_seconds=3600))
        self.site.world.rouse(pushed=True, hooked=True)
        done = self.site.world.book.ledger.jobs
        self.until(lambda: any(job.branch == "pull:2" and job.state == "COMPLETE" for job in done()))
        self.until(lambda: len(self.json("status")["pulls"]) == 4)
        self.until(lambda: self.pull(2)["jobs"] == {"COMPLETE": 1})

    def stop(self) -> None:
        if self.site is not None:
            self.site.close()
            self.site = None

    def until(self, true: Callable[[], Any]) -> None:
        assert self.site is not None
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end, self.site.world.alarms.on
            self.site.controller.turn()
            time.sleep(0.02)

    def lab(self, *args: str, code: int = 0) -> str:
        done = CliRunner().invoke(program(), list(args))
        assert done.exit_code == code, done.output
        return done.output

    def json(self, *args: str) -> Any:
        return json.loads(self.lab(*args, "--json"))

    def pull(self, number: int) -> Any:
        return next(pull for pull in self.json("status")["pulls"] if pull["number"] == number)


def task(text: str) -> str:
    return f"name: train\nrun: echo {text}\n"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """1 waits for approval, 2 ran, 3 changes no task, 4 is hostile and from a fork, 5 is invalid."""
    with pytest.MonkeyPatch.context() as patch:
        town = Town(tmp_path_factory.mktemp("town"), patch)
        town.propose(1, {"experiments/alpha/task.yaml": task("one")}, title="Train alpha")
        town.propose(2, {"experiments/beta/task.yaml": task("two")}, title="Train beta")
        town.propose(3, {"README.md": "words"}, title="Words")
        town.propose(4, {"experiments/delta/task.yaml": task("four")}, title=HOSTILE, fork=True)
        town.propose(5, {"experiments/epsilon/task.yaml": "run: [\n"}, title="Broken")
        town.forge.put_label(2, "lab:run", "ada")
        town.forge.review(2, "ben")
        try:
            town.start()
            yield town
        finally:
            town.stop()


def test_status_lists_pull_requests_that_ask_for_something(town: Town) -> None:
    assert [pull["number"] for pull in town.json("status")["pulls"]] == [5, 4, 2, 1]
    one, two = town.pull(1), town.pull(2)
    assert (one["title"], one["author"], one["approved"], one["launch"]) == ("Train alpha", "ada", False, 1)
    assert one["waits"].startswith("waits for the label `lab:run`")
    assert (two["approved"], two["waits"], two["reuse"]) == (True, "", 1)
    page = town.lab("status")
    assert "#1" in page
    assert "the label `lab:run`" in page
    assert "1 COMPLETE" in page
    assert "#3" not in page


def test_a_hostile_title_moves_nothing_on_the_terminal(town: Town) -> None:
    for page in (town.lab("status"), town.lab("why", "pull:4")):
        assert "\x1b[2J" not in page
        assert "\u202e" not in page
        assert "[bold]gone[/bold]" in page


def test_why_names_each_gate_of_a_pull_request(town: Town) -> None:
    found = town.json("why", "pull:1")
    gates = {gate["gate"]: gate for gate in found["gates"]}
    assert gates["planned"]["text"].endswith("1 to launch, 0 there already, 0 to stop")
    shut = [gate["text"] for gate in found["gates"] if gate["passed"] is False]
    assert any("lab:run" in text for text in shut)
    assert any("approving review" in text for text in shut)
    assert found["pull"]["number"] == 1
    assert found["trials"] == []
    page = town.lab("why", "#1")
    assert page.startswith("pull request 1 (https://forge.example/ml/vision/pulls/1): Train alpha by ada")


def test_why_of_an_approved_one_shows_its_jobs(town: Town) -> None:
    found = town.json("why", "pull:2")
    assert all(gate["passed"] for gate in found["gates"])
    assert found["pull"]["approved_by"] == ["ben"]
    (trial,) = found["trials"]
    assert (trial["task"], trial["state"]) == ("beta", "COMPLETE")
    assert "on pull request 2 (https://forge.example/ml/vision/pulls/2)" in trial["text"]
    assert town.json("why", trial["job"])["pull"]["number"] == 2


def test_why_of_one_that_changes_no_task_says_so(town: Town) -> None:
    (_, planned) = town.json("why", "pull:3")["gates"]
    assert planned["text"] == "it changes no task: nothing is launched for it"


def test_why_of_an_invalid_one_names_the_file(town: Town) -> None:
    gates = town.json("why", "pull:5")["gates"]
    assert any(gate["gate"] == "valid" and "experiments/epsilon/task.yaml" in gate["text"] for gate in gates)


def test_why_of_a_task_that_only_a_pull_request_has_leads_there(town: Town) -> None:
    gates = {gate["gate"]: gate for gate in town.json("why", "alpha")["gates"]}
    assert gates["task"]["hint"] == "it is part of pull:1: `lab why pull:1`"


def test_an_unknown_pull_request_is_refused(town: Town) -> None:
    assert "no pull request 99" in town.lab("why", "pull:99", code=3)


@pytest.mark.parametrize("words", [("pull:2",), ("#2",), ("!2",), ("--pull", "2"), ("--pull", "pull:2"), ("--task", "pull:2"),
                                   ("--commit", "#2")])  # fmt: skip
def test_jobs_takes_a_pull_request_wherever_it_filters(town: Town, words: tuple[str, ...]) -> None:
    assert [(row["task"], row["branch"]) for row in town.json("jobs", *words)] == [("beta", "pull:2")]


def test_jobs_without_any_of_it_shows_none(town: Town) -> None:
    assert town.json("jobs", "pull:1") == []
    assert town.json("jobs", "beta") == town.json("jobs", "--task", "beta") != []


def test_jobs_refuses_what_is_no_pull_request(town: Town) -> None:
    assert "has a number" in town.lab("jobs", "--pull", "seven", code=3)
    assert "one pull request" in town.lab("jobs", "pull:1", "--task", "pull:2", code=3)
    assert "twice" in town.lab("jobs", "beta", "--task", "alpha", code=3)
    assert "no task, experiment, commit or pull request no/such" in town.lab("jobs", "no/such", code=3)


def test_show_names_the_pull_request_and_its_page(town: Town) -> None:
    page = town.lab("show", "pull:2")
    assert "on pull request 2 (https://forge.example/ml/vision/pulls/2) by ada" in page


def test_stop_of_a_pull_request_without_live_jobs_says_so(town: Town) -> None:
    assert "nothing of pull:2 waits or runs" in town.lab("stop", "pull:2", code=3)


def test_without_a_controller_only_jobs_are_known(town: Town) -> None:
    town.stop()
    try:
        found = town.json("why", "pull:2")
        (gate,) = found["gates"]
        assert (gate["passed"], gate["hint"]) == (None, "lab serve")
        assert [trial["task"] for trial in found["trials"]] == ["beta"]
        assert "the controller is not running" in town.lab("why", "pull:1", code=3)
        assert [row["task"] for row in town.json("jobs", "pull:2")] == ["beta"]
    finally:
        town.start()
