"""Parameters, secrets, and life without a controller."""

from __future__ import annotations

import json
import subprocess
import sys


def test_parameters_keep_their_types(job):
    job.configure(lr=0.1, layers=3, name="a b", flag=True, none=None, dims=[1, 2])
    job.run(
        "import lab, collections.abc\nc = lab.config\n"
        "assert c['lr'] == 0.1 and c['layers'] == 3 and c['name'] == 'a b' and c['flag'] is True and c['none'] is None\n"
        "assert isinstance(c, collections.abc.Mapping) and len(c) == 6 and 'lr' in c and 'no' not in c and c.get('no', 5) == 5\n"
        "assert dict(c) == lab.get_config() == {**c} and type(lab.get_config()) is dict and c['dims'] == [1, 2]\n"
        "lab.get_config()['lr'] = 9; assert c['lr'] == 0.1"
    )


def test_an_unknown_parameter_raises_and_names_those_there_are(job):
    job.configure(lr=0.1, batch=4)
    assert "no such parameter; this job has batch, lr" in job.run("import lab; lab.config['rate']", status=1).stderr


def test_a_missing_or_broken_config_is_empty(job):
    assert job.run("import lab; assert lab.get_config() == {}").stderr == ""
    (job.dir / "config.json").write_text("{")
    assert "cannot be read" in job.run("import lab; assert lab.get_config() == {}").stderr


def test_the_task_wins_over_what_the_script_sets(job):
    job.configure(lr=0.1)
    job.run(
        "import lab; lab.init('exp', config={'lr': 9, 'seed': 1}); lab.set_config({'b': 2}); assert lab.get_config() == {'lr': 0.1, 'seed': 1, 'b': 2}"
    )
    assert [event["v"] for event in job.events("config")] == [{"lr": 9, "seed": 1}, {"b": 2}]


def test_secrets_are_put_in_place_when_asked_for(job):
    job.configure(
        token="{{secret.HF_TOKEN}}",
        url="https://{{ secrets.USER }}@x",
        deep={"a": ["{{secret.HF_TOKEN}}"]},
        no="{{secret.NO}}",
    )
    done = job.run(
        "import lab\n"
        "assert lab.config['token'] == 'hf_12345678' and lab.config['url'] == 'https://me@x'\n"
        "assert lab.get_config()['deep'] == {'a': ['hf_12345678']} and lab.config['no'] == '{{secret.NO}}'\n"
        "assert 'hf_1' not in repr(lab.config)",
        LAB_SECRET_HF_TOKEN="hf_12345678",
        LAB_SECRET_USER="me",
    )
    assert "LAB_SECRET_NO" in done.stderr


def test_get_secret_takes_names_with_or_without_a_leading_underscore(job):
    job.run(
        "import lab\nassert lab.get_secret('_HF_TOKEN') == lab.get_secret('HF_TOKEN') == lab.get_secret('hf-token') == 'a'\n"
        "assert lab.get_secret('_PAT') == lab.get_secret('PAT') == 'b' and lab.get_secret('NO') is None and lab.get_secret('NO', 'd') == 'd'",
        LAB_SECRET_HF_TOKEN="a",
        LAB_SECRET__PAT="b",
    )


def test_no_secret_is_recorded(job):
    job.configure(token="{{secret.T}}")
    job.run(
        "import lab\nlab.init(config=lab.get_config()); lab.log('token is s3cret-value!'); lab.error('s3cret-value')\n"
        "lab.save_artifact(b'', 'x', config={'k': ['s3cret-value']}); lab.finish('with s3cret-value')",
        LAB_SECRET_T="s3cret-value",
    )
    for name in ("events.jsonl", "manifest.json"):
        assert "s3cret-value" not in (job.dir / name).read_text() and "{{secret.T}}" in (job.dir / name).read_text()


LOCAL = "import lab; lab.init(); lab.log({'a': 1}); lab.finish()"


def local(job, code, **env):
    clean = {key: value for key, value in job.env(**env).items() if key != "LAB_JOB_DIR"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean, cwd=job.cwd, check=True
    )


def test_without_a_controller_it_records_below_the_working_folder_and_says_so_once(job):
    done = local(job, LOCAL + "\nlab.log({'a': 2})")
    (run,) = [path for path in (job.cwd / ".lab").iterdir() if path.is_dir()]
    assert len((run / "events.jsonl").read_text().splitlines()) == 4 and (run / "manifest.json").exists()
    assert done.stderr.count("no controller here") == 1 and f".lab/{run.name}" in done.stderr
    assert (job.cwd / ".lab/.gitignore").read_text() == "*\n"


def test_a_named_local_run_goes_on_where_it_was(job):
    for _ in range(2):
        local(job, "import lab; print(lab.resume()); lab.save_checkpoint('/etc/hostname', step=1)", LAB_RUN="mine")
    assert local(job, "import lab; print(lab.resume())", LAB_RUN="mine").stdout.endswith(
        ".lab/mine/checkpoints/step-1\n"
    )


def test_children_of_a_local_run_record_with_it(job):
    local(
        job,
        "import lab, subprocess, sys\nlab.init(); subprocess.run([sys.executable, '-m', 'lab', 'log', 'b=2'], check=True)",
    )
    assert len([path for path in (job.cwd / ".lab").iterdir() if path.is_dir()]) == 1


def test_ranks_of_a_local_launch_share_one_run(job):
    code = "import subprocess, sys, os\nfor r in '01': subprocess.run([sys.executable, '-c', 'import lab; lab.log({\"a\": 1})'], env={**os.environ, 'RANK': r})"
    done = local(job, code, WORLD_SIZE="2")
    (run,) = [path for path in (job.cwd / ".lab").iterdir() if path.is_dir()]
    assert (
        sorted(path.name for path in run.iterdir()) == ["events.1.jsonl", "events.jsonl"]
        and done.stderr.count("no controller") == 1
    )


def test_the_calls_of_a_shell_script_without_a_controller_share_one_run(job):
    clean = {key: value for key, value in job.env(PY=sys.executable).items() if key != "LAB_JOB_DIR"}
    script = '"$PY" -m lab log a=1; "$PY" -m lab finish a=2; true'
    subprocess.run(["sh", "-c", script], env=clean, cwd=job.cwd, check=True, capture_output=True)
    (run,) = [path for path in (job.cwd / ".lab").iterdir() if path.is_dir()]
    kinds = [json.loads(line)["e"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert kinds == ["metric", "progress", "finish"]
