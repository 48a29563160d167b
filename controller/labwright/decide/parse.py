"""task.yaml and lab.yaml → Task and Lab. Every problem of a file is found at once and said in plain words."""

import difflib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from labwright.decide.document import PROBLEMS, Document, Path, read
from labwright.domain.errors import Invalid, Problem
from labwright.domain.forms import Fault, Faults, show
from labwright.domain.lab import Lab
from labwright.domain.paths import leaves
from labwright.domain.task import Task

M = TypeVar("M", bound=BaseModel)

_MEANT = {"gpu": "accelerators", "gpus": "accelerators", "num_gpus": "accelerators"}  # other tools' names for a key
_MAPPING = "must be a mapping of keys to values"
_WORDS = {
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}


def parse_task(data: bytes, path: str) -> Task:
    """`path` is that of the file in its repository. Raises Invalid with every problem found."""
    document = read(data, path)
    value, at = document.value, Path()
    if isinstance(value, dict) and value.keys() == {"task"} and isinstance(value["task"], dict):
        value, at = value["task"], ("task",)
    if isinstance(value, dict):
        written = value.keys() & {"envs", "environment", "github_repo_branch"}  # where 3.10 is not 3.1
        value = {**value, **{key: _as_written(document, (*at, key), value[key]) for key in written}}
    return _model(Task, document, value, at, _outside(document, at, value))


def parse_lab(data: bytes, path: str) -> Lab:
    """Raises Invalid with every problem found. An empty file is a lab with every default."""
    document = read(data, path)
    value = {} if document.value is None else document.value
    if isinstance(value, dict) and isinstance(value.get("providers"), dict):
        providers = value["providers"].items()
        value = {**value, "providers": {name: _with_env(document, name, provider) for name, provider in providers}}
    return _model(Lab, document, value, ())


def _outside(document: Document, at: Path, value: Any) -> list[Problem]:
    """Inputs that leave the repository: only the task's own place tells."""
    inputs = value.get("inputs") if isinstance(value, dict) else None
    listed = inputs if isinstance(inputs, list) else ()  # anything else is refused by the model
    found = {("inputs",): inputs} if isinstance(inputs, str) else {("inputs", n): i for n, i in enumerate(listed)}
    folder = posixpath.dirname(document.path)
    outside = [
        loc for loc, item in found.items() if isinstance(item, str) and item[:1] not in "/~" and leaves(item, folder)
    ]
    return [_problem(document, at, loc, "leads out of the repository") for loc in outside]


def _with_env(document: Document, name: str, provider: Any) -> Any:
    if not isinstance(provider, dict) or "env" not in provider:
        return provider
    return {**provider, "env": _as_written(document, ("providers", name, "env"), provider["env"])}


def _as_written(document: Document, path: Path, value: Any) -> Any:
    """The value with its scalars as the text that the file has; null stays null."""
    if isinstance(value, dict):
        return {key: _as_written(document, (*path, key), item) for key, item in value.items()}
    return value if value is None else document.text(path) if isinstance(value, bool | int | float) else value


def _model(model: type[M], document: Document, value: Any, at: Path, found: Sequence[Problem] = ()) -> M:
    if not isinstance(value, dict):
        raise Invalid([document.problem(at, f"the file {_MAPPING}, not {show(value)}")])
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)[:PROBLEMS]
        found = [*found, *(problem for e in errors for problem in _problems(model, document, at, e))]
    if found:
        raise Invalid(sorted(found)[:PROBLEMS])
    return made


def _problems(model: type[BaseModel], document: Document, at: Path, error: ErrorDetails) -> Iterator[Problem]:
    kind, loc = error["type"], error["loc"]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Fault | Faults):
        for fault in cause.all if isinstance(cause, Faults) else (cause,):
            yield _problem(document, at, (*loc, *fault.at), fault.message, fault.hint, key=fault.key or "[key]" in loc)
    elif kind == "extra_forbidden":
        yield _problem(document, at, loc, "is not a known key", _suggestion(model, loc), key=True)
    elif kind == "missing":
        parent = _path(document, at, loc[:-1])
        empty = document.has((*parent, loc[-1]))
        name = _dotted((*parent[len(at) :], loc[-1]))
        yield document.problem((*parent, loc[-1]), f"{name} is {'empty' if empty else 'missing'}", key=True)
    elif kind in ("literal_error", "enum"):
        expected = error["ctx"]["expected"].replace("'", "`")
        yield _problem(document, at, loc, f"must be {expected}, not {show(error['input'])}")
    else:
        words = _WORDS.get(kind, f"cannot be taken: {error['msg']}; it is")
        quotes = "put it in quotes" if kind == "string_type" and isinstance(error["input"], bool | int | float) else ""
        yield _problem(document, at, loc, f"{words}, not {show(error['input'])}", quotes)


def _problem(document: Document, at: Path, loc: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
    path = _path(document, at, loc)
    name = _dotted(path[len(at) :]) or "the file"
    return document.problem(path, f"{name} {message}", hint, key=key)


def _path(document: Document, at: Path, loc: Path) -> Path:
    """Where a pydantic location is in the document: steps that are not in the file (tags, defaults) are left out."""
    for part in loc:
        if document.has((*at, part)):
            at = (*at, part)
    return at


def _dotted(path: Path) -> str:
    """`sweeps.sweep_config.lr[1]`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    text = text if text.isprintable() else text.encode("unicode_escape").decode()
    return f"`{text if len(text) <= 80 else text[:80] + '…'}`" if text else ""


def _suggestion(model: type[BaseModel], loc: Path) -> str:
    """The key that was meant: one spelt alike, or the same one a level below."""
    models, wrong = [model], _MEANT.get(str(loc[-1]).lower(), str(loc[-1]))
    for part in loc[:-1]:
        inner = [found for m in models for name, found in _inner(m) if name == part]
        models = inner or models
    keys = {field.alias or name: name for m in models for name, field in m.model_fields.items()}
    if wrong in keys and wrong != loc[-1]:
        return f"did you mean `{wrong}`?"
    for name, inner_model in (pair for m in models for pair in _inner(m)):
        if any(wrong in (key, field.alias) for key, field in inner_model.model_fields.items()):
            return f"did you mean `{name}.{wrong}`?"
    by_name = {name: key for key, name in keys.items()} | {key.lower(): key for key in keys}
    near = difflib.get_close_matches(wrong.lower(), by_name, 1)
    if near:
        return f"did you mean `{by_name[near[0]]}`?"
    return f"known here: {', '.join(keys)}" if len(keys) <= 10 else ""


def _inner(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Keys of a model that hold models, with these models."""
    for name, field in model.model_fields.items():
        todo: list[Any] = [field.annotation]
        while todo:
            kind = todo.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield field.alias or name, kind
            todo += get_args(kind)
