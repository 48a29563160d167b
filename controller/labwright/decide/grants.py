"""Which job is given which secret: by lab.yaml as it is on the default branch, asked at planning and again at submission."""

from collections.abc import Collection
from fnmatch import fnmatchcase

from labwright.decide.discover import glob_regex
from labwright.domain.forge import is_smoke, number_of
from labwright.domain.lab import Lab, SecretSource
from labwright.domain.lab_forge import secret_of
from labwright.domain.secrets import references, secret_names
from labwright.domain.slurm import SlurmProvider
from labwright.domain.task import Task


def may_have(name: str, lab: Lab, task: str, branch: str) -> str:
    """Why jobs of this task may not have a secret; empty: they may. `branch`: whose commit asks, `pull:7` of a pull request;
    empty where that is not known, and then not asked."""
    source = lab.secrets.get(name)
    if source is None:
        return f"the secret {name} is not in lab.yaml (add `secrets: {{{name}: {{env: {name}}}}}` there)"
    if use := _own_use(source, lab):
        return (
            f"the secret {name} is the controller's own: {use} of lab.yaml uses it, and no job is given it "
            "(give jobs a secret of their own, with a source of its own)"
        )
    if source.tasks is not None and not any(glob_regex(glob.strip("/")).fullmatch(task) for glob in source.tasks):
        return f"the secret {name} is not for {task}: secrets.{name}.tasks of lab.yaml has {_listed(source.tasks)}"
    return _of_branch(name, source, branch, lab) if branch else ""


def own_secrets(lab: Lab) -> frozenset[str]:
    """Those that the controller itself works with, or that have the same source."""
    return frozenset(name for name, source in lab.secrets.items() if _own_use(source, lab))


def given_to(spec: Task, lab: Lab | None, provider: str) -> frozenset[str]:
    """Names of the secrets that a job is given: its task's, and those in the `env` of its provider in lab.yaml."""
    settings = lab.providers.get(provider) if lab else None
    return secret_names(spec) | references(getattr(settings, "env", None) or {})


def withheld(names: Collection[str], lab: Lab, task: str, branch: str) -> list[str]:
    """Why, a sentence for each that jobs of this task may not have."""
    return [why for name in sorted(names) if (why := may_have(name, lab, task, branch))]


def _own_use(source: SecretSource, lab: Lab) -> str:
    """The key of lab.yaml that uses this source for the controller itself. By source: another name opens no back door."""
    return next((key for key, name in _uses(lab) if name in lab.secrets and lab.secrets[name].same_as(source)), "")


def _uses(lab: Lab) -> list[tuple[str, str]]:
    """(key of lab.yaml, name of the secret)"""
    forge, uses = lab.forge, list[tuple[str, str]]()
    if forge is not None:
        uses += [("forge.token", secret_of(forge.token))] if forge.token else []
        uses += [("forge.app.key", secret_of(forge.app.key))] if forge.app else []
        uses += [("forge.hook_secrets", secret_of(reference)) for reference in forge.hook_secrets]
    for name, provider in lab.providers.items():
        if isinstance(provider, SlurmProvider) and provider.rest and provider.rest.token:
            uses += [(f"providers.{name}.rest.token", secret_of(provider.rest.token))]
    return uses


def _of_branch(name: str, source: SecretSource, branch: str, lab: Lab) -> str:
    smoke = lab.policy.approve.smoke
    if is_smoke(branch) and not (smoke and smoke.review):
        return (
            f"the secret {name} is not for smoke runs, which nobody approves (`review: true` of policy.approve.smoke)"
        )
    if number_of(branch) is not None:
        if source.of_pulls:
            return ""
        how = "`pull_requests: true` there allows it" if source.pull_requests is None else "it runs once it is merged"
        which = "branches" if source.pull_requests is None else "pull_requests"
        return f"the secret {name} is not for pull requests: secrets.{name}.{which} of lab.yaml ({how})"
    if source.branches is not None and not any(fnmatchcase(branch, glob) for glob in source.branches):
        return (
            f"the secret {name} is not for {branch}: secrets.{name}.branches of lab.yaml has {_listed(source.branches)}"
        )
    return ""


def _listed(globs: Collection[str]) -> str:
    return ", ".join(globs) or "none"
