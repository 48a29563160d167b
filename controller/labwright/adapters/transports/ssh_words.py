"""What ssh(1) says when it ends with 255, in terms of what to do next. Its words are those of OpenSSH 7 to 10, asked with `-v`."""

import re
import subprocess
from pathlib import Path

from labwright.adapters.transports.host_keys import lines
from labwright.adapters.transports.login import Login
from labwright.domain.errors import LabError, Refused, Unavailable

NO_CHANNEL = "Session open refused by peer"

_MENDED_BY_A_PERSON = re.compile(
    r"Permission denied|Too many authentication failures|Bad owner or permissions|Bad configuration option|keyword .* extra arguments"
    r"|no matching (host key|key exchange|cipher|MAC)|Bad (port|number)|terminating, \d+ bad configuration|hostname contains invalid"
)
_OURS = re.compile(r"^(debug\d: |Authenticated to |OpenSSH_|Transferred: |Bytes per second: |@|Warning: Permanently)")


def told(said: str, name: str, login: Login) -> LabError:
    words = [line.strip() for line in said.splitlines() if line.strip() and not _OURS.match(line)]
    last = " / ".join(words[-3:]) or "ssh ended and said nothing"
    if "Host key verification failed" in said or "HAS CHANGED" in said:
        return _host_key(said, name, login, last)
    if _MENDED_BY_A_PERSON.search(last):
        offered = re.findall(r"Offering public key: (\S+)", said)
        return Refused(
            f"{name}: {last}" + (f" (offered: {', '.join(offered)})" if "denied" in last.lower() else ""),
            hint=_mend_key(login)
            or f"`{_by_hand(login)}` must work without a question, or through a master connection kept open",
        )
    return Unavailable(f"{name}: {last}")


def _host_key(said: str, name: str, login: Login, last: str) -> Refused:
    host = (re.findall(r"Authenticating to (\S+) as ", said) or [name])[-1]
    name = name if host in name else f"{name}: {host}"  # a host on the way, perhaps
    shown = (re.findall(r"Server host key: (\S+ \S+)", said) or re.findall(r"(SHA256:[\w+/]+)", said) or [last])[-1]
    offending = re.findall(r"Offending \S+ key in (.+):(\d+)", said)
    if "HAS CHANGED" not in said or not offending:
        where = "host_key" if login.host_key else login.known_hosts or "~/.ssh/known_hosts"
        return Refused(
            f"{name}: its host key {shown} is not known in {where}",
            hint=f"ask the site for the fingerprint; if it is this one, add it to {where} (`ssh-keyscan {_target(login)}` prints it), or pin the key "
            "in lab.yaml as host_key",
        )
    file, number = offending[-1]
    where = "host_key" if login.host_key else f"{file}:{number}"
    known = ", ".join(key.fingerprint() for _, key in lines(Path(file)) if key.where == f"{file}:{number}")
    return Refused(
        f"{name}: its host key has CHANGED: it shows {shown}, known is {known or 'another'} ({where})",
        hint="somebody may be in between; ask the site. If the machine was replaced, take the old key out and add the new one",
    )


def _target(login: Login) -> str:
    return f"-p {login.port} {login.host}" if login.port else login.host


def _by_hand(login: Login) -> str:
    return "ssh " + " ".join(
        filter(
            None,
            (
                f"-F {login.config_file}" if login.config_file else "",
                f"-i {login.key_file}" if login.key_file else "",
                f"-l {login.user}" if login.user else "",
                _target(login),
                "true",
            ),
        )
    )


def _mend_key(login: Login) -> str:
    path = Path(login.key_file).expanduser()
    if not login.key_file:
        return ""
    if path.stat().st_mode & 0o077:
        return f"ssh uses no key that others may read: `chmod 600 {path}`"
    if _has_passphrase(path):
        return f"the key has a passphrase: `ssh-add {path}` gives it to the agent; or make one without"
    return ""


def _has_passphrase(path: Path) -> bool:
    argv = ["ssh-keygen", "-y", "-P", "", "-f", str(path)]
    try:
        return "passphrase" in subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return False
