"""The published schemas say what the models say."""

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from labwright.decide.document import read
from labwright.decide.parse import parse_lab, parse_task
from labwright.decide.schema import Name, schema
from labwright.domain.errors import Invalid
from labwright.domain.lab import Lab
from labwright.domain.task import Task
from tests.unit.test_lab import DESIGN
from tests.unit.test_task import SEEDS, lines

ROOT = Path(__file__).parents[2]
FULL = """
name: everything
run: python train.py
setup: pip list
envs: {A: 1, B: true, C: , D: text}
resources: {compute_provider: laptop, cpus: "4+", memory: 16 GiB, disk_space: 1e3, accelerators: {A100: 8}, num_nodes: "2", use_spot: "no"}
github_repo_url: git@github.com:owner/name.git
github_repo_branch: 1.10
parameters: {a: [1], b: {x: {type: y}}, c: {type: int, default: "3"}, d: , e: {enum: [a], ui_widget: radio}, f: {min: "0", default: 1}}
sweeps: {sweep_config: {c: [1, 2]}, sweep_metric: m, lower_is_better: off, max_parallel: 2, strategy: grid}
minutes_requested: 10
file_mounts: {a: b}
inputs: ../shared/*
environment: {python: 3.11, lock: uv.lock, image: x/y:1}
needs: [../prepare]
rerun: 1
retry: {preempted: 3}
timeout: 1d12h
resume: never
artifacts: [out/*.pt]
priority: -5
on: {branches: [main], label: go, schedule: "@daily", manual: true}
concurrency: {group: g, supersede: never}
notify: {to: [https://x.org], when: [failed]}
"""
TASKS = [*map(lines, SEEDS.values()), FULL.encode()] + [
    f"name: x\nrun: y\n{rest}".encode()
    for rest in (
        "environment: uv.lock",
        "notify: [a, b]",
        "notify: a",
        "sweeps: {}",
        "resources: {accelerators: 0}",
        "resources: {accelerators: NVIDIA, cpus: '.5'}",
        "resources:\nretry:\non:\n",
        "timeout: 90",
        "needs: a",
    )
]
LABS = [
    DESIGN.encode(),
    b"",
    b"providers: {a: {type: local, memory: 1.5T, grace: 0}}\n",
    b"watch: {branches: main}\nsecrets:\n",
    b"results: {keep_artifacts: 0}\npolicy: {retention: never}\n",
    b"results: {keep_artifacts: 50MB}\npolicy: {retention: 90d}\n",
    b"secrets: {A: {env: A, tasks: 'vision/*', branches: [main, 'exp/*'], pull_requests: no}, B: {file: b, tasks: []}}\n",
]


def validator(name: Name) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    return jsonschema.Draft202012Validator(schema(name))


@pytest.mark.parametrize("name", get_args(Name))
def test_the_committed_schema_is_that_of_the_models(name: Name) -> None:
    committed = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    assert committed == schema(name), "run .venv/bin/python scripts/schemas"


@pytest.mark.parametrize("data", TASKS, ids=range(len(TASKS)))
def test_a_task_that_parses_fits_the_schema(data: bytes) -> None:
    parse_task(data, "experiments/a/b/task.yaml")
    validator("task").validate(read(data, "t").value)


@pytest.mark.parametrize("data", LABS, ids=range(len(LABS)))
def test_a_lab_that_parses_fits_the_schema(data: bytes) -> None:
    parse_lab(data, "lab.yaml")
    validator("lab").validate(read(data, "lab.yaml").value or {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("task", "nam: x\nname: x\nrun: y"),
        ("task", "name: x\nrun: y\nresources: {cpu: 1}"),
        ("task", "name: x\nrun: y\nretry: {crash: 1}"),
        ("task", "name: x\nrun: y\nparameters: {a: {type: int, default: 1, mim: 0}}"),
        ("task", "name: x\nrun: y\nparameters: {a: {type: integer}}"),
        ("task", "name: x\nrun: y\nenvs: {LAB_X: 1}"),
        ("task", "name: x\nrun: y\nenvs: {1A: 1}"),
        ("task", "name: x\nrun: y\nenvs: {A: [1]}"),
        ("task", "name: x\nrun: y\nresources: {num_nodes: 0}"),
        ("task", "name: x\nrun: y\nresume: maybe"),
        ("task", "name: x"),
        ("task", "task: {name: x}"),
        ("lab", "nam: x"),
        ("lab", "providers: {a: {type: local, cpu: 1}}"),
        ("lab", "providers: {Big: {type: local}}"),
        ("lab", "providers: {a: {}}"),
        ("lab", "secrets: {A: {vault: x}}"),
        ("lab", "secrets: {A: {env: A, tasks: {a: b}}}"),
        ("lab", "secrets: {A: {env: A, pull_requests: approved}}"),
        ("lab", "policy: {limits: {jobs: 1}}"),
    ],
)
def test_what_a_schema_can_refuse_it_refuses_and_the_parser_too(name: Name, text: str) -> None:
    assert not validator(name).is_valid(read(text.encode(), "t").value)
    with pytest.raises(Invalid, match=r"t\.yaml:"):
        (parse_task if name == "task" else parse_lab)(text.encode(), "t.yaml")


def _fields(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition.get("properties", {})
    return found


@pytest.mark.parametrize("name", ["task", "lab"])
def test_every_field_is_described_and_its_default_said(name: Name) -> None:
    for title, definition in schema(name)["$defs"].items():
        for key, field in _fields(definition).items():
            if title not in ("LocalProvider", "SlurmProvider") or key != "type":
                assert field.get("description") or "$ref" in field.get("anyOf", [{}])[0], f"{title}.{key}"
    assert _fields(schema("task")["$defs"]["Resources"])["num_nodes"]["default"] == 1
    assert _fields(schema("task")["$defs"]["Retry"])["preempted"]["default"] == 20


def _keys(model: Any, seen: set[Any]) -> set[str]:
    """Every key of a model and of the models in it, as files write them."""
    found, todo = set(), [model]
    while todo:
        kind = todo.pop()
        todo += get_args(kind)
        if isinstance(kind, type) and hasattr(kind, "model_fields") and kind not in seen:
            seen.add(kind)
            found |= {field.alias or name for name, field in kind.model_fields.items()}
            todo += [field.annotation for field in kind.model_fields.values()]
    return found


@pytest.mark.parametrize(("page", "model"), [("task.yaml.md", Task), ("lab.yaml.md", Lab)])
def test_every_field_is_named_in_its_page(page: str, model: Any) -> None:
    text = (ROOT / "docs" / "spec" / page).read_text()
    assert sorted(key for key in _keys(model, set()) if f"`{key}`" not in text) == []


def _blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / "spec" / page).read_text()
    return [part.split("```")[0] for part in text.split("```yaml\n")[1:]]


@pytest.mark.parametrize("page", ["task.yaml.md", "lab.yaml.md"])
def test_every_example_of_a_page_is_taken_by_parser_and_schema(page: str) -> None:
    assert _blocks(page)
    for text in _blocks(page):
        if page == "lab.yaml.md":
            parse_lab(text.encode(), "lab.yaml")
            validator("lab").validate(read(text.encode(), "t").value)
            continue
        whole = text if "name:" in text else f"name: x\nrun: y\n{text}"
        parse_task(whole.encode(), "experiments/alpha/train/task.yaml")
        validator("task").validate(read(whole.encode(), "t").value)
