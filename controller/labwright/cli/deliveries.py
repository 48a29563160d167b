"""The address that a forge is to send its deliveries to, as somebody types it."""

from urllib.parse import urlsplit, urlunsplit

from labwright.domain.errors import Refused

PATH = "/hooks"  # where web/hooks.py listens


def hook_url(text: str) -> str:
    """`https://lab.example.org/hooks`; a bare host gets the path. Raises Refused."""
    hint = f"such as https://lab.example.org{PATH}, where `lab serve --listen` is reached from the forge"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise Refused(f"--hook: {text!r} is no address", hint=hint) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not text.strip().isprintable():
        raise Refused(f"--hook: {text!r} is no http(s) address", hint=hint)
    if parts.username or parts.password or parts.query or parts.fragment or " " in text.strip():
        raise Refused("--hook: an address only: no user, query or fragment", hint=hint)
    path = parts.path.rstrip("/") or PATH
    if not path.endswith(PATH):
        raise Refused(f"--hook: deliveries are taken at {PATH}, not at {parts.path}", hint=hint)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
