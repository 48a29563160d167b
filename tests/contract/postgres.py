"""A real PostgreSQL server for the session: in a temporary folder, on a unix socket, as an unprivileged user."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

NOBODY = 65534


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent("PostgreSQL's server is not installed: run scripts/test-services")
    return found[-1].parent


def _run(command: Sequence[str]) -> None:
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*drop, *command], cwd="/", env={"HOME": "/tmp", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the database `postgres`. One server for each worker of xdist, so that they do not meet."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="lab-pg-", dir="/tmp"))  # short: a socket's path has 107 characters
    try:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        data = str(folder / "data")
        _run(
            [
                f"{binaries}/initdb",
                "-D",
                data,
                "-U",
                "lab",
                "--auth=trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        _run([f"{binaries}/pg_ctl", "-w", "-D", data, "-l", f"{folder}/log", "-o", options, "start"])
        try:
            yield f"postgresql+psycopg://lab@/postgres?host={folder}"
        finally:
            _run([f"{binaries}/pg_ctl", "-D", data, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The database, empty again."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgres_server, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA public"))
    return postgres_server
