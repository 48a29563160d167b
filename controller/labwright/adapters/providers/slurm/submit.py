"""From submissions to jobs in Slurm's queue: what they need is brought over once per content, then all batches in one call."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from labwright.adapters.providers.local import stage
from labwright.adapters.providers.local.spool import Spool
from labwright.adapters.providers.slurm.batch import (
    Batch,
    Group,
    certain,
    groups,
    make_key,
    token_list,
    trial_files,
    trials_tar,
)
from labwright.adapters.providers.slurm.bring import bring
from labwright.adapters.providers.slurm.desk import Desk, joined
from labwright.adapters.providers.slurm.facts import Facts
from labwright.adapters.providers.slurm.handles import Known, parse
from labwright.adapters.providers.slurm.scheduler import Sbatch, Scheduler, Verdict
from labwright.adapters.providers.slurm.scripts import Goods, Writer, gather
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.ids import Handle, Token, parse_token
from labwright.domain.slurm import Account, SlurmProvider
from labwright.ports.clock import Clock
from labwright.ports.provider import ReadBlobs, Submission


@dataclass(frozen=True, slots=True)
class Person:
    """Whose jobs they are: the provider's own user, or one of `users`."""

    name: str  # in handles; empty for the provider's own
    desk: Desk
    account: Account | None = None


@dataclass
class Submitter:
    spool: Spool  # on the controller's machine: bundles and sources on their way
    settings: SlurmProvider
    read_blobs: ReadBlobs
    clock: Clock
    sdk: Path | None
    templates: Mapping[str, str]
    rest: Scheduler | None = None  # for the provider's own user, in the place of sbatch
    made: int = 0
    calls: int = field(default=0)  # of sbatch

    def find(self, person: Person, tokens: Sequence[Token]) -> Mapping[Token, Handle | OutcomeUnknown]:
        """Those that are there, and those of which nobody can say yet."""
        known = [token for token in tokens if parse_token(token)]
        if not known:
            return {}
        answer = person.desk.call(
            "find_tokens", round(self.settings.submit_timeout_s), stdin=joined(known), timeout=180
        )
        found: dict[Token, Handle | OutcomeUnknown] = {}
        for line in answer.decode(errors="replace").splitlines():
            token, name, place, job = line.split("\t")
            if job.isdigit():
                found[Token(token)] = handle_of(Token(token), job, name, int(place), person.name)
            elif job == "?" and Token(token) not in found:
                found[Token(token)] = OutcomeUnknown(f"sbatch of {token} may still be under way")
        return found

    def submit(self, person: Person, submissions: Sequence[Submission], facts: Facts) -> dict[Token, Handle | LabError]:
        found = self.find(person, [submission.token for submission in submissions])
        answers: dict[Token, Handle | LabError] = dict(found)
        left = list(groups([s for s in submissions if s.token not in found], facts.array_max(self.settings)))
        while left:
            batches = self._batches(person, left, facts, answers)
            if batches:
                answers.update(self._send(person, batches))
            left = [half for batch in batches if (half := _half(batch.group, answers)) is not None]
        return answers

    # what a batch is made of

    def _batches(
        self, person: Person, wanted: Sequence[Group], facts: Facts, answers: dict[Token, Handle | LabError]
    ) -> list[Batch]:
        """Of groups that cannot be made batches, `answers` say why."""
        gathered: list[tuple[Group, Goods]] = []
        for group in wanted:
            with self._answering(group, answers):
                gathered.append((group, self._gather(person, group)))
        failed = bring(person.desk, {name: path for _, goods in gathered for name, path in goods.bring.items()})
        made: list[Batch] = []
        for group, goods in gathered:
            with self._answering(group, answers):
                for name in failed.keys() & goods.bring.keys():
                    raise failed[name]
                made.append(self._batch(person, group, goods, facts))
        return made

    @contextmanager
    def _answering(self, group: Group, answers: dict[Token, Handle | LabError]) -> Iterator[None]:
        try:
            yield
        except LabError as error:
            answers.update(dict.fromkeys((s.token for s in group.members), error))
        except OSError as error:
            why = Unavailable(f"{self.spool.root}: {error}", hint="nothing was started")
            answers.update(dict.fromkeys((s.token for s in group.members), why))

    def _gather(self, person: Person, group: Group) -> Goods:
        """Raises Refused for what cannot be, Unavailable and OSError for what may pass."""
        for submission in group.members:
            certain(submission.token)
        site, first = person.desk.site(), group.first
        return gather(self.spool, first, self.read_blobs, self.sdk, site.root, uv_there=site.uv, platform=site.platform)

    def _batch(self, person: Person, group: Group, goods: Goods, facts: Facts) -> Batch:
        root, key = person.desk.site().root, make_key(group)
        trials = [
            trial_files(
                s, self.settings, root, goods.sdk, folders=self._needed(person, s), resume=self._resume(person, s)
            )
            for s in group.members
        ]
        if goods.source:
            for files, _ in trials:
                files["source.json"] = _json(goods.source.record)
        self.made += 1
        at = sha256(f"{group.job} {self.clock.now().isoformat()} {self.made}".encode()).hexdigest()[:8]
        name = f"{group.job}.{at}"
        files = Writer(self.settings, self.templates, root, person.account, facts).scripts(group, goods, name)
        files |= {"tokens": token_list(group), "name": group.job.encode(), "trials.tar": trials_tar(trials, key)}
        return Batch(name, group, files, key)

    def _needed(self, person: Person, submission: Submission) -> dict[str, str]:
        folders = {}
        for task_path, handles in submission.needs.items():
            stage.check(task_path)
            for handle in handles:
                folders[f"{task_path}/{job_of(handle)}"] = f"{self._folder(person, handle)}/artifacts"
        return folders

    def _resume(self, person: Person, submission: Submission) -> str:
        return f"{self._folder(person, submission.resume_from)}/checkpoints" if submission.resume_from else ""

    def _folder(self, person: Person, handle: Handle) -> str:
        known = parse(handle)
        if known is None:
            raise Refused(f"{handle} is no job of this cluster", hint="run what is needed here as well")
        return f"{person.desk.site().root}/jobs/{known.token}"

    def _send(self, person: Person, batches: Sequence[Batch]) -> dict[Token, Handle | LabError]:
        scheduler = self.rest if self.rest and not person.name else Sbatch(self.settings.submit_timeout_s)
        self.calls += len(batches)
        try:
            verdicts = scheduler.submit(person.desk, batches)
        except OutcomeUnknown as error:
            unknown = OutcomeUnknown(f"the login node did not say what became of sbatch: {error}")
            return {s.token: unknown for b in batches for s in b.group.members}
        except LabError as error:
            return {s.token: error for b in batches for s in b.group.members}
        return self._answers(person, batches, verdicts)

    def _answers(
        self, person: Person, batches: Sequence[Batch], verdicts: Mapping[str, Verdict]
    ) -> dict[Token, Handle | LabError]:
        answers: dict[Token, Handle | LabError] = {}
        refused = []
        for batch in batches:
            verdict = verdicts.get(batch.name, OutcomeUnknown("the login node's answer was cut short"))
            if isinstance(verdict, Refused | Unavailable):
                refused.append(batch.name)
            for place, submission in enumerate(batch.group.members):
                token = submission.token
                if isinstance(verdict, LabError):
                    answers[token] = verdict
                else:
                    answers[token] = handle_of(token, verdict, batch.name, place, person.name)
        if refused:
            person.desk.call("refuse", stdin=joined(refused))
        return answers


def _half(group: Group, answers: Mapping[Token, Handle | LabError]) -> Group | None:
    """Of an array that a limit on jobs did not let in: what is tried at once instead, for a smaller one may have room."""
    answer = answers[group.first.token]
    if (
        len(group.members) <= group.pack
        or not isinstance(answer, Unavailable)
        or not answer.message.startswith(("sbatch:", "slurmrestd:"))
    ):
        return None
    size = max(1, group.elements // 2) * group.pack
    return replace(group, members=group.members[:size])


def handle_of(token: Token, job: str, batch: str, place: int, user: str) -> Handle:
    """Of a batch found on the cluster: its name tells whether it is an array, and how many trials share an element."""
    shape = re.fullmatch(r".*-a(?P<size>[0-9]+)(p(?P<pack>[0-9]+))?\.[0-9a-f]+", batch)
    size, pack = (int(shape["size"]), int(shape["pack"] or 1)) if shape else (1, 1)
    element, slot = divmod(place, pack)
    index = element if size > pack else None
    return Known(token, job, index, user, slot, min(pack, size - element * pack)).handle


def job_of(handle: Handle) -> str:
    """The job id in a handle's token: the folder's name below needs/."""
    parsed = parse_token(handle.partition("@")[0])
    return parsed[1] if parsed else handle


def _json(value: Mapping[str, str]) -> bytes:
    import json

    return json.dumps(dict(value), ensure_ascii=False).encode()
