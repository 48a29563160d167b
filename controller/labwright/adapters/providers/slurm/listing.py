"""Which of a lab's attempts Slurm has in hand, whoever submitted them: from the queue, and from the batches in the lab's folder."""

import re
from collections.abc import Iterator

from labwright.adapters.providers.slurm.handles import Known, parse
from labwright.adapters.providers.slurm.queue import Entry, by_kind, squeue
from labwright.adapters.providers.slurm.states import meaning
from labwright.adapters.providers.slurm.submit import Person, handle_of
from labwright.domain.errors import Unavailable
from labwright.domain.ids import Handle, Token, parse_token
from labwright.domain.seen import Phase

_ENDING = "COMPLETING"  # it has ended, and its nodes are being cleaned
_SHARED = r"-[0-9a-f]{12}-a[0-9]+(p[0-9]+)?"  # behind the lab's name: what batch.Group.job calls several


def listed(person: Person, lab: str) -> Iterator[tuple[Token, Handle]]:
    """Of one person. Jobs of the lab's own name and folder of which no batch is left have their job's name as token.

    Raises Unavailable."""
    site = person.desk.site()
    answer = person.desk.call("list", site.user, timeout=180).decode(errors="replace")
    try:
        said = by_kind(answer)
    except ValueError:
        raise Unavailable("the login node's answer was cut short", retry_in=2) from None
    if "X" in said:
        raise Unavailable(f"squeue: {said['X'][0][:300]}", retry_in=60)
    queue = squeue(said.get("Q", ()))
    for line in said.get("L", ()):
        job, batch, place, token = line.split("\t")
        found = parse(handle := handle_of(Token(token), job, batch, int(place), person.name))
        if found and _in_hand(queue.get(found)):
            yield Token(token), handle
    known, unsettled = set(said.get("I", ())), set(said.get("B", ()))
    for job, entry in queue.jobs():
        folder, _, name = entry.name.partition("|")
        ours = folder == site.root and _of_lab(name, lab)
        if ours and job not in known and name not in unsettled and _in_hand(entry):
            yield Token(name), Known(Token(name), job, None, person.name).handle


def _in_hand(entry: Entry | None) -> bool:
    return entry is not None and entry.state != _ENDING and meaning(entry.state).phase is not Phase.ENDED


def _of_lab(name: str, lab: str) -> bool:
    single = parse_token(name)
    return bool((single and single[0] == lab) or re.fullmatch(re.escape(lab) + _SHARED, name))
