"""`lab doctor forge`: the forge, what the controller may do there, and who could ever approve; in short for `lab doctor`."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from labwright import wiring
from labwright.cli.doctor_people import people_findings
from labwright.cli.drafting import lab_of
from labwright.cli.finding import FAIL, OK, WARN, Finding, told
from labwright.cli.tables import several
from labwright.control.intake import watched
from labwright.control.secrets import resolve
from labwright.domain.errors import LabError, Refused
from labwright.domain.lab import Lab
from labwright.domain.lab_forge import secret_of
from labwright.settings import Place

if TYPE_CHECKING:
    from labwright.domain.snapshot import Snapshot

LABELS = {"label": "asks Labwright to run what this pull request plans",
          "stop_label": "has Labwright stop this pull request's jobs",
          "rerun_label": "has Labwright run this pull request's failed jobs again"}  # fmt: skip

SMOKE = "has Labwright run the first trial of each task for a short time"


def forge_findings(of: Place, hook: str = "") -> Iterator[Finding]:
    """As lab.yaml on the default branch has it. Raises Refused where that names no forge. `hook`: an address that deliveries
    are meant to go to."""
    with wiring.reading(of) as (repo, tips):
        default = repo.default_branch()
        if default not in tips:
            raise Refused("the repository has no commit yet", hint="`lab init` writes a first lab; then commit")
        snapshot = repo.snapshot(tips[default])
        try:
            lab = lab_of(repo, snapshot)
        except LabError as error:
            yield told("lab.yaml", error)
            return
    if lab.forge is None:
        raise Refused("lab.yaml names no forge", hint="add `forge`, docs/spec/lab.yaml.md says how")
    yield from findings_of(of, lab, snapshot, tips, hook)


def findings_of(
    of: Place, lab: Lab, snapshot: "Snapshot", tips: Mapping[str, str], hook: str = ""
) -> Iterator[Finding]:
    """Of a lab that names a forge."""
    if not lab.watch.pull_requests:
        mend = "set `watch: {pull_requests: true}`"
        yield Finding("pull requests", WARN, "lab.yaml does not ask for them: none is looked at", mend)
    yield from _hook_secrets(lab, hook)
    lacking = [_lacking(lab, name) for name in _token(lab)]
    yield from (finding for finding in lacking if finding.result == FAIL)
    if any(finding.result == FAIL for finding in lacking):
        return
    try:
        forge = wiring.make_forge(of, lab)
        assert forge is not None  # noqa: S101  # who asks has looked
    except LabError as error:
        yield told("forge", error)
        return
    with closing(forge):
        found = list(forge.examine(tuple(labels_of(lab)), hook, sorted(watched(tips, lab.watch.branches))))
        yield from found
        if not any(finding.check == "forge" and finding.result == FAIL for finding in found):
            yield from people_findings(lab, forge, snapshot)


def in_short(of: Place, lab: Lab, snapshot: "Snapshot", tips: Mapping[str, str]) -> Iterator[Finding]:
    """What fails, and one line of the rest."""
    if lab.forge is None:
        return
    missing = [found for name in _token(lab) if (found := _lacking(lab, name)).result == FAIL]
    if missing:
        text = f"not asked: {missing[0].text}"
        yield Finding("forge", WARN, text, "set it here too, and `lab doctor forge` says all")
        return
    said, warned, failed = "", 0, False
    for finding in findings_of(of, lab, snapshot, tips):
        said = said or (finding.text if finding.check == "forge" else "")
        warned += finding.result == WARN
        if finding.result == FAIL:
            failed = True
            name = finding.check
            yield replace(finding, check=name if name.startswith("forge") else f"forge: {name}")
    if not failed:
        more = f"; {several(warned, 'warning')}" if warned else ""
        mend = "`lab doctor forge` says all" if warned else ""
        yield Finding("forge", OK, f"{said or lab.forge.address}{more}", mend)


def labels_of(lab: Lab) -> Mapping[str, str]:
    """Those of policy.approve → what each is for."""
    policy = lab.policy.approve
    labels = {getattr(policy, name): words for name, words in LABELS.items()}
    return labels | ({policy.smoke.label: SMOKE} if policy.smoke else {})


def _token(lab: Lab) -> Collection[str]:
    assert lab.forge is not None  # noqa: S101  # who asks has looked
    own = [lab.forge.token, lab.forge.app.key if lab.forge.app else None]
    return [secret_of(reference) for reference in own if reference]


def _lacking(lab: Lab, name: str) -> Finding:
    what = f"secret {name}"
    try:
        value = resolve([name], lab.secrets)[name]
    except LabError as error:
        return Finding(
            what,
            FAIL,
            error.message.removeprefix(f"{what}: "),
            error.hint or "set it where the controller runs, and here",
        )
    if not value.strip():
        return Finding(what, FAIL, f"{name} is empty", "set it where the controller runs, and here")
    return Finding(what, OK, "can be had")


def _hook_secrets(lab: Lab, hook: str) -> Iterator[Finding]:
    assert lab.forge is not None  # noqa: S101  # who asks has looked
    names = [secret_of(reference) for reference in lab.forge.hook_secrets]
    if hook and not names:
        text = "lab.yaml has no forge.hook_secrets: every delivery would be refused"
        yield Finding("hook secret", FAIL, text, 'such as `hook_secrets: "{{secret.HOOK}}"`, docs/spec/webhooks.md')
    for finding in (_lacking(lab, name) for name in names):
        if finding.result == FAIL:
            yield replace(finding, check="hook secret", result=FAIL if hook else WARN)
