"""`lab serve`: the controller."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from labwright.cli.shell import REFUSED, UNAVAILABLE, RepoOption
from labwright.cli.terminal import say
from labwright.settings import Place, find_place

if TYPE_CHECKING:
    from labwright.wiring import Site


def serve(
    repo: RepoOption = None,
    once: Annotated[bool, typer.Option("--once", help="Reconcile until nothing is left to do, then exit")] = False,
    launch_existing: Annotated[
        bool, typer.Option("--launch-existing", help="Launch what was there at first sight, too")
    ] = False,
    poll: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Between looks at a remote repository")
    ] = 15.0,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Take a forge's deliveries (webhooks) at http://HOST:PORT/hooks"),
    ] = None,
    log_format: Annotated[
        Literal["auto", "human", "json"], typer.Option(help="auto: human on a terminal, JSON lines elsewhere")
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only")] = False,
) -> None:
    """Watch a lab repository and run what its commits call for. Stopping it leaves running jobs alone."""
    from labwright.cli.logging import configure, is_human
    from labwright.cli.rebuild import restore_if_new
    from labwright.cli.served import Before, summary
    from labwright.control.overrides import TEMPLATES
    from labwright.control.settings import LAB_FILE
    from labwright.control.world import Options
    from labwright.wiring import open_site

    configure(log_format, quiet=quiet)
    human = is_human(log_format)
    where = find_place(repo)
    restore_if_new(where)
    site = open_site(where, Options(launch_existing=launch_existing, poll_seconds=poll), listen=listen)
    before = Before.of(site)
    try:
        _handle_signals(site)
        if not quiet:
            _introduce(site, human=human, once=once)
        site.controller.run(once=once)
        if once and not quiet:
            summary(site, before, as_log=log_format == "json")
        unreachable = once and not (site.controller.intake.fetched and not site.controller.launcher.submitter.stranded)
        refused = once and not site.world.alarms.on.keys().isdisjoint((LAB_FILE, TEMPLATES))
    finally:
        site.close()
    if refused:
        raise typer.Exit(REFUSED)
    if unreachable:
        raise typer.Exit(UNAVAILABLE)


def _introduce(site: "Site", *, human: bool, once: bool) -> None:
    place, branches = site.place, _branches(site)
    if not human:
        about: dict[str, Any] = {
            "repo": place.repo,
            "state": str(place.state),
            "branches": branches,
            "pid": os.getpid(),
        }
        site.world.log.info("serving", **about)
        return
    watching = ", ".join(branches) if branches else "the branches that lab.yaml names"
    say(f"repository  {place.repo} ({watching})", err=True)
    say(f"state       {place.state}", err=True)
    if not once:
        say("see         `lab status`, `lab logs -f JOB`, `lab sql`", err=True)
        say("stop        Ctrl-C: running jobs go on, and the next `lab serve` takes them up", err=True)


def _branches(site: "Site") -> Sequence[str]:
    """Globs of what is watched, as far as that is known before the first fetch."""
    from labwright.domain.errors import LabError

    lab = site.world.lab
    if lab is None:
        try:
            lab = _lab_here(site.place)
        except LabError:
            return ()
    return lab.watch.branches if lab else ()


def _lab_here(place: Place) -> Any:
    from labwright.cli.drafting import lab_of
    from labwright.settings import is_url
    from labwright.wiring import reading

    if is_url(place.repo):
        return None
    with reading(place) as (repo, tips):
        default = repo.default_branch()
        return lab_of(repo, repo.snapshot(tips[default])) if default in tips else None


def _handle_signals(site: "Site") -> None:
    asked = 0

    def stop(number: int, _frame: object) -> None:
        nonlocal asked
        asked += 1
        if asked > 1 and number == signal.SIGINT:
            os._exit(130)  # somebody does not want to wait for a hanging remote
        _write(
            "lab: stopping; running jobs go on" + (" (Ctrl-C again: at once)\n" if number == signal.SIGINT else "\n")
        )
        site.controller.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _write(text: str) -> None:
    """Of a signal handler: it may have interrupted a write of the same stream."""
    try:
        os.write(sys.stderr.fileno(), text.encode())
    except (OSError, ValueError):
        return
