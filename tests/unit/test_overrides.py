"""The lab's own templates: what is taken, what is refused, and which are in force."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.templates import shipped
from labwright.control.overrides import read_overrides
from labwright.decide.overrides import LARGEST
from labwright.decide.render import asked, faults
from labwright.domain.errors import Invalid
from labwright.domain.snapshot import Entry, Snapshot
from labwright.testing.memory_repo import MemoryRepo
from tests.unit.loop_bench import Bench
from tests.unit.planning import task

RUN, BUILD = "local/run.sh.j2", "local/environment.sh.j2"
SHIPPED = {RUN: "{{ token }}", BUILD: "{{ uv }}"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def read(links: Any = None, **files: bytes) -> Any:
    repo = MemoryRepo()
    names = {"run": f"templates/{RUN}", "build": f"templates/{BUILD}"}
    commit = repo.commit({names.get(name, name): data for name, data in files.items()}, links=links)
    return read_overrides(repo, repo.snapshot(commit), SHIPPED)


def refused(links: Any = None, **files: bytes) -> str:
    with pytest.raises(Invalid) as error:
        read(links, **files)
    return str(error.value)


def test_a_lab_without_templates_has_none() -> None:
    assert read(other=b"x") == {}


def test_templates_go_by_their_name() -> None:
    assert read(run=b"mine {{ token }}", build=b"too") == {RUN: "mine {{ token }}", BUILD: "too"}


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    said = refused(**{"templates/local/rnu.sh.j2": b""})
    assert f"did you mean templates/{RUN}? there are: {BUILD}, {RUN}" in said
    assert said.startswith("templates/local/rnu.sh.j2:1:1: ")


def test_what_is_no_folder_of_templates_is_told() -> None:
    assert "templates:1:1" in refused(templates=b"")
    assert "templates:1:1" in refused(links={"templates": "elsewhere"})


def test_a_link_is_no_template() -> None:
    assert "regular file" in refused(links={f"templates/{RUN}": "/etc/passwd"})


def test_a_submodule_is_no_template() -> None:
    with pytest.raises(Invalid, match="regular file"):
        read_overrides(MemoryRepo(), Snapshot("c", {f"templates/{RUN}": Entry("160000", "0" * 40)}), SHIPPED)


def test_a_huge_file_is_not_read() -> None:
    assert "larger than 256 KiB" in refused(run=b"x" * (LARGEST + 1))
    assert read(run=b"x" * LARGEST)


def test_a_folder_of_many_files_is_not_read() -> None:
    assert "holds 65 files" in refused(**{f"templates/{n}": b"" for n in range(65)})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a\n\xff", "2:1: the file is not UTF-8"),
        (b"a\nb\0", "2:1: the file holds a NUL"),
        (b"a\n{% if %}", "2:1: Expected an expression"),
        (b"a\n\n{{ tokn }}", "3:1: `tokn` is no value that this template is given (there are: token)"),
        (b"{{ 1 | nothing }}", "1:1: No filter named 'nothing'"),
        (b"\n{% include 'x' %}", "2:1: `include` is not available in these templates"),
    ],
)
def test_a_broken_template_is_told_with_its_line(data: bytes, said: str) -> None:
    assert f"templates/{RUN}:{said}" in refused(run=data)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert len(refused(run=b"{{ a }}{{ b }}", build=b"{% if %}").splitlines()) == 3


def test_what_is_shipped_is_a_template_by_the_same_rules() -> None:
    assert set(shipped()) >= {RUN, BUILD}
    assert [list(faults(text, asked(text))) for text in shipped().values()] == [[]] * len(shipped())


# in force


def test_a_provider_is_made_anew_with_the_default_branchs_templates(bench: Bench) -> None:
    bench.push(a=task())
    bench.until_idle()
    assert bench.made == [("local", {})]
    bench.repo.commit({f"templates/{RUN}": b"mine"}, branch="topic")
    bench.repo.commit({f"templates/{RUN}": b"mine"})
    bench.push(b=task())
    bench.until_idle()
    assert bench.made[1:] == [("local", {RUN: "mine"})]
    bench.push(c=task())
    bench.until_idle()
    assert len(bench.made) == 2, "nothing changed"
    bench.repo.commit({f"templates/{RUN}": None})
    bench.push(d=task())
    bench.until_idle()
    assert bench.made[2:] == [("local", {})]


def test_templates_of_another_branch_do_not_count(bench: Bench) -> None:
    lab = "watch: {branches: [main, topic]}"
    bench.push(lab=lab, a=task())
    bench.repo.commit({f"templates/{RUN}": b"{% broken"}, branch="topic")
    bench.push(branch="topic", lab=lab, b=task())
    bench.until_idle()
    assert "b/0.0" in bench.states()
    assert bench.made == [("local", {})]
    assert bench.alarms == {}


def test_broken_templates_leave_the_former_in_force_even_after_a_restart(bench: Bench) -> None:
    bench.repo.commit({f"templates/{RUN}": b"good"})
    bench.push(a=task())
    bench.until_idle()
    bench.repo.commit({f"templates/{RUN}": b"{% broken"})
    bench.push(lab="policy: {limits: {jobs_per_commit: 7}}", b=task())
    bench.until_idle()
    assert bench.alarms["templates"].endswith("; the templates before them stay in force")
    assert f"templates/{RUN}:1:1" in bench.alarms["templates"]
    assert bench.world.templates == {RUN: "good"}
    assert bench.world.lab is not None and bench.world.lab.policy.limits.jobs_per_commit == 7
    bench.repo.broken = "no route to host"
    bench.start()
    assert bench.world.templates == {RUN: "good"} and bench.made[-1] == ("local", {RUN: "good"})
    bench.repo.broken = ""
    bench.turn(3)
    assert "templates" in bench.alarms and bench.world.templates == {RUN: "good"}
    bench.repo.commit({f"templates/{RUN}": b"better"})
    bench.push(c=task())
    bench.until_idle()
    assert bench.alarms == {} and bench.made[-1] == ("local", {RUN: "better"})


def test_a_broken_lab_yaml_does_not_hold_up_templates(bench: Bench) -> None:
    bench.push(lab="name: vision", a=task())
    bench.until_idle()
    bench.repo.commit({f"templates/{RUN}": b"mine"})
    bench.push(lab="name: [")
    bench.turn(5)
    assert "lab.yaml" in bench.alarms and "templates" not in bench.alarms
    assert bench.world.lab is not None and bench.world.lab.name == "vision"
    assert bench.world.templates == {RUN: "mine"}


def test_nothing_is_launched_before_the_first_templates_are_good(bench: Bench) -> None:
    bench.repo.commit({f"templates/{RUN}": b"{% broken"})
    bench.push(a=task())
    bench.turn(5)
    assert bench.states() == {}
    assert bench.alarms["templates"].endswith("; nothing is launched until it is mended")
    bench.repo.commit({f"templates/{RUN}": b"good"})
    bench.world.pushed.set()
    bench.until_idle()
    assert bench.states() == {"a/0.0": "COMPLETE"}
    assert bench.made == [("local", {RUN: "good"})]
