"""A smoke run of a pull request: the first trial of each task, for a few minutes, where compute is cheap. Another content than the
whole run, so that neither stands for the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from labwright.decide.identity import Asked
from labwright.domain.ids import Digest, digest, work_digest
from labwright.domain.policy import Smoke
from labwright.domain.task import Task

Refusals = Callable[[str, Task, str], Sequence[str]]
"""(provider, task's content, its path) → why it cannot run there."""


def smoked(asked: Mapping[str, Asked], smoke: Smoke, refusals: Refusals) -> Mapping[str, Asked]:
    """`asked` in the order of needs, as evaluation gives it. What is needed is smoked as well."""
    made: dict[str, Asked] = {}
    for task, whole in asked.items():
        made[task] = _smoked(whole, smoke, refusals, made) if whole.trials and whole.spec else whole
    return made


def _smoked(whole: Asked, smoke: Smoke, refusals: Refusals, made: Mapping[str, Asked]) -> Asked:
    assert whole.spec is not None  # noqa: S101  # asked by `smoked`
    first = whole.trials[0]
    spec, provider = _short(whole.spec, smoke), smoke.provider or first.provider
    text = spec.to_json()
    names = dict.fromkeys(task for task, _ in first.needs)
    needs = tuple((task, trial.work) for task in names if task in made for trial in made[task].trials)
    work = work_digest(
        {**whole.shared, "needs": [list(x) for x in needs], "parameters": first.parameters, "smoke": True}
    )
    key = digest(text)
    return replace(
        whole,
        trials=(replace(first, work=work, spec=key, provider=provider, needs=needs),),
        refusals=tuple(refusals(provider, spec, whole.task)) if smoke.provider else whole.refusals,
        contents={**_without(whole, first.spec), key: text},
        spec=spec,
    )


def _short(spec: Task, smoke: Smoke) -> Task:
    limit = min(smoke.minutes * 60, spec.limit_seconds or smoke.minutes * 60)
    return spec.model_copy(update={"timeout_s": limit, "minutes_requested": None, "sweeps": None})


def _without(whole: Asked, key: Digest) -> Mapping[Digest, str]:
    return {known: text for known, text in whole.contents.items() if known != key}
