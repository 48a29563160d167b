"""Secret references of lab.yaml made values, at the last moment and in memory only."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from labwright.domain.errors import Refused
from labwright.domain.lab import SecretSource

PATIENCE = 30.0  # seconds for a command that prints a secret


def resolve(names: Iterable[str], sources: Mapping[str, SecretSource]) -> Mapping[str, str]:
    """Raises Refused, naming the secret and never its value, for one that lab.yaml does not have or that cannot be had."""
    return {name: _value(name, sources.get(name)) for name in names}


def _value(name: str, source: SecretSource | None) -> str:
    if source is None:
        raise Refused(f"secret {name} is not in lab.yaml", hint=f"add `secrets: {{{name}: {{env: {name}}}}}`")
    if source.env is not None:
        value = os.environ.get(source.env)
        if value is None:
            raise Refused(f"secret {name}: the controller's environment has no variable {source.env}")
        return value
    if source.file is not None:
        try:
            return Path(source.file).expanduser().read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"secret {name}: {source.file} cannot be read: {type(error).__name__}") from None
    return _printed(name, source.command or ())


def _printed(name: str, command: Iterable[str]) -> str:
    argv = list(command)
    try:
        ran = subprocess.run(
            argv, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise Refused(f"secret {name}: `{argv[0] if argv else ''}` failed: {type(error).__name__}") from None
    if ran.returncode != 0:
        raise Refused(f"secret {name}: `{argv[0]}` ended with exit code {ran.returncode}")
    return ran.stdout.rstrip("\n")
