"""Rehearses a period night by night; it can be stopped and gone on with."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from piactl.core.model.settings import Settings
from piactl.core.plan.run_state import RunStatus
from piactl.core.rules.desired import Rules
from piactl.directory.ldif import read_ldif
from piactl.directory.port import RawEntry
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.base_digest import BASE
from piactl.errors import UsageError
from piactl.flows.rehearsal.feeds_by_night import FeedsByNight
from piactl.flows.rehearsal.folder import RehearsalFolder
from piactl.flows.rehearsal.nights import Nights

EMPTY = "empty"
_SAVE_EVERY = 30
"""Nights between two savings of the directory, which take a second or two."""

_DIGESTS = frozenset({BASE})
_LONGEST = 100
"""Bytes of a value that a difference shows."""

_SECRETS = frozenset(name.lower() for name in SECRETS)


def inputs_of(
    start: str, feeds: FeedsByNight, rules: Rules, settings: Settings, days: Sequence[date], *, approved: bool
) -> dict[str, Any]:
    """What a rehearsal depends on. Raises UsageError if the file of the first directory cannot be read."""
    return {
        "from": EMPTY if start == EMPTY else _digest(Path(start)),
        "feeds": [list(fact) for fact in feeds.facts],
        "policy": rules.policy.digest,
        "register": rules.register_digest,
        "configuration": hashlib.sha256(repr(settings).encode()).hexdigest(),
        "key": rules.keys.current,
        "days": [day.isoformat() for day in days],
        "approved": approved,
    }


def rehearse(
    nights: Nights,
    folder: RehearsalFolder,
    inputs: dict[str, Any],
    start: str,
    feeds: FeedsByNight,
    *,
    progress: Callable[[int, int], None],
    stop: Callable[[], str],
) -> str:
    """Rehearses the nights that are not done yet; the signal that stopped it, "" at the end of the period.

    Raises UsageError for a folder with another rehearsal, and for a file that is no LDIF.
    """
    directory = nights.simulation.directory
    first, last = (date.fromisoformat(day) for day in inputs["days"])
    done, total = folder.begin(inputs, directory), (last - first).days + 1
    if not done and start != EMPTY:
        directory.load(without_secrets(read_ldif(Path(start))))
    for number in range(done, total):
        day = first + timedelta(days=number)
        facts = nights.night(day, feeds.feeds.get(day, ()))
        folder.add(facts)
        if facts["status"] != RunStatus.DONE.value:
            # the error of a refused feed and all that was read of it hold each other, and no collector runs
            gc.collect()
        progress(number + 1, total)
        name = stop()
        if name or (number + 1) % _SAVE_EVERY == 0 or number + 1 == total:
            folder.save(directory)
        if name and number + 1 < total:
            return name
    return ""


def without_secrets(entries: Iterator[RawEntry]) -> Iterator[RawEntry]:
    """Entries without passwords and secrets of devices, which no night needs."""
    for entry in entries:
        values = {name: found for name, found in entry.values.items() if name.lower() not in _SECRETS}
        yield RawEntry(entry.dn, values)


def differences(here: RehearsalFolder, there: RehearsalFolder) -> Iterator[dict[str, Any]]:
    """How two rehearsals differ: by night what became of it, then the entries of the directory at the end.

    A row has `what` (night or entry), `name`, and `here` and `there`: the night, or the values that only this
    one has; None if only the other one has the entry. Digests, which follow from other values, are left out.
    Raises UsageError.
    """
    ours, theirs = ({night["date"]: _outcome(night) for night in one.nights()} for one in (here, there))
    for day in sorted({*ours, *theirs}):
        if ours.get(day) != theirs.get(day):
            yield {"what": "night", "name": day, "here": ours.get(day), "there": theirs.get(day)}
    left, changed = dict(there.contents()), dict[str, list[str]]()
    for dn, values in here.contents():
        other = left.pop(dn, None)
        if other is None:
            yield {"what": "entry", "name": dn, "here": "there", "there": None}
        else:
            names = {name for name in {*values, *other} if values.get(name) != other.get(name)}
            if names - _DIGESTS:
                changed[dn] = sorted(names - _DIGESTS)
    a, b = here.entries(changed), there.entries(changed)
    for dn, attributes in changed.items():
        ours_alone, theirs_alone = _alone(a[dn], b[dn], attributes), _alone(b[dn], a[dn], attributes)
        yield {"what": "entry", "name": dn, "here": ours_alone, "there": theirs_alone}
    for dn in left:
        yield {"what": "entry", "name": dn, "here": None, "there": "there"}


def _alone(entry: RawEntry, other: RawEntry, attributes: Iterable[str]) -> str:
    """The values of these attributes that only this entry has; long ones, such as records, as `...`."""
    parts = []
    for name in attributes:
        values = sorted({*entry.values.get(name, ())} - {*other.values.get(name, ())})
        texts = [value.decode(errors="replace") if len(value) <= _LONGEST else "..." for value in values]
        parts += [f"{name} {', '.join(texts)}"] if texts else []
    return "; ".join(parts)


def _outcome(night: dict[str, Any]) -> str:
    """A night in one line."""
    kinds = ", ".join(f"{kind} {number}" for kind, number in night.get("summary", {}).items())
    broken = (f"{one['guard']}: {one['found']} of {one['of']}" for one in night.get("guards", ()))
    counts = (f"{name} {night[name]}" for name in ("held", "rejected") if night.get(name))
    return "; ".join([night["status"], *broken, *filter(None, [kinds]), *counts])


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise UsageError(
            f"--from {path}: cannot be read ({why}); give an LDIF file, or: --from empty"
        ) from None
