"""D63: the entries of the applications that read the directory (docs/consumers.md)."""

from __future__ import annotations

from collections.abc import Iterator

from piactl.core.model.settings import Settings
from piactl.core.text import counted
from piactl.directory import filters
from piactl.directory.dn import same_dn
from piactl.directory.port import RawEntry, Reader
from piactl.errors import PiactlError
from piactl.flows.doctor.checks import Finding, error, fine, skipped, unless_broken, worst
from piactl.flows.doctor.servers import UPGRADE_PAGE

_FEW = 5


def examine_applications(reader: Reader, settings: Settings) -> Finding:
    """Whether each application has an entry of its own that nobody can shut out and that no identity is."""
    base = settings.directory.consumers
    if not base:
        return fine("D63", "directory.consumers is not set")
    try:
        return unless_broken("D63", lambda: _examined(reader, settings, base))
    except PiactlError as refused:
        return skipped("D63", str(refused).split("\n", 1)[0])


def _examined(reader: Reader, settings: Settings, base: str) -> Finding:
    if reader.read(base, ["ou"]) is None:
        return error("D63", f"there is no entry {base}", UPGRADE_PAGE)
    entries = [
        entry
        for entry in reader.search(base, filters.ANY_ENTRY, ["cn", "pwdPolicySubentry"])
        if not same_dn(entry.dn, base)
    ]
    wrong = [*_blocked(reader, settings, entries)]
    advice = "Set its pwdPolicySubentry to the policy of the services (docs/consumers.md)."
    return worst("D63", [], wrong, advice, counted(len(entries), "application"))


def _blocked(reader: Reader, settings: Settings, entries: list[RawEntry]) -> Iterator[str]:
    """The applications whose password policy blocks them after wrong passwords."""
    default = settings.password.policy
    blocks: dict[str, bool] = {}
    found = []
    for entry in entries:
        policy = entry.text("pwdPolicySubentry") or default
        if policy not in blocks:
            known = reader.read(policy, ["pwdLockout"]) if policy else None
            blocks[policy] = known is not None and known.text("pwdLockout") == "TRUE"
        if blocks[policy]:
            found.append(entry.text("cn"))
    if found:
        more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
        yield f"wrong passwords of anybody block {', '.join(found[:_FEW])}{more}"
