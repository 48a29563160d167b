"""`lab schema`: the JSON Schemas of the files that people and programs write."""

from enum import StrEnum
from typing import Annotated

import typer

from labwright.cli.asjson import print_json


class Which(StrEnum):
    TASK = "task"
    LAB = "lab"
    MANIFEST = "manifest"


def schema(which: Annotated[Which, typer.Argument(help="task (task.yaml), lab (lab.yaml) or manifest")]) -> None:
    """Print the JSON Schema of task.yaml, lab.yaml or a result's manifest.json."""
    from labwright.decide.schema import schema as made

    print_json(made(which.value))
