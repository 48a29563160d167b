"""Trials on their way to a cluster: what is alike goes together, and comes out as it went in."""

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.adapters.providers.slurm.batch import (
    Batch,
    certain,
    groups,
    make_key,
    packed,
    token_list,
    trial_files,
    trials_tar,
)
from labwright.adapters.providers.slurm.handles import parse
from labwright.adapters.providers.slurm.scheduler import verdict_of
from labwright.adapters.providers.slurm.scripts import account_of
from labwright.adapters.providers.slurm.seal import new_key, seal
from labwright.adapters.providers.slurm.submit import handle_of
from labwright.domain.bundle import Bundle, BundleFile
from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.domain.ids import Token
from labwright.ports.provider import Submission
from tests.unit.slurm_login import bash
from tests.unit.slurm_trials import ROOT, cluster, group, resources, scripts, sweep, task, trial

FILES = {"config.json": b"{}", "variables": b"A=\xc3\xa9\0B=" + bytes(600), "needs.list": b"", "resume": b"\n"}


def test_the_files_of_trials_come_out_of_their_tar_as_they_went_in(tmp_path: Path) -> None:
    made = trials_tar([({**FILES, "resume": b"%d\n" % n}, b"") for n in range(1200)], "")
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert len(tar.getmembers()) == 1200 * len(FILES)
        assert {(member.mode, member.uid, member.type) for member in tar} == {(0o600, 0, tarfile.REGTYPE)}
    for chosen in ("0", "7", "1199"):  # as job.sh takes them
        (tmp_path / chosen).mkdir()
        argv = ["tar", "-C", tmp_path / chosen, "--strip-components=1", "-xf", "-", chosen]
        subprocess.run(argv, input=gzip.decompress(made), check=True)
        found = {path.name: path.read_bytes() for path in (tmp_path / chosen).iterdir()}
        assert found == {**FILES, "resume": f"{chosen}\n".encode()}


def test_what_is_secret_of_a_trial_is_one_more_file_and_not_readable() -> None:
    made = trials_tar([(FILES, b"TOKEN=hush\0")], "00" * 32)
    assert b"hush" not in gzip.decompress(made)
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert tar.getnames() == [*(f"0/{name}" for name in FILES), "0/sealed"]


def test_trials_are_alike_by_what_they_are_made_of_not_by_being_the_same_object() -> None:
    first, other, again = trial(1), trial(2, secrets={"TOKEN": "x"}), trial(3)
    assert first.task is not again.task
    made = list(groups([first, other, again], 1000))
    assert [[s.token for s in group.members] for group in made] == [[first.token, again.token], [other.token]]


# groups


@pytest.mark.parametrize(
    "other",
    [
        {"task_path": "beta/train"},
        {"of": task(run="other")},
        {"of": resources(cpus=2)},
        {"bundle": Bundle((BundleFile("a", "100644", "0" * 40),))},
        {"folder": "experiments"},
        {"secrets": {"TOKEN": "other"}},
    ],
)
def test_what_differs_in_more_than_its_trial_is_a_job_of_its_own(other: dict[str, Any]) -> None:
    made = list(groups([trial(0), trial(1, **other), trial(2)], 1000))
    assert [len(g.members) for g in made] == [2, 1]
    assert [g.array for g in made] == ["0-1", ""]


def test_trials_may_differ_in_who_asked_for_them_and_what_they_continue() -> None:
    second = replace(trial(1), attempt=2, variables={"LAB_COMMIT": "d" * 40}, needs={"a/b": []}, parameters={})
    assert len(list(groups([trial(0), second], 1000))) == 1


def test_one_alone_bears_its_own_name_and_several_a_digest_of_theirs() -> None:
    one, two, three = (group(n) for n in (1, 2, 3))
    assert one.job == one.first.token == "lab-abcdefghijka-1"
    assert re.fullmatch(r"lab-[0-9a-f]{12}-a2", two.job)
    assert re.fullmatch(r"lab-[0-9a-f]{12}-a3", three.job)
    assert two.job[:16] != three.job[:16]
    assert two.job == group(2).job


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 9), st.integers(1, 9), st.none() | st.integers(1, 30))
def test_every_trial_has_one_place_and_no_limit_is_passed(
    trials: int, most: int, pack: int, at_once: int, parallel: int | None
) -> None:
    keys: dict[str, Any] = {"resources": {"pack": {"trials": pack, "at_once": at_once}}}
    keys |= {"sweeps": {"max_parallel": parallel}} if parallel else {}
    members = sweep(trials, task(**keys))
    made = list(groups(members, most))
    assert [s.token for g in made for s in g.members] == [s.token for s in members]
    for one in made:
        assert one.elements <= most
        span, _, throttle = one.array.partition("%")
        assert span == (f"0-{one.elements - 1}" if one.elements > 1 else "")
        if parallel:
            side_by_side = min(one.elements, int(throttle)) if throttle else one.elements
            assert side_by_side * min(one.at_once, one.pack) <= parallel
        places = []
        for place, submission in enumerate(one.members):
            known = parse(handle_of(submission.token, "7", f"{one.job}.0a1b2c3d", place, ""))
            assert known
            assert (known.index is None) == (not one.array)
            assert known.slot < known.of <= one.pack
            places.append((known.index or 0) * one.pack + known.slot)
        assert places == list(range(len(one.members))), "as job.sh counts"


def test_the_tokens_of_a_batch_stand_in_the_order_of_their_places() -> None:
    assert token_list(group(3)) == b"".join(f"{s.token}\n".encode() for s in sweep(3))


@pytest.mark.parametrize(
    "name",
    ["", "x", "lab-x-1", "../lab-abcdefghijkl-1", "lab-abcdefghijkl-0", "lab-abcdefghijkl-1\n", "-abcdefghijkl-1"],
)
def test_what_is_no_token_is_no_name_of_a_folder(name: str) -> None:
    assert certain(trial().token) == trial().token
    with pytest.raises(Refused):
        certain(Token(name))


# what a trial finds


def pairs(data: bytes) -> dict[str, str]:
    assert data == b"" or data.endswith(b"\0")
    return dict(item.decode().partition("=")[::2] for item in data.split(b"\0") if item)


def made_of(submission: Submission, **settings: Any) -> tuple[dict[str, bytes], dict[str, str], dict[str, str]]:
    files, secret = trial_files(
        submission, cluster(**settings), ROOT, "/kit", folders={"alpha/prep/job": "/there/a b"}, resume="/from"
    )
    return files, pairs(files["variables"]), pairs(secret)


def test_a_trial_finds_its_parameters_its_variables_and_what_it_reads() -> None:
    of = task(envs={"A": "é\n", "PYTHONPATH": "/mine"}, resources={"cpus": 2.5, "accelerators": 4})
    files, plain, secret = made_of(trial(3, of), env={"A": "lab", "B": "2"})
    assert json.loads(files["config.json"]) == {
        "parameters": {"lr": 0.3},
        "task": "alpha/train",
        "job": "abcdefghijkd",
        "attempt": 1,
    }
    assert (files["needs.list"], files["resume"]) == (b"alpha/prep/job\0/there/a b\0", b"/from\n")
    assert secret == {}
    expected = {
        "A": "é\n",
        "B": "2",
        "LAB_PARAM_LR": "0.3",
        "LAB_CPUS": "2.5",
        "LAB_GPUS": "4",
        "PYTHONPATH": "/kit:/mine",
    }
    assert expected.items() <= plain.items()
    assert plain["LAB_TOKEN"] == "lab-abcdefghijkd-1"
    assert not {"PATH", "HOME", "USER", "CUDA_VISIBLE_DEVICES"} & plain.keys()


def test_which_gpus_it_sees_is_slurms_to_say_unless_somebody_wrote_it() -> None:
    assert made_of(trial(0, task(envs={"CUDA_VISIBLE_DEVICES": "0"})))[1]["CUDA_VISIBLE_DEVICES"] == "0"
    assert made_of(trial(0), env={"CUDA_VISIBLE_DEVICES": ""})[1]["CUDA_VISIBLE_DEVICES"] == ""


ODD = "h'un\"ter\\2\né"


@pytest.mark.parametrize("value", ["hunter22", "1", ODD, "{{secret.OTHER}}"])
def test_whatever_has_a_secret_in_it_is_in_the_sealed_part_alone(value: str) -> None:
    of = task(envs={"URL": "https://x:{{secret.TOKEN}}@y", "PLAIN": "p"}, run="echo {{secret.TOKEN}}")
    given = trial(
        0,
        of,
        secrets={"TOKEN": value, "EMPTY": ""},
        parameters={"a": "{{secret.TOKEN}}", "b": ["x", {"c": "{{secrets.TOKEN}}"}], "d": 2},
    )
    files, plain, secret = made_of(given, env={"LABS": "{{secret.TOKEN}}"})
    assert {"URL", "LAB_SECRET_TOKEN", "LAB_PARAM_A", "LAB_PARAM_B", "LABS"} <= secret.keys()
    assert secret["URL"] == f"https://x:{value}@y"
    assert json.loads(secret["LAB_PARAM_B"]) == ["x", {"c": value}]
    assert plain.keys() & secret.keys() == set()
    assert plain["LAB_SECRET_EMPTY"] == ""
    if value != "1":
        assert {"PLAIN", "LAB_PARAM_D", "LAB_TOKEN"} <= plain.keys()
        for spelling in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
            assert not [name for name, data in files.items() if spelling.encode() in data]
    main = scripts(group(1, of, secrets=given.secrets))["main.sh"]
    assert main == "echo ${LAB_SECRET_TOKEN}\n"


def test_a_batch_whose_secrets_are_all_empty_needs_no_key() -> None:
    none, empty, some = group(), group(secrets={"A": ""}), group(secrets={"A": "", "B": "x"})
    assert (make_key(none), make_key(empty)) == ("", "")
    assert re.fullmatch("[0-9a-f]{64}", make_key(some))
    assert make_key(some) != make_key(some)
    assert [("openssl" in scripts(g)["job.sh"]) for g in (none, empty, some)] == [False, False, True]


# sealing

OPEN = "openssl enc -d -aes-256-ctr -pbkdf2 -iter 1 -md sha256 -pass env:X"


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3))
def test_what_is_sealed_openssl_opens(data: bytes, more: int) -> None:
    key, text = new_key(), data * 10**more
    sealed = seal(text, key)
    assert bash(OPEN, env={"X": key, "PATH": os.environ["PATH"]}, stdin=sealed) == text
    assert len(sealed) == len(text) + 16
    assert len(text) < 8 or text not in sealed


def test_the_same_is_never_sealed_to_the_same() -> None:
    key = new_key()
    assert seal(b"x" * 64, key)[16:] != seal(b"x" * 64, key)[16:]


def test_without_the_key_it_is_not_opened() -> None:
    sealed = seal(b"TOKEN=hunter22\0", new_key())
    assert b"hunter22" not in bash(f"{OPEN} || true", env={"X": new_key(), "PATH": os.environ["PATH"]}, stdin=sealed)


# batches


def test_batches_are_folders_in_one_tar_and_what_is_a_trials_own_is_nobody_elses() -> None:
    files = {"job.sh": b"1", "tokens": b"2", "trials.tar": b"3"}
    made = packed([Batch("a.01", group(), files), Batch("b.02", group(2), {})])
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert {m.name: (m.isdir(), oct(m.mode)) for m in tar.getmembers()} == {
            "a.01": (True, "0o755"),
            "a.01/job.sh": (False, "0o644"),
            "a.01/tokens": (False, "0o644"),
            "a.01/trials.tar": (False, "0o600"),
            "b.02": (True, "0o755"),
        }
        assert tar.extractfile("a.01/trials.tar").read() == b"3"  # type: ignore[union-attr]
    assert packed([Batch("a.01", group(), files), Batch("b.02", group(2), {})]) == made, "the same makes the same"


@pytest.mark.parametrize(
    ("author", "user"),
    [
        ("Ada <ada@example.org>", "ada"),
        ("ada@example.org", "ada"),
        (" ADA@Example.org ", "ada"),
        ("<ada@example.org>", "ada"),
        ("Ada <grace@example.org>", None),
        ("ada@example.org <eve@evil.org>", None),
        ("", None),
        ("ada", None),
    ],
)
def test_whose_a_job_is_is_told_by_the_authors_address(author: str, user: str | None) -> None:
    settings = cluster(host="x", users={"Ada@example.org": {"user": "ada"}})
    found = account_of(trial(variables={"LAB_AUTHOR": author}), settings)
    assert (found.user if found else None) == user


# sbatch's answers

FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        ("1", FAILED + "Invalid partition name specified", Refused),
        ("1", FAILED + "Invalid account or account/partition combination specified", Refused),
        ("1", FAILED + "Requested node configuration is not available", Refused),
        ("1", FAILED + "Memory required by task is not available", Refused),
        ("1", FAILED + "Requested time limit is invalid (missing or exceeds some limit)", Refused),
        ("1", "sbatch: error: invalid partition specified: x " + FAILED + "Invalid partition name specified", Refused),
        ("1", "sbatch: error: QOSMaxWallDurationPerJobLimit " + FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", Refused),
        ("1", "sbatch: error: AssocMaxGRESPerJob " + FAILED + "Job violates accounting/QOS policy", Refused),
        ("1", "", Refused),
        ("255", FAILED + "Invalid job array specification", Refused),
        ("1", "sbatch: error: QOSMaxSubmitJobPerUserLimit " + FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", Unavailable),
        ("1", "sbatch: error: AssocMaxSubmitJobLimit " + FAILED + "Job violates accounting/QOS policy", Unavailable),
        ("1", FAILED + "Resource temporarily unavailable", Unavailable),
        ("1", FAILED + "Required node not available (down, drained or reserved)", Unavailable),
        ("1", FAILED + "Required partition not available (inactive or drain)", Unavailable),
        ("1", FAILED + "Requested partition configuration not available now", Unavailable),
        ("127", "timeout: failed to run command 'sbatch': No such file or directory", Unavailable),
        ("255", "", Unavailable),
        ("1", FAILED + "Unable to contact slurm controller (connect failure)", OutcomeUnknown),
        ("1", FAILED + "Socket timed out on send/recv operation", OutcomeUnknown),
        ("1", FAILED + "Zero Bytes were transmitted or received", OutcomeUnknown),
        ("?", FAILED + "Invalid partition name specified", OutcomeUnknown),
        ("124", "", OutcomeUnknown),
        ("137", "", OutcomeUnknown),
        ("-", "taken", OutcomeUnknown),
    ],
)  # fmt: skip
def test_what_sbatch_says_is_final_or_passes_or_is_not_known(code: str, said: str, kind: type[Exception]) -> None:
    found = verdict_of(code, "-", said)
    assert type(found) is kind
    assert str(found).startswith("sbatch: ")
    assert "sbatch: error:" not in str(found)


@pytest.mark.parametrize("code", ["0", "1", "?", "124"])
def test_a_job_that_is_there_is_there_whatever_was_said(code: str) -> None:
    assert verdict_of(code, "42", FAILED + "Invalid partition name specified") == "42"
