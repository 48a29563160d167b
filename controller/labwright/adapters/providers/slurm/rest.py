"""Submission through slurmrestd. Files go the way of the transport: batches are laid down and claimed there first, and ids are
written beside them after, so that whatever is lost between is settled as with sbatch: by the job's name in the queue."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labwright.adapters.providers.slurm import rest_api, rest_job
from labwright.adapters.providers.slurm.batch import Batch, packed
from labwright.adapters.providers.slurm.desk import Desk, joined
from labwright.adapters.providers.slurm.rest_api import Answer, Door, GetToken
from labwright.adapters.providers.slurm.scheduler import Verdict, verdict_of
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.slurm import Rest
from labwright.ports.clock import Clock

_BY = "slurmrestd"
_NOT_TAKEN = (400, 405, 411, 413, 415)  # what HTTP itself says before a request reaches anybody
_LIMIT = "violates accounting/QOS policy"  # where sbatch says which limit


@dataclass(frozen=True, slots=True)
class Slurmrestd:
    """A Scheduler."""

    rest: Rest
    get_token: GetToken | None
    clock: Clock
    patience: float  # seconds for one answer, and until which the last of many batches is sent

    def submit(self, desk: Desk, batches: Sequence[Batch]) -> Mapping[str, Verdict]:
        """Raises Unavailable and Refused where nothing was sent."""
        user, now = desk.site().user, self.clock.now().timestamp()
        door = rest_api.opened(self.rest, user, self.get_token, now, self.patience)
        door.reach()
        verdicts: dict[str, Verdict] = {}
        for batch in batches:
            try:
                rest_job.body(_script(batch), self.rest.version, {})
            except Refused as error:
                verdicts[batch.name] = error
        laid = [batch for batch in batches if batch.name not in verdicts]
        claimed, environment = self._lay(desk, laid)
        until, sent = time.monotonic() + self.patience, []
        for batch in laid:
            if batch.name not in claimed:
                verdicts[batch.name] = OutcomeUnknown(f"{batch.name} is somebody else's to submit")
            elif time.monotonic() > until:  # a look-up counts from its claim how long a submission may be under way
                verdicts[batch.name] = Unavailable(f"{_BY} is slow: others went first", retry_in=5)
            else:
                try:
                    verdicts[batch.name] = self._posted(door, batch, environment)
                    sent.append(batch)
                except Unavailable as error:
                    verdicts[batch.name] = error
        verdicts |= self._settled(desk, door, sent, verdicts)
        return verdicts

    def _lay(self, desk: Desk, batches: Sequence[Batch]) -> tuple[frozenset[str], Mapping[str, str]]:
        """Names of those that are ours to submit, and the environment that sbatch would hand on there."""
        if not batches:
            return frozenset(), {}
        head = "".join(f"{b.name} {b.group.job} -\n" for b in batches) + "\n"
        try:
            answer = desk.call("lay", stdin=head.encode() + packed(batches), timeout=60 + len(batches))
        except OutcomeUnknown as error:
            raise Unavailable(f"nothing was submitted: {error}") from error
        names, _, pairs = answer.decode(errors="replace").partition("\n\n")
        split = (pair.partition("=") for pair in pairs.split("\0") if "=" in pair)
        return frozenset(names.split("\n")), {name: text for name, _, text in split}

    def _posted(self, door: Door, batch: Batch, environment: Mapping[str, str]) -> Verdict:
        """Raises Unavailable where it was not sent."""
        key = {"LAB_UNLOCK": batch.key} if batch.key else {}
        try:
            answer = door.submit(rest_job.body(_script(batch), self.rest.version, {**environment, **key}))
        except OutcomeUnknown as error:
            return error
        return verdict(answer, self.rest, door.user)

    def _settled(
        self, desk: Desk, door: Door, batches: Sequence[Batch], said: Mapping[str, Verdict]
    ) -> dict[str, Verdict]:
        """Ids are written down; what has none is looked up, for slurmrestd may say no of a job that Slurm took."""
        ids = {b.name: job if isinstance(job := said[b.name], str) else "-" for b in batches}
        if not ids:
            return {}
        try:
            answer = desk.call("settle", stdin=joined([f"{b.name} {b.group.job} {ids[b.name]}" for b in batches]))
        except LabError as error:
            lost = OutcomeUnknown(f"the login node did not say whether Slurm has it: {error}")
            return {name: lost for name, job in ids.items() if job == "-"}
        there = dict(line.split("\t") for line in answer.decode(errors="replace").splitlines() if "\t" in line)
        settled: dict[str, Verdict] = {name: job for name, job in there.items() if job.isdigit() and name in ids}
        for name, job in ids.items():
            if name in settled or job != "-":
                continue
            if there.get(name) != "-":
                settled[name] = OutcomeUnknown(f"Slurm does not say whether it has {name}: {said[name]}")
            elif isinstance(said[name], OutcomeUnknown) and self._is_stranger(door):
                settled[name] = rest_api.not_trusted(self.rest, door.user, "it closes the connection")
        return settled

    def _is_stranger(self, door: Door) -> bool:
        """slurmctld answers squeue, but not us: up to 23.02 a wrong token looks like a broken connection."""
        try:
            return bool(door.token) and not door.trusted()
        except Unavailable:
            return False


def verdict(answer: Answer, rest: Rest, user: str) -> Verdict:
    """Of an answer to job/submit."""
    if answer.job:
        return answer.job
    words = answer.words or f"HTTP status {answer.status}"
    if not rest_api.is_trusted(answer):
        return rest_api.not_trusted(rest, user, words)
    if answer.status == 404:
        return Refused(
            f"{_BY} at {rest.url} has no API {rest.version}: {words}", hint="correct `rest.version` in lab.yaml"
        )
    if _LIMIT in words:
        hint = "it is tried again; slurmrestd does not tell a queue that is full from a job that is too large"
        return Unavailable(f"{_BY}: {words}", hint=hint, retry_in=30)
    if answer.status < 400 or (answer.status not in _NOT_TAKEN and not answer.of_slurm):  # of a proxy, or of nobody
        return OutcomeUnknown(f"{_BY} did not say what became of the job: {words}")
    return verdict_of("1", "", words, by=_BY)


def _script(batch: Batch) -> str:
    return batch.files["job.sh"].decode()
