"""What providers that run real processes promise beyond ProviderSuite: what reaches a job, and what ends it. bash runs the
scripts. Subclass ProcessSuite and give the fixture `bench`, with `left_behind` and `fresh`."""

import json
from pathlib import Path

import pytest

from labwright.domain.errors import LabError, Refused
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.provider_bench import HANGS, Bench, Script, accepted, leaves

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

    def test_a_next_attempt_is_told_where_the_last_one_kept_its_checkpoints(self, bench: Bench) -> None:
        job = bench.new_job()
        script = Script(
            'if [ -n "${LAB_RESUME_FROM-}" ]; then cat "$LAB_RESUME_FROM/step"; exit; fi; '
            'echo 41 >"$LAB_JOB_DIR/checkpoints/step"; exit 1'
        )
        first = bench.submit(script, job=job)
        assert bench.ended(first).outcome is Outcome.ERROR
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


class EndSuite:
    """What ends a job."""

    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError

    def test_the_same_token_twice_runs_once(self, bench: Bench) -> None:
        count = bench.folder / "count"
        submission = bench.submission(Script(f"echo x >>'{count}'; sleep 0.1"))
        handles: set[Handle | LabError] = set()
        for provider in (bench.provider, bench.provider, bench.fresh(), bench.fresh()):
            handles.add(provider.submit([submission])[submission.token])
        assert len(handles) == 1
        bench.ended(accepted(handles.pop()))
        bench.fresh().submit([submission])
        bench.pause()
        assert count.read_text() == "x\n"

    def test_a_killed_job_is_told_from_one_that_says_137(self, bench: Bench) -> None:
        killed, said = bench.outcome(Script("kill -9 -$$")), bench.outcome(leaves(137))
        assert (killed.outcome, killed.exit_code, killed.signal) == (Outcome.ERROR, 137, 9)
        assert (said.outcome, said.exit_code, said.signal) == (Outcome.ERROR, 137, None)

    def test_signals_act_in_a_job_as_they_do_anywhere(self, bench: Bench) -> None:
        assert bench.outcome(Script("kill -INT $$; echo on")).signal == 2
        assert bench.outcome(Script("trap 'exit 7' INT HUP; kill -HUP $$; sleep 1")).exit_code == 7

    def test_variables_of_the_task_do_not_touch_what_runs_it(self, bench: Bench) -> None:
        odd = {
            "PATH": "/nowhere",
            "HOSTNAME": 'a"b',
            "BASH_ENV": "/nowhere",
            "POSIXLY_CORRECT": "1",
            "TMOUT": "1",
            "LC_ALL": "C",
        }
        seen = bench.outcome(Script("echo $PATH; exit 5"), task={"envs": odd, "timeout": 60, "artifacts": ["*.x"]})
        assert (seen.outcome, seen.exit_code) == (Outcome.ERROR, 5)
        assert '"' not in seen.node

    def test_what_setup_starts_is_there_for_run(self, bench: Bench) -> None:
        script = Script("read -r x <pipe; echo $x", setup="mkfifo pipe; (echo served >pipe) &")
        handle = bench.submit(script)
        assert bench.ended(handle).outcome is Outcome.OK
        assert bench.log(handle) == b"served\n"

    def test_a_failing_command_in_the_middle_ends_the_job(self, bench: Bench) -> None:
        assert bench.outcome(Script("false\necho on")).exit_code == 1
        assert bench.outcome(Script("false | cat\necho on")).exit_code == 1

    def test_a_cancelled_job_may_save_its_work(self, bench: Bench) -> None:
        # bash dies of the signal at once, its child goes on for a moment: that moment is the job's
        inner = 'trap "sleep 0.3; echo saved; exit" TERM; echo begun; while :; do sleep 0.05; done'
        handle = bench.submit(Script(f"bash -c '{inner}'"))
        bench.until_logged(handle)
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED
        assert bench.log(handle).endswith(b"saved\n")

    def test_a_cancelled_job_that_ignores_sigterm_is_killed(self, bench: Bench) -> None:
        handle = bench.submit(Script("trap '' TERM; echo begun; while :; do sleep 0.05; done"))
        bench.until_logged(handle)
        bench.provider.cancel([handle])
        seen = bench.ended(handle)
        assert (seen.outcome, seen.signal) == (Outcome.CANCELLED, 9)

    def test_a_job_that_ends_well_when_asked_to_stop_is_still_cancelled(self, bench: Bench) -> None:
        handle = bench.submit(Script("trap 'exit 0' TERM; echo begun; while :; do sleep 0.05; done"))
        bench.until_logged(handle)
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED

    @pytest.mark.slow
    def test_the_time_limit_ends_a_job(self, bench: Bench) -> None:
        assert bench.outcome(HANGS, task={"timeout": 1}).outcome is Outcome.TIMEOUT
        assert bench.outcome(Script("true", setup="sleep 600"), task={"timeout": 1}).outcome is Outcome.TIMEOUT

    def test_a_job_within_its_time_limit_is_not_touched(self, bench: Bench) -> None:
        assert bench.outcome(leaves(0), task={"timeout": 600}).outcome is Outcome.OK

    def test_what_a_job_leaves_running_ends_with_it(self, bench: Bench) -> None:
        mark = bench.folder / "mark"
        same_group = f"(while :; do date +%N >'{mark}'; sleep 0.02; done) &"
        own_group = f"set -m; (while :; do date +%N >'{mark}2'; sleep 0.02; done) & set +m"
        handle = bench.submit(
            Script(f"{same_group}\n{own_group}\nuntil [ -s '{mark}2' -a -s '{mark}' ]; do sleep 0.02; done")
        )
        assert bench.ended(handle).outcome is Outcome.OK
        for path in (mark, Path(f"{mark}2")):
            before = path.read_text()
            for _ in range(5):
                bench.pause()
            assert path.read_text() == before

    def test_a_fresh_provider_sees_and_cancels_what_another_started(self, bench: Bench) -> None:
        handle, done = bench.submit(HANGS), bench.submit(leaves(3))
        bench.until_logged(handle)
        bench.ended(done)
        fresh = bench.fresh()
        seen = fresh.observe([handle, done])
        assert (seen[handle].phase, seen[done].exit_code) == (Phase.RUN, 3)
        fresh.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED


class ProcessSuite(DataSuite, EndSuite):
    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError
