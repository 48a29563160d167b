"""`environment:` with the real uv, offline: the packages are wheels made here."""

import json
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labwright.domain.errors import Refused
from labwright.domain.lifecycle import Outcome
from labwright.testing.provider_bench import Script, leaves
from tests.contract.local_bench import LocalBench

pytestmark = pytest.mark.slow
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
WHICH = Script('python -c "import tiny, sys; print(tiny.WORD, sys.prefix)"; tiny-word; echo "$VIRTUAL_ENV"')


@pytest.fixture
def bench(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "wheels", "1.0", "one")


def make_wheel(folder: Path, version: str, word: str) -> Path:
    folder.mkdir(exist_ok=True)
    info = f"tiny-{version}.dist-info"
    files = {
        "tiny.py": f"WORD = {word!r}\ndef main(): print('script', WORD)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: here\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntiny-word = tiny:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return folder


def requirements(wheels: Path, version: str = "1.0") -> bytes:
    return f"--no-index\n--find-links {wheels}\ntiny=={version}\n".encode()


def environments(bench: LocalBench) -> list[str]:
    return sorted(p.name for p in (bench.spool / "environments").iterdir() if p.is_dir())


def test_a_job_runs_in_the_environment_that_it_asks_for(bench: LocalBench, wheels: Path) -> None:
    files = {"req.txt": requirements(wheels)}
    handle = bench.submit(WHICH, files=files, task={"environment": {"python": PYTHON, "requirements": "req.txt"}})
    seen = bench.ended(handle)
    assert seen.outcome is Outcome.OK, bench.log(handle)
    (digest,) = environments(bench)
    where = str(bench.spool / "environments" / digest)
    lines = bench.log(handle).decode().splitlines()
    assert lines[0].startswith("lab: building the environment")
    assert lines[-3:] == [f"one {where}", "script one", where]
    found = bench.provider.collect(handle).environment
    assert found
    assert found.python.startswith(PYTHON)
    assert (dict(found.packages), found.digest) == ({"tiny": "1.0"}, digest)
    again = bench.submit(WHICH, files=files, task={"environment": {"python": PYTHON, "requirements": "req.txt"}})
    assert bench.ended(again).outcome is Outcome.OK
    assert b"building" not in bench.log(again)
    assert bench.provider.collect(again).environment == found


def test_other_contents_are_another_environment(bench: LocalBench, wheels: Path) -> None:
    make_wheel(wheels, "2.0", "two")
    for version, word in (("1.0", b"one"), ("2.0", b"two")):
        handle = bench.submit(WHICH, files={"r.lock": requirements(wheels, version)}, task={"environment": "r.lock"})
        assert bench.ended(handle).outcome is Outcome.OK
        assert word in bench.log(handle)
    assert len(environments(bench)) == 2


def test_an_environment_first_asked_for_by_many_is_built_once(bench: LocalBench, wheels: Path) -> None:
    files = {"req.txt": requirements(wheels)}
    providers = [bench.provider, bench.fresh(), bench.fresh(), bench.fresh()]
    submissions = [bench.submission(WHICH, files=files, task={"environment": "req.txt"}) for _ in providers]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: pair[0].submit([pair[1]]), zip(providers, submissions, strict=True)))
    handles = [bench.provider.submit([s])[s.token] for s in submissions]
    assert [bench.ended(h).outcome for h in handles] == [Outcome.OK] * 4  # type: ignore[arg-type]
    assert b"".join(bench.log(h) for h in handles).count(b"building the environment") == 1  # type: ignore[arg-type]
    assert len(environments(bench)) == 1


def test_an_environment_that_cannot_be_built_is_a_setup_error_and_leaves_nothing(
    bench: LocalBench, wheels: Path
) -> None:
    task = {"environment": "req.txt"}
    handle = bench.submit(leaves(0), files={"req.txt": requirements(wheels, "9.9")}, task=task)
    assert bench.ended(handle).outcome is Outcome.SETUP_ERROR
    assert b"tiny" in bench.log(handle)
    assert environments(bench) == []


def test_a_python_that_is_not_here_is_a_clear_setup_error(bench: LocalBench) -> None:
    handle = bench.submit(leaves(0), task={"environment": {"python": "3.99"}})
    assert bench.ended(handle).outcome is Outcome.SETUP_ERROR
    assert b"there is no Python 3.99 on this machine" in bench.log(handle)


def test_a_build_that_was_killed_is_begun_anew(bench: LocalBench, wheels: Path) -> None:
    files = {"req.txt": requirements(wheels)}
    first = bench.submit(leaves(0), files=files, task={"environment": "req.txt"})
    bench.until_logged(first, b"building")
    bench.provider.cancel([first])
    assert bench.ended(first).outcome in (Outcome.CANCELLED, Outcome.OK)
    second = bench.submit(WHICH, files=files, task={"environment": "req.txt"})
    assert bench.ended(second).outcome is Outcome.OK


def test_a_project_lock_is_installed_as_it_is(bench: LocalBench, wheels: Path) -> None:
    import subprocess

    import uv

    project = wheels.parent / "project"
    project.mkdir()
    text = f'[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.9"\ndependencies = ["tiny"]\n[tool.uv]\nno-index = true\nfind-links = ["{wheels}"]\n'
    (project / "pyproject.toml").write_text(text)
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet", "--no-python-downloads"], cwd=project, check=True)
    files = {name: (project / name).read_bytes() for name in ("pyproject.toml", "uv.lock")}
    handle = bench.submit(WHICH, files=files, task={"environment": {"lock": "uv.lock"}})
    assert bench.ended(handle).outcome is Outcome.OK, bench.log(handle)


def test_a_requirements_file_that_is_not_staged_refuses_the_job(bench: LocalBench) -> None:
    submission = bench.submission(leaves(0), task={"environment": "req.txt"})
    answer = bench.provider.submit([submission])[submission.token]
    assert isinstance(answer, Refused)
    assert "req.txt" in str(answer)


def test_files_that_requirements_refer_to_count(bench: LocalBench, wheels: Path) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(wheels, version, version)
        files = {"req.txt": b"-r other.txt\n", "other.txt": requirements(wheels, version)}
        handle = bench.submit(WHICH, files=files, task={"environment": "req.txt"})
        assert bench.ended(handle).outcome is Outcome.OK
        assert json.dumps(version).strip('"').encode() in bench.log(handle)
