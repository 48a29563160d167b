"""`lab status`: what goes on, from the ledger and, while it runs, the controller. Needs no server."""

from typing import Annotated

import typer

from labwright.cli.asjson import print_json
from labwright.cli.look import looking
from labwright.cli.seeing import see
from labwright.cli.shell import JsonOption, RepoOption


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep looking, once a second; q quits")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Is a controller running, what runs, what waits for whom, what ended last?"""
    if watch:
        from labwright.cli.watch import watch as keep_looking

        keep_looking(repo)
        return
    with looking(repo) as look:
        seen = see(look)
    if as_json:
        print_json(seen)
        return
    from labwright.cli.status_page import page
    from labwright.cli.tables import console

    out = console()
    out.print(page(seen, look.now, width=out.width))
