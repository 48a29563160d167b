"""`lab forge setup` and `lab doctor forge` at a real Forgejo."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from labwright.cli.main import program
from labwright.domain.forge import Role
from tests.real.forge.forgejo_world import ForgejoWorld

HOOK = "http://127.0.0.1:9/hooks"
SECRET = "known to both, and to nobody else"
Lab = Callable[..., Result]


@pytest.fixture
def lab(world: ForgejoWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The command, in a lab repository whose forge is the world's; ben and CODEOWNERS may approve."""
    monkeypatch.setenv("LABWRIGHT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LAB_TEST_TOKEN", world.server.tokens["labwright"])
    monkeypatch.setenv("LAB_TEST_HOOK", SECRET)
    repo = tmp_path / "lab"
    repo.mkdir()
    monkeypatch.chdir(repo)
    settings = {
        "watch": {"pull_requests": True},
        "forge": {"type": "forgejo", "url": world.server.url, "repo": world.repo, "token": "{{secret.T}}",
                  "hook_secrets": "{{secret.H}}"},
        "secrets": {"T": {"env": "LAB_TEST_TOKEN"}, "H": {"env": "LAB_TEST_HOOK"}},
        "policy": {"approve": {"by": ["ben", "mallory", "nobody-at-all", "CODEOWNERS"]}},
    }  # fmt: skip
    (repo / "lab.yaml").write_text(json.dumps(settings))
    who = ("-c", "user.name=ada", "-c", "user.email=ada@lab.example")
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "lab"]):
        subprocess.run(["git", *who, *argv], cwd=repo, check=True)

    def run(*args: str, code: int = 0, said: str | None = None) -> Result:
        done = CliRunner().invoke(program(["forge", "doctor"]), list(args), input=said)
        assert done.exit_code == code, done.output
        assert world.server.tokens["labwright"] not in done.output
        assert SECRET not in done.output
        return done

    return run


def findings(done: Result) -> dict[str, Any]:
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


def labels(world: ForgejoWorld) -> Sequence[str]:
    return sorted(label["name"] for label in world.api("GET", "/labels"))


def test_setup_makes_labels_and_hook_once(lab: Lab, world: ForgejoWorld) -> None:
    lab("forge", "setup", "--hook", HOOK, code=3)  # nobody to ask
    assert labels(world) == []
    done = lab("forge", "setup", "--hook", HOOK, "--yes")
    assert "made: the label lab:run" in done.output
    assert labels(world) == ["lab:rerun", "lab:run", "lab:stop"]
    assert world.hooks() == [HOOK]
    again = json.loads(lab("forge", "setup", "--hook", HOOK, "--yes", "--json").stdout)
    assert (again["made"], again["hook"]) == ([], HOOK)
    assert again["hook_changed"]  # its secret cannot be read back: it is made anew, and the old one goes
    assert labels(world) == ["lab:rerun", "lab:run", "lab:stop"]
    assert world.hooks() == [HOOK]


def test_setup_without_a_hook_makes_none(lab: Lab, world: ForgejoWorld) -> None:
    lab("forge", "setup", "--yes")
    assert world.hooks() == []


def test_doctor_names_who_cannot_approve(lab: Lab, world: ForgejoWorld) -> None:
    lab("forge", "setup", "--hook", HOOK, "--yes")
    found = findings(lab("doctor", "forge", "--hook", HOOK, "--json", code=1))
    people = {
        check.removeprefix("policy.approve.by: "): row["result"]
        for check, row in found.items()
        if "approve.by" in check
    }
    assert people == {"ben": "ok", "mallory": "fail", "nobody-at-all": "fail", "CODEOWNERS": "warn"}
    assert found["forge labels"]["result"] == "ok"
    assert found["forge hook"]["result"] == "ok"
    assert found["forge branch main"]["result"] == "warn"
    assert all(row["mend"] for row in found.values() if row["result"] == "fail")


def test_a_token_that_is_taken_away_is_told_by_doctor_and_setup(
    lab: Lab, world: ForgejoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_TEST_TOKEN", "0" * 40)
    assert findings(lab("doctor", "forge", "--json", code=1))["forge"]["result"] == "fail"
    lab("forge", "setup", "--yes", code=3)
    monkeypatch.delenv("LAB_TEST_TOKEN")
    assert findings(lab("doctor", "forge", "--json", code=1))["secret T"]["result"] == "fail"


def test_setup_by_an_account_that_is_no_administrator_is_refused(lab: Lab, world: ForgejoWorld) -> None:
    world.let("labwright", Role.READ)
    lab("forge", "setup", "--hook", HOOK, "--yes", code=3)
    assert world.hooks() == []


def test_plain_doctor_has_the_forge_in_short(lab: Lab, world: ForgejoWorld) -> None:
    found = findings(lab("doctor", "--json", code=1))
    assert found["forge: policy.approve.by: mallory"]["result"] == "fail"
    assert "forge labels" not in found
