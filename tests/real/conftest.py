"""The Slurm test-bed as fixtures, for every test below this folder. A test that asks for one is marked `real` by that.

slurm              where it is; takes no lock, so it is for values and for fixtures wider than a test
cluster            for a test that uses it: others do at the same time, nobody breaks it
breakable_cluster  for a test that breaks it: nobody else uses it meanwhile, and every job on it is cancelled afterwards
"""

import os
from collections.abc import Iterator

import pytest

from tests.real.slurm.cluster import BreakableCluster, CannotRunHere, Cluster, breaking, sharing, using


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slurm" in getattr(item, "fixturenames", ()):
            item.add_marker("real")
            own = item.get_closest_marker("timeout")
            seconds = own.args[0] if own else config.getoption("timeout")
            # the time of the test alone: how long others keep the cluster is not its fault
            item.add_marker(pytest.mark.timeout(seconds, func_only=True), append=False)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    try:
        with using() as cluster:
            yield cluster
    except CannotRunHere as reason:
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent(str(reason))


@pytest.fixture
def cluster(slurm: Cluster) -> Iterator[Cluster]:
    with sharing():
        yield slurm


@pytest.fixture
def breakable_cluster(slurm: Cluster) -> Iterator[BreakableCluster]:
    with breaking():
        whole = BreakableCluster(**vars(slurm))
        yield whole
        whole.clean()
