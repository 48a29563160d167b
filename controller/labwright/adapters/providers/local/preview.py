"""What would be started, made as a submission makes it, in a folder that is thrown away."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from labwright.adapters.providers.local import machine, stage, variables
from labwright.adapters.providers.local.prepare import Stager
from labwright.adapters.providers.local.spool import Spool
from labwright.domain.lab import LocalProvider
from labwright.ports.provider import ReadBlobs, Submission

_FILES = ("run.sh", "environment.sh", "setup.sh", "main.sh", "config.json")


def preview(
    submission: Submission,
    settings: LocalProvider,
    read_blobs: ReadBlobs,
    *,
    sdk: Path | None,
    templates: Mapping[str, str],
    folder: Path,
    spool: Path,
) -> tuple[dict[str, str], dict[str, str]]:
    """Files and variables of an attempt, with `spool` for where they would lie. `folder` is empty, and used up."""
    submission = replace(submission, placement={"cpus": submission.task.resources.cpus or 1.0})
    there, job = Spool(folder), Path(folder, "jobs", submission.token)
    there.make()
    Stager(there, settings, read_blobs, templates).stage(submission, job)
    files = {name: (job / name).read_text(encoding="utf-8") for name in _FILES if (job / name).exists()}
    made = variables.variables(
        submission,
        job,
        inherited={},
        provider=settings.env,
        capacity=machine.capacity(settings, there.root),
        sdk=stage.provide_sdk(there, sdk) if sdk else None,
        resume=None,
    )

    def placed(found: Mapping[str, str]) -> dict[str, str]:
        return {key: text.replace(str(folder), str(spool)) for key, text in found.items()}

    return placed(files), placed(made)
