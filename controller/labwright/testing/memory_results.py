"""A results branch in memory: a fake of ports/repo.py ResultsBranch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from labwright.domain.errors import Unavailable


@dataclass
class MemoryResults:
    broken: str = ""  # why the remote cannot be reached; empty = it can
    content: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)  # one for each commit, oldest first

    def publish(self, files: Mapping[str, bytes], message: str) -> str:
        if self.broken:
            raise Unavailable(self.broken)
        if any(self.content.get(path) != data for path, data in files.items()):
            self.content.update(files)
            self.messages.append(message)
        return f"{len(self.messages):040x}"

    def tip(self) -> str | None:
        return f"{len(self.messages):040x}" if self.messages else None

    def files(self, suffix: str = "") -> Iterator[tuple[str, bytes]]:
        yield from sorted((path, data) for path, data in self.content.items() if path.endswith(suffix))
