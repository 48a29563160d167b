"""`lab why`: every gate between a task and its result, in order, and what to do about the one that is shut."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Look, Row, looking
from labwright.cli.names import task_path
from labwright.cli.shell import JsonOption, RepoOption
from labwright.domain.errors import Invalid, LabError, Refused
from labwright.domain.ids import JobId
from labwright.settings import is_url, place_of

if TYPE_CHECKING:
    from labwright.cli.drafting import Desk
    from labwright.decide.identity import Asked


def why(
    what: Annotated[
        str,
        typer.Argument(
            help="A task, a job, the start of its id, a path, or pull:N", autocompletion=completion.tasks_and_jobs
        ),
    ],
    branch: Annotated[str | None, typer.Option(help="Which branch's tip (default: the default branch)")] = None,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why something runs, ran, waits or does not run."""
    from labwright.cli.why_pull import heading

    with looking(repo) as look:
        found = explain(look, what, branch)
        title = heading(found, look) if "pull" in found and found["job"] is None else ""
    if as_json:
        print_json(found)
        return
    from labwright.cli.tables import console
    from labwright.cli.why_page import page

    console().print(page(found, title))


def explain(look: Look, what: str, branch: str | None) -> Row:
    """{"task", "job", "branch", "commit", "gates": […], "trials": […]}; `job` is set when one was asked for, `pull` of a
    pull request and of its jobs."""
    from labwright.cli.lanes import lane_in
    from labwright.cli.why_pull import explain_pull

    if lane := lane_in(what):
        return explain_pull(look, lane)
    task, job = _subject(look, what)
    if lane := lane_in(branch):
        return explain_pull(look, lane, job, task)
    if job and branch is None and (lane := _lane_of(look, job)):
        return explain_pull(look, lane, job) | {"task": task}
    found: Row = {"task": task, "job": job, "branch": None, "commit": None, "gates": [], "trials": []}
    try:
        _at_tip(look, found, branch)
    except Invalid as error:
        for problem in error.problems:
            _gate(found, "lab.yaml", False, str(problem))
    except LabError as error:
        _gate(found, "repository", None, error.message, error.hint)
    from labwright.cli.why_jobs import trials_of

    found["trials"] = [] if job else trials_of(look, found)
    if job:
        from labwright.cli.why_jobs import of_job

        found["trials"] = [of_job(look, job)]
    for trial in found["trials"]:
        trial.pop("key", None)
    found.pop("asked", None)
    return found


def _subject(look: Look, what: str) -> tuple[str, str | None]:
    """A task's path and, where a job is meant, that job."""
    from labwright.cli.names import one

    task = task_path(what, look.place.repo)
    if "/" in task:
        return task, None
    try:
        named = one(look, what)
    except Refused:
        return task, None
    return named.task, None if named.task == task else named.job


def _lane_of(look: Look, job: str) -> str | None:
    """Of the pull request whose approval a job waits for. What a branch asks for as well is that branch's."""
    from labwright.domain.forge import number_of

    jobs = look.ledger.jobs(ids=[JobId(job)]) if look.ledger else ()
    if not jobs or number_of(jobs[0].branch) is None or look.ledger is None:
        return None
    wants = look.ledger.wants(None, [jobs[0].task])
    return None if any(w.job == job and number_of(w.branch) is None for w in wants) else jobs[0].branch


def _gate(found: Row, gate: str, passed: bool | None, text: str, hint: str = "") -> None:
    found["gates"].append({"gate": gate, "passed": passed, "text": text, "hint": hint})


def _at_tip(look: Look, found: Row, branch: str | None) -> None:
    from labwright.cli.drafting import desk
    from labwright.wiring import reading

    work = look.place if not is_url(look.place.repo) else _clone(look)
    with reading(look.place) as (repo, tips):
        default = repo.default_branch()
        chosen = branch or _usual(look, tips, default)
        if chosen not in tips:
            raise Refused(f"there is no branch {chosen}", hint=f"there are: {', '.join(sorted(tips)) or 'none yet'}")
        commit = tips[chosen]
        info = repo.commits([commit])[commit]
    found |= {"branch": chosen, "commit": commit}
    _gate(found, "commit", True, f"{chosen} is at {commit[:10]} “{info.subject}”")
    with desk(work, commit, chosen, look.ledger) as at:
        _watched(look, found, at, commit)
        _task(look, found, at)


def _clone(look: Look) -> Any:
    here = place_of(".")
    if is_url(here.repo):
        raise Refused("the tasks of a remote repository are seen from a clone of it", hint="go into one")
    return here


def _usual(look: Look, tips: Any, default: str) -> str:
    """The default branch if the lab watches it, else the first that it watches."""
    planned = [b for b in sorted(tips) if look.ledger and look.ledger.cursor(f"planned:{b}")]
    return default if default in planned or not planned else planned[0]


def _watched(look: Look, found: Row, at: "Desk", commit: str) -> None:
    from labwright.control.intake import watched

    branch = found["branch"]
    if not watched({branch: commit}, at.lab.watch.branches):
        hint = f"lab.yaml watches {', '.join(at.lab.watch.branches)}"
        _gate(found, "watched", False, f"{branch} is not watched", hint)
        return
    planned = look.ledger.cursor(f"planned:{branch}") if look.ledger else None
    if planned == commit:
        _gate(found, "planned", True, "the controller has planned this commit")
    elif look.live:
        _gate(
            found,
            "planned",
            None,
            f"the controller has planned {(planned or 'nothing yet')[:10]}",
            "it will in a moment",
        )
    else:
        last = f"; {planned[:10]} was planned last" if planned else ""
        _gate(
            found, "planned", False, f"no controller is running, and none has planned it{last}", "start it: `lab serve`"
        )


def _task(look: Look, found: Row, at: "Desk") -> None:
    task, tree = found["task"], at.tree
    if task not in tree.tasks:
        hint = _proposed(look, task) or _missing(found, at)
        _gate(found, "task", False, f"{found['branch']} has no experiments/{task}/task.yaml", hint)
        return
    asked = at.ask(tree, [task])[task]
    _gate(found, "task", True, f"experiments/{task}/task.yaml is there")
    for problem in asked.problems:
        _gate(found, "valid", False, str(problem), "correct the file and commit")
    if asked.problems:
        return
    _gate(found, "valid", True, _counted(asked))
    for refusal in asked.refusals:
        _gate(found, "provider", False, refusal)
    if not asked.refusals and asked.trials:
        _gate(found, "provider", True, f"{asked.trials[0].provider} can run it")
    _trigger(found, asked)
    found["asked"] = asked


def _counted(asked: "Asked") -> str:
    from labwright.cli.tables import several

    digests = ", ".join(trial.work[:10] for trial in asked.trials[:3]) + (" …" if len(asked.trials) > 3 else "")
    return f"valid: {several(len(asked.trials), 'trial')} (work {digests})"


def _trigger(found: Row, asked: "Asked") -> None:
    from fnmatch import fnmatchcase

    on = asked.spec.on if asked.spec else None
    if on and on.branches is not None and not any(fnmatchcase(found["branch"], p) for p in on.branches):
        _gate(found, "on", False, f"on.branches is {', '.join(on.branches)}, and this is {found['branch']}")
    elif on and on.manual:
        _gate(found, "on", None, "on.manual: only a person starts it", f"lab run {found['task']}")


def _proposed(look: Look, task: str) -> str:
    from labwright.cli.why_pull import elsewhere

    lanes = elsewhere(look, task)
    return f"it is part of {', '.join(lanes[:3])}: `lab why {lanes[0]}`" if lanes else ""


def _missing(found: Row, at: "Desk") -> str:
    """What somebody probably meant, or forgot."""
    import difflib
    from pathlib import Path

    task = found["task"]
    if not is_url(at.work.repo) and (Path(at.work.repo) / "experiments" / task / "task.yaml").is_file():
        return f"it is in your working tree and not committed: git add experiments/{task} && git commit"
    close: Sequence[str] = difflib.get_close_matches(task, list(at.tree.tasks), 3)
    return f"did you mean {' or '.join(close)}?" if close else "`lab jobs` and `lab plan` list what there is"
