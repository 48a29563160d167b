"""lab.yaml: strict, every key optional, nothing dropped."""

import pytest

from labwright.decide.parse import parse_lab
from labwright.domain.errors import Invalid
from labwright.domain.lab import Lab, LocalProvider, OtherProvider

DESIGN = """
name: vision                       # prefix of everything created at a provider
watch: {branches: [main, 'exp/*'], pull_requests: true}
default_provider: laptop
providers:
  laptop:  {type: local, cpus: 8, gpus: 1, memory: 32GB, grace: 1m, env: {OMP_NUM_THREADS: 1, RATE: 0.10}}
  cluster: {type: slurm, host: login.hpc.example.edu, user: lab, ssh_key: ~/.ssh/lab, partition: gpu, account: ml, workdir: ~/labwright}
  cloud:   {type: skypilot, any_of: [{infra: aws, use_spot: true}, {infra: gcp, use_spot: true}, {infra: lambda}]}
results: {branch: lab-results}
policy:
  approve: {label: "lab:run", approvals: 1, by: [alice, "@org/leads"], self_approval: false}
  limits: {jobs_per_commit: 200, gpu_hours_per_plan: 500}
  quotas: {team: {gpu_hours: 2000}, user: {minutes: 6000}, period: month}
secrets:
  HF_TOKEN: {env: HF_TOKEN}
  WANDB: {file: ~/.wandb}
  DB: {command: [pass, show, db]}
"""


def lab(text: str) -> Lab:
    return parse_lab(text.encode(), "lab.yaml")


def test_the_whole_shape_is_understood() -> None:
    found = lab(DESIGN)
    laptop = found.providers["laptop"]
    assert isinstance(laptop, LocalProvider)
    assert (laptop.cpus, laptop.gpus, laptop.memory_gb, laptop.grace_s) == (8, 1, 32, 60)
    assert laptop.env == {"OMP_NUM_THREADS": "1", "RATE": "0.10"}
    assert found.watch.branches == ("main", "exp/*")
    assert found.policy.approve is not None
    assert found.policy.approve.by == ("alice", "@org/leads")
    assert found.policy.quotas is not None
    assert found.policy.quotas.team is not None
    assert found.policy.quotas.team.gpu_hours == 2000
    assert found.secrets["DB"].command == ("pass", "show", "db")
    assert Lab.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_a_provider_of_another_type_is_kept_with_its_settings() -> None:
    cloud = lab(DESIGN).providers["cloud"]
    assert isinstance(cloud, OtherProvider)
    assert cloud.type == "skypilot"
    assert cloud.settings["any_of"] == [
        {"infra": "aws", "use_spot": True},
        {"infra": "gcp", "use_spot": True},
        {"infra": "lambda"},
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "providers:\nsecrets:\npolicy:\nwatch:\n"])
def test_an_empty_file_is_a_lab_with_every_default(text: str) -> None:
    found = lab(text)
    assert found == Lab()
    assert found.providers == {"local": LocalProvider(type="local")}
    assert found.watch.branches == ("main",)


@pytest.mark.parametrize(
    ("text", "size", "after"),
    [
        ("", 10 << 20, None),
        ("results: {keep_artifacts: 50MB}\npolicy: {retention: 90d}", 50 << 20, 90 * 86400.0),
        ("results: {keep_artifacts: 0}\npolicy: {retention: never}", 0, None),
        ("results: {keep_artifacts: 1}\npolicy: {retention: 3600}", 1 << 30, 3600.0),
    ],
)
def test_what_is_kept_and_for_how_long(text: str, size: int, after: float | None) -> None:
    found = lab(text)
    assert (found.results.keep_bytes, found.policy.retention_s) == (size, after)
    assert Lab.model_validate_json(found.model_dump_json(by_alias=True)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: Vision", "1:7: `name` must be at most 20 lower-case letters, digits and `-`, not `Vision`"),
        ("name: abcdefghijklmnopqrstu", "must be at most 20"),
        ("name: -x", "must be at most 20"),
        ("watchh: {}", "1:1: `watchh` is not a known key (did you mean `watch`?)"),
        ("watch: {branch: main}", "`watch.branch` is not a known key (did you mean `branches`?)"),
        ("watch: {branches: [1]}", "1:20: `watch.branches[0]` must be text, not the number 1"),
        ("default_provider: x\nproviders: {y: {type: local}}", "1:19: `default_provider` names no provider of this file (there are: y)"),
        ("providers: {Big: {type: local}}", "1:13: `providers.Big` must be named with lower-case letters, digits and `-`"),
        ("providers: {a: {cpus: 1}}", "1:13: `providers.a.type` is missing"),
        ("providers: {a: {type: local, host: x}}", "1:30: `providers.a.host` is not a known key"),
        ("providers: {a: {type: local, cpu: 1}}", "did you mean `cpus`?"),
        ("providers: {a: {type: local, env: {LAB_X: 1}}}", "`providers.a.env.LAB_X` is reserved"),
        ("providers: {a: {type: local, gpus: -1}}", "must be at least 0"),
        ("providers: {a: }", "`providers.a` must be a mapping of keys to values, not nothing"),
        ("providers: [local]", "`providers` must be a mapping of keys to values, not a list"),
        ("results: {branch: 'a b'}", "`results.branch` must be a branch's name"),
        ("results: {keep_artifacts: all}", "must be a size, or 0 for none, not `all` (such as `10MB`)"),
        ("policy: {retention: 0}", "1:21: `policy.retention` must be longer than 0 (`never` keeps everything)"),
        ("policy: {retention: soon}", "must be a time, not `soon`"),
        ("policy: {limits: {jobs: 3}}", "`policy.limits.jobs` is not a known key (known here: jobs_per_commit, gpu_hours_per_plan, stops_per_commit)"),
        ("policy: {approve: {approvals: 0}}", "must be at least 1"),
        ("policy: {quotas: {period: year}}", "must be `day`, `week` or `month`, not `year`"),
        ("policy: {quotas: {team: 5}}", "`policy.quotas.team` must be a mapping of keys to values, not the number 5"),
        ("secrets: {A: {env: X, file: y}}", "1:14: `secrets.A` must have exactly one of `env`, `file` and `command`"),
        ("secrets: {A: {}}", "must have exactly one of"),
        ("secrets: {A-B: {env: X}}", "1:11: `secrets.A-B` must be named with letters, digits and `_`"),
        ("secrets: {A: {command: pass show x}}", "must be a list: a program and its arguments"),
        ("secrets: {A: {command: [sleep, 1]}}", "must be a list of texts (put numbers in quotes)"),
        ("- a", "1:1: the file must be a mapping of keys to values, not a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        lab(text)
    assert said in str(caught.value)
