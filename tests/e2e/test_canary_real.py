"""R23 with everything real: secrets are planted, a job says them in every way it can, the forge quotes its token at every request;
then every byte that is left, every line that was logged and every process's arguments are looked through."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from lab_world import LabWorld

pytestmark = pytest.mark.slow

PLANTED = {
    "ENV": r"""c4n4ry-env"dq'sq`tick`$(x)*_|<b>\n&""",
    "FILE": "-----BEGIN C4N4RY KEY-----\n  c4n4ry-l1ne-tw0/+=\nc4n4ry-l1ne-thr33\n-----END C4N4RY KEY-----",
    "COMMAND": 'c4n4ry cömmand {"a": [1, 2]}',
    "FORGE": "c4n4ry_forge_t0ken",
    "HOOK": "c4n4ry-hook-s3cret",
}
SAY = """
import json, os, shlex, subprocess, sys, urllib.parse
found = open(sys.argv[1], encoding="utf-8").read().split("\\0")
found += [os.environ["A"], os.environ["B"].removeprefix("x "), os.environ["C"]]
folder = os.environ["LAB_JOB_DIR"]
with open(f"{folder}/events.jsonl", "a", encoding="utf-8") as events:
    for value in found:
        for way in (value, json.dumps(value), repr(value), repr(value.encode()), shlex.quote(value),
                    urllib.parse.quote(value), urllib.parse.quote_plus(value)):
            print("said", way)
        subprocess.run(["bash", "-xc", ': "$V"'], env={"V": value}, stderr=sys.stdout, check=True)
        line = value.splitlines()[0]
        for ascii in (True, False):
            say = lambda **event: print(json.dumps({"t": 1790000000, **event}, ensure_ascii=ascii), file=events)
            say(e="metric", step=1, m={f"m {line}": 1.0})
            say(e="log", m=value, more={value: [value]})
            say(e="error", m=f"cannot log in with {value}")
        open(f"{folder}/artifacts/{line.replace('/', '')}.txt", "w").write(value)
"""
TASK = """\
name: say
envs: {A: "{{secret.ENV}}", B: "x {{secret.FILE}}", C: "{{secrets.COMMAND}}"}
parameters: {p: "{{secret.ENV}}"}
run: |
  set -x
  : "{{secret.ENV}}" "{{secret.COMMAND}}"
  touch "$PLANTS/running"
  while [ ! -e "$PLANTS/go" ]; do sleep 0.1; done
  python say.py "$PLANTS/all"
  exit 3
"""


class Quoting(BaseHTTPRequestHandler):
    """A forge that answers every request with an error that repeats the token, but for who pushed: nobody, as far as it knows."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Quoting.asked.append(self.headers["Authorization"])
        status = (401, 403, 404, 500)[len(Quoting.asked) % 4]
        body = json.dumps({"message": f"no: {self.headers['Authorization']}"}).encode()
        if "/activities/" in self.path:
            status, body = 200, b"[]"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def forge() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quoting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(tmp_path: Path, forge: str) -> LabWorld:
    plants = tmp_path / "plants"
    plants.mkdir()
    (plants / "key").write_text(PLANTED["FILE"] + "\n")
    (plants / "command").write_text(PLANTED["COMMAND"])
    (plants / "all").write_text("\0".join(PLANTED.values()))
    program = f'[{sys.executable}, -c, \'print(open("{plants}/command", encoding="utf-8").read())\']'
    lab = f"""
name: demo
watch: {{branches: [main], pull_requests: true}}
forge:
  {{type: forgejo, url: "{forge}", repo: lab/demo, token: "{{{{secret.FORGE}}}}", hook_secrets: "{{{{secret.HOOK}}}}", poll: 1}}
providers: {{local: {{type: local, cpus: 4, gpus: 0, env: {{PLANTS: {plants}, PYTHONIOENCODING: utf-8}}}}}}
policy: {{push: any}}
secrets:
  ENV: {{env: CANARY_ENV}}
  FILE: {{file: {plants}/key}}
  COMMAND: {{command: {program}}}
  FORGE: {{env: CANARY_FORGE}}
  HOOK: {{env: CANARY_HOOK}}
"""
    world = LabWorld(tmp_path)
    world.env |= {f"CANARY_{name}": PLANTED[name] for name in ("ENV", "FORGE", "HOOK")}
    stealing = "name: t\nenvs: {F: '{{secret.FORGE}}'}\nrun: echo $F\n"
    files = {"lab.yaml": lab, "experiments/a/say/task.yaml": TASK, "experiments/a/say/say.py": SAY}
    world.commit({**files, "experiments/a/steal/task.yaml": stealing})
    return world


def canaries(data: bytes) -> list[bytes]:
    low = data.lower()
    at = low.find(b"c4n4ry")
    return [] if at == -1 else [data[max(0, at - 80) : at + 80]]


def arguments() -> dict[str, bytes]:
    """Of every process of this machine."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found[process.name] = (process / "cmdline").read_bytes()
        except OSError:
            continue
    return found


def test_r23_nothing_that_is_left_logged_shown_or_run_has_a_secret(world: LabWorld) -> None:
    plants = world.top / "plants"
    with world.controller("--launch-existing"):
        world.until((plants / "running").exists)
        seen = arguments()
        assert any(b"task" in line or b"run.sh" in line or b"bash" in line for line in seen.values())
        assert {pid: found for pid, line in seen.items() if (found := canaries(line))} == {}
        (plants / "go").touch()
        world.until(lambda: [job for job in world.jobs() if job["state"] == "FAILED"])
        world.until(lambda: "cannot log in with" in world.jobs()[0]["reason"])
        shown = [world.lab(*words, code=None) for words in (
            ("status",), ("status", "--json"), ("jobs",), ("check",), ("plan",), ("sql", "select * from jobs"),
            ("why", "a/say"), ("show", "a/say"), ("logs", "a/say"), ("sql", "select * from events"),
        )]  # fmt: skip
    (job,) = world.jobs()
    assert (job["task"], job["state"]) == ("a/say", "FAILED")
    assert "cannot log in with" in job["reason"]
    assert Quoting.asked[0] == f"token {PLANTED['FORGE']}"
    assert "no: token ***" in world.log() and "the secret FORGE is the controller's own" in world.log()
    told = {done.args[3]: found for done in shown if (found := canaries((done.stdout + done.stderr).encode()))}
    assert told == {}
    assert canaries(world.log().encode()) == []
    assert canaries(world.git("log", "--all", "-p", "--format=%B").encode()) == []
    kept = {path: path.read_bytes() for path in world.top.rglob("*") if path.is_file() and plants not in path.parents}
    assert any(path.name == "ledger.sqlite3" for path in kept) and any(path.suffix == ".duckdb" for path in kept)
    assert any(b"said **" in data for path, data in kept.items() if "logs" in path.parts)
    leaks = {str(path.relative_to(world.top)): found for path, data in kept.items() if (found := canaries(data))}
    own = [path for path in leaks if "spool" in Path(path).parts]  # what the job itself wrote, in its own folder
    assert {name for name in leaks if name not in own} == set()
    assert {Path(path).name for path in own if "artifacts" not in Path(path).parts} <= {"log.txt", "events.jsonl"}
    named = [str(path) for path in world.top.rglob("*") if "c4n4ry" in path.name.lower()]
    assert [name for name in named if "artifacts" not in Path(name).parts or "spool" not in Path(name).parts] == []
