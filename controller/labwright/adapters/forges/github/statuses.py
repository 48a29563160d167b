"""What stands beside a commit: a check run where we are an App, else a commit status. One of each context, written when it changed."""

from collections.abc import Sequence
from typing import Any

from labwright.adapters.forges.github.client import Client, read
from labwright.domain.forge import Annotation, Light, Status

WORDS_CHARS = 140
_SUMMARY_CHARS = 65_535
_MESSAGE_BYTES = 64 << 10
_BATCH = 50  # annotations of one request

_CONCLUSIONS = {
    Light.SUCCESS: "success",
    Light.FAILURE: "failure",
    Light.ERROR: "action_required",
}


def set_status(api: Client, commit: str, status: Status) -> None:
    """GitHub keeps every status, 1,000 of a commit and context: the same one is not written again."""
    wanted = {"state": status.light.value, "description": status.words, "context": status.context}
    if status.url:
        wanted["target_url"] = status.url
    for answer in api.numbered(f"{api.repo}/commits/{commit}/status"):
        for it in read(lambda body: list(body["statuses"]), answer.body):
            if it.get("context") == status.context:
                if all((it.get(key) or "") == wanted.get(key, "") for key in ("state", "description", "target_url")):
                    return
                break
    api.send("POST", f"{api.repo}/statuses/{commit}", wanted)


def set_check(api: Client, app: int, commit: str, status: Status) -> None:
    """A run that ended does not begin again, and annotations can only be added: then there is another run, and GitHub shows the
    newest of a name."""
    wanted = _run(status)
    remarks = [_remark(it) for it in status.annotations]
    there = _ours(api, app, commit, status.context)
    if there and (there["status"] != "completed" or wanted["status"] == "completed"):
        kept = _remarks(api, there)
        if kept == remarks[: len(kept)]:
            if _differs(there, wanted) or len(remarks) > len(kept):
                _write(api, f"{api.repo}/check-runs/{there['id']}", wanted, remarks[len(kept) :])
            return
    _write(api, "", {**wanted, "head_sha": commit}, remarks)


def _ours(api: Client, app: int, commit: str, name: str) -> Any:
    path = f"{api.repo}/commits/{commit}/check-runs"
    for answer in api.numbered(path, check_name=name, app_id=app, filter="latest"):
        runs = read(
            lambda body: [it for it in body["check_runs"] if it["name"] == name and it["app"]["id"] == app], answer.body
        )
        if runs:
            return max(runs, key=lambda it: int(it["id"]))
    return None


def _write(api: Client, path: str, run: dict[str, Any], remarks: Sequence[dict[str, Any]]) -> None:
    """Unfinished until its last annotation is there: a run that shows its end shows all."""
    batches = [remarks[at : at + _BATCH] for at in range(0, len(remarks), _BATCH)] or [[]]
    for batch in batches:
        last = batch is batches[-1]
        body = {**run, "output": {**run["output"], **({"annotations": list(batch)} if batch else {})}}
        if not last:
            body.pop("conclusion", None)
            body["status"] = "in_progress"
        if path:
            body.pop("head_sha", None)
            api.send("PATCH", path, body)
        else:
            made = api.send("POST", f"{api.repo}/check-runs", body)
            path = f"{api.repo}/check-runs/{read(lambda it: int(it['id']), made)}"


def _run(status: Status) -> dict[str, Any]:
    ended = status.light is not Light.PENDING
    summary = status.summary or status.words
    if len(summary) > _SUMMARY_CHARS:
        summary = summary[: _SUMMARY_CHARS - 100] + "\n\n*The rest does not fit here.*"
    run: dict[str, Any] = {
        "name": status.context,
        "status": "completed" if ended else "in_progress",
        "output": {"title": status.words, "summary": summary},
    }
    if ended:
        run["conclusion"] = _CONCLUSIONS[status.light]
    if status.url:
        run["details_url"] = status.url
    return run


def _differs(there: Any, wanted: dict[str, Any]) -> bool:
    output = there.get("output") or {}
    keys = [(there.get(key), wanted.get(key)) for key in ("status", "conclusion")]
    keys += [(output.get(key), wanted["output"][key]) for key in ("title", "summary")]
    if "details_url" in wanted:
        keys.append((there.get("details_url"), wanted["details_url"]))
    return any(was != will for was, will in keys)


def _remark(it: Annotation) -> dict[str, Any]:
    message = it.message.encode()[:_MESSAGE_BYTES].decode(errors="ignore")
    return {
        "path": it.path,
        "start_line": max(it.line, 1),
        "end_line": max(it.line, 1),
        "annotation_level": "failure" if it.failure else "warning",
        "message": message,
    }


def _remarks(api: Client, run: Any) -> list[dict[str, Any]]:
    """Those it has, in the form in which we write them."""
    if not (run.get("output") or {}).get("annotations_count"):
        return []
    keys = ("path", "start_line", "end_line", "annotation_level", "message")
    path = f"{api.repo}/check-runs/{run['id']}/annotations"
    return read(lambda items: [{key: it[key] for key in keys} for it in items], api.pages(path, per_page=100))
