"""What a person finds on the results branch."""

import re
from pathlib import Path

import pytest

from tests.e2e.lab_world import LabWorld

pytestmark = pytest.mark.slow


def test_the_results_branch_has_a_page_that_leads_to_each_experiments(tmp_path: Path) -> None:
    world = LabWorld(tmp_path)

    def page() -> str:
        return world.git("show", "lab-results:results/README.md")

    def linked() -> list[str]:
        return re.findall(r"^\| \[[^]]*\]\(([^)]*)\)", page(), re.M)

    score = "python3 -m lab finish loss=0.25"
    world.commit({f"experiments/{name}/t/task.yaml": f"name: t\nrun: {score}\n" for name in ("beta", "al pha")})
    world.once("--launch-existing")
    assert linked() == ["al%20pha/README.md", "beta/README.md"]
    for name in ("al pha", "beta"):
        assert "0.25" in world.git("show", f"lab-results:results/{name}/README.md")
    assert page().count("| 1 | 1 | 0 | 0 | **0.25**") == 2
    world.commit({"experiments/gamma/t/task.yaml": "name: t\nrun: 'true'\n"})
    assert world.once() == ["gamma/t"]  # another controller: it names those of the one before it, too
    assert linked() == ["al%20pha/README.md", "beta/README.md", "gamma/README.md"]
    assert page().count("**0.25**") == 2
