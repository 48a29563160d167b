"""What a pull request's comment says of its plan: tasks, files, gates and how to command."""

from collections import Counter
from collections.abc import Sequence

from labwright.decide.markdown import code, encoded, link, plain, prose, row
from labwright.decide.plot import number
from labwright.decide.pull_head import many, to_come
from labwright.domain.forge import number_of
from labwright.domain.pull_page import Caution, FileLine, Links, PullPage, Reused, TaskLine


def problems(page: PullPage, most: int) -> str:
    if not page.problems:
        return ""
    title = f"❌ **Not valid, so it does not run** ({many(len(page.problems), 'problem')}):"
    lines = [
        f"- {code(f'{p.path}:{p.line}:{p.column}', 200)} {prose(p.message)}" + (f" ({prose(p.hint)})" if p.hint else "")
        for p in page.problems[:most]
    ]
    return listed(title, lines, len(page.problems), page)


def cautions(page: PullPage, most: int) -> str:
    if not page.cautions:
        return ""
    title = f"⚠️ **Look closer** ({many(len(page.cautions), 'warning')}):"
    lines = [caution_line(caution) for caution in page.cautions[:most]]
    return listed(title, lines, len(page.cautions), page)


def caution_line(caution: Caution) -> str:
    where = f"{caution.path}:{caution.line}" if caution.line else caution.path
    return f"- {code(where, 200)} {prose(caution.words)}" if where else f"- {prose(caution.words)}"


def listed(title: str, lines: Sequence[str], total: int, page: PullPage) -> str:
    left = total - len(lines)
    more = [f"\n{and_more(left, page, some=bool(lines))}"] if left > 0 else []
    return "\n".join([title, *([""] if lines or more else []), *lines, *more]).rstrip()


def and_more(left: int, page: PullPage, what: str = "", some: bool = True) -> str:
    """`some`: whether any of them are above."""
    count = f"… and {left:,} more{what}" if some else f"{left:,}{what}"
    return f"{count}{full_plan_link(page, ': ')}"


def full_plan_link(page: PullPage, before: str = "") -> str:
    address = address_of(page.links, page.links.page, page.plan_path)
    return f"{before}{link('the full plan', address)}" if address else ""


def address_of(links: Links, template: str, path: str) -> str:
    if not template or not path:
        return ""
    return template.replace("{branch}", encoded(links.branch)).replace("{path}", encoded(path))


def tasks(page: PullPage, most: int) -> str:
    """A table with the columns that have something to say, then what is refused and why. Folded once all of it is launched."""
    shown = [task for task in page.tasks if _says(task)]
    if not shown:
        return ""
    busiest = sorted(shown, key=lambda t: (not t.launch, not t.refused, not t.supersede))[:most]
    parts = []
    if busiest:
        parts.append("\n".join(task_table(busiest)))
        if len(shown) > most:
            parts.append(and_more(len(shown) - most, page, " tasks"))
    else:
        parts.append(f"{many(len(shown), 'task')}{full_plan_link(page, ': ')}")
    refused = [task for task in page.tasks if task.refused]
    lines = refusals(refused[:most])
    if refused:
        parts.append(listed("⛔ **Refused**:", lines, len(refused), page))
    made = "\n\n".join(parts)
    return details("The plan", made) if page.jobs and not to_come(page) else made


def refusals(found: Sequence[TaskLine]) -> list[str]:
    def of(task: TaskLine) -> str:
        where = f" on {code(task.provider, 40)}" if task.provider else ""
        return f"- {code(task.task)}{where}: {'; '.join(prose(reason) for reason in task.refused[:5])}"

    return [of(task) for task in found]


def _says(task: TaskLine) -> bool:
    return bool(task.launch or task.reuse or task.supersede or task.refused or task.baseline)


def task_table(found: Sequence[TaskLine]) -> list[str]:
    columns = {
        "launch": [f"**{len(t.launch):,}**" if t.launch else "" for t in found],
        "reused": [_reused(t.reuse) for t in found],
        "superseded": [f"{len(t.supersede):,}" if t.supersede else "" for t in found],
        "refused": [f"{max(t.refused_trials, 1):,}" if t.refused else "" for t in found],
        "not asked for": [f"{t.baseline:,}" if t.baseline else "" for t in found],
        "on": [code(t.provider, 40) for t in found],
        "each asks": [asks(t) for t in found],
        "GPU-hours": [_task_hours(t) for t in found],
        "cost": [plain(t.cost, 40) for t in found],
        "starts": [plain(t.queue, 60) for t in found],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    right = {"launch", "superseded", "refused", "not asked for", "GPU-hours", "cost"}
    head = [row(["task", *kept]), row(["---", *("---:" if name in right else "---" for name in kept)])]
    return head + [row([code(t.task), *(kept[name][n] for name in kept)]) for n, t in enumerate(found)]


def _reused(found: Sequence[Reused]) -> str:
    if not found:
        return ""
    if len(found) == 1:
        return f"{len(found[0].jobs):,} (from {_source(found[0])})"
    sources = [f"{len(one.jobs):,} from {_source(one)}" for one in found[:2]]
    more = f", {len(found) - 2} sources more" if len(found) > 2 else ""
    return f"{sum(len(one.jobs) for one in found):,} ({', '.join(sources)}{more})"


def _source(one: Reused) -> str:
    pull = number_of(one.lane)
    lane = f"PR {pull}" if pull is not None else code(one.lane, 40)
    job = code(one.jobs[0], 20) if len(one.jobs) == 1 else ""
    return f"{job} of {lane}" if job and lane else job or lane


def asks(task: TaskLine) -> str:
    """Of each job: `8 CPUs, 32 GB, A100:1, 2 nodes, ≤ 4 h`."""
    asked = [
        f"{plain(task.cpus, 20)} CPUs" if task.cpus else "",
        f"{number(task.memory_gb)} GB" if task.memory_gb else "",
        code(task.accelerators, 40),
        many(task.nodes, "node") if task.nodes > 1 else "",
        f"≤ {duration(task.limit_seconds)}" if task.limit_seconds else "",
    ]
    return ", ".join(one for one in asked if one)


def _task_hours(task: TaskLine) -> str:
    endless = bool(task.launch and task.accelerators and task.limit_seconds is None)
    asked = "no time limit" if endless else number(task.gpu_hours) if task.gpu_hours else ""
    past = f"≈ {number(task.expected_gpu_hours)}" if task.expected_gpu_hours is not None else ""
    return f"{asked} ({past})" if asked and past else asked or past


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.3g} min" if minutes < 60 else f"{hours:,.3g} h" if hours < 72 else f"{hours / 24:,.3g} d"


def files(page: PullPage, most: int) -> str:
    changed = [file for file in page.files if file.change != "same"]
    if not changed:
        return ""
    kinds = Counter(str(file.change) for file in changed)
    told = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("added", "changed", "removed") if kinds[kind])
    title = f"Files that jobs run with, against {code(page.base_branch, 60)}: {told}"
    if most == 0:
        return title + full_plan_link(page, ": ")
    lines = [file_line(file) for file in changed[:most]]
    plain_title = f"Files that jobs run with: {told}"
    return details(plain_title, listed(f"Against {code(page.base_branch, 60)}:", lines, len(changed), page))


def file_line(file: FileLine) -> str:
    moved = file.old_mode != file.new_mode and file.old_mode and file.new_mode
    mode = f", mode {code(file.old_mode, 8)} → {code(file.new_mode, 8)}" if moved else ""
    new = file.new_mode if file.change == "added" and file.new_mode not in ("", "100644") else ""
    return f"- {file.change} {code(file.path, 200)}{mode}{f', mode {code(new, 8)}' if new else ''}"


def gates(page: PullPage, width: int) -> str:
    """`width` of each one's words; 0: names alone."""
    if not page.gates:
        return ""
    passed = sum(gate.passed is True for gate in page.gates)
    title = f"Gates: {passed} of {len(page.gates)} passed"
    marks = {True: "✓", False: "✗", None: "?"}
    if width == 0:
        named = [f"{marks[gate.passed]} {plain(gate.name, 16)}" for gate in page.gates[:8]]
        return f"{title}: {', '.join(named)}" + (", …" if len(page.gates) > 8 else "")
    lines = [
        f"- {marks[gate.passed]} **{plain(gate.name, 40)}**" + (f": {prose(gate.words, width)}" if gate.words else "")
        for gate in page.gates[:20]
    ]
    more = [f"- and {len(page.gates) - 20} more"] if len(page.gates) > 20 else []
    return details(title, "\n".join([*lines, *more]))


def commands(page: PullPage) -> str:
    if not page.commands:
        return ""
    lines = [f"- {code(name)} {prose(words)}" for name, words in page.commands[:20]]
    comments = all(name.startswith("/lab") for name, _ in page.commands)
    return details("Commands, as comments of their own" if comments else "Commands", "\n".join(lines))


def foot(page: PullPage, *, bare: bool = False) -> str:
    """`bare`: the digest alone."""
    digest = f"Plan {code(page.digest, 80)}"
    if bare:
        return digest
    against = f"of {code(page.head[:10])} against {code(page.base_branch, 60)}"
    room = f" · room left: {prose(page.room, 200)}" if page.room else ""
    return f"{digest} {against}{full_plan_link(page, ' · ')}{room}"


def details(title: str, body: str) -> str:
    """`title` is our own plain text: no Markdown is read in it."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"
