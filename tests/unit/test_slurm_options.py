"""From a task and lab.yaml to what sbatch reads, and back."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.adapters.providers.slurm.options import comment, directives, lines, minutes, options, verify
from labwright.adapters.templates import find
from labwright.decide.parse import parse_lab
from labwright.domain.errors import Invalid, Refused
from labwright.domain.lab import SlurmProvider
from labwright.domain.slurm import ASKED, OURS, Account, whole
from labwright.domain.task import Task
from tests.unit.slurm_trials import ROOT, RUN, cluster, group, header, resources, scripts, task, trial

JOB = "slurm/job.sh.j2"


def made(of: Task | None = None, of_person: Account | None = None, **settings: Any) -> Mapping[str, str]:
    return options(of or task(), cluster(**settings), of_person, RUN)


def script(*header: str) -> str:
    return "\n".join(["#!/bin/bash", *(f"#SBATCH {line}" for line in header), "true", "#SBATCH --array=0-9"])


# what is asked


def test_a_plain_task_asks_for_one_node_and_what_the_cluster_gives() -> None:
    assert made() == {
        "job-name": "lab-abcdefghijkl-1",
        "comment": "task=alpha/train",
        "nodes": "1",
        "ntasks-per-node": "1",
        "signal": "B:USR1@120",
        "output": f"{ROOT}/batches/one.01/slurm-%j.out",
        "chdir": ROOT,
        "open-mode": "append",
        "requeue": "",
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"cpus": 4}, {"cpus-per-task": "4"}),
        ({"cpus": 0.5}, {"cpus-per-task": "1"}),
        ({"cpus": "7.2+"}, {"cpus-per-task": "8"}),
        ({"memory": 16}, {"mem": "16384M"}),
        ({"memory": "512MB"}, {"mem": "512M"}),
        ({"memory": "1KB"}, {"mem": "1M"}),
        ({"memory": 0.1}, {"mem": "103M"}),
        ({"disk_space": "1TB"}, {"tmp": "1048576M"}),
        ({"accelerators": 4}, {"gres": "gpu:4"}),
        ({"accelerators": "A100:4"}, {"gres": "gpu:4"}),
        ({"num_nodes": 3}, {"nodes": "3"}),
    ],
)
def test_what_a_task_asks_for_is_asked_in_slurms_units_and_never_less(
    asked: Mapping[str, Any], found: Mapping[str, str]
) -> None:
    plain = made()
    assert {name: value for name, value in made(resources(**asked)).items() if plain.get(name) != value} == found


def test_accelerators_are_asked_by_the_clusters_own_name() -> None:
    of = resources(accelerators="A100:4")
    assert options(of, cluster(), None, replace(RUN, gpu="a100_80"))["gres"] == "gpu:a100_80:4"


def test_where_jobs_go_is_as_lab_yaml_says() -> None:
    where = {
        "partition": "gpu,long",
        "account": "ml",
        "qos": "high",
        "constraint": "a100&nvlink",
        "reservation": "class",
    }
    assert where.items() <= made(**where).items()
    spot = {"partition": "gpu", "spot_partition": "scavenge"}
    assert made(**spot)["partition"] == "gpu"
    assert made(resources(use_spot=True), **spot)["partition"] == "scavenge"
    assert "partition" not in made(resources(use_spot=True), partition="gpu")


def test_a_persons_account_and_qos_count_more_than_the_labs() -> None:
    lab = {"account": "ml", "qos": "high"}
    assert {
        n: v for n, v in made(None, Account(user="ada", account="ada-lab", qos="low"), **lab).items() if n in lab
    } == {"account": "ada-lab", "qos": "low"}
    assert {n: v for n, v in made(None, Account(user="ada"), **lab).items() if n in lab} == lab


@pytest.mark.parametrize(
    ("keys", "rounds", "longest", "found"),
    [
        ({}, 1, None, None),
        ({}, 1, 3600.0, None),
        ({"timeout": 3600}, 1, None, 62),
        ({"timeout": "90m", "minutes_requested": 30}, 1, None, 32),
        ({"timeout": 1}, 1, None, 2),
        ({"timeout": "366d"}, 1, None, 366 * 1440 + 2),
        ({"timeout": 3600}, 4, None, 243),  # each trial has its limit and its time to end
        ({"timeout": 86400}, 1, 86400.0, 1440),  # all that the partition allows, and no minute more
        ({"timeout": 86400}, 1, 86430.0, 1440),
        ({"timeout": 3600}, 1, 86400.0, 62),
        ({"timeout": 10}, 1, 30.0, 1),
    ],
)
def test_slurm_gives_a_job_a_little_longer_than_its_own_limit_and_never_more_than_is_allowed(
    keys: Mapping[str, Any], rounds: int, longest: float | None, found: int | None
) -> None:
    assert minutes(task(**keys), cluster(grace=30), rounds, longest) == found


@pytest.mark.parametrize(
    ("notice", "found"), [("2m", "B:USR1@120"), (0.2, "B:USR1@1"), ("1d", "B:USR1@65535"), (0, None)]
)
def test_slurm_gives_notice_within_what_it_can_count(notice: object, found: str | None) -> None:
    assert made(notice=notice).get("signal") == found


def test_whether_slurm_may_requeue_is_always_said() -> None:
    assert {"requeue", "no-requeue"} & made().keys() == {"requeue"}
    assert {"requeue", "no-requeue"} & made(requeue=False).keys() == {"no-requeue"}


def test_a_percent_sign_in_a_path_is_one_and_those_of_slurm_are_slurms() -> None:
    run = replace(RUN, folder="/home/50%j/%A_%a.out/b", root="/home/50%j", array="0-9")
    found = options(task(), cluster(), None, run)
    assert found["output"] == "/home/50%%j/%%A_%%a.out/b/slurm-%A_%a.out"
    assert found["chdir"] == "/home/50%j"  # no pattern
    assert (
        options(task(), cluster(), None, replace(run, array=""))["output"] == "/home/50%%j/%%A_%%a.out/b/slurm-%j.out"
    )


# further options of lab.yaml


def test_further_options_come_last_and_as_they_are() -> None:
    found = made(sbatch=["--exclusive", "--mail-type=END", "--nice=100", "--mail-user=a b"])
    assert list(found.items())[-4:] == [("exclusive", ""), ("mail-type", "END"), ("nice", "100"), ("mail-user", "a b")]


def test_an_option_that_is_let_through_counts_more_than_the_tasks() -> None:
    assert made(resources(memory=4), sbatch=["--mem=0", "--wckey=x"], sbatch_allow=["mem", "--wckey"])["mem"] == "0"


def lab(text: str) -> SlurmProvider:
    found = parse_lab(f"providers:\n  cluster:\n    type: slurm\n{text}".encode(), "lab.yaml").providers["cluster"]
    assert isinstance(found, SlurmProvider)
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("    sbatch: [--array=0-9]", "lab.yaml:4:14: `providers.cluster.sbatch[0]` must not have `--array=0-9`: Labwright sets it itself (remove it, or add `array` to sbatch_allow)"),
        ("    sbatch: [--exclusive, --time=60]", "lab.yaml:4:27: `providers.cluster.sbatch[1]` must not have `--time=60`: it follows from the task (use this file's own key, or add `time` to sbatch_allow)"),
        ("    sbatch: --arr=0-9", "lab.yaml:4:13: `providers.cluster.sbatch` must not have `--arr=0-9`: Labwright sets it itself"),
        ("    sbatch: --job=x", "Labwright sets it itself"),
        ("    sbatch: --part=x", "must not have `--part=x`: it follows from the task"),
        ("    sbatch: -N4", "lab.yaml:4:13: `providers.cluster.sbatch` must be long options of sbatch, not `-N4` (such as `--exclusive` or `--nice=100`)"),
        ("    sbatch: --nice 100", "must be long options of sbatch"),
        ("    sbatch: --Exclusive", "must be long options of sbatch"),
        ('    sbatch: "--comment=a\\n#SBATCH -N4"', "lab.yaml:4:13: `providers.cluster.sbatch` must be one line without control characters"),
        ("    sbatch: [--exclusive, --exclusive]", "is there twice"),
        ("    partition: gpu; rm", "lab.yaml:4:16: `providers.cluster.partition` must be one name or several, as Slurm writes them"),
        ("    partition: [gpu, 'a b']", "must be one name or several"),
        ("    partition: gpu long", "must be one name or several"),
        ("    account: a b", "`providers.cluster.account` must be a name as Slurm writes it"),
        ("    qos: '#x'", "`providers.cluster.qos` must be a name as Slurm writes it"),
        ("    constraint: a b", "must be a constraint as sbatch takes it"),
        ("    gres: {A100: 'a b'}", "`providers.cluster.gres.A100` must be a name as Slurm writes it"),
        ("    user: ada", "`user`, `port`, `ssh_key`, `host_key` and `users` need `host` (name the login node)"),
        ("    host: 'a b'", "must be a host's name"),
        ("    host: x\n    user: '-l root'", "must be a user's name"),
        ("    users: {a@b: {user: 'x y'}}", "`providers.cluster.users.a@b.user` must be a user's name"),
        ("    rest: {url: 'ftp://x'}", "must be a unix:// or https:// address"),
        ("    containers: docker", "must be `apptainer` or `pyxis`"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_at_its_place_in_lab_yaml(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        lab(text)
    assert re.match(r"lab\.yaml:[0-9]+:[0-9]+: ", str(caught.value))
    assert said in str(caught.value)


def test_what_may_be_is_taken_as_it_is_written() -> None:
    found = lab(
        "    host: login\n    partition: [gpu , long]\n    sbatch: --exclusive\n    constraint: '[rack1|rack2]*2'\n    users: {Ada@example.org: {user: ada}}"
    )
    assert (found.partition, found.sbatch, found.constraint) == ("gpu,long", ("--exclusive",), "[rack1|rack2]*2")
    assert found.users["Ada@example.org"].user == "ada"


@pytest.mark.parametrize(
    "name",
    [
        "mem-per-cpu",
        "mem-bind",
        "exclusive",
        "nice",
        "mail-type",
        "time-min",
        "wait-all-nodes",
        "gpus-per-task",
        "nodelist",
        "nodefile",
        "licenses",
        "export-file",
    ],
)
def test_an_option_whose_name_is_longer_is_no_other(name: str) -> None:
    assert whole(name) == name


def test_every_name_stands_for_itself() -> None:
    assert {whole(name) for name in OURS | ASKED} == OURS | ASKED


# written and read again

HOSTILE = [
    "a b", "it's", '"q"', "$(touch x)", "`id`", "\\", "\\\\\"", "#SBATCH --array=0-9", "a # b", "#", "-N4", "--array=1", "%j", "é ü 日本",
    " ", " x ", "a\u2028#SBATCH -N9", "a\x85b", "*", "&|;<>(){}[]!~", "a=b=c", "''", "hetjob packjob", "x" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_whatever_a_value_is_sbatch_reads_it_as_it_was_meant(value: str) -> None:
    chosen = {**made(), "comment": value, "mail-user": value, "array": "0-9%3"}
    text = script(*lines(chosen))
    assert directives(text) == chosen
    verify(text, chosen)


@pytest.mark.parametrize("value", ["a\nb", "a\n#SBATCH --array=0-9", "a\rb", "a\0b", "a\tb", "\x1b[31m"])
def test_a_value_of_more_than_one_line_is_refused(value: str) -> None:
    with pytest.raises(Refused, match=r"sbatch: --comment has a control character"):
        lines({"comment": value})


@settings(deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z-]{0,11}[a-z]", fullmatch=True).map(whole),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
        max_size=6,
    )
)
def test_no_value_ever_makes_a_second_directive(chosen: dict[str, str]) -> None:
    try:
        written = lines(chosen)
    except Refused:
        assert any(ord(c) < 32 for value in chosen.values() for c in value)
        return
    assert directives(script(*written)) == chosen
    assert sum(line.startswith("#SBATCH") for line in script(*written).split("\n")) == len(chosen) + 1


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_what_people_are_called_says_nothing_to_sbatch(path: str, author: str) -> None:
    of = replace(
        group(2),
        members=[trial(0, task_path=f"alpha/{path}", variables={"LAB_AUTHOR": author, "LAB_COMMIT": "c" * 40})] * 2,
    )
    text = scripts(of)["job.sh"]
    assert len(header(text)) == len(header(scripts(group(2))["job.sh"]))
    assert re.fullmatch(r"[A-Za-z0-9./_@:+= -]{1,250}", directives(text)["comment"])


def test_a_comment_says_who_and_what_in_plain_letters() -> None:
    assert (
        comment(task="α/train\n#SBATCH", user="Ada <ada@example.org>")
        == "task=_/train__SBATCH user=Ada__ada@example.org_"
    )
    assert len(comment(task="x" * 999)) == 250


# a lab's own template


def rendered(template: str, of: Task | None = None, **settings: Any) -> str:
    return scripts(group(1, of), cluster(**settings), templates={JOB: template})["job.sh"]


def own(added: str) -> str:
    return find(JOB).replace("#!/bin/bash\n", f"#!/bin/bash\n{added}\n", 1)


GPUS = resources(accelerators=4)


@pytest.mark.parametrize(
    "added", ["", "#SBATCH --exclusive", "#SBATCH -x node7", "#SBATCH --mem-per-cpu=4G", "# a word", "#", "#SBATCH"]
)
def test_a_template_may_add_what_no_task_asks_for(added: str) -> None:
    assert "--gres=gpu:4" in header(rendered(own(added), GPUS))


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("#SBATCH -p other", "makes --partition=other where no --partition was planned"),
        ("#SBATCH --partition other", "--partition=other"),
        ("#SBATCH --part=other", "--partition=other"),
        ("#SBATCH -pother", "--partition=other"),
        ("#SBATCH -HN4", "makes --hold= where no --hold was planned"),
        ("#SBATCH -vt 10", "--time=10"),
        ("#SBATCH --array=0-9", "makes --array=0-9 where no --array was planned"),
        ("#SBATCH --arr=0-9", "--array=0-9"),
        ("  # a word\n#SBATCH --array=0-9", "--array=0-9"),
        ("\t\n\n#SBATCH --array=0-9", "--array=0-9"),
        ("#SBATCH --exclusive --qos=high # and more", "--qos=high"),
        ("#SBATCH -M elsewhere", "--clusters=elsewhere"),
        ("#SBATCH --wait", "--wait"),
        ("#SBATCH --export=NONE", "--export=NONE"),
        ("#SBATCH --mem='4 G'", "--mem=4 G"),
        ("#SBATCH --comment='a", "a #SBATCH line cannot be read: No closing quotation"),
        ("#PBS -t 0-9", "sbatch would read #PBS as well"),
        ("#SLURM -N 4", "sbatch would read #SLURM as well"),
    ],
)
def test_a_template_that_asks_for_something_else_is_refused_by_what_differs(added: str, said: str) -> None:
    with pytest.raises(Refused, match=r"^templates/slurm/job\.sh\.j2") as caught:
        rendered(own(added), GPUS)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{{ option }}", "{{ option | replace('--gres=gpu:4', '--exclusive') }}", "makes no --gres where --gres=gpu:4 was planned"),
        ("{{ option }}", "{{ option | replace('--nodes=1', '--nodes=2') }}", "makes --nodes=2 where --nodes=1 was planned"),
        ("{{ option }}", "{{ option | replace('--gres', '# --gres') }}", "makes no --gres where"),
        ("{{ option }}", "{{ option | replace('--requeue', '--no-requeue') }}", "makes --no-requeue= where no --no-requeue was planned"),
        ("{{ option }}", "{{ option | replace('slurm-', 'x-') }}", "makes --output="),
        ("{% for option in options %}\n", "true\n{% for option in options %}\n", "makes no --chdir where"),
        ("#SBATCH {{ option }}", " #SBATCH {{ option }}", "makes no --chdir where"),
    ],
)  # fmt: skip
def test_a_template_that_leaves_out_or_changes_what_was_planned_is_refused(old: str, new: str, said: str) -> None:
    text = find(JOB)
    assert old in text
    with pytest.raises(Refused) as caught:
        rendered(text.replace(old, new), GPUS)
    assert said in str(caught.value)
    assert "let the template write its `options` as they are" in str(caught.value)


def test_an_option_that_lab_yaml_lets_through_is_planned() -> None:
    text = rendered(find(JOB), sbatch=["--time=60", "--exclusive"], sbatch_allow=["time"])
    assert {"--time=60", "--exclusive"} <= set(header(text))


def test_every_option_is_one_line_of_the_script_before_the_first_command() -> None:
    of = group(10, task(resources={"accelerators": "A100:4", "memory": "1GB"}, timeout=60, sweeps={"max_parallel": 3}))
    settings = cluster(partition="gpu", sbatch=['--mail-user=a b # "c" $(d)'])
    text = scripts(of, settings, root="/home/a 'b'/50%/$(x)#")["job.sh"]
    found = directives(text)
    assert len(header(text)) == len(found)
    assert found["mail-user"] == 'a b # "c" $(d)'
    assert found["chdir"] == "/home/a 'b'/50%/$(x)#"
    assert found["array"] == "0-9%3"
    assert found["output"] == f"/home/a 'b'/50%%/$(x)#/batches/{of.job}.01/slurm-%A_%a.out"
