"""What an untrusted repository tries (R13, R14, R15), over real git."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.repos.git import GitRepo
from labwright.adapters.repos.git.remotes import parse_remote
from labwright.adapters.repos.git.run import environment, run
from labwright.decide.tree_rules import check_tree
from labwright.domain.errors import Refused, Unavailable
from tests.contract.git_world import ENV, GitWorld, git

ATTRIBUTES = b"""* ident
run.sh export-ignore filter=evil
version.txt export-subst
wide.txt working-tree-encoding=UTF-16LE
crlf.txt text eol=crlf
"""
CONTENT = {
    ".gitattributes": ATTRIBUTES,
    "run.sh": b"#!/bin/sh\necho $Id$\n",
    "version.txt": b"$Format:%H$ $Id$\n",
    "wide.txt": "grün\n".encode(),
    "crlf.txt": b"one\ntwo\r\nthree\n",
}


@pytest.fixture(params=[True, False], ids=["in-place", "fetched"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitWorld]:
    world = GitWorld(tmp_path, in_place=request.param)
    yield world
    world.close()


def everything(world: GitWorld, commit: str) -> dict[str, bytes]:
    world.repo.fetch()
    entries = world.repo.snapshot(commit).entries
    return dict(zip(entries, world.repo.read([e.oid for e in entries.values()]), strict=True))


def test_r13_attributes_of_the_tree_leave_every_byte_as_it_is(world: GitWorld) -> None:
    git(world.remote, "config", "filter.evil.smudge", "echo smudged")
    git(world.remote, "config", "filter.evil.clean", "echo cleaned")
    assert everything(world, world.commit(CONTENT)) == CONTENT


def test_r13_replace_refs_change_nothing(world: GitWorld) -> None:
    one = world.commit({"a": b"true\n"})
    two = world.commit({"a": b"false\n"}, branch="topic")
    git(world.remote, "replace", f"{one}:a", f"{two}:a")
    git(world.remote, "replace", one, two)
    assert everything(world, one) == {"a": b"true\n"}


def test_r14_no_hook_of_source_mirror_or_user_runs(
    world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = tmp_path / "witness"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    names = (
        "post-checkout",
        "post-merge",
        "pre-push",
        "reference-transaction",
        "update",
        "fsmonitor-watchman",
        "post-rewrite",
    )
    world.commit({"a": b"1"})
    world.repo.fetch()
    for folder in (hooks, world.remote / "hooks", world.mirror / "hooks"):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text(f"#!/bin/sh\necho {folder}/{name} >> {witness}\n")
            (folder / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = touch {witness}\n[init]\n\ttemplateDir = {tmp_path}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    tip = world.commit({"a": b"2"}, branch="other")
    witness.unlink(missing_ok=True)  # what the commit itself has run in the remote
    everything(world, tip)
    world.repo.settle()
    world.repo.between(None, tip)
    assert not witness.exists()


def test_r14_aliases_and_settings_of_the_user_do_not_reach_reading(
    world: GitWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        "[log]\n\tshowSignature = true\n\tmailmap = true\n[core]\n\tquotePath = true\n[i18n]\n\tlogOutputEncoding = latin1\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    tip = world.commit({"ü": b"1"}, message="grün")
    world.repo.fetch()
    assert world.repo.snapshot(tip).entries.keys() == {"ü"}
    assert world.repo.commits([tip])[tip].subject == "grün"


def test_r14_git_variables_of_whoever_started_us_do_not_leak(
    world: GitWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    ):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert everything(world, world.commit({"a": b"1"})) == {"a": b"1"}
    assert "GIT_DIR" not in environment(remote=world.repo.remote)


def test_r14_the_users_credentials_and_ssh_setup_reach_the_remote_and_prompts_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("SSH_ASKPASS", "/usr/bin/window")
    there, here = environment(remote=parse_remote("ssh://git@example.org/lab")), environment(remote=None)
    assert there["GIT_SSH_COMMAND"] == "ssh -i key"
    assert there["SSH_AUTH_SOCK"] == "/run/agent"
    assert there.get("HOME") == os.environ.get("HOME")
    assert (there["GIT_TERMINAL_PROMPT"], "SSH_ASKPASS" in there) == ("0", False)
    assert (here["GIT_CONFIG_GLOBAL"], here["GIT_CONFIG_NOSYSTEM"]) == ("/dev/null", "1")
    assert "GIT_SSH_COMMAND" not in here


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch {witness}'",
        "fd::17",
        "EXT::sh -c 'touch {witness}'",
        "--upload-pack=touch {witness}",
        "-oProxyCommand=touch {witness}",
        "ssh://-oProxyCommand=touch/x",
        "-x@host:path",
        "ftp://example.org/lab.git",
        "http://example.org/lab.git",
        "dict://example.org/lab.git",
        "https://example.org/lab.git\n--upload-pack=x",
        "",
    ],
)
def test_r14_an_address_that_would_run_something_is_refused(url: str, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with pytest.raises(Refused):
        GitRepo(url.format(witness=witness), tmp_path / "mirror.git").fetch()
    assert not witness.exists()
    assert not (tmp_path / "mirror.git").exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/lab.git",
        "ssh://git@example.org:2222/lab",
        "git@example.org:lab/x.git",
        "http://127.0.0.1:3000/a/b",
    ],
)
def test_usual_addresses_are_accepted_and_are_not_of_this_machine(url: str) -> None:
    assert parse_remote(url).path is None
    assert parse_remote(url).url == url


def test_r14_a_redirection_by_the_users_settings_cannot_leave_the_allowed_transports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, witness = tmp_path / "gitconfig", tmp_path / "witness"
    config.write_text(
        f'[url "ext::touch {witness} #"]\n\tinsteadOf = https://example.org/\n[protocol "ext"]\n\tallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(Unavailable, match=r"transport 'ext' not allowed"):
        GitRepo("https://example.org/lab.git", tmp_path / "mirror.git").fetch()
    assert not witness.exists()


def test_r23_a_password_in_an_address_is_in_no_message(tmp_path: Path) -> None:
    repo = GitRepo("http://ada:hunter2@127.0.0.1:9/lab.git", tmp_path / "mirror.git")
    with pytest.raises(Unavailable) as error:
        repo.fetch()
    assert "hunter2" not in str(error.value)


def test_r14_branches_named_like_options_are_only_names(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    packed = world.remote / "packed-refs"
    packed.write_text(
        f"# pack-refs with: peeled fully-peeled sorted \n{tip} refs/heads/--upload-pack=x\n{tip} refs/heads/-n\n"
    )
    assert world.repo.fetch() == {"main": tip, "-n": tip, "--upload-pack=x": tip}
    world.repo.settle()


@pytest.mark.parametrize(
    "text", ["HEAD", "main", "--all", "-n1", "a" * 39, "refs/heads/main", "A" * 40, "a" * 40 + "\nHEAD"]
)
def test_r14_only_full_object_ids_reach_git(world: GitWorld, text: str) -> None:
    world.commit({"a": b"1"})
    world.repo.fetch()
    for ask in (
        lambda: world.repo.snapshot(text),
        lambda: world.repo.commits([text]),
        lambda: world.repo.between(text, "a" * 40),
        lambda: list(world.repo.read([text])),
        lambda: world.repo.sizes([text]),
    ):
        with pytest.raises(Refused):
            ask()


def test_a_commit_or_tree_is_not_read_as_a_file(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    with pytest.raises(Refused, match="is a commit, not a file"):
        list(world.repo.read([tip]))


ODD = [
    "a b",
    "tab\there",
    "new\nline",
    'quo"te',
    "back\\slash",
    "ünïcödé",
    "\udcff\udcfe bytes",
    "-dash",
    ":(glob)*",
    "d/" * 40 + "x",
]


def test_odd_names_come_back_as_they_are(world: GitWorld) -> None:
    one = world.commit({name: name.encode("utf-8", "surrogateescape") for name in ODD})
    two = world.commit({ODD[0]: None, ODD[2]: b"changed", ODD[6]: b"changed too"})
    assert everything(world, one) == {name: name.encode("utf-8", "surrogateescape") for name in ODD}
    first = world.repo.snapshot(one)
    assert world.repo.snapshot(two, first) == world.repo.snapshot(two)
    assert world.repo.snapshot(two).entries.keys() == set(ODD[1:])


def test_r15_links_and_submodules_are_entries_and_the_rules_speak_of_them(world: GitWorld) -> None:
    files = {"ok": b"1", "link": b"../../etc/passwd", "sub": b"a" * 40, "inside": b"ok", ".GIT/config": b"x"}
    tip = world.commit(files, modes={"link": "120000", "sub": "160000", "inside": "120000"})
    world.repo.fetch()
    world.repo.settle()
    entries = world.repo.snapshot(tip).entries
    links = [path for path, entry in entries.items() if entry.mode == "120000"]
    targets = dict(zip(links, world.repo.read([entries[path].oid for path in links]), strict=True))
    assert sorted(p.path for p in check_tree(entries, targets)) == [".GIT/config", "link", "sub"]


def test_a_commit_with_hostile_text_is_read_field_by_field(world: GitWorld) -> None:
    tree = git(world.remote, "rev-parse", world.commit({"a": b"1"}) + "^{tree}")
    lines = [
        f"tree {tree}",
        "author \x01\x1eEve\ttab <eve@\x1b[31m> 99999999999 +0000",
        "committer Eve <> 99999999999 +0000",
        "",
        "subject \x01 \x1e \x1b[31m",
        "",
        "Lab-Rerun: one\x01two",
        "Lab-Rerun:",
        " folded",
        "Empty:",
    ]
    raw = ("\n".join(lines) + "\n").encode()
    hostile = git(world.remote, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw)
    git(world.remote, "update-ref", "refs/heads/main", hostile)
    after = world.commit({"a": b"2"}, message="after")
    world.repo.fetch()
    found = world.repo.commits([hostile, after])
    assert found[after].subject == "after"
    assert found[hostile].trailers == (("Lab-Rerun", "one\x01two"), ("Lab-Rerun", "folded"), ("Empty", ""))
    assert found[hostile].author == "\x01\x1eEve\ttab"
    assert [c.sha for c in world.repo.between(None, after)] == [hostile, after]


def test_the_mirror_is_no_place_where_hooks_or_foreign_settings_can_lie(world: GitWorld) -> None:
    world.commit({"a": b"1"})
    world.repo.fetch()
    assert not (world.mirror / "hooks").exists()
    assert not (world.mirror / "objects" / "info" / "alternates").exists()


def test_git_itself_is_recent_enough() -> None:
    words = subprocess.run(["git", "--version"], env=ENV, capture_output=True, text=True, check=True).stdout.split()
    assert tuple(map(int, words[2].split(".")[:2])) >= (2, 34)


def test_a_time_out_is_unavailable_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "sleep 60 #")
    with pytest.raises(Unavailable, match="did not answer within"):
        remote = parse_remote("ssh://example.org/lab")
        run(None, "ls-remote", "--", remote.url, remote=remote, timeout=0.2)
