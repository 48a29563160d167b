"""Records and the offsets of what was read are one commit: a process killed at any moment leaves both or neither."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.testing.records_suite import only, points_and_offsets

WRITER = """
import sys
from pathlib import Path
from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.ports.records import Batch
from labwright.testing.records_suite import points

records = DuckDbRecords(Path(sys.argv[1]))
round_ = 0
while True:
    token = f"t{round_ % 10}"
    seen = records.offsets([token]).get((token, "events.jsonl"), 0)
    new = points(token, "loss", [float(i) for i in range(seen, seen + 50)], step=seen)
    records.write(Batch(jobs=[{"job": token, "params": {"n": 1}}], points=new, offsets={(token, "events.jsonl"): seen + 50}))
    round_ += 1
    print(round_, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_points_and_offsets_in_step(tmp_path: Path) -> None:
    path, chance = tmp_path / "records.duckdb", random.Random(3)
    acknowledged = 0
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline()
        time.sleep(chance.random())
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        acknowledged += 1 + len(rest.split())
        with closing(DuckDbRecords(path)) as records:
            kept, said = points_and_offsets(records)
            assert kept == said >= 50 * acknowledged
            assert only(records, "SELECT sum(count) FROM final_metrics") == kept
            twice = "SELECT count(*) FROM (SELECT job, step FROM metrics GROUP BY ALL HAVING count(*) > 1)"
            assert only(records, twice) == 0
            assert only(records, "SELECT count(*) FROM params") == only(records, "SELECT count(*) FROM jobs")
