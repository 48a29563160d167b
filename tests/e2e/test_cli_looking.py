"""The commands that look, on a real lab whose jobs have run."""

import csv
import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.settings import place_of
from tests.e2e.looking import BIN, TASKS, LookingLab, make

pytestmark = pytest.mark.slow
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
ROWS = "SELECT * EXCLUDE (plan) FROM jobs ORDER BY job"
LOOKS = (
    "status",
    "jobs",
    "show alpha/bad",
    "why alpha/bad",
    "why beta/sweep",
    "best beta/sweep",
    "artifacts alpha/train",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> LookingLab:
    made = make(tmp_path_factory.mktemp("looking"))
    ran = made.lab("serve", "--once", "--launch-existing")
    assert ran.code == 0, ran.err
    return made


@pytest.fixture
def own(lab: LookingLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LookingLab:
    """A lab of one's own, with the same jobs in it."""
    monkeypatch.setenv("LABWRIGHT_STATE", str(tmp_path / "state"))
    made = LookingLab(tmp_path / "lab", tmp_path / "state")
    shutil.copytree(lab.top, made.top, symlinks=True)
    shutil.copytree(lab.folder, place_of(str(made.top)).state, symlinks=True)
    return made


def answer(lab: LookingLab, *argv: str, **how: Any) -> Any:
    ran = lab.lab(*argv, "--json", **how)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def job(lab: LookingLab, task: str) -> str:
    return str(answer(lab, "jobs", "--task", task)[0]["job"])


# status and jobs


def test_status_needs_no_controller(lab: LookingLab) -> None:
    seen = answer(lab, "status")
    assert seen["controller"] is None
    assert seen["counts"] == {"COMPLETE": 4, "FAILED": 1}
    assert len(seen["finished"]) == 5
    assert not seen["running"] and not seen["held"]
    assert "no controller is running" in lab.lab("status").out


def test_status_of_a_lab_without_a_state_says_so(lab: LookingLab, tmp_path: Path) -> None:
    ran = lab.lab("status", LABWRIGHT_STATE=str(tmp_path / "none"))
    assert ran.code == 0
    assert "no job yet" in ran.out


def test_jobs_are_narrowed_by_state_task_experiment_and_commit(lab: LookingLab) -> None:
    assert {row["task"] for row in answer(lab, "jobs")} == set(TASKS)
    assert [row["task"] for row in answer(lab, "jobs", "--state", "failed")] == ["alpha/bad"]
    assert len(answer(lab, "jobs", "--task", "experiments/beta/sweep/")) == 3
    assert len(answer(lab, "jobs", "--experiment", "alpha")) == 2
    assert len(answer(lab, "jobs", "--commit", lab.git("rev-parse", "HEAD")[:8])) == 5
    assert answer(lab, "jobs", "--task", "no/such") == []


def test_a_limit_is_said(lab: LookingLab) -> None:
    ran = lab.lab("jobs", "--limit", "2")
    assert len(ran.out.splitlines()) == 3
    assert "--all" in ran.err
    assert len(answer(lab, "jobs", "--limit", "2")) == 2


def test_an_unknown_state_is_refused_with_those_there_are(lab: LookingLab) -> None:
    ran = lab.lab("jobs", "--state", "done")
    assert ran.code == 3
    assert "COMPLETE" in ran.err


# names


def test_a_job_is_named_by_the_start_of_its_id_its_task_or_its_commit(lab: LookingLab) -> None:
    whole = job(lab, "alpha/train")
    start = next(
        whole[:n]
        for n in range(1, 13)
        if not [r for r in answer(lab, "jobs") if r["job"] != whole and r["job"].startswith(whole[:n])]
    )
    for name in (whole, start, "alpha/train", "experiments/alpha/train/task.yaml", "./experiments/alpha/train"):
        assert answer(lab, "show", name)["job"] == whole
    many = lab.lab("show", lab.git("rev-parse", "HEAD")[:10])
    assert many.code == 3
    assert "means 5 jobs" in many.err


def test_what_is_not_there_is_refused_with_where_to_look(lab: LookingLab) -> None:
    ran = lab.lab("show", "no/such")
    assert (ran.code, ran.out) == (3, "")
    assert "lab jobs" in ran.err


# show, logs, artifacts


def test_show_has_all_of_a_complete_job(lab: LookingLab) -> None:
    found = answer(lab, "show", "alpha/train")
    assert (found["state"], found["score"], found["reason"]) == ("COMPLETE", 0.6, "exit code 0")
    assert found["parameters"] == {"lr": 0.1, "note": "[red]not markup[/red]"}
    assert [step["after"] for step in found["history"]][-1] == "COMPLETE"
    assert [a["outcome"] for a in found["attempts"]] == ["ok"]
    assert [(m["name"], m["last"], m["count"]) for m in found["metrics"]] == [("loss", 0.6, 2)]
    assert {a["path"] for a in found["artifacts"]} == {"model.txt", "more/a.txt"}
    text = lab.lab("show", "alpha/train").out
    assert "[red]not markup[/red]" in text


def test_show_of_a_failure_ends_with_its_last_words(lab: LookingLab) -> None:
    ran = lab.lab("show", "alpha/bad")
    assert "exit code 3" in ran.out
    assert "no such file" in ran.out.splitlines()[-1]


def test_logs_go_into_a_pipe_as_they_are(lab: LookingLab) -> None:
    ran = lab.lab("logs", "alpha/train")
    assert ran.out.startswith("hello\n\x1b[31mred\x1b[0m\x1b[2J clear\n")
    assert lab.lab("logs", "alpha/train", "-n", "1").out.strip() == ran.out.splitlines()[-1]
    assert answer(lab, "logs", "alpha/bad")["log"].startswith("going wrong\n")


def test_logs_on_a_terminal_keep_colours_and_nothing_else(lab: LookingLab) -> None:
    shown = on_a_terminal(lab, "logs", "alpha/train")
    assert "\x1b[31mred\x1b[0m clear" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b]" not in on_a_terminal(lab, "logs", "alpha/bad")


def test_artifacts_are_listed_with_their_sizes_and_hashes(lab: LookingLab) -> None:
    found = {row["path"]: row for row in answer(lab, "artifacts", "alpha/train")["artifacts"]}
    assert found["model.txt"]["size"] == len("weights\n")
    assert len(found["model.txt"]["sha256"]) == 64
    assert [row["where"] for row in found.values()] == [["store", "local"]] * 2
    assert "store, local" in lab.lab("artifacts", "alpha/train").out
    assert lab.lab("artifacts", "alpha/bad").code == 0


def test_pull_copies_and_never_overwrites(lab: LookingLab, tmp_path: Path) -> None:
    into = tmp_path / "out"
    assert answer(lab, "pull", "alpha/train", "-o", str(into))["copied"] == 2
    assert (into / "more/a.txt").read_text() == "one\n"
    assert answer(lab, "pull", "alpha/train", "-o", str(into))["there"] == 2
    (into / "model.txt").write_text("mine")
    assert lab.lab("pull", "alpha/train", "-o", str(into)).code == 3
    assert (into / "model.txt").read_text() == "mine"
    assert lab.lab("pull", "alpha/train", "-o", str(into), "--force").code == 0
    assert (into / "model.txt").read_text() == "weights\n"


def test_pull_takes_files_folders_and_globs(lab: LookingLab, tmp_path: Path) -> None:
    assert answer(lab, "pull", "alpha/train", "more", "-o", str(tmp_path / "a"))["copied"] == 1
    assert answer(lab, "pull", "alpha/train", "*.txt", "-o", str(tmp_path / "b"))["copied"] == 2
    assert lab.lab("pull", "alpha/train", "nope", "-o", str(tmp_path / "c")).code == 3


def test_pull_takes_from_the_store_what_its_provider_lost(own: LookingLab, tmp_path: Path) -> None:
    shutil.rmtree(own.folder / "spool" / "local" / "jobs")
    assert answer(own, "pull", "alpha/train", "-o", str(tmp_path / "out"))["copied"] == 2
    assert (tmp_path / "out" / "model.txt").read_text() == "weights\n"


def test_pull_takes_from_its_provider_what_is_damaged_in_the_store(own: LookingLab, tmp_path: Path) -> None:
    (sha256,) = (a["sha256"] for a in answer(own, "artifacts", "alpha/train")["artifacts"] if a["path"] == "model.txt")
    kept = own.folder / "artifacts" / sha256[:2] / sha256[2:]
    kept.chmod(0o600)
    kept.write_text("poison\n")
    ran = own.lab("pull", "alpha/train", "model.txt", "-o", str(tmp_path / "out"))
    assert (ran.code, (tmp_path / "out" / "model.txt").read_text()) == (0, "weights\n")
    assert "damaged" in ran.err


def test_pull_refuses_bytes_that_are_not_the_jobs(own: LookingLab, tmp_path: Path) -> None:
    (found,) = own.folder.glob("spool/local/jobs/*/artifacts/model.txt")
    found.write_text("poison\n")
    shutil.rmtree(own.folder / "artifacts")
    ran = own.lab("pull", "alpha/train", "model.txt", "-o", str(tmp_path / "out"))
    assert ran.code == 3
    assert "SHA-256" in ran.err
    assert not list((tmp_path / "out").iterdir())


def test_pull_does_not_follow_a_link_out_of_its_folder(lab: LookingLab, tmp_path: Path) -> None:
    into, outside = tmp_path / "out", tmp_path / "outside"
    into.mkdir(), outside.mkdir()
    (into / "more").symlink_to(outside)
    assert lab.lab("pull", "alpha/train", "more", "-o", str(into)).code == 3
    assert not list(outside.iterdir())


# why


def gates(found: Any) -> dict[str, Any]:
    return {gate["gate"]: gate["passed"] for gate in found["gates"]}


def test_why_names_the_commit_that_launched_it(lab: LookingLab) -> None:
    found = answer(lab, "why", "alpha/train")
    assert all(gates(found).values())
    (trial,) = found["trials"]
    assert trial["state"] == "COMPLETE"
    assert lab.git("rev-parse", "HEAD")[:10] in trial["text"]
    assert len(answer(lab, "why", "beta/sweep")["trials"]) == 3


def test_why_of_a_failure_says_what_to_do(lab: LookingLab) -> None:
    (trial,) = answer(lab, "why", job(lab, "alpha/bad"))["trials"]
    assert "exit code 3" in trial["text"]
    assert "lab logs" in trial["next"] and "lab retry" in trial["next"]


def test_why_of_what_is_not_committed_says_so(own: LookingLab) -> None:
    own.write("alpha/new", TASKS["alpha/bad"])
    found = answer(own, "why", "alpha/new")
    assert gates(found)["task"] is False
    assert "git commit" in found["gates"][-1]["hint"]


def test_why_shows_the_problems_of_a_task_at_their_place(own: LookingLab) -> None:
    own.write("alpha/bad", "name: bad\nrunn: x\n")
    own.commit("wrong")
    found = answer(own, "why", "alpha/bad")
    assert gates(found)["valid"] is False
    assert any("experiments/alpha/bad/task.yaml:2:1" in gate["text"] for gate in found["gates"])
    assert gates(found)["planned"] is False


def test_why_of_a_baseline_and_of_a_reused_job(own: LookingLab, tmp_path: Path) -> None:
    fresh = {"LABWRIGHT_STATE": str(tmp_path / "other")}
    (own.top / "lab.yaml").write_text("results: {push: false}\n")
    own.commit("alone")
    own.git("branch", "-D", "lab-results")  # else what was published is known again, and this is no first sight
    assert own.lab("serve", "--once", **fresh).code == 0
    (trial,) = answer(own, "why", "alpha/train", **fresh)["trials"]
    assert trial["want"] == "baseline"
    assert "lab run alpha/train" in trial["next"]


# best, compare


def test_best_ranks_by_the_score_and_says_which_way(lab: LookingLab) -> None:
    found = answer(lab, "best", "beta/sweep")
    assert [row["parameters"]["x"] for row in found["jobs"]] == [1, 2, 3]
    assert (found["ranked_by"], found["lower_is_better"]) == ("score", True)
    higher = answer(lab, "best", "beta/sweep", "--higher", "-n", "1")
    assert [row["parameters"]["x"] for row in higher["jobs"]] == [3]
    by_metric = answer(lab, "best", "beta/sweep", "--metric", "acc", "--higher")
    assert by_metric["jobs"][0]["value"] == 0.3


def test_best_without_a_score_is_a_no(lab: LookingLab) -> None:
    assert lab.lab("best", "alpha/bad").code == 1
    assert lab.lab("best", "alpha/bad", "--json").code == 1
    assert lab.lab("best", "no/such").code == 3
    assert "acc" in lab.lab("best", "beta/sweep", "--metric", "nope").err


def test_compare_shows_only_what_differs(lab: LookingLab) -> None:
    a, b = (row["job"] for row in answer(lab, "best", "beta/sweep", "-n", "2")["jobs"])
    found = answer(lab, "compare", a, b)
    assert found["parameters"] == {"x": {"a": 1, "b": 2}}
    assert found["metrics"]["score"] == {"a": 1.0, "b": 2.0, "delta": 1.0}
    assert found["code"] == []
    assert "the same" in lab.lab("compare", a, b).out


def test_compare_shows_the_lines_of_code(lab: LookingLab) -> None:
    found = answer(lab, "compare", "alpha/train", "alpha/bad")
    (file,) = found["code"]
    assert file["path"] == "task.yaml"
    assert "-name: train\n+name: bad" in file["diff"]


# sql


def rows(lab: LookingLab, *argv: str, **how: Any) -> list[Any]:
    ran = lab.lab("sql", *argv, ROWS, "--format", "json", **how)
    assert ran.code == 0, ran.err
    found: list[Any] = json.loads(ran.out)
    return found


def test_sql_gives_the_same_rows_of_the_controller_of_its_file_and_of_a_bare_clone(
    own: LookingLab, tmp_path: Path
) -> None:
    with own.serving():
        served = rows(own)
    stopped = rows(own)
    bare, empty = tmp_path / "bare.git", str(tmp_path / "empty")
    subprocess.run(["git", "clone", "-q", "--bare", str(own.top), str(bare)], check=True, env=own.env)
    cloned = rows(own, "--repo", str(bare), cwd=tmp_path, LABWRIGHT_STATE=empty)
    assert len(served) == 5
    assert served == stopped == cloned == rows(own, "--from-results")
    assert not Path(empty).exists()


def test_sql_of_a_lab_whose_state_is_here_uses_the_state(lab: LookingLab, tmp_path: Path) -> None:
    ran = lab.lab("sql", "--repo", str(lab.top), "SELECT count(*) AS n FROM attempts", "--format", "csv", cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "n\n5\n", "")


def test_sql_in_every_form(lab: LookingLab, tmp_path: Path) -> None:
    query = "SELECT task, score FROM leaderboard WHERE task = 'beta/sweep' ORDER BY score"
    assert [r["score"] for r in csv.DictReader(io.StringIO(lab.lab("sql", query, "--format", "csv").out))] == [
        "1.0",
        "2.0",
        "3.0",
    ]
    file = tmp_path / "best.sql"
    file.write_text(query)
    assert lab.lab("sql", "-f", str(file)).out == lab.lab("sql", "-", stdin=query).out == lab.lab("sql", query).out
    out = tmp_path / "out.parquet"
    assert lab.lab("sql", query, "-o", str(out)).code == 0
    import pyarrow.parquet as pq

    assert pq.read_table(out)["score"].to_pylist() == [1.0, 2.0, 3.0]
    assert lab.lab("sql", query, "--limit", "1", "--json").err.startswith("(first 1 rows")


@pytest.mark.parametrize("where", [[], ["--from-results"]])
@pytest.mark.parametrize(
    "query", ["DROP TABLE jobs", "COPY jobs TO '/tmp/x'", "SELECT * FROM read_text('/etc/passwd')", "ATTACH 'x'"]
)
def test_the_same_guard_everywhere(lab: LookingLab, where: list[str], query: str) -> None:
    ran = lab.lab("sql", *where, query)
    assert (ran.code, ran.out) == (3, "")


def test_sql_without_any_results_says_what_is_missing(lab: LookingLab, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "new")], check=True, env=lab.env)
    ran = lab.lab("sql", "SELECT 1", cwd=tmp_path / "new")
    assert ran.code == 3
    assert "lab-results" in ran.err
    assert lab.lab("sql").code == 3  # an empty standard input is an empty query


def test_a_clone_answers_other_commands_too(lab: LookingLab, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", str(lab.top), str(tmp_path / "bare.git")], check=True, env=lab.env)
    how: dict[str, Any] = {"cwd": tmp_path / "bare.git", "LABWRIGHT_STATE": str(tmp_path / "none")}
    assert len(answer(lab, "jobs", **how)) == 5
    assert answer(lab, "best", "beta/sweep", **how)["jobs"][0]["parameters"] == {"x": 1}
    assert "no such file" in lab.lab("show", "alpha/bad", **how).out
    assert "no such file" in lab.lab("logs", "alpha/bad", **how).out


# doctor, rebuild


def test_doctor_finds_a_sound_lab_sound(lab: LookingLab) -> None:
    found = {row["check"]: row["result"] for row in answer(lab, "doctor")}
    assert "fail" not in found.values()
    assert {"git", "state folder", "clock", "repository", "lab.yaml", "provider local", "results", "uv"} <= found.keys()


def test_doctor_says_how_to_mend_and_leaves_with_1(own: LookingLab) -> None:
    (own.top / "lab.yaml").write_text("nam: x\n")
    own.commit("wrong")
    ran = own.lab("doctor", "--json")
    (bad,) = [row for row in json.loads(ran.out) if row["result"] == "fail"]
    assert (ran.code, bad["check"]) == (1, "lab.yaml")
    assert "lab.yaml:1:1" in bad["text"] and bad["mend"]


def test_rebuild_of_a_deleted_state_gives_the_same_rows_and_runs_nothing_again(own: LookingLab) -> None:
    before = rows(own)
    shutil.rmtree(own.state)
    done = answer(own, "rebuild")
    assert (done["jobs"], done["ledger"], done["warnings"]) == (5, "made again", [])
    assert rows(own) == before
    assert own.lab("serve", "--once", "--launch-existing").code == 0
    assert rows(own) == before
    assert answer(own, "why", "alpha/train")["trials"][0]["want"] == "reused"


def test_rebuild_finds_artifacts_and_unpublished_jobs_in_the_spool(own: LookingLab, tmp_path: Path) -> None:
    before = rows(own)
    for path in own.folder.glob("ledger*"):
        path.unlink()
    own.git("update-ref", "-d", "refs/heads/lab-results")  # as if nothing had been published
    (own.folder / "records.duckdb").write_bytes(b"damaged")
    done = answer(own, "rebuild")
    assert len(done["adopted"]) == 5
    assert own.lab("serve", "--once").code == 0
    same = ("job", "task", "state", "score", "params", "exit_code", "work_digest")
    assert [[row[k] for k in same] for row in rows(own)] == [[row[k] for k in same] for row in before]
    assert answer(own, "pull", "alpha/train", "-o", str(tmp_path / "out"))["copied"] == 2
    assert (Path(done["backup"]) / "records.duckdb").read_bytes() == b"damaged"


def test_rebuild_keeps_a_ledger_that_can_be_read(own: LookingLab) -> None:
    before, history = rows(own), answer(own, "show", "alpha/train")["history"]
    for path in own.folder.glob("records*"):
        path.unlink()
    done = answer(own, "rebuild")
    assert (done["jobs"], done["ledger"]) == (0, "kept")
    assert rows(own) == before
    assert answer(own, "show", "alpha/train")["history"] == history


def test_rebuild_is_refused_while_a_controller_runs(own: LookingLab) -> None:
    with own.serving():
        ran = own.lab("rebuild")
    assert ran.code == 3
    assert "running already" in ran.err


# a running controller


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[LookingLab]:
    long = "name: long\nrun: |\n  for i in 1 2 3 4 5 6; do echo line $i; python -m lab log loss=0.$i step=$i\n"
    long += "  python -m lab progress $((i*10)); sleep 1.5; done\n"
    made = make(tmp_path, {"gamma/long": long, "gamma/after": "name: after\nrun: echo hi\nneeds: [gamma/long]\n"})
    with made.serving("--launch-existing"):
        yield made


def test_a_running_job_is_seen_and_followed_to_its_end(busy: LookingLab) -> None:
    seen = until(lambda: answer(busy, "status"), lambda s: s["running"] and s["running"][0]["metrics"])
    assert seen["controller"]["answers"]
    assert seen["running"][0]["task"] == "gamma/long"
    assert seen["held"][0]["task"] == "gamma/after"
    (waiting,) = answer(busy, "why", "gamma/after")["trials"]
    assert "needs" in waiting["text"] and "lab why" in waiting["next"]
    assert "gamma/long" in busy.lab("status").out
    followed = busy.lab("logs", "-f", "gamma/long")
    assert followed.out == "".join(f"line {n}\n" for n in range(1, 7))


def test_the_screen_stays_until_q_and_leaves_the_terminal_as_it_was(busy: LookingLab) -> None:
    leader, follower = pty.openpty()
    watching = subprocess.Popen(
        [str(BIN / "lab"), "status", "--watch"],
        cwd=busy.top,
        env={**busy.env, "TERM": "xterm"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    shown = read_until(leader, "gamma/long")
    os.write(leader, b"q")
    shown += read_until(leader, "\x1b[?1049l")
    assert watching.wait(10) == 0
    assert "\x1b[?1049h" in shown and "\x1b[?25h" in shown
    os.close(leader), os.close(follower)


def test_watching_without_a_terminal_is_refused(lab: LookingLab) -> None:
    ran = lab.lab("status", "--watch")
    assert ran.code == 3
    assert "--json" in ran.err


# R33, R35


@pytest.mark.parametrize("command", LOOKS)
def test_nothing_that_a_stranger_wrote_steers_the_terminal(lab: LookingLab, command: str) -> None:
    ran = lab.lab(*command.split())
    assert ran.code in (0, 1)
    assert not CONTROL.search(ran.out + ran.err)
    assert not re.search(r"\x1b\]|\x1b\[[0-9;]*[A-HJKSTfhlr]|\u202e", on_a_terminal(lab, *command.split()))


@pytest.mark.parametrize("command", [*LOOKS, "logs alpha/train", "compare alpha/train alpha/bad", "doctor"])
def test_json_is_one_value_without_raw_control_characters(lab: LookingLab, command: str) -> None:
    ran = lab.lab(*command.split(), "--json")
    json.loads(ran.out)
    assert not CONTROL.search(ran.out)


def on_a_terminal(lab: LookingLab, *argv: str) -> str:
    """What the command sends to a terminal of 100 columns."""
    leader, follower = pty.openpty()
    env = {**lab.env, "TERM": "xterm"}
    env.pop("NO_COLOR")
    ran = subprocess.Popen(
        [str(BIN / "lab"), *argv], cwd=lab.top, env=env, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown = read_until(leader, None)
    ran.wait(20)
    os.close(leader)
    return shown


def read_until(leader: int, text: str | None, seconds: float = 30) -> str:
    data, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and (text is None or text.encode() not in data):
        ready, _, _ = select.select([leader], [], [], 0.2)
        if not ready:
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other side was closed
            break
        if not piece:
            break
        data += piece
    return data.decode("utf-8", "replace")


def until(ask: Any, good: Any, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not good(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found
