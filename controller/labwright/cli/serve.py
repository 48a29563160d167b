"""`lab serve`: the controller."""

import signal
from typing import Annotated

import typer

from labwright.control.world import Options
from labwright.settings import find_place


def serve(
    repo: Annotated[
        str | None, typer.Option(help="URL or path of the lab repository (default: the one around here)")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Reconcile until nothing is left to do, then exit")] = False,
    launch_existing: Annotated[
        bool, typer.Option("--launch-existing", help="Launch what is there at first sight, too")
    ] = False,
) -> None:
    """Watch a lab repository and run what its commits call for."""
    from labwright.wiring import open_site

    site = open_site(find_place(repo), Options(launch_existing=launch_existing))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: site.controller.stop())
    try:
        site.controller.run(once=once)
    finally:
        site.close()
