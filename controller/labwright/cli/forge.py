"""`lab forge`: what is to be set up at the forge, once."""

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli.asjson import print_json
from labwright.cli.shell import JsonOption, RepoOption, command
from labwright.cli.terminal import say
from labwright.domain.errors import Refused
from labwright.settings import Place, find_place

if TYPE_CHECKING:
    from labwright.domain.lab import Lab

forge = typer.Typer(no_args_is_help=True, help="Set up the forge: labels, and the hook that tells of changes.")


@forge.callback()
def _group() -> None:
    """Set up the forge: labels, and the hook that tells of changes."""


@forge.command("setup")
@command
def setup(
    hook: Annotated[
        str,
        typer.Option(metavar="URL", help="Where `lab serve --listen` is reached from the forge: make the hook, too"),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the labels that lab.yaml names and, with --hook, the hook. What is there stays; doing it twice does no harm."""
    from labwright.cli.deliveries import hook_url
    from labwright.cli.doctor_forge import labels_of

    place = find_place(repo)
    url = hook_url(hook) if hook else ""
    lab = _lab(place)
    labels = labels_of(lab)
    secret = _hook_secret(lab) if url else ""
    if not yes:
        _ask(lab, labels, url)
    done = _set_up(place, lab, labels, url, secret)
    if as_json:
        print_json(done)
        return
    for label in labels:
        say(f"{'made' if label in done['made'] else 'there already'}: the label {label}")
    if url:
        say(f"{'made, or made anew' if done['hook_changed'] else 'there already'}: the hook to {url}")
    say("`lab doctor forge` looks at the rest")


def _lab(place: Place) -> "Lab":
    """As lab.yaml on the default branch says. Raises Invalid and Refused."""
    from labwright.cli.drafting import lab_of
    from labwright.wiring import reading

    with reading(place) as (repo, tips):
        default = repo.default_branch()
        if default not in tips:
            raise Refused("the repository has no commit yet", hint="`lab init` writes a first lab; then commit")
        lab = lab_of(repo, repo.snapshot(tips[default]))
    if lab.forge is None:
        raise Refused(f"lab.yaml of {default} names no forge", hint="add `forge`, docs/spec/lab.yaml.md says how")
    if lab.forge.type == "git":
        raise Refused(
            "plain git has neither labels nor hooks: there is nothing to set up",
            hint="`lab doctor forge` looks at the rest",
        )
    return lab


def _hook_secret(lab: "Lab") -> str:
    """The first of two is the new one. Raises Refused."""
    from labwright.control.secrets import resolve
    from labwright.domain.lab_forge import secret_of

    references = lab.forge.hook_secrets if lab.forge else ()
    if not references:
        hint = 'add `hook_secrets: "{{secret.HOOK}}"` to it, docs/spec/webhooks.md says how'
        raise Refused("lab.yaml has no forge.hook_secrets: deliveries could not be told from forged ones", hint=hint)
    name = secret_of(references[0])
    value = resolve([name], lab.secrets)[name]
    if not value.strip():
        raise Refused(f"secret {name} is empty", hint="`openssl rand -hex 32` makes a good one")
    return value


def _ask(lab: "Lab", labels: Mapping[str, str], url: str) -> None:
    """Raises Refused where nobody can be asked, and Exit for a no."""
    assert lab.forge is not None  # noqa: S101  # looked at before
    hook = f" and a hook to {url}" if url else ""
    say(f"labels {', '.join(labels)}{hook} in {lab.forge.repo} at {lab.forge.address}", err=True)
    if not _is_somebody_there():
        raise Refused("this writes at the forge, and there is nobody to ask", hint="--yes says yes beforehand")
    if not typer.confirm("Make what is not there?", err=True):
        raise typer.Exit(1)


def _is_somebody_there() -> bool:
    return sys.stdin.isatty()


def _set_up(place: Place, lab: "Lab", labels: Mapping[str, str], url: str, secret: str) -> dict[str, Any]:
    from labwright.wiring import make_forge

    made = make_forge(place, lab)
    assert made is not None  # noqa: S101  # looked at before
    with closing(made):
        new = list(made.add_labels(labels))
        changed = made.add_hook(url, secret) if url else None
    return {"labels": list(labels), "made": new, "hook": url or None, "hook_changed": changed}
