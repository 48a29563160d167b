"""SQLite's own complaints in ours; shared by SqlLedger and the reader."""

from labwright.domain.errors import LabError, Refused, Unavailable

BUSY_SECONDS = 10
_HINTS = {
    "full": "free some space; nothing was lost",
    "locked": "another process is writing; tried again by itself",
    "busy": "another process is writing; tried again by itself",
    "readonly": "check who owns the file and its folder",
    "read-only": "check who owns the file and its folder",
    "unable to open": "check that the folder is there and may be written",
    "connection": "check that the database server is running",
}


def told(error: BaseException | None) -> LabError:
    words = (str(error).strip().splitlines() or ["no answer"])[0]
    if "not a database" in words or "malformed" in words:
        return Refused(f"the ledger is damaged: {words}", hint="move the file away and run `lab rebuild`")
    hint = next((hint for key, hint in _HINTS.items() if key in words.lower()), "tried again by itself")
    return Unavailable(f"the ledger did not answer: {words}", hint=hint)
