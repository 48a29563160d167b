"""A connection on fabric and paramiko. Imported when the first one is made."""

import base64
import contextlib
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fabric
import paramiko

from labwright.adapters.transports.dialing import Full, turn
from labwright.adapters.transports.fabric_auth import Keys
from labwright.adapters.transports.host_keys import HostKey, check, known, pinned
from labwright.adapters.transports.login import Login
from labwright.adapters.transports.shell import COMMAND, Moved
from labwright.domain.errors import LabError, Refused, Unavailable

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # or it writes tracebacks to our standard error

_LOGIN_TIME = 30.0
_STUCK = 15.0
"""Seconds after which a connection that takes no data is taken for dead: paramiko itself would wait for ever."""


def connect(login: Login, timeout: float, keepalive: int) -> "FabricLink":
    login.check_key_file()
    target = configured(login)
    with contextlib.ExitStack() as opened, turn(f"{target.host}:{target.port}"):
        _Dial(login, timeout, opened).open(target, login.key_file, login.host_key)
        target.transport.set_keepalive(keepalive)
        return FabricLink(target.transport, timeout, opened.pop_all())


def configured(login: Login) -> Any:
    """A fabric.Connection, not opened: what ~/.ssh/config makes of the login."""
    file = str(Path(login.config_file).expanduser()) if login.config_file else None
    try:
        config = fabric.Config(lazy=True, runtime_ssh_path=file)  # lazy: not fabric's own files
        config.load_ssh_config()
        return fabric.Connection(
            login.host,
            user=login.user or None,
            port=login.port or None,
            config=config,
            gateway=False,
            forward_agent=False,
        )
    except (paramiko.SSHException, OSError, ValueError) as error:
        raise Refused(
            f"{login.config_file or '~/.ssh/config'}: {error}", hint=f"`ssh -G {login.host}` reads it"
        ) from error


class _Dial:
    def __init__(self, login: Login, timeout: float, opened: contextlib.ExitStack) -> None:
        self._login, self._timeout, self._opened = login, timeout, opened
        self._hops: list[str] = []

    def open(self, hop: Any, key_file: str, host_key: str, through: paramiko.Transport | None = None) -> None:
        name = f"{hop.user}@{hop.host}:{hop.port}"
        if name in self._hops:
            raise Refused(f"{name}: ProxyJump leads back to it", hint="see ~/.ssh/config")
        self._hops.append(name)
        try:
            self._open(hop, key_file, host_key, through)
        except LabError:
            raise
        except paramiko.ssh_exception.IncompatiblePeer as error:
            raise Refused(f"{name}: no way of encryption in common: {error}") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unavailable(f"{name}: {_words(error)}") from error

    def _open(self, hop: Any, key_file: str, host_key: str, through: paramiko.Transport | None) -> None:
        files = self._login.known_hosts_files(hop.ssh_config.get("userknownhostsfile", ""))
        name = hop.ssh_config.get("hostkeyalias", hop.host)
        keys = pinned(host_key) or known(files, name, hop.port)
        hop.client.set_missing_host_key_policy(_Policy(keys, name, hop.port, str(files[0])))
        hop.connect_timeout = self._timeout
        hop.connect_kwargs = {
            "sock": _Steady(self._reach(hop, through)),
            "banner_timeout": self._timeout,
            "auth_timeout": _LOGIN_TIME,
            "auth_strategy": Keys(hop.user, hop.host, key_file, hop.ssh_config),
            "transport_factory": lambda sock, **more: _preferring(paramiko.Transport(sock, **more), keys),
        }
        self._opened.callback(hop.client.close)
        hop.open()

    def _reach(self, hop: Any, through: paramiko.Transport | None) -> Any:
        jumps = [jump.strip() for jump in hop.ssh_config.get("proxyjump", "none").split(",")]
        if through is None and jumps != ["none"]:
            for jump in jumps:
                gateway = fabric.Connection(jump, config=hop.config.clone(), gateway=False, forward_agent=False)
                if (gateway.host, gateway.port) == (hop.host, hop.port):
                    break  # `Host *` with a ProxyJump speaks of the jump host, too
                self.open(gateway, "", "", through)
                through = gateway.transport
        if through:
            return through.open_channel("direct-tcpip", (hop.host, hop.port), ("", 0), timeout=self._timeout)
        command = hop.ssh_config.get("proxycommand")
        return self._proxied(command) if command and jumps == ["none"] else _dialled(hop.host, hop.port, self._timeout)

    def _proxied(self, command: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            child = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        self._opened.callback(child.wait)
        self._opened.callback(child.kill)
        return ours


def _dialled(host: str, port: int, timeout: float) -> socket.socket:
    sock = socket.create_connection((host, port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each command waits 40 ms for an acknowledgement
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and not isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return error.strerror or str(error)
    return str(error) or "the connection was closed"


class _Policy(paramiko.MissingHostKeyPolicy):
    """Asked about every key: paramiko's own reading of known_hosts knows one key of a kind and no patterns, and gives up at a line it does not understand."""

    def __init__(self, keys: Sequence[HostKey], host: str, port: int, where: str) -> None:
        self._keys, self._host, self._port, self._where = keys, host, port, where

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        shown = HostKey(key.get_name(), base64.b64encode(key.asbytes()).decode())
        check(shown, self._keys, self._host, self._port, self._where)


def _preferring(transport: paramiko.Transport, keys: Sequence[HostKey]) -> paramiko.Transport:
    """Asks for a key of a kind that is known, where the machine has several."""
    kinds = {
        kind
        for key in keys
        for kind in ((key.kind, "rsa-sha2-512", "rsa-sha2-256") if key.kind == "ssh-rsa" else (key.kind,))
    }
    options = transport.get_security_options()
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)
    return transport


class _Steady:
    """A socket, or a channel through a gateway, that gives up when nothing more goes out."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._stuck_since: float | None = None

    def send(self, data: bytes) -> int:
        try:
            sent = int(self._sock.send(data))
        except TimeoutError:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since > _STUCK:
                raise ConnectionAbortedError("nothing more goes out") from None
            raise
        self._stuck_since = None
        return sent

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):  # of a gateway that is closed before
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class FabricLink:
    def __init__(self, transport: paramiko.Transport, timeout: float, opened: contextlib.ExitStack) -> None:
        self._transport, self._timeout, self._opened = transport, timeout, opened
        self._opening = threading.Lock()

    def alive(self, *, sure: bool = False) -> bool:
        return self._transport.is_active()

    def channel(self) -> "ChannelDuplex":
        with self._opening:  # paramiko keeps why one failed in a place for all
            return ChannelDuplex(self._channel())

    def _channel(self) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=self._timeout)
        except paramiko.ChannelException as error:
            raise Full(error.text) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if "Timeout" in str(error):
                self.close()  # sshd itself answers this: nobody is there
            raise Unavailable(_words(error)) from error
        late = threading.Timer(self._timeout, channel.close)  # paramiko waits for the answer without a limit
        late.start()
        try:
            channel.exec_command(COMMAND)
        except (paramiko.SSHException, EOFError, OSError) as error:
            channel.close()
            raise Unavailable(_words(error)) from error
        finally:
            late.cancel()
        return channel

    def close(self) -> None:
        self._opened.close()


class ChannelDuplex:
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._moved = _Wake()
        channel.settimeout(0.0)
        for buffer in (channel.in_buffer, channel.in_stderr_buffer):
            buffer.set_event(self._moved)  # instead of Channel.fileno, which can miss one of two at once

    def pump(self, data: memoryview, wait: float) -> Moved:
        self._moved.forget()
        sent = self._send(data) if data else 0
        ended = bool(self._channel.closed or self._channel.eof_received)
        out, err = self._read()
        if not (sent or out or err or ended) and wait > 0:
            self._moved.wait(min(wait, 0.005 if data else 1.0))  # nothing tells when more may be sent
            ended = bool(self._channel.closed or self._channel.eof_received)
            out, err = self._read()
        return Moved(sent, out, err, ended)

    def _send(self, data: memoryview) -> int:
        try:
            return self._channel.send(bytes(data[: 1 << 15]))
        except (TimeoutError, OSError, EOFError, paramiko.SSHException):
            return 0

    def _read(self) -> tuple[bytes, bytes]:
        channel = self._channel
        out = channel.recv(1 << 20) if channel.recv_ready() else b""
        return out, channel.recv_stderr(1 << 20) if channel.recv_stderr_ready() else b""

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


class _Wake(threading.Event):
    """Set by whichever buffer has something, forgotten by its reader alone."""

    def clear(self) -> None:
        pass

    def forget(self) -> None:
        super().clear()
