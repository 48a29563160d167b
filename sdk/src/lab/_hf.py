"""The callback for Hugging Face transformers; the library is imported only when it is asked for."""

from __future__ import annotations

import os
from time import monotonic

from lab._checkpoints import save_checkpoint
from lab._metrics import log, update_progress
from lab._signals import should_checkpoint
from lab._track import Throttle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def get_hf_callback() -> Any:
    """A `transformers.TrainerCallback`: metrics, progress, each checkpoint saved, and one more when the machine is wanted back.

    Raises ImportError if transformers is not installed: a trainer asked for it by name.
    """
    try:
        from transformers import TrainerCallback  # type: ignore[import-not-found, unused-ignore]
    except ImportError as problem:
        raise ImportError("lab.get_hf_callback() needs transformers: pip install transformers") from problem

    return type("LabCallback", (_Hooks, TrainerCallback), {})()


class _Hooks:
    """What the callback does, without its base class. `state.is_world_process_zero` tells who speaks for all."""

    def __init__(self) -> None:
        self._often = Throttle(1.0)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Record the numbers of a log line."""
        if state.is_world_process_zero and logs:
            log(
                {name: value for name, value in logs.items() if isinstance(value, (int, float))}, step=state.global_step
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Report progress, and ask for a save when one is due."""
        if state.is_world_process_zero and state.max_steps and self._often.ready(monotonic()):
            update_progress(100 * state.global_step / state.max_steps)
        if should_checkpoint():
            control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the checkpoint that the trainer wrote, as many as the trainer keeps."""
        if state.is_world_process_zero:
            path = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
            limit = getattr(args, "save_total_limit", None)
            save_checkpoint(path, name=f"checkpoint-{state.global_step}", step=state.global_step, keep_last=limit)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Training is over; the job is, when it calls `finish` or exits."""
        if state.is_world_process_zero:
            update_progress(100)
