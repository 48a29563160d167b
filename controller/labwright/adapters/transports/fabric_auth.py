"""Which keys are offered to a login node, and what is said when none is taken."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.auth_strategy import AuthResult, AuthSource, AuthStrategy

from labwright.domain.errors import Refused, Unavailable

_DEFAULT = ("id_ed25519", "id_ecdsa", "id_rsa")


class Keys(AuthStrategy):
    """`config` is what ~/.ssh/config says of the host. With `key_file` that key alone is offered, from the agent where it has a passphrase."""

    def __init__(self, user: str, host: str, key_file: str, config: Any) -> None:
        super().__init__(config)
        self._user, self._host, self._key_file, self._config = user, host, key_file, config
        self._passed_over: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> AuthResult:
        tried: list[str] = []
        with contextlib.closing(paramiko.Agent()) as agent:
            for name, key in self._keys(agent):
                tried.append(name)
                try:
                    rest = transport.auth_publickey(self._user, key)
                except paramiko.BadAuthenticationType as error:
                    raise self._refused(tried, f"it takes no keys, but {', '.join(error.allowed_types)}") from error
                except (paramiko.SSHException, EOFError) as error:
                    if not transport.is_active() or "timeout" in str(error).lower():
                        raise self._broken_off(tried, error) from error
                    continue
                if rest:
                    raise self._refused(tried, f"it asks for {' or '.join(rest)} besides a key")
                return AuthResult(self)
        raise self._refused(tried, "it takes none of the keys")

    def get_sources(self) -> Iterator[AuthSource]:
        """Not asked for: authenticate() says more of what failed than AuthFailure could."""
        return iter(())

    def _broken_off(self, tried: list[str], error: Exception) -> Refused | Unavailable:
        if len(tried) > 5:  # sshd's MaxAuthTries is 6
            return self._refused(tried, "it closed the connection after so many keys")
        return Unavailable(f"{self._user}@{self._host}: broken off while logging in: {error or type(error).__name__}")

    def _refused(self, tried: list[str], why: str) -> Refused:
        offered = ", ".join(tried) or "none"
        over = f"; not usable: {', '.join(self._passed_over)}" if self._passed_over else ""
        if "besides" in why or "no keys" in why:
            hint = "open a master connection with `ssh` and use the openssh transport"
        else:
            hint = f"`ssh {self._user}@{self._host} true` must work without a question; add the key to authorized_keys there, or name another"
        return Refused(f"{self._user}@{self._host}: login refused: {why} (offered: {offered}{over})", hint=hint)

    def _keys(self, agent: paramiko.Agent) -> Iterator[tuple[str, paramiko.PKey]]:
        if self._key_file:
            yield named(Path(self._key_file).expanduser(), agent)
            return
        configured = [Path(path).expanduser() for path in self._config.get("identityfile", ())]
        yield from self._loaded(configured)
        if self._config.get("identitiesonly", "no").lower() != "yes":
            for key in agent.get_keys():
                yield f"{key.comment or key.get_name()} of the agent", key
        if not configured:
            yield from self._loaded([Path.home() / ".ssh" / name for name in _DEFAULT])

    def _loaded(self, paths: list[Path]) -> Iterator[tuple[str, paramiko.PKey]]:
        for path in paths:
            if path.exists():
                try:
                    yield str(path), load(path)
                except Refused as error:
                    self._passed_over.append(error.message)


def named(path: Path, agent: paramiko.Agent) -> tuple[str, paramiko.PKey]:
    """The key of a file, from the agent where it has a passphrase; with a name for it. Raises Refused."""
    try:
        return str(path), load(path)
    except Refused:
        public = path.with_name(path.name + ".pub")
        blob = public.read_text().split()[1:2] if public.is_file() else []
        for key in agent.get_keys():
            if [key.get_base64()] == blob:
                return f"{path} of the agent", key
        raise


def load(path: Path) -> paramiko.PKey:
    """Raises Refused saying which file and what to do."""
    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", hint="the controller's user must be able to read the key") from error
    except (TypeError, paramiko.PasswordRequiredException):
        raise Refused(
            f"{path}: the key has a passphrase", hint=f"`ssh-add {path}` gives it to the agent; or make one without"
        ) from None
    except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise Refused(f"{path}: not a private key that can be used: {error}") from error
