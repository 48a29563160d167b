"""What is shipped: no dependencies, a light import, every Python from 3.9 on, every name documented."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import SOURCE

ROOT = SOURCE.parents[1]
WHOLE = """
import asyncio, lab, os, sys
from lab import lab as same
assert same is lab
lab.init(config={'a': 1})
for i in lab.track(range(3)):
    lab.log({'loss': 1 / (i + 1), 'nan': float('nan')}, step=i)
    lab.should_checkpoint()
lab.update_progress(50, {'b': 2}); lab.log('text')
with open('c', 'w') as file: file.write('x')
assert lab.save_checkpoint('c', step=1, keep_last=1) == lab.resume(verify=True)
assert lab.save_artifact([{'a': 1}], 'rows') and lab.save_artifact('c', kind='model') and lab.save_dataset([{'a': 1}], 'd')
async def main():
    await lab.async_save_artifact('c', 'async'); await lab.async_log({'x': 1})
asyncio.run(main())
lab.finish('ok', score={'a': 1}); lab.error('none')
"""


def pythons() -> list[str]:
    """This Python, and the oldest and newest that this machine has from 3.9 on."""
    found = {}
    homes = sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    for path in [*homes, *(shutil.which(f"python3.{minor}") for minor in range(9, 16))]:
        done = (
            subprocess.run([path, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
            if path
            else None
        )
        if done and done.returncode == 0:
            major, minor = done.stdout.strip("()\n").split(", ")
            if (int(major), int(minor)) >= (3, 9):
                found[int(minor)] = str(path)
    return sorted({sys.executable, *([found[min(found)], found[max(found)]] if found else [])})


@pytest.mark.parametrize("python", pythons())
def test_the_whole_sdk_works_on_the_oldest_and_newest_python(job, python):
    assert job.run(WHOLE, python=python).stderr == ""
    assert len(job.events("metric")) == 5 and job.events("finish")


@pytest.mark.parametrize("python", pythons())
def test_importing_lab_imports_nothing_else(python):
    code = (
        "import sys, os, __future__; before = set(sys.modules); import lab; print(*sorted(set(sys.modules) - before))"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert [name for name in done.stdout.split() if name.split(".")[0] != "lab"] == []


def test_logging_numbers_imports_neither_hashing_nor_copying_nor_asyncio(job):
    heavy = "{'hashlib', 'shutil', 'asyncio', 'typing', 'signal', 'subprocess', 'tempfile', 'threading', 'logging', 'argparse'}"
    code = f"import sys, lab; before = set(sys.modules); lab.log({{'a': 1.0}}, step=1); print(*(set(sys.modules) - before) & {heavy})"
    assert job.run(code).stdout == "\n"


def test_no_file_is_long_and_no_dependency_is_imported():
    for path in (SOURCE / "lab").glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 250, path
        assert "labwright" not in text.lower().replace("the labwright sdk", "").replace("labwright job", ""), path


@pytest.mark.slow
def test_the_wheel_requires_nothing_and_is_typed(tmp_path):
    import uv

    argv = [
        uv.find_uv_bin(),
        "build",
        "--package",
        "labwright-sdk",
        "--wheel",
        "--out-dir",
        str(tmp_path),
        "--python",
        sys.executable,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        text = archive.read(metadata).decode()
    assert "Requires-Dist" not in text and "Requires-Python: >=3.9" in text
    assert (
        "lab/py.typed" in names
        and "lab/__main__.py" in names
        and not [name for name in names if name.startswith("labwright/")]
    )


def public() -> dict[str, object]:
    import lab

    return {
        name: value
        for name, value in vars(lab).items()
        if not name.startswith("_") and name not in ("lab", "annotations")
    }


def test_every_public_name_is_documented():
    page = (ROOT / "docs/spec/sdk.md").read_text()
    missing = [
        name
        for name in public()
        if not name.startswith("async_") and f"`{name}" not in page and f"lab.{name}" not in page
    ]
    assert missing == [] and "async_" in page


def test_every_public_function_has_a_docstring():
    assert [name for name, value in public().items() if inspect.isfunction(value) and not value.__doc__] == []


def test_the_public_names_are_those_promised():
    promised = [
        "init",
        "log",
        "log_metric",
        "log_metrics",
        "update_progress",
        "track",
        "config",
        "get_config",
        "set_config",
        "save_artifact",
        "save_checkpoint",
        "save_model",
        "save_dataset",
        "resume",
        "get_checkpoint_to_resume",
        "get_parent_job_checkpoint_path",
        "get_checkpoint_paths",
        "get_artifact_paths",
        "should_checkpoint",
        "get_checkpoints_dir",
        "get_artifacts_dir",
        "artifacts_of",
        "finish",
        "error",
        "get_secret",
        "get_hf_callback",
    ]
    twins = {f"async_{name}" for name in promised if name != "config"}
    assert set(public()) == {*promised, *twins}


@pytest.mark.parametrize("page", ["docs/spec/sdk.md", "sdk/README.md"])
def test_the_examples_of_the_pages_run(job, page):
    blocks = (ROOT / page).read_text().split("```python\n")[1:]
    for block in blocks:
        assert job.run(block.split("```")[0]).stderr == ""
    assert job.events("finish") and blocks
