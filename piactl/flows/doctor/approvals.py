"""D65 and D66: the place and the identity of approvals, and the runs that did without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from piactl.core.model.settings import IdentityName
from piactl.core.text import counted
from piactl.directory.dn import same_dn
from piactl.directory.store.run_records import read_runs
from piactl.errors import PiactlError
from piactl.flows.apply.approvals import ALARM, ApprovalRecords, broken_glass
from piactl.flows.doctor.checks import Finding, fine, skipped, unless_broken, warning, worst
from piactl.flows.doctor.records import Content
from piactl.flows.doctor.servers import UPGRADE_PAGE

_PAGE = "See docs/approvals.md."


def examine_approvals(content: Content, now: datetime) -> Iterator[Finding]:
    checks: tuple[tuple[str, Callable[[Content], Finding]], ...] = (
        ("D65", _place),
        ("D66", partial(_alarms, now=now)),
    )
    for id_, check in checks:
        try:
            yield unless_broken(id_, partial(check, content))
        except PiactlError as refused:
            yield skipped(id_, str(refused).split("\n", 1)[0])


def _place(content: Content) -> Finding:
    if not content.policy().approvals.required:
        return fine("D65", "the policy asks for no other person")
    directory = content.settings.directory
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
            for name, one in directory.identities.items()
            if name != IdentityName.APPROVER and one.dn and same_dn(one.dn, approver.dn)
        ]
        wrong += [f"approver and {name} are one identity" for name in same]
        same = [n for n, one in directory.identities.items() if one.user and one.user == approver.user]
        if len(same) > 1:
            wrong.append(f"{' and '.join(same)} have one Unix user")
    found = len(records.all())
    return worst("D65", wrong, [], f"{UPGRADE_PAGE} {_PAGE}", counted(found, "answer"))


def _alarms(content: Content, now: datetime) -> Finding:
    runs = read_runs(content.reader, content.settings.directory.state, content.unreadable, now)
    alone = [f"{run['run']} ({run['break_glass']})" for run in broken_glass(runs, now)]
    if not alone:
        return fine("D66", f"no run of the last {ALARM.days} days")
    words = f"applied without another person: {'; '.join(alone)}"
    return warning("D66", words, f"Talk about it with who did. {_PAGE}")
