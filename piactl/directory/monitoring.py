"""What cn=monitor of a slapd tells: its time, its version, the room in its database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from piactl.directory.names import same_dn
from piactl.directory.questions import Questions

_PAGE_BYTES = 4096
"""Of mdb on every machine with pages of 4 KiB; the shares do not depend on it."""


@dataclass(frozen=True, slots=True)
class Room:
    """The map of an mdb database, in bytes."""

    size: int
    used: int

    @property
    def share(self) -> float:
        return self.used / self.size if self.size else 0.0


def server_version(questions: Questions) -> str:
    """The server's own words on what it is, "" where they may not be read."""
    entry = questions.entry(_context(questions), ["monitoredInfo"])
    return entry.text("monitoredInfo") if entry else ""


def server_time(questions: Questions) -> datetime | None:
    """The server's clock now, to the second, UTC; None where it may not be read."""
    entry = questions.entry(f"cn=Current,cn=Time,{_context(questions)}", ["monitorTimestamp"])
    text = entry.text("monitorTimestamp") if entry else ""
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def database_room(questions: Questions, suffix: str) -> Room | None:
    """The room in the database of the suffix; None where it may not be read, or is not mdb."""
    attributes = ["namingContexts", "olmMDBPagesMax", "olmMDBPagesUsed", "olmMDBPagesFree"]
    base = f"cn=Databases,{_context(questions)}"
    for entry in questions.entries(base, "(objectClass=olmMDBDatabase)", attributes):
        if any(same_dn(value.decode(), suffix) for value in entry.values.get("namingContexts", ())):
            most, used, free = (int(entry.text(name) or 0) for name in attributes[1:])
            return Room(most * _PAGE_BYTES, max(0, used - free) * _PAGE_BYTES) if most else None
    return None


def database_overlays(questions: Questions, suffix: str) -> tuple[str, ...] | None:
    """The overlays of the database of the suffix; None where they may not be read."""
    base = f"cn=Databases,{_context(questions)}"
    for entry in questions.entries(
        base, "(monitoredInfo=*)", ["namingContexts", "monitorOverlay", "monitoredInfo"]
    ):
        names = [value.decode() for value in entry.values.get("namingContexts", ())]
        if entry.text("monitoredInfo") == "mdb" and any(same_dn(name, suffix) for name in names):
            return tuple(value.decode() for value in entry.values.get("monitorOverlay", ()))
    return None


def _context(questions: Questions) -> str:
    return questions.facts.monitor_context or "cn=Monitor"
