"""A model of a provider, and of the loop around reconcile, for hypothesis to play with (test_lifecycle.py)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labwright.decide.reconcile import Decision, reconcile
from labwright.domain.ids import Digest, Handle, JobId, Token
from labwright.domain.job import Attempt, Job, Move
from labwright.domain.lifecycle import AT_PROVIDER, FINAL, LIVE, TABLE, Outcome, State
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Retry
from labwright.testing.clock import FakeClock
from labwright.testing.memory_ledger import MemoryLedger

MISSING, OK = Seen(Phase.MISSING), Seen(Phase.ENDED, Outcome.OK, exit_code=0)
LEVELS = (Phase.QUEUED, Phase.SETUP, Phase.RUN)
RANK = {State.QUEUED: 0, State.LAUNCHING: 1, State.RUNNING: 2}
ENDS = [Seen(Phase.ENDED, outcome, exit_code=code) for outcome in (None, *Outcome) for code in (None, 0, 1)]


@dataclass
class Run:
    """One attempt as the provider really has it. `told` are its past answers: a slow one may arrive late."""

    level: int = 0
    end: Seen | None = None
    hidden: bool = False
    cancelled: bool = False
    told: list[Seen] = field(default_factory=list)

    def answer(self) -> Seen:
        seen = MISSING if self.hidden else self.end or Seen(LEVELS[self.level])
        self.told.append(seen)
        return seen


class Story(RuleBasedStateMachine):
    """The controller's loop in small: launch, observe, carry out; anything may happen between its steps."""

    @initialize(budget=st.integers(0, 2), user=st.integers(0, 1), admitted=st.booleans())
    def begin(self, budget: int, user: int, admitted: bool) -> None:
        self.clock, self.ledger, self.runs = FakeClock(), MemoryLedger(), dict[str, Run]()
        self.retry = Retry(
            preempted=budget, node_failed=budget, no_capacity=budget, lost=budget, error=user, setup_error=user, timeout=user, oom=user,
        )  # fmt: skip
        digest = Digest("a" * 64)
        job = Job(JobId("j"), "t", digest, 0, {}, digest, digest, "p", 0, "c", "main", "ada", self.clock.now())
        self.ledger.insert([job])
        self.attempts_when_stopped: int | None = None
        self.proved = False  # exit code 0 was seen
        if admitted:
            self.admit()

    # what the loop knows: only the ledger, so every step is a restart too

    @property
    def job(self) -> Job:
        return self.ledger.jobs()[0]

    @property
    def attempts(self) -> list[Attempt]:
        return list(self.ledger.attempts())

    @property
    def flying(self) -> Attempt | None:
        newest = self.attempts[-1] if self.attempts else None
        return newest if newest and newest.outcome is None else None

    @property
    def run(self) -> Run | None:
        return self.runs[self.flying.token] if self.flying and self.flying.handle else None

    @property
    def due(self) -> bool:
        job, now = self.job, self.clock.now()
        wanted = job.state is State.QUEUED and not self.flying and not job.stop_asked
        return wanted and (job.not_before is None or job.not_before <= now)

    def carry_out(self, decision: Decision) -> None:
        if decision.move:
            self.ledger.move([decision.move])
        elif decision.attempt:
            self.ledger.put_attempts([decision.attempt])

    def look(self, seen: Seen | None) -> None:
        if seen and (seen.phase, seen.exit_code) == (Phase.ENDED, 0) and seen.outcome in (None, Outcome.OK):
            self.proved = True
        before = self.job
        decision = reconcile(before, self.attempts, seen, self.clock.now(), self.retry)
        self.carry_out(decision)
        if decision.cancel and self.flying:
            self.runs[self.flying.token].cancelled = True
        if seen is None and self.flying:
            assert self.job == before, "an unreachable provider changed something"

    # the loop's steps

    @precondition(lambda self: self.job.state is State.HELD and not self.job.stop_asked)
    @rule()
    def admit(self) -> None:
        self.ledger.move([Move(self.job, State.QUEUED, "admitted", self.clock.now())])

    @precondition(lambda self: self.due)
    @rule(arrives=st.sampled_from(["yes", "yes", "answer lost", "no"]))
    def launch(self, arrives: str) -> None:
        job, now = self.job, self.clock.now()
        n = job.attempt + 1
        attempt = Attempt(job.id, n, Token(f"lab-j-{n}"), "p", now)
        with self.ledger.transaction():
            self.ledger.amend([job], attempt=n)
            self.ledger.put_attempts([attempt])
        if arrives != "no":
            self.runs[attempt.token] = Run()
        if arrives == "yes":
            self.ledger.put_attempts([replace(attempt, handle=Handle(attempt.token), submitted=now)])

    @precondition(lambda self: self.flying and not self.flying.handle)
    @rule()
    def settle(self) -> None:
        attempt = self.flying
        assert attempt
        if attempt.token in self.runs:
            self.ledger.put_attempts([replace(attempt, handle=Handle(attempt.token))])
        else:
            self.look(MISSING)
            if self.flying:  # submitted again
                assert not self.job.stop_asked
                self.runs[attempt.token] = Run()

    @precondition(lambda self: self.run)
    @rule()
    def observe(self) -> None:
        assert self.run
        self.look(self.run.answer())

    @precondition(lambda self: self.run and self.run.told)
    @rule(which=st.integers(0, 9))
    def observe_late(self, which: int) -> None:
        assert self.run
        self.look(self.run.told[which % len(self.run.told)])

    @rule()
    def provider_is_unreachable(self) -> None:
        self.look(None)

    @precondition(lambda self: self.run)
    @rule()
    def provider_says_a_new_word(self) -> None:
        self.look(Seen(Phase.UNKNOWN))

    @rule(seconds=st.sampled_from([1, 5, 60, 121, 400]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.attempts_when_stopped is None and self.job.state in LIVE and self.runs)
    @rule()
    def stop_later(self) -> None:
        self.stop()

    @precondition(lambda self: self.attempts_when_stopped is None and self.job.state in LIVE)
    @rule()
    def stop(self) -> None:
        self.ledger.amend([self.job], stop_asked="stopped by ada")
        self.attempts_when_stopped = len(self.attempts)

    # what the world does; each change may be seen at once or later

    def running(self) -> Iterator[Run]:
        return (run for run in self.runs.values() if run.end is None)

    def maybe_look(self, at_once: bool) -> None:
        if at_once and self.run:
            self.observe()

    @precondition(lambda self: any(self.running()))
    @rule(at_once=st.booleans(), to=st.sampled_from([0, 1, 2]))
    def a_run_goes_on_or_is_requeued(self, to: int, at_once: bool = False) -> None:
        for run in self.running():
            run.level = to
        self.maybe_look(at_once)

    @precondition(lambda self: any(self.running()))
    @rule(at_once=st.booleans(), end=st.one_of(st.just(OK), st.sampled_from(ENDS)))
    def a_run_ends(self, end: Seen, at_once: bool = False) -> None:
        for run in self.running():
            run.end = Seen(Phase.ENDED, Outcome.CANCELLED, exit_code=143) if run.cancelled and end.exit_code else end
        self.maybe_look(at_once)

    @precondition(lambda self: self.runs)
    @rule(hidden=st.booleans(), at_once=st.booleans())
    def the_provider_forgets_or_remembers(self, hidden: bool, at_once: bool = False) -> None:
        for run in self.runs.values():
            run.hidden = hidden
        self.maybe_look(at_once)

    @precondition(lambda self: self.run and not self.run.end)
    @rule(to=st.sampled_from([0, 1, 2]))
    def the_provider_loses_a_run_and_finds_it_requeued(self, to: int) -> None:
        self.the_provider_forgets_or_remembers(True, at_once=True)
        self.a_run_goes_on_or_is_requeued(to)
        self.the_provider_forgets_or_remembers(False, at_once=True)

    # what must hold at any time

    @invariant()
    def only_legal_moves_and_one_end(self) -> None:
        states = [row.after for row in self.ledger.history(JobId("j"))]
        assert all(after in TABLE[before] for before, after in pairwise(states))
        assert sum(state in FINAL for state in states) <= 1

    @invariant()
    def attempts_are_bounded_by_the_budgets(self) -> None:
        assert len(self.attempts) <= 1 + sum(self.retry.model_dump().values())
        for outcome in set(Outcome) - {Outcome.OK, Outcome.CANCELLED}:
            assert sum(a.outcome is outcome for a in self.attempts) <= 1 + getattr(self.retry, outcome.value)

    @invariant()
    def complete_means_exactly_that_exit_code_0_was_seen(self) -> None:
        assert (self.job.state is State.COMPLETE) == self.proved
        if self.proved:
            assert (self.attempts[-1].outcome, self.attempts[-1].exit_code) == (Outcome.OK, 0)

    @invariant()
    def an_ended_job_has_no_attempt_under_way(self) -> None:
        if self.job.state in FINAL:
            assert self.flying is None
            assert all(attempt.ended for attempt in self.attempts)
        if self.job.state in AT_PROVIDER:
            assert self.flying is not None and self.flying.handle

    @invariant()
    def within_an_attempt_a_job_never_goes_back(self) -> None:
        furthest = 0
        for row in self.ledger.history(JobId("j")):
            if row.after is State.QUEUED and "follows" in row.reason:
                furthest = 0
            elif row.after in RANK:
                assert RANK[row.after] >= furthest
                furthest = RANK[row.after]

    @invariant()
    def nothing_is_launched_after_a_stop(self) -> None:
        if self.attempts_when_stopped is not None:
            assert len(self.attempts) == self.attempts_when_stopped
            assert self.job.state is not State.FAILED

    def teardown(self) -> None:
        """However it went so far: once asked to stop, with a provider that answers, it ends."""
        if not hasattr(self, "ledger"):
            return
        if self.job.state in LIVE and self.attempts_when_stopped is None:
            self.stop()
        for _ in range(6):
            if self.flying and not self.flying.handle:
                self.settle()
            self.look(self.run.answer() if self.run else None)
            for run in self.running():
                if run.cancelled:
                    run.end = Seen(Phase.ENDED, Outcome.CANCELLED, exit_code=143)
            self.clock.advance(130)
        assert self.job.state in FINAL
        self.only_legal_moves_and_one_end()
        self.an_ended_job_has_no_attempt_under_way()
