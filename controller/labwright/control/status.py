"""What the running controller says of itself."""

from collections import Counter
from typing import Any

from labwright.control.loop import Controller
from labwright.control.pulls.lane import Lane
from labwright.domain.forge import Pull, is_smoke, number_of

MOST_TASKS = 50  # of one pull request, named


def status(controller: Controller) -> dict[str, Any]:
    """Read from other threads: copies of what the loop changes."""
    world = controller.world
    live = list(world.book.live.values())
    return {
        "states": dict(Counter(str(job.state) for job in live)),
        "tips": dict(controller.intake.tips),
        "alarms": dict(world.alarms.on),
        "providers": sorted(world.providers),
        "notes": {name: dict(notes) for name, p in sorted(world.providers.items()) if (notes := p.condition().notes)},
        "unpublished": len(world.book.unpublished),
        "calls": len(world.calls),
        "pulls": _pulls(controller, {job.branch for job in live}),
    }


def _pulls(controller: Controller, busy: set[str]) -> list[dict[str, Any]]:
    """Open pull requests, and closed ones that have jobs under way; lowest number first."""
    permits = dict(controller.world.permits.lanes)
    found = {
        lane.number: _of_lane(lane, permits.get(lane.name, ""))
        for lane in list(controller.pulls.of.values())
        if not lane.smoke
    }
    for name, why in permits.items():
        number = number_of(name)
        if number is None or number in found or is_smoke(name):  # a smoke run is its pull request's
            continue
        seen = controller.pulls.watch.seen.get(number)
        if name in busy or seen is None or seen.talk.pull.open:
            found[number] = {"number": number, **_of_pull(seen.talk.pull if seen else None), **_unplanned(why)}
    return [found[number] for number in sorted(found)]


def _of_lane(lane: Lane, why_not: str) -> dict[str, Any]:
    plan, judgement = lane.made.plan, lane.judgement
    return {
        "number": lane.number,
        **_of_pull(lane.seen.talk.pull),
        "digest": lane.offer.digest,
        "tasks": sorted(lane.touched)[:MOST_TASKS],
        "launch": len(plan.launch),
        "reuse": len(plan.reuse),
        "stop": len(plan.stop),
        "gpu_hours": plan.gpu_hours,
        "refused": [{"task": x.task, "reason": x.reason} for x in plan.refuse[:MOST_TASKS]],
        "invalid": [str(problem) for problem in plan.invalid[:MOST_TASKS]],
        "held": plan.held,
        "gates": [{"name": gate.name, "passed": gate.passed, "words": gate.words} for gate in judgement.gates],
        "approved": judgement.approved and not why_not,
        "asked_by": judgement.asked_by,
        "approved_by": list(judgement.approvers),
        "void": judgement.void,
        "waits": why_not or plan.held,
    }


def _of_pull(pull: Pull | None) -> dict[str, Any]:
    names = ("title", "head", "base", "url", "fork", "draft", "open", "merged")
    return {"author": pull and pull.author.login} | {name: pull and getattr(pull, name) for name in names}


def _unplanned(why: str) -> dict[str, Any]:
    counts = dict.fromkeys(("launch", "reuse", "stop", "gpu_hours"), 0)
    lists: dict[str, Any] = {name: [] for name in ("tasks", "refused", "invalid", "gates", "approved_by")}
    words = dict.fromkeys(("digest", "held", "asked_by", "void"), "")
    return {**counts, **lists, **words, "approved": False, "waits": why}
