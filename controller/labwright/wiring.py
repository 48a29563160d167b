"""Builds the parts of a controller; the only importer of adapters. Everything is imported where it is used: a command that only
looks starts at once."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.domain.errors import Refused, Unavailable
from labwright.settings import Place, is_url

if TYPE_CHECKING:
    from labwright.adapters.records.from_results import Loaded
    from labwright.adapters.transports.login import Login
    from labwright.control.loop import Controller
    from labwright.control.masks import Masks
    from labwright.control.world import Options, World
    from labwright.domain.finding import Finding
    from labwright.domain.lab import Lab
    from labwright.domain.slurm import Account, SlurmProvider
    from labwright.ports.artifacts import ArtifactStore
    from labwright.ports.clock import Clock
    from labwright.ports.forge import Forge
    from labwright.ports.ledger import Lease, Ledger
    from labwright.ports.provider import Provider, Submission
    from labwright.ports.records import Records
    from labwright.ports.repo import Repo, ResultsBranch
    from labwright.ports.transport import Transport
    from labwright.web.listen import Listener

RESULTS_BRANCH = "lab-results"


def open_clock() -> Clock:
    from labwright.adapters.clock import SystemClock

    return SystemClock()


def open_ledger(place: Place, *, read_only: bool = False) -> Ledger:
    from labwright.adapters.ledgers.sql.ledger import SqlLedger

    return SqlLedger.open(place.ledger, read_only=read_only)


def copy_ledger(place: Place, to: Path) -> None:
    """A whole copy, even while others write."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(place.ledger)) as ledger, closing(sqlite3.connect(to)) as copy:
        ledger.backup(copy)


def open_repo(place: Place, results_branch: str = RESULTS_BRANCH) -> Repo:
    from labwright.adapters.repos.git.mirror import GitRepo

    return GitRepo(place.repo, place.mirror, results_branch=results_branch)


@contextmanager
def reading(place: Place) -> Iterator[tuple[Repo, Mapping[str, str]]]:
    """The repository for a look, and its tips: a local one where it lies, another out of the controller's mirror as of its
    last fetch (or fetched for this once). Nothing is written into the state."""
    from labwright.adapters.repos.git.mirror import GitRepo
    from labwright.adapters.repos.git.remotes import parse_remote

    known = parse_remote(place.repo).path is None and place.mirror.exists()
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        mirror = place.mirror if known else Path(folder) / "mirror.git"
        repo = GitRepo(place.repo, mirror, settle_after=None)
        try:
            yield repo, repo.tips() if known else repo.fetch()
        finally:
            repo.close()


def init_files() -> Mapping[str, bytes]:
    """What `lab init` puts into a new lab, by path."""
    from labwright.adapters import templates

    return templates.find_all("init")


def open_records(place: Place | None, *, read_only: bool = False) -> Records:
    """None: in memory. Raises Unavailable while a controller holds the file. A writer waits a moment for commands that look."""
    import time

    from labwright.adapters.records.duckdb.records import DuckDbRecords

    until = time.monotonic() + (0 if read_only else 5)
    while True:
        try:
            return DuckDbRecords(place.records if place else None, read_only=read_only)
        except Unavailable:
            if time.monotonic() >= until:
                raise
        time.sleep(0.05)


def open_artifacts(place: Place) -> ArtifactStore:
    """What the controller keeps of artifacts. Looking makes no folder."""
    from labwright.adapters.artifacts.folder import FolderArtifacts

    return FolderArtifacts(place.artifacts)


def open_lease(place: Place) -> Lease:
    from labwright.adapters.lease import FileLease

    return FileLease(place.state, open_clock())


def lease_holder(place: Place) -> Mapping[str, Any] | None:
    """Who runs the controller of this lab: host, pid, since. None when nobody does."""
    from labwright.adapters.lease import holder

    return holder(place.state)


def read_results(repo: str, branch: str = RESULTS_BRANCH, suffix: str = "") -> Iterator[tuple[str, bytes]]:
    """Files of the results branch of any clone, bare or not, or URL. Raises Refused when it has none."""
    from labwright.adapters.results import open_results

    return open_results(repo, suffix, branch=branch)


def published(place: Place, branch: str = RESULTS_BRANCH, suffix: str = "") -> Iterator[tuple[str, bytes]]:
    """The same, but of a URL through the mirror of its state, when there is one."""
    from labwright.adapters.results import GitResultsBranch, open_results

    if is_url(place.repo) and place.mirror.exists():
        return GitResultsBranch(place.mirror, place.repo, branch).files(suffix)
    return open_results(place.repo, suffix, branch=branch)


def push_would_work(place: Place, branch: str) -> str:
    """What a push of the results branch would do, in words. Nothing is sent. Raises LabError where it would fail."""
    from labwright.adapters.repos.git.remotes import parse_remote
    from labwright.adapters.repos.git.run import attempt, failure
    from labwright.adapters.repos.git.source import find_source

    remote = parse_remote(place.repo)
    git_dir = find_source(remote).git_dir if remote.path else place.mirror
    names = (f"refs/heads/{branch}", "refs/lab/results", "HEAD", "refs/heads/main")
    found = (attempt(git_dir, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") for name in names)
    tip = next((done.stdout.decode().strip() for done in found if done.returncode == 0), "")
    if not tip:
        return "cannot be tried before the first commit was fetched"
    done = attempt(
        git_dir, "push", "--dry-run", "--no-verify", "--", remote.url, f"{tip}:refs/heads/{branch}", remote=remote
    )
    if done.returncode and b"non-fast-forward" not in done.stderr and b"fetch first" not in done.stderr:
        raise failure("push", done.stderr, remote)
    return "does not exist yet and can be pushed" if b"[new branch]" in done.stderr else "can be pushed"


def load_results(files: Iterator[tuple[str, bytes]], records: Records) -> Loaded:
    from labwright.adapters.records.from_results import load

    return load(files, records)


def make_results(place: Place, lab: Lab) -> ResultsBranch | None:
    from labwright.adapters.results.branch import GitResultsBranch

    if not lab.results.push:
        return None
    return GitResultsBranch(place.mirror, place.repo, lab.results.branch, signing_key=lab.results.signing_key)


def make_forge(place: Place, lab: Lab, masks: Masks | None = None) -> Forge | None:
    """None where lab.yaml names none. Nothing is sent before the first call. Raises Refused for settings that lead nowhere."""
    settings = lab.forge
    if settings is None:
        return None
    if settings.type != "git":
        from labwright.adapters.forges.hosted import open_hosted

        return open_hosted(settings, lambda reference: _secret(lab, reference, masks), open_clock())
    from labwright.adapters.forges.git import OURS, open_forge
    from labwright.adapters.results.branch import GitResultsBranch as Branch

    key = lab.results.signing_key
    return open_forge(place, lab, lambda at: Branch(at, place.repo, OURS, signing_key=key), open_clock())


def _secret(lab: Lab, reference: str, masks: Masks | None) -> Callable[[], str]:
    """Asked anew for each call: a token that was replaced counts at once. `masks` learn what it is."""
    from labwright.control.secrets import resolve
    from labwright.domain.lab_forge import secret_of

    name, ask = secret_of(reference), masks.resolve if masks else resolve
    return lambda: ask([name], lab.secrets)[name]


def shipped_templates() -> Mapping[str, str]:
    """What a lab repository may have its own of: texts by name."""
    from labwright.adapters import templates

    return templates.shipped()


def make_provider(
    place: Place,
    repo: Repo,
    clock: Clock,
    name: str,
    lab: Lab,
    templates: Mapping[str, str] | None = None,
    *,
    told: Path | None = None,
) -> Provider | None:
    """`templates` are the lab repository's own, by name. With `told`, a provider's folder, one that is elsewhere says what it
    answered there and is not asked. None for a type that this version does not have: tasks that name it are refused with its
    name."""
    from labwright.domain.lab import LocalProvider
    from labwright.domain.slurm import SlurmProvider

    settings = lab.providers.get(name)
    if isinstance(settings, LocalProvider):
        from labwright.adapters.providers.local import LocalProvider as Local

        return Local(name, place.spool(name), settings, repo.read, clock, sdk=sdk_folder(), lab_templates=templates)
    if isinstance(settings, SlurmProvider):
        from labwright.adapters.providers.slurm import Ours
        from labwright.adapters.providers.slurm import SlurmProvider as Slurm

        ours = Ours(
            place.spool(name), lab.name, place.repo, sdk_folder(), templates or {}, told, _rest_token(settings, lab)
        )
        return Slurm(name, settings, ours, repo.read, clock, lambda account: open_transport(settings, account))
    return None


def _rest_token(settings: SlurmProvider, lab: Lab) -> Callable[[], str] | None:
    """Asked anew for each submission: such tokens do not last."""
    from labwright.control.secrets import resolve
    from labwright.domain.secrets import references, substitute

    if not settings.rest or not settings.rest.token:
        return None
    text = settings.rest.token
    return lambda: substitute(text, resolve(references(text), lab.secrets))


def open_transport(settings: SlurmProvider, account: Account | None = None) -> Transport:
    """The way to a cluster's login node, as its provider's user or as one of `users`. Nothing is sent before the first call."""
    from labwright.adapters.transports.fabric import FabricTransport
    from labwright.adapters.transports.local import LocalTransport
    from labwright.adapters.transports.openssh import OpenSshTransport

    if (login := _login(settings, account)) is None:
        return LocalTransport()
    return OpenSshTransport(login) if settings.transport == "openssh" else FabricTransport(login)


def _login(settings: SlurmProvider, account: Account | None) -> Login | None:
    """None: the controller runs on the login node."""
    from labwright.adapters.transports.login import Login

    if settings.host is None:
        return None
    return Login(
        settings.host,
        user=(account.user if account else settings.user) or "",
        port=settings.port or 0,
        key_file=(account and account.ssh_key) or settings.ssh_key or "",
        host_key=settings.host_key or "",
    )


def examine(place: Place, lab: Lab, name: str, *, submit: bool = False) -> Iterator[Finding]:
    """What keeps a controller from a cluster of lab.yaml, and what that might say better, as it is found. Nothing that is made
    there stays; with `submit` a job of a minute looks at a node."""
    from labwright.adapters.providers.slurm.examine import Examination
    from labwright.domain.finding import FAIL
    from labwright.domain.secrets import references
    from labwright.domain.slurm import SlurmProvider

    settings = lab.providers[name]
    if not isinstance(settings, SlurmProvider):
        raise Refused(f"provider {name} is no cluster", hint="`lab doctor` looks at all providers")
    secrets = bool(lab.secrets or references(settings.env))
    clock, owner = open_clock(), place.repo if place.used else ""
    for account in (None, *settings.users.values()):
        transport, good = open_transport(settings, account), True
        token = _rest_token(settings, lab)
        inside = Examination(transport, settings, account, lab.name, owner, secrets, clock, token)
        try:
            for found in _way_to(settings, account, transport, clock):
                good &= found.result != FAIL
                yield _of(account, found)
            for found in inside.findings(submit=submit and account is None) if good else ():
                yield _of(account, found)
        finally:
            transport.close()


def _of(account: Account | None, found: Finding) -> Finding:
    return replace(found, check=f"{account.user}: {found.check}") if account else found


def _way_to(settings: SlurmProvider, account: Account | None, transport: Transport, clock: Clock) -> Iterator[Finding]:
    from labwright.adapters.transports import examine

    if login := _login(settings, account):
        with_ssh = settings.transport == "openssh"
        return examine.examine(login, transport, clock, with_ssh=with_ssh, known_host=account is not None)
    return iter([examine.entered(transport, "this machine")])


@contextmanager
def judges(
    place: Place, repo: Repo, lab: Lab, templates: Mapping[str, str] | None = None
) -> Iterator[Mapping[str, Provider]]:
    """The lab's providers as far as it takes to ask what they cannot honour, without a word over the network. Their folders
    are thrown away again; they lie on the state's own file system, so that its size is judged by what the controller will
    have."""
    above = next(folder for folder in (place.state, *place.state.parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".lab-", dir=above if os.access(above, os.W_OK) else None) as folder:
        there, clock = Place(place.repo, Path(folder)), open_clock()
        made = {
            name: make_provider(there, repo, clock, name, lab, templates, told=place.spool(name))
            for name in lab.providers
        }
        yield {name: provider for name, provider in made.items() if provider is not None}


def preview(
    place: Place,
    repo: Repo,
    lab: Lab,
    name: str,
    submissions: Sequence[Submission],
    number: int,
    templates: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Files and variables with which one of the submissions, all made together, would start. Offline: what github_repo_url
    names is left out, and artifacts of `needs` are not there."""
    from labwright.adapters.providers.local.preview import preview as preview_local
    from labwright.adapters.providers.slurm.preview import preview as preview_slurm
    from labwright.domain.lab import LocalProvider
    from labwright.domain.slurm import SlurmProvider

    settings = lab.providers[name]
    offline = [replace(s, task=s.task.model_copy(update={"github_repo_url": None}), needs={}) for s in submissions]
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        how: dict[str, Any] = {"sdk": sdk_folder(), "templates": templates, "folder": Path(folder)}
        if isinstance(settings, LocalProvider):
            spool = place.spool(name).absolute()
            return preview_local(offline[number], settings, repo.read, spool=spool, **how)
        if isinstance(settings, SlurmProvider):
            return preview_slurm(offline, number, settings, lab.name, repo.read, **how)
    raise Refused(f"provider {name} has no such files", hint="--provider names another one")


def sdk_folder() -> Path | None:
    """Where the `lab` package that jobs import lies; found, never imported."""
    spec = importlib.util.find_spec("lab")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) if folders else None


@dataclass
class Site:
    """A controller with all that it holds open."""

    place: Place
    world: World
    controller: Controller
    lease: Any
    closing: list[Any]

    def close(self) -> None:
        self.controller.close()
        for provider in self.world.providers.values():
            provider.close()
        if self.world.forge is not None:
            self.world.forge.close()
        for thing in self.closing:
            thing.close()
        self.world.records.close()
        self.world.book.ledger.close()
        self.lease.release()


def open_site(place: Place, options: Options, *, listen: str | None = None) -> Site:
    """`listen`: address for a forge's deliveries. Raises Refused when another controller holds this lab, or another program
    that address."""
    from labwright.adapters.lease import FileLease
    from labwright.adapters.records.from_results import metrics_parquet
    from labwright.adapters.repos.watch import watch, watch_folder
    from labwright.control.book import Book
    from labwright.control.keep import Keeper
    from labwright.control.loop import Controller
    from labwright.control.outbox import Outbox
    from labwright.control.pages import RecordPages
    from labwright.control.world import World

    clock = open_clock()
    place.make()
    lease = FileLease(place.state, clock)
    lease.acquire()
    (place.state / "repo").write_text(place.repo + "\n", encoding="utf-8", errors="surrogateescape")
    ledger, records, repo = open_ledger(place), open_records(place), open_repo(place)
    closing: list[Any] = []
    watching: set[str] = set()

    def provide(name: str, lab: Lab, templates: Mapping[str, str]) -> Provider | None:
        provider = make_provider(place, repo, clock, name, lab, templates)
        ended = place.spool(name) / "ended"
        if provider is None or name in watching:  # the same folder for all that are made of one name
            return provider
        if watcher := watch_folder(ended, lambda: world.rouse(ended=True)):
            watching.add(name)
            closing.append(watcher)
        return provider

    world = World(
        clock=clock,
        book=Book(ledger),
        records=records,
        repo=repo,
        make_provider=provide,
        make_results=lambda lab: make_results(place, lab),
        make_forge=lambda lab: make_forge(place, lab, world.masks),
        logs=place.logs,
        options=options,
        shipped=shipped_templates(),
    )
    if not is_url(place.repo) and (watcher := watch(place.repo, lambda: world.rouse(pushed=True, hooked=True))):
        closing.append(watcher)
    keeper = Keeper(world, open_artifacts(place), place.state / "incoming")
    controller = Controller(world, Outbox(place.outbox), metrics_parquet, RecordPages(records), keeper)
    site = Site(place, world, controller, lease, closing)
    try:
        hooks = _listen(controller, listen) if listen is not None else None
        closing += [hooks] if hooks else []
        closing += _serve(place, controller, hooks)
    except Refused:
        site.close()
        raise
    return site


def _listen(controller: Controller, address: str) -> Listener:
    from labwright.domain.lab_forge import secret_of
    from labwright.web.listen import address_of, listen

    world = controller.world

    def secrets() -> Sequence[str]:
        if (lab := world.lab) is None:
            raise Unavailable("lab.yaml was not read yet")
        references = lab.forge.hook_secrets if lab.forge else ()
        return tuple(world.masks.resolve([secret_of(x) for x in references], lab.secrets).values())

    def wake(kind: str, number: int | None) -> None:
        world.rouse(pushed=kind != "pull", hooked=True)

    return listen(address_of(address), wake, secrets, world.now)


def _serve(place: Place, controller: Controller, hooks: Listener | None) -> list[Any]:
    from labwright.control.status import status
    from labwright.web.socket import serve_socket

    world = controller.world

    def told() -> dict[str, Any]:
        return status(controller) | ({"hooks": hooks.counts()} if hooks else {})

    return [serve_socket(place.socket, world.records.query, lambda: world.rouse(pushed=True), told)]
