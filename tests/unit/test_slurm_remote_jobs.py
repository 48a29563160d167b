"""remote.sh on a login node without Slurm: what it tells of jobs' folders and of the queue, what it stops and removes."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from labwright.adapters.providers.slurm import files
from labwright.adapters.providers.slurm.handles import Known
from labwright.domain.errors import Refused
from labwright.domain.ids import Handle, Token
from labwright.ports.provider import Tail
from tests.unit.slurm_login import Remote

A, B, C = "lab-aaaaaaaaaaaa-1", "lab-bbbbbbbbbbbb-1", "lab-cccccccccccc-1"
RECORD = '{"phase": "run", "code": 0}\n'
DAY = 86400


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


# looking


def test_each_token_is_answered_by_how_far_it_got(remote: Remote) -> None:
    remote.job(A, claim="12 34 boot 7_1\n", phase="setup 1.5\nrun 2.5\n")
    remote.job(B, claim="12 34 boot -\n", exit__json=RECORD)
    (remote.root / "ended" / B).touch()
    assert remote.call("look", "-", stdin=[A, B, C]) == [
        f"P\t{A}\t7_1\t\tsetup 1.5;run 2.5;",
        f"E\t{B}\t{RECORD.strip()}",
        f"N\t{C}",
        f"M\t{B}",
        ".",
    ]
    assert not remote.login.calls("squeue")


def test_a_folder_in_which_nothing_was_written_yet_is_one_all_the_same(remote: Remote) -> None:
    remote.job(A)
    assert remote.call("look", "-", stdin=[A]) == [f"P\t{A}\t\t\t", "."]


def test_the_queue_of_all_users_is_asked_in_one_question(remote: Remote) -> None:
    rows = ["7_[1-3]|PENDING|Resources||N/A|name", "8|RUNNING|None|node1|1790000000|a|b"]
    remote.login.say("squeue", f"printf '%s\\n' '{rows[0]}' '{rows[1]}'")
    assert remote.call("look", "lab,ada") == [f"Q\t{rows[0]}", f"Q\t{rows[1]}", "."]
    assert remote.login.calls("squeue") == ["--local --noheader --user=lab,ada --format=%i|%T|%r|%N|%S|%j"]


def test_a_queue_that_does_not_answer_keeps_no_record_from_being_told(remote: Remote) -> None:
    remote.job(A, exit__json=RECORD)
    remote.login.say("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    record, trouble = remote.call("look", "lab", stdin=[A])
    assert record.startswith(f"E\t{A}\t")
    assert trouble == "X\tslurm_load_jobs error: Unable to contact slurm controller"


def test_r26_what_a_job_wrote_into_the_wrappers_files_is_a_field_and_a_line(remote: Remote) -> None:
    remote.job(A, claim="1 2 boot k\te\ty\nM\tx\n", phase="setup\t1\tx\nQ\ty\n.\n")
    remote.job(B, exit__json='{"a":\t"b"\r\n}\n.\nM\tz\n')
    remote.job(C, claim=b"\xff\xfe", phase=b"a\0b\n")
    found = remote.call("look", "-", stdin=[A, B, C])
    assert [line.split("\t")[0] for line in found] == ["P", "E", "P", "."]
    assert [len(line.split("\t")) for line in found] == [5, 3, 5, 1]


def test_r26_links_pipes_and_folders_in_place_of_the_wrappers_files_are_nothing(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for token, make in ((A, Path.mkdir), (B, os.mkfifo), (C, lambda path: path.symlink_to(tmp_path / "secret"))):
        folder = remote.job(token)
        for name in ("exit.json", "claim", "phase"):
            make(folder / name)  # type: ignore[operator]
    assert remote.call("look", "-", stdin=[A, B, C]) == ["."]
    assert remote.call("ends", stdin=[A, B, C]) == ["."]


def test_only_records_that_are_there_are_told(remote: Remote) -> None:
    remote.job(A, exit__json=RECORD)
    remote.job(B)
    assert remote.call("ends", stdin=[A, B, C]) == [f"E\t{A}\t{RECORD.strip()}", "."]


def test_what_left_the_queue_is_asked_of_squeue_and_of_the_accounting(remote: Remote) -> None:
    remote.login.say("squeue", "echo '7|COMPLETED|None|node1|1|n'")
    remote.login.say("sacct", "printf '7|COMPLETED|0:0|1|2|node1\\n'")
    assert remote.call("vanished", "7,8_1") == ["Z\t7|COMPLETED|None|node1|1|n", "A\t7|COMPLETED|0:0|1|2|node1", "."]
    assert "--jobs=7,8_1" in remote.login.calls("squeue")[0]
    assert "--jobs=7,8_1" in remote.login.calls("sacct")[0]


def test_a_job_that_slurm_no_longer_knows_is_no_trouble(remote: Remote) -> None:
    remote.login.say("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    remote.login.say("sacct", "true")
    assert remote.call("vanished", "7") == ["."]


def test_who_does_not_answer_is_told_apart(remote: Remote) -> None:
    remote.login.say("squeue", "printf 'no\\tcontroller\\n' >&2; exit 1")
    remote.login.say("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert remote.call("vanished", "7") == [
        "X\tsqueue: no controller",
        "Y\tsacct: Slurm accounting storage is disabled",
        ".",
    ]


def test_slurms_own_words_of_a_job_are_found_by_its_id(remote: Remote) -> None:
    batch = remote.batch("lab-0123-a20.01", [A, B])
    (batch / "slurm-7_1.out").write_text("x" * 9000 + "\nslurmstepd: error: *** JOB 7 ON node1 CANCELLED ***\n")
    (batch / "slurm-7_11.out").write_text("another\n")
    said = remote.call("words", "7_1")
    assert said[-1] == "slurmstepd: error: *** JOB 7 ON node1 CANCELLED ***"
    assert len("\n".join(said)) < 4001
    assert remote.call("words", "7") == []


# streams


def streams(
    remote: Remote, lines: Sequence[str], limit: int = 1 << 20, share: int = 1 << 20
) -> dict[str, tuple[int, bytes]]:
    """`token file` → offset and bytes, taken apart by the lengths that are said."""
    found, data = (
        {},
        remote.ran("read_streams", limit, share, stdin="".join(f"{line}\n" for line in lines).encode()).out,
    )
    while data:
        head, _, data = data.partition(b"\n")
        token, file, offset, length = head.decode().split(" ")
        found[f"{token} {file}"], data = (int(offset), data[: int(length)]), data[int(length) :]
    return found


BINARY = bytes(range(256)) * 3 + b"\n\0" + f"{A} log.txt 0 5\n".encode()


def test_streams_come_byte_by_byte_from_where_one_is(remote: Remote) -> None:
    remote.job(A, log__txt=BINARY, events__jsonl=b"{}\n", **{"events.3__jsonl": b"[]\n"})
    remote.job(B, log__txt=b"hello")
    assert streams(remote, [f"{A} log.txt=100 events.jsonl=3", B]) == {
        f"{A} events.3.jsonl": (0, b"[]\n"),
        f"{A} log.txt": (100, BINARY[100:]),
        f"{B} log.txt": (0, b"hello"),
    }


def test_where_nothing_is_new_or_nothing_is_there_nothing_comes(remote: Remote) -> None:
    remote.job(A, log__txt=b"hello")
    assert streams(remote, [f"{A} log.txt=5", B, f"{C} log.txt=9"]) == {}
    assert streams(remote, [f"{A} log.txt=9"]) == {}, "it was cut"
    assert streams(remote, []) == {}


def test_one_that_writes_without_end_leaves_room_for_the_others(remote: Remote) -> None:
    for token in (A, B, C):
        remote.job(token, log__txt=b"x" * 1000)
    found = streams(remote, [A, B, C], limit=250, share=100)
    assert {name: len(data) for name, (_, data) in found.items()} == {
        f"{A} log.txt": 100,
        f"{B} log.txt": 100,
        f"{C} log.txt": 50,
    }


def test_r26_only_files_of_the_streams_names_are_read_and_no_links_or_pipes(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = remote.job(A, log__txt=b"hello", **{"events.999999999__jsonl": b"last"})
    for name in (
        "events x.jsonl",
        "events.1\n2.jsonl",
        "events.jsonl.jsonl",
        "events.9999999999.jsonl",
        "events[1].jsonl",
        "events..jsonl",
    ):
        (folder / name).write_text("no")
    (folder / "events.1.jsonl").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "events.2.jsonl")
    (folder / "events.3.jsonl").mkdir()
    assert streams(remote, [A]) == {f"{A} events.999999999.jsonl": (0, b"last"), f"{A} log.txt": (0, b"hello")}


def test_r26_a_file_that_is_cut_while_it_is_read_shifts_nobody_elses_bytes(remote: Remote) -> None:
    log = remote.job(A, log__txt=b"x" * 100) / "log.txt"
    remote.job(B, log__txt=b"hello")
    tail = remote.login.bin / "tail"  # this instant, the job cuts its file
    tail.write_text(f'#!/bin/bash\n[[ ${{*: -1}} == {A}/* ]] && : >"{log}"\nexec /usr/bin/tail "$@"\n')
    tail.chmod(0o755)
    found = streams(remote, [A, B])
    assert found[f"{B} log.txt"] == (0, b"hello")
    assert len(found[f"{A} log.txt"][1]) == 100


def tails(*tokens: str, **offsets: int) -> Mapping[str, Tail]:
    return {token: Tail(Handle(f"{token}@7"), offsets) for token in tokens}


def test_what_the_login_node_sends_is_chunks_again(remote: Remote) -> None:
    desk = remote.desk()
    remote.root = Path(desk.site().root)
    remote.job(A, log__txt=BINARY)
    remote.job(B, log__txt=b"hello")
    found = list(files.read(desk, tails(A, B), 1 << 20))
    assert [(c.handle, c.file, c.offset, c.data) for c in found] == [
        (f"{A}@7", "log.txt", 0, BINARY),
        (f"{B}@7", "log.txt", 0, b"hello"),
    ]
    assert list(files.read(desk, {}, 1 << 20)) == []


# artifacts


@pytest.fixture
def artifacts(remote: Remote) -> Iterator[Path]:
    remote.root = Path(remote.desk().site().root)
    yield remote.job(A) / "artifacts"


def paths(remote: Remote) -> dict[str, int | None]:
    return {found.path: found.size for found in files.collect(remote.desk(), Known(Token(A), "7")).artifacts}


def got(remote: Remote, path: str, tmp_path: Path) -> bytes:
    files.fetch(remote.desk(), Known(Token(A), "7"), path, tmp_path / "got")
    return (tmp_path / "got").read_bytes()


ODD = ["a b.txt", "new\nline", "back\\slash", "  two", "é", "-n", "*", "sub/deep/er", "'\"$(x)"]


def test_artifacts_of_any_name_are_listed_and_fetched(remote: Remote, artifacts: Path, tmp_path: Path) -> None:
    for n, name in enumerate(ODD):
        (artifacts / name).parent.mkdir(parents=True, exist_ok=True)
        (artifacts / name).write_bytes(b"x" * n)
    assert paths(remote) == {name: n for n, name in enumerate(ODD)}
    for n, name in enumerate(ODD):
        assert got(remote, name, tmp_path) == b"x" * n


def test_hashes_that_the_node_made_are_believed_for_files_that_are_there(remote: Remote, artifacts: Path) -> None:
    artifacts.mkdir()
    (artifacts / "model.pt").write_bytes(b"12345")
    (artifacts.parent / "artifacts.sha256").write_bytes(b"%s  model.pt\0%s  gone.pt\0" % (b"a" * 64, b"b" * 64))
    (found,) = files.collect(remote.desk(), Known(Token(A), "7")).artifacts
    assert (found.path, found.size, found.sha256) == ("model.pt", 5, "a" * 64)


def test_what_the_job_says_of_itself_is_collected(remote: Remote, artifacts: Path) -> None:
    (artifacts.parent / "environment.json").write_text(
        json.dumps({"python": "3.11.7", "packages": {"numpy": "2"}, "digest": "d"})
    )
    (artifacts.parent / "source.json").write_text('{"url": "u", "sha": "s"}')
    found = files.collect(remote.desk(), Known(Token(A), "7"))
    assert found.environment
    assert (found.environment.python, dict(found.source), list(found.artifacts)) == (
        "3.11.7",
        {"url": "u", "sha": "s"},
        [],
    )
    assert files.collect(remote.desk(), Known(Token(B), "8")) == files.Collected()


def test_a_large_artifact_comes_in_pieces(
    remote: Remote, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PIECE", 1000)
    artifacts.mkdir()
    data = bytes(range(251)) * 10
    (artifacts / "large").write_bytes(data)
    assert got(remote, "large", tmp_path) == data


def test_a_checkpoint_is_fetched_by_its_prefix(remote: Remote, artifacts: Path, tmp_path: Path) -> None:
    (artifacts.parent / "checkpoints").mkdir()
    (artifacts.parent / "checkpoints" / "step-3").write_bytes(b"3")
    assert got(remote, "checkpoints/step-3", tmp_path) == b"3"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../exit.json",
        "a/../../exit.json",
        "a//x",
        "./x",
        "none",
        "folder",
        "link",
        "linked/x",
        "pipe",
        "checkpoints/",
        "checkpoints/../exit.json",
    ],
)
def test_r26_nothing_but_an_artifact_is_fetched(remote: Remote, artifacts: Path, tmp_path: Path, path: str) -> None:
    (artifacts / "folder").mkdir(parents=True)
    (artifacts / "x").write_text("x")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x").write_text("secret")
    (artifacts / "link").symlink_to(tmp_path / "secrets" / "x")
    (artifacts / "linked").symlink_to(tmp_path / "secrets")
    os.mkfifo(artifacts / "pipe")
    (artifacts.parent / "exit.json").write_text(RECORD)
    with pytest.raises(Refused, match="no artifact"):
        got(remote, path, tmp_path)
    assert paths(remote) == {"x": 1}
    assert not (tmp_path / "got").exists()


def test_r26_a_link_in_place_of_the_artifacts_leads_nowhere(remote: Remote, artifacts: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x").write_text("secret")
    artifacts.symlink_to(tmp_path / "secrets")
    assert paths(remote) == {}
    with pytest.raises(Refused):
        got(remote, "x", tmp_path)


# stopping


def test_what_waits_leaves_the_queue_and_what_runs_is_asked(remote: Remote) -> None:
    remote.login.say("squeue", "printf '%s\\n' 12 34_2 34_3 34_9 56_1")
    remote.login.say("scancel", "true")
    remote.call("cancel", "TERM", "12 13 34_[1-3,7] 56_[4]", stdin=[A, B])
    assert remote.login.calls("squeue") == ["--noheader --array --states=PENDING --jobs=12,13,34,56 --format=%i"]
    waiting, running = remote.login.calls("scancel")
    assert (waiting.split()[0], set(waiting.split()[1:])) == ("--quiet", {"12", "34_[2,3]"})
    assert running == "--quiet --batch --signal=TERM --state=RUNNING 12 13 34_[1-3,7] 56_[4]"
    for token in (A, B):
        assert (remote.root / "jobs" / token / "cancel").exists()


def test_where_nothing_waits_only_what_runs_is_asked(remote: Remote) -> None:
    remote.login.say("scancel", "exit 1")
    remote.call("cancel", "TERM", "12", stdin=[A])
    assert remote.login.calls("scancel") == ["--quiet --batch --signal=TERM --state=RUNNING 12"]


def test_one_of_those_that_share_an_allocation_is_told_through_it_and_it_stays_in_the_queue(remote: Remote) -> None:
    remote.login.say("squeue", "echo 12")
    remote.login.say("scancel", "true")
    remote.call("cancel", "USR2", "12 34_[2]", stdin=[A])
    assert remote.login.calls("scancel") == ["--quiet --batch --signal=USR2 --state=RUNNING 12 34_[2]"]


def test_what_does_not_end_is_made_to_by_its_id_alone(remote: Remote) -> None:
    remote.login.say("scancel", "true")
    remote.call("cancel", "hard", "12 34_[1-3]", stdin=[A])
    assert remote.login.calls("scancel") == ["--quiet 12 34_[1-3]"]


@pytest.mark.parametrize("how", ["TERM", "USR2", "hard"])
def test_without_an_id_scancel_is_not_called_for_it_would_take_every_job_of_the_user(remote: Remote, how: str) -> None:
    for nothing in ("", " "):
        remote.call("cancel", how, nothing, stdin=[A])
    assert not remote.login.calls("scancel")
    assert (remote.root / "jobs" / A / "cancel").exists()


# cleaning


def test_a_forgotten_attempt_leaves_nothing_and_the_others_stay(remote: Remote) -> None:
    for token in (A, B):
        remote.job(token, exit__json=RECORD)
        (remote.root / "ended" / token).touch()
    remote.batch("a.01", [A])
    remote.batch("b.02", [B])
    remote.call("forget", stdin=[A, C])
    assert (
        {p.name for p in (remote.root / "jobs").iterdir()} == {p.name for p in (remote.root / "ended").iterdir()} == {B}
    )
    assert [p.name for p in (remote.root / "batches").iterdir()] == ["b.02"]
    assert not list((remote.root / "tmp").iterdir())


def test_a_batch_stays_while_a_trial_of_it_is_there_or_has_yet_to_start(remote: Remote) -> None:
    remote.batch("a.01", [A, B, C])
    for token in (A, B):
        remote.job(token, exit__json=RECORD)
    remote.call("forget", stdin=[A])
    assert (remote.root / "batches/a.01/tokens").exists()
    remote.call("forget", stdin=[B])
    assert (remote.root / "batches/a.01/tokens").exists(), "the third waits in the queue and has no folder yet"
    remote.call("forget", stdin=[C])
    assert not (remote.root / "batches/a.01").exists()


def test_marks_that_were_taken_in_go(remote: Remote) -> None:
    for token in (A, B):
        (remote.root / "ended" / token).touch()
    remote.call("marks", stdin=[A, C])
    assert [p.name for p in (remote.root / "ended").iterdir()] == [B]


def test_what_is_shared_goes_when_it_is_old_and_nothing_that_is_left_refers_to_it(remote: Remote) -> None:
    remote.batch(
        "a.01",
        [A],
        **{"run.sh": f"cp -RP -- '{remote.root}/bundles/used'/.\nenvironment={remote.root}/environments/used"},
    )
    for name in (
        "bundles/used",
        "bundles/old",
        "bundles/new",
        "environments/used",
        "environments/old",
        "sources/old",
        "tmp/old",
        "tmp/new",
    ):
        (remote.root / name).mkdir()
        if "new" not in name:
            subprocess.run(["touch", "-d", "-9 days", str(remote.root / name)], check=True)
    remote.call("tidy", 3)
    left = {
        f"{p.parent.name}/{p.name}"
        for folder in ("bundles", "environments", "sources", "tmp")
        for p in (remote.root / folder).iterdir()
    }
    assert left == {"bundles/used", "bundles/new", "environments/used", "tmp/new"}
