"""The test-bed is what it says: a Slurm whose behaviour tests may rely on."""

import subprocess

import pytest

from tests.real.slurm.cluster import BreakableCluster, Cluster


def test_jobs_submitted_over_ssh_run_as_their_user_on_a_node(cluster: Cluster) -> None:
    for user in cluster.users:
        done = cluster.as_user(user).ssh('srun sh -c "id -un; hostname; pwd"; hostname')
        who, node, folder, login = done.stdout.split()
        assert (who, folder, login) == (user, str(cluster.as_user(user).home), "login"), done.stderr
        assert node in cluster.nodes
