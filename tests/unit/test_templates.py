import subprocess
import sys
from pathlib import Path

import pytest

from labwright.adapters.templates import find
from labwright.domain.errors import Refused

ROOT = Path(__file__).parents[2]


def test_the_lab_repositorys_own_template_comes_first() -> None:
    assert find("local/run.sh.j2", {"local/run.sh.j2": "mine"}) == "mine"


def test_an_editable_install_reads_the_checkout() -> None:
    assert find("local/run.sh.j2", {"other": "x"}) == (ROOT / "templates/local/run.sh.j2").read_text()


@pytest.mark.parametrize("name", ["local/nothing.j2", "../pyproject.toml", "/etc/passwd", ""])
def test_what_is_no_template_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        find(name)


@pytest.mark.slow
def test_a_built_wheel_brings_its_templates(tmp_path: Path) -> None:
    import uv

    build = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("labwright-*.whl")
    unpacked = tmp_path / "unpacked"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(unpacked)], check=True)
    code = "import labwright.adapters.templates as t; print(t.__file__); print(t.find('local/run.sh.j2'))"
    ran = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(unpacked)}, cwd=tmp_path, capture_output=True, text=True, check=True
    )  # fmt: skip
    where, _, text = ran.stdout.partition("\n")
    assert where.startswith(str(unpacked))
    assert text.rstrip() == (ROOT / "templates/local/run.sh.j2").read_text().rstrip()
