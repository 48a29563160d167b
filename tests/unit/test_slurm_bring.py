"""What trials need is brought over once, in few calls; what cannot be brought is said, and keeps nothing else from it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from labwright.adapters.providers.slurm import bring as bringing
from labwright.adapters.providers.slurm.bring import bring
from labwright.adapters.providers.slurm.desk import Desk
from labwright.domain.errors import Unavailable
from labwright.ports.transport import Ran
from tests.unit.slurm_login import Login


class Counting(Login):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.commands: list[str] = []

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        self.commands += argv[3:4]
        return super().run(argv, stdin=stdin, timeout=timeout)


@pytest.fixture
def login(tmp_path: Path) -> Counting:
    (tmp_path / "there").mkdir()
    return Counting(tmp_path / "there")


@pytest.fixture
def desk(login: Counting) -> Desk:
    made = Desk(login, "~/clusters", "lab", "owner")
    made.site()
    login.commands.clear()
    return made


def folders(tmp_path: Path, names: Sequence[str]) -> dict[str, Path]:
    made = {}
    for name in names:
        folder = made[f"bundles/{name}"] = tmp_path / "here" / name
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "file").write_text(name)
        (folder / "link").symlink_to("a/file")
    return made


def there(login: Counting) -> Path:
    return login.home / "clusters" / "lab"


def test_what_is_missing_is_brought_in_one_call_and_never_again(tmp_path: Path, login: Counting, desk: Desk) -> None:
    wanted = folders(tmp_path, [f"n{n}" for n in range(120)])
    assert bring(desk, wanted) == {}
    assert login.commands == ["have", "place"]
    assert (there(login) / "bundles/n7/link").read_text() == "n7"
    assert bring(desk, wanted | folders(tmp_path, ["new"])) == {}
    assert login.commands == ["have", "place", "have", "place"]
    assert bring(desk, wanted) == {}
    assert login.commands[4:] == ["have"]
    assert (bring(desk, {}), login.commands[5:]) == ({}, [])


def test_a_file_is_brought_into_a_folder_of_its_own(tmp_path: Path, login: Counting, desk: Desk) -> None:
    (tmp_path / "uv").write_bytes(b"binary")
    (tmp_path / "uv").chmod(0o755)
    assert bring(desk, {"tools/uv-6": tmp_path / "uv"}) == {}
    assert (there(login) / "tools/uv-6/uv").read_bytes() == b"binary"
    assert (there(login) / "tools/uv-6/uv").stat().st_mode & 0o777 == 0o755


def test_no_call_is_larger_than_need_be(
    tmp_path: Path, login: Counting, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "_MOST", 20_000)
    wanted = folders(tmp_path, [f"n{n}" for n in range(20)])
    (wanted["bundles/n3"] / "large").write_bytes(bytes(50_000))
    assert bring(desk, wanted) == {}
    assert login.commands.count("place") > 2
    assert len(list((there(login) / "bundles").iterdir())) == 20


def test_what_cannot_be_read_here_keeps_nothing_else_from_it(tmp_path: Path, login: Counting, desk: Desk) -> None:
    wanted = folders(tmp_path, ["one", "two"]) | {"bundles/gone": tmp_path / "gone"}
    failed = bring(desk, wanted)
    assert {name: type(why) for name, why in failed.items()} == {"bundles/gone": FileNotFoundError}
    assert {path.name for path in (there(login) / "bundles").iterdir()} == {"one", "two"}


def test_what_cannot_be_placed_there_keeps_nothing_else_from_it(tmp_path: Path, login: Counting, desk: Desk) -> None:
    (there(login) / "sources").rmdir()
    (there(login) / "sources").write_text("somebody's file")
    wanted = folders(tmp_path, ["one", "two", "three"])
    wanted["sources/bad"] = wanted["bundles/two"]
    failed = bring(desk, wanted)
    assert [*failed] == ["sources/bad"]
    assert isinstance(failed["sources/bad"], Unavailable)
    assert {path.name for path in (there(login) / "bundles").iterdir()} == {"one", "two", "three"}


def test_a_login_node_that_does_not_answer_is_asked_once(
    tmp_path: Path, login: Counting, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = folders(tmp_path, ["one", "two"])

    def gone(argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        login.commands.append("gone")
        raise Unavailable("nobody there")

    monkeypatch.setattr(login, "run", gone)
    assert {name: str(why) for name, why in bring(desk, wanted).items()} == dict.fromkeys(wanted, "nobody there")
    assert login.commands == ["gone"]
