"""task.yaml: what is refused, at which place and in which words."""

import pytest

from labwright.decide.parse import parse_task
from labwright.domain.errors import Invalid

HEAD = "name: t\nrun: python a.py\n"
PATH = "experiments/alpha/train/task.yaml"


def problems(text: str, head: str = HEAD) -> str:
    with pytest.raises(Invalid) as caught:
        parse_task((head + text).encode(), PATH)
    return str(caught.value)


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
        ("inputs: 1", "3:9: `inputs` must be a text or a list of texts, not the number 1"),
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
