"""`make bench`: every benchmark, one after another, into benchmarks/RESULTS.md.

python -m benchmarks [--peers] [--quick] [SECTION …]     a section is a module's name: only those are measured anew
"""

import argparse
import datetime
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import forge, git, hooks, launchers, loop, plan, pull_page, query, sdk_logging, slurm, slurm_faults, ssh

RESULTS = Path(__file__).with_name("RESULTS.md")
INTRODUCTION = (
    "# What it costs\n\nMade by `python -m benchmarks` (all of it but the other tools: `make bench`); each table by the command above it. "
    "Times beside a floor or another tool were taken in turn with it, in the same run: trust the ratios, a shared machine moves the rest.\n"
)


class Section(NamedTuple):
    title: str
    measure: Callable[[bool, bool], str]  # (peers, quick) → a table
    has_peers: bool = False
    by_name: bool = False  # measured only when it is asked for


SECTIONS = {
    "loop": Section("The loop", lambda peers, quick: loop.run()),
    "launchers": Section(
        "Launchers", lambda peers, quick: launchers.run(peers=peers, rounds=1 if quick else 3), has_peers=True
    ),
    "plan": Section("A lab of 10,000 tasks", lambda peers, quick: plan.run()),
    "pull_page": Section("A pull request's comment", lambda peers, quick: pull_page.run()),
    "ssh": Section("Commands on a login node", lambda peers, quick: ssh.run(0.5 if quick else 2, 1 if quick else 3)),
    "slurm": Section("A Slurm cluster over SSH", slurm.run, has_peers=True),
    "slurm-faults": Section("Faults of a cluster", lambda peers, quick: slurm_faults.run(quick), by_name=True),
    "hooks": Section("Deliveries of a forge", lambda peers, quick: hooks.run(0.5 if quick else 3)),
    "forge": Section("Pull requests of a forge", lambda peers, quick: forge.run(4 if quick else 8)),
    "git": Section("Git", lambda peers, quick: git.run()),
    "sdk_logging": Section(
        "SDK: one `lab.log`", lambda peers, quick: sdk_logging.table(sdk_logging.run(peers=peers)), has_peers=True
    ),
    "query": Section("SQL", lambda peers, quick: query.run(2_000_000 if quick else 50_000_000, peers), has_peers=True),
}


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    today = datetime.datetime.now(datetime.UTC).date()  # noqa: TID251  # the report's date
    return f"{today} · {os.cpu_count()} cores ({model}) · {memory:.0f} GiB · {platform.system()} {platform.release()} · Python {platform.python_version()}"


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def sections_of(page: str) -> tuple[str, dict[str, str]]:
    """The machine that an earlier page was made on, and its sections by title."""
    head, *parts = re.split(r"^## ", page, flags=re.MULTILINE)
    return head.strip().splitlines()[-1], {part.splitlines()[0]: f"## {part.strip()}\n" for part in parts}


def measured(name: str, peers: bool, quick: bool, page_machine: str) -> str:
    """The section's text. It names its own day and machine where those are not the page's."""
    title, measure, has_peers, by_name = SECTIONS[name]
    sys.stderr.write(f"· {title} …\n")
    before = load()
    table = measure(peers, quick).strip()
    command = f"python -m benchmarks.{name.replace('-', '_')}" + (" --peers" if peers and has_peers else "")
    elsewhere = f"; {machine()}" if by_name or machine() != page_machine else ""
    return f"## {title}\n\n`{command}` (load {before} before, {load()} after{elsewhere})\n\n{table}\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", help=f"only these, the rest of the page stays: {', '.join(SECTIONS)}")
    parser.add_argument("--peers", action="store_true", help="install and measure other tools beside ours (minutes)")
    parser.add_argument("--quick", action="store_true", help="fewer points: a look, not a result")
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"no such section: {', '.join(unknown)} (there are {', '.join(SECTIONS)})")
    page_machine, texts = sections_of(RESULTS.read_text())
    if not options.sections:  # all anew, but for what is measured by name alone: such a section tells its own day
        page_machine = machine()
        texts = {s.title: texts[s.title] for s in SECTIONS.values() if s.by_name and s.title in texts}
    for name in options.sections or [name for name, section in SECTIONS.items() if not section.by_name]:
        text = measured(name, options.peers, options.quick, page_machine)
        if options.sections:  # others may have been measured meanwhile
            texts = sections_of(RESULTS.read_text())[1]
        texts[SECTIONS[name].title] = text
        ordered = [texts[section.title] for section in SECTIONS.values() if section.title in texts]
        RESULTS.write_text("\n".join([INTRODUCTION, page_machine + "\n", *ordered]))
    sys.stderr.write(f"· written to {RESULTS}\n")


if __name__ == "__main__":
    main()
