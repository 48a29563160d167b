"""`lab forge setup` with a forge in memory: it asks first, says what it did, and refuses what could not work."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labwright.cli.main import program
from labwright.testing.memory_forge import MemoryForge

FORGE = 'forge: {type: forgejo, url: "https://forge.example", repo: ml/vision, token: "{{secret.T}}", hook_secrets: HOOKS}\n'
SECRETS = "secrets: {T: {env: LAB_TEST_T}, OLD: {env: LAB_TEST_OLD}, NEW: {env: LAB_TEST_NEW}}\n"
LABELS = "policy: {approve: {label: go, stop_label: halt, rerun_label: again}}\n"
HOOKS = '["{{secret.NEW}}", "{{secret.OLD}}"]'
URL = "https://lab.example/hooks"


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> MemoryForge:
    made = MemoryForge()
    monkeypatch.setattr("labwright.wiring.make_forge", lambda place, lab, *more: made)
    return made


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: MemoryForge) -> Callable[..., str]:
    monkeypatch.setenv("LABWRIGHT_STATE", str(tmp_path / "state"))
    for name in ("T", "OLD", "NEW"):
        monkeypatch.setenv(f"LAB_TEST_{name}", f"value of {name}")

    def run(*args: str, code: int = 0, text: str = FORGE + SECRETS + LABELS, hooks: str = HOOKS, said: str = "") -> str:
        repo = tmp_path / "lab"
        repo.mkdir()
        monkeypatch.chdir(repo)
        (repo / "lab.yaml").write_text(text.replace("HOOKS", hooks))
        for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "lab"]):
            subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *argv], check=True)
        done = CliRunner().invoke(program(["forge"]), ["forge", "setup", *args], input=said)
        assert done.exit_code == code, done.output
        assert "value of" not in done.output
        return done.output

    return run


def test_labels_are_those_of_lab_yaml_and_the_hook_has_the_new_secret(
    lab: Callable[..., str], forge: MemoryForge
) -> None:
    forge.labels["halt"] = ""
    said = lab("--yes", "--hook", "https://lab.example")
    assert set(forge.labels) == {"go", "halt", "again"}
    assert forge.hooks == {URL: "value of NEW"}
    assert "made: the label go" in said
    assert "there already: the label halt" in said
    assert f"the hook to {URL}" in said


def test_a_smoke_run_has_its_label_too(lab: Callable[..., str], forge: MemoryForge) -> None:
    lab("--yes", text=FORGE + SECRETS + "policy: {approve: {smoke: {label: try}}}\n")
    assert set(forge.labels) == {"lab:run", "lab:stop", "lab:rerun", "try"}


@pytest.mark.parametrize(("answer", "code", "made"), [("y\n", 0, 3), ("n\n", 1, 0), ("\n", 1, 0)])
def test_it_asks_before_it_writes(
    lab: Callable[..., str], forge: MemoryForge, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, made: int
) -> None:
    monkeypatch.setattr("labwright.cli.forge._is_somebody_there", lambda: True)
    said = lab(code=code, said=answer)
    assert "go, halt, again in ml/vision at https://forge.example" in said
    assert len(forge.labels) == made
    assert forge.hooks == {}


def test_where_nobody_can_be_asked_nothing_is_written(lab: Callable[..., str], forge: MemoryForge) -> None:
    assert "--yes" in lab(code=3)
    assert forge.labels == {}


@pytest.mark.parametrize(
    ("text", "hooks", "words"),
    [
        (SECRETS, HOOKS, "names no forge"),
        ("forge: {type: git, keys: ['ada ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1uY3lBYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx']}\n",
         HOOKS, "nothing to set up"),
        (FORGE + SECRETS, "[]", "no forge.hook_secrets"),
        (FORGE + SECRETS.replace("LAB_TEST_NEW", "LAB_TEST_NOWHERE"), HOOKS, "no variable LAB_TEST_NOWHERE"),
    ],
)  # fmt: skip
def test_what_could_not_work_is_refused_before_anything_is_written(
    lab: Callable[..., str], forge: MemoryForge, text: str, hooks: str, words: str
) -> None:
    assert words in lab("--yes", "--hook", URL, code=3, text=text, hooks=hooks)
    assert (forge.labels, forge.hooks) == ({}, {})


def test_an_empty_secret_is_refused(
    lab: Callable[..., str], forge: MemoryForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_TEST_NEW", " \n")
    assert "secret NEW is empty" in lab("--yes", "--hook", URL, code=3)
    assert forge.hooks == {}
