"""The way to a login node, a step at a time: what keeps a controller from it, and how to mend that."""

import base64
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from labwright.adapters.transports import fabric_link, openssh
from labwright.adapters.transports.dialing import turn
from labwright.adapters.transports.fabric_auth import named
from labwright.adapters.transports.host_keys import HostKey, check, known, pinned
from labwright.adapters.transports.login import Login
from labwright.domain.errors import LabError, OutcomeUnknown
from labwright.domain.finding import FAIL, OK, WARN, Finding, told
from labwright.ports.clock import Clock
from labwright.ports.transport import Transport

_PATIENCE = 10.0
_SKEW = 5.0  # seconds that two clocks may differ


@dataclass(frozen=True, slots=True)
class _Target:
    """What ~/.ssh/config makes of the login."""

    host: str
    port: int
    user: str
    through: str  # a jump host or command; empty: it is dialled directly
    alias: str  # its name in known_hosts
    files: Sequence[Path]

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


def examine(
    login: Login, transport: Transport, clock: Clock, *, with_ssh: bool, known_host: bool = False
) -> Iterator[Finding]:
    """`with_ssh`: the transport is the system's ssh; `known_host`: only what is this user's own. A step that fails is the last."""
    yield (key := _key(login, with_ssh=with_ssh))
    if key.result == FAIL:
        return
    try:
        target = _of_ssh(login) if with_ssh else _of_fabric(login)
    except (LabError, OutcomeUnknown) as error:
        yield _told("host", error)
        return
    if known_host:
        yield entered(transport, str(target))
        return
    if target.through:
        yield Finding("host", OK, f"{target}, through {target.through}")
    else:
        for finding in _dialled(login, target, with_ssh=with_ssh):
            yield finding
            if finding.result == FAIL:
                return
    yield (found := entered(transport, str(target)))
    if found.result != FAIL:
        yield clocks(transport, clock)


def entered(transport: Transport, where: str) -> Finding:
    """Whether commands run there, and as whom."""
    try:
        user = transport.run(["id", "-un"], timeout=30).text.strip()
    except (LabError, OutcomeUnknown) as error:
        return _told("login", error)
    odd = getattr(transport, "warning", "")
    mend = "let ~/.bash_profile there do nothing when no terminal is there" if odd else ""
    return Finding("login", WARN if odd else OK, odd or f"{where}, as {user}", mend)


def clocks(transport: Transport, clock: Clock) -> Finding:
    try:
        before = clock.now()
        there = float(transport.run(["date", "+%s.%N"], timeout=30).text)
        after = clock.now()
    except (LabError, OutcomeUnknown, ValueError) as error:
        return _told("clock", error)
    skew, doubt = there - (before.timestamp() + after.timestamp()) / 2, (after - before).total_seconds() / 2
    if abs(skew) <= _SKEW + doubt:
        return Finding("clock", OK, f"the login node's and ours are {max(abs(skew), doubt):.2g} s apart at most")
    text = f"the login node's is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    return Finding("clock", WARN, text, "run an NTP service on both: times of jobs are wrong by so much")


def _told(what: str, error: Exception) -> Finding:
    return told(what, error) if isinstance(error, LabError) else Finding(what, FAIL, str(error), "try again")


def _key(login: Login, *, with_ssh: bool) -> Finding:
    if not login.key_file:
        return Finding("key", OK, "lab.yaml names none: those of ~/.ssh and of the agent, as ssh would")
    path = Path(login.key_file).expanduser()
    try:
        login.check_key_file()
        with contextlib.closing(paramiko.Agent()) as agent:
            _, key = named(path, agent)
    except LabError as error:
        return told("key", error)
    mode = path.stat().st_mode
    if mode & 0o077 and path.stat().st_uid == os.getuid():
        mend = f"chmod 600 {path}" + (": ssh uses no key that others may read" if with_ssh else "")
        return Finding("key", FAIL if with_ssh else WARN, f"{path}: others may read it ({mode & 0o777:o})", mend)
    held = " in the agent, for it has a passphrase" if isinstance(key, paramiko.AgentKey) else ""
    mend = "a controller that outlives the agent needs a key without a passphrase" if held else ""
    return Finding("key", WARN if held else OK, f"{path}, {key.get_name()}{held}", mend)


def _of_fabric(login: Login) -> _Target:
    hop = fabric_link.configured(login)
    configured: Any = hop.ssh_config
    jump = configured.get("proxyjump", "none")
    through = jump if jump != "none" else configured.get("proxycommand", "")
    files = login.known_hosts_files(configured.get("userknownhostsfile", ""))
    return _Target(hop.host, hop.port, hop.user, through, configured.get("hostkeyalias", hop.host), files)


def _of_ssh(login: Login) -> _Target:
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        said = openssh.configured(login, Path(folder), _PATIENCE)
    through = next((said[n] for n in ("proxyjump", "proxycommand") if said.get(n, "none") != "none"), "")
    host = said.get("hostname", login.host)
    alias = said.get("hostkeyalias", "none")
    users = login.known_hosts_files("" if login.host_key else said.get("userknownhostsfile", ""))
    port = int(said.get("port", "22"))
    return _Target(host, port, said.get("user", ""), through, host if alias in ("none", "pinned") else alias, users)


def _dialled(login: Login, target: _Target, *, with_ssh: bool) -> Iterator[Finding]:
    """Whether an sshd answers there, and whether it is the one that is meant."""
    try:
        with (
            turn(f"{target.host}:{target.port}"),
            socket.create_connection((target.host, target.port), _PATIENCE) as to,
        ):
            shown, banner = _shown(to)
    except (OSError, EOFError, paramiko.SSHException) as error:
        words = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", "") or str(error)
        mend = (
            "is the name right (`host`, `port` in lab.yaml), is the VPN up, does a firewall let this machine through?"
        )
        yield Finding("host", FAIL, f"{target}: {words}", mend)
        return
    yield Finding("host", OK, f"{target} answers: {banner}")
    line = f'host_key: "{shown.kind} {shown.base64}"'
    keys: Sequence[HostKey] = ()
    try:
        keys = pinned(login.host_key) or known(target.files, target.alias, target.port)
        check(shown, keys, target.alias, target.port, "lab.yaml" if login.host_key else str(target.files[0]))
    except LabError as error:
        certified = with_ssh and not keys  # a certificate, which ssh alone understands, may vouch for it
        yield Finding("host key", WARN if certified else FAIL, error.message, error.hint)
        return
    where = next((key.where for key in keys if key.same(shown)), "")
    if login.host_key:
        yield Finding("host key", OK, f"{shown.fingerprint()}, pinned in lab.yaml")
    else:
        yield Finding(
            "host key", OK, f"{shown.fingerprint()}, known in {where}", f"this line in lab.yaml pins it: {line}"
        )


def _shown(sock: socket.socket) -> tuple[HostKey, str]:
    transport = paramiko.Transport(sock)
    try:
        transport.start_client(timeout=_PATIENCE)
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), base64.b64encode(key.asbytes()).decode()), transport.remote_version
    finally:
        transport.close()
