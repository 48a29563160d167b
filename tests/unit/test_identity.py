"""What makes two trials the same work (docs/adr/0003-identity.md)."""

import pytest

from labwright.decide.discover import Tree
from labwright.domain.errors import Problem
from labwright.domain.ids import Digest, job_id, parse_token, token
from labwright.domain.job import Trial
from labwright.domain.snapshot import Snapshot
from tests.unit.planning import Lab, task

T = "experiments/a/task.yaml"


def work(text: str, **files: str) -> Digest:
    return trial(text, **files).work


def trial(text: str, **files: str) -> Trial:
    asked = Lab().one({T: text, "experiments/a/train.py": "1", "src/lib.py": "1", **files})
    assert not asked.problems, asked.problems
    return asked.trials[0]


def problems(files: dict[str, str], name: str = "a") -> tuple[Problem, ...]:
    return Lab().one(files, name).problems


WHERE_AND_WHEN = {
    "provider": "resources: {compute_provider: local}",
    "cpus": "resources: {cpus: 8}",
    "memory": "resources: {memory: 64GB}",
    "disk": "resources: {disk_space: 1TB}",
    "instance": "resources: {instance_type: p4d.24xlarge}",
    "cloud, region, zone": "resources: {cloud: aws, region: eu-west-1, zone: a}",
    "spot": "resources: {use_spot: true}",
    "fleet": "resources: {fleet_name: night}",
    "timeout": "timeout: 2h",
    "minutes": "minutes_requested: 30",
    "retry": "retry: {oom: 3}",
    "resume": "resume: never",
    "priority": "priority: 7",
    "artifacts": "artifacts: ['*.pt']",
    "concurrency": "concurrency: {group: g, supersede: running}",
    "on": "on: {branches: [main], manual: true}",
    "notify": "notify: [https://example.org/hook]",
    "rerun": "rerun: 3",
    "what a sweep is ranked by": "sweeps: {sweep_config: {lr: [0.1]}, sweep_metric: acc, lower_is_better: false}",
    "how many trials at once": "sweeps: {sweep_config: {lr: [0.1]}, max_parallel: 2}",
    "words about a parameter": "parameters: {lr: {type: float, default: 0.1, description: rate, max: 1}}",
}


@pytest.mark.parametrize("field", WHERE_AND_WHEN)
def test_what_says_only_where_and_when_is_not_in_the_digest(field: str) -> None:
    plain = "name: t\nrun: x\n"
    lr = "" if "lr" in WHERE_AND_WHEN[field] else "parameters: {lr: 0.1}\n"
    assert work(plain + lr + WHERE_AND_WHEN[field]) == work(plain + "parameters: {lr: 0.1}")


def test_the_name_is_not_in_the_digest() -> None:
    assert work("name: one\nrun: x") == work("name: two\nrun: x")


CHANGES_A_RESULT = {
    "run": ("run: x", "run: y"),
    "setup": ("", "setup: pip install x"),
    "envs": ("envs: {A: '1'}", "envs: {A: '2'}"),
    "parameters": ("parameters: {lr: 0.1}", "parameters: {lr: 0.2}"),
    "a parameter's name": ("parameters: {lr: 0.1}", "parameters: {rate: 0.1}"),
    "a value's type": ("parameters: {n: 1}", "parameters: {n: '1'}"),
    "environment": ("environment: {python: '3.11'}", "environment: {python: '3.12'}"),
    "repository": ("", "github_repo_url: https://example.org/a/b"),
    "its folder": ("github_repo_url: https://example.org/a/b", "github_repo_url: https://example.org/a/b\ngithub_repo_dir: x"),
    "its branch": ("github_repo_url: https://example.org/a/b", "github_repo_url: https://example.org/a/b\ngithub_repo_branch: x"),
    "accelerators": ("resources: {accelerators: 'A100:1'}", "resources: {accelerators: 'A100:2'}"),
    "their type": ("resources: {accelerators: 'A100:1'}", "resources: {accelerators: 'H100:1'}"),
    "nodes": ("", "resources: {num_nodes: 2}"),
    "image": ("", "resources: {image_id: 'docker:x'}"),
    "file mounts": ("", "file_mounts: {/data: data}"),
    "inputs": ("", "inputs: [/src/lib.py]"),
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES_A_RESULT)
def test_what_can_change_a_result_is_in_the_digest(field: str) -> None:
    one, other = ("name: t\n" + ("" if "run:" in text else "run: x\n") + text for text in CHANGES_A_RESULT[field])
    assert work(one) != work(other)


def test_code_is_in_the_digest_by_content_path_and_mode() -> None:
    plain = work("name: t\nrun: x")
    assert plain != work("name: t\nrun: x", **{"experiments/a/train.py": "2"})
    assert plain != work("name: t\nrun: x", **{"experiments/a/more.py": "1"})
    assert plain != work("name: t\nrun: x", **{"experiments/a/deep/README.md": "in a deeper folder it may be data"})


def test_notes_and_comments_and_other_tasks_are_not_in_the_digest() -> None:
    plain = work("name: t\nrun: x")
    assert plain == work("# said\nname: t\nrun:   x")
    assert plain == work("name: t\nrun: x", **{"experiments/a/README.md": "notes"})
    assert plain == work("name: t\nrun: x", **{"experiments/a/eval/task.yaml": task(), "experiments/a/eval/x.py": ""})
    assert plain == work("name: t\nrun: x", **{"src/lib.py": "2", "lab.yaml": "name: other"})


def test_inputs_are_in_the_digest_by_content() -> None:
    text = "name: t\nrun: x\ninputs: [/src/*.py]"
    assert work(text) != work(text, **{"src/lib.py": "2"})
    assert work(text) != work(text, **{"src/new.py": "1"})
    assert work(text) == work(text, **{"src/data.csv": "1"})


def test_notes_of_a_task_with_inputs_are_still_not_in_its_digest() -> None:
    text = "name: t\nrun: x\ninputs: [/src/*.py]"
    assert work(text) == work(text, **{"experiments/a/README.md": "notes"})


def test_what_a_needed_task_does_is_in_the_digest() -> None:
    def of(run: str) -> Digest:
        files = {"experiments/b/task.yaml": task(run), T: task(needs="[b]")}
        return Lab().one(files).trials[0].work

    assert of("one") == of("one") != of("two")


def test_a_file_that_names_a_value_the_long_way_is_the_same_work() -> None:
    short = "resources: {accelerators: 'A100:8'}\nparameters: {lr: 0.1}"
    long = "task: {name: n, run: x, resources: {accelerators: 8xA100}, parameters: {lr: {default: 0.1}}}"
    assert work(f"name: t\nrun: x\n{short}") == work(long)


def test_digests_and_ids_are_what_they_were() -> None:
    """Golden: whoever changes these makes all finished work unknown."""
    made = trial("name: t\nrun: x\nparameters: {lr: 0.1, ü: é}\nresources: {accelerators: 'A100:2'}")
    assert made.work == "4607eed17c3a8006760db7a76998cc1e9eff39bf6eb459c025b021c3cbe66bfa"
    assert job_id(made.work, "a", 0) == "ppp53ovlsivq"
    assert job_id(made.work, "a", 1) != job_id(made.work, "a", 0) != job_id(made.work, "b", 0)


def test_a_token_says_which_lab_job_and_attempt() -> None:
    made = job_id(Digest("0" * 64), "a", 0)
    assert parse_token(token("my-lab-2", made, 3)) == ("my-lab-2", made, 3)
    assert parse_token("somebody else's") is None


def test_the_same_content_at_two_paths_is_the_same_work_and_two_jobs() -> None:
    asked = Lab().ask({T: task(), "experiments/b/task.yaml": task()})
    one, other = asked["a"].trials[0], asked["b"].trials[0]
    assert one.work == other.work
    assert job_id(one.work, "a", 0) != job_id(other.work, "b", 0)


def test_a_needed_task_is_evaluated_before_what_needs_it_whatever_was_asked() -> None:
    files = {f"experiments/t{n}/task.yaml": task(needs=f"[t{n - 1}]" if n else "[]") for n in range(4)}
    assert list(Lab().ask(files, "t3")) == ["t0", "t1", "t2", "t3"]


def test_a_chain_of_a_thousand_needs_is_legal() -> None:
    files = {f"experiments/t{n}/task.yaml": task(needs=f"[t{n - 1}]" if n else "[]") for n in range(1000)}
    assert len(Lab().ask(files, "t999")) == 1000


def test_a_circle_of_needs_is_invalid_for_all_in_it_and_for_who_waits_for_them() -> None:
    files = {
        "experiments/a/task.yaml": task(needs="[b]"),
        "experiments/b/task.yaml": task(needs="[c]"),
        "experiments/c/task.yaml": task(needs="[a]"),
        "experiments/d/task.yaml": task(needs="[a]"),
        "experiments/e/task.yaml": task(needs="[./../e]"),
        "experiments/f/task.yaml": task(),
    }
    asked = Lab().ask(files)
    assert [name for name, one in asked.items() if one.problems] == ["c", "b", "a", "d", "e"]
    assert "a → b → c → a" in asked["c"].problems[0].message
    assert asked["f"].trials


def test_an_unknown_need_says_where_it_is_written() -> None:
    (problem,) = problems({T: "name: t\nrun: x\nneeds:\n  - b\n"})
    assert (problem.path, problem.line) == (T, 4)
    assert "there is no task experiments/b/task.yaml" in problem.message


def test_an_input_that_matches_nothing_is_said() -> None:
    (problem,) = problems({T: "name: t\nrun: x\ninputs: [/nothing/*.py]"})
    assert (problem.line, problem.column) == (3, 10)
    assert "`/nothing/*.py` matches nothing" in problem.message


def test_a_name_that_is_no_utf8_makes_its_task_invalid_and_no_other() -> None:
    bad = "experiments/a/\udcff.py"
    lab = Lab()
    entries = dict(
        lab.commit({T: task(), "experiments/b/task.yaml": task(), "experiments/\udcfe/task.yaml": task()}).entries
    )
    tree = Tree(Snapshot("x", {**entries, bad: entries[T]}))
    asked = lab._asked(tree, tree.tasks)
    assert asked["a"].problems and asked["\udcfe"].problems and asked["b"].trials


def test_a_task_yaml_that_is_a_link_is_invalid() -> None:
    lab = Lab()
    tree = lab.commit({"x": "name: t\nrun: x"})
    lab.repo.commit({}, links={T: "../../x"})
    tree = Tree(lab.repo.snapshot(lab.repo.branches["main"]))
    assert "ordinary file" in lab._asked(tree, ["a"])["a"].problems[0].message


@pytest.mark.parametrize(("asked", "provider", "refused"), [("", "big", ""), ("BIG", "big", ""), ("mars", "mars", "no provider `mars`")])  # fmt: skip
def test_a_provider_is_found_whatever_its_case(asked: str, provider: str, refused: str) -> None:
    lab = Lab("providers: {big: {type: local}, small: {type: local}}\ndefault_provider: big")
    text = task(resources=f"{{compute_provider: {asked}}}") if asked else task()
    one = lab.one({T: text})
    assert one.trials[0].provider == provider
    assert refused in "".join(one.refusals)
    assert bool(refused) is bool(one.refusals)


@pytest.mark.parametrize("field", ["notify: [https://example.org]", "on: {label: go}", "on: {schedule: '@daily'}"])
def test_what_cannot_be_honoured_yet_is_refused_and_never_dropped(field: str) -> None:
    (why,) = Lab().one({T: f"name: t\nrun: x\n{field}"}).refusals
    assert "not available in this version" in why
