"""What is kept below artifacts/, and what is said of it."""

from __future__ import annotations

import hashlib
import json
import zlib

import pytest


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_copied_with_its_size_and_sha256(job):
    (job.cwd / "model.pt").write_bytes(b"weights")
    done = job.run("import lab; print(lab.save_artifact('model.pt', kind='model'))")
    assert done.stdout.strip() == str(job.dir / "artifacts/model.pt")
    event = job.events("artifact")[0]
    del event["t"]
    assert event == {"e": "artifact", "path": "model.pt", "kind": "model", "size": 7, "sha256": sha(b"weights")}
    assert (job.cwd / "model.pt").exists()


def test_a_folder_is_one_artifact_with_the_digest_of_its_listing(job):
    (job.cwd / "out/deep").mkdir(parents=True)
    (job.cwd / "out/b").write_bytes(b"bb")
    (job.cwd / "out/deep/a").write_bytes(b"a")
    (job.cwd / "out/link").symlink_to("b")
    (job.cwd / "out/deep/loop").symlink_to("..")
    job.run("import lab; lab.save_artifact('out', 'run/out'); lab.save_artifact('out', 'run/out')")
    event = job.events("artifact")[1]
    lines = f"{sha(b'bb')}  b\n{sha(b'a')}  deep/a\n{sha(b'bb')}  link\n"
    assert event["path"] == "run/out" and event["size"] == 5 and event["sha256"] == sha(lines.encode())
    assert (job.dir / "artifacts/run/out/link").read_bytes() == b"bb" and not (
        job.dir / "artifacts/run/out/link"
    ).is_symlink()


@pytest.mark.parametrize("told", ["type='eval'", "type='evals'", "kind='evals'"])
def test_eval_and_evals_are_the_same_kind(job, told):
    job.run(
        f"import lab; lab.save_artifact([{{'input': 1, 'score': 2}}], 'mine', {told}, config={{'evals': {{'input': 'q'}}}})"
    )
    event = job.events("artifact")[0]
    assert (
        event["kind"] == "eval"
        and event["path"] == "mine.csv"
        and event["meta"] == {"config": {"evals": {"input": "q"}}}
    )


def test_objects_are_written_by_what_they_can_do(job):
    job.run(
        "import lab\n"
        "class Frame:\n"
        "    def to_csv(self, path, index): open(path, 'w').write('csv')\n"
        "    def to_parquet(self, path): open(path, 'w').write('parquet')\n"
        "    def to_json(self, path, orient, lines): open(path, 'w').write('jsonl' if lines else 'json')\n"
        "class Picture:\n"
        "    def getpixel(self, at): ...\n"
        "    def save(self, path, format): open(path, 'w').write(format)\n"
        "class Axes:\n"
        "    class figure:\n"
        "        savefig = staticmethod(lambda path, format: open(path, 'w').write('figure ' + format))\n"
        "lab.save_artifact(Frame(), 'f'); lab.save_artifact(Frame(), 'f.parquet'); lab.save_dataset(Frame(), 'data', {'a': 1})\n"
        "lab.save_artifact(Picture(), 'p.jpg'); lab.save_artifact(Axes(), 'a'); lab.save_artifact(Axes(), 'a.svg')\n"
        "lab.save_artifact('two\\nlines', 'note'); lab.save_artifact('one', 'one', 'text'); lab.save_artifact({'a': 1}, 'd')\n"
        "lab.save_artifact([{'a': 1}, {'b': 'x,y'}], 'rows'); lab.save_artifact([{'a': 1}], 'rows.jsonl'); lab.save_artifact(b'raw', 'r')\n"
    )
    folder = job.dir / "artifacts"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "f.csv": "csv", "f.parquet": "parquet", "data.jsonl": "jsonl", "p.jpg": "JPEG", "a.png": "figure png", "a.svg": "figure svg",
        "note.txt": "two\nlines", "one.txt": "one", "d.json": '{\n "a": 1\n}', "rows.csv": "a,b\n1,\n,\"x,y\"\n",
        "rows.jsonl": '{"a": 1}\n', "r.bin": "raw",
    }  # fmt: skip
    kinds = {event["path"]: event["kind"] for event in job.events("artifact")}
    assert (
        kinds["p.jpg"] == "image"
        and kinds["rows.csv"] == "table"
        and kinds["note.txt"] == "text"
        and kinds["data.jsonl"] == "dataset"
    )


def test_an_array_of_bytes_is_a_png(job):
    job.run(
        "import lab\n"
        "class Array:\n"
        "    shape, dtype = (2, 3, 3), 'uint8'\n"
        "    def tobytes(self): return bytes(range(18))\n"
        "class Tensor:\n"
        "    def detach(self): return self\n"
        "    cpu = detach\n"
        "    def numpy(self): return Array()\n"
        "lab.save_artifact(Tensor(), 'image')"
    )
    data = (job.dir / "artifacts/image.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[16:24] == bytes((0, 0, 0, 3, 0, 0, 0, 2))
    body = data.index(b"IDAT")
    pixels = zlib.decompress(data[body + 4 : body + 4 + int.from_bytes(data[body - 4 : body], "big")])
    assert pixels == b"\0" + bytes(range(9)) + b"\0" + bytes(range(9, 18))


def test_what_nobody_can_write_is_told(job):
    assert (
        "does not know how to write a object"
        in job.run("import lab; assert lab.save_artifact(object(), 'x') is None").stderr
    )


def test_a_name_cannot_lead_out_of_the_folder(job):
    done = job.run("import lab; assert lab.save_artifact(b'x', '../../x.bin') is None")
    assert "leads out of artifacts/" in done.stderr and not (job.cwd / "x.bin").exists()


def test_a_file_written_in_place_is_recorded_and_stays(job):
    job.run(
        "import lab, os; p = os.path.join(lab.get_artifacts_dir(), 'x.png'); open(p, 'w').write('x'); assert lab.save_artifact(p) == p"
    )
    event = job.events("artifact")[0]
    assert (event["path"], event["kind"], event["size"]) == ("x.png", "image", 1) and (
        job.dir / "artifacts/x.png"
    ).read_text() == "x"


def test_no_temporary_file_stays(job):
    job.run(
        "import lab\nclass F:\n def savefig(self, path, format): open(path, 'w'); 1/0\nlab.save_artifact(F(), 'f'); lab.save_artifact(b'x', 'g')"
    )
    assert [path.name for path in (job.dir / "artifacts").iterdir()] == ["g.bin"]


def test_finish_writes_event_and_manifest_of_all_artifacts_last(job):
    job.shell("artifact", "/etc/hostname", "--kind", "note", "--name", "shell.txt")
    job.run(
        "import lab\n"
        "lab.save_model('/etc/hostname', 'm.pt', architecture='mlp')\n"
        "open(lab.get_artifacts_dir() + '/by-hand', 'w').write('x')\n"
        "lab.save_checkpoint('/etc/hostname', step=1, metric=0.5)\n"
        "lab.finish('done', score={'eval/loss': 0.3, 'bad': float('nan')}); lab.finish(score=2)",
        LAB_JOB_ID="abc",
    )
    finish = job.events("finish")
    assert (finish[0]["score"], finish[0]["m"]) == ({"eval/loss": 0.3, "bad": "NaN"}, "done") and finish[1][
        "score"
    ] == {"score": 2}
    assert job.events("progress")[-1]["v"] == 100
    manifest = json.loads((job.dir / "manifest.json").read_text())
    kinds = {entry["path"]: entry["kind"] for entry in manifest["artifacts"]}
    assert kinds == {"by-hand": "file", "m.pt": "model", "shell.txt": "note"}
    assert manifest["artifacts"][0] == {"path": "by-hand", "kind": "file", "size": 1, "sha256": sha(b"x")}
    assert manifest["artifacts"][1]["meta"] == {"architecture": "mlp"}
    assert (
        manifest["checkpoints"][0]["name"] == "step-1"
        and manifest["score"] == {"score": 2}
        and manifest["job"] == "abc"
    )


def test_artifacts_of_a_needed_task_are_its_jobs_folders(job):
    for name in ("aaaaaaaaaaaa", "bbbbbbbbbbb2"):
        (job.dir / "needs/alpha/train" / name).mkdir(parents=True)
    (job.dir / "needs/alpha/train/deeper/cccccccccccc").mkdir(parents=True)
    done = job.run(
        "import lab; print(*lab.artifacts_of('alpha/train'), *lab.artifacts_of('alpha/train/deeper'), len(lab.artifacts_of('no')))"
    )
    root = job.dir / "needs/alpha/train"
    assert done.stdout.split() == [f"{root}/aaaaaaaaaaaa", f"{root}/bbbbbbbbbbb2", f"{root}/deeper/cccccccccccc", "0"]
    assert "name it under needs:" in done.stderr
