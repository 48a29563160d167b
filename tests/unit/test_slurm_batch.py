"""Trials on their way to a cluster: what is alike goes together, and comes out as it went in."""

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

from labwright.adapters.providers.slurm.batch import groups, trials_tar
from tests.unit.slurm_trials import trial

FILES = {"config.json": b"{}", "variables": b"A=\xc3\xa9\0B=" + bytes(600), "needs.list": b"", "resume": b"\n"}


def test_the_files_of_trials_come_out_of_their_tar_as_they_went_in(tmp_path: Path) -> None:
    made = trials_tar([({**FILES, "resume": b"%d\n" % n}, b"") for n in range(1200)], "")
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert len(tar.getmembers()) == 1200 * len(FILES)
        assert {(member.mode, member.uid, member.type) for member in tar} == {(0o600, 0, tarfile.REGTYPE)}
    for chosen in ("0", "7", "1199"):  # as job.sh takes them
        (tmp_path / chosen).mkdir()
        argv = ["tar", "-C", tmp_path / chosen, "--strip-components=1", "-xf", "-", chosen]
        subprocess.run(argv, input=gzip.decompress(made), check=True)
        found = {path.name: path.read_bytes() for path in (tmp_path / chosen).iterdir()}
        assert found == {**FILES, "resume": f"{chosen}\n".encode()}


def test_what_is_secret_of_a_trial_is_one_more_file_and_not_readable() -> None:
    made = trials_tar([(FILES, b"TOKEN=hush\0")], "00" * 32)
    assert b"hush" not in gzip.decompress(made)
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert tar.getnames() == [*(f"0/{name}" for name in FILES), "0/sealed"]


def test_trials_are_alike_by_what_they_are_made_of_not_by_being_the_same_object() -> None:
    first, other, again = trial(1), trial(2, secrets={"TOKEN": "x"}), trial(3)
    assert first.task is not again.task
    made = list(groups([first, other, again], 1000))
    assert [[s.token for s in group.members] for group in made] == [[first.token, again.token], [other.token]]
