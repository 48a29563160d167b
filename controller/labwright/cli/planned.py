"""A plan in words, rows and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labwright.cli.checking import as_json as problem_json
from labwright.cli.drafting import Draft
from labwright.decide.discover import Links, Tree, affected, changed_paths
from labwright.decide.identity import Asked, resolve_need
from labwright.domain.plan import Launch
from labwright.domain.task import Task


def to_json(made: Draft, against: str) -> Mapping[str, Any]:
    """The fields of docs/spec/cli-acting.md."""
    plan = made.plan
    return {
        "commit": plan.commit,
        "branch": plan.branch,
        "against": against,
        "unwatched": made.unwatched or None,
        "first_sight": made.first_sight,
        "digest": plan.digest,
        "held": plan.held,
        "gpu_hours": plan.gpu_hours,
        "baseline": plan.baseline,
        "launch": [_launch(made, launch) for launch in plan.launch],
        "reuse": [{"job": r.job, "task": r.trial.task, "state": str(r.state)} for r in plan.reuse],
        "stop": [{"job": s.job, "task": s.task, "reason": s.reason} for s in plan.stop],
        "refuse": [{"task": r.task, "provider": r.provider, "reason": r.reason} for r in plan.refuse],
        "invalid": [problem_json(problem) for problem in plan.invalid],
        "reruns": [act.target for act in made.reruns],
    }


def _launch(made: Draft, launch: Launch) -> Mapping[str, Any]:
    trial = launch.trial
    return {
        "job": launch.job,
        "task": trial.task,
        "trial": launch.place,
        "generation": launch.generation,
        "parameters": trial.parameters,
        "provider": trial.provider,
        "resources": resources(made.asked[trial.task].spec),
        "gpu_hours": launch.gpu_hours,
        "needs": list(launch.needs),
        "work_digest": trial.work,
        "why": why(made, trial.task),
    }


def rows(made: Draft) -> list[Sequence[object]]:
    """Action, task, trials, provider, resources, GPU-hours, why: one row for each action of each task."""
    plan = made.plan
    found: list[Sequence[object]] = []
    for task, launches in _by_task(plan.launch).items():
        hours = sum(launch.gpu_hours for launch in launches)
        asked = resources(made.asked[task].spec)
        provider = ", ".join(sorted({launch.trial.provider for launch in launches}))
        hours_text = f"{hours:.4g}" if hours else ""
        found.append(("launch", task, len(launches), provider, asked, hours_text, why(made, task)))
    reused: dict[tuple[str, str], list[str]] = {}
    for reuse in plan.reuse:
        reused.setdefault((reuse.trial.task, str(reuse.state)), []).append(reuse.job)
    for (task, state), jobs in reused.items():
        found.append(("reuse", task, len(jobs), "", "", "", f"{state}: {_some(jobs)}"))
    stops: dict[tuple[str, str], int] = {}
    for stop in plan.stop:
        stops[stop.task, stop.reason] = stops.get((stop.task, stop.reason), 0) + 1
    found += [("stop", task, count, "", "", "", reason) for (task, reason), count in stops.items()]
    found += [("refuse", refusal.task, "", refusal.provider, "", "", refusal.reason) for refusal in plan.refuse]
    found += [("rerun", act.target, "", "", "", "", "by the trailer Lab-Rerun, after the plan") for act in made.reruns]
    return found


def _by_task(launches: Sequence[Launch]) -> Mapping[str, list[Launch]]:
    found: dict[str, list[Launch]] = {}
    for launch in launches:
        found.setdefault(launch.trial.task, []).append(launch)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def say_more(made: Draft, against: str) -> Iterator[str]:
    plan = made.plan
    if made.unwatched:
        then = f"this is what it would do on {plan.branch}" if made.unwatched != plan.branch else "nothing of it is run"
        yield f"branch {made.unwatched} is not watched (watch.branches in lab.yaml): {then}"
    yield from (f"invalid: {problem}" for problem in plan.invalid)
    if plan.baseline and made.first_sight:
        yield (
            f"first sight: {plan.baseline} trials are recorded as they are, and not launched "
            "(`lab serve --launch-existing` launches them; `lab plan --launch-existing` shows it)"
        )
    elif plan.baseline:
        yield f"{plan.baseline} trials were there at first sight or are on.manual: `lab run TASK` launches them"
    cost = f", {plan.gpu_hours:.4g} GPU-hours" if plan.gpu_hours else ""
    digest = f", plan {plan.digest[:12]}" if not plan.empty else ""
    counts = f"{len(plan.launch)} to launch, {len(plan.reuse)} reused, {len(plan.stop)} to stop"
    yield f"{plan.commit[:10]} on {plan.branch}: {counts}{cost}{digest} (against {against})"
    if plan.held:
        yield f"held until confirmed: {plan.held}"


def resources(spec: Task | None) -> str:
    """`4 CPU, 16 GB, 8×A100, 2 nodes`; empty for a task that asks for nothing."""
    if spec is None:
        return ""
    asked = spec.resources
    gpus = asked.accelerators
    parts = [
        f"{asked.cpus:g} CPU" if asked.cpus else "",
        f"{asked.memory_gb:g} GB" if asked.memory_gb else "",
        f"{gpus.count}×{gpus.type or 'GPU'}" if gpus else "",
        f"{asked.num_nodes} nodes" if asked.num_nodes > 1 else "",
    ]
    return ", ".join(part for part in parts if part)


def why(made: Draft, task: str) -> str:
    """What brought a task about, as far as the two trees tell."""
    asked = made.asked[task]
    spec = asked.spec
    if made.before is None or spec is None:
        return "not run before"
    changed = changed_paths(made.before, made.tree.snapshot)
    folder = made.tree.tasks[task].folder + "/"
    own = sorted(path.removeprefix(folder) for path in changed if path.startswith(folder))
    if made.tree.tasks[task].path not in made.before.entries:
        return "new task"
    if own:
        return f"changed: {_some(own)}"
    return _from_outside(made, asked, spec, changed) or "not run before"


def _from_outside(made: Draft, asked: Asked, spec: Task, changed: set[str]) -> str:
    launched = {launch.trial.task for launch in made.plan.launch}
    needs = [need for name in spec.needs if (need := resolve_need(asked.task, name)) in launched]
    if needs:
        return f"needs {_some(needs)}"
    only = Tree(made.tree.snapshot)
    if spec.inputs and asked.task in affected(made.before, only, {asked.task: Links(spec.inputs)}):
        inputs = [path for path in sorted(changed) if not path.startswith(only.tasks[asked.task].folder + "/")]
        return f"changed inputs: {_some(inputs)}"
    return ""
