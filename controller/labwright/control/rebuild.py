"""Ledger and records made again from what was published, what waits in the outbox, and what providers still have.

Restored jobs are final, with all that satisfies a commit (task, work digest, generation), so that nothing complete runs again."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from labwright.decide.discover import EXPERIMENTS, Tree
from labwright.decide.identity import bundle_of, bundle_text
from labwright.decide.manifest_of import parse_manifest
from labwright.domain import ids
from labwright.domain.bundle import Bundle, BundleFile
from labwright.domain.errors import LabError, Refused
from labwright.domain.ids import Digest, Handle, JobId, Token, digest
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import Outcome, State
from labwright.domain.manifest import Manifest, ManifestAttempt
from labwright.domain.task import Task
from labwright.ports.ledger import Ledger
from labwright.ports.repo import Repo

BATCH = 500
Finder = Callable[[str, Sequence[Token]], Mapping[Token, Handle | None]]
"""(provider's name, tokens) → what it knows of them; nothing of a provider that is not there."""


@dataclass(slots=True)
class Restored:
    jobs: int = 0
    known: int = 0  # were in the ledger already
    warnings: list[str] = field(default_factory=list)


def restore(ledger: Ledger, repo: Repo, files: Iterable[tuple[str, bytes]], lab: str, find: Finder) -> Restored:
    """Jobs of the manifests (path and bytes of each), into the ledger. What the ledger knows already stays as it is."""
    done, bundles = Restored(), _Bundles(repo)
    batch: list[_Remade] = []
    for path, data in files:
        try:
            batch.append(_remade(parse_manifest(data, path), bundles, done))
        except (LabError, ValueError) as error:
            done.warnings.append(f"{path}: left out: {str(error).splitlines()[0]}")
        if len(batch) >= BATCH:
            _write(ledger, batch, lab, find, done)
            batch = []
    _write(ledger, batch, lab, find, done)
    return done


@dataclass(frozen=True, slots=True)
class _Remade:
    job: Job
    attempts: Sequence[ManifestAttempt]
    contents: Mapping[Digest, str]


def _remade(manifest: Manifest, bundles: "_Bundles", done: Restored) -> _Remade:
    work = Digest(manifest.work_digest)
    if manifest.job != ids.job_id(work, manifest.task, manifest.generation):
        raise Refused(f"job {manifest.job} does not follow from its own content")
    task = Task.from_json(json.dumps(manifest.spec))
    spec = task.to_json()
    bundle = bundles.of(manifest, task)
    if bundle.digest != manifest.bundle_digest:
        done.warnings.append(f"{manifest.job}: its commit is gone, so which of its files are executable is not known")
    job = Job(
        id=JobId(manifest.job),
        task=manifest.task,
        work=work,
        generation=manifest.generation,
        parameters=manifest.parameters,
        spec=digest(spec),
        bundle=bundle.digest,
        provider=manifest.provider,
        priority=task.priority,
        commit=manifest.commit,
        branch=manifest.branch,
        author=manifest.author,
        created=manifest.created,
        state=State(manifest.state),
        reason=manifest.reason,
        updated=manifest.ended,
        needs=tuple(JobId(need) for need in manifest.needs),
        attempt=max((attempt.n for attempt in manifest.attempts), default=0),
        trial=manifest.trial,
    )
    return _Remade(job, manifest.attempts, {digest(spec): spec, bundle.digest: bundle_text(bundle)})


def _write(ledger: Ledger, batch: Sequence[_Remade], lab: str, find: Finder, done: Restored) -> None:
    with ledger.transaction():
        new = set(ledger.insert([one.job for one in batch]))
        fresh = [one for one in batch if one.job.id in new]
        for one in fresh:
            ledger.put_contents(one.contents)
        ledger.put_attempts(list(_attempts(fresh, lab, find)))
    done.jobs += len(fresh)
    done.known += len(batch) - len(fresh)


def _attempts(batch: Sequence[_Remade], lab: str, find: Finder) -> Iterator[Attempt]:
    tokens: dict[str, list[Token]] = {}
    for one in batch:
        for attempt in one.attempts:
            tokens.setdefault(attempt.provider, []).append(ids.token(lab, one.job.id, attempt.n))
    handles = {name: find(name, many) for name, many in tokens.items()}
    for one in batch:
        for attempt in one.attempts:
            token = ids.token(lab, one.job.id, attempt.n)
            yield _attempt(one.job, attempt, token, handles[attempt.provider].get(token))


def _attempt(job: Job, made: ManifestAttempt, token: Token, handle: Handle | None) -> Attempt:
    return Attempt(
        job=job.id,
        n=made.n,
        token=token,
        provider=made.provider,
        intended=made.submitted or job.created,
        handle=handle,
        submitted=made.submitted,
        started=made.started,
        running=made.running,
        ended=made.ended or job.updated or job.created,
        outcome=Outcome(made.outcome) if made.outcome in set(Outcome) and made.outcome else Outcome.LOST,
        exit_code=made.exit_code,
        signal=made.signal,
        node=made.node,
        detail=made.detail,
        collected=True,
        published=True,
    )


class _Bundles:
    """A manifest has object ids and no modes; the commit's tree has both, and the digest tells whether they are the same."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._trees: dict[str, Tree | None] = {}
        self._known: dict[str, Bundle] = {}

    def of(self, manifest: Manifest, task: Task) -> Bundle:
        wanted = manifest.bundle_digest
        if wanted not in self._known:
            candidates = [*self._of_commit(manifest, task), *_guesses(manifest)]
            self._known[wanted] = next((b for b in candidates if b.digest == wanted), candidates[-1])
        return self._known[wanted]

    def _of_commit(self, manifest: Manifest, task: Task) -> Iterator[Bundle]:
        tree = self._tree(manifest.commit)
        if tree is not None and manifest.task in tree.tasks:
            yield bundle_of(tree, tree.tasks[manifest.task], task)[0]

    def _tree(self, commit: str) -> Tree | None:
        if commit not in self._trees:
            if len(self._trees) >= 8:
                self._trees.clear()
            try:
                self._trees[commit] = Tree(self._repo.snapshot(commit))
            except LabError:
                self._trees[commit] = None
        return self._trees[commit]


def _guesses(manifest: Manifest) -> Iterator[Bundle]:
    files = tuple(BundleFile(path, "100644", oid) for path, oid in manifest.files.items())
    folder = EXPERIMENTS + manifest.task
    inside = all(path.startswith(EXPERIMENTS) for path in manifest.files) and bool(files)
    order = ("", folder) if inside else (folder, "")
    yield from (Bundle(files, where) for where in order)
