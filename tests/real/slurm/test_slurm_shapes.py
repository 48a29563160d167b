"""What a submission becomes in Slurm: arrays, shared allocations, several nodes, GPUs; and what a cluster cannot be asked."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.domain.task import Task
from labwright.testing.provider_bench import HANGS, Script
from tests.real.slurm.asking import Counter, all_ended, id_of, job_of, shown, submitted, trials
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import MakeBench, OnLoginNode

METRIC = r"""printf '{"t": 1, "e": "metric", "m": {"n": %d}}\n' "$LAB_PARAM_N" >>"$LAB_JOB_DIR/events.jsonl"; """


def most_at_once(marks: Path) -> int:
    """Of lines `+` and `-`."""
    now = most = 0
    for mark in marks.read_text().split():
        now += 1 if mark == "+" else -1
        most = max(most, now)
    return most


def test_equal_trials_are_one_array_and_each_ends_by_itself(cluster: Cluster, bench_of: MakeBench) -> None:
    counter = Counter(cluster, cluster.home / "labs" / f"{bench_of.__name__}-{id(bench_of)}")
    bench = bench_of(connect=lambda _: OnLoginNode(cluster, counter.path))
    equal = trials(bench, Script(METRIC + "exit $((LAB_PARAM_N % 3))"), 50)
    others = [bench.submission(Script("exit 7")), bench.submission(Script("exit 8"))]
    handles = submitted(bench, [*equal, *others])
    assert len(counter.calls("sbatch")) == 3
    assert len({job_of(handle) for handle in handles[:50]}) == 1
    assert sorted(id_of(handle) for handle in handles[:50]) == sorted(f"{job_of(handles[0])}_{n}" for n in range(50))
    seen = all_ended(bench, handles)
    assert [seen[handle].exit_code for handle in handles] == [*(n % 3 for n in range(50)), 7, 8]
    for n, handle in enumerate(handles[:50]):
        (line,) = bench.stream(handle, "events.jsonl").splitlines()
        assert json.loads(line)["m"] == {"n": n}


def test_an_array_holds_no_more_than_it_may_and_runs_no_more_at_once_than_the_sweep_may(bench_of: MakeBench) -> None:
    bench = bench_of(array_max=4)
    marks = bench.folder / "marks"
    script = Script(f"echo + >>{marks}; sleep 0.7; echo - >>{marks}")
    swept = trials(bench, script, 4, sweeps={"sweep_config": {"n": [1]}, "max_parallel": 2})
    free = trials(bench, Script("true"), 9)
    handles = submitted(bench, [*swept, *free])
    all_ended(bench, handles)
    sizes = [len({id_of(h) for h in handles if job_of(h) == job}) for job in dict.fromkeys(map(job_of, handles))]
    assert sizes == [4, 4, 4, 1]
    assert most_at_once(marks) == 2


def test_packed_trials_share_an_allocation_and_each_has_its_own_end(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of()
    marks, order = bench.folder / "marks", bench.folder / "order"
    pair = Script(f"echo + >>{marks}; sleep 0.7; echo - >>{marks}; exit $((LAB_PARAM_N + 1))")
    pairs = trials(bench, pair, 6, resources={"pack": {"trials": 4, "at_once": 2}, "cpus": 2})
    one = Script(f"echo $LAB_PARAM_N >>{order}; sleep 0.1")
    row = trials(bench, one, 4, resources={"pack": 4}, timeout="1m")
    narrow = trials(bench, Script("true"), 4, resources={"pack": {"trials": 2, "at_once": 2}}, timeout="1m")
    handles = submitted(bench, [*pairs, *row, *narrow])
    assert [len({id_of(h) for h in some}) for some in (handles[:6], handles[6:10], handles[10:])] == [2, 1, 2]
    # so much of Slurm's time as one behind another takes, and a minute or so for the wrapper to be the first
    assert [shown(cluster, handles[at])["TimeLimit"] for at in (6, 10)] == ["00:06:00", "00:03:00"]
    seen = all_ended(bench, handles)
    assert [seen[handle].exit_code for handle in handles] == [1, 2, 3, 4, 5, 6, *[0] * 8]
    assert 2 <= most_at_once(marks) <= 4  # of two allocations
    assert order.read_text().split() == ["0", "1", "2", "3"]
    begun = [seen[handle].running for handle in handles[6:10]]
    assert all(a and b and a < b for a, b in pairwise(begun))


def test_max_parallel_holds_within_a_shared_allocation_too(bench_of: MakeBench) -> None:
    bench = bench_of()
    marks = bench.folder / "marks"
    script = Script(f"echo + >>{marks}; sleep 0.5; echo - >>{marks}")
    sweep = {"sweep_config": {"n": [1]}, "max_parallel": 2}
    resources = {"pack": {"trials": 4, "at_once": 4}}
    all_ended(bench, submitted(bench, trials(bench, script, 8, sweeps=sweep, resources=resources)))
    assert most_at_once(marks) == 2


def test_one_of_a_shared_allocation_is_cancelled_and_the_others_go_on(bench_of: MakeBench) -> None:
    bench = bench_of()
    go = bench.folder / "go"
    script = Script(f"echo begun; until [ -e {go} ]; do sleep 0.1; done; exit 3")
    first, second, third = submitted(bench, trials(bench, script, 3, resources={"pack": {"trials": 3, "at_once": 2}}))
    bench.until_logged(first)
    bench.until_logged(second)
    bench.provider.cancel([second])
    assert bench.ended(second).outcome is Outcome.CANCELLED
    bench.until_logged(third)  # it took the place
    assert bench.see(first).phase is Phase.RUN
    go.touch()
    seen = all_ended(bench, [first, third])
    assert [seen[handle].exit_code for handle in (first, third)] == [3, 3]


def test_a_shared_allocation_that_waits_leaves_the_queue_when_all_of_it_are_cancelled(
    cluster: Cluster, bench_of: MakeBench
) -> None:
    bench = bench_of(sbatch=["--begin=now+1hour"])
    all_of_it = submitted(bench, trials(bench, HANGS, 4, resources={"pack": 4}))
    bench.provider.cancel(all_of_it[:1])
    assert cluster.states(job_of(all_of_it[0])) == {"PENDING"}
    bench.provider.cancel(all_of_it[1:])
    assert cluster.states(job_of(all_of_it[0])) == {"CANCELLED"}
    assert {seen.outcome for seen in all_ended(bench, all_of_it).values()} == {Outcome.CANCELLED}


def test_a_job_has_the_gpus_that_it_asked_for(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of(gres={"A100": "h100"})
    script = Script('echo "$CUDA_VISIBLE_DEVICES $LAB_GPUS"; sleep 600')
    handle = bench.submit(script, task={"resources": {"accelerators": "A100:4", "cpus": 3, "memory": "1GB"}})
    bench.until_logged(handle, b"\n")
    said = shown(cluster, handle)
    assert said["TresPerNode"] == "gres:gpu:h100:4"
    assert said["TRES"] == "cpu=3,mem=1G,node=1,billing=3,gres/gpu=4"
    devices, count = bench.log(handle).decode().split()
    assert (len(set(devices.split(","))), count) == (4, "4")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"accelerators": "H100:9"}, "H100:9 asked on each node, and nodes of cluster have 8 h100"),
        ({"accelerators": "9"}, "GPU:9 asked on each node, and nodes of cluster have 8 h100"),
        ({"accelerators": "A100:1"}, "have 8 h100; ask for one of these, or map A100 under `gres`"),
        ({"memory": "999GB"}, "999 GB asked, and the largest node of cluster has 250 GB"),
        ({"cpus": 65}, "65 asked, and the largest node of cluster has 64"),
        ({"num_nodes": 5}, "5 asked, and cluster has 4"),
        ({"use_spot": True}, "cluster names no spot_partition in lab.yaml"),
    ],
)
def test_what_no_node_has_is_refused_with_what_there_is(
    bench_of: MakeBench, resources: dict[str, Any], words: str
) -> None:
    (said,) = bench_of().provider.refuse(Task.model_validate({"name": "t", "run": "true", "resources": resources}))
    assert words in said
    assert said.startswith(f"resources.{next(iter(resources))}: ")


def test_a_time_that_no_partition_gives_is_refused(bench_of: MakeBench) -> None:
    refuse = bench_of().provider.refuse
    assert not refuse(Task.model_validate({"name": "t", "run": "true", "timeout": "6d"}))
    (said,) = refuse(Task.model_validate({"name": "t", "run": "true", "timeout": "8d"}))
    assert said == "timeout: 192 h asked, and cluster lets jobs run for 168 h at most"
