"""One job on several nodes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labwright.domain.lifecycle import Outcome
from labwright.testing.provider_bench import Script
from tests.real.slurm.asking import job_of, shown
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import MakeBench, SlurmBench

MEET = b"""
import os, socket, subprocess, time
import lab

rank, host = int(os.environ["NODE_RANK"]), socket.gethostname()
names = "MASTER_ADDR WORLD_SIZE LOCAL_WORLD_SIZE CUDA_VISIBLE_DEVICES".split()
print(f"{rank} {host}", *(os.environ[name] for name in names), flush=True)
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(address) as server:
        met, _ = server.accept()
        with met:
            said = met.makefile().readline().strip()
    print(f"0 heard {said}", flush=True)
else:
    for _ in range(1000):
        try:
            met = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with met:
        met.sendall(f"{rank} of {host}\\n".encode())
lab.log({"rank": rank})
"""


@pytest.fixture
def bench(bench_of: MakeBench) -> Iterator[SlurmBench]:
    yield bench_of()


def two(**resources: Any) -> dict[str, Any]:
    return {"resources": {"num_nodes": 2, **resources}}


def test_nodes_of_a_job_know_each_other_and_meet(cluster: Cluster, bench: SlurmBench) -> None:
    setup = f"hostname >>{bench.folder}/setups; mkdir /tmp/here-$LAB_JOB_ID"
    script = Script("ls -d /tmp/here-$LAB_JOB_ID >/dev/null; rmdir /tmp/here-*; python3 meet.py", setup=setup)
    handle = bench.submit(script, files={"meet.py": MEET}, task=two(accelerators=2))
    seen = bench.ended(handle)
    said = bench.log(handle).decode()
    assert seen.outcome is Outcome.OK, said
    lines = sorted(line.split() for line in said.splitlines())
    heard, of = (
        next(line for line in lines if line[1] == "heard"),
        {line[0]: line for line in lines if line[1] != "heard"},
    )
    first, second = of["0"], of["1"]
    assert {first[1], second[1]} < set(cluster.nodes)
    assert first[1] != second[1]
    assert first[2] == second[2] == first[1]  # MASTER_ADDR
    assert first[3:5] == second[3:5] == ["4", "2"]  # WORLD_SIZE, LOCAL_WORLD_SIZE
    assert [len(line[5].split(",")) for line in (first, second)] == [2, 2]
    assert heard == ["0", "heard", "1", "of", second[1]]
    assert sorted((bench.folder / "setups").read_text().split()) == sorted([first[1], second[1]])
    for rank, stream in enumerate(("events.jsonl", "events.1.jsonl")):
        assert json.loads(bench.stream(handle, stream))["m"] == {"rank": rank}
    assert shown(cluster, handle)["NumNodes"] == "2"


def test_a_node_that_fails_ends_the_job_with_its_code(bench: SlurmBench) -> None:
    last = "sleep 600"
    fails = bench.submit(Script(f"[ $NODE_RANK = 0 ] || exit 5; {last}"), task=two())
    setup_fails = bench.submit(Script(last, setup=f"[ $NODE_RANK = 0 ] || exit 6; {last}"), task=two())
    seen = bench.ended(fails)
    assert (seen.outcome, seen.exit_code) == (Outcome.ERROR, 5), bench.log(fails)
    seen = bench.ended(setup_fails)
    assert (seen.outcome, seen.exit_code) == (Outcome.SETUP_ERROR, 6), bench.log(setup_fails)


def test_a_notice_and_a_stop_reach_every_node(cluster: Cluster, bench: SlurmBench) -> None:
    hear = 'trap "heard=1" USR1; trap "echo told $NODE_RANK; sleep 0.5; echo saved; exit" TERM'
    loop = "while sleep 0.1; do [ ! $heard ] || { heard=; sleep 0.5; kill -0 $deaf && echo noticed $NODE_RANK; }; done"
    script = Script(f"sleep 600 & deaf=$!; heard=; {hear}; echo begun $NODE_RANK; {loop}")
    handle = bench.submit(script, task=two())

    def until_all(word: str) -> None:
        for rank in range(2):
            bench.until_logged(handle, f"{word} {rank}\n".encode())

    until_all("begun")
    cluster.run("scancel", "--batch", "--signal=USR1", job_of(handle))  # as --signal=B:USR1@… does
    until_all("noticed")
    bench.provider.cancel([handle])
    assert bench.ended(handle).outcome is Outcome.CANCELLED
    said = bench.log(handle).decode()
    assert all(f"told {rank}\n" in said for rank in range(2)), said
    assert said.count("saved\n") == 2, said
