"""`lab doctor` at a cluster: everything that a controller needs there, asked for. Nothing that it makes stays."""

import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from labwright.adapters import templates
from labwright.adapters.providers.slurm import examine_login, examine_slurm, examined, rest_api
from labwright.adapters.providers.slurm import options as sbatch
from labwright.adapters.providers.slurm.examined import Report
from labwright.adapters.providers.slurm.probe import Probe
from labwright.adapters.providers.slurm.rest_api import GetToken
from labwright.domain.errors import LabError, OutcomeUnknown, Unavailable
from labwright.domain.finding import FAIL, OK, Finding, told
from labwright.domain.resources import Resources
from labwright.domain.slurm import Account, SlurmProvider
from labwright.domain.task import Task
from labwright.ports.clock import Clock
from labwright.ports.transport import Transport

_JOB = "lab-doctor"
_REST_S = 30.0
_PATIENCE = 300.0  # of one call: each of its questions has a limit of its own


@dataclass(frozen=True, slots=True)
class Examination:
    """Of one user on one cluster."""

    transport: Transport
    settings: SlurmProvider
    account: Account | None
    lab: str
    owner: str  # the lab's repository; empty where this is not known to be its controller's user
    secrets: bool  # whether any task may need them
    clock: Clock
    rest_token: GetToken | None = None

    def findings(self, *, submit: bool = False) -> Iterator[Finding]:
        """Of one of `users` only what is their own. With `submit`, a job of a minute looks at a node, too."""
        try:
            report = self._ask("look", self._root)
            if self.account is None:
                yield from examine_login.tools(report)
                if not submit:
                    yield from examine_login.extras(report, secrets=self.secrets, sure=False)
            yield from examine_login.folder(report, self.owner, submitted=submit)
            yield from examine_slurm.cluster(report, self.settings, self.account)
            yield from self._rest(report.get("user"))
            if not report.trouble("config"):
                yield from self._tried(report)
                if submit:
                    yield from self._probed(report)
        except LabError as error:
            yield told("examination", error)
        except OutcomeUnknown as error:
            yield Finding("examination", FAIL, str(error), "try again")

    @property
    def _root(self) -> str:
        return f"{(self.account and self.account.workdir) or self.settings.workdir}/{self.lab}"

    def _ask(self, *argv: str) -> Report:
        """Raises Unavailable where it says nothing."""
        ran = self.transport.run(["bash", "-s", *argv], stdin=_script(), timeout=_PATIENCE)
        report = examined.read(ran.out)
        if ran.code or not (report.lines or argv[0] == "unprobe"):
            raise Unavailable(f"bash on the login node: {ran.err.strip()[-300:] or f'exit status {ran.code}'}")
        return report

    def _rest(self, user: str) -> Iterator[Finding]:
        """Whether slurmrestd takes submissions of this user, where it is what makes them."""
        if (rest := self.settings.rest) is None:
            return
        try:
            door = rest_api.opened(rest, user, self.rest_token, self.clock.now().timestamp(), _REST_S)
            door.reach()
            if not door.trusted():
                raise rest_api.not_trusted(rest, user, "")
        except LabError as error:
            yield told("slurmrestd", error)
        else:
            yield Finding("slurmrestd", OK, f"{rest.url} takes the word of {user}, as {rest.version}")

    def _tried(self, report: Report) -> Iterator[Finding]:
        """What sbatch says to a small job with the options that lab.yaml makes."""
        for spot in (False, True) if self.settings.spot_partition else (False,):
            options = self._options(report.get("home"), report.get("home"), spot=spot)
            said = self._ask("try", *options)
            what = "sbatch, spot" if spot else "sbatch"
            words = said.get("said").removeprefix("sbatch: ") or f"exit status {said.get('code')}"
            if said.get("code") == "0":
                yield Finding(what, OK, f"takes a small job: {words}")
            else:
                mend = (
                    f"correct the provider in lab.yaml; by hand: sbatch --test-only {shlex.join(options)} --wrap=true"
                )
                yield Finding(what, FAIL, words, mend)

    def _options(self, folder: str, root: str, *, spot: bool = False) -> list[str]:
        task = Task(name=_JOB, run="true", timeout=60, resources=Resources(cpus=1, use_spot=spot))
        run = sbatch.Run(job=_JOB, folder=folder, root=root, comment=f"{_JOB} {self.lab}")
        made = {**sbatch.options(task, self.settings, self.account, run), "time": "1"}
        made.pop("requeue", None)
        made.pop("signal", None)
        return [f"--{name}={value}" if value else f"--{name}" for name, value in {**made, "no-requeue": ""}.items()]

    def _probed(self, report: Report) -> Iterator[Finding]:
        when = hashlib.sha256(self.clock.now().isoformat().encode()).hexdigest()[:8]
        folder = f"{report.get('root')}/.doctor-{when}"
        probe = Probe(self.transport, self._ask, folder, _script(), self.secrets)
        yield from probe.run(self._options(folder, folder))


def _script() -> bytes:
    return templates.find("slurm/examine.sh").encode()
