"""Checks of the others that bind: applications that read the directory, the approver, and canaries."""

from __future__ import annotations

from collections.abc import Iterator

from piactl.core.model.settings import IdentityName, Settings
from piactl.core.text import counted, few
from piactl.directory import filters
from piactl.directory.dn import same_dn
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.run_records import read_runs
from piactl.flows.apply.approvals import ALARM, ApprovalRecords, broken_glass
from piactl.flows.canaries import try_canaries
from piactl.flows.doctor.checks import CheckResult, error, fine, skipped, warning, worst
from piactl.flows.doctor.records import DirectoryContent
from piactl.flows.doctor.servers import UPGRADE_PAGE

_FEW = 5


def applications(content: DirectoryContent) -> CheckResult:
    """D63. Whether there is a place for the entries of applications, and nobody can block one by wrong
    passwords."""
    reader, settings, base = content.reader, content.settings, content.directory.consumers
    if not base:
        return fine("directory.consumers is not set")
    if reader.read(base, ["ou"]) is None:
        return error(f"there is no entry {base}", UPGRADE_PAGE)
    entries = [
        entry
        for entry in reader.search(base, filters.ANY_ENTRY, ["cn", "pwdPolicySubentry"])
        if not same_dn(entry.dn, base)
    ]
    wrong = [*_blocked(reader, settings, entries)]
    advice = "Set its pwdPolicySubentry to the policy of the services (docs/consumers.md)."
    return worst([], wrong, advice, counted(len(entries), "application"))


def _blocked(reader: Reader, settings: Settings, entries: list[RawEntry]) -> Iterator[str]:
    """The applications whose password policy blocks them after wrong passwords."""
    default = settings.password.policy
    blocks: dict[str, bool] = {}
    blocked = []
    for entry in entries:
        policy = entry.text("pwdPolicySubentry") or default
        if policy not in blocks:
            policy_entry = reader.read(policy, ["pwdLockout"]) if policy else None
            blocks[policy] = policy_entry is not None and policy_entry.text("pwdLockout") == "TRUE"
        if blocks[policy]:
            blocked.append(entry.text("cn"))
    if blocked:
        yield f"wrong passwords of anybody block {few(blocked, _FEW)}"


_PAGE = "See docs/approvals.md."


def approval_place(content: DirectoryContent) -> CheckResult:
    """D65."""
    if not content.policy().approvals.required:
        return fine("the policy asks for no other person")
    directory = content.directory
    records = ApprovalRecords(content.reader, directory, content.keys(), content.unreadable)
    wrong = []
    if content.reader.read(records.folder, ["ou"]) is None:
        wrong.append(f"there is no entry {records.folder}")
    approver = directory.identities.get(IdentityName.APPROVER)
    if approver is None or not approver.dn:
        wrong.append("directory.identities.approver has no dn, so no approval counts")
    else:
        same = [
            name
            for name, identity in directory.identities.items()
            if name != IdentityName.APPROVER and identity.dn and same_dn(identity.dn, approver.dn)
        ]
        wrong += [f"approver and {name} are one identity" for name in same]
    count = len(records.all())
    return worst(wrong, [], f"{UPGRADE_PAGE} {_PAGE}", counted(count, "answer"))


def runs_without_approval(content: DirectoryContent) -> CheckResult:
    """D66."""
    runs = read_runs(content.reader, content.directory.state, content.unreadable, content.now)
    alone = [f"{run['run']} ({run['break_glass']})" for run in broken_glass(runs, content.now)]
    if not alone:
        return fine(f"no run of the last {ALARM.days} days")
    words = f"applied without another person: {'; '.join(alone)}"
    return warning(words, f"Talk about it with who did. {_PAGE}")


def canaries_refused(content: DirectoryContent, *, bind: bool) -> CheckResult:
    """D47. An error for each server that lets a canary in. Without `bind` nothing is tried."""
    if not content.settings.canaries:
        return fine("none is configured")
    if not bind:
        return skipped("not tried", "Run piactl doctor --canaries; the night tries them as well.")
    results = list(try_canaries(content.reader, content.settings))
    let_in = [str(result) for result in results if result.let_in]
    unknown = [str(result) for result in results if result.let_in is None]
    advice = (
        "Find out why the account opens (piactl why ACCOUNT login), and which others do. A canary that "
        "proves nothing needs a password and its file."
    )
    return worst(let_in, unknown, advice, f"{counted(len(results), 'bind')}, all refused")
