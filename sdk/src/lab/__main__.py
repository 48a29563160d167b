"""`python -m lab …`: the SDK for shell scripts and other languages. Status 0, 1 (not recorded, not there) or 2 (misuse)."""

from __future__ import annotations

import argparse
import json
import os
import sys

import lab
from lab._numbers import parsed


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    if not os.environ.get("LAB_JOB_DIR"):
        os.environ.setdefault("LAB_RUN", f"shell-{os.getppid()}")  # the calls of one script record together
    args = _parser().parse_args(argv)
    return int(args.run(args) or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Record from a job's shell script.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    command("log", _log, "metrics (loss=0.1 acc=0.9 step=3) or a line of text").add_argument("what", nargs="+")
    command("progress", _progress, "how far, 0 to 100").add_argument("percent", type=float)
    made = command("artifact", _artifact, "keep a file or folder")
    made.add_argument("path")
    made.add_argument("--kind")
    made.add_argument("--name")
    made = command("checkpoint", _checkpoint, "keep a checkpoint, file or folder")
    made.add_argument("path")
    made.add_argument("--name")
    made.add_argument("--step", type=int)
    made.add_argument("--metric", type=float)
    made.add_argument("--keep-last", type=int)
    made.add_argument("--keep-best", type=int)
    command("resume", _resume, "print the path of the last complete checkpoint; status 1 if there is none")
    made = command("finish", _finish, "the work is done; key=value are its score")
    made.add_argument("score", nargs="*")
    made.add_argument("--message")
    command("error", _error, "what went wrong").add_argument("text", nargs="+")
    command("config", _config, "print a parameter, or all as JSON").add_argument("key", nargs="?")
    return parser


def _pairs(words: list[str]) -> dict[str, float] | None:
    """`["loss=0.1"]` as numbers by name, or None if any word is none."""
    try:
        return {word.rpartition("=")[0]: parsed(word.rpartition("=")[2]) for word in words if word.index("=")}
    except ValueError:
        return None


def _log(args: argparse.Namespace) -> None:
    metrics = _pairs(args.what)
    if not metrics:
        lab.log(" ".join(args.what))
        return
    step = metrics.pop("step", None)
    lab.log(metrics, step=None if step is None else int(step))


def _progress(args: argparse.Namespace) -> None:
    lab.update_progress(args.percent)


def _artifact(args: argparse.Namespace) -> int:
    return _print(lab.save_artifact(args.path, args.name, args.kind))


def _checkpoint(args: argparse.Namespace) -> int:
    return _print(
        lab.save_checkpoint(
            args.path, args.name, args.step, args.metric, keep_last=args.keep_last, keep_best=args.keep_best
        )
    )


def _resume(args: argparse.Namespace) -> int:
    return _print(lab.resume())


def _finish(args: argparse.Namespace) -> int:
    score = _pairs(args.score)
    if score is None:
        sys.stderr.write("lab: finish takes key=number, for example: finish eval/loss=0.3\n")
        return 2
    lab.finish(args.message, score or None)
    return 0


def _error(args: argparse.Namespace) -> None:
    lab.error(" ".join(args.text))


def _config(args: argparse.Namespace) -> int:
    if args.key is None:
        return _print(json.dumps(lab.get_config()))
    if args.key not in lab.config:
        sys.stderr.write(f"lab: no parameter {args.key}; this job has {', '.join(sorted(lab.config)) or 'none'}\n")
        return 1
    value = lab.config[args.key]
    return _print(value if isinstance(value, str) else json.dumps(value))


def _print(text: str | None) -> int:
    if text is None:
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
