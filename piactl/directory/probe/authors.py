"""Who wrote entries last: from the access log where it may be read, else the last modifier."""

from __future__ import annotations

from collections.abc import Sequence

from piactl.core.model.settings import DirectorySettings
from piactl.directory.dn import normal_dn
from piactl.directory.port import Reader
from piactl.directory.probe.access_log import LoggedWrite, find_logs, last_write, logged_writes

_LAST = ("entryCSN", "modifiersName", "createTimestamp", "modifyTimestamp")
MOST = 200
"""Entries that are looked up; who wrote thousands is a question for the access log itself."""


def authors(reader: Reader, directory: DirectorySettings, dns: Sequence[str]) -> dict[str, str]:
    """Who wrote each entry, and when, in words, by DN as given. Writes by an identity of piactl are passed
    over where the log shows others."""
    dns = dns[:MOST]
    ours = {normal_dn(identity.dn) for identity in directory.identities.values() if identity.dn}
    logged: dict[str, LoggedWrite] = {}
    for log in find_logs(reader, directory.suffix).readable:
        for write in logged_writes(reader, log, dns):
            key = normal_dn(write.dn)
            author = normal_dn(write.by) if write.by else ""
            foreign = author not in ours and author.partition(",")[2] not in ours
            if foreign and not write.result and not write.of_logging_in:
                logged[key] = max(logged.get(key, write), write, key=lambda one: one.time)
    result = {}
    for dn in dns:
        found = logged.get(normal_dn(dn))
        if found is not None:
            result[dn] = f"by {found.by or 'nobody'} at {found.time}"
            continue
        entry = reader.read(dn, _LAST)
        if entry is not None:
            last = last_write(entry)
            if last.by:
                result[dn] = f"last modified by {last.by} at {last.time}"
    return result
