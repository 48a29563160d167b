"""The fake against a client of GitLab's that others use: the same routes, the same fields. Needs npm's registry, once."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.forges.gitlab.client import Client, read
from tests.forges.gitlab.conftest import TOKEN
from tests.forges.gitlab.fake import ROUTES
from tests.forges.gitlab.world import World

pytestmark = pytest.mark.real
SCRIPT = Path(__file__).parents[3] / "scripts" / "gitlab-types"
A = "a" * 40

# The client puts these together from parts: GitLab's doc/api/members.md has them
BUILT = {("GET", "projects/:id/members/all/:user_id"), ("GET", "groups/:id/members/all")}
# What newer GitLabs answer and the client's types lack (its rows are open: `extends Record<string, unknown>`), with where GitLab says so
NEWER = {
    "locked": "doc/api/users.md",
    "public_email": "doc/api/users.md",
    "membership_state": "doc/api/members.md",
    "type": "doc/api/notes.md",
    "confidential": "doc/api/notes.md",
    "internal": "doc/api/notes.md",
    "approved_at": "doc/api/merge_request_approvals.md",
    "token_present": "doc/api/project_webhooks.md, 19.0",
    "signing_token_present": "doc/api/project_webhooks.md, 19.0",
    "rule_type": "doc/api/merge_request_approvals.md",
    "push_data": "doc/api/events.md",
}


@pytest.fixture(scope="module")
def client() -> Client:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == 69:
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return read(Path(done.stdout.strip()))


@pytest.fixture
def full(world: World) -> World:
    """Something of everything."""
    world.open(7, A, "alice")
    world.note(7, "hello", "bob")
    world.label(7, "lab:run", "bob")
    world.turn(7, "reopened", "alice")
    world.approve(7, "bob")
    world.groups["ml/leads"] = [world.membership(world.one("bob"), "developer")]
    world.protect("main", (40, "Maintainers"))
    world.rule(1)
    return world


def ask(address: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body)
    headers = {"PRIVATE-TOKEN": TOKEN, "Content-Type": "application/json"}
    answer = urllib3.request(method, f"{address}/api/v4/{path}", body=data, headers=headers, retries=False)
    assert answer.status < 300, answer.data
    found = answer.json()
    return found[0] if isinstance(found, list) else found


def test_the_fake_has_no_route_that_the_client_does_not_know(client: Client) -> None:
    strange = {(method, template) for method, template, _, _ in ROUTES if not client.knows(method, template)}
    assert strange - BUILT == set()


def test_a_route_that_gitlab_has_not_is_seen(client: Client) -> None:
    for method, template in (
        ("PUT", "projects/:id/statuses/:sha"),
        ("GET", "projects/:id/merge_requests/:iid/reviews"),
        ("GET", "projects/:id/webhooks"),
        ("POST", "projects/:id/merge_requests/:iid/comments"),
        ("GET", "version"),
    ):
        assert not client.knows(method, template), template


P = "projects/ml%2Flabs%2Fvision"
HOOK = {"url": "https://lab.example/hook", "token": "x"}
ANSWERS: list[tuple[str, str, str, Any]] = [
    ("ExpandedUserSchema", "GET", "user", None),
    ("UserSchema", "GET", "users?username=bob", None),
    ("MetadataSchema", "GET", "metadata", None),
    ("PersonalAccessTokenSchema", "GET", "personal_access_tokens/self", None),
    ("ProjectSchema", "GET", P, None),
    ("ProjectLevelMergeRequestApprovalSchema", "GET", f"{P}/approvals", None),
    ("ProjectLevelApprovalRuleSchema", "GET", f"{P}/approval_rules", None),
    ("MergeRequestSchema", "GET", f"{P}/merge_requests?state=opened", None),
    ("MergeRequestSchema", "GET", f"{P}/merge_requests/7", None),
    ("MergeRequestLevelMergeRequestApprovalSchema", "GET", f"{P}/merge_requests/7/approvals", None),
    ("MergeRequestNoteSchema", "GET", f"{P}/merge_requests/7/notes", None),
    ("MergeRequestNoteSchema", "POST", f"{P}/merge_requests/7/notes", {"body": "x"}),
    ("MergeRequestDiffVersionsSchema", "GET", f"{P}/merge_requests/7/versions", None),
    ("CommitSchema", "GET", f"{P}/merge_requests/7/commits", None),
    ("LabelEventSchema", "GET", f"{P}/merge_requests/7/resource_label_events", None),
    ("StateEventSchema", "GET", f"{P}/merge_requests/7/resource_state_events", None),
    ("EventSchema", "GET", f"{P}/events?action=pushed", None),
    ("ProtectedBranchSchema", "GET", f"{P}/protected_branches", None),
    ("BranchSchema", "GET", f"{P}/repository/branches/main", None),
    ("CommitStatusSchema", "POST", f"{P}/statuses/{A}", {"state": "pending", "name": "lab"}),
    ("LabelSchema", "POST", f"{P}/labels", {"name": "x", "color": "#6699cc"}),
    ("ExpandedHookSchema", "POST", f"{P}/hooks", HOOK),
    ("SimpleMemberSchema", "GET", "groups/ml%2Fleads/members/all", None),
]


@pytest.mark.parametrize(("type_", "method", "path", "body"), ANSWERS, ids=[f"{m} {p}" for _, m, p, _ in ANSWERS])
def test_the_fakes_answers_have_the_clients_fields(
    client: Client, address: str, full: World, type_: str, method: str, path: str, body: Any
) -> None:
    row = ask(address, method, path, body)
    assert [key for key in client.strange(type_, row) if key not in NEWER] == []
    for key in ("author", "user"):
        if isinstance(row.get(key), dict):
            assert [field for field in client.strange("SimpleUserSchema", row[key]) if field not in NEWER] == []


def test_another_field_or_kind_is_seen(client: Client) -> None:
    row = {"id": "7", "iid": 7, "head_sha": A, "draft": False}
    assert client.strange("MergeRequestSchema", row) == ["head_sha", "id: number"]


def test_what_is_read_of_approvals_is_in_the_clients_types(client: Client) -> None:
    assert client.types["ApprovedByEntity"].keys() == {"user"}
    assert "approved_by" in client.types["MergeRequestLevelMergeRequestApprovalSchema"]
    assert {"access_level", "access_level_description", "user_id", "group_id"} <= client.types[
        "ExtendedProtectedBranchAccessLevelSchema"
    ].keys()
