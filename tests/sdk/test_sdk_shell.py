"""`python -m lab`, the asynchronous forms, and the Hugging Face callback."""

from __future__ import annotations

import json


def test_log_takes_metrics_or_text(job):
    job.shell("log", "loss=0.1", "n=3", "bad=nan", "step=7")
    job.shell("log", "epoch", "is=over", "now")
    metric, text = job.events()
    assert (metric["step"], metric["m"]) == (7, {"loss": 0.1, "n": 3, "bad": "NaN"}) and text[
        "m"
    ] == "epoch is=over now"


def test_each_command_does_as_its_function(job):
    job.configure(lr=0.1, name="x y")
    job.shell("progress", "40")
    assert job.shell("artifact", "/etc/hostname", "--kind", "model").stdout == f"{job.dir}/artifacts/hostname\n"
    assert job.shell("resume", status=1).stdout == ""
    path = job.shell("checkpoint", "/etc/hostname", "--step", "3", "--metric", "0.5", "--keep-last", "2").stdout
    assert path == job.shell("resume").stdout == f"{job.dir}/checkpoints/step-3\n"
    assert job.shell("config", "lr").stdout == "0.1\n" and job.shell("config", "name").stdout == "x y\n"
    assert json.loads(job.shell("config").stdout) == {"lr": 0.1, "name": "x y"}
    job.shell("error", "it", "broke")
    job.shell("finish", "eval/loss=0.3", "--message", "done")
    assert [event["e"] for event in job.events()] == [
        "progress",
        "artifact",
        "checkpoint",
        "error",
        "progress",
        "finish",
    ]
    assert job.events("finish")[0]["score"] == {"eval/loss": 0.3} and job.events("error")[0]["m"] == "it broke"


def test_misuse_is_told_by_the_status(job):
    job.shell("artifact", "no-such-file", status=1)
    job.shell("config", "no", status=1)
    job.shell("finish", "loss=low", status=2)
    job.shell("progress", "much", status=2)
    assert job.events() == []


def test_every_call_has_an_asynchronous_form_that_does_the_same(job):
    job.configure(lr=0.1)
    job.run(
        "import lab, asyncio, inspect\n"
        "async def main():\n"
        "    await lab.async_init(); await lab.async_log({'a': 1}, step=1); await lab.async_update_progress(5)\n"
        "    assert await lab.async_get_config() == {'lr': 0.1} and not await lab.async_should_checkpoint()\n"
        "    path = await lab.async_save_checkpoint('/etc/hostname', step=1)\n"
        "    assert path == await lab.async_resume() == await lab.async_get_checkpoint_to_resume()\n"
        "    assert await lab.async_save_artifact(b'x', 'x') in await lab.async_get_artifact_paths()\n"
        "    async def items():\n"
        "        for i in range(3): yield i\n"
        "    assert [i async for i in lab.async_track(items())] == [i async for i in lab.async_track(range(3))] == [0, 1, 2]\n"
        "    lab.log({'sync': 'works'}); lab.save_artifact(b'', 'too')\n"
        "    await lab.async_finish(score=1); await lab.async_error('e')\n"
        "asyncio.run(main())\n"
        "for name, value in list(vars(lab).items()):\n"
        "    if callable(value) and not name.startswith(('_', 'async_')):\n"
        "        other = getattr(lab, 'async_' + name)\n"
        "        assert list(inspect.signature(other).parameters) == list(inspect.signature(value).parameters), name\n"
        "        assert other.__name__ == 'async_' + name and other.__doc__\n"
    )
    assert [event["e"] for event in job.events()][:3] == ["metric", "progress", "checkpoint"]


HF = """
import sys, types, os
fake = types.ModuleType('transformers')
class TrainerCallback: pass
fake.TrainerCallback = TrainerCallback
sys.modules['transformers'] = fake
import lab
callback = lab.get_hf_callback()
assert isinstance(callback, TrainerCallback)
N = types.SimpleNamespace
os.makedirs('out/checkpoint-5'); open('out/checkpoint-5/w', 'w').write('x')
args, control = N(output_dir='out', save_total_limit=2), N(should_save=False)
state = N(is_world_process_zero=True, global_step=5, max_steps=10)
callback.on_log(args, state, control, logs={'loss': 0.5, 'epoch': 1, 'note': 'text'})
assert callback.on_step_end(args, state, control).should_save is False
os.kill(os.getpid(), 15)
assert callback.on_step_end(args, state, control).should_save is True
callback.on_save(args, state, control)
callback.on_train_end(args, state, control)
state.is_world_process_zero = False
callback.on_log(args, state, control, logs={'loss': 9}); callback.on_save(args, state, control)
"""


def test_the_hf_callback_records_metrics_progress_and_checkpoints_and_hears_sigterm(job):
    job.run(HF)
    assert [(event["step"], event["m"]) for event in job.events("metric")] == [(5, {"loss": 0.5, "epoch": 1})]
    assert [event["v"] for event in job.events("progress")] == [50, 100]
    assert [event["path"] for event in job.events("checkpoint")] == ["checkpoint-5"]


def test_without_transformers_the_callback_says_what_to_install(job):
    done = job.run("import sys; sys.modules['transformers'] = None; import lab; lab.get_hf_callback()", status=1)
    assert "pip install transformers" in done.stderr
