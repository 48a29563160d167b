"""What a cluster's faults cost: jobs doubled, jobs lost, and the time until all is well again.

    python -m benchmarks.slurm_faults [--quick]

The story of tests/real/slurm, with longer outages: 60 s without slurmctld, 20 s of every other fault (LABWRIGHT_OUTAGE: of all). Each
comes in the middle of a submission, and more is pushed while it lasts. Nobody else can use the test-bed meanwhile (some ten minutes).
"""

import argparse
import os
import tempfile
from pathlib import Path

from tests.e2e.test_crash import check
from tests.real.slurm.cluster import BreakableCluster, CannotRunHere, Cluster, breaking, sharing, using
from tests.real.slurm.faults import Story, executions
from tests.real.slurm.test_slurm_crash import killed_again_and_again

HEAD = "| fault | lasts | jobs | doubled | lost | all well after its end |\n|---|--:|--:|--:|--:|--:|\n"
LONG = {"slurmctld stopped": 60.0}


def faults(cluster: Cluster, quick: bool) -> list[str]:
    said = os.environ.get("LABWRIGHT_OUTAGE")
    lines: list[str] = []
    with breaking(), tempfile.TemporaryDirectory() as folder:
        whole = BreakableCluster(**vars(cluster))
        story = Story(Path(folder), whole)

        def outage(fault: str) -> float:
            return float(said) if said else 8.0 if quick else LONG.get(fault, 20.0)

        try:
            for met in story.recoveries(outage):
                cells = (met.fault, f"{met.outage:.0f} s", met.jobs, met.doubled, met.lost, f"{met.seconds:.1f} s")
                lines.append(f"| {' | '.join(map(str, cells))} |")
            check(Path(folder), story.world.repo, story.ran, story.jobs)
        finally:
            whole.clean()
            whole.run("rm", "-rf", str(story.home))
    return lines


def kills(cluster: Cluster, jobs: int) -> str:
    home = cluster.home / "labs" / f"kills-{os.getpid()}"
    with sharing(), tempfile.TemporaryDirectory() as folder:
        try:
            met = killed_again_and_again(Path(folder), cluster, home, jobs)
            ran = executions(home / "ran")
            check(Path(folder), Path(folder, "lab"), home / "ran", met.jobs)
        finally:
            cluster.run("rm", "-rf", str(home))
    doubled, lost = ran.total() - len(ran), met.jobs - len(ran)
    return f"| controller killed (SIGKILL), {met.kills} × |  | {met.jobs} | {doubled} | {lost} | {met.seconds:.1f} s |"


def run(quick: bool = False) -> str:
    """The table in Markdown. Raises AssertionError where a result or a point is missing or doubled."""
    jobs = int(os.environ.get("LABWRIGHT_SLURM_JOBS", "30" if quick else "100"))
    try:
        with using() as cluster:
            return HEAD + "\n".join([*faults(cluster, quick), kills(cluster, jobs)])
    except CannotRunHere as reason:
        return f"Not measured: {reason}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    print(run(parser.parse_args().quick))
