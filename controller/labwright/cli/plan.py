"""`lab plan`: what a commit would launch, before anybody pushes it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli.asjson import print_json
from labwright.cli.shell import NO, JsonOption, RepoOption
from labwright.cli.terminal import say, write_table
from labwright.domain.errors import Refused
from labwright.settings import find_place, is_url, place_of

if TYPE_CHECKING:
    from labwright.cli.drafting import Draft


def plan(
    commit: Annotated[str, typer.Option(help="The commit to plan")] = "HEAD",
    base: Annotated[
        str | None, typer.Option(help="What it is compared with (default: what is planned already)")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Plan it as the tip of this branch")] = None,
    launch_existing: Annotated[
        bool, typer.Option("--launch-existing", help="As `lab serve --launch-existing`")
    ] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a commit would launch, reuse, stop or refuse. Launches nothing, and needs no controller."""
    from labwright.cli.planned import rows, say_more, to_json

    made, against = draft(commit, base, branch, repo, launch_existing=launch_existing)
    if as_json:
        print_json(to_json(made, against))
    else:
        table = rows(made)
        if table:
            columns = ("", "task", "trials", "provider", "resources", "GPU-hours", "why")
            write_table(columns, table, right=("trials", "GPU-hours"))
        for line in say_more(made, against):
            say(line)
    if made.plan.invalid or made.plan.refuse:
        raise typer.Exit(NO)


def draft(
    commit: str, base: str | None, branch: str | None, repo: str | None, *, launch_existing: bool
) -> tuple["Draft", str]:
    """The plan, and in words what it was made against."""
    from labwright.cli.drafting import base_of, desk, draft_by_base, draft_by_ledger
    from labwright.cli.gitwork import need_commit
    from labwright.wiring import open_ledger

    if repo is not None and is_url(repo):
        raise Refused("a plan is made in a clone, not from a URL", hint=f"git clone {repo}, and `lab plan` in there")
    lab, work = find_place(repo), place_of(repo or ".")
    sha = need_commit(work.repo, commit)
    if lab.used and base is None:
        ledger = open_ledger(lab, read_only=True)
        try:
            with desk(work, sha, branch, ledger) as at:
                return draft_by_ledger(at, ledger, launch_existing=launch_existing), "the jobs of this machine's lab"
        finally:
            ledger.close()
    with desk(work, sha, branch) as at:
        seen: Any = need_commit(work.repo, base) if base else base_of(work, at.repo.default_branch(), sha)
        against = f"{seen[:10]} and the results branch" if seen else "the results branch"
        return draft_by_base(at, seen, launch_existing=launch_existing), against
