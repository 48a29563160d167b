"""The controller killed with SIGKILL again and again while it submits to a real cluster over SSH: each job runs once."""

import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.git import commit, new_repo
from tests.e2e.test_crash import Lives, check
from tests.real.slurm.cluster import Cluster

JOBS = int(os.environ.get("LABWRIGHT_SLURM_JOBS", "100"))
POINTS = """
  for step in 1 2 3; do
    printf '{"t":1790000000,"e":"metric","step":%d,"m":{"loss":0.5}}\\n' $step >>"$LAB_JOB_DIR/events.jsonl"
  done
  echo "$LAB_JOB_ID" >"$LAB_JOB_DIR/artifacts/id"
"""
SWEEP = 'name: sweep\nsweeps: {{sweep_config: {{seed: [{seeds}]}}}}\nrun: |\n  echo "$LAB_JOB_ID $LAB_ATTEMPT" >>{ran}\n{points}'
SINGLE = 'name: single-{n}\nrun: |\n  : {n}\n  echo "$LAB_JOB_ID $LAB_ATTEMPT" >>{ran}\n{points}'
ARRAY, UNEQUAL = 6, 4  # jobs of one round


def settings(cluster: Cluster, workdir: Path) -> str:
    host_key = cluster.known_hosts.split(" ", 1)[1].strip()
    return (
        "name: crash\npolicy: {limits: {jobs_per_commit: 10000}}\nproviders:\n  cluster:\n    type: slurm\n"
        f"    host: {cluster.host}\n    port: {cluster.ssh_port}\n    user: {cluster.user}\n    ssh_key: {cluster.key}\n"
        f'    host_key: "{host_key}"\n    workdir: {workdir}\n    poll: 1\n    submit_timeout: 3\n    grace: 2\n'
    )


def push_round(repo: Path, ran: Path, number: int) -> None:
    tasks = repo / "experiments/alpha"
    seeds = ", ".join(map(str, range(ARRAY * (number + 1))))
    texts = {"sweep": SWEEP.format(seeds=seeds, ran=ran, points=POINTS)}
    for n in range(UNEQUAL * number, UNEQUAL * (number + 1)):
        texts[f"single-{n}"] = SINGLE.format(n=n, ran=ran, points=POINTS)
    for name, text in texts.items():
        (tasks / name).mkdir(parents=True, exist_ok=True)
        (tasks / name / "task.yaml").write_text(text)
    commit(repo, f"round {number}")


class Lived(NamedTuple):
    kills: int
    jobs: int
    seconds: float  # of the last life, in which everything came to its end


def killed_again_and_again(folder: Path, cluster: Cluster, home: Path, jobs: int) -> Lived:
    """As many jobs or a few more, by rounds; the repository is `folder`/lab, and what ran is in `home`/ran."""
    repo = new_repo(folder / "lab")
    cluster.run("mkdir", "-p", str(home))
    (repo / "lab.yaml").write_text(settings(cluster, home))
    dice, kills, rounds = random.Random(20261120), 0, 0
    lives = Lives(repo, folder / "state", "slurm")
    try:
        while rounds * (ARRAY + UNEQUAL) < jobs:
            push_round(repo, home / "ran", rounds)
            rounds += 1
            for _ in range(5):
                ended = lives.live(dice.randint(1, 60), dice.randrange(1 << 30))
                assert ended in (0, -9), "the controller failed by itself: its words are above"
                kills += ended == -9
                if ended == 0:
                    break
        begun = time.monotonic()
        assert lives.live(0) == 0
        return Lived(kills, rounds * (ARRAY + UNEQUAL), time.monotonic() - begun)
    finally:
        lives.close()
        cluster.run("sh", "-c", f"cat {home}/crash/batches/*/jobid | xargs -r scancel --quiet")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_kill_while_submitting_to_slurm_loses_or_doubles_a_job(tmp_path: Path, cluster: Cluster) -> None:
    home = cluster.home / "labs" / f"crash-{os.getpid()}"
    kills, jobs, _ = killed_again_and_again(tmp_path, cluster, home, JOBS)
    check(tmp_path, tmp_path / "lab", home / "ran", jobs)
    assert kills >= jobs / (ARRAY + UNEQUAL)
    print(f"{kills} kills, {jobs} jobs on Slurm: 0 lost, 0 doubled")
