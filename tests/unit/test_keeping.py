"""Which artifacts of a job the lab keeps itself."""

from labwright.decide.keeping import MOST_FILES, TIMES, worth_keeping
from labwright.domain.manifest import ManifestArtifact


def artifact(path: str, size: int) -> ManifestArtifact:
    return ManifestArtifact(path=path, size=size, sha256=path)


def chosen(limit: int, **sizes: int) -> list[str]:
    return [a.path for a in worth_keeping([artifact(path, size) for path, size in sizes.items()], limit)]


def test_those_up_to_the_limit_are_kept_the_smallest_first() -> None:
    assert chosen(10, big=11, ten=10, one=1, empty=0, other=1) == ["empty", "one", "other", "ten"]


def test_a_limit_of_0_keeps_nothing_not_even_what_is_empty() -> None:
    assert chosen(0, empty=0, one=1) == []


def test_of_one_job_so_many_files_and_so_many_bytes_are_kept() -> None:
    assert len(worth_keeping([artifact(f"{n}", 0) for n in range(1000)], 10)) == MOST_FILES
    kept = worth_keeping([artifact(f"{n}", 9) for n in range(50)], 10)
    assert sum(a.size for a in kept) == 99 <= TIMES * 10


def test_the_choice_does_not_depend_on_the_order() -> None:
    many = [artifact(f"{n}", n % 7) for n in range(300)]
    assert worth_keeping(many, 5) == worth_keeping(many[::-1], 5)


def test_a_size_that_somebody_edited_is_no_size() -> None:
    assert chosen(10, odd=-5) == []
