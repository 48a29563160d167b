"""Identity: what a job is called follows from what it runs (docs/adr/0003-identity.md).

work digest  SHA-256 (hex) of the canonical JSON of everything that can change a trial's result
job id       first 12 characters of lower-case base32(SHA-256(work digest, task path, generation))
token        <lab>-<job id>-<attempt>: the name under which a provider knows one attempt
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NewType

JobId = NewType("JobId", str)
Token = NewType("Token", str)
Handle = NewType("Handle", str)
Digest = NewType("Digest", str)

DIGEST_SCHEMA = (
    1  # of the canonical form below; a new number never makes old finished work unknown: it is stored beside it
)
_TOKEN = re.compile(r"(?P<lab>[a-z0-9][a-z0-9-]*)-(?P<job>[a-z2-7]{12})-(?P<attempt>[1-9][0-9]*)")


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no white space, UTF-8. Refuses NaN and infinity, for which JSON has no word."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> Digest:
    return Digest(hashlib.sha256(canonical(value)).hexdigest())


def work_digest(fields: Mapping[str, Any]) -> Digest:
    return digest({"schema": DIGEST_SCHEMA, **fields})


def job_id(work: Digest, task: str, generation: int) -> JobId:
    raw = hashlib.sha256(canonical([work, task, generation])).digest()
    return JobId(base64.b32encode(raw).decode().lower()[:12])


def token(lab: str, job: JobId, attempt: int) -> Token:
    return Token(f"{lab}-{job}-{attempt}")


def parse_token(text: str) -> tuple[str, JobId, int] | None:
    """(lab, job id, attempt), or None when this name was not made by `token`."""
    found = _TOKEN.fullmatch(text)
    return (found["lab"], JobId(found["job"]), int(found["attempt"])) if found else None
