"""`lab suspend`: submit nothing new."""

from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.shell import JsonOption, RepoOption
from labwright.settings import find_place

ProviderArgument = Annotated[
    str | None, typer.Argument(metavar="PROVIDER", help="Left out: all", autocompletion=completion.providers)
]


def suspend(provider: ProviderArgument = None, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Submit nothing new to a provider, or to any. What runs goes on; what is asked for meanwhile waits."""
    from labwright.cli.asking import Wish, ask, report
    from labwright.domain.job import ActKind

    place = find_place(repo)
    report(place, ask(place, [Wish(ActKind.SUSPEND, provider or "")]), as_json=as_json)
