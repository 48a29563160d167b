"""Which attempts a cluster has in hand, of the lab's own and of others' jobs in one queue."""

from pathlib import Path

import pytest

from labwright.adapters.providers.slurm.listing import listed
from labwright.adapters.providers.slurm.submit import Person
from labwright.domain.errors import Unavailable
from tests.unit.slurm_login import Remote

ONE, TWO, THREE = (f"lab-{letter * 12}-1" for letter in "abc")
ARRAY = "lab-0123456789ab-a3"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def there(remote: Remote, *queue: str) -> dict[str, str]:
    desk = remote.desk()
    desk._workdir = str(remote.root.parent)
    remote.login.say("squeue", "cat <<'END'\n" + "\n".join(queue) + "\nEND")
    return {str(token): str(handle) for token, handle in listed(Person("", desk), "lab")}


def line(job: str, state: str, name: str, folder: Path | str) -> str:
    return f"{job}|{state}|None||N/A|{folder}|{name}"


def test_trials_that_wait_and_run_are_listed_with_the_handles_that_they_were_given(remote: Remote) -> None:
    remote.batch(f"{ARRAY}.01", [ONE, TWO, THREE], jobid="7\n")
    queue = line("7_[1-2]", "PENDING", ARRAY, remote.root), line("7_0", "RUNNING", ARRAY, remote.root)
    assert there(remote, *queue) == {ONE: f"{ONE}@7_0", TWO: f"{TWO}@7_1", THREE: f"{THREE}@7_2"}


def test_what_has_ended_or_is_ending_is_not_listed(remote: Remote) -> None:
    remote.batch(f"{ARRAY}.01", [ONE, TWO, THREE], jobid="7\n")
    remote.job(THREE, exit__json="{}")
    queue = line("7_1", "COMPLETING", ARRAY, remote.root), line("7_2", "RUNNING", ARRAY, remote.root)
    assert there(remote, *queue) == {}


def test_of_jobs_without_a_batch_those_of_this_lab_s_name_and_folder_are_listed(remote: Remote) -> None:
    queue = [
        line("7", "RUNNING", ONE, remote.root),
        line("8_[0-2]", "PENDING", ARRAY, remote.root),
        line("9", "RUNNING", TWO, "/home/other/lab"),
        line("10", "RUNNING", "other-aaaaaaaaaaaa-1", remote.root),
        line("11", "RUNNING", "lab-doctor", remote.root),
        line("12", "RUNNING", "lab-notes", remote.root),
        line("13", "RUNNING", "a|b", remote.root),
    ]
    assert there(remote, *queue) == {ONE: f"{ONE}@7", ARRAY: f"{ARRAY}@8"}


def test_a_batch_whose_submission_nobody_knows_the_end_of_is_not_listed(remote: Remote) -> None:
    remote.batch(f"{ARRAY}.01", [ONE, TWO, THREE])
    assert there(remote, line("8_[0-2]", "PENDING", ARRAY, remote.root)) == {}


def test_a_queue_that_says_nothing_is_unavailable(remote: Remote) -> None:
    desk = remote.desk()
    desk._workdir = str(remote.root.parent)
    with pytest.raises(Unavailable, match="squeue"):
        dict(listed(Person("", desk), "lab"))
