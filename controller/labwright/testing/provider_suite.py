"""What every provider promises, real or not. Subclass ProviderSuite and give the fixture `bench`; providers that run real
processes subclass ProcessSuite (process_suite.py) as well."""

from pathlib import Path

import pytest

from labwright.domain.errors import Refused
from labwright.domain.ids import Handle, Token
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.domain.task import Task
from labwright.ports.provider import Tail
from labwright.testing.provider_bench import HANGS, Bench, Script, accepted, leaves

ORDER = [Phase.QUEUED, Phase.SETUP, Phase.RUN, Phase.ENDED]
ODD = b"\xff\xfe caf\xe9 \x00 " + "€ 日本\r\n".encode()


class ProviderSuite:
    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError

    # submit and find

    def test_a_submitted_token_is_found_once_the_provider_has_settled(self, bench: Bench) -> None:
        submission = bench.submission(leaves(0))
        handle = accepted(bench.provider.submit([submission])[submission.token])
        assert bench.wait(lambda: bench.provider.find([submission.token])[submission.token], "the token") == handle

    def test_a_token_never_submitted_is_not_found(self, bench: Bench) -> None:
        token = Token(f"suite-{bench.new_job()}-1")
        assert bench.provider.find([token]) == {token: None}

    def test_two_tokens_are_two_jobs(self, bench: Bench) -> None:
        batch = [bench.submission(leaves(0)), bench.submission(leaves(1))]
        answers = bench.provider.submit(batch)
        assert set(answers) == {s.token for s in batch}
        first, second = (accepted(answers[s.token]) for s in batch)
        assert first != second
        assert [bench.ended(h).exit_code for h in (first, second)] == [0, 1]

    def test_the_same_token_again_is_the_same_job(self, bench: Bench) -> None:
        submission = bench.submission(HANGS)
        first = accepted(bench.provider.submit([submission])[submission.token])
        assert accepted(bench.provider.submit([submission])[submission.token]) == first
        bench.provider.cancel([first])
        bench.ended(first)
        assert accepted(bench.provider.submit([submission])[submission.token]) == first
        assert bench.see(first).phase is Phase.ENDED

    # list

    def test_an_attempt_is_listed_until_it_ends_whoever_submitted_it(self, bench: Bench) -> None:
        batch = [bench.submission(HANGS) for _ in range(3)]
        handles = {token: accepted(answer) for token, answer in bench.provider.submit(batch).items()}

        def there() -> dict[Token, Handle]:
            found = bench.provider.list()
            return {token: found[token] for token in handles if token in found}

        bench.wait(lambda: there() == handles or None, "all of them to be listed")
        gone = batch[0].token
        bench.provider.cancel([handles[gone]])
        bench.ended(handles[gone])
        bench.wait(lambda: gone not in there() or None, "the cancelled one to be gone from the list")
        assert set(there()) == handles.keys() - {gone}
        bench.provider.cancel([*handles.values()])
        for handle in handles.values():
            bench.ended(handle)

    # observe

    def test_every_handle_is_answered_known_or_not_two_hundred_at_once(self, bench: Bench) -> None:
        known = [bench.submit(leaves(0)) for _ in range(3)]
        unknown = [Handle(f"suite-aaaaaaaaaaaa-{n}") for n in range(1, 199)]
        odd = [Handle("../../etc"), Handle(""), Handle("a b\n")]
        seen = bench.provider.observe([*unknown, *known, *odd])
        assert set(seen) == {*unknown, *known, *odd}
        assert {seen[h].phase for h in [*unknown, *odd]} == {Phase.MISSING}
        assert all(seen[h].phase is not Phase.MISSING for h in known)

    def test_phases_never_go_backwards_and_the_end_stays(self, bench: Bench) -> None:
        handle = bench.submit(Script("sleep 0.2", setup="sleep 0.2"))
        phases = [bench.see(handle).phase]
        while phases[-1] is not Phase.ENDED:
            bench.pause()
            phases.append(bench.see(handle).phase)
        places = [ORDER.index(phase) for phase in phases]
        assert places == sorted(places)
        assert bench.see(handle) == bench.see(handle)

    def test_the_end_says_outcome_code_and_times(self, bench: Bench) -> None:
        seen = bench.outcome(leaves(0))
        assert (seen.outcome, seen.exit_code, seen.signal) == (Outcome.OK, 0, None)
        assert seen.started
        assert seen.running
        assert seen.ended
        assert seen.started <= seen.running <= seen.ended
        assert seen.node

    @pytest.mark.parametrize("code", [1, 3, 137, 143, 255])
    def test_another_exit_code_than_0_is_an_error_and_kept(self, bench: Bench, code: int) -> None:
        seen = bench.outcome(leaves(code))
        assert (seen.outcome, seen.exit_code) == (Outcome.ERROR, code)

    def test_a_failing_setup_is_told_from_a_failing_run(self, bench: Bench) -> None:
        seen = bench.outcome(Script("touch never", setup="exit 4", code=4, fails_in_setup=True))
        assert (seen.outcome, seen.exit_code, seen.running) == (Outcome.SETUP_ERROR, 4, None)

    # cancel

    def test_a_cancelled_job_ends_as_cancelled(self, bench: Bench) -> None:
        handle = bench.submit(HANGS)
        bench.until(handle, Phase.RUN)
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED

    def test_a_job_cancelled_at_once_ends_as_cancelled(self, bench: Bench) -> None:
        handle = bench.submit(HANGS)
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED

    def test_cancelling_twice_after_the_end_or_the_unknown_is_quiet(self, bench: Bench) -> None:
        stopped, done = bench.submit(HANGS), bench.submit(leaves(0))
        bench.ended(done)
        bench.provider.cancel([stopped, Handle("suite-aaaaaaaaaaaa-7"), done])
        bench.provider.cancel([stopped])
        bench.ended(stopped)
        bench.provider.cancel([stopped, done])
        assert [bench.see(h).outcome for h in (stopped, done)] == [Outcome.CANCELLED, Outcome.OK]

    # read, collect, fetch, forget

    def test_reading_by_offset_loses_and_repeats_no_byte(self, bench: Bench) -> None:
        data = ODD * 40
        text = "".join(f"\\{byte:03o}" for byte in data)
        handle = bench.submit(Script(f"printf '{text}'", log=data))
        bench.ended(handle)
        got, offset = b"", 0
        while chunks := bench.provider.read([Tail(handle, {"log.txt": offset, "events.jsonl": 0})], limit=37):
            assert [(c.handle, c.file, c.offset) for c in chunks] == [(handle, "log.txt", offset)]
            got, offset = got + chunks[0].data, offset + len(chunks[0].data)
        assert got == data

    def test_reading_a_job_that_is_not_there_is_empty(self, bench: Bench) -> None:
        assert not bench.provider.read([Tail(Handle("suite-aaaaaaaaaaaa-7"), {})])

    def test_a_job_that_wrote_nothing_leaves_nothing_and_no_error(self, bench: Bench) -> None:
        handle = bench.submit(leaves(0))
        bench.ended(handle)
        collected = bench.provider.collect(handle)
        assert (list(collected.artifacts), collected.environment, dict(collected.source)) == ([], None, {})
        assert not bench.provider.read([Tail(handle, {})])

    def test_artifacts_are_listed_with_size_and_hash_and_can_be_fetched(self, bench: Bench, tmp_path: Path) -> None:
        script = Script(
            'mkdir "$LAB_JOB_DIR/artifacts/a b"; printf hello >"$LAB_JOB_DIR/artifacts/a b/x.txt"',
            artifacts={"a b/x.txt": b"hello"},
        )
        handle = bench.submit(script)
        bench.ended(handle)
        (found,) = bench.provider.collect(handle).artifacts
        assert (found.path, found.size) == ("a b/x.txt", 5)
        assert found.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        bench.provider.fetch(handle, found.path, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"hello"

    @pytest.mark.parametrize("path", ["nothing", "../exit.json", "../../../../etc/passwd", "/etc/passwd", ""])
    def test_nothing_but_an_artifact_can_be_fetched(self, bench: Bench, tmp_path: Path, path: str) -> None:
        handle = bench.submit(leaves(0))
        bench.ended(handle)
        with pytest.raises(Refused):
            bench.provider.fetch(handle, path, tmp_path / "got")
        assert not (tmp_path / "got").exists()

    def test_a_forgotten_attempt_is_missing(self, bench: Bench) -> None:
        handle = bench.submit(leaves(0))
        bench.ended(handle)
        bench.provider.forget([handle, Handle("suite-aaaaaaaaaaaa-7")])
        assert bench.see(handle).phase is Phase.MISSING
        bench.provider.forget([handle])
        assert not bench.provider.read([Tail(handle, {})])

    def test_forgetting_one_attempt_leaves_the_others_as_they_were(self, bench: Bench, tmp_path: Path) -> None:
        script = Script('printf hello >"$LAB_JOB_DIR/artifacts/x"', artifacts={"x": b"hello"})
        gone, stays = bench.submit(script), bench.submit(script)
        for handle in (gone, stays):
            bench.ended(handle)
        bench.provider.forget([gone])
        with pytest.raises(Refused):
            bench.provider.fetch(gone, "x", tmp_path / "gone")
        bench.provider.fetch(stays, "x", tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"hello"

    def test_what_has_not_ended_is_not_forgotten(self, bench: Bench) -> None:
        handle = bench.submit(HANGS)
        bench.until(handle, Phase.RUN)
        bench.provider.forget([handle])
        assert bench.see(handle).phase is Phase.RUN
        bench.provider.cancel([handle])
        assert bench.ended(handle).outcome is Outcome.CANCELLED

    def test_tidying_takes_nothing_from_what_runs_or_is_to_run(self, bench: Bench, tmp_path: Path) -> None:
        files = {"data": b"hello"}
        script = Script('cp data "$LAB_JOB_DIR/artifacts/x"', artifacts={"x": b"hello"})
        running, done = bench.submit(HANGS, files=files), bench.submit(script, files=files)
        bench.until(running, Phase.RUN)
        bench.ended(done)
        bench.provider.tidy(0.0)
        assert bench.see(running).phase is Phase.RUN
        bench.provider.fetch(done, "x", tmp_path / "got")
        bench.provider.forget([done])
        bench.provider.cancel([running])
        bench.ended(running)
        bench.provider.forget([running])
        bench.provider.tidy(0.0)
        assert bench.outcome(script, files=files).outcome is Outcome.OK

    # what it has

    def test_a_plain_task_is_not_refused(self, bench: Bench) -> None:
        assert not bench.provider.refuse(Task(name="plain", run="true"))

    def test_it_has_a_queue_or_says_what_it_has(self, bench: Bench) -> None:
        capacity = bench.provider.capacity()
        if bench.provider.features.queues:
            assert capacity is None
        else:
            assert capacity
            assert capacity.cpus > 0
