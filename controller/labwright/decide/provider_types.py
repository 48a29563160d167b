"""Types of providers that lab.yaml may name, available in this version or not."""

import difflib

from labwright.domain.errors import Refused

KNOWN = ("local", "slurm", "skypilot")


def refuse_unknown(kind: str) -> None:
    """Raises Refused for a type that no version has: a slip of the pen."""
    if kind not in KNOWN:
        near = difflib.get_close_matches(kind.strip().lower(), KNOWN, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(KNOWN)}"
        raise Refused(f"there is no type of provider {kind}", hint=hint)
