"""The controller killed with SIGKILL again and again, over real processes, a real repository and real files: no job is lost,
none runs twice, no metric point is missing or doubled, every result is on the branch once."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.git import commit, git, new_repo

KILLS = int(os.environ.get("LABWRIGHT_KILLS", "200"))
TASK = """\
name: train
sweeps: {{sweep_config: {{seed: [{seeds}]}}}}
run: |
  echo "$LAB_JOB_ID $LAB_ATTEMPT" >>"{ran}"
  for step in 1 2 3; do
    printf '{{"t":1790000000,"e":"metric","step":%d,"m":{{"loss":0.5}}}}\\n' $step >>"$LAB_JOB_DIR/events.jsonl"
  done
  echo "$LAB_JOB_ID" >"$LAB_JOB_DIR/artifacts/id"
  sleep 0.0$((RANDOM % 9))
"""
PER_ROUND = 6


class Lives:
    def __init__(self, repo: Path, state: Path, *where: str) -> None:
        env = {**os.environ, "LABWRIGHT_STATE": str(state)}
        argv = [sys.executable, str(Path(__file__).with_name("lives.py")), str(repo), *where]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def live(self, kill_at: int, seed: int = 0) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{kill_at} {seed}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def push_round(repo: Path, ran: Path, number: int) -> None:
    """A commit that asks for PER_ROUND more trials."""
    seeds = ", ".join(map(str, range(PER_ROUND * (number + 1))))
    (repo / "experiments/alpha/train/task.yaml").write_text(TASK.format(seeds=seeds, ran=ran))
    commit(repo, f"round {number}")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_kill_loses_or_doubles_a_job_a_point_or_a_result(tmp_path: Path) -> None:
    repo, ran = new_repo(tmp_path / "lab"), tmp_path / "ran"
    (repo / "experiments/alpha/train").mkdir(parents=True)
    (repo / "lab.yaml").write_text(
        "name: crash\nproviders: {local: {type: local, cpus: 4}}\npolicy: {limits: {jobs_per_commit: 10000}, retention: 1s}\n"
    )
    dice, kills, rounds = random.Random(20261120), 0, 0
    lives = Lives(repo, tmp_path / "state")
    try:
        while kills < KILLS:
            push_round(repo, ran, rounds)
            rounds += 1
            for _ in range(12):
                ended = lives.live(dice.randint(1, 90), dice.randrange(1 << 30))
                assert ended in (0, -9), "the controller failed by itself: its words are above"
                kills += ended == -9
                if ended == 0:
                    break
        assert lives.live(0) == 0
    finally:
        lives.close()
    check(tmp_path, repo, ran, PER_ROUND * rounds)
    print(f"{kills} kills, {PER_ROUND * rounds} jobs: 0 lost, 0 doubled")


def check(top: Path, repo: Path, ran: Path, jobs: int) -> None:
    executions = Counter(ran.read_text().split("\n")[:-1])
    doubled = {line: n for line, n in executions.items() if n != 1}
    assert not doubled, f"executed more than once: {doubled}"
    assert {line.split()[1] for line in executions} == {"1"}, "a crash of the controller is no reason for a new attempt"
    assert len(executions) == jobs, f"{jobs - len(executions)} jobs were lost"
    tree = git(repo, "ls-tree", "-r", "--name-only", "lab-results").split()
    manifests = [path for path in tree if path.endswith("manifest.json")]
    assert len(manifests) == jobs
    for path in manifests:
        manifest = json.loads(git(repo, "show", f"lab-results:{path}"))
        assert manifest["state"] == "COMPLETE"
        assert manifest["metrics"]["loss"]["count"] == 3
        assert [artifact["path"] for artifact in manifest["artifacts"]] == ["id"], "forgotten before it was collected"
    points = rows(top, repo, "SELECT count(*) n, count(DISTINCT job) j FROM metrics")
    assert points == [{"n": 3 * jobs, "j": jobs}], "points were lost or doubled"
    (state,) = (top / "state").iterdir()
    kept = {path.read_text().strip() for path in (state / "artifacts").glob("??/*")}
    assert kept == {line.split()[0] for line in executions}, "small artifacts of ended jobs were not kept"
    assert rows(top, repo, "SELECT DISTINCT state FROM jobs") == [{"state": "COMPLETE"}]


def rows(top: Path, repo: Path, sql: str) -> list[dict[str, object]]:
    from labwright.adapters.records.duckdb.records import DuckDbRecords
    from labwright.ports.records import QueryLimits

    (state,) = (top / "state").iterdir()
    records = DuckDbRecords(state / "records.duckdb")
    try:
        return [row for batch in records.query(sql, QueryLimits()).batches() for row in batch.to_pylist()]
    finally:
        records.close()
