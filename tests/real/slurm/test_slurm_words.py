"""What people wrote arrives on the cluster as data: nothing of it is run, and nothing of it is an option of sbatch."""

from dataclasses import replace

from labwright.domain.errors import Refused
from labwright.domain.lifecycle import Outcome
from labwright.testing.provider_bench import Script, accepted
from tests.real.slurm.asking import job_of, shown
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import MakeBench, SlurmBench


def hostile(bench: SlurmBench) -> list[str]:
    """Each would leave a file in bench.folder if it were ever run."""
    touch = f"touch {bench.folder}/ran"
    return [
        f"$({touch})",
        f"`{touch}`",
        f"a'; {touch}; echo '",
        f'b"; {touch}; echo "',
        f"c\n#SBATCH --partition=spot\n{touch}\n",
        "#SBATCH --partition=spot",
        f"\\\n{touch} & %j %x %% {{{{ x }}}} {{% y %}}",
        " spaces \t and ünïcödé \N{SNOWMAN}  ",
        "",
    ]


def test_hostile_words_are_data_and_the_partition_stays(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of(env={"FROM_LAB": "$(touch /tmp/x) 'quoted'"})
    words = hostile(bench)
    parameters = {f"p{n}": word for n, word in enumerate(words)}
    envs = {f"E{n}": word for n, word in enumerate(words)}
    names = "E[0-9]|LAB_PARAM_P[0-9]|LAB_AUTHOR|LAB_BRANCH|LAB_TASK|FROM_LAB"
    script = Script(f'env -0 | grep -zE "^({names})=" >"$LAB_JOB_DIR/seen"')
    name = "$(touch ran) '#SBATCH\"--partition=spot"
    made = bench.submission(script, parameters=parameters, task={"name": name, "envs": envs})
    said = {"LAB_AUTHOR": f'Ada "$(touch {bench.folder}/ran)" O\'Hara\n#SBATCH --partition=spot <ada@example.org>'}
    said["LAB_BRANCH"] = f"exp/$(touch${{IFS}}{bench.folder}/ran)"
    path = "al pha'/tr\"ain$(touch ran);#SBATCH --partition=spot"
    made = replace(made, task_path=path, variables={**made.variables, **said})
    handle = accepted(bench.provider.submit([made])[made.token])
    assert bench.ended(handle).outcome is Outcome.OK, bench.log(handle)
    pairs = (bench.root / "jobs" / made.token / "seen").read_text().split("\0")
    seen = dict(pair.split("=", 1) for pair in pairs if pair)
    assert seen == {
        **envs,
        **{f"LAB_PARAM_P{n}": word for n, word in enumerate(words)},
        **said,
        "LAB_TASK": path,
        "FROM_LAB": "$(touch /tmp/x) 'quoted'",
    }
    assert shown(cluster, handle)["Partition"] == "main"
    assert not [*bench.workdir.rglob("ran")]
    assert not (cluster.home / "ran").exists()


def test_files_and_folders_of_a_task_may_be_called_anything(bench_of: MakeBench) -> None:
    bench = bench_of()
    folder = "exp '1'/$(touch ran) \"x\"\n#SBATCH --partition=spot"
    files = {f"{folder}/in put.txt": b"in\n", f"{folder}/-rf": b"dash\n", "shared/$(touch ran)": b"shared\n"}
    script = Script(
        'cat "in put.txt" ./-rf "../../shared/\\$(touch ran)"; echo kept >"out \'1\' $(printf \'\\nx\').txt"'
    )
    handle = bench.submit(script, files=files, folder=folder, task={"artifacts": ["out*"]})
    assert bench.ended(handle).outcome is Outcome.OK, bench.log(handle)
    assert bench.log(handle) == b"in\ndash\nshared\n"
    assert [artifact.path for artifact in bench.provider.collect(handle).artifacts] == ["out '1' \nx.txt"]


def test_a_needed_task_is_no_path_out_of_the_job_s_folder(bench_of: MakeBench) -> None:
    bench = bench_of()
    other = bench.submit(Script("true"))
    for path in ("../up", "a/../../b", "/etc", "."):
        made = replace(bench.submission(Script("true")), needs={path: [other]})
        assert isinstance(bench.provider.submit([made])[made.token], Refused)


def test_options_of_lab_yaml_with_spaces_and_quotes_are_one_value(cluster: Cluster, bench_of: MakeBench) -> None:
    bench = bench_of(sbatch=["--mcs-label=a \"b\" 'c' $(d) --partition=spot", "--nice=7", "--begin=now+1hour"])
    handle = bench.submit(Script("true"))
    said = cluster.run("scontrol", "show", "job", job_of(handle)).stdout
    assert " MCS_label=" in said
    assert "Nice=7 " in said
    assert shown(cluster, handle)["Partition"] == "main"
