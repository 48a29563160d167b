"""What reaches a job of a provider that runs real processes, and what comes back from it. Part of ProcessSuite."""

import json
from pathlib import Path

import pytest

from labwright.domain.errors import Refused
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.testing.provider_bench import Bench, Script, accepted, leaves

ODD = {
    "spaces": " a  b ",
    "quotes": 'it\'s "quoted" `id`',
    "command": "$(touch /tmp/never) ${HOME} $HOME",
    "lines": "one\ntwo\n\nfour\n",
    "template": "{{ 7 * 7 }} {% raw %} <# x #>",
    "other": "\\n \\ ! * ? ~ # ; & | > < € 日本 \t",
    "empty": "",
}
DUMP = Script('env -0 >"$LAB_JOB_DIR/artifacts/env"; cp "$LAB_JOB_DIR/config.json" "$LAB_JOB_DIR/artifacts/"')
SECRET = "s3cr3t-zq81'\"$(x)"  # noqa: S105 -- not one


def artifact(bench: Bench, handle: Handle, path: str, folder: Path) -> bytes:
    bench.provider.fetch(handle, path, folder / "fetched")
    return (folder / "fetched").read_bytes()


def environment(bench: Bench, handle: Handle, folder: Path) -> dict[str, str]:
    text = artifact(bench, handle, "env", folder).decode()
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split("\0") if pair)}


class DataSuite:
    """What reaches a job."""

    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError

    def test_variables_and_parameters_reach_the_job_as_data(self, bench: Bench, tmp_path: Path) -> None:
        parameters = {**ODD, "lr": 0.1, "deep": {"a": [1, None, True]}, "two words": 1}
        handle = bench.submit(DUMP, parameters=parameters, task={"envs": {f"MY_{k}": v for k, v in ODD.items()}})
        assert bench.ended(handle).outcome is Outcome.OK
        env = environment(bench, handle, tmp_path)
        assert {k: env[f"MY_{k}"] for k in ODD} == ODD
        assert {k: env[f"LAB_PARAM_{k.upper()}"] for k in ODD} == ODD
        assert (env["LAB_PARAM_LR"], env["LAB_PARAM_TWO_WORDS"]) == ("0.1", "1")
        assert json.loads(env["LAB_PARAM_DEEP"]) == parameters["deep"]
        config = json.loads(artifact(bench, handle, "config.json", tmp_path))
        assert config == {"parameters": parameters, "task": "alpha/train", "job": env["LAB_JOB_ID"], "attempt": 1}

    def test_a_job_is_told_who_it_is(self, bench: Bench, tmp_path: Path) -> None:
        submission = bench.submission(DUMP, attempt=3, placement={"cpus": 2, "memory_gb": 1, "gpus": []})
        handle = accepted(bench.provider.submit([submission])[submission.token])
        bench.ended(handle)
        env = environment(bench, handle, tmp_path)
        assert env["LAB_TOKEN"] == submission.token
        assert env["LAB_JOB_ID"] == submission.job
        assert (env["LAB_ATTEMPT"], env["LAB_TASK"], env["LAB_EXPERIMENT"]) == ("3", "alpha/train", "alpha")
        assert (env["LAB_CPUS"], env["LAB_GPUS"], env["LAB_BRANCH"]) == ("2", "0", "main")

    def test_a_job_inherits_none_of_the_controllers_secrets(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_TOKEN", "ghp_x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        handle = bench.submit(DUMP)
        bench.ended(handle)
        assert not {"GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY"} & environment(bench, handle, tmp_path).keys()

    def test_the_bundle_is_the_working_folder_and_a_private_copy(self, bench: Bench) -> None:
        files = {
            "train.sh": ("100755", b"#!/bin/sh\ncat 'a b/data.txt' link\n"),
            "a b/data.txt": b"data\n",
            "link": ("120000", b"a b/data.txt"),
        }
        script = Script("./train.sh; echo changed >'a b/data.txt'; rm train.sh; mkdir new")
        handles = [bench.submit(script, files=files) for _ in range(2)]
        assert [bench.ended(h).outcome for h in handles] == [Outcome.OK] * 2
        assert [bench.log(h) for h in handles] == [b"data\ndata\n"] * 2

    @pytest.mark.parametrize(
        "files",
        [
            {"../out": b""},
            {"/abs": b""},
            {"a/../../b": b""},
            {".git/config": b""},
            {"link": ("120000", b"../../secret")},
            {"link": ("120000", b"/etc/passwd")},
            {"sub": ("160000", b"")},
        ],
    )
    def test_a_bundle_that_leaves_its_folder_is_refused(self, bench: Bench, files: dict[str, bytes]) -> None:
        submission = bench.submission(leaves(0), files=files)
        assert isinstance(bench.provider.submit([submission])[submission.token], Refused)

    def test_with_inputs_the_job_starts_in_its_own_folder_of_the_repositorys_layout(self, bench: Bench) -> None:
        files = {"experiments/a/t/main.py": b"own", "experiments/a/shared/data.py": b"shared"}
        script = Script("touch out.txt; cat main.py ../shared/data.py")
        handle = bench.submit(script, files=files, folder="experiments/a/t", task={"artifacts": ["out.txt"]})
        assert bench.ended(handle).exit_code == 0
        assert bench.log(handle) == b"ownshared"
        assert [a.path for a in bench.provider.collect(handle).artifacts] == ["out.txt"]

    def test_a_secret_reaches_the_job_and_no_file_log_or_argv(self, bench: Bench, tmp_path: Path) -> None:
        check = (
            'all=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " ") || :; [[ $all != *"$LAB_SECRET_TOKEN"* ]]; '
            'for v in "$FROM_ENV" "$LAB_PARAM_KEY" "{{ secret.TOKEN }}"; do [[ $v == "$LAB_SECRET_TOKEN" ]]; done; '
            "[[ ${#LAB_SECRET_TOKEN} == " + str(len(SECRET)) + " ]]; echo begun; sleep 0.3"
        )
        handle = bench.submit(
            Script(check, setup=check),
            secrets={"TOKEN": SECRET},
            parameters={"key": "{{secret.TOKEN}}"},
            task={"envs": {"FROM_ENV": "{{ secrets.TOKEN }}"}},
        )
        bench.until_logged(handle)
        assert not [name for name, data in bench.left_behind() if SECRET.encode() in data]
        assert bench.ended(handle).outcome is Outcome.OK
        assert not [name for name, data in bench.left_behind() if SECRET.encode() in data]

    def test_a_secret_that_is_not_given_refuses_the_job(self, bench: Bench) -> None:
        for script, task in ((Script("echo {{secret.NOPE}}"), {}), (leaves(0), {"envs": {"A": "{{secret.NOPE}}"}})):
            submission = bench.submission(script, task=task)
            answer = bench.provider.submit([submission])[submission.token]
            assert isinstance(answer, Refused)
            assert "NOPE" in str(answer)

    def test_a_next_attempt_is_told_where_the_last_one_kept_its_checkpoints(self, bench: Bench, tmp_path: Path) -> None:
        job = bench.new_job()
        script = Script(
            'if [ -n "${LAB_RESUME_FROM-}" ]; then cat "$LAB_RESUME_FROM/step"; exit; fi; '
            'echo 41 >"$LAB_JOB_DIR/checkpoints/step"; exit 1'
        )
        first = bench.submit(script, job=job)
        assert bench.ended(first).outcome is Outcome.ERROR
        bench.provider.fetch(first, "checkpoints/step", tmp_path / "got")
        assert (tmp_path / "got").read_text() == "41\n"
        second = bench.submit(script, job=job, attempt=2, resume_from=first)
        assert bench.ended(second).outcome is Outcome.OK
        assert bench.log(second) == b"41\n"

    def test_artifacts_of_needed_jobs_are_there(self, bench: Bench) -> None:
        needed = bench.new_job()
        first = bench.submit(
            Script('mkdir "$LAB_JOB_DIR/artifacts/d"; echo x >"$LAB_JOB_DIR/artifacts/d/y"'), job=needed
        )
        bench.ended(first)
        script = Script(f'cat "$LAB_JOB_DIR/needs/data/prepare/{needed}/d/y"')
        second = bench.submit(script, needs={"data/prepare": [first]})
        assert bench.ended(second).outcome is Outcome.OK
        assert bench.log(second) == b"x\n"

    def test_named_artifacts_are_kept_also_of_a_job_that_failed(self, bench: Bench) -> None:
        script = Script("mkdir -p out/deep; echo 1 >out/deep/a.json; echo 2 >'b c.pt'; echo 3 >other; exit 1")
        handle = bench.submit(script, task={"artifacts": ["*.pt", "out/**/*.json", "nothing-*"]})
        assert bench.ended(handle).outcome is Outcome.ERROR
        assert [a.path for a in bench.provider.collect(handle).artifacts] == ["b c.pt", "out/deep/a.json"]
        assert b"nothing-*" in bench.log(handle)
