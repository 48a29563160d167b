"""However many copies of one attempt are started, one of them runs."""

import os
import subprocess
from pathlib import Path

from labwright.domain.lifecycle import Outcome
from labwright.testing.provider_bench import Script
from tests.contract.local_bench import LocalBench


def test_of_wrappers_started_at_once_only_one_runs(tmp_path: Path) -> None:
    bench = LocalBench(tmp_path)
    count = bench.folder / "count"
    handle = bench.submit(Script(f"echo x >>'{count}'; sleep 0.3"))
    job = bench.spool / "jobs" / handle
    env = {"PATH": os.environ["PATH"], "LAB_JOB_DIR": str(job)}
    copies = [subprocess.Popen(["bash", str(job / "run.sh")], env=env, start_new_session=True) for _ in range(8)]
    assert bench.ended(handle).outcome is Outcome.OK
    assert [copy.wait(10) for copy in copies] == [0] * 8
    assert count.read_text() == "x\n"
