"""R26, R39: whoever may push to the results branch hides at most what he edited."""

import subprocess
from pathlib import Path

import pytest

from labwright.adapters.results import branch
from labwright.decide.manifest_of import parse_manifest
from labwright.domain.errors import Refused

WHOLE = """{"job": "aaaaaaaaaaaa", "task": "a/b", "generation": 0, "work_digest": "w", "bundle_digest": "b", "state": "COMPLETE",
"commit": "c", "branch": "main", "created": "2026-01-01T00:00:00Z", "provider": "local", "attempts": [{"n": 1, "provider": "local",
"exit_code": 0, "started": "2026-01-01T00:00:00Z"}]}"""


@pytest.mark.parametrize(
    ("was", "forged"),
    [
        ('"n": 1', '"n": 1000000000000'),
        ('"exit_code": 0', '"exit_code": 100000000000000000000'),
        ('"generation": 0', '"generation": -10000000000'),
        ('"started": "2026-01-01T00:00:00Z"', '"started": "0001-01-01T00:00:00+14:00"'),
        ('"started": "2026-01-01T00:00:00Z"', '"started": "2026-01-01T00:00:00"'),
        ('"created": "2026-01-01T00:00:00Z"', '"created": "9999-12-31T23:59:59-14:00"'),
    ],
)
def test_r26_a_manifest_with_what_no_store_can_hold_is_refused_where_it_is_read(was: str, forged: str) -> None:
    assert parse_manifest(WHOLE.encode()).job == "aaaaaaaaaaaa"
    assert was in WHOLE
    with pytest.raises(Refused):
        parse_manifest(WHOLE.replace(was, forged).encode())


def test_r16_a_file_too_large_to_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*args: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(["git", *who, *args], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    for name, size in (("a", 10), ("b", 1001), ("c", 1000), ("d", 1)):
        (tmp_path / name).write_bytes(b"x" * size)
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(branch, "MOST", 1000)
    found = branch.read_tree(tmp_path / ".git", git("rev-parse", "HEAD").strip(), "")
    assert [(path, len(data)) for path, data in found] == [("a", 10), ("b", 0), ("c", 1000), ("d", 1)]
