"""Forgejo keeps the promises of a forge."""

from labwright.adapters.forges.forgejo import ForgejoForge
from labwright.testing.forge_suite import ForgeSuite
from tests.real.forge.forgejo_world import ForgejoWorld


class TestForgejoForge(ForgeSuite):
    """The fixture `world` is conftest.py's."""

    many = 22

    def test_it_is_the_real_one(self, world: ForgejoWorld) -> None:
        assert isinstance(world.forge, ForgejoForge)
