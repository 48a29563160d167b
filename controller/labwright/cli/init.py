"""`lab init`: a lab repository that runs at once."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from labwright.cli.asjson import print_json
from labwright.cli.shell import JsonOption
from labwright.cli.terminal import say
from labwright.domain.errors import Refused

_NAMES = {"gitignore": ".gitignore"}  # under its own name it would rule our own repository
_NAME = re.compile(rb"^name: lab$", re.MULTILINE)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; made if missing")] = Path(),
    fill: Annotated[
        bool, typer.Option("--fill", help="Keep the files that are there and add the missing ones")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a lab repository with three small experiments that run at once. Never overwrites a file."""
    top = folder.absolute()
    files = _files(top)
    others = [name for name, data in files.items() if _differs(top / name, data)]
    if others and not fill:
        raise Refused(
            f"there already: {', '.join(others)}", hint="`lab init --fill` keeps them and adds what is missing"
        )
    try:
        made = _begin(top)
        written = [name for name, data in files.items() if _write(top / name, data)]
    except OSError as error:
        raise Refused(f"{error.filename or top}: {error.strerror}") from None
    _report(folder, made, written, others, as_json=as_json)


def _report(folder: Path, made: bool, written: list[str], others: list[str], *, as_json: bool) -> None:
    steps = [] if folder.absolute() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    first = " && ".join([*steps, "git add .", 'git commit -m "A lab"'])
    second = "lab serve --launch-existing"
    if as_json:
        print_json({"repository": made, "written": written, "kept": others, "next": [first, second]})
        return
    for name in written:
        say(f"  + {name}")
    if not written:
        say("nothing to add: all of it is there")
    say("next:")
    say(f"  {first}")
    say(f"  {second}")


def _files(top: Path) -> Mapping[str, bytes]:
    from labwright.wiring import init_files

    name = re.sub(r"[^a-z0-9]+", "-", top.name.lower()).strip("-")[:20].strip("-") or "lab"
    files = {_NAMES.get(path, path): data for path, data in init_files().items()}
    return {**files, "lab.yaml": _NAME.sub(f"name: {name}".encode(), files["lab.yaml"], count=1)}


def _differs(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() != data
    except FileNotFoundError:
        return path.is_symlink()  # to nothing
    except OSError:  # a folder, or not to be read: not ours
        return True


def _begin(top: Path) -> bool:
    """The folder as the top of a git repository; True when it is a new one."""
    top.mkdir(parents=True, exist_ok=True)
    found = _git(top, "rev-parse", "--show-toplevel")
    if found and Path(found).resolve() != top.resolve():
        raise Refused(
            f"{top} lies inside the git repository {found}, and a lab is the whole of a repository",
            hint=f"`lab init {shlex.quote(found)}`, or `git init {shlex.quote(str(top))}` first",
        )
    if not found:
        _git(top, "init", "--quiet", "--initial-branch=main", check=True)
    return not found


def _git(folder: Path, *arguments: str, check: bool = False) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, env=env
        )
    except FileNotFoundError:
        raise Refused("git is not installed", hint="install git 2.34 or newer") from None
    if check and ran.returncode:
        raise Refused(f"git {arguments[0]}: {ran.stderr.strip()}")
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _write(path: Path, data: bytes) -> bool:
    """False where something is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True
