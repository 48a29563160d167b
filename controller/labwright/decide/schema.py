"""The published JSON Schemas (2020-12) of task.yaml, lab.yaml and manifest.json, made from the models.

They describe what a person may write. Every file that parses is accepted and every unknown key refused; rules between keys,
and inside texts such as `A100:8`, are left to the parser."""

from typing import Any, Literal, get_args

from pydantic import BaseModel

from labwright.domain.forms import LIST_SCHEMA, Form
from labwright.domain.lab import Lab
from labwright.domain.manifest import Manifest
from labwright.domain.parameters import DECLARATION, MARKS, Kind, Parameter
from labwright.domain.task import Task

Name = Literal["task", "lab", "manifest"]

_MODELS: dict[str, type[BaseModel]] = {"task": Task, "lab": Lab, "manifest": Manifest}
_TITLES = {"task": "task.yaml of Labwright", "lab": "lab.yaml of Labwright", "manifest": "manifest.json of a job"}
_SCALAR = {"type": ["string", "number", "boolean"]}
_SHORT: dict[tuple[str, str], list[Any]] = {  # forms that the parser takes beside the model's own
    ("Task", "environment"): [{"type": "string", "pattern": r"\.(txt|in|lock)$"}],
    ("Task", "notify"): LIST_SCHEMA["anyOf"],
    ("Task", "sweeps"): [{"type": "object", "maxProperties": 0}],
    ("Task", "github_repo_branch"): [_SCALAR],
    ("Environment", "python"): [_SCALAR],
    ("Environment", "requirements"): [_SCALAR],
    ("Environment", "lock"): [_SCALAR],
    ("Environment", "image"): [_SCALAR],
}


def schema(name: Name) -> dict[str, Any]:
    model = _MODELS[name]
    made = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions = {**made.pop("$defs", {}), model.__name__: made}
    for title, definition in definitions.items():
        _tidy(title, definition, written=issubclass(model, Form))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:labwright:schema:{name}",
        "title": _TITLES[name],
    }
    if name == "task":
        definitions["Parameter"]["properties"]["enum"] = definitions["Parameter"]["properties"]["options"]
        definitions["Task"]["properties"]["parameters"]["anyOf"][0]["additionalProperties"] = _PARAMETER
        return {**head, **_WRAPPED, "$defs": definitions}
    return {**head, "$ref": f"#/$defs/{model.__name__}", "$defs": definitions}


_PARAMETER = {
    "if": {
        "type": "object",
        "anyOf": [
            {"propertyNames": {"enum": sorted(DECLARATION)}, "anyOf": [{"required": [mark]} for mark in sorted(MARKS)]},
            {"required": ["type", "default"], "properties": {"type": {"enum": [*get_args(Kind)]}}},
        ],
    },
    "then": {"$ref": f"#/$defs/{Parameter.__name__}"},
}
_WRAPPED = {  # the old form: everything below one key `task`
    "if": {"type": "object", "required": ["task"], "maxProperties": 1, "properties": {"task": {"type": "object"}}},
    "then": {"properties": {"task": {"$ref": "#/$defs/Task"}}},
    "else": {"$ref": "#/$defs/Task"},
}


def _tidy(title: str, definition: dict[str, Any], *, written: bool) -> None:
    """Pydantic's schema as a person wants it: no made-up titles; of a written file, null = left out."""
    definition.pop("title", None)
    required = definition.get("required", ())
    for key, found in definition.get("properties", {}).items():
        found.pop("title", None)
        for pattern, value in found.pop("patternProperties", {}).items():
            found |= {"propertyNames": {"pattern": pattern}, "additionalProperties": value}
        if found.get("default", 0) is None or isinstance(found.get("default"), dict):
            del found["default"]
        if written and key not in required:
            definition["properties"][key] = _optional(found, _SHORT.get((title, key), []))


def _optional(found: dict[str, Any], short: list[Any]) -> dict[str, Any]:
    about: dict[str, Any] = {key: found.pop(key) for key in ("description", "default", "examples") if key in found}
    forms = found.pop("anyOf", []) or [found]
    null = {"type": "null"}
    return {**about, "anyOf": [*(form for form in forms if form != null), *short, null]}
