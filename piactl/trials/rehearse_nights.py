"""Rehearses a period night by night on a private slapd: which files are the feeds of which night, the nights
themselves, and the folder of the rehearsal.

In the folder, `directory.ldif` is written now and then, and when the rehearsal stops. Its first line says how
many nights it includes, and which feeds they refused as older, so that what was written after it does not
count.
"""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.settings import (
    DirectorySettings,
    Identity,
    IdentityName,
    Settings,
    SourceSettings,
    TlsSettings,
)
from piactl.core.plan.change import Change
from piactl.core.plan.state_between_runs import RunStatus
from piactl.core.rules.desired_account import Rules
from piactl.core.text import read_json
from piactl.directory.interfaces import RawEntry, Writer
from piactl.directory.ldif import ldif_entry, read_ldif
from piactl.directory.open import open_writer
from piactl.directory.store.account_entries import UUID, written_after
from piactl.directory.store.account_list import account_list_writes
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import BASE
from piactl.directory.store.directory_copy import DirectoryCopy, copied_settings
from piactl.directory.store.record_entries import UnreadableRecords, must
from piactl.directory.store.typed_records import to_json
from piactl.errors import FeedRefused, PiactlError, UnsafePlan, UsageError, system_words
from piactl.feed.formats.canonical_rows import file_order
from piactl.feed.open_feed import NoSource, source_of
from piactl.feed.read_feed import last_line, read_trailer
from piactl.host.private_files import make_private_folder, write_private
from piactl.phrase import Phrase, counted, joined
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.build_plan import Continued, build_continuing
from piactl.planning.load_feeds import (
    keep_sets,
    note_older,
    refused_feeds,
    scan_feeds,
)
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import read_run_state
from piactl.sandbox import private_server
from piactl.trials.carry_out_plans import carry_out


@dataclass(frozen=True, slots=True)
class FeedsByNight:
    """The feeds by the day on which they came, and a sentence for each file that belongs to no day."""

    feeds: Mapping[date, tuple[Path, ...]]
    left: tuple[str, ...] = ()


def feeds_by_night(
    folder: Path, sources: Mapping[str, SourceSettings], first: date, last: date
) -> FeedsByNight:
    """The files in a folder, not below it, that match a source and came from `first` to `last`.

    A file came on the day in its name, because a cut file has no last line; without one, on the day of its
    last line. Raises UsageError if the folder cannot be read, or no file is a feed of these days.
    """
    feeds: dict[date, list[Path]] = {}
    sentences: list[str] = []
    outside = 0
    for path in _files(folder):
        try:
            source = source_of(path, sources)
        except UsageError as error:
            why = error.why if isinstance(error, NoSource) else ""
            no_source = Phrase("{path}: not read: it matches the `files` of no single source", path=path)
            sentences.append(why or no_source)
            continue
        day = file_order(path.name, source.date_pattern)[0] or _date_inside(path)
        if day is None:
            sentences.append(
                Phrase("{path}: not read: neither its name nor its last line has a date", path=path)
            )
        elif first <= day <= last:
            feeds.setdefault(day, []).append(path)
        else:
            outside += 1
    if outside:
        sentences.append(
            Phrase(
                "{folder}: not read: {feeds} of days before {first} or after {last}",
                folder=folder,
                feeds=counted(outside, "feed", "feeds"),
                first=first,
                last=last,
            )
        )
    if not feeds:
        period = {"first": first, "last": last}
        none = Phrase("{folder}: no feed of the days from {first} to {last}", folder=folder, **period)
        raise UsageError(joined([*sentences[:3], none], "{first}\n{second}"))
    return FeedsByNight({day: tuple(paths) for day, paths in sorted(feeds.items())}, tuple(sentences))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(Phrase("{folder}: is not a folder; name the one with the feeds", folder=folder))
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(
            Phrase("{folder}: the folder cannot be read ({why})", folder=folder, why=system_words(error))
        ) from None
    return sorted(files)


def _date_inside(path: Path) -> date | None:
    trailer = read_trailer(last_line(path))
    return trailer.date if trailer else None


_NIGHTS, _CHANGES, _DIRECTORY = "nights.ndjson", "changes.ndjson", "directory.ldif"
_NOT_COMPARED = frozenset({BASE, UUID})
"""What the server makes, and the digests, which hold it and follow from the other values."""


class RehearsalFolder:
    """The files of one rehearsal in a folder, which `begin` makes with mode 0700."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._nights: list[bytes] = []
        self._changes: list[bytes] = []

    @property
    def state(self) -> Path:
        """The state folder of the rehearsed nights."""
        return self.folder / "state"

    def refuse_used(self) -> None:
        """Raises UsageError if there is something in the folder."""
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise UsageError(Phrase("--out {folder}: is not empty; name a new folder", folder=self.folder))

    def begin(self) -> None:
        """Makes the folder. Raises PiactlError if it cannot be made."""
        make_private_folder(self.folder)
        make_private_folder(self.state)

    def add(self, night: Mapping[str, Any], changes: Mapping[str, Sequence[str]]) -> None:
        """Adds a night, with the changes of each account by uid."""
        self._nights.append(_text(night))
        self._changes.append(_text({"date": night["date"], "changes": changes}))

    def save(self, entries: Iterable[RawEntry]) -> None:
        """Writes what became of the nights, and the entries of the directory after them."""
        write_private(self.folder / _NIGHTS, self._nights)
        write_private(self.folder / _CHANGES, self._changes)
        # the order depends on the server, and means nothing
        ldif = (
            ldif_entry(entry.dn, {name: tuple(sorted(v)) for name, v in sorted(entry.values.items())})
            for entry in sorted(entries, key=lambda entry: entry.dn)
        )
        write_private(self.folder / _DIRECTORY, ldif)

    def saved(self) -> Iterator[RawEntry]:
        """The entries of the directory after the nights."""
        return read_ldif(self.folder / _DIRECTORY)

    def nights(self) -> list[dict[str, Any]]:
        """What became of each night. Raises UsageError if the folder has no rehearsal."""
        try:
            return [read_json(line) for line in (self.folder / _NIGHTS).read_bytes().splitlines()]
        except (OSError, ValueError):
            raise UsageError(
                Phrase(
                    "{folder}: has no rehearsal; make one with: piactl rehearse --out FOLDER",
                    folder=self.folder,
                )
            ) from None

    def changes(self) -> dict[str, bytes]:
        """The line with the changes of each account, by night."""
        lines = (self.folder / _CHANGES).read_bytes().splitlines(keepends=True)
        return {read_json(line)["date"]: line for line in lines}


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"


@contextmanager
def private_directory(
    settings: DirectorySettings, encoding: Encoding, entries: Iterable[RawEntry]
) -> Iterator[tuple[DirectorySettings, Writer]]:
    """A private server with a copy of these entries, which are of a directory with these settings: the
    settings of the copy, and its writer. `encoding` is the one of the copy. Raises SandboxUnavailable."""
    ldif = DirectoryCopy(settings, encoding).ldif(entries)
    with private_server(settings.suffix, settings.accounts, settings.state, ldif) as uri:
        identities = {IdentityName.NIGHTLY.value: Identity(external=True)}
        copied = replace(copied_settings(settings), servers=(uri,), identities=identities, tls=TlsSettings())
        with open_writer(copied, IdentityName.NIGHTLY, lambda _identity: b"") as writer:
            yield copied, writer


@dataclass(slots=True)
class Nights:
    """Rehearses one night after the other on the private server of `writer`. `settings` name a folder of the
    rehearsal's own as state folder.

    `approved`: a plan that breaks guards is applied as if somebody had approved it. Otherwise nothing is,
    and later nights plan the same again, as real ones do.
    """

    writer: Writer
    accounts: ManagedAccounts
    settings: Settings
    rules: Callable[[date], Rules]
    keys: DigestKeys
    unreadable: UnreadableRecords
    now: Callable[[], datetime]
    approved: bool = False
    known: NightDb = field(init=False, repr=False)
    _listed: bool = False

    def __post_init__(self) -> None:
        self.known = NightDb(Path(self.settings.state_folder), self.keys, alone=True)

    def close(self) -> None:
        self.known.close()

    def night(self, day: date, feeds: Sequence[Path]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """One night: what became of it, as JSON values, and the changes of each account that were made, by
        uid."""
        facts: dict[str, Any] = {"date": day.isoformat(), "feeds": [path.name for path in feeds]}
        try:
            made = self._plan(day, feeds)
        except FeedRefused as error:
            note_older(error, Path(self.settings.state_folder))
            return {**facts, **_refused(error)}, {}
        except UnsafePlan as error:
            return {**facts, **_refused(error)}, {}
        for refusal in made.refused:
            note_older(refusal, Path(self.settings.state_folder))
        plan = made.ready.plan
        stopped = bool(plan.refusals) and not self.approved
        changes: defaultdict[str, list[str]] = defaultdict(list)
        problems: list[str] = []
        if not stopped:
            for change in plan.changes:
                changes[change.uid] += _change_texts(change)
            problems = self._carry_out(day, made)
        status = RunStatus.REFUSED if stopped else RunStatus.PARTLY if problems else RunStatus.DONE
        outcome = {
            **facts,
            "status": status.value,
            **({"problems": problems} if problems else {}),
            **({"approved": True} if plan.refusals and self.approved else {}),
            **({"why": str(made.refused[0])} if made.refused else {}),
            **({"refused_feeds": refused_feeds(made.refused)} if made.refused else {}),
            "summary": dict(plan.summary),
            "accounts": len({change.uid for change in plan.changes}),
            "held": len(plan.holds),
            "rejected": len({(rejection.file, rejection.line) for rejection in plan.rejections}),
            "absent": len(plan.absents),
            "cases": plan.cases.get("open", 0),
            "quality": list(map(asdict, plan.quality)),
            "guards": [to_json(refusal) for refusal in plan.refusals],
            "counted": {kind: list(numbers) for kind, numbers in sorted(plan.counted.items())},
        }
        return outcome, changes

    def _plan(self, day: date, feeds: Sequence[Path]) -> Continued:
        rules, settings, night = self.rules(day), self.settings, self.known
        # the clock of the server would date identifiers for federations
        rules = replace(rules, policy=replace(rules.policy, unique_id=False))
        arguments = [str(path) for path in feeds]
        night.rows.clear()
        scans = scan_feeds(arguments, settings.sources, night.rows, settings.go_on, lambda _said: None)
        state = read_run_state(self.accounts, rules, self.unreadable)
        return build_continuing(self.accounts, rules, settings, scans, state, night, Accepted())

    def _carry_out(self, day: date, made: Continued) -> list[str]:
        """Writes what the night changes, and its records; returns a sentence for each account that could not
        be written."""
        ready, directory, began = made.ready, self.accounts.directory, self.now()
        allowed = {refusal.kind for refusal in ready.plan.refusals}
        run = f"{day:%Y%m%d}T030000-rehearsed"
        problems = carry_out(self.writer, directory.state, ready, run, self.known, allowed)
        those = written_after(began) if self._listed else ""
        must(self.writer, account_list_writes(self.writer, directory, self.unreadable, those))
        self._listed = True
        keep_sets(made.feeds, lambda _said: None)
        return problems


def _change_texts(change: Change) -> list[str]:
    before, kind = change.before or {}, change.kind.value
    after = sorted(change.after.items())
    return [f"{kind} {name}={value}" for name, value in after if value != before.get(name)]


def _refused(error: PiactlError) -> dict[str, Any]:
    return {"status": Phrase("feed refused"), "why": str(error), "refused_feeds": refused_feeds([error])}


EMPTY, DIRECTORY = "empty", "directory"
"""What a rehearsal begins with, if it is not a file."""
_LONGEST = 100
"""Bytes of a value that a difference shows."""


def rehearse(
    nights: Nights,
    folder: RehearsalFolder,
    days: Sequence[date],
    feeds: FeedsByNight,
    *,
    progress: Callable[[int, int], None],
    stop: Callable[[], str],
) -> str:
    """Rehearses these nights into the folder; returns the signal that stopped it, "" at the end of the
    period."""
    for number, day in enumerate(days, 1):
        facts, changes = nights.night(day, feeds.feeds.get(day, ()))
        folder.add(facts, changes)
        if facts["status"] != RunStatus.DONE.value:
            # the error of a refused feed and all that was read of it hold each other, and no collector runs
            gc.collect()
        progress(number, len(days))
        if (name := stop()) and number < len(days):
            return name
    return ""


def differences(here: RehearsalFolder, there: RehearsalFolder) -> Iterator[dict[str, Any]]:
    """How two rehearsals differ: by night what became of it, then the entries of the directory at the end,
    then the accounts that end the same, but changed on other nights.

    A row has `what` (night, entry or account), `name`, and `here` and `there`: the night, the values that
    only this one has, or the changes with their nights; None if only the other one has the entry. Raises
    UsageError.
    """
    ours, theirs = ({night["date"]: _outcome(night) for night in folder.nights()} for folder in (here, there))
    for day in sorted({*ours, *theirs}):
        if ours.get(day) != theirs.get(day):
            yield {"what": "night", "name": day, "here": ours.get(day), "there": theirs.get(day)}
    shown = set[str]()
    for dn, sides in _side_by_side(here, there):
        a, b = sides.get("here"), sides.get("there")
        texts = _alone(a, b), _alone(b, a)
        if texts != ("", ""):
            yield {"what": "entry", "name": dn, "here": texts[0], "there": texts[1]}
            shown |= {dn.partition(",")[0].removeprefix("uid=")} if b is not None else set()
    ours_by_uid, theirs_by_uid = _other_changes(here.changes(), there.changes())
    for uid in sorted({*ours_by_uid, *theirs_by_uid} - shown):
        rows = ("; ".join(texts.get(uid, ())) for texts in (ours_by_uid, theirs_by_uid))
        yield {"what": "account", "name": uid, **dict(zip(("here", "there"), rows, strict=True))}


def _other_changes(
    here: Mapping[str, bytes], there: Mapping[str, bytes]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    ours, theirs = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for day in sorted({*here, *there}):
        if here.get(day) == there.get(day):
            continue
        a, b = (read_json(lines[day])["changes"] if day in lines else {} for lines in (here, there))
        for uid in {*a, *b}:
            if a.get(uid) != b.get(uid):
                ours[uid] += _texts_alone(day, a.get(uid, ()), b.get(uid, ()))
                theirs[uid] += _texts_alone(day, b.get(uid, ()), a.get(uid, ()))
    return ours, theirs


def _texts_alone(day: str, texts: Sequence[str], other: Sequence[str]) -> list[str]:
    """The changes of an account on a night that the other rehearsal does not have; only their kinds if it has
    none on that night."""
    alone = [text for text in texts if text not in other]
    return [f"{day} {text}" for text in (alone if other else dict.fromkeys(t.split()[0] for t in alone))]


def _side_by_side(here: RehearsalFolder, there: RehearsalFolder) -> Iterator[tuple[str, dict[str, RawEntry]]]:
    def named(side: str, folder: RehearsalFolder) -> Iterator[tuple[str, str, RawEntry]]:
        return ((entry.dn, side, entry) for entry in folder.saved())

    of_both = merge(named("here", here), named("there", there), key=itemgetter(0))
    for dn, entries in groupby(of_both, key=itemgetter(0)):
        yield dn, {side: entry for _, side, entry in entries}


def _alone(entry: RawEntry | None, other: RawEntry | None) -> str | None:
    """The values that only this entry has, long ones, such as records, as `...`; None without an entry."""
    if entry is None:
        return None
    if other is None:
        return "there"
    parts = []
    for name in sorted(entry.values.keys() - _NOT_COMPARED):
        values = sorted({*entry.values[name]} - {*other.values.get(name, ())})
        texts = [value.decode(errors="replace") if len(value) <= _LONGEST else "..." for value in values]
        parts += [f"{name} {', '.join(texts)}"] if texts else []
    return "; ".join(parts)


def _outcome(night: dict[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {number}" for kind, number in night.get("summary", {}).items())
    status = night["status"]
    broken = (
        Phrase("{guard}: {number} of {total}", guard=guard["guard"], number=guard["found"], total=guard["of"])
        for guard in night.get("guards", ())
    )
    counts = (f"{name} {night[name]}" for name in ("held", "rejected") if night.get(name))
    return joined([_STATUSES.get(status, status), *broken, *filter(None, [kinds]), *counts])


_STATUSES = {"done": Phrase("done"), "refused": Phrase("refused"), "feed refused": Phrase("feed refused")}
