"""A thousand random stories at a forge: pushes, labels, reviews, commands, closings, crashes, in any order. At no moment is anything
submitted that the forge's own state did not allow then, and what is left is what a controller that never saw any of it reads there."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from labwright.control.permits import FRESH
from labwright.domain.errors import Unavailable
from labwright.domain.forge import Opinion, Person, Role, Talk, lane_of
from labwright.domain.lifecycle import LIVE, State
from labwright.testing.fake_provider import Story
from tests.unit.loop_bench import STORY, Bench
from tests.unit.pull_bench import PullBench

CHUNKS, STORIES = 8, 125
NUMBERS = (1, 2)
PEOPLE = ("ada", "ben", "cleo", "tom", "mallory", "stranger")
CONTENTS = ("one", "two", "three")


class NoRecords:
    """What SQL would answer is not looked at here, and DuckDB is most of the time that a story takes."""

    truncated, schema = False, None
    nothing = pa.table({"job": pa.array([], pa.string()), "name": pa.array([], pa.string())})

    def series(self, jobs: Any) -> pa.Table:
        return self.nothing

    def write(self, batch: Any) -> None:
        pass

    def offsets(self, tokens: Any) -> dict[tuple[str, str], int]:
        return {}

    def query(self, sql: str, limits: Any) -> "NoRecords":
        return self

    def batches(self) -> list[Any]:
        return []

    def close(self) -> None:
        pass


class Chaos(PullBench):
    """Watches every submission with eyes of its own."""

    make_records = NoRecords

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder)
        self.chance = chance
        self.content: dict[str, str] = {}  # commit → what its task says
        self.allowed: dict[tuple[int, str], datetime] = {}  # (pull request, content) → when the forge last allowed it
        self.wrong: list[str] = []
        self.story: list[str] = []
        submit = self.provider.submit

        def watched(submissions: Any) -> Any:
            for submission in submissions:
                self._judge(submission)
            return submit(submissions)

        self.provider.submit = watched  # type: ignore[method-assign]

    def _judge(self, submission: Any) -> None:
        lane = submission.variables["LAB_BRANCH"]
        if not lane.startswith("pull:") or submission.job in self.world.permits.trusted:
            return
        text = submission.task.run.removeprefix("echo ")
        said = self.allowed.get((int(lane[5:]), text))
        if said is None or self.clock.now() - said > FRESH + timedelta(seconds=1.5):
            self.wrong.append(f"{lane} {text} at {self.clock.now()}: {said}")

    def note(self) -> None:
        """What the forge allows at this moment, said anew in the simplest words."""
        for number, talk in self.at.talks.items():
            if self._is_allowed(talk):
                self.allowed[number, self.content[talk.pull.head]] = self.clock.now()

    def _is_allowed(self, talk: Talk) -> bool:
        pull, newest = talk.pull, {}
        if not pull.open or pull.fork:
            return False
        since = talk.reset or datetime.min.replace(tzinfo=UTC)  # of before, nothing counts
        for review in talk.reviews:
            newest[review.by.login] = review
        newest = {login: review for login, review in newest.items() if review.at > since}
        may = {login for login, role in self.at.people.items() if role >= Role.WRITE}
        same = {commit for commit, text in self.content.items() if text == self.content[pull.head]}
        wrote = talk.committers | {pull.author.login}
        yes = {x for x, r in newest.items() if r.opinion is Opinion.APPROVED and r.commit in same} & may - wrote
        no = {x for x, r in newest.items() if r.opinion is Opinion.CHANGES} & may - wrote
        on = [x for x in talk.labellings if x.label == "lab:run"]
        label = "lab:run" in pull.labels and bool(on) and on[-1].on and on[-1].by.login in may and on[-1].at > since
        ran = any(c.by.login in may and c.body == "/lab run" and not c.edited and c.at > since for c in talk.comments)
        return bool(yes) and not no and (label or ran)

    def act(self) -> None:
        number, who = self.chance.choice(NUMBERS), self.chance.choice(PEOPLE)
        acts = [*self._people(number, who), *self._world(number)]
        name, act = self.chance.choice(acts)
        self.story.append(f"{name} {number} {who}")
        act()
        self.note()
        if self.chance.random() < 0.5:
            self.hook()
        for _ in range(self.chance.randint(0, 3)):
            self.turn(seconds=self.chance.choice([0.1, 0.1, 1.0]))
            self.note()

    def _people(self, number: int, who: str) -> list[tuple[str, Callable[[], Any]]]:
        there = number in self.at.talks
        if not there:
            return [("open", lambda: self.put(number, who))]
        talk = self.at.talks[number]
        review = self.chance.choice(talk.reviews).id if talk.reviews else ""
        comment = self.chance.choice(talk.comments) if talk.comments else None
        bot = Person(who, bot=True)
        found: list[tuple[str, Callable[[], Any]]] = [
            ("label", lambda: self.at.put_label(number, "lab:run", who)),
            ("label by a bot", lambda: self.at.put_label(number, "lab:run", bot) if who == "stranger" else None),
            ("unlabel", lambda: self.at.put_label(number, "lab:run", who, on=False)),
            ("approve", lambda: self.at.review(number, who)),
            ("approve", lambda: self.at.review(number, "ben")),
            ("ask for changes", lambda: self.at.review(number, who, Opinion.CHANGES)),
            ("remark", lambda: self.at.review(number, who, Opinion.APPROVED, "0" * 40)),
            ("/lab run", lambda: self.at.write(number, "/lab run", who)),
            ("quote", lambda: self.at.write(number, "> /lab run\n", who)),
            ("close", lambda: self.at.shut(number)),
            ("reopen", lambda: self.at.reopen(number)),
            ("push", lambda: self.put(number, who)),
        ]
        if review:
            found.append(("dismiss", lambda: self.at.dismiss(number, review)))
        if comment is not None and comment.by.login != "labwright":
            found.append(("edit", lambda: self.at.edit(number, comment.id, "/lab run")))
        return found

    def put(self, number: int, who: str) -> None:
        if number in self.at.talks and not self.at.talks[number].pull.open:
            return
        text = self.chance.choice(CONTENTS)
        head = self.propose(number, who if who != "stranger" else "ada", text=text)
        self.content[head] = text

    def _world(self, number: int) -> list[tuple[str, Callable[[], Any]]]:
        return [
            ("crash", self.start),
            ("forge away", lambda: setattr(self.at, "away", Unavailable("down", retry_in=1))),
            ("forge back", lambda: setattr(self.at, "away", None)),
            ("role", lambda: self.at.people.update(cleo=self.chance.choice([Role.READ, Role.WRITE]))),
            ("room", lambda: self.capacity_is(self.chance.choice([0, 4]))),
            ("time", lambda: self.turn(3, seconds=10)),
        ]

    def permits(self) -> dict[str, str]:
        there = {lane_of(number) for number, talk in self.at.talks.items() if talk.pull.open}
        return {lane: why for lane, why in self.world.permits.lanes.items() if lane in there}


def settle(bench: Chaos) -> None:
    bench.at.away = None
    bench.capacity_is(4)
    for _ in range(6):
        bench.clock.advance(40)
        bench.hook()
        for _ in range(8):
            bench.turn(seconds=0.1)
            bench.note()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_story_launches_what_nobody_approved_and_all_end_as_a_fresh_look(chunk: int, tmp_path: Path) -> None:
    for n in range(STORIES):
        seed = chunk * STORIES + n
        told(tmp_path / str(n), seed)


def told(folder: Path, seed: int) -> None:
    folder.mkdir()
    bench = Chaos(folder, random.Random(seed))
    try:
        bench.provider._story = bench.chance.choice([STORY, Story(hangs=True), Story(code=1)])
        for _ in range(bench.chance.randint(4, 25)):
            bench.act()
        settle(bench)
        assert not bench.wrong, (seed, bench.story, bench.wrong)
        for number, talk in bench.at.talks.items():
            if talk.pull.open:
                allowed = bench._is_allowed(talk)
                why = bench.world.permits.lanes.get(lane_of(number), "never looked at")
                assert allowed == (why == ""), (seed, number, bench.story, why)
                if allowed:
                    wanted = [
                        j
                        for j in bench.jobs
                        if j.task == "alpha/train" and j.state in LIVE | {State.COMPLETE, State.FAILED}
                    ]
                    assert any(
                        bench.content[j.commit] == bench.content[talk.pull.head]
                        for j in wanted
                        if j.commit in bench.content
                    ), (
                        seed,
                        bench.story,
                    )
        before = bench.permits()
        fresh = Fresh(folder / "fresh", bench)
        assert fresh.permits() == before, (seed, bench.story)
        fresh.close()
    finally:
        bench.close()


class Fresh(Chaos):
    """A controller with an empty ledger, at the same forge and repository."""

    def __init__(self, folder: Path, of: Chaos) -> None:
        folder.mkdir()
        Bench.__init__(self, folder)
        self.clock, self.repo, self.forge = of.clock, of.repo, of.forge
        self.provider._story = Story(hangs=True)
        self.content, self.allowed, self.wrong, self.story = of.content, dict(of.allowed), [], []
        self.start()
        settle(self)
