"""As lab.yaml has it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from labwright.adapters.forges.git.desk import Branch
from labwright.adapters.forges.git.forge import GitForge
from labwright.adapters.forges.git.words import Labels
from labwright.domain.lab import Lab
from labwright.ports.clock import Clock
from labwright.settings import Place


def open_forge(place: Place, lab: Lab, write: Callable[[Path], Branch], clock: Clock) -> GitForge:
    """In the controller's own mirror, so that what is brought for pull requests is there for the lab repository; for a look
    before there is one, in a folder that goes again. `write` makes the writer of our branch, given a repository to write in.
    Raises Refused for keys that are none."""
    assert lab.forge is not None  # noqa: S101  # who asks has looked
    policy, scratch = lab.policy.approve, None
    if not (place.mirror.exists() and os.access(place.mirror, os.W_OK)):
        scratch = tempfile.TemporaryDirectory(prefix="lab-")
    at = Place(place.repo, Path(scratch.name)) if scratch else place
    return GitForge(
        place.repo,
        at.mirror,
        write(at.state / "pulls.git"),
        lab.forge.keys,
        clock,
        labels=Labels(policy.label, policy.stop_label, policy.rerun_label, policy.smoke.label if policy.smoke else ""),
        closing=scratch.cleanup if scratch else lambda: None,
    )
