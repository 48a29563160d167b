"""What providers that run real processes promise beyond ProviderSuite: what reaches a job, and what ends it. bash runs the
scripts. Subclass ProcessSuite and give the fixture `bench`, with `left_behind` and `fresh`."""

from pathlib import Path

import pytest

from labwright.domain.errors import LabError
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.testing.data_suite import DataSuite
from labwright.testing.provider_bench import HANGS, Bench, Script, accepted, leaves


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
