"""All that is stored about one person, for the right of access (RGPD, article 15)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from piactl.ask.account_views import lock_row
from piactl.core.model.account import Account
from piactl.core.model.overrides import override_text
from piactl.core.model.person import qualified
from piactl.core.model.settings import Settings
from piactl.core.plan.case import Case
from piactl.core.plan.state_between_runs import Waiting
from piactl.core.rules.reasons import exception_text
from piactl.core.text import read_json
from piactl.directory.dn import child
from piactl.directory.store.account_entries import Entry, read_whole
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.devices import read_devices, words_of
from piactl.directory.store.record_entries import ATTEMPTS, DATA, RUNS, Places
from piactl.directory.store.run_records import read_runs
from piactl.directory.store.state_records import PERSON, read_memory
from piactl.directory.store.typed_records import to_json
from piactl.edits.account_store import AccountStore, find_entry
from piactl.errors import NotFound
from piactl.feed.formats.kept_sets import every_kept_set
from piactl.helpdesk.attempt_limits import ProofKind, read_attempts
from piactl.helpdesk.second_person import Requests
from piactl.journal import JournalLine, LineFilter, read_lines
from piactl.journal.query import changes
from piactl.phrase import with_phrases
from piactl.planning.drift_by_rules import drift_row
from piactl.runs.undo_log import IN_UNDO_LOG, read_logged_writes

Document = dict[str, Any]

MATRICULE_DIGEST = "keyed digest of the matricule"
NUMEN_DIGEST = "keyed digest of the NUMEN"
NUMEN_VERIFIER = "slow verifier of the NUMEN"
IDENTITY_DIGEST = "keyed digest of birth date and names"
BIRTH_DIGEST = "keyed digest of the birth date"
NOT_SHOWN = "secret, not shown"


def person_export(
    store: AccountStore,
    settings: Settings,
    name: str,
    now: datetime,
    *,
    undo: bool,
) -> Document:
    """What `account export -o json` prints, as schemas/json/account-export.schema.json says.

    `name` is an account, or the matricule of a person whose account is not due yet. `undo`: the identity may
    read undo records. Journal, plans, rejected rows and sets are those of this host. Secrets
    are left out and digests are named as such. Raises as `find_entry`, and JournalUnusable.
    """
    journal, folder = settings.journal_file, Path(settings.state_folder)
    memory = read_memory(store.reader, store.directory.state, store.keys, store.unreadable).memory
    waiting = memory.waiting.get(name.strip())
    entry: Entry | None = None
    try:
        entry = find_entry(store, name)
    except NotFound:
        if waiting is None and all(c.matricule != name.strip() for c in memory.cases.values()):
            raise
    account = entry.account if entry else None
    matricule = account.matricule if account else name.strip()
    matricules = account.matricules if account else (name.strip(),)
    uid = account.uid if account else ""
    lines = list(read_lines(journal, uid)) if uid else []
    waiting = waiting or next((memory.waiting[m] for m in matricules if m in memory.waiting), None)
    return {
        "uid": uid or None,
        "matricule": matricule,
        "matricules": [*matricules],
        "made": now.isoformat(timespec="seconds"),
        "entry": _values(store, uid) if uid else None,
        "devices": [dict(words_of(d)) for d in read_devices(store.reader, entry.dn, store.unreadable)]
        if entry
        else [],
        "drift": [drift_row(drift) for drift in store.drift_of(entry)] if entry else [],
        **_by_hand(account),
        "attempts": _attempts(store, uid) if uid else None,
        "requests": list(_requests(store, uid)) if uid else [],
        "waiting": _waiting(waiting) if waiting else None,
        "absences": [
            {
                "source": source,
                "uai": key[1],
                "function": key[2],
                "start": str(key[3]),
                "since": str(absence.since),
            }
            for source, source_memory in sorted(memory.sources.items())
            for key, absence in source_memory.absences.items()
            if key[0] in matricules
        ],
        "disagreements": [
            {"source": source, "fields": sorted(source_memory.deviations[m])}
            for source, source_memory in sorted(memory.sources.items())
            for m in matricules
            if m in source_memory.deviations
        ],
        "cases": list(_cases(memory.cases.values(), {uid, *matricules} - {""})),
        "archival_noted": str(memory.archivals[uid]) if uid in memory.archivals else None,
        "runs": list(_runs(store, journal, uid)) if uid else [],
        "undo": list(_undo(store, uid)) if undo and uid else [] if undo else None,
        "plans": list(_plans(folder / "plans", uid, matricule)),
        "rejects": list(_rejects(folder / "rejects", matricule)) if matricule else [],
        "sets": list(_sets(settings, matricules)),
        "journal": [_line(line) for line in lines],
    }


def _values(store: AccountStore, uid: str) -> dict[str, list[str]]:
    """Every value of the entry that the identity may read, by attribute."""
    encoding, names = store.encoding, _shown_instead(store)
    values: dict[str, list[str]] = {}
    for raw in read_whole(store.reader, store.directory, encoding, [uid], ("*", "+")):
        for attribute, raw_values in sorted(raw.values.items()):
            values[attribute] = [names[attribute]] if attribute in names else sorted(map(_text, raw_values))
    return values


def _shown_instead(store: AccountStore) -> dict[str, str]:
    """The texts shown in place of the values of these attributes."""
    name = store.encoding.name
    return {
        name("piactlMatriculeDigest"): MATRICULE_DIGEST,
        name("piactlNumenDigest"): NUMEN_DIGEST,
        name("piactlNumenVerifier"): NUMEN_VERIFIER,
        name("piactlIdentityDigest"): IDENTITY_DIGEST,
        name("piactlBirthDigest"): BIRTH_DIGEST,
        **{name(secret): NOT_SHOWN for secret in SECRETS},
    }


def _waiting(waiting: Waiting) -> Document:
    record = {**to_json(waiting), "numen_digest": NUMEN_DIGEST}
    return {**record, "births": [IDENTITY_DIGEST, BIRTH_DIGEST]} if "births" in record else record


def _cases(cases: Iterable[Case], names: set[str]) -> Iterator[Document]:
    """The cases about a person, given by uid and matricules; what HR states only if it is about them."""
    for case in cases:
        own = case.matricule in names
        stated = next((p for p in (case.person, *case.newcomers) if p.matricule in names), None)
        evidence = [word for name, words in case.evidence.items() if own or name in names for word in words]
        if own or not case.others.isdisjoint(names):
            decision = case.decision
            yield {
                "case": case.id,
                "doubt": case.doubt.value,
                "source": case.source,
                "since": str(case.since),
                "evidence": evidence,
                "stated": {name: getattr(stated, name) for name in PERSON} if stated else None,
                "decision": decision.answer.value if decision else None,
                "by": decision.by if decision else None,
                "reason": decision.reason if decision else None,
            }


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()


def _by_hand(account: Account | None) -> Document:
    return {
        "exceptions": [exception_text(exception) for exception in account.exceptions] if account else [],
        "overrides": [override_text(override) for override in account.overrides] if account else [],
        "lock": lock_row(account) if account else None,
    }


def _attempts(store: AccountStore, uid: str) -> Document | None:
    """The identity checks that failed and still count, of NUMENs and of codes together."""
    folder = Places(store.directory.state).folder(ATTEMPTS)
    failures, last = 0, None
    for digest in (candidate for answer in ProofKind for candidate in store.keys.candidates(answer, uid)):
        entry = store.reader.read(child(folder, "cn", digest), [DATA])
        attempts = store.unreadable.read(entry.dn, entry.first(DATA), read_attempts) if entry else None
        if attempts is not None and attempts.last is not None:
            failures += attempts.failures
            last = max(last, attempts.last) if last is not None else attempts.last
    return {"failures": failures, "last": last.isoformat(timespec="seconds")} if last is not None else None


def _requests(store: AccountStore, uid: str) -> Iterator[Document]:
    for request in Requests(store.reader, store.directory.state, store.keys, store.unreadable, "UTC").all():
        if request.account == uid:
            ended = (
                {name: str(request.ended.get(name)) for name in ("outcome", "by", "at")}
                if request.ended
                else None
            )
            yield {**request.facts, "ended": ended}


def _runs(store: AccountStore, journal: str, uid: str) -> Iterator[Document]:
    """The runs that changed the account, the oldest first. Only some leave a record, which has the status."""
    records = {r["run"]: r for r in read_runs(store.reader, store.directory.state, store.unreadable)}
    seen = set()
    for change in changes(journal, LineFilter(uid=uid)):
        if change.run in seen:
            continue
        seen.add(change.run)
        status = records.get(change.run, {}).get("status")
        command = " ".join(change.command)
        yield {
            "run": change.run,
            "time": change.time,
            "author": change.author,
            "command": command,
            "status": status,
        }


def _undo(store: AccountStore, uid: str) -> Iterator[Document]:
    """Former and later values of the writes that can be undone, the oldest first; digests are named."""
    folder = Places(store.directory.state).folder(RUNS)
    shown = _shown_instead(store)
    for entry in sorted(
        store.reader.search(folder, IN_UNDO_LOG, [DATA]), key=lambda chunk: chunk.dn.partition(",")[::-1]
    ):
        for logged_write in store.unreadable.read(entry.dn, entry.first(DATA), read_logged_writes) or ():
            if logged_write.uid == uid:
                run = entry.dn.partition(",")[2].partition("=")[2].partition(",")[0]
                sides = {
                    side: {n: [shown[n]] if n in shown else list(map(_text, v)) for n, v in values.items()}
                    for side, values in (("add", logged_write.add), ("delete", logged_write.delete))
                }
                yield {"run": run, "kinds": list(logged_write.kinds), **sides}


def _plans(folder: Path, uid: str, matricule: str | None) -> Iterator[Document]:
    """The changes for the person in the plans kept on this host."""
    for file in sorted(folder.glob("*.json")):
        try:
            plan = read_json(file.read_bytes())
            parts = {
                part: [
                    with_phrases(row)
                    for row in plan[part]
                    if (uid and row["uid"] == uid) or row["matricule"] == matricule
                ]
                for part in ("changes", "holds")
            }
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no plan of piactl
        if any(parts.values()):
            yield {"file": file.name, **parts}


def _rejects(folder: Path, matricule: str) -> Iterator[Document]:
    cell = re.compile(rf"(?<!\w){re.escape(matricule)}(?!\w)")
    for file in sorted(folder.glob("*")):
        with suppress(OSError):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if cell.search(line):
                    yield {"file": file.name, "row": line}


def _sets(settings: Settings, matricules: Sequence[str]) -> Iterator[Document]:
    for kept_set in every_kept_set(settings.state_folder):
        source = settings.sources.get(kept_set.source)
        for number, file, line, attributes in kept_set.rows() if source is not None else ():
            if source is not None and qualified(source.namespace, number) in matricules:
                values = [f"{name}={text}" for name, texts in attributes.items() for text in texts]
                row = " | ".join([number, file, str(line), *values])
                yield {"source": kept_set.source, "day": kept_set.day.isoformat(), "row": row}


def _line(line: JournalLine) -> Document:
    return {
        "seq": line.seq,
        "time": line.time,
        "type": line.type,
        "run": line.run,
        **with_phrases(line.fields),
    }
