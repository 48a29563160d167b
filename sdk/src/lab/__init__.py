"""The Labwright SDK: metrics, progress, artifacts and checkpoints of a job. `import lab`, or `from lab import lab`.

Each call appends one line to `$LAB_JOB_DIR/events.jsonl` or puts a file beside it; without a controller, below `./.lab/`.
A problem in recording is said once on stderr and never stops training. Promises: docs/spec/sdk.md of the project.
"""

from __future__ import annotations

import lab as lab
from lab._artifacts import artifacts_of as artifacts_of
from lab._artifacts import get_artifact_paths as get_artifact_paths
from lab._artifacts import get_artifacts_dir as get_artifacts_dir
from lab._artifacts import save_artifact as save_artifact
from lab._artifacts import save_dataset as save_dataset
from lab._artifacts import save_model as save_model
from lab._checkpoints import get_checkpoint_paths as get_checkpoint_paths
from lab._checkpoints import get_checkpoint_to_resume as get_checkpoint_to_resume
from lab._checkpoints import get_checkpoints_dir as get_checkpoints_dir
from lab._checkpoints import get_parent_job_checkpoint_path as get_parent_job_checkpoint_path
from lab._checkpoints import resume as resume
from lab._checkpoints import save_checkpoint as save_checkpoint
from lab._config import config as config
from lab._config import get_config as get_config
from lab._config import init as init
from lab._config import set_config as set_config
from lab._end import error as error
from lab._end import finish as finish
from lab._hf import get_hf_callback as get_hf_callback
from lab._metrics import log as log
from lab._metrics import log_metric as log_metric
from lab._metrics import log_metrics as log_metrics
from lab._metrics import update_progress as update_progress
from lab._secrets import get_secret as get_secret
from lab._signals import should_checkpoint as should_checkpoint
from lab._track import async_track as async_track
from lab._track import track as track
from lab._twin import slow_twin as _slow
from lab._twin import twin as _twin

async_init = _twin(init)
async_log = _twin(log)
async_log_metric = _twin(log_metric)
async_log_metrics = _twin(log_metrics)
async_update_progress = _twin(update_progress)
async_get_config = _twin(get_config)
async_set_config = _twin(set_config)
async_get_secret = _twin(get_secret)
async_should_checkpoint = _twin(should_checkpoint)
async_get_hf_callback = _twin(get_hf_callback)
async_error = _twin(error)
async_get_artifacts_dir = _twin(get_artifacts_dir)
async_get_checkpoints_dir = _twin(get_checkpoints_dir)
async_get_artifact_paths = _slow(get_artifact_paths)
async_get_checkpoint_paths = _slow(get_checkpoint_paths)
async_artifacts_of = _slow(artifacts_of)
async_save_artifact = _slow(save_artifact)
async_save_model = _slow(save_model)
async_save_dataset = _slow(save_dataset)
async_save_checkpoint = _slow(save_checkpoint)
async_resume = _slow(resume)
async_get_checkpoint_to_resume = _slow(get_checkpoint_to_resume)
async_get_parent_job_checkpoint_path = _slow(get_parent_job_checkpoint_path)
async_finish = _slow(finish)
