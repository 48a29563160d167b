"""The one way in which git runs (R14).

Two sorts of call. *Own* commands read and write the mirror and see no configuration but the mirror's and ours: no system
file, no ~/.gitconfig, no hooks, no replace refs. *Remote* commands (fetch, push, ls-remote) also read the user's configuration
and keep HOME and SSH_AUTH_SOCK, because credential helpers, proxies, `insteadOf` and ssh keys live there; what could run
a program for the other side stays off: hooks, `ext::` and every transport that is not listed, submodules, prompts.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labwright.adapters.repos.git.remotes import ALLOWED, Remote, redact
from labwright.domain.errors import Unavailable

_ALWAYS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
}
# Names that only harm a checkout are warnings: nothing is checked out here, and decide/tree_rules.py makes such a *task*
# invalid, where refusing the fetch would let one commit stop the whole lab. The others are old tools' slips.
_TOLERATED = (
    *("hasDot", "hasDotdot", "hasDotgit", "fullPathname", "nullSha1", "emptyName"),
    *("gitmodulesUrl", "gitmodulesName", "gitmodulesPath", "gitmodulesUpdate", "gitmodulesSymlink", "gitmodulesParse"),
    *("gitmodulesBlob", "gitmodulesLarge", "gitmodulesMissing", "gitattributesSymlink", "gitignoreSymlink"),
    *("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "badFilemode"),
)
_REMOTE = {
    "transfer.fsckObjects": "true",
    **{f"fetch.fsck.{name}": "warn" for name in _TOLERATED},
    "fetch.recurseSubmodules": "no",
    "push.recurseSubmodules": "no",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "submodule.recurse": "false",
    "protocol.version": "2",
}
_KEPT = frozenset(
    {"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"}
    | {"GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_SSL_NO_VERIFY", "GIT_PROXY_COMMAND", "GIT_CONFIG_GLOBAL"}
)
_FORBIDDEN = frozenset({"SSH_ASKPASS", "DISPLAY"})  # a window nobody sees would hang the loop
_FIXED = {"LC_ALL": "C", "LANGUAGE": "", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_PAGER": "cat"}
_HINTS = (
    ("dubious ownership", "git config --global --add safe.directory <folder>"),
    ("Permission denied (publickey", "this account's ssh key must be allowed to read the repository"),
    ("Host key verification failed", "connect once by hand with ssh to accept the host's key"),
    ("could not read Username", "configure a credential helper or use an ssh URL"),
    ("Authentication failed", "the stored credentials are not accepted; renew them"),
    ("not found", "check the address and that this account may see it"),
    ("does not appear to be a git repository", "check the address"),
    ("No space left", "free some disk space"),
)


def environment(*, remote: Remote | None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a git process. GIT_… variables of whoever started us (a hook, say) never leak into it."""
    kept = {k: v for k, v in os.environ.items() if k not in _FORBIDDEN and not k.startswith("GIT_")}
    env = {**kept, **_FIXED, "GIT_ALLOW_PROTOCOL": remote.protocols if remote else ALLOWED}
    if remote is None:
        env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    else:
        env |= {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith("GIT_CONFIG_")}
        env |= {"SSH_ASKPASS_REQUIRE": "never"}
    return env | dict(extra or {})


def argv(git_dir: Path | None, args: Sequence[str], *, remote: bool = False) -> list[str]:
    settings = _ALWAYS | (_REMOTE if remote else {})
    where = [f"--git-dir={git_dir}"] if git_dir else []
    return ["git", *(x for k, v in settings.items() for x in ("-c", f"{k}={v}")), *where, *args]


def start(git_dir: Path, *args: str, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A long-lived reader of the mirror. It ends when its standard input closes, so it cannot outlive us."""
    env = environment(remote=None, extra=extra)
    quiet = subprocess.DEVNULL
    pipe = subprocess.PIPE
    return subprocess.Popen(argv(git_dir, args), stdin=pipe, stdout=pipe, stderr=quiet, env=env, start_new_session=True)


def run(
    git_dir: Path | None,
    *args: str,
    stdin: bytes = b"",
    remote: Remote | None = None,
    extra: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> bytes:
    """Standard output. Raises Unavailable with git's own last words."""
    done = attempt(git_dir, *args, stdin=stdin, remote=remote, extra=extra, timeout=timeout)
    if done.returncode:
        raise failure(_verb(args), done.stderr, remote)
    return done.stdout


def attempt(git_dir: Path | None, *args: str, stdin: bytes = b"", **how: Any) -> subprocess.CompletedProcess[bytes]:
    """As `run`, for a caller that reads the exit status itself. A time-out still raises Unavailable."""
    remote: Remote | None = how.get("remote")
    timeout: float = how.get("timeout", 120)
    command = argv(git_dir, args, remote=remote is not None)
    env = environment(remote=remote, extra=how.get("extra"))
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True)
    except FileNotFoundError as e:
        raise Unavailable("git is not installed", hint="install git 2.34 or newer", retry_in=60) from e
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except BaseException as e:
        _end(child)
        if isinstance(e, subprocess.TimeoutExpired):
            where = f" of {remote.shown}" if remote else ""
            raise Unavailable(f"git {_verb(args)}{where} did not answer within {timeout:g} s") from e
        raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _end(child: subprocess.Popen[bytes]) -> None:
    """With its children (ssh, git-remote-https): it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _verb(args: Sequence[str]) -> str:
    """The command's name: what comes first, `-c key=value` aside."""
    return _verb(args[2:]) if args[0] == "-c" else args[0]


def failure(what: str, err: bytes, remote: Remote | None = None) -> Unavailable:
    text = redact(err.decode("utf-8", "replace"))
    lines = [x.strip() for x in text.splitlines() if x.strip() and not x.startswith("hint:")]
    telling = [x for x in lines if x.startswith(("fatal:", "error:"))] or lines
    said = telling[0 if telling and telling[0].startswith("fatal:") else -1] if telling else "no message"
    hint = next((h for mark, h in _HINTS if mark in text), "")
    where = f" {remote.shown}" if remote and remote.shown else ""
    return Unavailable(f"git {what}{where}: {said[:500]}", hint=hint)
