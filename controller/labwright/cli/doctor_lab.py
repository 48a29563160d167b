"""`lab doctor`: the repository, its lab.yaml, the providers that it names, the results branch."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labwright.cli.doctor_cluster import in_short, is_cluster
from labwright.cli.doctor_forge import in_short as forge_in_short
from labwright.cli.drafting import lab_of
from labwright.cli.finding import FAIL, OK, WARN, Finding, told
from labwright.control.intake import watched
from labwright.control.overrides import read_overrides
from labwright.control.secrets import resolve
from labwright.decide.provider_types import refuse_unknown
from labwright.domain.errors import Invalid, LabError
from labwright.domain.lab import Lab
from labwright.settings import Place
from labwright.wiring import judges, lease_holder, open_clock, push_would_work, reading, shipped_templates

if TYPE_CHECKING:
    from labwright.domain.snapshot import Snapshot
    from labwright.ports.provider import Provider
    from labwright.ports.repo import Repo


def lab_findings(of: Place) -> Iterator[Finding]:
    try:
        with reading(of) as (repo, tips):
            default = repo.default_branch()
            yield Finding("repository", OK, f"{of.repo}, {len(tips)} branches, default {default}")
            if default not in tips:
                yield Finding("repository", WARN, "it has no commit yet", "`lab init` writes a first lab; then commit")
                return
            yield from _of_commit(repo, tips[default])
            yield from _configured(of, repo, tips, default)
    except LabError as error:
        yield told("repository", error)


def _of_commit(repo: "Repo", commit: str) -> Iterator[Finding]:
    at = repo.commits([commit])[commit].at
    ahead = (at - open_clock().now()).total_seconds()
    if ahead > 60:
        yield Finding(
            "clock", WARN, f"the newest commit is {ahead:.0f} s in the future", "set this machine's clock: NTP"
        )


def _configured(of: Place, repo: "Repo", tips: Mapping[str, str], default: str) -> Iterator[Finding]:
    snapshot = repo.snapshot(tips[default])
    try:
        lab = lab_of(repo, snapshot)
    except Invalid as error:
        for problem in error.problems:
            yield Finding("lab.yaml", FAIL, str(problem), "correct it on the default branch; `lab check` looks again")
        return
    except LabError as error:
        yield told("lab.yaml", error)
        return
    kept = "valid" if "lab.yaml" in snapshot.entries else "there is none: every setting has its default"
    yield Finding("lab.yaml", OK, kept)
    yield from _templates(repo, snapshot)
    found = watched(tips, lab.watch.branches)
    names = ", ".join(lab.watch.branches)
    yield (
        Finding("watched", OK, ", ".join(found))
        if found
        else Finding("watched", FAIL, f"no branch matches {names}", "change watch.branches in lab.yaml")
    )
    yield from _secrets(lab)
    yield from forge_in_short(of, lab, snapshot, tips)
    with judges(of, repo, lab) as providers:
        for name in lab.providers:
            if is_cluster(lab, name):
                yield from in_short(of, lab, name)
            else:
                yield _provider(name, lab, providers.get(name))
    yield _results(of, lab)


def _templates(repo: "Repo", snapshot: "Snapshot") -> Iterator[Finding]:
    try:
        own = read_overrides(repo, snapshot, shipped_templates())
    except Invalid as error:
        for problem in error.problems:
            yield Finding("templates", FAIL, str(problem), "correct it on the default branch; `lab check` looks again")
        return
    if own:
        yield Finding("templates", OK, f"the lab's own: {', '.join(own)}")


def _secrets(lab: Lab) -> Iterator[Finding]:
    for name in lab.secrets:
        try:
            resolve([name], lab.secrets)
            yield Finding(f"secret {name}", OK, "can be had")
        except LabError as error:
            yield Finding(f"secret {name}", WARN, error.message, "set it where the controller runs")


def _provider(name: str, lab: Lab, provider: "Provider | None") -> Finding:
    kind = lab.providers[name].type
    what = f"provider {name}"
    try:
        refuse_unknown(kind)
    except LabError as error:
        return told(what, error)
    if provider is None:
        return Finding(
            what, WARN, f"type {kind} is not available in this version", "its tasks are refused, not run elsewhere"
        )
    try:
        has = provider.capacity()
    except LabError as error:
        return told(what, error)
    if has is None:
        return Finding(what, OK, f"{kind}, queues by itself")
    gpus = f"{len(has.gpus)} × {has.gpu_type or 'GPU'}" if has.gpus else "no GPU"
    return Finding(what, OK, f"{kind}: {has.cpus:g} CPUs, {has.memory_gb:.0f} GB of memory, {gpus}")


def _results(of: Place, lab: Lab) -> Finding:
    branch = lab.results.branch
    if not lab.results.push:
        return Finding("results", WARN, "results.push is false: nothing is published", "results stay on this machine")
    try:
        said = push_would_work(of, branch)
    except LabError as error:
        return told("results", error)
    running = "" if lease_holder(of) else "; `lab serve` writes it"
    return Finding("results", OK, f"{branch} {said}{running if said.startswith('does not') else ''}")
