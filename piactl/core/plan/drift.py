"""Drift: what another program changed on an account since piactl last wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from piactl.phrase import Phrase, joined


class DriftClass(StrEnum):
    """What a drift does, in the order in which it is shown.

    LOOSENING gives access, or removes piactl's protection. VANISHED is an entry that is gone or no longer
    managed. TIGHTENING takes access away. IDENTITY is a name or an address. PRESENTATION is how a person is
    shown.
    """

    LOOSENING = "loosening"
    VANISHED = "vanished"
    TIGHTENING = "tightening"
    IDENTITY = "identity"
    PRESENTATION = "presentation"


ENTRY, DEVICE = "entry", "device"
"""Used in place of an attribute: the entry itself is gone; a device was added below it."""

ADOPTABLE = frozenset({DriftClass.IDENTITY, DriftClass.PRESENTATION})


class DriftFate(StrEnum):
    """What becomes of a drift. KEPT: an administrator decided so. WAITS: until one decides. UNKNOWN: the next
    feed may show what piactl wrote, or an administrator decides."""

    REVERTED = "reverted"
    KEPT = "kept"
    WAITS = "waits for a decision"
    UNKNOWN = "waits for the next feed"


@dataclass(frozen=True, slots=True)
class Drift:
    """One attribute of one account, by its name in the directory. `ours` are the values of piactl that are
    gone, `theirs` the values that another program put there, as text; secrets are masked, and a value that is
    not known is "?".

    `by` is its author, with the instant, as far as they are known. `owner` is the other account that has such
    a name. `until` is the last day on which it is kept.
    """

    uid: str
    attribute: str
    drift_class: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    fate: str = DriftFate.REVERTED.value
    since: date | None = None
    until: date | None = None
    by: str = ""
    owner: str | None = None

    @property
    def rank(self) -> tuple[int, str, str]:
        """The place in a list: what gives access comes first."""
        return [*DriftClass].index(DriftClass(self.drift_class)), self.uid, self.attribute


def changed_words(drifts: Iterable[Drift]) -> Phrase:
    """The change by another program to one account, as a clause."""
    attributes = {drift.attribute for drift in drifts}
    names = ", ".join(sorted(attributes - {DEVICE}))
    if not names:
        return Phrase("another program added a device")
    if DEVICE in attributes:
        return Phrase("another program changed {attributes} and added a device", attributes=names)
    return Phrase("another program changed {attributes}", attributes=names)


_FATES: Mapping[str, Phrase] = {
    DriftFate.KEPT: Phrase("kept"),
    DriftFate.WAITS: Phrase("waits for a decision"),
    DriftFate.UNKNOWN: Phrase("waits for the next feed"),
}


def fate_words(fate: str, by: str = Phrase("the next night")) -> str:
    """What becomes of a drift; `by` puts it back."""
    return Phrase("{by} puts it back", by=by) if fate == DriftFate.REVERTED else _FATES.get(fate, fate)


def drift_words(drift: Drift) -> str:
    """Who changed it, since when, and what becomes of it."""
    by = drift.by or Phrase("author unknown")
    if drift.since:
        by = Phrase("{by}, seen since {since}", by=by, since=drift.since)
    fate = fate_words(drift.fate)
    if drift.until:
        fate = Phrase("{fate} until {until}", fate=fate, until=drift.until)
    return joined([by, fate])
