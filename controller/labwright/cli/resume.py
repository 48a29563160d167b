"""`lab resume`: submit again what waited."""

from labwright.cli.shell import JsonOption, RepoOption
from labwright.cli.suspend import ProviderArgument
from labwright.settings import find_place


def resume(provider: ProviderArgument = None, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Take `lab suspend` back: what waited is submitted."""
    from labwright.cli.asking import Wish, ask, report
    from labwright.domain.job import ActKind

    place = find_place(repo)
    report(place, ask(place, [Wish(ActKind.RESUME, provider or "")]), as_json=as_json)
