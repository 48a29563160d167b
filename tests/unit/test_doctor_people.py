"""`lab doctor forge` and who could ever approve."""

from collections.abc import Sequence

import pytest

from labwright.cli.deliveries import hook_url
from labwright.cli.doctor_people import people_findings
from labwright.cli.finding import FAIL, OK, WARN
from labwright.decide.parse import parse_lab
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.forge import Role
from labwright.domain.snapshot import Entry, Snapshot
from labwright.testing.memory_forge import MemoryForge

KEY = "ada ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1uY3lBYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx"
LAB = """\
forge: {{type: {type}, url: "https://forge.example", repo: ml/vision, token: "{{{{secret.T}}}}"}}
secrets: {{T: {{env: T}}}}
policy: {{approve: {{{approve}}}}}
"""


def look(
    approve: str, *, kind: str = "forgejo", files: Sequence[str] = (), forge: MemoryForge | None = None
) -> dict[str, tuple[str, str]]:
    lab = parse_lab(LAB.format(type=kind, approve=approve).encode(), "lab.yaml")
    people = {"ada": Role.ADMIN, "ben": Role.WRITE, "tom": Role.TRIAGE, "mallory": Role.READ}
    at = forge or MemoryForge(
        people=people, teams={"@ml/leads": frozenset({"ben", "mallory"}), "@ml/none": frozenset()}
    )
    there = Snapshot("c" * 40, {name: Entry("100644", "o" * 40) for name in files})
    return {
        found.check.removeprefix("policy.approve."): (found.result, found.text)
        for found in people_findings(lab, at, there)
    }


def test_without_names_whoever_may_write_may_approve_and_nothing_is_asked() -> None:
    assert look("approvals: 1") == {}


def test_a_name_that_the_forge_does_not_know_fails() -> None:
    assert look("by: [nobody, ada, ben]")["by: nobody"] == (FAIL, "nobody of that name may see the repository")


@pytest.mark.parametrize(("name", "words"), [("mallory", "may only read"), ("tom", "may only put labels on")])
def test_somebody_who_may_not_write_fails(name: str, words: str) -> None:
    result, text = look(f"by: [{name}, ada, ben]")[f"by: {name}"]
    assert result == FAIL
    assert text.startswith(words)


def test_a_team_is_asked_for_its_members_and_what_they_may_do() -> None:
    found = look('by: ["@ml/leads", "@ml/none", "@ml/gone", ada]')
    assert found["by: @ml/leads"] == (WARN, "mallory may not write: their approvals do not count")
    assert found["by: @ml/none"] == (FAIL, "it has no member")
    assert found["by: @ml/gone"][0] == FAIL


def test_fewer_people_than_approvals_can_never_run_anything() -> None:
    assert look("by: [ada, ben], approvals: 3")["approvers"] == (
        FAIL,
        "2 may approve, and 3 must: no pull request can ever run",
    )


def test_one_who_may_approve_alone_cannot_approve_their_own() -> None:
    result, text = look("by: [ada]")["approvers"]
    assert (result, "pull requests of ada can never run" in text) == (WARN, True)
    assert look("by: [ada], self_approval: true")["approvers"][0] == OK


def test_a_plan_that_needs_one_more_is_counted() -> None:
    result, text = look("by: [ada, ben], approvals: 2, one_more_above: {gpu_hours: 8}")["approvers"]
    assert (result, "3 of a large plan" in text) == (WARN, True)


def test_a_person_and_a_team_that_has_them_are_one() -> None:
    assert look('by: [Ben, "@ml/leads"], approvals: 2')["approvers"][0] == FAIL


def test_codeowners_alone_without_the_file_lets_nobody_approve() -> None:
    result, text = look("by: [CODEOWNERS]")["by: CODEOWNERS"]
    assert (result, "nobody may approve anything" in text) == (FAIL, True)
    assert look("by: [CODEOWNERS, ada]")["by: CODEOWNERS"][0] == WARN


def test_codeowners_is_looked_for_where_that_forge_does() -> None:
    at = [".gitlab/CODEOWNERS"]
    assert look("by: [CODEOWNERS]", kind="gitlab", files=at)["by: CODEOWNERS"] == (OK, ".gitlab/CODEOWNERS")
    assert look("by: [CODEOWNERS]", kind="github", files=at)["by: CODEOWNERS"][0] == FAIL


def test_owners_may_be_enough_so_nobody_is_counted() -> None:
    assert "approvers" not in look("by: [CODEOWNERS, ada], approvals: 2", files=["CODEOWNERS"])


def test_of_plain_git_the_keys_say_who_is_there() -> None:
    lab = parse_lab(f"forge: {{type: git, keys: ['{KEY}']}}\npolicy: {{approve: {{by: [eve]}}}}\n".encode(), "lab.yaml")
    eve, enough = people_findings(lab, MemoryForge(), Snapshot("c" * 40, {}))
    assert (eve.result, "forge.keys" in eve.mend) == (FAIL, True)
    assert enough.result == FAIL


def test_a_bot_that_may_not_write_is_told() -> None:
    assert look("bots: [renovate]")["bots: renovate"][0] == WARN


def test_what_cannot_be_asked_is_not_guessed() -> None:
    found = look("by: [ada, ben]", forge=MemoryForge(away=Unavailable("the forge is away")))
    assert found == {"by: ada": (FAIL, "the forge is away"), "by: ben": (FAIL, "the forge is away")}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://lab.example.org", "https://lab.example.org/hooks"),
        ("https://lab.example.org/", "https://lab.example.org/hooks"),
        ("http://[::1]:8600/hooks/", "http://[::1]:8600/hooks"),
        ("https://example.org/lab/hooks", "https://example.org/lab/hooks"),
    ],
)
def test_a_hooks_address_is_completed(typed: str, meant: str) -> None:
    assert hook_url(typed) == meant


@pytest.mark.parametrize(
    "typed",
    ["lab.example.org", "ftp://x/hooks", "http://", "http://x:99999", "https://x/other", "https://u:p@x", "https://x?y=1",
     "https://x/hooks#a", "http://a b/hooks", "http://[::1/hooks", "https://x/\x1b/hooks", ""],
)  # fmt: skip
def test_what_is_no_address_for_deliveries_is_refused(typed: str) -> None:
    with pytest.raises(Refused, match="--hook"):
        hook_url(typed)
