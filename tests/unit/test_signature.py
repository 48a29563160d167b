import hmac
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.web.delivery import id_of, kind_of, number_of
from labwright.web.signature import Verdict, verify

NOW = 1_790_000_000.0
BODY = b'{"ref": "refs/heads/main"}'
KEY = bytes(range(32))
SIGNING = "whsec_" + b64encode(KEY).decode()


def hexed(secret: str, body: bytes = BODY, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), body, algorithm).hexdigest().encode()


def standard(key: bytes = KEY, at: float = NOW, body: bytes = BODY) -> list[tuple[bytes, bytes]]:
    told = str(int(at)).encode()
    signature = b64encode(hmac.new(key, b"id-1." + told + b"." + body, "sha256").digest())
    return [(b"webhook-id", b"id-1"), (b"webhook-timestamp", told), (b"webhook-signature", b"v1," + signature)]


def test_a_signature_is_what_the_standard_says_it_is() -> None:
    # RFC 4231, test case 2
    known = b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    body = b"what do ya want for nothing?"
    assert verify([(b"x-gitea-signature", known)], body, ["Jefe"], NOW) == Verdict.GOOD
    assert verify([(b"x-hub-signature-256", b"sha256=" + known.upper())], body, ["Jefe"], NOW) == Verdict.GOOD


@pytest.mark.parametrize(
    ("name", "prefix"),
    [(b"x-hub-signature-256", b"sha256="), (b"x-forgejo-signature", b""), (b"x-gitea-signature", b"")],
)
def test_each_forge_signs_in_its_own_header(name: bytes, prefix: bytes) -> None:
    good = [(name, prefix + hexed("old"))]
    assert verify(good, BODY, ["old"], NOW) == Verdict.GOOD
    assert verify(good, BODY, ["new", "old"], NOW) == Verdict.GOOD  # while one is replaced
    assert verify(good, BODY, ["new"], NOW) == Verdict.WRONG
    assert verify(good, BODY + b" ", ["old"], NOW) == Verdict.WRONG
    assert verify([(name, b"sha256=sha256=" + hexed("old"))], BODY, ["old"], NOW) == Verdict.WRONG


def test_any_good_proof_suffices_whatever_stands_beside_it() -> None:
    headers = [(b"x-gitea-signature", b"0" * 64), (b"x-hub-signature-256", b"sha256=" + hexed("s"))]
    assert verify(headers, BODY, ["s"], NOW) == Verdict.GOOD
    assert verify([*standard(b"another"), (b"x-gitlab-token", b"s")], BODY, ["s"], NOW) == Verdict.GOOD


def test_gitlab_sends_the_secret_itself() -> None:
    assert verify([(b"x-gitlab-token", b"s3cret")], BODY, ["s3cret"], NOW) == Verdict.GOOD
    assert verify([(b"x-gitlab-token", "gehëim".encode())], BODY, ["gehëim"], NOW) == Verdict.GOOD
    for wrong in (b"", b"s3cre", b"s3cret!", b"\xff"):
        assert verify([(b"x-gitlab-token", wrong)], BODY, ["s3cret"], NOW) == Verdict.WRONG


def test_gitlab_signs_with_a_signing_token_too() -> None:
    assert verify(standard(), BODY, [SIGNING], NOW) == Verdict.GOOD
    assert verify(standard(), BODY, ["other", SIGNING], NOW) == Verdict.GOOD
    assert verify(standard(), BODY + b"x", [SIGNING], NOW) == Verdict.WRONG
    assert verify(standard(), BODY, ["whsec_" + b64encode(b"another").decode()], NOW) == Verdict.WRONG
    several = [(b"webhook-signature", b"v2,x v1,AAAA " + standard()[2][1]), *standard()[:2]]
    assert verify(several, BODY, [SIGNING], NOW) == Verdict.GOOD


def test_the_time_of_a_signing_token_is_signed_and_near() -> None:
    assert verify(standard(at=NOW - 299), BODY, [SIGNING], NOW) == Verdict.GOOD
    assert verify(standard(at=NOW - 301), BODY, [SIGNING], NOW) == Verdict.OLD
    assert verify(standard(at=NOW + 301), BODY, [SIGNING], NOW) == Verdict.OLD
    moved = [standard()[0], (b"webhook-timestamp", str(int(NOW) + 1).encode()), standard()[2]]
    assert verify(moved, BODY, [SIGNING], NOW) == Verdict.WRONG
    for bad in (b"", b"-1", b"nan", b"9" * 5000, "١".encode()):
        assert (
            verify([standard()[0], (b"webhook-timestamp", bad), standard()[2]], BODY, [SIGNING], NOW) == Verdict.WRONG
        )
    assert verify(standard()[1:], BODY, [SIGNING], NOW) == Verdict.WRONG


@pytest.mark.parametrize("secret", ["whsec_", "whsec_=", "whsec_!"])
def test_nobody_signs_with_the_empty_key(secret: str) -> None:
    assert verify(standard(b""), BODY, [secret], NOW) == Verdict.WRONG


@pytest.mark.parametrize("secrets", [[], [""], ["", "  ", "\n"]])
def test_without_a_secret_everything_is_refused(secrets: list[str]) -> None:
    for headers in (
        [(b"x-gitea-signature", hexed(""))],
        [(b"x-gitlab-token", b"")],
        [(b"x-hub-signature-256", b"sha256=" + hexed(""))],
        standard(b""),
        [],
    ):
        assert verify(headers, BODY, secrets, NOW) == Verdict.NONE_KNOWN


def test_sha1_alone_is_refused_by_name() -> None:
    sha1 = [(b"x-hub-signature", b"sha1=" + hexed("s", algorithm="sha1"))]
    assert verify(sha1, BODY, ["s"], NOW) == Verdict.SHA1
    assert verify([(b"x-hub-signature-256", sha1[0][1])], BODY, ["s"], NOW) == Verdict.WRONG
    assert verify([(b"x-hub-signature-256", b"sha256=" + hexed("s")), *sha1], BODY, ["s"], NOW) == Verdict.GOOD
    assert verify([], BODY, ["s"], NOW) == Verdict.UNSIGNED


SIGNED = ("x-hub-signature-256", "x-forgejo-signature", "x-gitea-signature", "x-gitlab-token", "webhook-signature")
NAMES = st.sampled_from(
    [name.encode() for name in (*SIGNED, "webhook-id", "webhook-timestamp", "x-hub-signature", "content-type")]
)
VALUES = st.binary(max_size=80) | st.sampled_from(
    [b"sha256=", b"v1,", hexed("guess"), b"sha256=" + hexed("guess"), b"guess"]
)


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=8), st.binary(max_size=50), st.lists(st.text(max_size=10), max_size=2)
)
def test_whoever_does_not_know_a_secret_signs_nothing(
    headers: list[tuple[bytes, bytes]], body: bytes, secrets: list[str]
) -> None:
    real = [f"{secret}-and what nobody guesses" for secret in secrets]
    assert verify(headers, body, real, NOW) != Verdict.GOOD


@pytest.mark.parametrize(
    ("header", "name", "kind"),
    [
        (b"x-github-event", b"push", "push"),
        (b"x-github-event", b"delete", "push"),
        (b"x-github-event", b"pull_request", "pull"),
        (b"x-github-event", b"pull_request_review", "pull"),
        (b"x-github-event", b"issue_comment", "pull"),
        (b"x-github-event", b"ping", "other"),
        (b"x-gitea-event", b"pull_request_approved", "pull"),
        (b"x-forgejo-event", b"push", "push"),
        (b"x-gitlab-event", b"Push Hook", "push"),
        (b"x-gitlab-event", b"Tag Push Hook", "push"),
        (b"x-gitlab-event", b"Merge Request Hook", "pull"),
        (b"x-gitlab-event", b"Note Hook", "pull"),
        (b"x-gitlab-event", b"System Hook", "other"),
        (b"x-else", b"push", "other"),
    ],
)
def test_the_header_alone_says_what_kind_it_is(header: bytes, name: bytes, kind: str) -> None:
    assert kind_of([(b"content-type", b"x"), (header, name)]) == kind


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b'{"action": "labeled", "number": 7, "pull_request": {"number": 7}}', 7),
        (b'{"pull_request": {"number": 8}, "review": {}}', 8),
        (b'{"issue": {"number": 9}, "comment": {}}', 9),
        (b'{"object_kind": "merge_request", "object_attributes": {"id": 99, "iid": 10}}', 10),
        (b'{"object_kind": "note", "object_attributes": {"id": 1}, "merge_request": {"id": 5, "iid": 11}}', 11),
        (b'{"number": 2147483648}', 2147483648),
        (b'{"number": 2147483649}', None),
        (b'{"number": true}', None),
        (b'{"number": "7"}', None),
        (b'{"number": 7.0}', None),
        (b'{"number": 0}', None),
        (b'{"number": -7}', None),
        (b'{"number": [7], "pull_request": [], "issue": 3}', None),
        (b'{"number": ' + b"9" * 5000 + b"}", None),
        (b"[" * 100_000, None),
        (b"7", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_a_number_is_a_hint_and_never_an_error(body: bytes, number: int | None) -> None:
    assert number_of(body) == number


def test_deliveries_have_ids_where_a_forge_gives_them() -> None:
    assert id_of([(b"x-github-delivery", b"a"), (b"x-gitea-delivery", b"b")]) == b"b"
    assert id_of([(b"x-gitlab-event-uuid", b"c" * 900)]) == b"c" * 200
    assert id_of([(b"content-type", b"x")]) == b""
