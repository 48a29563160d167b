"""`lab doctor PROVIDER`: one provider, thoroughly; and in short what `lab doctor` says of a cluster."""

from collections.abc import Iterator
from dataclasses import replace

from labwright.cli.drafting import lab_of
from labwright.cli.finding import FAIL, OK, WARN, Finding, told
from labwright.cli.tables import several
from labwright.cli.terminal import clean
from labwright.domain.errors import LabError, Refused
from labwright.domain.lab import Lab
from labwright.domain.slurm import SlurmProvider
from labwright.settings import Place
from labwright.wiring import examine, reading


def cluster_findings(of: Place, name: str, *, submit: bool = False) -> Iterator[Finding]:
    """As lab.yaml on the default branch has the provider. Raises Refused for one that is no cluster."""
    try:
        with reading(of) as (repo, tips):
            default = repo.default_branch()
            if default not in tips:
                raise Refused("the repository has no commit yet", hint="`lab init` writes a first lab; then commit")
            lab = lab_of(repo, repo.snapshot(tips[default]))
    except LabError as error:
        yield told("lab.yaml", error)
        return
    found = next((known for known in lab.providers if known.lower() == name.lower()), None)
    if found is None:
        raise Refused(f"lab.yaml has no provider {clean(name)}", hint=f"it has: {', '.join(lab.providers)}")
    yield from examine(of, lab, found, submit=submit)


def in_short(of: Place, lab: Lab, name: str) -> Iterator[Finding]:
    """What fails, and one line of the rest."""
    what, warned, said = f"provider {name}", 0, {}
    failed = False
    for finding in examine(of, lab, name):
        said[finding.check] = finding.text
        warned += finding.result == WARN
        if finding.result == FAIL:
            failed = True
            yield replace(finding, check=f"{what}: {finding.check}")
    if not failed:
        more = f"; {several(warned, 'warning')}" if warned else ""
        text = f"slurm, {said.get('version', '')}, {said.get('login', '')}{more}"
        yield Finding(what, OK, text, f"`lab doctor {name}` says all" if warned else "")


def is_cluster(lab: Lab, name: str) -> bool:
    return isinstance(lab.providers[name], SlurmProvider)
