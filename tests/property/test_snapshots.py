"""A snapshot by the difference is the same as a whole one, over random edits in real git."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.git_world import GitWorld

NAMES = st.sampled_from(
    ["a", "b", "dir", "dir/a", "dir/b", "dir/deep/a", "dir/deep", "é", "\udcff", "sp ace", "a\nb", "Dir/a", "dir.x"]
)
MODES = st.sampled_from(["100644", "100755", "120000", "160000"])
FILES = st.dictionaries(NAMES, st.tuples(MODES, st.integers(0, 3)), max_size=8)


def possible(files: dict[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Without what lies below a file: git's trees cannot hold both."""
    return {name: what for name, what in files.items() if not any(name.startswith(other + "/") for other in files)}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(trees=st.lists(FILES, min_size=2, max_size=6))
def test_a_snapshot_by_the_difference_is_the_whole_one(trees: list[dict[str, tuple[str, int]]]) -> None:
    with tempfile.TemporaryDirectory() as top:
        world = GitWorld(Path(top), settle_after=None)
        commits = []
        for tree in map(possible, trees):
            content = {n: b"%040d" % c if m == "160000" else b"%d" % c for n, (m, c) in tree.items()}
            commits.append(world.commit(content, modes={n: m for n, (m, _) in tree.items()}, clear=True))
        world.repo.fetch()
        whole = [world.repo.snapshot(commit) for commit in commits]
        for before in whole:
            for after in whole:
                assert world.repo.snapshot(after.commit, before) == after
        world.close()
