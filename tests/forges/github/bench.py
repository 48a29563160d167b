"""A fake GitHub with people in it, and the adapter in front of it."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from labwright.adapters.forges.github.forge import GitHubForge
from labwright.adapters.forges.github.tokens import AppTokens
from tests.forges.github.fake import FakeGitHub
from tests.forges.github.world import Token, World

APP, INSTALLATION, BOT = 77, 4711, "labwright[bot]"
PAT = "github_pat_of_robot"
FINE = {"contents": "read", "issues": "read", "pull_requests": "write", "statuses": "write", "members": "read"}
APP_PERMISSIONS = {
    "metadata": "read",
    "contents": "read",
    "issues": "read",
    "pull_requests": "write",
    "checks": "write",
    "members": "read",
}

_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY = _key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()
PUBLIC = (
    _key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)


class WorldClock:
    """The controller's clock, as far from GitHub's as a test wants."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now(self):  # type: ignore[no-untyped-def]
        return self.world.now


def a_github(owner: str = "ml") -> FakeGitHub:
    fake = FakeGitHub(World(owner))
    world = fake.world
    world.app = {
        "id": APP,
        "slug": "labwright",
        "installation": INSTALLATION,
        "public_key": PUBLIC,
        "permissions": dict(APP_PERMISSIONS),
        "events": ["issue_comment", "pull_request", "pull_request_review", "push"],
        "hook": {"content_type": "form", "insecure_ssl": "0", "url": ""},
    }
    world.tokens[PAT] = Token("robot", dict(FINE))
    world.grant("robot", "write")
    return fake


def repo_of(fake: FakeGitHub) -> str:
    return f"{fake.world.owner}/{fake.world.name}"


def app_tokens(fake: FakeGitHub, key: str = KEY) -> AppTokens:
    return AppTokens(fake.url, repo_of(fake), APP, INSTALLATION, lambda: key, WorldClock(fake.world))


def as_person(fake: FakeGitHub, token: str = PAT) -> GitHubForge:
    return GitHubForge(fake.url, repo_of(fake), lambda: token)


def as_app(fake: FakeGitHub) -> GitHubForge:
    return GitHubForge(fake.url, repo_of(fake), app_tokens(fake))
