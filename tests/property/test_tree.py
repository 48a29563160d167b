"""What is made of the difference is what is made from scratch."""

from hypothesis import given
from hypothesis import strategies as st

from labwright.decide.discover import Tree
from labwright.domain.snapshot import Entry, Snapshot

paths = st.sampled_from(
    [f"{top}{sub}/{name}" for top in ("experiments/a", "experiments/a/b", "lib") for sub in ("", "/c", "/c/d")
     for name in ("task.yaml", "train.py", "README.md")] + ["experiments/task.yaml", "lab.yaml"]
)  # fmt: skip
entries = st.dictionaries(paths, st.builds(Entry, st.sampled_from(["100644", "120000"]), st.sampled_from("xyz")))


@given(entries, entries)
def test_a_tree_after_another_is_the_tree(before: dict[str, Entry], after: dict[str, Entry]) -> None:
    made, plain = Tree.after(Tree(Snapshot("1", before)), Snapshot("2", after)), Tree(Snapshot("2", after))
    assert dict(made.tasks) == dict(plain.tasks)
    assert list(made.paths) == list(plain.paths)
