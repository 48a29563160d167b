"""The Transport port on fabric: one connection made by this process, nothing but Python needed."""

import functools

from labwright.adapters.transports.dialing import Link
from labwright.adapters.transports.login import Login
from labwright.adapters.transports.shells import ShellTransport


class FabricTransport(ShellTransport):
    """One lasting connection to a login node; made at the first call, and again when it is lost.

    Follows ~/.ssh/config as fabric does: Host, HostName, User, Port, IdentityFile, IdentitiesOnly, ProxyJump, ProxyCommand,
    UserKnownHostsFile, HostKeyAlias, Match (no Include). A second factor, Kerberos or a key on a token need OpenSshTransport.
    Host keys are always checked. Nothing is forwarded.
    """

    def __init__(
        self,
        login: Login,
        *,
        channels: int = 4,
        most: int = 64 << 20,
        connect_timeout: float = 10.0,
        keepalive: int = 15,
    ) -> None:
        connect = functools.partial(_connect, login, connect_timeout, keepalive)
        super().__init__(str(login), connect, channels=channels, most=most, patience=connect_timeout + 5)


def _connect(login: Login, timeout: float, keepalive: int) -> Link:
    from labwright.adapters.transports import fabric_link  # 0.3 s that most commands do without

    return fabric_link.connect(login, timeout, keepalive)
