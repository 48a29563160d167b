"""`lab init` never overwrites anything."""

import json
import subprocess
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from labwright.cli.main import program


def init(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(program(["init", "schema"]), ["init", *args])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def as_json(*args: str) -> Any:
    return json.loads(init(*args, "--json")[1])


def test_a_new_folder_becomes_a_repository_named_after_itself(tmp_path: Path) -> None:
    code, out = init(str(tmp_path / "My Lab"))
    assert code == 0
    assert "git add ." in out
    assert "\nname: my-lab\n" in (tmp_path / "My Lab/lab.yaml").read_text()
    branch = subprocess.run(
        ["git", "symbolic-ref", "--short", "HEAD"], cwd=tmp_path / "My Lab", capture_output=True, text=True, check=True
    )
    assert branch.stdout.strip() == "main"


def test_a_second_time_there_is_nothing_to_add(tmp_path: Path) -> None:
    assert as_json(str(tmp_path))["written"]
    again = as_json(str(tmp_path))
    assert (again["written"], again["repository"]) == ([], False)


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    code, out = init(str(tmp_path))
    assert code == 3
    assert "README.md" in out
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    filled = as_json("--fill", str(tmp_path))
    assert filled["kept"] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine\n"
    assert (tmp_path / "experiments/alpha/train/task.yaml").exists()


def test_a_folder_inside_another_repository_is_refused(tmp_path: Path) -> None:
    init(str(tmp_path))
    code, out = init(str(tmp_path / "experiments" / "alpha"), "--fill")
    assert code == 3
    assert "inside the git repository" in out


def test_a_file_in_place_of_the_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert init(str(tmp_path / "file"))[0] == 3
    assert init(str(tmp_path / "file" / "below"))[0] == 3
