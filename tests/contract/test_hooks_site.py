"""`lab serve --listen`: a delivery reaches the loop, with the secrets that lab.yaml names."""

import hmac
import http.client
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from labwright.control.world import Options
from labwright.domain.errors import Refused
from labwright.settings import Place
from labwright.web.client import status
from labwright.wiring import Site, open_site

LAB = """\
forge: {type: forgejo, url: "http://127.0.0.1:9", repo: ml/vision, token: "{{secret.T}}", hook_secrets: "{{secret.HOOK}}"}
secrets: {T: {env: LAB_TEST_TOKEN}, HOOK: {env: LAB_TEST_HOOK}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("LAB_TEST_HOOK", "known to both")
    monkeypatch.setenv("LAB_TEST_TOKEN", "t")
    repo = tmp_path / "lab"
    repo.mkdir()
    (repo / "lab.yaml").write_text(LAB)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "lab"]):
        subprocess.run(["git", *who, *argv], cwd=repo, check=True)
    return Place(str(repo), tmp_path / "state")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def deliver(site: Site, secret: str) -> int:
    address = status(site.place.socket)["hooks"]["address"]
    signature = hmac.new(secret.encode(), b"{}", "sha256").hexdigest()
    headers = {"Content-Type": "application/json", "X-Forgejo-Event": "push", "X-Forgejo-Signature": signature}
    with closing(http.client.HTTPConnection(address, timeout=20)) as connection:
        connection.request("POST", "/hooks", b"{}", headers)
        return connection.getresponse().status


def test_a_delivery_signed_as_lab_yaml_says_wakes_the_controller(place: Place) -> None:
    site = open_site(place, Options(poll_seconds=3600), listen="127.0.0.1:0")
    try:
        assert deliver(site, "known to both") == 401  # nothing was read yet: nobody is let in

        def read() -> bool:
            site.controller.turn()
            return site.world.lab is not None

        until(read)
        until(lambda: deliver(site, "known to both") == 202)
        until(site.world.pushed.is_set)
        site.world.pushed.clear()
        site.world.wake.clear()
        assert deliver(site, "guessed") == 401
        assert not site.world.wake.is_set()
        assert deliver(site, "known to both") == 202
        assert site.world.pushed.wait(20)
        assert site.world.wake.wait(20)
        assert site.world.hooked.is_set()
        told = status(site.place.socket)["hooks"]
        assert told["accepted"] == told["wakes"] == 2
        assert set(told["refused"]) == {"no secret", "wrong signature"}
    finally:
        site.close()


def test_an_address_that_cannot_be_had_leaves_the_lab_free(place: Place) -> None:
    with pytest.raises(Refused, match="no address to listen at"):
        open_site(place, Options(), listen="nowhere")
    site = open_site(place, Options())
    try:
        assert "hooks" not in status(place.socket)
    finally:
        site.close()
