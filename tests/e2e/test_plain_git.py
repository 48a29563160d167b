"""A lab with a bare repository and no forge: a branch proposes, a signed tag approves, the job runs, and merging runs nothing again."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab_world import LabWorld

LAB = """\
watch: {{pull_requests: true}}
forge: {{type: git, keys: ["{ben}"], poll: 10m, update: 0.1s}}
providers: {{here: {{type: local, cpus: 2}}}}
"""
TASK = "name: {0}\nresources: {{cpus: 1, memory: 1}}\nrun: echo {0}\nminutes_requested: 1\n"


class PlainLab(LabWorld):
    """The work tree `demo` is a clone of the bare `lab.git`, which is what the controller watches."""

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.bare = top / "lab.git"
        self.repo.mkdir()
        for by in ("ben", "mallory"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(top / by)]
            subprocess.run(make, check=True, capture_output=True)
        ben = f"ben {(top / 'ben.pub').read_text().strip()}"
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare))
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(self.bare))
        self.commit({"lab.yaml": LAB.format(ben=ben), "experiments/old/task.yaml": TASK.format("old")})
        self.git("push", "-q", "origin", "main")

    def propose(self, branch: str, name: str) -> str:
        self.git("switch", "-q", "-c", branch, "main")
        head = self.commit({f"experiments/{name}/task.yaml": TASK.format(name)}, f"Try {name}")
        self.git("push", "-q", "origin", branch)
        self.git("switch", "-q", "main")
        return head

    def approve(self, tag: str, commit: str, by: str) -> None:
        key = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={self.top / by}")
        self.git(*key, "tag", "-s", "-m", "yes", tag, commit)
        self.git("push", "-q", "origin", tag)

    def shown(self, path: str) -> str:
        """Of our branch at the remote; empty before it is there."""
        done = subprocess.run(
            ["git", "show", f"lab-pulls:{path}"], cwd=self.bare, env=self.env, capture_output=True, text=True
        )
        return done.stdout

    def status(self, number: int) -> dict[str, Any]:
        return json.loads(self.shown(f"{number}/status.json") or "{}").get("labwright", {})


@pytest.mark.slow
def test_a_signed_tag_lets_a_pull_request_run_and_merging_it_runs_nothing_again(tmp_path: Path) -> None:
    lab = PlainLab(tmp_path)
    looked = lab.lab("doctor", "forge", "--repo", str(lab.bare)).stdout
    assert "plain git" in looked and "of ben" in looked and not (tmp_path / "state").exists()
    with lab.controller("--repo", str(lab.bare)):
        head = lab.propose("pull/7-larger-model", "larger")
        lab.until(lambda: "experiments/larger" in lab.shown("7/comment.md"))
        lab.until(lambda: lab.status(7).get("light") == "pending")
        assert f"T=approve/7/$(date +%s); git tag -s -m approve $T {head[:12]} &&" in lab.shown("7/comment.md")
        lab.approve("approve/7/mallory", head, "mallory")
        lab.git("push", "-q", "origin", f"{head}:refs/tags/approve/7/light")
        other = lab.propose("pull/8", "other")
        lab.until(lambda: "experiments/other" in lab.shown("8/comment.md"))
        assert lab.jobs() == [], "nobody who may has said yes"
        lab.approve("approve/7/ben", head, "ben")
        lab.until(lambda: [job["state"] for job in lab.jobs()] == ["COMPLETE"])
        lab.until(lambda: lab.status(7).get("light") == "success")
        assert "approved by ben" in lab.shown("7/comment.md")
        lab.git("merge", "-q", "--ff-only", head)
        after = lab.commit({"README.md": "merged"}, "Say so")
        lab.git("push", "-q", "origin", "main")
        lab.until(lambda: after[:10] in lab.log())
        assert '"reuse": 1' in lab.log()
        assert [job["task"] for job in lab.jobs()] == ["larger"]
        assert lab.status(8).get("light") == "pending" and lab.shown(f"statuses/{other}.json")
