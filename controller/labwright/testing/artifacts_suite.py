"""What every artifact store promises. Subclass ArtifactsSuite and give the fixture `store`; pytest runs the rest."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from labwright.domain.errors import Refused
from labwright.ports.artifacts import ArtifactStore, Usage

NO_DIGESTS = [
    "",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a" * 63,
    "a" * 65,
    "A" * 64,
    "g" * 64,
    "a" * 63 + "\n",
    "é" * 64,
]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class ArtifactsSuite:
    """Needs the fixture `store`: an empty one for each test."""

    @pytest.fixture
    def put(self, store: ArtifactStore, tmp_path: Path) -> Callable[[bytes], str]:
        def put(data: bytes) -> str:
            source = tmp_path / "source"
            source.write_bytes(data)
            store.put(source, sha256(data))
            return sha256(data)

        return put

    def test_an_empty_store_has_nothing(self, store: ArtifactStore, tmp_path: Path) -> None:
        assert store.has([]) == store.has([sha256(b"x")]) == frozenset()
        assert store.usage() == Usage(0, 0)
        with pytest.raises(Refused):
            store.fetch(sha256(b"x"), tmp_path / "got")
        assert not (tmp_path / "got").exists()

    @pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)) * 20_000])
    def test_what_is_put_is_there_and_comes_back(
        self, store: ArtifactStore, put: Callable[[bytes], str], tmp_path: Path, data: bytes
    ) -> None:
        name = put(data)
        assert store.has([name, sha256(b"other")]) == {name}
        store.fetch(name, tmp_path / "deep" / "got")
        assert (tmp_path / "deep" / "got").read_bytes() == data
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["got"]

    def test_a_file_of_other_bytes_is_refused_and_leaves_nothing(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"other")
        with pytest.raises(Refused):
            store.put(tmp_path / "source", sha256(b"hello"))
        assert store.has([sha256(b"hello"), sha256(b"other")]) == frozenset()
        assert store.usage() == Usage(0, 0)

    def test_the_same_file_again_is_there_once_and_a_refusal_does_not_harm_it(
        self, store: ArtifactStore, put: Callable[[bytes], str], tmp_path: Path
    ) -> None:
        name = put(b"hello")
        assert put(b"hello") == name
        (tmp_path / "other").write_bytes(b"other")
        with suppress(Refused):  # a store may look at what is there, and at nothing else
            store.put(tmp_path / "other", name)
        store.fetch(name, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"hello"
        assert store.usage() == Usage(1, 5)

    def test_what_becomes_of_the_file_afterwards_does_not_matter(
        self, store: ArtifactStore, put: Callable[[bytes], str], tmp_path: Path
    ) -> None:
        name = put(b"hello")
        with (tmp_path / "source").open("r+b") as source:
            source.write(b"HELLO")
        store.fetch(name, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"hello"

    def test_what_is_fetched_is_the_callers_and_replaces_what_was_there(
        self, store: ArtifactStore, put: Callable[[bytes], str], tmp_path: Path
    ) -> None:
        name = put(b"hello")
        (tmp_path / "got").write_bytes(b"something longer")
        for _ in range(2):
            store.fetch(name, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == b"hello"
            (tmp_path / "got").write_bytes(b"changed")

    def test_many_may_put_the_same_file_at_once(self, store: ArtifactStore, tmp_path: Path) -> None:
        data = bytes(range(256)) * 4000
        (tmp_path / "source").write_bytes(data)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: store.put(tmp_path / "source", sha256(data)), range(32)))
        assert store.usage() == Usage(1, len(data))
        store.fetch(sha256(data), tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == data

    @pytest.mark.parametrize("name", NO_DIGESTS)
    def test_what_is_no_digest_names_nothing(self, store: ArtifactStore, tmp_path: Path, name: str) -> None:
        (tmp_path / "source").write_bytes(b"x")
        assert store.has([name]) == frozenset()
        with pytest.raises(Refused):
            store.put(tmp_path / "source", name)
        with pytest.raises(Refused):
            store.fetch(name, tmp_path / "got")
        assert store.usage() == Usage(0, 0)
        assert not (tmp_path / "got").exists()

    def test_a_thousand_are_asked_for_at_once(self, store: ArtifactStore, put: Callable[[bytes], str]) -> None:
        mine = {put(str(n).encode()) for n in range(20)}
        assert store.has([*mine, *(sha256(str(n).encode()) for n in range(100, 1100))]) == mine
        assert store.usage().files == 20
