"""From a submission to a job's folder: everything that the wrapper finds when it starts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from labwright.adapters import templates
from labwright.adapters.providers.local import environment, shared, source, stage, variables
from labwright.adapters.providers.local.spool import Spool, read_json
from labwright.decide.render import render
from labwright.domain import lab
from labwright.domain.errors import Refused
from labwright.domain.ids import parse_token
from labwright.ports.provider import ReadBlobs, Submission


@dataclass(frozen=True, slots=True)
class Stager:
    spool: Spool
    settings: lab.LocalProvider
    read_blobs: ReadBlobs
    templates: Mapping[str, str]
    resolved: source.Resolved = field(default_factory=dict)  # what this batch asked git remotes for

    def stage(self, submission: Submission, job: Path) -> None:
        """Raises Refused, Unavailable and OSError; then there is no folder."""
        task = submission.task
        bundle = stage.materialise(self.spool, submission.bundle, self.read_blobs)
        code = source.provide(self.spool, task, self.resolved)
        start = submission.bundle.folder  # where in the bundle the job starts, and its paths are relative to
        wanted = environment.wanted(
            self.spool.root / "environments", task.environment, submission.bundle, bundle / start
        )
        with stage.appearing(self.spool, job) as folder:
            for name in ("artifacts", "checkpoints", "needs"):
                (folder / name).mkdir()
            if code:
                stage.copy_tree(code.folder, folder / "work" / start)
                stage.write_json(folder / "source.json", code.record)
            stage.copy_tree(bundle, folder / "work")  # the task's own files win
            self._needs(submission, folder)
            self._texts(submission, folder)
            used = [bundle, *([code.folder] if code else ()), *([wanted.folder] if wanted else ())]
            shared.note(self.spool, folder, used)
            if wanted:
                self._render("local/environment.sh.j2", wanted.values, folder / "environment.sh")
            self._render("local/run.sh.j2", self._values(submission, wanted), folder / "run.sh")

    def _texts(self, submission: Submission, folder: Path) -> None:
        stage.write_json(
            folder / "config.json",
            {
                "parameters": dict(submission.parameters),
                "task": submission.task_path,
                "job": submission.job,
                "attempt": submission.attempt,
            },
        )
        if submission.task.resources.memory_gb:
            stage.write_json(folder / "limits.json", {"memory_gb": submission.task.resources.memory_gb})
        for name, text in (("setup.sh", submission.task.setup), ("main.sh", submission.task.run)):
            if text:
                (folder / name).write_text(variables.as_shell(text, submission.secrets) + "\n", encoding="utf-8")

    def _values(self, submission: Submission, wanted: environment.Wanted | None) -> Mapping[str, object]:
        return {
            "scheduler": False,
            "work": str(PurePosixPath("work", submission.bundle.folder)),
            "ended_dir": self.spool.ended,
            "grace": self.settings.grace_s,
            "path": os.environ.get("PATH", os.defpath),
            "limit": submission.task.limit_seconds,
            "notice": None,
            "setup": bool(submission.task.setup),
            "environment": wanted.folder if wanted else None,
            "artifacts": submission.task.artifacts,
        }

    def _render(self, name: str, values: Mapping[str, object], to: Path) -> None:
        to.write_text(render(templates.find(name, self.templates), values, name=name), encoding="utf-8")

    def _needs(self, submission: Submission, folder: Path) -> None:
        for task_path, handles in submission.needs.items():
            stage.check(task_path)
            for handle in handles:
                needed, parsed = self.spool.existing(handle), parse_token(handle)
                if needed is None:
                    raise Refused(
                        f"needs: the artifacts of {task_path} ({handle}) are no longer in {self.spool.root}",
                        hint=f"run {task_path} again",
                    )
                name = parsed[1] if parsed else handle
                stage.share_tree(needed / "artifacts", folder / "needs" / task_path / name)


def memory_limit(job: Path) -> float | None:
    """Bytes that the processes of an attempt may hold; None = no limit."""
    try:
        return float(read_json(job / "limits.json")["memory_gb"]) * 2**30
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
