"""task.yaml: what a person may write, what it becomes, and what is said when it cannot be honoured."""

from typing import Any

import pytest

from labwright.decide.parse import parse_task
from labwright.domain.errors import Refused
from labwright.domain.secrets import secret_names, substitute, to_shell, variables
from labwright.domain.task import Accelerators, Environment, Notify, Supersede, Task

HEAD = "name: t\nrun: python a.py\n"
PATH = "experiments/alpha/train/task.yaml"


def task(text: str) -> Task:
    found = parse_task((HEAD + text).encode(), PATH)
    assert Task.from_json(found.to_json()) == found
    return found


SEEDS = {
    "core concepts": """
        name: fine-tune-llama
        resources:
          compute_provider: my-slurm-cluster
          accelerators: 'NVIDIA'
          num_nodes: 1
        envs:
          LEARNING_RATE: '0.001'
        setup: |
          pip install -r requirements.txt
        run: |
          python train.py
        """,
    "old wrapper": """
        task:
          name: old
          resources: {cpus: 2, memory: 4}
          run: echo hi
        """,
    "cloned": """
        name: trainer
        github_repo_url: https://github.com/owner/examples
        github_repo_dir: trainers/lora
        github_repo_branch: main
        resources:
          accelerators: "RTX3090:1"
          cpus: "4+"
          memory: "16+"
          disk_space: 100
        envs:
          HF_TOKEN: "{{secret._HF_TOKEN}}"
          WANDB: '{{ secrets._WANDB_API_KEY }}'
        setup: "uv pip install -r requirements.txt;"
        run: "python main.py"
        parameters:
        """,
    "schema parameters and a sweep": """
        name: sweep
        run: python train.py
        minutes_requested: 60
        file_mounts: true
        parameters:
          model_name: "HuggingFaceTB/SmolLM-135M-Instruct"
          learning_rate: {type: float, default: 2e-5, min: 1e-6, max: 1, title: Learning rate, ui_widget: slider, step: 1e-6}
          batch_size: {type: int, default: 8, min: 1}
          optimizer: {type: enum, options: [adamw, sgd], default: adamw}
          packing: {type: bool, default: no, ui_widget: switch}
          dataset: {type: string, default: "Trelis/touch-rugby-rules", ui_widget: lab_dataset_select}
          seed: 42
          lora: {r: 8, alpha: 16}
        sweeps:
          sweep_config:
            learning_rate: ["1e-5", "3e-5"]
            batch_size: [4, 8]
            warmup: ["0.03", "0.1"]
          sweep_metric: "eval/loss"
          lower_is_better: true
        """,
    "every cloud field": """
        name: cloud
        run: nvidia-smi
        resources: {instance_type: p4d, cloud: aws, region: us-east-1, zone: us-east-1a, use_spot: yes, image_id: ami-1, fleet_name: f}
        envs:
        sweeps:
        """,
}


def lines(text: str) -> bytes:
    return "\n".join(line.removeprefix(" " * 8) for line in text.strip("\n").split("\n")).encode()


@pytest.mark.parametrize("name", SEEDS)
def test_files_of_the_known_format_are_taken_unchanged_and_survive_json(name: str) -> None:
    found = parse_task(lines(SEEDS[name]), PATH)
    assert Task.from_json(found.to_json()) == found


def test_the_known_format_keeps_its_meaning() -> None:
    found = {name: parse_task(lines(text), PATH) for name, text in SEEDS.items()}
    assert found["core concepts"].resources.accelerators == Accelerators(type="NVIDIA", count=1)
    assert found["core concepts"].envs == {"LEARNING_RATE": "0.001"}
    assert found["old wrapper"].name == "old"
    assert found["cloned"].resources.memory_gb == 16
    assert secret_names(found["cloned"]) == {"_HF_TOKEN", "_WANDB_API_KEY"}
    swept = found["schema parameters and a sweep"]
    assert {name: p.default for name, p in swept.parameters.items()} == {
        "model_name": "HuggingFaceTB/SmolLM-135M-Instruct",
        "learning_rate": 2e-5,
        "batch_size": 8,
        "optimizer": "adamw",
        "packing": False,
        "dataset": "Trelis/touch-rugby-rules",
        "seed": 42,
        "lora": {"r": 8, "alpha": 16},
    }
    assert swept.sweeps is not None
    assert swept.sweeps.config == {"learning_rate": (1e-5, 3e-5), "batch_size": (4, 8), "warmup": ("0.03", "0.1")}
    assert swept.limit_seconds == 3600
    assert found["every cloud field"].resources.use_spot is True


@pytest.mark.parametrize(
    ("written", "kind", "count"),
    [
        ('"RTX3090:1"', "RTX3090", 1),
        ("A100:8", "A100", 8),
        ("8xA100", "A100", 8),
        ("8 x A100-80GB", "A100-80GB", 8),
        ("4", None, 4),
        ('"4"', None, 4),
        ("NVIDIA", "NVIDIA", 1),
        ("{type: H100, count: 2}", "H100", 2),
        ("{count: 2}", None, 2),
        ("{A100: 8}", "A100", 8),
    ],
)
def test_accelerators_may_be_written_in_every_usual_way(written: str, kind: str | None, count: int) -> None:
    assert task(f"resources: {{accelerators: {written}}}").resources.accelerators == Accelerators(
        type=kind, count=count
    )


def test_no_accelerators_are_none() -> None:
    assert task("resources: {accelerators: 0}").resources.accelerators is None
    assert task("resources: {accelerators: }").resources.accelerators is None


@pytest.mark.parametrize(
    ("written", "gigabytes"),
    [
        ("16", 16),
        ('"16"', 16),
        ("16GB", 16),
        ("16 GiB", 16),
        ("512MB", 0.5),
        ("16+", 16),
        ("1.5T", 1536),
        ("0.5", 0.5),
        ("16Gi", 16),
    ],
)
def test_sizes_are_gigabytes_of_2_to_the_30(written: str, gigabytes: float) -> None:
    found = task(f"resources: {{memory: {written}, disk_space: {written}}}").resources
    assert (found.memory_gb, found.disk_gb) == (gigabytes, gigabytes)


@pytest.mark.parametrize(("written", "cpus"), [("4", 4), ('"4"', 4), ("0.5", 0.5), ("4+", 4), ("'0.5+'", 0.5)])
def test_cpus_may_be_a_part_of_one_or_at_least_some(written: str, cpus: float) -> None:
    assert task(f"resources: {{cpus: {written}}}").resources.cpus == cpus


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90m", 5400),
        ("2h", 7200),
        ("1d12h", 129600),
        ("01:30:00", 5400),
        ("90", 90),
        ('"90"', 90),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("0.5", 0.5),
    ],
)
def test_a_timeout_may_be_written_in_every_usual_way(written: str, seconds: float) -> None:
    assert task(f"timeout: {written}").timeout_s == seconds


def test_the_shorter_of_timeout_and_minutes_requested_is_the_limit() -> None:
    assert task("timeout: 2h\nminutes_requested: 60").limit_seconds == 3600
    assert task("timeout: 30m\nminutes_requested: 60").limit_seconds == 1800
    assert task("").limit_seconds is None


def test_environment_values_are_the_text_that_the_file_has() -> None:
    text = "envs: {A: true, B: 0.10, C: '0.001', D: 1e-4, E: 017, F: no, G: , H: ~, I: 12:30:00, J: -1, K: TRUE}"
    assert task(text).envs == {
        "A": "true",
        "B": "0.10",
        "C": "0.001",
        "D": "1e-4",
        "E": "017",
        "F": "no",
        "G": "",
        "H": "",
        "I": "12:30:00",
        "J": "-1",
        "K": "TRUE",
    }


def test_a_python_version_and_a_branch_are_text_however_they_look() -> None:
    assert task("environment: {python: 3.10}").environment == Environment(python="3.10")
    assert task("github_repo_url: https://x.org/a/b\ngithub_repo_branch: 1.10").github_repo_branch == "1.10"


@pytest.mark.parametrize(
    "key", ["parameters", "envs", "sweeps", "resources", "retry", "on", "concurrency", "needs", "timeout"]
)
def test_a_key_with_nothing_after_it_is_a_key_left_out(key: str) -> None:
    assert task(f"{key}:\n") == task("")


def test_an_empty_sweep_is_none() -> None:
    assert task("sweeps: {}").sweeps is None


def test_a_parameter_is_a_value_or_a_declaration() -> None:
    found = task(
        "parameters: {a: [1, 2], b: {x: 1}, c: {default: 3}, d: {type: int}, e: {min: 1, max: 2}, f: , g: {options: [1, 2]}}"
    ).parameters
    assert {name: p.default for name, p in found.items()} == {
        "a": [1, 2],
        "b": {"x": 1},
        "c": 3,
        "d": None,
        "e": {"min": 1, "max": 2},
        "f": None,
        "g": None,
    }
    assert found["g"].options == (1, 2)


def test_quoted_numbers_stay_text_unless_the_parameter_is_declared_a_number() -> None:
    found = task(
        "parameters: {a: '0.1', b: {type: float, default: '0.1'}, c: {type: int, default: 1e3}, d: {type: float, default: 1}}"
    ).parameters
    assert [(p.default, type(p.default)) for p in found.values()] == [
        ("0.1", str),
        (0.1, float),
        (1000, int),
        (1.0, float),
    ]


def test_shorthands_are_taken() -> None:
    assert task("needs: alpha/train").needs == ("alpha/train",)
    assert task("needs: [../train, beta/eval]").needs == ("../train", "beta/eval")
    assert task("inputs: ['../shared/**', /data/*.csv]").inputs == ("../shared/**", "/data/*.csv")
    assert task("environment: requirements.txt").environment == Environment(requirements="requirements.txt")
    assert task("environment: uv.lock").environment == Environment(lock="uv.lock")
    assert task("on: {branches: main, schedule: '0 3 * * 1-5'}").on.branches == ("main",)
    assert task("notify: https://hooks.example.org/x").notify == Notify(to=("https://hooks.example.org/x",))
    assert task("concurrency: {supersede: running}").concurrency.supersede is Supersede.RUNNING
    assert task("file_mounts: {data: ../data}").file_mounts == {"data": "../data"}
    assert task("artifacts: '*.pt'\nretry: {oom: 2}\npriority: -3").retry.oom == 2


def test_secrets_are_found_wherever_a_reference_may_stand() -> None:
    found = task(
        "setup: echo {{secret.A}}\nenvs: {X: 'a{{ secrets.B }}b'}\n"
        "parameters: {p: ['{{secret.C}}', {q: '{{secret.D}}'}]}\nsweeps: {sweep_config: {k: ['{{secret.E}}']}}\n"
    )
    assert secret_names(found) == set("ABCDE")
    assert secret_names(task("")) == frozenset()


def test_a_secrets_value_is_put_in_once_and_never_read_as_a_reference() -> None:
    assert (
        substitute("a {{secret.A}} {{ secrets.A }}", {"A": "{{secret.B}} \\1"}) == r"a {{secret.B}} \1 {{secret.B}} \1"
    )
    with pytest.raises(Refused, match=r"no such secret: A, B"):
        substitute("{{secret.B}}{{secret.A}}", {})


def test_a_script_holds_expansions_and_no_values() -> None:
    assert to_shell('login "{{ secrets.A }}" {{other}}') == 'login "${LAB_SECRET_A}" {{other}}'
    assert variables({"A": "x"}) == {"LAB_SECRET_A": "x"}


def test_a_task_may_be_made_in_code() -> None:
    made: dict[str, Any] = {"name": "x", "run": "y", "envs": {"A": True, "B": 1.5, "C": None}, "timeout": 60}
    assert Task(**made).envs == {"A": "true", "B": "1.5", "C": ""}
