"""GitHub's own OpenAPI description, made into JSON Schema."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

_URI = "urn:github"


class Described:
    def __init__(self, file: Path) -> None:
        self.whole = _schemas(json.loads(file.read_text()))
        self._registry: Any = Registry().with_resource(_URI, DRAFT4.create_resource(self.whole))

    def knows(self, method: str, path: str) -> bool:
        return method.lower() in self.whole["paths"].get(path, {})

    def statuses(self, method: str, path: str) -> set[str]:
        return set(self._call(method, path)["responses"])

    def parameters(self, method: str, path: str) -> set[str]:
        """Of the query."""
        found = [self._followed(it) for it in self._call(method, path).get("parameters", ())]
        return {it["name"] for it in found if it["in"] == "query"}

    def wrong_with_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        response = self._followed(self._call(method, path)["responses"][str(status)])
        return self._wrong(response["content"]["application/json"]["schema"], body)

    def wrong_with_request(self, method: str, path: str, body: Any) -> list[str]:
        asked = self._call(method, path).get("requestBody")
        if asked is None:
            return ["takes no body"] if body else []
        return self._wrong(asked["content"]["application/json"]["schema"], body)

    def _wrong(self, schema: Any, body: Any) -> list[str]:
        checked = Draft4Validator(schema, registry=self._registry)
        return [f"{'.'.join(map(str, it.absolute_path))}: {it.message[:300]}" for it in checked.iter_errors(body)]

    def _call(self, method: str, path: str) -> Any:
        return self.whole["paths"][path][method.lower()]

    def _followed(self, it: Any) -> Any:
        if "$ref" not in it:
            return it
        found = self.whole
        for part in it["$ref"].removeprefix(f"{_URI}#/").split("/"):
            found = found[part]
        return found


def _schemas(it: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema has the type null. References become absolute: a part may be used alone."""
    if isinstance(it, list):
        return [_schemas(one) for one in it]
    if not isinstance(it, dict):
        return it
    made = {key: _schemas(value) for key, value in it.items()}
    if isinstance(there := made.get("$ref"), str):
        made["$ref"] = f"{_URI}{there}"
    if made.get("nullable") is not True:
        return made
    del made["nullable"]
    return {"anyOf": [made, {"type": "null"}]}
