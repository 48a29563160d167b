"""`make bench`: every benchmark, one after another, into benchmarks/RESULTS.md.   python -m benchmarks [--peers] [--quick]"""

import argparse
import datetime
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import git, loop, plan, query, sdk_logging

RESULTS = Path(__file__).with_name("RESULTS.md")


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    today = datetime.datetime.now(datetime.UTC).date()  # noqa: TID251  # the report's date
    return f"{today} · {os.cpu_count()} cores ({model}) · {memory:.0f} GiB · {platform.system()} {platform.release()} · Python {platform.python_version()}"


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", action="store_true", help="install and measure other tools beside ours (minutes)")
    parser.add_argument("--quick", action="store_true", help="fewer points: a look, not a result")
    options = parser.parse_args()
    points = 2_000_000 if options.quick else 50_000_000
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "The loop": ("benchmarks.loop", lambda: loop.run()),
        "A lab of 10,000 tasks": ("benchmarks.plan", lambda: plan.run()),
        "Git": ("benchmarks.git", lambda: git.run()),
        "SDK: one `lab.log`": (
            "benchmarks.sdk_logging",
            lambda: sdk_logging.table(sdk_logging.run(peers=options.peers)),
        ),
        "SQL": ("benchmarks.query", lambda: query.run(points, options.peers)),
    }
    page = [
        "# What it costs\n\nMade by `make bench`; each table by the command above it. Times beside a floor or another tool were taken in "
        "turn with it, in the same run: trust the ratios, a shared machine moves the rest.\n",
        machine() + "\n",
    ]
    for title, (module, measure) in parts.items():
        sys.stderr.write(f"· {title} …\n")
        before = load()
        table = measure().strip()
        page.append(f"## {title}\n\n`python -m {module}` (load {before} before, {load()} after)\n\n{table}\n")
        RESULTS.write_text("\n".join(page))
    sys.stderr.write(f"· written to {RESULTS}\n")


if __name__ == "__main__":
    main()
