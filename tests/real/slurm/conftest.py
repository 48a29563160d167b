"""Benches of the provider on the shared cluster: as many as a test wants, each with settings of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import MakeBench, SlurmBench


@pytest.fixture
def bench_of(tmp_path: Path, cluster: Cluster) -> Iterator[MakeBench]:
    made: list[SlurmBench] = []
    numbers = itertools.count()

    def make(**more: object) -> SlurmBench:
        folder = tmp_path / f"{tmp_path.name}-{next(numbers)}"
        folder.mkdir()
        made.append(SlurmBench(folder, cluster, **more))  # type: ignore[arg-type]
        return made[-1]

    try:
        yield make
    finally:
        for bench in made:
            bench.close()
