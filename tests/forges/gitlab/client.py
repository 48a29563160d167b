"""What GitLab's API looks like to a client that others use: routes and types of the npm package @gitbeaker/core, as its files say.

Its routes are templates whose variable parts are `${…}`; those of notes, hooks, labels, members and events are shared by several
kinds of things, so that the beginning (`projects`, `projects/*/merge_requests`) is a variable, too, or left to a prefix.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CALL = re.compile(r"RequestHelper\.(\w+)\(\)\(\s*this,\s*(?:endpoint)?[`\"]([^`\"]+)[`\"]")
_URL = re.compile(r"(?:\w+ = |\? )(?:endpoint)?[`\"]([^`\"]+)[`\"]|: \"([a-z_/]+)\"")
_INTERFACE = re.compile(
    r"^interface (\w+)(?:<[^{]*>)?(?: extends ([\w, <>']+?))? \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_FIELD = re.compile(r"^    (\w+)(\??): (.*?)(?:;|\{)$", re.MULTILINE)
_PLAIN = {"string": str, "number": int, "boolean": bool}


@dataclass(frozen=True)
class Client:
    routes: frozenset[tuple[str, tuple[str, ...]]]  # method, parts; `*` is any
    types: dict[str, dict[str, str]]  # interface → field → TypeScript's type

    def knows(self, method: str, template: str) -> bool:
        """`template`: `projects/:id/hooks`, with or without its beginning in the client's."""
        wanted = tuple("*" if part.startswith(":") else part for part in template.split("/"))
        words = [part for part in wanted if part != "*"]
        for of, parts in self.routes:
            mine = wanted[len(wanted) - len(parts) :] if len(parts) < len(wanted) else wanted
            same = len(mine) == len(parts) and all(a in ("*", b) for a, b in zip(parts, mine, strict=True))
            if of == method and same and words[-1] in parts:
                return True
        return False

    def strange(self, name: str, row: dict[str, Any]) -> list[str]:
        """Fields of an answer that this type has not, or of another kind."""
        fields = self.types[name]
        found = [key for key in row if key not in fields]
        for key, value in row.items():
            kinds = [_PLAIN[kind] for kind in fields.get(key, "").split(" | ") if kind in _PLAIN]
            if value is not None and kinds and type(value) not in kinds:
                found.append(f"{key}: {fields[key]}")
        return sorted(found)


def read(folder: Path) -> Client:
    code, types = (folder / "index.mjs").read_text(), (folder / "index.d.ts").read_text()
    calls = [(method.upper(), path) for method, path in _CALL.findall(code)]
    calls += [("GET", path or plain) for path, plain in _URL.findall(code)]
    routes = frozenset((m.replace("DEL", "DELETE"), tuple(re.sub(r"\$\{[^}]*\}", "*", p).split("/"))) for m, p in calls)
    return Client(routes, _types(types))


def _types(text: str) -> dict[str, dict[str, str]]:
    own: dict[str, tuple[list[str], dict[str, str]]] = {}
    for name, above, body in _INTERFACE.findall(text):
        own[name] = (re.findall(r"\w+", above or ""), {key: kind for key, _, kind in _FIELD.findall(body)})

    def whole(name: str) -> dict[str, str]:
        above, fields = own.get(name, ([], {}))
        return {key: kind for parent in above for key, kind in whole(parent).items()} | fields

    return {name: whole(name) for name in own}
