"""Who may sign, as lab.yaml says it."""

from datetime import UTC, datetime

import pytest

from labwright.decide.parse import parse_lab
from labwright.domain.errors import Invalid
from labwright.domain.forms import Fault
from labwright.domain.signers import parse_signer, parse_signers

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"


def test_a_line_is_a_login_and_the_line_of_a_pub_file() -> None:
    signer = parse_signer(f"ben {ED} ben@laptop, at home")
    assert (signer.login, signer.key) == ("ben", ED)
    assert signer.rule == f'ben namespaces="git" {ED}'
    assert signer.counts(datetime(1970, 1, 1, tzinfo=UTC)) and signer.counts(datetime(9000, 1, 1, tzinfo=UTC))


def test_a_fingerprint_is_as_ssh_keygen_shows_it() -> None:
    assert parse_signer(f"ben {ED}").fingerprint == "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"


@pytest.mark.parametrize("login", ["ben", "ben@example.org", "a.b-c_d+e", "7up"])
def test_a_login_is_a_plain_name(login: str) -> None:
    assert parse_signer(f"{login} {ED}").login == login


def test_times_bound_when_a_key_counts() -> None:
    signer = parse_signer(f'ben valid-after="20260101Z",valid-before="202612312359Z",namespaces="git" {ED}')
    moments = [(2025, 12, 31), (2026, 1, 1), (2026, 12, 31), (2027, 1, 1)]
    assert [signer.counts(datetime(*day, tzinfo=UTC)) for day in moments] == [False, True, True, False]


@pytest.mark.parametrize("line, words", [
    ("", "must not be empty"),
    ("ben", "has no key"),
    (f"* {ED}", "one plain name"),
    (f"ben,cleo {ED}", "one plain name"),
    (f"!ben {ED}", "one plain name"),
    (f"b?n {ED}", "one plain name"),
    (f"bеn {ED}", "one plain name"),
    (f"-ben {ED}", "one plain name"),
    (f"Labwright {ED}", "Labwright itself"),
    (f"{ED}", "whose key"),
    ("ben ssh-ed25519", "no key of the kind"),
    ("ben ssh-ed25519 AAAA", "no key of the kind"),
    (f"ben ssh-rsa {ED.split()[1]}", "no key of the kind"),
    ("ben ssh-ed25519 %%%%", "no key of the kind"),
    (f"ben cert-authority {ED}", "cert-authority"),
    (f'ben verify-required="yes" {ED}', "not taken here"),
    (f'ben namespaces="file,email" {ED}', "without `git`"),
    (f'ben valid-before="20261301Z" {ED}', "cannot be read"),
    (f'ben valid-before="20261231" {ED}', "cannot be read"),
    (f'ben valid-before="soon" {ED}', "cannot be read"),
    (f'ben valid-before="20261231Z",valid-before="20271231Z" {ED}', "once"),
    (f"ben valid-before {ED}", "once"),
    (f"ben {ED}\ncleo {OTHER}", "one line"),
])  # fmt: skip
def test_a_line_that_means_less_or_more_than_one_person_is_refused(line: str, words: str) -> None:
    with pytest.raises(Fault, match=words):
        parse_signer(line)


def test_one_person_may_have_several_keys_and_no_two_have_one() -> None:
    assert [signer.login for signer in parse_signers([f"ben {ED}", f"ben {OTHER}"])] == ["ben", "ben"]
    with pytest.raises(Fault, match="key of ben as well as of cleo"):
        parse_signers([f"ben {ED} laptop", f"cleo {ED} other"])
    with pytest.raises(Fault, match="told apart"):
        parse_signers([f"ben {ED}", f"BEN {OTHER}"])


def lab(text: str) -> None:
    parse_lab(text.encode(), "lab.yaml")


@pytest.mark.parametrize("forge, words", [
    ("keys: [ben]", "lab.yaml:1:27: "),
    (f'keys: ["ben {ED}", "cleo {ED}"]', "as well as of cleo"),
    ("url: https://x", "is not for forges of the type git"),
])  # fmt: skip
def test_lab_yaml_says_where_a_key_is_wrong(forge: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        lab(f"forge: {{type: git, {forge}}}\n")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "glob", ["*", "pull/*", "pull/7", "p*", "**", "?ull/*", "[op]ull/*", "approvals/*", "a*", "*/7", "lab-p*"]
)
def test_a_branch_that_is_a_pull_request_cannot_be_watched_as_a_branch(glob: str) -> None:
    text = f'watch: {{branches: [main, "{glob}"]}}\n'
    lab(text)
    with pytest.raises(Invalid, match="belongs to pull requests"):
        lab(f"{text}forge: {{type: git}}\n")


@pytest.mark.parametrize("glob", ["main", "release/*", "feature-?", "pulls/*", "pull", "lab-results", "[a-z]*x"])
def test_other_branches_can(glob: str) -> None:
    text = f'watch: {{branches: ["{glob}"]}}\nforge: {{type: git}}\n'
    if glob == "[a-z]*x":  # which could mean pull/x
        with pytest.raises(Invalid):
            lab(text)
    else:
        lab(text)


def test_results_go_to_no_branch_of_pull_requests() -> None:
    for branch in ("lab-pulls", "pull/7"):
        with pytest.raises(Invalid, match="is a branch of pull requests"):
            lab(f"results: {{branch: {branch}}}\nforge: {{type: git}}\n")
