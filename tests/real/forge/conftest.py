"""A real Forgejo for every test below this folder. A test that asks for `forgejo` is marked `real` by that."""

import os
from collections.abc import Iterator

import pytest

from tests.real.forge.forgejo_world import ForgejoWorld
from tests.real.forge.server import CannotRunHere, ForgejoServer


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "forgejo" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(scope="session")
def forgejo() -> Iterator[ForgejoServer]:
    """One for each worker of xdist, with short pages. Tests make repositories of their own in it, and never stop it."""
    try:
        server = ForgejoServer(page=10)
    except CannotRunHere as reason:
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent(str(reason))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def world(forgejo: ForgejoServer) -> Iterator[ForgejoWorld]:
    """A lab repository with nothing but a README."""
    made = ForgejoWorld(forgejo)
    yield made
    made.forge.close()
