"""What people may try at a real Forgejo, against a real `lab serve` (docs/threat-model.md): each ends with the reason where everybody
sees it, and without a job."""

import hashlib
import json
import random
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from labwright.domain.forge import Light, lane_of
from labwright.domain.lifecycle import State
from tests.real.forge.forge_lab import ForgeLab, task
from tests.real.forge.server import ForgejoServer, ForgeSaysNo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CODEOWNERS = ".forgejo/CODEOWNERS"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, forgejo: ForgejoServer) -> Iterator[ForgeLab]:
    """One for all of them: each proposes tasks of its own. At the end nothing has run that ben did not approve."""
    lab = ForgeLab(tmp_path_factory.mktemp("lab"), forgejo, policy={"approve": {"by": ["ben", "dora"]}})
    lab.push(
        "ada", "main", {"lab.yaml": lab.lab_yaml, CODEOWNERS: "* @ben\n", "experiments/a/base/task.yaml": task("true")}
    )
    lab.protect()
    with lab.serving():
        yield lab
        assert not re.search(r'"event": "(defect|forge failed|fetch failed)"', lab.log()), lab.log()[-3000:]


@pytest.fixture(autouse=True)
def leaves_nothing_open(lab: ForgeLab) -> Iterator[None]:
    yield
    for each in lab.world.api("GET", "/pulls?state=open"):
        lab.world.shut(each["number"], "ada")


def held(lab: ForgeLab, number: int, *words: str) -> str:
    """The comment, which says so; nothing of it was launched, and nothing is a moment later."""
    told = lab.says(number, *words)
    time.sleep(0.3)
    assert lab.jobs_of(number) == []
    return told


def propose(lab: ForgeLab, name: str, who: str = "cleo", run: str = "echo it", **more: object) -> int:
    return lab.propose(who, name, {f"experiments/a/{name}/task.yaml": task(run, **more)}, f"Try {name}")


def ran(lab: ForgeLab, number: int) -> set[str]:
    return {job.task for job in lab.jobs_of(number)}


# approval


def test_R2_R6_a_label_alone_or_there_from_the_start_launches_nothing(lab: ForgeLab) -> None:
    (label,) = [each["id"] for each in lab.world.api("GET", "/labels") if each["name"] == "lab:run"]
    lab.push("cleo", "from-start", {"experiments/a/from-start/task.yaml": task("echo it")})
    number = lab.open("cleo", "from-start", labels=[label])
    held(lab, number, "1 approving review")
    lab.approve(number)
    held(lab, number, "approved by ben", "it was there from the start")
    other = propose(lab, "labelled")
    lab.label(other)
    held(lab, other, "asked for by ada", "1 approving review")


def test_R6_who_may_only_read_can_put_no_label_on(lab: ForgeLab) -> None:
    number = propose(lab, "readers-label")
    lab.approve(number)
    lab.says(number, "approved by ben")
    with pytest.raises(ForgeSaysNo) as no:  # Forgejo itself: a reader puts on no label
        lab.label(number, "mallory")
    assert no.value.status == 403
    lab.world.write(number, "/lab run", "mallory")
    held(lab, number, "mallory", "may only read")


def test_R5_an_author_s_own_approval_is_none(lab: ForgeLab) -> None:
    number = propose(lab, "own-approval", "ben")
    with pytest.raises(ForgeSaysNo):  # Forgejo itself: nobody approves their own
        lab.approve(number, "ben")
    lab.label(number, "ben")
    lab.world.write(number, f"/lab run {lab.head(number)}", "ben")
    held(lab, number, "asked for by ben", "1 approving review")


def test_R5_who_pushed_a_commit_to_it_approves_nothing(lab: ForgeLab) -> None:
    number = propose(lab, "helped")
    head = lab.push("ben", "helped", {"experiments/a/helped/more.txt": "more"})
    lab.until(lambda: lab.head(number) == head)
    lab.approve(number, "ben")
    lab.label(number)
    held(lab, number, "who wrote it")
    lab.approve(number, "dora")
    lab.says(number, "1 job ended")


def test_R38_a_commit_in_the_controller_s_name_is_anybody_s(lab: ForgeLab) -> None:
    names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER")
             for key, value in (("NAME", "labwright"), ("EMAIL", "labwright@lab.example"))}  # fmt: skip
    lab.push("cleo", "as-labwright", {"experiments/a/as-labwright/task.yaml": task("echo it")}, **names)
    number = lab.open("cleo", "as-labwright")
    lab.label(number)
    held(lab, number, "1 job to launch", "1 approving review")
    lab.world.write(number, f"/lab run {lab.head(number)}", "labwright")  # the very account
    held(lab, number, "1 approving review")


def test_R3_a_push_between_any_two_steps_runs_only_what_was_approved(lab: ForgeLab) -> None:
    """No pushed head ever runs on the strength of an earlier one's approval; that one may have been launched before the push."""
    dice, path = random.Random(7), "experiments/a/race/task.yaml"
    number, evil = propose(lab, "race"), set()
    for turn in range(6):
        good = lab.push("cleo", "race", {path: task(f"echo approved {turn}")})
        lab.says(number, good[:10], "1 job to launch")
        lab.approve(number)
        if turn >= 2:
            lab.label(number)
        time.sleep(dice.uniform(0, 0.6) if turn >= 3 else 0)
        evil.add(head := lab.push("cleo", "race", {path: task(f"echo evil {turn}")}))
        if turn < 2:
            lab.label(number)
        lab.says(number, head[:10], "1 approving review")
        lab.until(lambda: "lab:run" not in {each["name"] for each in lab.world.api("GET", f"/issues/{number}/labels")})
        assert not [job for job in lab.jobs_of(number) if job.commit in evil]
        assert turn >= 2 or lab.jobs_of(number) == []
    assert lab.light(head) is Light.PENDING


# what configures


def test_R11_a_pull_request_that_makes_its_author_an_approver_is_judged_by_the_base(lab: ForgeLab) -> None:
    mine = json.loads(lab.lab_yaml) | {"policy": {"approve": {"by": ["cleo", "CODEOWNERS"], "self_approval": True}}}
    files = {
        "lab.yaml": json.dumps(mine),
        CODEOWNERS: "* @cleo\n",
        "templates/local/run.sh.j2": "echo mine\n",
        "experiments/a/coup/task.yaml": task("echo it"),
    }
    number = lab.propose("cleo", "coup", files, "Coup")
    lab.world.write(number, f"/lab run {lab.head(number)}", "cleo")
    lab.label(number, "cleo")
    held(lab, number, "Changes how the lab itself works", "1 approving review", "ben or dora")


def test_R7_a_fork_never_launches_whoever_approves(lab: ForgeLab) -> None:
    fork = lab.server.api("POST", f"/repos/{lab.world.repo}/forks", {}, who="mallory")["full_name"]
    body = {"content": "bmFtZTogdApydW46IGVjaG8gaXQK", "message": "m", "branch": "main", "new_branch": "theirs"}
    lab.server.api("POST", f"/repos/{fork}/contents/experiments/a/forked/task.yaml", body, who="mallory")
    number = lab.open("mallory", "mallory:theirs", "From elsewhere")
    lab.approve(number)
    lab.label(number)
    held(lab, number, "From a fork")
    lab.until(lambda: lab.light(lab.head(number)) is Light.ERROR)


# commands and deliveries


def test_R8_edited_quoted_and_coded_commands_do_nothing(lab: ForgeLab) -> None:
    number = propose(lab, "commands")
    digest = lab.says(number, "1 job to launch").partition("Plan `")[2].partition("`")[0]
    command = f"/lab run {digest}"
    comment = lab.world.write(number, "looks good", "ben")
    lab.world.settle()
    lab.world.edit(number, comment, command, "ben")
    for body in (f"> {command}", f"```\n{command}\n```", f"    {command}", f"see {command}", f"<!--\n{command}\n-->"):
        lab.world.write(number, body, "ben")
    lab.label(number)
    held(lab, number, "asked for by ada", "1 approving review")
    lab.world.write(number, command, "ben")
    lab.says(number, "1 job ended")


def test_R30_R31_forged_and_repeated_deliveries_change_nothing(lab: ForgeLab) -> None:
    number = propose(lab, "deliveries")
    lab.says(number, "1 job to launch")
    head = lab.head(number)
    body = json.dumps({"action": "label_updated", "number": number, "pull_request": {"head": {"sha": head}}}).encode()
    assert lab.deliver(body, "another secret") == 401
    assert lab.deliver(body) == lab.deliver(body) == 202
    held(lab, number, "1 approving review")
    lab.approve(number)
    lab.label(number)
    for _ in range(5):
        lab.deliver(body)
    lab.says(number, "1 job ended")
    for _ in range(5):
        lab.deliver(body)
    time.sleep(0.5)
    assert len(lab.jobs_of(number)) == 1
    assert len(lab.comments(number)) == 1


# trees


def test_R15_R16_R17_what_no_job_may_have_is_not_valid_and_others_proceed(lab: ForgeLab) -> None:
    work = lab.clone("cleo")
    lab.git("fetch", "-q", "origin", cwd=work)
    lab.git("checkout", "-q", "-B", "trees", "origin/main", cwd=work)
    for name in ("linked", "submodule", "bomb", "deep", "fine"):
        (work / "experiments" / "a" / name).mkdir(parents=True)
        (work / "experiments" / "a" / name / "task.yaml").write_text(task(f"echo {name}"))
    (work / "experiments" / "a" / "linked" / "out").symlink_to("../../../../../../etc/passwd")
    bomb = "name: t\nrun: echo it\nenvs:\n  a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"  {chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    (work / "experiments" / "a" / "bomb" / "task.yaml").write_text(bomb)
    (work / "experiments" / "a" / "deep" / "task.yaml").write_text("name: " + "[" * 5000)
    lab.git("add", "-A", cwd=work)
    gitlink = f"160000,{'1' * 40},experiments/a/submodule/inner"
    lab.git("update-index", "--add", "--cacheinfo", gitlink, cwd=work)
    lab.commit_and_push("cleo", "trees")
    number = lab.open("cleo", "trees")
    told = lab.says(number, "4 files not valid", "1 job to launch")
    for words in ("a/linked/out", "a/submodule/inner", "a/bomb/task.yaml:4", "a/deep/task.yaml:1"):
        assert words in told, told
    lab.approve(number)
    lab.label(number)
    lab.says(number, "1 job ended")
    assert ran(lab, number) == {"a/fine"}


def test_R13_R21_attributes_change_no_byte_of_a_job_and_the_reviewer_is_told(lab: ForgeLab) -> None:
    script = "echo $Format:%H$ $Id$ >seen.txt; sha256sum secretive.sh\n"
    files = {
        ".gitattributes": "secretive.sh export-ignore export-subst ident -diff linguist-generated\n*.txt working-tree-encoding=UTF-16\n",
        "experiments/a/hidden/task.yaml": task("sha256sum secretive.sh words.txt"),
        "experiments/a/hidden/secretive.sh": script,
        "experiments/a/hidden/words.txt": "words\n".encode("utf-16"),  # git keeps it as UTF-8
    }
    number = lab.propose("cleo", "hidden", files)
    lab.says(number, "1 job to launch", "Look closer", "its diff is not shown")
    lab.approve(number)
    lab.label(number)
    lab.says(number, "1 job ended")
    (job,) = lab.jobs_of(number)
    printed = lab.lab("logs", job.id, "--repo", lab.url, cwd=lab.top).stdout
    for name in ("secretive.sh", "words.txt"):
        blob = lab.git("show", f"origin/hidden:experiments/a/hidden/{name}", cwd=lab.clone("cleo")) + "\n"
        assert hashlib.sha256(blob.encode()).hexdigest() in printed


# names

EVIL = "x\x1b[31m @ada #1 ![i](http://evil.example/p.png) <script>alert(1)</script> [l](http://evil.example) ‮txt | `a` <img src=x>"


def test_R18_R19_names_that_are_templates_or_directives_are_data(lab: ForgeLab) -> None:
    evil = "{{ ''.__class__.__mro__ }}{% for x in range(9) %}\n#SBATCH --nodes=64\n$(touch /tmp/owned)`id`';id"
    parameters = {"p": evil, "q": "{{ secret.FORGE }}"}
    files = {
        "experiments/a/inject/task.yaml": task('printf "%s\\n" "$PARAM_P" done', name=evil[:60], parameters=parameters)
    }
    number = lab.propose("cleo", "inject", files)
    told = lab.says(number, "a/inject")
    assert lab.server.tokens["labwright"] not in told
    lab.approve(number)
    lab.label(number)
    lab.until(lambda: lab.light(lab.head(number)) in (Light.SUCCESS, Light.FAILURE))
    body = lab.comment(number)
    assert lab.server.tokens["labwright"] not in body
    for job in lab.jobs_of(number):
        assert job.state is State.COMPLETE
        assert lab.server.tokens["labwright"] not in lab.lab("logs", job.id, "--repo", lab.url, cwd=lab.top).stdout


def test_R33_names_that_are_markdown_break_no_page_and_call_nobody(lab: ForgeLab) -> None:
    folder = "experiments/a/@ada #1 `x` <img src=x> [l](http:evil.example)"
    files = {
        f"{folder}/task.yaml": task("echo it", name=EVIL[:100], parameters={EVIL: {"type": "str", "default": EVIL}}),
        "experiments/a/shown/task.yaml": task(
            "echo it", name="shown", parameters={"p": EVIL}, sweeps={"sweep_config": {"p": [EVIL, "b|c"]}}
        ),
        "experiments/a/shown/@ada ![x](y) <b>.py": "print()\n",
    }
    number = lab.propose("cleo", "@ada-#1-<b>-`x`", files, EVIL.replace("\x1b", ""))
    lab.says(number, "to launch", "shown")
    assert_harmless(lab, number)
    lab.approve(number)
    lab.label(number)
    lab.says(number, "ended")
    assert_harmless(lab, number)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attrs)
        self.addresses += [found for name in ("href", "src") if (found := known.get(name))]
        assert not any(name.startswith("on") for name in known), (tag, attrs)


OUR_TAGS = {"p", "strong", "em", "code", "pre", "span", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "details",
            "summary", "br", "div", "blockquote", "a", "button", "svg", "path"}  # fmt: skip


def assert_harmless(lab: ForgeLab, number: int) -> None:
    shown = lab.shown(number)
    page = Page()
    page.feed(shown)
    assert {"table", "code", "details"} <= set(page.tags) <= OUR_TAGS, set(page.tags)
    ours = f"{lab.server.url}/{lab.world.repo}/"
    assert [link for link in page.addresses if not link.startswith(ours)] == []
    assert not any(link.removeprefix(ours).startswith(("issues/", "pulls/")) for link in page.addresses)
    assert 'class="mention"' not in shown and "<script" not in shown
    assert not set("\x1b\u202e\u200b\u2066") & set(shown)


def test_nothing_of_it_all_has_wants_that_nobody_approved(lab: ForgeLab) -> None:
    approved = {event["pull"] for event in lab.events() if event["event"] == "approved"}
    lanes = {lane_of(number) for number in approved}
    assert {job.branch for job in lab.all_jobs()} <= lanes
