"""Whether a delivery was signed with one of our secrets. Pure: headers and bytes in, a verdict out; nothing is parsed here.

    X-Hub-Signature-256: sha256=<hex>            GitHub, Forgejo, Gitea
    X-Forgejo-Signature, X-Gitea-Signature: <hex>
    webhook-signature: v1,<base64> …             GitLab's signing token; over `<webhook-id>.<webhook-timestamp>.<body>`
                                                 (standardwebhooks.com), keyed by what follows `whsec_`, in base64
    X-Gitlab-Token: <the secret itself>          GitLab's secret token

HMAC-SHA256 over the raw body, compared in constant time. Any one of them suffices: each shows that its sender knows a secret.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from hashlib import sha256

Headers = Iterable[tuple[bytes, bytes]]
"""As ASGI gives them: names in lower case, each as often as it was sent."""

SKEW_S = 300  # between the clocks of the two machines, where the signature tells its time

_HEX = {b"x-hub-signature-256": b"sha256=", b"x-forgejo-signature": b"", b"x-gitea-signature": b""}
_TOKEN = b"x-gitlab-token"
_STANDARD = b"webhook-signature"
_SHA1 = b"x-hub-signature"
_PREFIX = b"whsec_"


class Verdict(StrEnum):
    GOOD = "good"
    NONE_KNOWN = "no secret"
    UNSIGNED = "no signature"
    SHA1 = "SHA-1 only"
    WRONG = "wrong signature"
    OLD = "old signature"


def values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip() for key, value in headers if key == name]


def is_signed(headers: Headers) -> Verdict | None:
    """What is wrong without a look at the body; None where it must be looked at."""
    names = {name for name, _ in headers}
    if names & {*_HEX, _STANDARD, _TOKEN}:
        return None
    return Verdict.SHA1 if _SHA1 in names else Verdict.UNSIGNED


def verify(headers: Headers, body: bytes, secrets: Sequence[str], now: float) -> Verdict:
    """`now`: seconds since the epoch. Empty secrets are none: nobody can sign with them."""
    headers = list(headers)
    keys = [secret.encode("utf-8", "surrogateescape") for secret in secrets if secret.strip()]
    if not keys:
        return Verdict.NONE_KNOWN
    if missing := is_signed(headers):
        return missing
    if _hex_fits(headers, body, keys) or _token_fits(headers, keys):
        return Verdict.GOOD
    return _standard(headers, body, keys, now)


def _hex_fits(headers: Headers, body: bytes, keys: Sequence[bytes]) -> bool:
    told = [
        value[len(prefix) :].lower()
        for name, prefix in _HEX.items()
        for value in values(headers, name)
        if value.startswith(prefix)
    ]
    return bool(told) and _any_equal(told, [hmac.digest(key, body, "sha256").hex().encode() for key in keys])


def _token_fits(headers: Headers, keys: Sequence[bytes]) -> bool:
    told = values(headers, _TOKEN)
    # of digests, since a comparison of texts tells how long the secret is
    return _any_equal([sha256(t).digest() for t in told], [sha256(key).digest() for key in keys])


def _standard(headers: Headers, body: bytes, keys: Sequence[bytes], now: float) -> Verdict:
    told = [part[3:] for value in values(headers, _STANDARD) for part in value.split() if part.startswith(b"v1,")]
    ids, times = values(headers, b"webhook-id"), values(headers, b"webhook-timestamp")
    if not told or len(ids) != 1 or len(times) != 1 or not (times[0].isdigit() and len(times[0]) <= 12):
        return Verdict.WRONG
    message = b".".join((ids[0], times[0], body))
    known = [b64encode(hmac.digest(key, message, "sha256")) for key in map(_signing_key, keys) if key]
    if not _any_equal(told, known):
        return Verdict.WRONG
    return Verdict.GOOD if abs(now - int(times[0])) <= SKEW_S else Verdict.OLD


def _signing_key(secret: bytes) -> bytes:
    """Empty, and so never used, where nothing is left of it: everybody can sign with an empty key."""
    if not secret.startswith(_PREFIX):
        return secret
    try:
        return b64decode(secret[len(_PREFIX) :], validate=True)
    except binascii.Error:
        return b""


def _any_equal(told: Collection[bytes], known: Collection[bytes]) -> bool:
    """Each with each, whichever fits: the time taken does not tell which."""
    return sum(hmac.compare_digest(one, other) for one in told for other in known) > 0
