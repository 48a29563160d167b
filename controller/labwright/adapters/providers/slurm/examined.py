"""What examine.sh printed, made data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labwright.adapters.providers.slurm.facts import Facts, parse


@dataclass(frozen=True, slots=True)
class Report:
    """Names may come more than once: then each is a line of an answer."""

    lines: Sequence[tuple[str, str]]

    def get(self, name: str) -> str:
        return next((value for known, value in self.lines if known == name), "")

    def all(self, name: str) -> Sequence[str]:
        return [value for known, value in self.lines if known == name]

    def works(self, name: str) -> bool:
        return self.get(f"works {name}") == "1"

    def trouble(self, name: str) -> str:
        """Why a question was not answered; empty where it was."""
        return "" if self.get(f"answered {name}") else self.get(f"trouble {name}") or "nobody was asked"

    def missing(self, *tools: str) -> Sequence[str]:
        return [tool for tool in tools if not self.get(f"tool {tool}")]

    @property
    def facts(self) -> Facts:
        """As the provider knows them."""
        head = [self.get("version"), *self.all("config")]
        return parse("\n".join([*head, ".", *self.all("nodes")]))

    @property
    def config(self) -> Mapping[str, str]:
        return self.facts.config

    @property
    def partitions(self) -> Mapping[str, Mapping[str, str]]:
        """By name, what `scontrol show partition` says: State, PreemptMode, GraceTime …"""
        found = {}
        for line in self.all("partition"):
            pairs = dict(re.findall(r"(\w+)=(\S*)", line))
            found[pairs.get("PartitionName", "")] = pairs
        return found

    @property
    def associations(self) -> Sequence[Sequence[str]]:
        """account, partition, QOS, default QOS, MaxSubmitJobs: each a text, empty where there is none."""
        return [cells for line in self.all("assoc") if len(cells := line.split("|")) == 5]

    @property
    def qos_limits(self) -> Mapping[str, int]:
        """Name → jobs of a user that may be there at once, of those that have such a limit."""
        cells = [line.split("|") for line in self.all("qos")]
        return {row[0]: int(row[1]) for row in cells if len(row) > 1 and row[1].isdigit()}

    @property
    def free(self) -> tuple[int | None, int | None]:
        """Bytes and inodes, of the file system of the lab's folder."""
        return _available(self.get("space")), _available(self.get("inodes"))


def read(answer: bytes) -> Report:
    lines = (line.partition("\t") for line in answer.decode(errors="replace").splitlines())
    return Report([(name, value.strip()) for name, tab, value in lines if tab])


def whole(text: str) -> int | None:
    """The number at the start: `30 sec`, `1001`."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None


def _available(line: str) -> int | None:
    """Of `df -P`: the fourth column, which may not be the fourth word where the device's name has blanks."""
    found = re.search(r"(\d+)\s+(\d+|-)\s+(\d+)\s+(\d+%|-)\s", line)
    return int(found[3]) if found else None


def bytes_of(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"
