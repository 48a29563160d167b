"""The test-bed is what it says: a Slurm whose behaviour tests may rely on."""

import http.client
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.real.slurm.cluster import UP, BreakableCluster, Cluster


@pytest.fixture
def name(slurm: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """For this test's jobs, which end with it."""
    yield (name := f"bed-{request.node.name}")
    slurm.cancel_all(name)


def test_jobs_submitted_over_ssh_run_as_their_user_on_a_node(cluster: Cluster, name: str) -> None:
    for user in cluster.users:
        done = cluster.as_user(user).ssh(f'srun -J {name} sh -c "id -un; hostname; pwd"; hostname')
        who, node, folder, login = done.stdout.split()
        assert (who, folder, login) == (user, str(cluster.as_user(user).home), "login"), done.stderr
        assert node in cluster.nodes


def test_a_job_sees_the_gpus_it_asked_for_and_its_exit_code_is_kept(cluster: Cluster, name: str) -> None:
    done = cluster.ssh(
        f'sbatch -W -J {name} --gres=gpu:h100:2 -o {name}.out --wrap "echo \\$CUDA_VISIBLE_DEVICES; exit 7"'
    )
    assert done.returncode == 7, done.stderr
    gpus = (cluster.home / f"{name}.out").read_text().strip().split(",")
    assert len(set(gpus)) == 2
    assert set(gpus) <= set("01234567")


def test_tmp_is_a_node_s_own_and_home_is_everyone_s(cluster: Cluster, name: str) -> None:
    write, read = f"touch /tmp/{name} ~/{name}", f"ls /tmp/{name}; ls ~/{name}; rm ~/{name}"
    done = cluster.ssh(f"srun -J {name} -w node2 sh -c '{write}' && srun -J {name} -w node3 sh -c '{read}'")
    assert done.stdout == f"{cluster.home}/{name}\n", done.stderr


def test_the_tasks_of_a_job_of_two_nodes_start_on_both(cluster: Cluster, name: str) -> None:
    job = "srun --ntasks-per-node=2 hostname | sort"
    done = cluster.ssh(
        f"sbatch -W -J {name} -N2 --ntasks-per-node=2 -o {name} --wrap '{job}' && cat {name} && rm {name}"
    )
    nodes = done.stdout.split()[-4:]
    assert nodes[0] == nodes[1] != nodes[2] == nodes[3], done.stderr


def test_an_array_runs_all_its_tasks_and_one_longer_than_the_site_allows_is_refused(
    cluster: Cluster, name: str
) -> None:
    array = cluster.sbatch(f"-J{name}", "--array=0-19", wrap="test $SLURM_ARRAY_TASK_ID -lt 20")
    assert cluster.wait(array) == {"COMPLETED"}
    refused = cluster.run("sbatch", f"-J{name}", "-H", "--array=0-1001", "--wrap=true")
    assert "Invalid job array specification" in refused.stderr


def test_a_job_of_the_main_partition_preempts_one_of_spot_which_is_requeued(cluster: Cluster, name: str) -> None:
    whole = ("--nodelist=node4", "--exclusive")
    victim = cluster.sbatch(f"-J{name}", "-pspot", *whole, wrap="sleep 300")
    cluster.wait(victim, "RUNNING")
    winner = cluster.sbatch(f"-J{name}", *whole, wrap="sleep 1")
    assert cluster.wait(winner) == {"COMPLETED"}
    cluster.wait(victim, "RUNNING")
    assert " Restarts=1 " in cluster.run("scontrol", "show", "job", victim).stdout


def test_a_job_that_takes_too_much_memory_is_killed(cluster: Cluster, name: str) -> None:
    hoard = "head -c 400M /dev/zero | tr '\\0' x | tail -n 1"  # tail keeps the whole line before it writes it
    job = cluster.sbatch(f"-J{name}", "--mem=100M", wrap=f"{hoard} | (head -c 1 | grep -q x && sleep 60)")
    assert cluster.wait(job) == {cluster.out_of_memory}


def test_a_sixth_job_is_refused_where_few_are_allowed(cluster: Cluster, name: str) -> None:
    ada = cluster.as_user("ada")
    for _ in range(5):
        ada.sbatch(f"-J{name}", "-pfew", "-H", wrap="true")
    refused = ada.run("sbatch", f"-J{name}", "-pfew", "-H", "--wrap=true")
    assert "QOSMaxSubmitJobPerUserLimit" in refused.stderr


def test_an_account_of_others_is_refused(cluster: Cluster) -> None:
    refused = cluster.run("sbatch", f"--account={cluster.as_user('ada').account}", "--wrap=true")
    assert "Invalid account" in refused.stderr


def test_rest_answers_a_token_over_tcp_and_local_users_on_its_socket(cluster: Cluster) -> None:
    token = {"X-SLURM-USER-NAME": "ada", "X-SLURM-USER-TOKEN": cluster.as_user("ada").token()}
    for headers, status in ((token, 200), ({}, 401)):
        assert ping(http.client.HTTPConnection(cluster.host, cluster.rest_port), headers) == status
    local = http.client.HTTPConnection("local")
    local.sock = socket.socket(socket.AF_UNIX)
    local.sock.connect(str(cluster.rest_socket))
    assert ping(local, {}) == 200


def ping(connection: http.client.HTTPConnection, headers: dict[str, str]) -> int:
    connection.request("GET", "/slurm/v0.0.38/ping", headers=headers)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_running_job_survives_each_daemon(breakable_cluster: BreakableCluster, name: str) -> None:
    job = breakable_cluster.sbatch(f"-J{name}", "-wnode2", wrap="sleep 300")
    breakable_cluster.wait(job, "RUNNING")
    with breakable_cluster.without("slurmctld"):
        assert "DOWN" in breakable_cluster.run("scontrol", "ping").stdout
    with breakable_cluster.without("slurmdbd"):
        assert breakable_cluster.run("sacct").returncode
        breakable_cluster.sbatch(f"-J{name}", wrap="true")
    with breakable_cluster.without("node2", signal="KILL"):
        pass
    assert breakable_cluster.states(job) == {"RUNNING"}
    assert breakable_cluster.run("sacct").returncode == 0


def test_a_lost_login_node_is_back_afterwards(breakable_cluster: BreakableCluster) -> None:
    session = subprocess.Popen(
        ["ssh", "-F", str(breakable_cluster.ssh_config_file), "lab", "echo in; sleep 60"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert session.stdout
    assert session.stdout.readline() == "in\n"
    breakable_cluster.cut_connections()
    assert session.wait(timeout=30) == 255
    session.stdout.close()
    with breakable_cluster.without("sshd"):
        assert "Connection refused" in breakable_cluster.ssh("true").stderr
    assert breakable_cluster.ssh("true").returncode == 0


def test_a_node_taken_away_fails_its_jobs_and_comes_back(breakable_cluster: BreakableCluster, name: str) -> None:
    job = breakable_cluster.sbatch(f"-J{name}", "--no-requeue", "-wnode1", wrap="sleep 300")
    breakable_cluster.wait(job, "RUNNING")
    with breakable_cluster.node_down("node1"):
        assert breakable_cluster.wait(job) == {"NODE_FAIL"}
    with breakable_cluster.node_drained("node1"):
        waiting = breakable_cluster.sbatch(f"-J{name}", "-wnode1", wrap="true")
        breakable_cluster.wait(waiting, "PENDING")
    assert breakable_cluster.wait(waiting) == {"COMPLETED"}


def test_a_daemon_that_died_is_started_again(breakable_cluster: BreakableCluster) -> None:
    for daemon in ("munged", "slurmrestd"):
        subprocess.run([UP, "kill", daemon], check=True)
    breakable_cluster.clean()
    assert breakable_cluster.run("squeue").returncode == 0
