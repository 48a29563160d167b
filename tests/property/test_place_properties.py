from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from labwright.decide.place import Ask, Placed, place
from labwright.domain.ids import JobId
from labwright.ports.provider import Capacity

capacities = st.builds(
    Capacity,
    cpus=st.integers(1, 16).map(float),
    memory_gb=st.integers(0, 64).map(float),
    gpus=st.integers(0, 4).map(lambda n: tuple(str(i) for i in range(n))),
)
asks = st.lists(
    st.builds(
        Ask,
        job=st.just(JobId("")),
        cpus=st.integers(1, 200).map(lambda n: n / 10),
        memory_gb=st.integers(0, 80).map(float),
        gpus=st.integers(0, 5),
        priority=st.integers(-1, 2),
    ),
    max_size=12,
).map(lambda found: [Ask(JobId(f"j{n}"), a.cpus, a.memory_gb, a.gpus, a.priority) for n, a in enumerate(found)])


def fits(ask: Ask, capacity: Capacity) -> bool:
    return ask.cpus <= capacity.cpus and ask.memory_gb <= capacity.memory_gb and ask.gpus <= len(capacity.gpus)


@given(asks, asks, capacities)
def test_never_more_than_the_machine_has_and_no_gpu_twice(
    first: list[Ask], second: list[Ask], capacity: Capacity
) -> None:
    busy = [Placed.of(p) for _, p in place(first, [], capacity)]
    together = [*busy, *(Placed.of(p) for _, p in place(second, busy, capacity))]
    assert sum(p.cpus for p in together) <= capacity.cpus + 1e-6
    assert sum(p.memory_gb for p in together) <= capacity.memory_gb + 1e-6
    gpus = Counter(gpu for p in together for gpu in p.gpus)
    assert set(gpus) <= set(capacity.gpus)
    assert all(count == 1 for count in gpus.values())


@given(asks, capacities)
def test_each_gets_what_it_asked_for_and_is_placed_once(waiting: list[Ask], capacity: Capacity) -> None:
    placed = place(waiting, [], capacity)
    by_id = {ask.job: ask for ask in waiting}
    assert len({job for job, _ in placed}) == len(placed)
    for job, placement in placed:
        assert (placement["cpus"], placement["memory_gb"]) == (by_id[job].cpus, by_id[job].memory_gb)
        assert len(placement["gpus"]) == by_id[job].gpus


@given(asks, capacities)
def test_everything_that_fits_an_empty_machine_is_placed_in_the_end(waiting: list[Ask], capacity: Capacity) -> None:
    todo, done = list(waiting), set()
    while placed := place(todo, [], capacity):  # what was placed ends, the machine is empty again
        done |= {job for job, _ in placed}
        todo = [ask for ask in todo if ask.job not in done]
    assert done == {ask.job for ask in waiting if fits(ask, capacity)}


@given(asks, asks, capacities)
def test_nobody_waits_for_a_lower_priority(first: list[Ask], waiting: list[Ask], capacity: Capacity) -> None:
    busy = [Placed.of(p) for _, p in place(first, [], capacity)]
    placed = {job for job, _ in place(waiting, busy, capacity)}
    blocked = [ask.priority for ask in waiting if ask.job not in placed and fits(ask, capacity)]
    assert all(ask.priority >= max(blocked, default=-99) for ask in waiting if ask.job in placed)
