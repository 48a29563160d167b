"""Both ways of speaking SSH, against a real sshd on loopback."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.transports import shells
from labwright.adapters.transports.fabric import FabricTransport
from labwright.adapters.transports.login import Login
from labwright.adapters.transports.openssh import OpenSshTransport
from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.testing.transport_suite import TransportSuite
from tests.contract.blackhole import Blackhole
from tests.contract.sshd import Sshd, sshd

pytestmark = pytest.mark.real
SshTransport = FabricTransport | OpenSshTransport
Open = Callable[..., SshTransport]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path) as server:
        yield server


class SshSuite(TransportSuite):
    kind: type[SshTransport]

    @pytest.fixture
    def transport(self, shared: Sshd) -> Iterator[SshTransport]:
        transport = self.kind(Login(**shared.login()), most=self.MOST)
        yield transport
        transport.close()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        (tmp_path / "folder").mkdir()
        return str(tmp_path / "folder")


class TestFabricTransport(SshSuite):
    kind = FabricTransport


class TestOpenSshTransport(SshSuite):
    kind = OpenSshTransport


@pytest.fixture(params=[FabricTransport, OpenSshTransport])
def connect(request: pytest.FixtureRequest) -> Iterator[Open]:
    opened: list[SshTransport] = []

    def connect(server: Sshd, settings: dict[str, Any] | None = None, **login: Any) -> SshTransport:
        opened.append(request.param(Login(**server.login(**login)), **settings or {}))
        return opened[-1]

    yield connect
    for transport in opened:
        transport.close()


def until_it_works(transport: SshTransport) -> str:
    until = time.monotonic() + 60
    while True:
        try:
            return transport.run(["echo", "works"], timeout=10).text
        except (Unavailable, OutcomeUnknown) as error:  # unknown: it was lost this very moment
            assert time.monotonic() < until
            time.sleep(min(1.0, getattr(error, "retry_in", 0)))


def test_hundreds_of_commands_take_one_connection(server: Sshd, connect: Open) -> None:
    transport = connect(server)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: transport.run(["echo", str(n)]).text, range(500))) == [
            f"{n}\n" for n in range(500)
        ]
    assert server.logins() == 1


def test_no_crowd_stands_before_sshd(tmp_path: Path, connect: Open) -> None:
    with sshd(tmp_path, "MaxStartups 2") as server:
        transports = [connect(server) for _ in range(3)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda n: transports[n % 3].run(["echo", str(n)]).text, range(24))) == [
                f"{n}\n" for n in range(24)
            ]
        assert server.logins() == 3
        assert "MaxStartups" not in server.log.read_text()


def test_keys_that_are_renewed_in_the_middle_disturb_nothing(tmp_path: Path, connect: Open) -> None:
    with sshd(tmp_path, "RekeyLimit 1M") as server:
        transport = connect(server)

        def there_and_back(number: int) -> bool:
            data = f"{number} ".encode() * 500_000
            transport.put(data, f"~/file{number}")
            return transport.get(f"~/file{number}") == data

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(there_and_back, range(12)))
        assert server.logins() == 1


def test_a_node_that_allows_one_session_is_used_with_one(tmp_path: Path, connect: Open) -> None:
    with sshd(tmp_path, "MaxSessions 1") as server:
        transport = connect(server)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda n: transport.run(["echo", str(n)]).text, range(12))) == [
                f"{n}\n" for n in range(12)
            ]


def test_a_node_that_goes_down_and_comes_up_is_found_again(server: Sshd, connect: Open) -> None:
    transport = connect(server)
    transport.run(["true"])
    with ThreadPoolExecutor(1) as pool:
        flag = server.folder / "begun"
        in_flight = pool.submit(transport.run, ["sh", "-c", f"touch {flag}; sleep 60"])
        while not flag.exists():
            time.sleep(0.01)
        server.kill()
        with pytest.raises(OutcomeUnknown):
            in_flight.result(30)
    with pytest.raises(Unavailable, match="refused"):
        transport.run(["true"])
    with pytest.raises(Unavailable) as again:
        transport.run(["true"])
    assert 0 < again.value.retry_in < 10
    server.start()
    assert until_it_works(transport) == "works\n"


def test_a_connection_lost_while_idle_is_made_again_unnoticed(server: Sshd, connect: Open) -> None:
    transport = connect(server)
    transport.run(["true"])
    server.kill()
    server.start()
    assert until_it_works(transport) == "works\n"
    assert server.logins() == 2


@pytest.mark.parametrize("data", [b"", b"x" * 20_000_000], ids=["silence", "much to send"])
def test_a_network_that_is_gone_is_noticed_by_the_deadline(server: Sshd, connect: Open, data: bytes) -> None:
    with Blackhole(server.port) as proxy:
        server.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {server.host_key}\n")
        transport = connect(server, {"connect_timeout": 4, "keepalive": 2}, port=proxy.port)
        transport.run(["true"])
        proxy.open = False
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            transport.run(["cat"], stdin=data, timeout=1)
        assert time.monotonic() - begun < 30
        with pytest.raises(Unavailable):
            transport.run(["true"])
        proxy.open = True
        assert until_it_works(transport) == "works\n"


def test_a_network_that_went_while_idle_leaves_no_outcome_unknown(
    server: Sshd, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shells, "_STALE", 0.5)
    with Blackhole(server.port) as proxy:
        server.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {server.host_key}\n")
        transport = connect(server, {"connect_timeout": 4, "keepalive": 2}, port=proxy.port)
        transport.run(["true"])
        proxy.open = False
        time.sleep(1)
        with pytest.raises(Unavailable):
            transport.run(["true"])
        proxy.open = True
        assert until_it_works(transport) == "works\n"


def test_a_shell_that_is_killed_leaves_the_outcome_unknown_and_the_next_call_works(server: Sshd, connect: Open) -> None:
    transport = connect(server)
    script = """group=$(cut -d' ' -f4 /proc/$PPID/stat); kill -9 "$(cut -d' ' -f4 /proc/$group/stat)"; sleep 1"""
    with pytest.raises(OutcomeUnknown):
        transport.run(["sh", "-c", script])
    assert transport.run(["echo", "next"]).text == "next\n"
    assert server.logins() == 1


@pytest.mark.parametrize("rc", ["echo noise; echo noise >&2", "alias exec=false; set -e; sleep 1"])
def test_a_bashrc_that_is_read_by_every_ssh_command_does_not_matter(server: Sshd, connect: Open, rc: str) -> None:
    (server.home / ".bashrc").write_text(rc)
    (server.home / ".profile").write_text("echo more; export SITE=here")
    transport = connect(server)
    assert transport.run(["sh", "-c", "echo $SITE"]).text == "here\n"


SHELLS = [name for name in ("sh", "csh", "tcsh", "fish", "zsh", "ksh") if shutil.which(name)]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_login_shell_may_be_any(tmp_path: Path, connect: Open, shell: str) -> None:
    with sshd(tmp_path, f'ForceCommand {shell} -c "$SSH_ORIGINAL_COMMAND"') as server:
        (server.home / ".profile").write_text("export SITE=here")
        ran = connect(server).run(["printf", "%s", "$SITE it's\n"])
        assert ran.text == "$SITE it's\n"


def test_an_account_that_ends_at_once_is_unavailable_in_its_own_words(tmp_path: Path, connect: Open) -> None:
    with (
        sshd(tmp_path, 'ForceCommand echo "This account is closed on Mondays" >&2') as server,
        pytest.raises(Unavailable, match="Mondays"),
    ):
        connect(server).run(["true"])


# keys of the host


def test_an_unknown_host_key_is_refused_with_its_fingerprint(server: Sshd, connect: Open) -> None:
    server.known_hosts.write_text("")
    with pytest.raises(Refused, match="is not known") as refused:
        connect(server).run(["true"])
    assert fingerprint(server) in str(refused.value) and "ssh-keyscan -p" in str(refused.value)
    assert server.known_hosts.read_text() == ""


def test_a_changed_host_key_is_refused_naming_both(server: Sshd, connect: Open) -> None:
    before = fingerprint(server)
    transport = connect(server)
    transport.run(["true"])
    server.kill()
    server.new_host_key()
    server.start()
    with pytest.raises(Refused, match="CHANGED") as refused:
        until_it_works(transport)
    assert before in str(refused.value) and fingerprint(server) in str(refused.value)
    assert server.logins() == 1


def test_a_pinned_host_key_needs_no_known_hosts(server: Sshd, connect: Open) -> None:
    server.known_hosts.write_text("")
    assert connect(server, host_key=server.host_key).run(["echo", "x"]).text == "x\n"
    other = server.other_key("other").with_name("other.pub").read_text()
    with pytest.raises(Refused, match="CHANGED") as refused:
        connect(server, host_key=other).run(["true"])
    assert fingerprint(server) in str(refused.value) and "host_key" in str(refused.value)
    assert connect(server, host_key=f"{other}\n{server.host_key}").run(["echo", "x"]).text == "x\n", "round-robin nodes"
    with pytest.raises(Refused, match="not a host key"):
        connect(server, host_key="ssh-ed25519 nonsense").run(["true"])


def test_a_host_of_several_keys_is_asked_for_the_one_that_is_known(tmp_path: Path, connect: Open) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(tmp_path / "rsa")], check=True)
    with sshd(tmp_path, f"HostKey {tmp_path}/rsa") as server:
        words = (tmp_path / "rsa.pub").read_text().split()
        server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {words[0]} {words[1]}\n")
        assert connect(server).run(["echo", "x"]).text == "x\n"


def fingerprint(server: Sshd) -> str:
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=server.host_key, capture_output=True, text=True, check=True
    )
    return done.stdout.split()[1]


# keys of the user


def test_a_key_that_is_not_taken_is_refused_naming_who_where_and_which(server: Sshd, connect: Open) -> None:
    wrong = server.other_key("wrong")
    with pytest.raises(Refused, match=r"refused|denied") as refused:
        connect(server, key_file=str(wrong)).run(["true"])
    for word in (server.user, "127.0.0.1", str(wrong)):
        assert word in str(refused.value)


def test_a_refusal_is_held_so_that_nobody_is_locked_out(server: Sshd, connect: Open) -> None:
    transport = connect(server, key_file=str(server.other_key("wrong")))
    for _ in range(5):
        with pytest.raises(Refused):
            transport.run(["true"])
    assert server.log.read_text().count("Connection from") == 2, "ours, and the one that looked whether sshd is up"


def test_a_missing_key_is_refused(server: Sshd, connect: Open) -> None:
    with pytest.raises(Refused, match="no such key file") as refused:
        connect(server, key_file=str(server.folder / "nothing")).run(["true"])
    assert str(server.folder / "nothing") in str(refused.value)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_an_unreadable_key_is_refused(server: Sshd, connect: Open) -> None:
    server.key.chmod(0)
    with pytest.raises(Refused, match=r"[Pp]ermission denied"):
        connect(server).run(["true"])


def test_a_key_with_a_passphrase_is_refused_saying_so(server: Sshd, connect: Open) -> None:
    locked = server.other_key("locked", passphrase="a long passphrase")
    with pytest.raises(Refused, match="passphrase") as refused:
        connect(server, key_file=str(locked)).run(["true"])
    assert f"ssh-add {locked}" in str(refused.value)


def test_a_key_with_a_passphrase_works_through_the_agent(
    server: Sshd, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = server.other_key("locked", passphrase="a long passphrase")
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(locked.with_name("locked.pub").read_text())
    ask = server.folder / "ask"
    ask.write_text("#!/bin/sh\necho a long passphrase\n")
    ask.chmod(0o700)
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", f"{short}/agent"], stdout=subprocess.DEVNULL)
        try:
            while not Path(f"{short}/agent").exists():
                time.sleep(0.01)
            monkeypatch.setenv("SSH_AUTH_SOCK", f"{short}/agent")
            asking = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
            subprocess.run(["ssh-add", "-q", str(locked)], env=asking, check=True, stdin=subprocess.DEVNULL)
            transport = connect(server, key_file=str(locked))
            assert "SSH_AUTH_SOCK" not in transport.run(["env"]).text
        finally:
            agent.kill()
            agent.wait()


def test_a_file_that_is_no_key_is_refused(server: Sshd, connect: Open) -> None:
    nonsense = server.folder / "nonsense"
    nonsense.write_text("nonsense")
    nonsense.chmod(0o600)
    with pytest.raises(Refused, match="nonsense"):
        connect(server, key_file=str(nonsense)).run(["true"])


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_a_node_that_is_not_there_is_unavailable(server: Sshd, connect: Open, host: str) -> None:
    with pytest.raises(Unavailable, match=r"refused|resolve|not known|No address"):
        connect(server, host=host, port=1).run(["true"])


# ~/.ssh/config


def test_the_users_settings_are_followed(server: Sshd, connect: Open, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host cluster\n HostName 127.0.0.1\n Port {server.port}\n User {server.user}\n IdentityFile {server.key}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {server.known_hosts}\n StrictHostKeyChecking no\n ForwardAgent yes\n ForwardX11 yes\n RequestTTY force\n"
        f" RemoteCommand false\n"
    )
    plain = {"user": "", "port": 0, "key_file": "", "known_hosts": "", "config_file": str(config)}
    ran = connect(server, host="cluster", **plain).run(["sh", "-c", "tty; env"])
    assert ran.text.startswith("not a tty") and "SSH_AUTH_SOCK" not in ran.text
    server.known_hosts.write_text("")
    with pytest.raises(Refused, match="is not known"):
        connect(server, host="cluster", **plain).run(["true"])


def test_a_broken_settings_file_is_refused(server: Sshd, connect: Open, tmp_path: Path) -> None:
    (tmp_path / "config").write_text('Port "none\nHost x\n nonsense\n')
    with pytest.raises(Refused):
        connect(server, config_file=str(tmp_path / "config")).run(["true"])


def jump_config(folder: Path, target: Sshd, hops: list[Sshd], how: str) -> Path:
    lines = [
        f"Host hop{n}\n HostName 127.0.0.1\n Port {hop.port}\n IdentityFile {hop.key}\n UserKnownHostsFile {hop.known_hosts}\n"
        for n, hop in enumerate(hops)
    ]
    lines.append(
        f"Host cluster\n HostName 127.0.0.1\n Port {target.port}\n IdentityFile {target.key}\n UserKnownHostsFile {target.known_hosts}\n {how}\n"
    )
    lines.append(f"Host *\n User {target.user}\n IdentitiesOnly yes\n")
    config = folder / "jump_config"
    config.write_text("".join(lines))
    return config


def test_a_node_behind_others_is_reached_and_every_host_is_checked(tmp_path: Path, connect: Open) -> None:
    for name in ("one", "two", "target"):
        (tmp_path / name).mkdir()
    with sshd(tmp_path / "one") as one, sshd(tmp_path / "two") as two, sshd(tmp_path / "target") as target:
        config = jump_config(tmp_path, target, [one, two], "ProxyJump hop0,hop1")
        plain = {
            "host": "cluster",
            "user": "",
            "port": 0,
            "key_file": "",
            "known_hosts": "",
            "config_file": str(config),
        }
        assert connect(target, **plain).run(["echo", "x"]).text == "x\n"
        assert (one.logins(), two.logins(), target.logins()) == (1, 1, 1)
        assert one.log.read_text().count("Connection from") == 2, "by ssh, and to look whether it is up"
        two.known_hosts.write_text("")
        with pytest.raises((Refused, Unavailable)):
            connect(target, **plain).run(["true"])
        assert two.logins() == 1


def test_a_proxy_command_is_followed_and_ends_with_the_connection(tmp_path: Path, connect: Open, server: Sshd) -> None:
    relay = "import socket,sys,threading,os;s=socket.create_connection((sys.argv[1],int(sys.argv[2])));threading.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,65536),b'')],daemon=True).start();[os.write(1,d) for d in iter(lambda:s.recv(65536),b'')]"
    (tmp_path / "relay.py").write_text(
        f"import os;open({str(tmp_path / 'pid')!r},'w').write(str(os.getpid()))\n{relay}\n"
    )
    config = jump_config(tmp_path, server, [], f"ProxyCommand {sys.executable} {tmp_path}/relay.py %h %p")
    plain = {"host": "cluster", "user": "", "port": 0, "key_file": "", "known_hosts": "", "config_file": str(config)}
    transport = connect(server, **plain)
    assert transport.run(["echo", "x"]).text == "x\n"
    transport.close()
    pid = (tmp_path / "pid").read_text()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


# one way or the other


def test_a_master_of_the_users_own_is_used_and_left_open(server: Sshd, tmp_path: Path) -> None:
    short = tempfile.mkdtemp(dir="/tmp")  # a socket's path has 107 characters
    config = jump_config(tmp_path, server, [], f"ControlPath {short}/%C")
    ssh = ["ssh", "-F", str(config), "-o", "BatchMode=yes"]
    subprocess.run(
        [*ssh, "-fNM", "cluster"],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (server.folder / "authorized_keys").write_text("")  # as if a second factor were asked
        transport = OpenSshTransport(Login("cluster", config_file=str(config)))
        assert transport.run(["echo", "x"]).text == "x\n"
        transport.close()
        assert server.logins() == 1
        assert subprocess.run([*ssh, "-O", "check", "cluster"], capture_output=True, check=False).returncode == 0
    finally:
        subprocess.run([*ssh, "-O", "exit", "cluster"], capture_output=True, check=False)
        shutil.rmtree(short)
    with pytest.raises(Refused, match="denied"):
        transport.run(["true"])


def test_a_master_that_was_killed_is_replaced_by_one_other(server: Sshd) -> None:
    transport = OpenSshTransport(Login(**server.login()))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: transport.run(["sleep", "0.1"]), range(4)))
        link, _ = transport._dialer.link()
        os.kill(link._pid, 9)  # type: ignore[attr-defined]
        wanted = [pool.submit(until_it_works, transport) for _ in range(4)]  # type: ignore[arg-type]
        assert {done.result() for done in wanted} == {"works\n"}
    assert server.logins() == 2
    transport.close()


def test_nothing_of_ssh_is_left_behind(server: Sshd) -> None:
    transport = OpenSshTransport(Login(**server.login()))
    transport.run(["true"])
    link, _ = transport._dialer.link()
    path, pid = Path(link._path), link._pid  # type: ignore[attr-defined]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    transport.close()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not path.parent.exists() and not Path(f"/proc/{pid}").exists()


def test_no_thread_of_paramiko_is_left_behind(server: Sshd) -> None:
    before = set(threading.enumerate())
    transport = FabricTransport(Login(**server.login()))
    transport.run(["true"])
    transport.close()
    until = time.monotonic() + 20
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.05)
    assert set(threading.enumerate()) - before == set()


def test_a_second_factor_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with sshd(tmp_path, "AuthenticationMethods publickey,publickey") as server, pytest.raises(Refused, match="besides"):
        FabricTransport(Login(**server.login())).run(["true"])


def test_paramiko_is_not_imported_before_it_is_used() -> None:
    code = "import sys, labwright.adapters.transports.fabric as f; f.FabricTransport(f.Login('x')); assert not {'paramiko', 'fabric'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
