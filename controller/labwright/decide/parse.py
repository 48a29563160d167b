"""task.yaml and lab.yaml → Task and Lab. Every problem of a file is found at once and said in plain words."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from labwright.decide.document import Document, Path, read
from labwright.domain.errors import Invalid
from labwright.domain.lab import Lab
from labwright.domain.task import Task

M = TypeVar("M", bound=BaseModel)


def parse_task(data: bytes, path: str) -> Task:
    """Raises Invalid with every problem found. `path` is that of the file in its repository."""
    document = read(data, path)
    value, at = document.value, Path()
    if isinstance(value, dict) and value.keys() == {"task"} and isinstance(value["task"], dict):
        value, at = value["task"], ("task",)
    return _model(Task, document, value, at)


def parse_lab(data: bytes, path: str) -> Lab:
    """Raises Invalid with every problem found. An empty file is a lab with every default."""
    document = read(data, path)
    return _model(Lab, document, {} if document.value is None else document.value, ())


def _model(model: type[M], document: Document, value: Any, at: Path) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid([document.problem((*at, *e["loc"]), e["msg"]) for e in error.errors()]) from None
