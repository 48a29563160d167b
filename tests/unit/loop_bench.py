"""The real loop with fakes around it, a turn at a time: calls are made at once, and answered in the turn after."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from labwright.adapters.records.duckdb.records import DuckDbRecords
from labwright.adapters.records.from_results import metrics_parquet
from labwright.control.book import Book
from labwright.control.keep import Keeper
from labwright.control.loop import Controller
from labwright.control.outbox import Outbox
from labwright.control.world import Options, World
from labwright.domain.errors import Unavailable
from labwright.domain.job import Act, ActKind, Job
from labwright.domain.lifecycle import State
from labwright.ports.provider import Capacity, Features
from labwright.testing.clock import FakeClock
from labwright.testing.fake_provider import FakeProvider, Story
from labwright.testing.memory_artifacts import MemoryArtifacts
from labwright.testing.memory_forge import MemoryForge
from labwright.testing.memory_ledger import MemoryLedger
from labwright.testing.memory_repo import MemoryRepo
from labwright.testing.memory_results import MemoryResults


class AtOnce(Executor):
    """A pool that is done before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class FrailLedger(MemoryLedger):
    """`full`: nothing can be committed; `gone`: it cannot even be read."""

    full = gone = ""
    commits = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        outermost = self._depth == 0
        with super().transaction():
            yield
            if outermost and (self.full or self.gone):
                raise Unavailable(self.full or self.gone)
        self.commits += outermost

    def jobs(self, **conditions: Any) -> Sequence[Job]:
        if self.gone:
            raise Unavailable(self.gone)
        return super().jobs(**conditions)


class Bench:
    make_records: Callable[[], Any] = staticmethod(lambda: DuckDbRecords(None))

    def __init__(
        self, folder: Path, *, steps: bool = True, queues: bool = False, cpus: float = 4, **features: Any
    ) -> None:
        self.folder, self.clock, self.repo = folder, FakeClock(), MemoryRepo()
        self.ledger, self.results, self.records = FrailLedger(), MemoryResults(), self.make_records()
        self.store = MemoryArtifacts()
        self.capacity = Capacity(cpus=cpus, memory_gb=64)
        self.provider = FakeProvider(
            self.clock,
            name="local",
            steps=steps,
            features=Features(**{"find_settles": 0.0, "queues": queues, **features}),
            capacity=self.capacity,
        )
        self.providers: dict[str, Any] = {"local": self.provider}
        self.made: list[tuple[str, Mapping[str, str]]] = []  # providers' names, and the templates they were given
        self.options = Options(launch_existing=True, lost_after=30.0)
        self.logged: list[Mapping[str, Any]] = []
        self.pages: Callable[[Sequence[str]], Mapping[str, bytes]] = lambda experiments: {}
        self.forge: MemoryForge | None = None
        self.start()

    def start(self) -> None:
        """A controller; again: another one on what is left of the first."""
        self.world = World(
            clock=self.clock,
            book=Book(self.ledger),
            records=self.records,
            repo=self.repo,
            make_provider=self._make,
            make_results=lambda lab: self.results if lab.results.push else None,
            make_forge=lambda lab: self.forge,
            logs=self.folder / "logs",
            options=self.options,
            shipped={"local/run.sh.j2": "{{ token }} {{ work }}", "local/environment.sh.j2": "{{ uv }}"},
            log=structlog.wrap_logger(None, processors=[self._log]),
        )
        self.world.calls._pool.shutdown()
        self.world.calls._pool = self.world.calls._left = AtOnce()
        self.outbox = Outbox(self.folder / "outbox")
        keeper = Keeper(self.world, self.store, self.folder / "incoming")
        self.controller = Controller(
            self.world, self.outbox, metrics_parquet, lambda experiments: self.pages(experiments), keeper
        )

    def _make(self, name: str, lab: Any, templates: Mapping[str, str]) -> Any:
        self.made.append((name, templates))
        return self.providers.get(name)

    def _log(self, logger: Any, method: str, event: Any) -> Any:
        self.logged.append({"level": method, **event})
        raise structlog.DropEvent

    def close(self) -> None:
        self.records.close()

    # the world's side

    def push(self, *, branch: str = "main", message: str = "change", trailers: Any = (), **tasks: str | None) -> str:
        """task name → its task.yaml; `lab` is lab.yaml."""
        files = {
            "lab.yaml" if name == "lab" else f"experiments/{name}/task.yaml": text if text is None else text.encode()
            for name, text in tasks.items()
        }
        self.world.pushed.set()
        return self.repo.commit(files, branch=branch, message=message, trailers=trailers)

    def ask(self, kind: ActKind, target: str, **arguments: Any) -> str:
        """The act's id; see `answer`."""
        act = Act(
            f"{kind}:{target}:{len(self.ledger.acts(pending=False))}", kind, target, "ada", self.clock.now(), arguments
        )
        self.ledger.put_act(act)
        self.world.asked.set()
        return act.id

    def answer(self, act: str) -> str:
        return {one.id: one for one in self.ledger.acts(pending=False)}[act].answer

    # time

    def turn(self, times: int = 1, seconds: float = 1.0) -> None:
        for _ in range(times):
            self.due = self.controller.turn()
            self.clock.advance(seconds)

    def until(self, condition: Callable[[], Any], most: int = 60) -> None:
        for _ in range(most):
            if condition():
                return
            self.turn()
        raise AssertionError(f"not so after {most} turns: {self.states()}, {self.alarms}")

    def until_idle(self, most: int = 80) -> None:
        self.turn(2)
        self.until(self.controller.idle, most)

    # what came of it

    @property
    def jobs(self) -> list[Job]:
        return list(MemoryLedger.jobs(self.ledger))

    def job(self, task: str, generation: int | None = None) -> Job:
        """The newest of a task."""
        found = [j for j in self.jobs if j.task == task and generation in (None, j.generation)]
        return max(found, key=lambda job: (job.created, job.generation))

    def states(self) -> dict[str, str]:
        return {f"{job.task}/{job.trial}.{job.generation}": str(job.state) for job in self.jobs}

    def state(self, task: str) -> State | None:
        return self.job(task).state if any(job.task == task for job in self.jobs) else None

    @property
    def alarms(self) -> dict[str, str]:
        return self.world.alarms.on

    def rows(self, sql: str) -> list[dict[str, Any]]:
        from labwright.ports.records import QueryLimits

        return [row for batch in self.records.query(sql, QueryLimits()).batches() for row in batch.to_pylist()]

    def everything_kept(self) -> str:
        """All that outlives the loop, as text."""
        files = [path.read_bytes() for path in self.folder.rglob("*") if path.is_file()]
        tables = [
            self.rows(f"SELECT * FROM {name}")
            for name in ("jobs", "attempts", "events", "plans", "approvals", "artifacts")
        ]
        return repr((self.ledger._t, self.results.content, self.results.messages, files, tables, self.logged))


STORY = Story(
    log=b"hello\n",
    events=b'{"t":1790000000,"e":"metric","step":1,"m":{"loss":0.5}}\n{"t":1790000001,"e":"finish","score":{"loss":0.5}}\n',
    artifacts={"model.pt": b"weights"},
)
