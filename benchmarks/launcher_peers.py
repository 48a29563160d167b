"""Other launchers, each opened as its own manual says and limited to two jobs at once; how each is used.

    python -m benchmarks.launcher_peers NAME --jobs 100

Run by the Python of the peer's own environment, in the folder that benchmarks/launchers.py makes: nothing but the standard library
is imported up here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.launcher_timing import Launcher, Tool, answer, command, job, load, run_job, shell, top

WARM, COLD, FEW = "Python API, warm", "one command", 5


def open_loop() -> Launcher:
    def start(names: list[str]) -> None:
        for name in names:
            run_job(name)

    return Launcher(start)


def open_xargs() -> Launcher:
    return Launcher(lambda names: command("xargs", "-P2", "-n1", *job(), stdin="\n".join(names)))


def open_parallel() -> Launcher:
    return Launcher(lambda names: command("parallel", "-j2", *job("{}"), stdin="\n".join(names)))


def open_make() -> Launcher:
    def start(names: list[str]) -> None:
        rules = "".join(f"{name}:\n\t@{shell(name)}\n" for name in names)
        Path("Makefile").write_text(f"all: {' '.join(names)}\n{rules}")
        command("make", "-j2")

    return Launcher(start)


def open_doit() -> Launcher:
    def start(names: list[str]) -> None:
        each = f"yield {{'name': name, 'actions': ['bash {top()}/job.sh ' + name], 'targets': [f'{top()}/out/{{name}}.json']}}"
        Path("dodo.py").write_text(f"def task_job():\n    for name in {names}:\n        {each}\n")
        command("doit", "-n", "2")

    return Launcher(start)


def open_snakemake() -> Launcher:
    def start(names: list[str]) -> None:
        made = f"{top()}/out/{{i}}.json"
        rule = f"rule job:\n    output: '{made}'\n    shell: 'bash {top()}/job.sh {{wildcards.i}}'\n"
        Path("Snakefile").write_text(f"rule all:\n    input: expand('{made}', i={names})\n{rule}")
        command("snakemake", "-j2", "--quiet", "all")

    return Launcher(start)


def open_redun() -> Launcher:
    Path(".redun").mkdir()
    Path(".redun/redun.ini").write_text(
        "[backend]\ndb_uri = sqlite:///redun.db\n[executors.default]\ntype = local\nmax_workers = 2\n"
    )

    def start(names: list[str]) -> None:
        body = f"@task()\ndef job(i):\n    subprocess.run(['bash', '{top()}/job.sh', i], check=True)\n    return i\n"
        main = f"@task()\ndef main():\n    return [job(i) for i in {names}]\n"
        Path("jobs.py").write_text(
            f"import subprocess\nfrom redun import task\nredun_namespace = 'bench'\n{body}{main}"
        )
        command("redun", "run", "jobs.py", "main")

    return Launcher(start)


def open_dagster() -> Launcher:
    os.environ["DAGSTER_HOME"] = str(Path("home").absolute())
    Path("home").mkdir()
    Path("home/dagster.yaml").write_text("telemetry: {enabled: false}\n")

    def start(names: list[str]) -> None:
        run = f"subprocess.run(['bash', '{top()}/job.sh', i], check=True)"
        made = f"def made(i):\n    @op(name=i)\n    def one():\n        {run}\n    return one\n"
        limit = "{'execution': {'config': {'multiprocess': {'max_concurrent': 2}}}}"
        jobs = f"@job(config={limit})\ndef many():\n    for one in [made(i) for i in {names}]:\n        one()\n"
        Path("jobs.py").write_text(f"import subprocess\nfrom dagster import job, op\n{made}{jobs}")
        command("dagster", "job", "execute", "-f", "jobs.py", "-j", "many")

    return Launcher(start)


def open_hydra() -> Launcher:
    Path("conf").mkdir()
    Path("conf/c.yaml").write_text("i: x\n")
    main = f"def main(c):\n    subprocess.run(['bash', '{top()}/job.sh', c.i], check=True)\n"
    decorated = f"@hydra.main(version_base=None, config_path='conf', config_name='c')\n{main}"
    Path("app.py").write_text(f"import hydra, subprocess\n{decorated}main()\n")
    sweep = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    return Launcher(
        lambda names: command(sys.executable, "app.py", *(sweep if len(names) > 1 else ()), "i=" + ",".join(names))
    )


def open_guild() -> Launcher:
    run = f"subprocess.run(['bash', '{top()}/job.sh', i], check=True)"
    Path("train.py").write_text(f"import subprocess\ni = 'x'\n{run}\nprint('acc: 0.5')\n")

    def start(names: list[str]) -> None:
        command("guild", "run", "train.py", "-y", f"i=[{','.join(names)}]" if len(names) > 1 else f"i={names[0]}")

    return Launcher(start)


def open_dvc() -> Launcher:
    command("git", "init", "-q", "-b", "main")
    command("dvc", "init", "-q")
    Path("params.yaml").write_text("i: x\n")
    value = "\"$(sed -n 's/^i: //p' params.yaml)\""
    Path("run.sh").write_text(f"bash {top()}/job.sh {value}\necho '{{\"acc\": 0.5}}' >metrics.json\n")
    stage = "cmd: bash run.sh, deps: [run.sh], params: [i], metrics: [{metrics.json: {cache: false}}]"
    Path("dvc.yaml").write_text(f"stages: {{train: {{{stage}}}}}\n")
    command("git", "add", "-A")
    command("git", "commit", "-q", "-m", "c")

    def start(names: list[str]) -> None:
        if len(names) == 1:
            command("dvc", "exp", "run", "-q", "-S", f"i={names[0]}")
            return
        had = experiments()
        command("dvc", "exp", "run", "-q", "--queue", "-S", f"i=choice({','.join(names)})")
        command("dvc", "queue", "start", "-j", "2")
        while experiments() < had + len(names):
            time.sleep(0.05)

    return Launcher(start, lambda: command("dvc", "queue", "stop", "--kill"))


def experiments() -> int:
    """Of DVC, finished: refs/exps/<2>/<38>/<name>. Asking `dvc queue status` takes seconds."""
    refs = command("git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    return sum(len(ref.split("/")) == 5 and len(ref.split("/")[2]) == 2 for ref in refs)


def open_luigi() -> Launcher:
    luigi = load("luigi")

    def output(task: Any) -> Any:
        return luigi.LocalTarget(str(top() / f"out/{task.i}.json"))

    body = {"i": luigi.Parameter(), "output": output, "run": lambda task: run_job(task.i)}
    kind = type("Job", (luigi.Task,), body)
    options = {"local_scheduler": True, "workers": 2, "log_level": "WARNING"}
    return Launcher(lambda names: luigi.build([kind(i=name) for name in names], **options))


def open_submitit() -> Launcher:
    executor = load("submitit").LocalExecutor(folder="log")

    def start(names: list[str]) -> None:
        for each in [executor.submit(subprocess.run, job(name), check=True) for name in names]:
            each.result()

    return Launcher(start)


def open_parsl() -> Launcher:
    parsl, executors, providers = load("parsl"), load("parsl.executors"), load("parsl.providers")
    pilot = providers.LocalProvider(init_blocks=1, max_blocks=1)
    two = executors.HighThroughputExecutor(address="127.0.0.1", max_workers_per_node=2, provider=pilot)
    parsl.load(load("parsl.config").Config(executors=[two], usage_tracking=0))

    def text(words: str) -> str:
        return words

    app = parsl.bash_app(text)

    def start(names: list[str]) -> None:
        for each in [app(shell(name)) for name in names]:
            each.result()

    return Launcher(start, parsl.dfk().cleanup)


def open_hyperqueue() -> Launcher:
    hyperqueue, local = load("hyperqueue"), load("hyperqueue.cluster")
    cluster = local.LocalCluster()
    cluster.start_worker(local.WorkerConfig(cores=2))
    client = cluster.client()

    def start(names: list[str]) -> None:
        array = hyperqueue.Job()
        for name in names:
            array.program(job(name), stdout=None, stderr=None)
        client.wait_for_jobs([client.submit(array)])

    return Launcher(start, cluster.stop)


def open_prefect() -> Launcher:
    prefect, runners = load("prefect"), load("prefect.task_runners")
    one = prefect.task(run_job)

    def many(names: list[str]) -> None:
        for each in [one.submit(name) for name in names]:
            each.result()

    return Launcher(prefect.flow(task_runner=runners.ThreadPoolTaskRunner(max_workers=2))(many))


def open_ray() -> Launcher:
    ray, tune = load("ray"), load("ray.tune")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    folder = tune.RunConfig(verbose=0, storage_path=str(Path("ray").absolute()))

    def trial(point: dict[str, Any]) -> dict[str, float]:
        subprocess.run(point["argv"], check=True)
        return {"acc": 0.5}

    def start(names: list[str]) -> None:
        grid = {"argv": tune.grid_search([job(name) for name in names])}
        tune.Tuner(trial, param_space=grid, run_config=folder).fit()

    return Launcher(start, ray.shutdown)


def open_aiida() -> Launcher:
    os.environ["AIIDA_PATH"] = str(Path.cwd())
    command("verdi", "presto", "--use-zeromq")
    load("aiida").load_profile()
    orm, submit = load("aiida.orm"), load("aiida.engine").submit
    at = {"computer": orm.load_computer("localhost"), "filepath_executable": "/bin/bash"}
    code = orm.InstalledCode(label="bash", default_calc_job_plugin="core.arithmetic.add", **at).store()
    command("verdi", "daemon", "start", "1")

    def submitted(name: str) -> Any:
        builder = code.get_builder()
        builder.x, builder.y = orm.Int(1), orm.Int(2)
        one = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        builder.metadata.options = {"resources": one, "prepend_text": shell(name)}
        return submit(builder).pk

    def start(names: list[str]) -> None:
        nodes = [submitted(name) for name in names]
        while not all(orm.load_node(node).is_terminated for node in nodes):
            time.sleep(0.05)

    return Launcher(start, lambda: command("verdi", "daemon", "stop"))


FLOORS = {
    "bash, one after another": Tool(open_loop, "fork/exec", program="bash"),
    "xargs -P2": Tool(open_xargs, COLD, program="xargs"),
    "make -j2": Tool(open_make, COLD, program="make"),
    "GNU parallel -j2": Tool(open_parallel, COLD, program="parallel"),
}
PEERS = {
    "doit": Tool(open_doit, "`doit -n 2`", ("doit",)),
    "Snakemake": Tool(open_snakemake, "`snakemake -j2`", ("snakemake",)),
    "redun": Tool(open_redun, "`redun run`, 2 workers", ("redun",)),
    "luigi": Tool(open_luigi, f"{WARM}; local scheduler, 2 workers", ("luigi",)),
    "Parsl": Tool(open_parsl, f"{WARM}; a pilot of 2 workers", ("parsl",)),
    "HyperQueue": Tool(open_hyperqueue, f"{WARM}; server and a worker of 2 cores", ("hyperqueue",)),
    "Prefect": Tool(open_prefect, f"{WARM}; a flow, 2 threads, its temporary server", ("prefect", "fastapi<0.116")),
    "Hydra": Tool(open_hydra, "`-m hydra/launcher=joblib`, n_jobs=2", ("hydra-core", "hydra-joblib-launcher")),
    "submitit": Tool(open_submitit, f"{WARM}; LocalExecutor, which runs all at once", ("submitit",), most=FEW),
    "Ray Tune": Tool(open_ray, f"{WARM}; grid search, 2 CPUs", ("ray[tune]", "pandas"), most=FEW),
    "Dagster": Tool(open_dagster, "`dagster job execute`, max_concurrent 2", ("dagster",), most=FEW),
    "Guild AI": Tool(open_guild, "`guild run`, one after another", ("guildai", "setuptools<80"), most=FEW),
    "AiiDA": Tool(open_aiida, f"{WARM}; a daemon with one worker, SQLite", ("aiida-core",), most=FEW),
    "DVC": Tool(open_dvc, "`exp run --queue`, `queue start -j 2`; one: `exp run`", ("dvc",), most=FEW),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--jobs", type=int, default=100)
    options = parser.parse_args()
    answer((FLOORS | PEERS)[options.name], options.jobs)


if __name__ == "__main__":
    main()
