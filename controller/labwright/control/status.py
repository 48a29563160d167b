"""What the running controller says of itself."""

from collections import Counter
from typing import Any

from labwright.control.loop import Controller


def status(controller: Controller) -> dict[str, Any]:
    """Read from other threads: copies of what the loop changes."""
    world = controller.world
    live = list(world.book.live.values())
    return {
        "states": dict(Counter(str(job.state) for job in live)),
        "tips": dict(controller.intake.tips),
        "alarms": dict(world.alarms.on),
        "providers": sorted(world.providers),
        "notes": {name: dict(notes) for name, p in sorted(world.providers.items()) if (notes := p.condition().notes)},
        "unpublished": len(world.book.unpublished),
        "calls": len(world.calls),
    }
