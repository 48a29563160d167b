"""`lab doctor --submit`: a job of a minute that looks at its node."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labwright.adapters.providers.slurm.examine_login import bash, extras
from labwright.adapters.providers.slurm.examined import Report, whole
from labwright.adapters.providers.slurm.states import meaning
from labwright.domain.finding import FAIL, OK, WARN, Finding
from labwright.domain.seen import Phase
from labwright.ports.transport import Transport

Ask = Callable[..., Report]
"""A command of examine.sh and its arguments → what it says."""
PATIENCE = 300.0  # seconds for it to begin and to end
_EVERY = 2.0
_LAG = 60.0  # for which a network file system may show a node's files late
_SKEW = 2.0  # seconds, clocks being told in whole ones


@dataclass(frozen=True, slots=True)
class Probe:
    transport: Transport
    ask: Ask
    folder: str  # on the cluster, to be made and removed
    script: bytes
    secrets: bool
    patience: float = PATIENCE

    def run(self, options: list[str]) -> Iterator[Finding]:
        """Everything of it is removed again, also when somebody breaks it off."""
        self.transport.put(b"#!/bin/bash\n" + self.script, f"{self.folder}/job.sh", mode=0o700)
        job = "-"
        try:
            sent = self.ask("probe", self.folder, *options)
            job = sent.get("said").split(";")[0]
            if sent.get("code") != "0" or not job.isdigit():
                said, job = sent.get("said"), "-"
                yield Finding("probe job", FAIL, f"sbatch: {said}", "correct the provider in lab.yaml, or ask the site")
                return
            yield from self._watched(job, whole(sent.get("now")) or 0)
        finally:
            self.ask("unprobe", self.folder, job)

    def _watched(self, job: str, submitted: int) -> Iterator[Finding]:
        began = time.monotonic()
        ended = 0.0
        while True:
            seen = self.ask("probed", self.folder, job)
            state, _, rest = (seen.get("state") or "COMPLETED").partition("|")
            now = time.monotonic()
            if seen.get("node"):
                yield from self._told(job, seen, submitted)
                return
            if meaning(state).phase is Phase.ENDED or "Invalid job id" in state:
                ended = ended or now
                if now - ended > _LAG:
                    yield self._nothing(job, state, seen)
                    return
            elif now - began > self.patience:
                reason, _, node = rest.partition("|")
                text = f"job {job} is {state} after {self.patience:g} s ({node or reason}) and was cancelled"
                yield Finding("probe job", WARN, text, "try again when the cluster has room")
                return
            time.sleep(_EVERY)

    def _nothing(self, job: str, state: str, seen: Report) -> Finding:
        said = seen.get("output")
        if said:
            return Finding("probe job", FAIL, f"job {job} ended as {state}: {said}", "ask the site")
        text = f"job {job} ended as {state}, and nothing that it wrote below {self.folder} is seen here"
        return Finding("shared", FAIL, text, "set `workdir` in lab.yaml to a folder that login and compute nodes share")

    def _told(self, job: str, seen: Report, submitted: int) -> Iterator[Finding]:
        yield Finding("probe job", OK, f"job {job} ran on {seen.get('node')}")
        lacking = [name for name, tool in (("hard links", "link"), ("flock", "flock")) if not seen.works(tool)]
        if seen.works("write"):
            but = f"; {' and '.join(lacking)} do not work there" if lacking else "; hard links and flock work there"
            yield Finding(
                "shared", WARN if lacking else OK, f"{seen.get('node')} reads and writes the lab's folder{but}"
            )
        else:
            yield Finding(
                "shared", FAIL, f"{seen.get('node')} sees the lab's folder and cannot write there", "ask the site"
            )
        yield bash(seen, "node bash")
        yield from extras(seen, secrets=self.secrets, sure=True)
        yield _clock(seen, submitted)


def _clock(seen: Report, submitted: int) -> Finding:
    """Its report was written after the submission and before it was seen; a clock that says otherwise is off."""
    wrote, *_, now = [whole(text) or 0 for text in seen.all("now")]
    off = max(submitted - wrote, wrote - now, 0)
    if off > _SKEW:
        side = "behind" if wrote < submitted else "ahead of"
        return Finding(
            "node clock",
            WARN,
            f"at least {off} s {side} the login node's",
            "ask the site for NTP: times of jobs would be wrong",
        )
    return Finding("node clock", OK, "agrees with the login node's")
