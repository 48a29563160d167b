"""What is told to slurmrestd, and what its answers mean. Answers of v0.0.38 were given by Slurm 22.05; those of v0.0.40 are written
after Slurm's documentation of its REST API, and were never heard from a daemon."""

import base64
import json
from pathlib import Path

import pytest

from labwright import wiring
from labwright.adapters.providers.slurm import rest_api, rest_job
from labwright.adapters.providers.slurm.rest import verdict
from labwright.adapters.providers.slurm.rest_api import answer_of, number, opened
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.lab import Lab
from labwright.domain.slurm import Rest, SlurmProvider

SCRIPT = """#!/bin/bash
#SBATCH --job-name=lab-abcdefghijkl-1
#SBATCH --comment="task=a user=b"
#SBATCH --partition=gpu,long
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=512M
#SBATCH --gres=gpu:h100:2
#SBATCH --time=12
#SBATCH --array=0-9%3
#SBATCH --signal=B:USR1@120
#SBATCH --output=/w/batches/b/slurm-%A_%a.out
#SBATCH --chdir=/w
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --exclusive
echo run
#SBATCH --account=not-read
"""
ENV = {"PATH": "/usr/bin", "HOME": "/home/ada"}
TOLD = {"SLURM_CPUS_PER_TASK": "4", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NTASKS": "2", "SLURM_NPROCS": "2"}
REST = Rest.model_validate({"url": "https://h:6820", "token": "{{secret.JWT}}"})


def test_up_to_v38_fields_take_what_sbatch_takes() -> None:
    assert rest_job.body(SCRIPT, "v0.0.38", ENV) == {
        "script": SCRIPT,
        "job": {
            "name": "lab-abcdefghijkl-1",
            "comment": "task=a user=b",
            "partition": "gpu,long",
            "nodes": "2",
            "tasks_per_node": "1",
            "tasks": "2",
            "cpus_per_task": "4",
            "memory_per_node": "512M",
            "gres": "gpu:h100:2",
            "time_limit": "12",
            "array": "0-9%3",
            "standard_output": "/w/batches/b/slurm-%A_%a.out",
            "current_working_directory": "/w",
            "open_mode": "append",
            "no_requeue": True,
            "exclusive": "exclusive",
            "environment": ENV | TOLD,
        },
    }


def test_since_v39_fields_have_types() -> None:
    made = rest_job.body(SCRIPT, "v0.0.40", ENV)
    assert made["script"] == SCRIPT
    assert made["job"] == {
        "name": "lab-abcdefghijkl-1",
        "comment": "task=a user=b",
        "partition": "gpu,long",
        "nodes": "2",
        "tasks_per_node": 1,
        "tasks": 2,
        "cpus_per_task": 4,
        "memory_per_node": {"set": True, "infinite": False, "number": 512},
        "tres_per_node": "gres/gpu:h100:2",
        "time_limit": {"set": True, "infinite": False, "number": 12},
        "array": "0-9%3",
        "kill_warning_flags": ["BATCH_JOB"],
        "kill_warning_signal": "USR1",
        "kill_warning_delay": {"set": True, "infinite": False, "number": 120},
        "standard_output": "/w/batches/b/slurm-%A_%a.out",
        "current_working_directory": "/w",
        "open_mode": ["APPEND"],
        "requeue": False,
        "shared": ["none"],
        "environment": [f"{name}={text}" for name, text in (ENV | TOLD).items()],
    }


@pytest.mark.parametrize("version", ["v0.0.38", "v0.0.42"])
@pytest.mark.parametrize("option", ["--switches=1", "--reboot", "--mem=much", "--no-kill", "--nice"])
def test_an_option_without_a_field_is_refused_with_its_name(option: str, version: str) -> None:
    if option == "--mem=much" and rest_job.is_old(version):
        return  # text is passed on, and Slurm itself refuses it
    (said,) = rest_job.refusals([option, "--nice=5", "--exclusive", "--mail-type=END,FAIL"], version)
    assert option.partition("=")[0] in said
    assert "rest" in said


def test_options_that_say_one_thing_twice_are_one_field() -> None:
    script = "#!/bin/sh\n#SBATCH --gres=shard:1\n#SBATCH --gpus-per-node=a100:2\n"
    assert rest_job.body(script, "v0.0.41", {})["job"]["tres_per_node"] == "gres/shard:1,gres/gpu:a100:2"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90", 90), ("1:30", 2), ("2:00:00", 120), ("1-0", 1440), ("1-02", 1560), ("1-02:30", 1590), ("0-00:00:01", 1)],
)
def test_times_are_minutes(text: str, wanted: int) -> None:
    assert rest_job.minutes(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("100", 100), ("2G", 2048), ("1T", 1048576), ("512K", 1), ("0", 0)])
def test_sizes_are_megabytes(text: str, wanted: int) -> None:
    assert rest_job.megabytes(text) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (7, 7),
        ("7", 7),
        ({"set": True, "infinite": False, "number": 7}, 7),
        ({"set": False, "infinite": False, "number": 0}, None),
        ({"set": True, "infinite": True, "number": 0}, None),
        (None, None),
        (True, None),
        ("BATCH", None),
    ],
)
def test_a_number_is_read_in_every_layout(value: object, wanted: int | None) -> None:
    assert number(value) == wanted


META = {"meta": {"plugin": {"type": "openapi/v0.0.38"}}}
ACCEPTED = {
    "22.05": {**META, "errors": [], "job_id": 1249, "step_id": "BATCH", "job_submit_user_msg": ""},
    "22.05, held": {**META, "errors": [{"error_code": 2042, "error": "Job is in held state"}], "job_id": 1249},
    "as documented since 23.11": {
        "result": {"job_id": 1249, "step_id": "batch", "error_code": 0, "error": "No error", "job_submit_user_msg": ""},
        "job_id": 1249,
        "errors": [],
        "warnings": [{"description": "unknown field", "source": "#/job/x"}],
    },
    "a result alone": {"result": {"job_id": {"set": True, "infinite": False, "number": 1249}}, "errors": []},
}


@pytest.mark.parametrize("answer", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_id_is_an_accepted_job_whatever_else_is_said(answer: object) -> None:
    assert verdict(answer_of(200, json.dumps(answer)), REST, "ada") == "1249"


def errors(*pairs: tuple[int, str], **more: str) -> str:
    return json.dumps({**META, "errors": [{"error_code": code, "error": words, **more} for code, words in pairs]})


REFUSED: dict[str, tuple[int, str, type[LabError], str]] = {
    "of Slurm": (500, errors((2000, "Invalid partition name specified")), Refused, "Invalid partition name"),
    "for now": (500, errors((2015, "Requested nodes are busy")), Unavailable, "busy"),
    "by a limit": (500, errors((2050, "Job violates accounting/QOS policy (job submit limit, …)")), Unavailable, "limit"),
    "a broken way to slurmctld": (500, errors((5005, "Zero Bytes were transmitted or received")), OutcomeUnknown, "Zero"),
    "slurmctld away": (500, errors((1800, "Unable to contact slurm controller")), OutcomeUnknown, "contact"),
    "of the parser": (400, errors((9001, "Failure during parsing"), description='Unknown key "x"'), Refused, 'key "x"'),
    "no login": (401, "Authentication failure", Refused, "rest.token ({{secret.JWT}})"),
    "forbidden": (403, "", Refused, "rest.token ({{secret.JWT}})"),
    "of an authentication plug-in": (500, errors((1007, "Protocol authentication error")), Refused, "rest.token"),
    "another version": (404, "Unable find requested URL.", Refused, "rest.version"),
    "of a proxy": (502, "<html>Bad Gateway</html>", OutcomeUnknown, "Bad Gateway"),
    "of another proxy": (504, '{"message": "upstream"}', OutcomeUnknown, "504"),
    "too long": (413, "Payload Too Large", Refused, "Too Large"),
    "nothing": (500, "", OutcomeUnknown, "HTTP status 500"),
    "half of it": (200, '{"meta": {', OutcomeUnknown, "{"),
    "a yes without an id": (200, errors(), OutcomeUnknown, "200"),
    "as documented since 23.11": (
        500,
        json.dumps({"errors": [{"description": "Batch job submission failed", "error_number": 2000,
                                "error": "Invalid partition name specified", "source": "slurm_submit_batch_job()"}]}),
        Refused,
        "Invalid partition name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_answer_says_what_to_do_next(what: str) -> None:
    status, text, kind, words = REFUSED[what]
    found = verdict(answer_of(status, text), REST, "ada")
    assert isinstance(found, kind), found
    assert words in str(found)


def token(claims: object) -> str:
    return f"eyJhbGciOiJIUzI1NiJ9.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


def test_a_token_that_ran_out_is_refused_before_anything_is_sent() -> None:
    assert opened(REST, "ada", lambda: token({"exp": 200, "sun": "ada"}) + "\n", 100.0, 5).token
    with pytest.raises(Refused, match="has run out"):
        opened(REST, "ada", lambda: token({"exp": 100}), 100.0, 5)
    for odd in (token([]), token({}), "a.b.c"):
        assert opened(REST, "ada", lambda text=odd: text, 100.0, 5).token == odd  # type: ignore[misc]
    with pytest.raises(Refused, match="is no JWT") as refused:
        opened(REST, "ada", lambda: "SLURM_JWT=a\r\nX: b", 100.0, 5)
    assert "X: b" not in str(refused.value)


def test_the_token_is_asked_anew_each_time(tmp_path: Path) -> None:
    slurm = {"type": "slurm", "rest": {"url": "https://h", "token": "{{ secret.JWT }}"}}
    lab = Lab.model_validate({"providers": {"c": slurm}, "secrets": {"JWT": {"file": str(tmp_path / "jwt")}}})
    settings = lab.providers["c"]
    assert isinstance(settings, SlurmProvider)
    get_token = wiring._rest_token(settings, lab)
    assert get_token is not None
    with pytest.raises(Refused, match="secret JWT"):
        get_token()
    for text in ("a.b.c", "d.e.f"):
        (tmp_path / "jwt").write_text(text + "\n")
        assert get_token() == text


def test_addresses() -> None:
    def rest(url: str) -> Rest:
        return Rest.model_validate({"url": url})

    assert rest_api.prefix(rest("unix:///run/slurmrestd.sock")) == "/slurm/v0.0.38"
    assert rest_api.prefix(rest("https://proxy/slurm-a/")) == "/slurm-a/slurm/v0.0.38"
    assert rest_api.connection_to("https://h:6820", 5).port == 6820
    with pytest.raises(Unavailable, match="nobody answers at unix:///nowhere"):
        opened(rest("unix:///nowhere"), "ada", None, 0.0, 5).reach()


def test_a_token_in_lab_yaml_is_a_reference_to_a_secret_that_is_there() -> None:
    def lab(text: str, secrets: object) -> Lab:
        slurm = {"type": "slurm", "rest": {"url": "https://h", "token": text}}
        return Lab.model_validate({"providers": {"c": slurm}, "secrets": secrets})

    assert lab("{{secret.JWT}}", {"JWT": {"env": "JWT"}}).providers
    with pytest.raises(ValueError, match="names no secret of this file"):
        lab("{{secret.JWT}}", {})
    with pytest.raises(ValueError, match="must be a reference to a secret") as refused:
        lab("eyJhbGciOiJIUzI1NiJ9.e30.x", {})
    assert "eyJ" not in str(refused.value).partition("[type")[0]
