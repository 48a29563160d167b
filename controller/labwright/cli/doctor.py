"""`lab doctor`: is everything here that a controller needs? Each finding says how to mend it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.deliveries import hook_url
from labwright.cli.finding import FAIL, OK, WARN, Finding
from labwright.cli.shell import NO, JsonOption, RepoOption, place
from labwright.domain.errors import Refused

if TYPE_CHECKING:
    from labwright.settings import Place

FORGE = "forge"


def doctor(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLUSTER|forge]",
            help="A cluster of lab.yaml, or its forge: everything about it",
            autocompletion=completion.doctored,
        ),
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Have a job of a minute look at a node of it, too")] = False,
    hook: Annotated[
        str, typer.Option(metavar="URL", help="`lab doctor forge`: where its deliveries are meant to go")
    ] = "",
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check git, the repository, lab.yaml, state folder, forge, providers, results branch. Exit status 1 if one fails."""
    if submit and what in (None, FORGE):
        raise Refused("--submit needs the name of a provider", hint="lab doctor PROVIDER --submit")
    if hook and what != FORGE:
        raise Refused("--hook is about the forge", hint="lab doctor forge --hook URL")
    of, found = place(repo), []
    for finding in _findings(of, what, submit=submit, hook=hook):
        found.append(finding)
        if not as_json:
            _say(finding)
    if as_json:
        print_json([asdict(finding) for finding in found])
    if any(finding.result == FAIL for finding in found):
        raise typer.Exit(NO)


def _findings(of: "Place", what: str | None, *, submit: bool, hook: str) -> Iterator[Finding]:
    from labwright.cli.doctor_cluster import cluster_findings
    from labwright.cli.doctor_forge import forge_findings

    if what is None:
        return findings(of)
    if what == FORGE:
        return forge_findings(of, hook and hook_url(hook))
    return cluster_findings(of, what, submit=submit)


def findings(of: "Place") -> Iterator[Finding]:
    """One after the other, as they are found; what one check needs of another that failed is left out."""
    from labwright.cli.doctor_lab import lab_findings
    from labwright.cli.doctor_space import space_findings
    from labwright.cli.doctor_state import state_findings

    yield git_version()
    yield from state_findings(of)
    yield from space_findings(of)
    yield from lab_findings(of)


def git_version() -> Finding:
    import re
    import subprocess

    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return Finding("git", FAIL, "git is not installed", "install git 2.34 or newer")
    found = re.search(r"(\d+)\.(\d+)", said)
    old = found is None or (int(found[1]), int(found[2])) < (2, 34)
    return Finding("git", FAIL if old else OK, said, "install git 2.34 or newer" if old else "")


def _say(finding: Finding) -> None:
    from rich.text import Text

    from labwright.cli.tables import cell, console

    mark, style = {OK: ("✓ ", "green"), WARN: ("• ", "yellow"), FAIL: ("✗ ", "bold red")}[finding.result]
    out = console()
    out.print(Text.assemble((mark, style), cell(f"{finding.check}: ", "bold"), cell(finding.text, most=1000)))
    if finding.mend:
        out.print(Text.assemble("    → ", cell(finding.mend, "cyan", most=1000)))
