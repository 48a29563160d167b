"""The fake's world → GitHub's JSON, whole: every property that its OpenAPI description requires."""

from typing import Any

from tests.forges.github.world import World

_USER = "followers following gists starred subscriptions organizations repos events received_events"
_REPO = (
    "archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads events forks "
    "git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges milestones notifications pulls "
    "releases stargazers statuses subscribers subscription tags teams trees clone git ssh svn"
)
_COUNTS = "forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count network_count subscribers_count"


class Shapes:
    def __init__(self, world: World, url: str) -> None:
        self.world, self.url = world, url
        self.api = f"{url}/api/v3"
        self.repo_url = f"{self.api}/repos/{world.owner}/{world.name}"
        self.page = f"{url}/{world.owner}/{world.name}"

    def user(self, login: str | None) -> Any:
        if login is None:
            return None
        it = self.world.person(login, "Bot" if login.endswith("[bot]") else "User")
        own = f"{self.api}/users/{login}"
        return {
            **it,
            "node_id": f"U_{it['id']}",
            "avatar_url": f"{self.url}/avatars/{it['id']}",
            "gravatar_id": "",
            "url": own,
            "html_url": f"{self.url}/{login}",
            "site_admin": False,
            **{f"{name}_url": f"{own}/{name}" for name in _USER.split()},
        }

    def whole_user(self, login: str) -> Any:
        texts = dict.fromkeys(["bio", "blog", "company", "email", "hireable", "location", "name"])
        counts = dict.fromkeys(["followers", "following", "public_gists", "public_repos"], 0)
        times = {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"}
        return {**self.user(login), **texts, **counts, **times, "user_view_type": "public"}

    def repo(self, *, fork: bool = False) -> Any:
        world = self.world
        owner = "outsider" if fork else world.owner
        own = f"{self.api}/repos/{owner}/{world.name}"
        return {
            "id": 2 if fork else 1,
            "node_id": "R_2" if fork else "R_1",
            "name": world.name,
            "full_name": f"{owner}/{world.name}",
            "owner": self.user(owner),
            "private": world.private,
            "archived": world.archived,
            "disabled": False,
            "fork": fork,
            "description": None,
            "homepage": None,
            "language": None,
            "license": None,
            "mirror_url": None,
            "html_url": f"{self.url}/{owner}/{world.name}",
            "url": own,
            "default_branch": "main",
            **{f"{name}_url": f"{own}/{name}" for name in _REPO.split()},
            **{f"has_{name}": True for name in ["downloads", "issues", "projects", "wiki", "pages", "discussions"]},
            **dict.fromkeys(_COUNTS.split(), 0),
            **{f"{name}_at": "2025-01-01T00:00:00Z" for name in ("pushed", "created", "updated")},
        }

    def label(self, name: str) -> Any:
        it = self.world.a_label(name)
        return {**it, "node_id": f"LA_{it['id']}", "url": f"{self.repo_url}/labels/{name}", "default": False}

    def pull(self, it: dict[str, Any], *, whole: bool = False) -> Any:
        number, own = it["number"], f"{self.repo_url}/pulls/{it['number']}"
        issue, page = f"{self.repo_url}/issues/{number}", f"{self.page}/pull/{number}"
        statuses = f"{self.repo_url}/statuses/{it['head']}"
        urls = {
            "html": page,
            "issue": issue,
            "review_comments": f"{own}/comments",
            "review_comment": f"{self.repo_url}/pulls/comments{{/number}}",
            "comments": f"{issue}/comments",
            "commits": f"{own}/commits",
            "statuses": statuses,
        }
        shown = {
            "id": 9000 + number,
            "node_id": f"PR_{number}",
            "number": number,
            "state": it["state"],
            "locked": False,
            "title": it["title"],
            "user": self.user(it["author"]),
            "body": None,
            "labels": [self.label(name) for name in it["labels"]],
            "milestone": None,
            "assignee": None,
            "auto_merge": None,
            "draft": it["draft"],
            "author_association": "CONTRIBUTOR" if it["fork"] else "MEMBER",
            "created_at": it["created"],
            "updated_at": it["updated"],
            "closed_at": None if it["state"] == "open" else it["updated"],
            "merged_at": it["merged_at"],
            "merge_commit_sha": None,
            "head": self._end(
                "outsider" if it["fork"] else self.world.owner, it["head_branch"], it["head"], it["fork"]
            ),
            "base": self._end(self.world.owner, it["base"], it["base_sha"]),
            "url": own,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            **{f"{name}_url": url for name, url in urls.items()},
            "_links": {name: {"href": url} for name, url in {**urls, "self": own}.items()},
        }
        if it.get("fork_deleted"):
            shown["head"]["repo"] = None
        if not whole:
            return shown
        counts = dict.fromkeys(["additions", "deletions", "changed_files", "review_comments"], 0)
        return {
            **shown,
            **counts,
            "comments": len(it["comments"]),
            "commits": len(it["commits"]),
            "mergeable": None,
            "mergeable_state": "unknown",
            "merged": bool(it["merged_at"]),
            "merged_by": None,
            "maintainer_can_modify": False,
        }

    def _end(self, owner: str, branch: str, commit: str, fork: bool = False) -> Any:
        repo = self.repo(fork=fork)
        return {"label": f"{owner}:{branch}", "ref": branch, "sha": commit, "user": self.user(owner), "repo": repo}

    def review(self, number: int, it: dict[str, Any]) -> Any:
        page, own = f"{self.page}/pull/{number}", f"{self.repo_url}/pulls/{number}"
        shown = {
            "id": it["id"],
            "node_id": f"PRR_{it['id']}",
            "user": self.user(it["by"]),
            "body": "",
            "state": it["state"],
            "commit_id": it["commit"],
            "html_url": f"{page}#pullrequestreview-{it['id']}",
            "pull_request_url": own,
            "_links": {"html": {"href": page}, "pull_request": {"href": own}},
            "author_association": "MEMBER",
        }
        return shown if it["state"] == "PENDING" else {**shown, "submitted_at": it["at"]}

    def event(self, it: dict[str, Any]) -> Any:
        shown = {
            "id": it["id"],
            "node_id": f"LE_{it['id']}",
            "url": f"{self.repo_url}/issues/events/{it['id']}",
            "actor": self.user(it["by"]),
            "event": it["event"],
            "commit_id": None,
            "commit_url": None,
            "created_at": it["at"],
            "performed_via_github_app": None,
        }
        if it["event"] == "review_dismissed":
            return {
                **shown,
                "dismissed_review": {"state": "approved", "review_id": it["review"], "dismissal_message": None},
            }
        return {**shown, "label": {"name": it["label"], "color": "ededed"}} if "label" in it else shown

    def comment(self, it: dict[str, Any]) -> Any:
        return {
            "id": it["id"],
            "node_id": f"IC_{it['id']}",
            "html_url": f"{self.page}/pull/{it['number']}#issuecomment-{it['id']}",
            "url": f"{self.repo_url}/issues/comments/{it['id']}",
            "issue_url": f"{self.repo_url}/issues/{it['number']}",
            "user": self.user(it["by"]),
            "body": it["body"],
            "created_at": it["at"],
            "updated_at": it["edited"],
            "author_association": "MEMBER",
        }

    def commit(self, sha: str, author: str | None = None, committer: str | None = None) -> Any:
        own = f"{self.repo_url}/commits/{sha}"
        git = {"name": "A", "email": "a@example.org", "date": "2026-01-01T00:00:00Z"}
        tree = {"sha": sha, "url": f"{self.repo_url}/git/trees/{sha}"}
        inner = {"author": git, "committer": git, "message": "m", "comment_count": 0, "tree": tree, "url": own}
        return {
            "url": own,
            "sha": sha,
            "node_id": f"C_{sha[:7]}",
            "html_url": f"{self.page}/commit/{sha}",
            "comments_url": f"{own}/comments",
            "commit": inner,
            "author": self.user(author),
            "committer": self.user(committer),
            "parents": [],
        }

    def move(self, it: dict[str, Any]) -> Any:
        return {
            "id": it["id"],
            "node_id": f"PSH_{it['id']}",
            "before": it["before"],
            "after": it["after"],
            "ref": f"refs/heads/{it['branch']}",
            "timestamp": it["at"],
            "activity_type": it["kind"],
            "actor": self.user(it["by"]),
        }

    def status(self, it: dict[str, Any]) -> Any:
        return {
            "id": it["id"],
            "node_id": f"SC_{it['id']}",
            "url": f"{self.repo_url}/statuses/{it['sha']}",
            "avatar_url": None,
            "state": it["state"],
            "description": it["description"],
            "target_url": it["target_url"],
            "context": it["context"],
            "created_at": it["at"],
            "updated_at": it["at"],
        }

    def check(self, it: dict[str, Any]) -> Any:
        own = f"{self.repo_url}/check-runs/{it['id']}"
        output = {key: it["output"].get(key) for key in ("title", "summary", "text")}
        return {
            "id": it["id"],
            "node_id": f"CR_{it['id']}",
            "url": own,
            "html_url": f"{self.page}/runs/{it['id']}",
            "external_id": "",
            "started_at": it["at"],
            "completed_at": it["at"] if it["status"] == "completed" else None,
            **{key: it[key] for key in ("head_sha", "name", "status", "conclusion", "details_url")},
            "output": {**output, "annotations_count": len(it["annotations"]), "annotations_url": f"{own}/annotations"},
            "check_suite": {"id": 5},
            "app": self.app(),
            "pull_requests": [],
        }

    def annotation(self, it: dict[str, Any]) -> Any:
        empty = dict.fromkeys(["start_column", "end_column", "title", "raw_details"])
        return {**empty, "blob_href": f"{self.page}/blob/{it['path']}", **it}

    def app(self) -> Any:
        it = self.world.app
        return {
            "id": it["id"],
            "slug": it["slug"],
            "node_id": f"A_{it['id']}",
            "owner": self.user(self.world.owner),
            "name": it["slug"],
            "description": None,
            "external_url": "https://example.org",
            "html_url": f"{self.url}/apps/{it['slug']}",
            "created_at": "2025-01-01T00:00:00Z",
            "updated_at": "2025-01-01T00:00:00Z",
            "permissions": it["permissions"],
            "events": it["events"],
        }

    def hook(self, it: dict[str, Any]) -> Any:
        own = f"{self.repo_url}/hooks/{it['id']}"
        config = {key: "********" if key == "secret" else value for key, value in it["config"].items()}
        return {
            "type": "Repository",
            "id": it["id"],
            "name": "web",
            "active": it["active"],
            "events": it["events"],
            "config": config,
            "created_at": it["at"],
            "updated_at": it["at"],
            "url": own,
            "test_url": f"{own}/test",
            "ping_url": f"{own}/pings",
            "last_response": it["last"],
        }
