"""Pull requests on a real Forgejo: from the label to the job's first instruction, and what a look costs when nothing has changed.

    python -m benchmarks.forge [--rounds 8] [--pulls 15]

The floor is how long the forge itself takes to deliver: a bare receiver, told by the same kind of hook of the same labels in a
repository of its own. Both times begin when the label's request is sent. Forge, controller and jobs share the machine.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import structlog

from labwright.adapters.forges.api import Api
from labwright.control.world import Options
from labwright.settings import place_of
from labwright.web.listen import Listener
from labwright.wiring import Site, open_site
from tests.real.forge.deliveries import Receiver
from tests.real.forge.forge_lab import SECRET, ForgeLab, task
from tests.real.forge.server import ForgejoServer

STAMP = 'echo "$EPOCHREALTIME" >"%s"'


@dataclass
class Asked:
    """Requests to the forge: (when each was sent, when it was answered)."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    @contextmanager
    def counting(self) -> Iterator["Asked"]:
        send = Api._call

        def counted(api: Api, method: str, url: str, *args: object, **more: object) -> object:
            begun = now()
            try:
                return send(api, method, url, *args, **more)  # type: ignore[arg-type]
            finally:
                self.spans.append((begun, now()))

        with mock.patch.object(Api, "_call", counted):
            yield self

    def within(self, start: float, end: float) -> tuple[int, float]:
        """How many, and seconds in which at least one was under way."""
        spans = sorted((max(a, start), min(b, end)) for a, b in self.spans if b > start and a < end)
        busy, last = 0.0, start
        for a, b in spans:
            busy += max(0.0, b - max(a, last))
            last = max(last, b)
        return len(spans), busy


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Looking rarely: the controller is in this process."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("the benchmark waited in vain")
        time.sleep(0.02)


def now() -> float:
    return time.time()  # noqa: TID251  # a stopwatch, compared with what jobs write down


@contextmanager
def serving(lab: ForgeLab) -> Iterator[Site]:
    """Its controller in a thread of this process, told by the forge's hook."""
    with mock.patch.dict(os.environ, {name: lab.env[name] for name in lab.env if name not in ("HOME",)}):
        site = open_site(place_of(lab.url), Options(poll_seconds=300.0), listen="127.0.0.1:0")
        thread = threading.Thread(target=site.controller.run)
        thread.start()
        try:
            (hooks,) = [each for each in site.closing if isinstance(each, Listener)]
            lab.world.forge.add_hook(f"http://{hooks.address}/hooks", SECRET)
            until(lambda: site.controller.intake.fetched and site.controller.pulls.watch.listed)
            yield site
        finally:
            site.controller.stop()
            thread.join()
            site.close()


def prepared(top: Path, server: ForgejoServer) -> ForgeLab:
    top.mkdir()
    lab = ForgeLab(top, server)
    lab.push("ada", "main", {"lab.yaml": lab.lab_yaml})
    lab.protect()
    lab.world.forge.add_labels({"lab:run": "run it"})
    return lab


def deliveries(top: Path, server: ForgejoServer, rounds: int) -> list[float]:
    """Seconds from the label to its delivery."""
    lab, took = prepared(top, server), []
    number = lab.world.open("cleo")
    with closing(Receiver([SECRET])) as receiver:
        lab.world.forge.add_hook(receiver.url, SECRET)
        for _ in range(rounds):
            before, begun = len(receiver.got), time.monotonic()
            lab.label(number)
            took.append(receiver.wait(lambda d: d.event == "pull_request_label", before).at - begun)
            seen = len(receiver.got)
            lab.world.put_label(number, "lab:run", "ada", on=False)
            receiver.wait(lambda d: d.event == "pull_request_label", seen)
    return took


def labels(lab: ForgeLab, rounds: int) -> tuple[list[float], list[float], list[int]]:
    """Of each: seconds from the label to the first instruction, those of them that wait for the forge, and requests to it."""
    took, waited, requests = [], [], []
    asked = Asked()
    for turn in range(rounds):
        stamp = lab.top / f"stamp-{turn}"
        number = lab.propose("cleo", f"tune-{turn}", {f"experiments/a/t{turn}/task.yaml": task(STAMP % stamp)})
        lab.approve(number)
        until(lambda number=number: "approved by ben" in lab.comment(number))  # type: ignore[misc]
        time.sleep(2.5)  # the turn that wrote it has ended, and the time between two edits is over
        with asked.counting():
            begun = now()
            lab.label(number)
            until(lambda stamp=stamp: stamp.exists() and stamp.read_text())  # type: ignore[misc]
        ended = float(stamp.read_text())
        took.append(ended - begun)
        count, busy = asked.within(begun, ended)
        requests.append(count)
        waited.append(busy)
    return took, waited, requests


def looks(lab: ForgeLab, pulls: int) -> tuple[int, float, list[int], list[float]]:
    """Requests and seconds until as many pull requests are seen first, requests of each look when nothing has changed, and
    seconds from a label to the first instruction beside so many others."""
    for _ in range(pulls):
        lab.world.open("cleo")
    with Asked().counting() as asked:
        begun = now()
        with serving(lab) as site:
            watch = site.controller.pulls.watch

            def quiet() -> bool:
                return not len(site.world.calls) and not watch._unread

            until(lambda: len(watch.seen) >= pulls and quiet(), 300)
            first, seconds = len(asked.spans), now() - begun
            time.sleep(5)  # its times have whole seconds: only then is what it said settled
            counts = []
            for turn in range(6):
                asked.spans.clear()
                site.world.rouse(hooked=True)
                time.sleep(0.5)
                until(quiet)
                counts += [len(asked.spans)] if turn else []
            among = labels(lab, 3)[0]
    return first, seconds, counts, among


def run(rounds: int = 8, pulls: int = 15) -> str:
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder, closing(ForgejoServer()) as server:
        floor = statistics.median(deliveries(Path(folder, "floor"), server, rounds))
        lab = prepared(Path(folder, "lab"), server)
        with serving(lab):
            took, waited, requests = labels(lab, rounds)
        first, seconds, unchanged, among = looks(prepared(Path(folder, "many"), server), pulls)
    structlog.reset_defaults()
    own = [one - floor for one in took]
    p50, ours, forge = statistics.median(took), statistics.median(own), statistics.median(waited)
    rows = [
        ("label → first instruction of the job, p50", f"{p50 * 1e3:.0f} ms", f"{floor * 1e3:.0f} ms (the forge delivers)"),
        ("the same, p95", f"{sorted(took)[int(len(took) * 0.95)] * 1e3:.0f} ms", ""),
        ("of it after the delivery, p50", f"{ours * 1e3:.0f} ms", ""),
        ("of it waiting for the forge's answers", f"{forge * 1e3:.0f} ms", f"{statistics.median(requests):.0f} requests"),
        ("of it the loop, git and the job's start", f"{(ours - forge) * 1e3:.0f} ms", ""),
        (f"label → first instruction beside {pulls} other pull requests", f"{statistics.median(among) * 1e3:.0f} ms", ""),
        (f"first look at {pulls} open pull requests", f"{first:,} requests", f"{seconds:.1f} s"),
        ("a look when none of them has changed", f"{statistics.median(unchanged):.0f} requests", ""),
    ]  # fmt: skip
    return "| Forgejo, real | ours | beside it |\n|---|--:|---|\n" + "\n".join(
        f"| {a} | {b} | {c} |" for a, b, c in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--pulls", type=int, default=15)
    options = parser.parse_args()
    sys.stdout.write(run(options.rounds, options.pulls) + "\n")


if __name__ == "__main__":
    main()
