"""The loop with a forge in memory: ada owns the lab, ben and cleo may write, tom may put on labels, mallory may read."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from labwright.domain.forge import Opinion, Protection, Role, number_of
from labwright.domain.job import Job
from labwright.ports.provider import Capacity
from labwright.testing.clock import FakeClock
from labwright.testing.memory_forge import MemoryForge
from tests.unit.loop_bench import STORY, Bench

LAB = """
watch: {pull_requests: true}
forge: {type: forgejo, url: "https://forge.example", repo: lab/vision, token: "{{secret.FORGE}}", update: 1s}
secrets: {FORGE: {env: FORGE}}
"""
PEOPLE = {"ada": Role.ADMIN, "ben": Role.WRITE, "cleo": Role.WRITE, "tom": Role.TRIAGE, "mallory": Role.READ}


class ClockForge(MemoryForge):
    clock: FakeClock

    def _now(self) -> datetime:
        """Later than all before, and than what the loop's clock says by less than a turn."""
        return self.clock.now() + timedelta(microseconds=next(self._ids))


class PullBench(Bench):
    def __init__(self, folder: Path, lab: str = LAB, **more: Any) -> None:
        super().__init__(folder, **more)
        self.provider._story = STORY
        self.forge = ClockForge(people=dict(PEOPLE), protected={"main": Protection(True)})
        self.forge.clock = self.clock
        self.lab = lab
        self.push(lab=lab, base="name: base\nrun: echo base\n")
        self.until_idle()

    @property
    def at(self) -> MemoryForge:
        assert self.forge is not None
        return self.forge

    def propose(
        self, number: int = 1, author: str = "ada", *, text: str = "", fork: bool = False, **files: str | None
    ) -> str:
        """A pull request whose branch starts at main; its head."""
        branch = f"change-{number}"
        if branch not in self.repo.branches:
            self.repo.branches[branch] = self.repo.branches["main"]
        head = self.push(branch=branch, **(files or {"alpha/train": task_text(text or "one")}))
        self.repo.refs[f"refs/pull/{number}/head"] = head
        if number in self.at.talks:
            self.at.push(number, head)
        else:
            self.at.open(number, head, author, fork=fork)
        self.hook()
        return head

    def hook(self) -> None:
        self.world.rouse(hooked=True)

    def approve(self, number: int = 1, by: str = "ben", label_by: str = "ada") -> None:
        self.at.review(number, by, Opinion.APPROVED)
        self.label(number, label_by)

    def label(self, number: int = 1, by: str = "ada", name: str = "lab:run") -> None:
        self.at.put_label(number, name, by)
        self.hook()

    def settle(self, turns: int = 8) -> None:
        self.hook()
        self.turn(turns, seconds=0.1)

    def capacity_is(self, cpus: float) -> None:
        """From now on the provider has room for so much."""
        self.capacity = self.provider._capacity = Capacity(cpus=cpus, memory_gb=64)
        self.controller.launcher._rooms.clear()

    @property
    def pulled(self) -> list[Job]:
        return [job for job in self.jobs if number_of(job.branch) is not None]

    def comment(self, number: int = 1) -> str:
        (ours,) = [c.body for c in self.at.talks[number].comments if c.by.login == "labwright"]
        return ours


def task_text(what: str, more: str = "") -> str:
    return f"name: train\nrun: echo {what}\n{more}"
