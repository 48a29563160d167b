from labwright.decide.place import Ask, Placed, place, type_matches
from labwright.domain.ids import JobId
from labwright.domain.task import Accelerators, Resources, Task
from labwright.ports.provider import Capacity

MACHINE = Capacity(4, 16, ("0", "1"))


def asks(*sizes: float, priority: int = 0, start: int = 0) -> list[Ask]:
    return [Ask(JobId(f"job{start + n}"), cpus=size, priority=priority) for n, size in enumerate(sizes)]


def started(waiting: list[Ask], busy: list[Placed] | None = None, capacity: Capacity = MACHINE) -> list[str]:
    return [job for job, _ in place(waiting, busy or [], capacity)]


def test_jobs_start_in_the_order_given_while_there_is_room() -> None:
    assert started(asks(2, 1, 1, 1)) == ["job0", "job1", "job2"]


def test_a_smaller_job_of_the_same_priority_may_pass_one_that_does_not_fit() -> None:
    assert started(asks(3, 2, 1)) == ["job0", "job2"]


def test_a_job_of_lower_priority_never_passes_one_that_does_not_fit() -> None:
    busy = [Placed(cpus=3)]
    assert started([*asks(2, priority=1), *asks(1, start=9)], busy) == []


def test_a_higher_priority_goes_first_wherever_it_stands() -> None:
    assert started([*asks(3), *asks(4, priority=5, start=9)]) == ["job9"]


def test_a_job_larger_than_the_machine_holds_nobody_back() -> None:
    assert started([*asks(99, priority=9), *asks(1, start=5)]) == ["job5"]


def test_what_runs_keeps_its_cpus_memory_and_gpus() -> None:
    gpu_job = Ask(JobId("g"), cpus=1, memory_gb=8, gpus=1)
    busy = [Placed.of({"cpus": 1, "memory_gb": 8, "gpus": ["0"]})]
    assert place([gpu_job], busy, MACHINE) == [(JobId("g"), {"cpus": 1, "memory_gb": 8, "gpus": ["1"]})]
    assert place([gpu_job], [*busy, Placed(gpus=("1",))], MACHINE) == []
    assert place([gpu_job], [Placed(memory_gb=9)], MACHINE) == []


def test_a_placement_that_says_nothing_counts_as_one_cpu() -> None:
    assert Placed.of({}) == Placed(cpus=1, memory_gb=0, gpus=())


def test_tenths_of_a_cpu_fill_a_cpu() -> None:
    assert len(started(asks(*[0.1] * 10), capacity=Capacity(1, 1))) == 10


def test_a_task_that_asks_for_nothing_counts_as_one_cpu() -> None:
    assert Ask.of(JobId("j"), Task(name="t", run="true")) == Ask(JobId("j"), 1, 0, 0, 0)
    resources = Resources(cpus=2, memory=3, accelerators=Accelerators(type="A100", count=2))
    assert Ask.of(JobId("j"), Task(name="t", run="x", resources=resources), 7) == Ask(JobId("j"), 2, 3, 2, 7)


def test_a_gpu_type_is_found_within_the_name_that_the_driver_gives() -> None:
    assert type_matches("A100", "NVIDIA A100-SXM4-80GB")
    assert type_matches("rtx3090", "NVIDIA GeForce RTX 3090")
    assert not type_matches("H100", "NVIDIA A100-SXM4-80GB")
    assert type_matches("H100", None)
    assert type_matches(None, "anything")


def test_a_vendor_stands_for_all_of_its_models() -> None:
    assert type_matches("NVIDIA", "RTX3090")
    assert type_matches("NVIDIA", "A100")
    assert type_matches("AMD", "Instinct MI300X")
    assert type_matches("AMD", "MI250")
    assert not type_matches("AMD", "NVIDIA A100")
    assert not type_matches("NVIDIA", "AMD Radeon RX 7900")
