"""task.yaml: what a person may write, what it becomes, and what is said when it cannot be honoured."""

from typing import Any

import pytest

from labwright.decide.parse import parse_task
from labwright.domain.errors import Invalid, Refused
from labwright.domain.secrets import secret_names, substitute, to_shell, variables
from labwright.domain.task import Accelerators, Environment, Notify, Supersede, Task

HEAD = "name: t\nrun: python a.py\n"
PATH = "experiments/alpha/train/task.yaml"


def task(text: str) -> Task:
    found = parse_task((HEAD + text).encode(), PATH)
    assert Task.from_json(found.to_json()) == found
    return found


def problems(text: str, head: str = HEAD) -> str:
    with pytest.raises(Invalid) as caught:
        parse_task((head + text).encode(), PATH)
    return str(caught.value)


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parameters: {a: {type: integer, default: 1}}", "3:24: `parameters.a.type` must be `int`, `float`, `bool`, `enum` or `string`, not `integer`"),
        ("parameters: {a: {type: int, default: 1.5}}", "`parameters.a.default` must be a whole number, as its type is int, not the number 1.5"),
        ("parameters: {a: {type: int, default: x}}", "must be a whole number, as its type is int, not `x`"),
        ("parameters: {a: {type: int, default: true}}", "must be a whole number, as its type is int, not `true`"),
        ("parameters: {a: {type: bool, default: 1}}", "must be true or false, as its type is bool"),
        ("parameters: {a: {type: string, default: 1}}", "must be text, as its type is string, not the number 1 (put it in quotes)"),
        ("parameters: {a: {type: float, default: 3, max: 2}}", "3:40: `parameters.a.default` must be at most 2, not 3"),
        ("parameters: {a: {type: float, default: 0, min: 1e-6}}", "must be at least 1e-06, not 0"),
        ("parameters: {a: {default: x, min: 1}}", "must be a number, as it has a min or max"),
        ("parameters: {a: {type: enum, options: [a, b], default: c}}", "must be one of a, b, not `c`"),
        ("parameters: {a: {type: enum, enum: [1, 2], default: true}}", "must be one of 1, 2, not `true`"),
        ("parameters: {a: {type: enum, default: c}}", "`parameters.a` has the type enum but no `options`"),
        ("parameters: {a: {type: int, options: [1, 1]}}", "`parameters.a.options[1]` is there twice"),
        ("parameters: {a: {type: int, options: []}}", "must be a list of 1 to 256 values"),
        ("parameters: {a: {options: [1], enum: [1]}}", "says the same as `options`"),
        ("parameters: {a: {type: string, min: 1}}", "means nothing for the type string"),
        ("parameters: {a: {type: int, min: 0, max: -1}}", "must not be below min, 0"),
        ("parameters: {a: {type: int, default: 3, mim: 2}}", "3:41: `parameters.a.mim` is not a known key (did you mean `min`?)"),
        ("parameters: {a: .inf}", "must be finite, not inf"),
        ("parameters: {a: [1, {b: .nan}]}", "must be finite, not nan"),
        ("parameters: [a]", "`parameters` must be a mapping of keys to values, not a list"),
        ('parameters: {"a\\nb": 1}', "must be named with one line of text"),
        ("sweeps: {sweep_config: {lr: 0.1}}", "3:29: `sweeps.sweep_config.lr` must be a list of at least one value, not the number 0.1"),
        ("sweeps: {sweep_config: {lr: []}}", "must be a list of at least one value, not an empty list"),
        ("sweeps: {sweep_config: {lr: [[1]]}}", "3:30: `sweeps.sweep_config.lr[0]` must be a single value, not a list"),
        ("sweeps: {sweep_config: {lr: [1, 2, 1.0]}}", "3:36: `sweeps.sweep_config.lr[2]` is there twice"),
        ("sweeps: {sweep_config: {lr: [.inf]}}", "must be finite"),
        ("sweeps: {sweep_metric: m}", "`sweeps.sweep_config` is missing"),
        ("sweeps: {sweep_config: {a: [1]}, max_parallel: 0}", "must be at least 1"),
        ("sweeps: {sweep_config: {a: [1]}, strategy: random}", "must be `grid`, not `random`"),
        ("parameters: {lr: {type: float}}\nsweeps: {sweep_config: {lr: ['0.1', x]}}", "4:37: `sweeps.sweep_config.lr[1]` must be a number, as its type is float, not `x`"),
        ("parameters: {lr: {type: float}}\nsweeps: {sweep_config: {lr: ['0.1', 0.1]}}", "`sweeps.sweep_config.lr[1]` is there twice"),
        ("parameters: {n: {type: int, max: 3}}\nsweeps: {sweep_config: {n: [1, 4]}}", "`sweeps.sweep_config.n[1]` must be at most 3, not 4"),
    ],
)  # fmt: skip
def test_parameters_and_sweeps_are_checked_for_real(text: str, said: str) -> None:
    assert said in problems(text)


def test_a_sweep_of_a_million_trials_is_refused_before_it_is_made() -> None:
    values = list(range(100))
    assert "makes 1,000,000 trials; at most 10,000" in problems(
        f"sweeps: {{sweep_config: {{a: {values}, b: {values}, c: {values}}}}}"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resource: {cpus: 4}", "3:1: `resource` is not a known key (did you mean `resources`?)"),
        ("accelerators: A100", "3:1: `accelerators` is not a known key (did you mean `resources.accelerators`?)"),
        ("resources: {memory_gb: 4}", "3:13: `resources.memory_gb` is not a known key (did you mean `memory`?)"),
        ("timeout_s: 3", "`timeout_s` is not a known key (did you mean `timeout`?)"),
        ("xyzzy: 3", "3:1: `xyzzy` is not a known key"),
        ("resources: {cpus: many}", "3:19: `resources.cpus` must be a number of CPUs above 0, not `many`"),
        ("resources: {cpus: 0}", "must be a number of CPUs above 0"),
        ("resources: {cpus: .inf}", "must be a number of CPUs above 0"),
        ("resources: {memory: 16XB}", "must be a size in GB above 0, not `16XB` (such as 16, `16GB` or `512MB`)"),
        ("resources: {memory: -1}", "must be a size in GB above 0"),
        ("resources: {accelerators: 'A100:'}", "such as `A100:8`, `8xA100`, `NVIDIA` or a count"),
        ("resources: {accelerators: 'A100:0'}", "`resources.accelerators` must be at least 1"),
        ("resources: {accelerators: 1.5}", "must be a whole number, not the number 1.5"),
        ("resources: {accelerators: {type: A100, cuont: 1}}", "`resources.accelerators.cuont` is not a known key (did you mean `count`?)"),
        ("resources: {num_nodes: 0}", "must be at least 1"),
        ("resources: {num_nodes: true}", "must be a whole number, not `true`"),
        ("resources: {use_spot: maybe}", "must be true or false, not `maybe`"),
        ("resources: 4", "`resources` must be a mapping of keys to values, not the number 4"),
        ("envs: {LAB_JOB: 1}", "3:8: `envs.LAB_JOB` is reserved"),
        ("envs: {1A: 1}", "`envs.1A` is no name of a variable"),
        ('envs: {"A=B": 1}', "is no name of a variable"),
        ("envs: {A: [1]}", "3:11: `envs.A` must be a single value, not a list"),
        ("envs: [A]", "`envs` must be a mapping of names to values, not a list"),
        ("timeout: soon", "3:10: `timeout` must be a time, not `soon`"),
        ("timeout: 0", "must be longer than 0"),
        ("timeout: 400d", "must be at most 366 days"),
        ("rerun: -1", "must be at least 0"),
        ("rerun: 99999999999", "must be at most 2147483647"),
        ("retry: {oom: x}", "`retry.oom` must be a whole number, not `x`"),
        ("retry: {crash: 1}", "`retry.crash` is not a known key"),
        ("resume: maybe", "must be `auto` or `never`, not `maybe`"),
        ("concurrency: {supersede: all}", "must be `queued`, `running` or `never`, not `all`"),
        ("on: {schedule: '* * *'}", "must be five fields as cron has them"),
        ("on: {schedule: '61 * * * *'}", "must be five fields as cron has them"),
        ("on: {branch: main}", "`on.branch` is not a known key (did you mean `branches`?)"),
        ("needs: /alpha/train", "3:8: `needs` must not begin with `/` (name a task as `alpha/train` or `../train`)"),
        ("needs: [a, a//b]", "3:12: `needs[1]` is no task's path"),
        ("needs: [a/../b]", "is no task's path"),
        ("needs: [alpha/train/task.yaml]", "must name the task's folder, not its file"),
        ("needs: [a, a]", "is there twice"),
        ("needs: {a: b}", "must be a text or a list of texts, not a mapping"),
        ("inputs: [../../../../x]", "3:10: `inputs[0]` leads out of the repository"),
        ("inputs: /../x", "3:9: `inputs` leads out of the repository"),
        ("inputs: [~/x]", "must be a path in the repository"),
        ("artifacts: [../x]", "must not leave the task's folder with `..`"),
        ("artifacts: [/x]", "must be a path below the task's folder"),
        ("artifacts: [3]", "`artifacts[0]` must be text, not the number 3 (put it in quotes)"),
        ("environment: x.yaml", "must be a mapping, or a file `*.txt` or `*.lock`, not `x.yaml`"),
        ("environment: {requirements: ../r.txt}", "must not leave the task's folder"),
        ("environment: {requirements: r.txt, lock: uv.lock}", "`environment.lock` stands beside `requirements`"),
        ("environment: {python: new}", "must be a version of Python, not `new`"),
        ("file_mounts: {a: 1}", "3:18: `file_mounts.a` must be a path"),
        ("file_mounts: 3", "must be true, false or a mapping of paths"),
        ("github_repo_dir: a", "3:1: `github_repo_dir` needs `github_repo_url` beside it"),
        ("github_repo_url: https://me:hunter2@x.org/a/b", "must not hold a password"),
        ("github_repo_url: ext::sh -c x", "must be a repository's address"),
        ("github_repo_url: --upload-pack=x", "must be a repository's address"),
        ("github_repo_url: https://x.org/a\ngithub_repo_branch: --x", "must be a branch, a tag or a commit"),
        ("setup: [a]", "`setup` must be text, not a list"),
        ("setup: echo {{secret.A-B}}", "`setup` refers to a secret in a way that is not understood (write `{{secret.NAME}}`)"),
        ("envs: {A: '{{ secrets }}'}", "3:11: `envs.A` refers to a secret"),
        ("notify: {to: []}\npriority: 2000", "`priority` must be at most 1000"),
        ("minutes_requested: -5", "must be at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_at_its_place_and_in_plain_words(text: str, said: str) -> None:
    found = problems(text)
    assert said in found
    assert "pydantic" not in found
    assert "Value error" not in found


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("run: x\n", "1:1: `name` is missing"),
        ("name: x\n", "1:1: `run` is missing"),
        ("name: x\nrun:\n", "2:1: `run` is empty"),
        ("name: x\nrun: '  '\n", "2:6: `run` must not be empty"),
        ("name: 3\nrun: x\n", "1:7: `name` must be text, not the number 3 (put it in quotes)"),
        ('name: "a\\nb"\nrun: x\n', "1:7: `name` must be one line without control characters"),
        (f"name: {'x' * 101}\nrun: x\n", "`name` must have at most 100 characters"),
        ("task:\n  name: x\n", "1:1: `run` is missing"),
        ("task: 3\n", "1:1: `task` is not a known key"),
        ("- name: x\n", "1:1: the file must be a mapping of keys to values, not a list"),
        ("", "1:1: the file must be a mapping of keys to values, not nothing"),
    ],
)
def test_a_task_has_a_name_and_something_to_run(head: str, said: str) -> None:
    assert said in problems("", head)


def test_every_problem_of_a_file_is_told_in_file_order() -> None:
    found = problems("resources: {cpu: 1, num_nodes: 0}\nenvs: {1: a}\n", "nam: x\n").replace(
        "experiments/alpha/train/task.yaml:", ""
    )
    assert found == '3:8: the key `1` is not text (put it in quotes: "1")', "what is no YAML of ours is told first"
    found = problems("resources: {cpu: 1, num_nodes: 0}\nenvs: {1A: a}\n", "nam: x\n").replace(
        "experiments/alpha/train/task.yaml:", ""
    )
    assert [line.split(" ")[0] for line in found.split("\n")] == ["1:1:", "1:1:", "1:1:", "2:13:", "2:32:", "3:8:"]


def test_a_file_of_nothing_but_mistakes_is_told_a_hundred_of_them() -> None:
    assert problems("".join(f"k{n}: 1\n" for n in range(19_000))).count("\n") == 99


def test_places_in_the_old_wrapper_are_those_of_the_file() -> None:
    assert "3:21: `resources.cpus` must be" in problems("", "task:\n  name: x\n  resources: {cpus: x}\n")


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
