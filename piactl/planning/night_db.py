"""The database of a night: what this host knows of each account, so that a night need not evaluate everybody.

A person need not be evaluated if the last evaluation found nothing more to do, and since then the entry
(entryCSN), the rows in the feeds (by a keyed digest) and everything that the day decides are unchanged. The
rules then give the same result, whatever runs were made in between, on any host. People of whom the records
know more, or who share a trace with somebody who is evaluated, are evaluated in any case.

`night.db` in the state folder is a cache: without it, or if it is damaged, a night evaluates everybody and
finds the same. A run works on a copy without a name. The copy replaces the file once the run has ended well.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from piactl.core.model.account import LIVE, Account
from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.core.plan.account_changes import home_establishments, services_of
from piactl.core.plan.check_guards import Census
from piactl.core.rules.desired_account import MATRICULE, Rules, local_of, verifier_day
from piactl.core.rules.matching import traces_of
from piactl.directory.interfaces import RawEntry, WriteResult
from piactl.directory.store.account_entries import (
    CSN,
    IN_ACCOUNTS,
    Unreadable,
    account_filters,
    entry_of,
    search_accounts,
)
from piactl.errors import PiactlError, system_words
from piactl.feed.feed_rows_in_memory import RowTable
from piactl.feed.read_feed import FeedReader
from piactl.host.private_files import make_private_folder, nameless_database, room_on_disk
from piactl.phrase import Phrase
from piactl.planning.account_index import ManagedAccounts, traces_of_account

FILE = "night.db"
SCHEMA = 2
"""To be raised when the tables change."""
_TABLES = """
-- due: see _due; home: the establishments, profiles and services of a live account as JSON; sources: those of
-- its running assignments as JSON
CREATE TABLE meta(basis TEXT, day INTEGER);
CREATE TABLE account(uid TEXT PRIMARY KEY, key TEXT, csn BLOB, at_rest INTEGER DEFAULT 0,
  due INTEGER DEFAULT 0, home TEXT DEFAULT '', sources TEXT DEFAULT '');
CREATE INDEX account_key ON account(key);
CREATE TABLE name(digest INTEGER, uid TEXT);
CREATE INDEX name_digest ON name(digest);
CREATE INDEX name_uid ON name(uid);
CREATE TABLE trace(digest INTEGER, key TEXT, origin TEXT);
CREATE INDEX trace_digest ON trace(digest, key);
CREATE INDEX trace_origin ON trace(origin, key);
CREATE TABLE applied(source TEXT, key TEXT, digest INTEGER, PRIMARY KEY(source, key)) WITHOUT ROWID;
CREATE INDEX applied_key ON applied(key);
"""
_OF_RUN = """
CREATE TEMP TABLE seen(uid TEXT PRIMARY KEY, csn BLOB) WITHOUT ROWID;
CREATE TEMP TABLE noted(uid TEXT PRIMARY KEY, key TEXT, csn BLOB, at_rest INTEGER, due INTEGER, home TEXT,
  sources TEXT, written INTEGER, names TEXT, traces TEXT);
CREATE TEMP TABLE confirmed(uid TEXT PRIMARY KEY, before BLOB, after BLOB);
"""
_LISTED = "(SELECT key FROM row WHERE feed = :feed)"
_CHANGED = """
FROM (SELECT key, sum(digest) AS sum FROM row WHERE feed = :feed AND key <> '' GROUP BY key) now
LEFT JOIN applied ON applied.source = :source AND applied.key = now.key WHERE applied.digest IS NOT now.sum
"""
"""The people whose rows in a feed are not those that were applied last."""
_UNKNOWN = """
SELECT uid FROM seen LEFT JOIN account USING (uid) WHERE account.csn IS NOT seen.csn OR seen.csn IS NULL
"""
_OF_OTHERS = "WHERE key NOT IN (SELECT key FROM wanted)"
_SHARING = """
SELECT DISTINCT other.key FROM new JOIN trace own USING (key) JOIN trace other USING (digest)
WHERE other.key NOT IN (SELECT key FROM wanted)
"""
_SHARED = """
SELECT digest, key FROM trace WHERE digest IN
(SELECT digest FROM trace JOIN wanted USING (key) GROUP BY digest HAVING min(key) <> max(key)) ORDER BY digest
"""
_TAKE_EVALUATED = """
UPDATE account SET (csn, at_rest, due, home, sources) =
(SELECT csn, at_rest, due, home, sources FROM noted n WHERE n.uid = account.uid)
WHERE uid IN (SELECT uid FROM noted WHERE NOT written)
"""
_MADE = """
SELECT n.uid, key, after, at_rest, due, home, sources, names, traces
FROM noted n JOIN confirmed c ON c.uid = n.uid AND c.before = n.csn WHERE written
"""
_TONIGHT = ""
"""The origin of traces that hold for this run alone."""
_MANY = 0.1
"""If a larger share of the accounts is new or changed, all of them are read."""
_AT_ONCE = 500
_BLOCK, _SEAL = 1 << 20, 32


def key_of(uid: str, matricule: str | None) -> str:
    """What an account is known by: the first matricule of its person, or `uid:` and the uid if it has none
    (an archived one)."""
    return matricule or f"uid:{uid}"


class NightDb:
    """A copy of the night's database, for one run after the other. `alone`: nobody but these runs writes the
    accounts, so they are read once."""

    def __init__(self, folder: Path, keys: DigestKeys, *, alone: bool = False) -> None:
        self._folder, self._alone, self._read = folder, alone, False
        self._key = hmac.new(keys.keys[keys.current], b"night", hashlib.sha256).digest()
        self._keys = keys
        self.db = _copy_of(folder, self._key)
        self.db.executescript(_OF_RUN)
        # rows hold NUMENs, so their digests have a key
        row_key = hmac.new(keys.keys[keys.current], b"lines of feeds", hashlib.sha256).digest()
        self.rows = RowTable(self.db, row_key)
        self._listing: AbstractSet[str] = frozenset()
        self.full_sources: dict[str, int] = {}
        """The sources that have a full feed in this run, each with the number of its last one."""

    def close(self) -> None:
        self.db.close()

    # what is known

    def begin(self, basis: str, as_of: date, feeds: Iterable[FeedReader], listing: AbstractSet[str]) -> None:
        """Begins a plan. `basis` names everything that all evaluations depend on; if it has changed,
        nothing is known. `listing` are the sources whose feeds list everybody."""
        self._listing = listing
        self.full_sources = {feed.source.name: feed.number for feed in feeds if feed.facts.full}
        day = as_of.toordinal()
        if self._one("SELECT basis FROM meta WHERE day <= ?", (day,)) != basis:
            self.forget()
        self.db.execute("DELETE FROM meta")
        self.db.execute("INSERT INTO meta VALUES (?,?)", (basis, day))
        for table in ("wanted", "noted", "confirmed"):
            self.db.execute(f"DELETE FROM {table}")  # nosec B608
        self.db.execute("DELETE FROM trace WHERE origin = ?", (_TONIGHT,))

    def forget(self) -> None:
        """Forgets everything but the rows of the feeds."""
        self._read = False
        for table in ("meta", "account", "name", "trace", "applied"):
            self.db.execute(f"DELETE FROM {table}")  # nosec B608

    def refresh(self, accounts: ManagedAccounts, renew_lock: Callable[[], None]) -> None:
        """Learns which accounts there are, and reads those that are new or changed."""
        if self._alone and self._read:
            return
        uid = accounts.encoding.name("uid")
        found = accounts.reader.search(accounts.directory.accounts, IN_ACCOUNTS, [uid, CSN])
        self.db.execute("DELETE FROM seen")
        stamps = ((raw.text(uid), raw.first(CSN)) for raw in found)
        self.db.executemany("INSERT OR REPLACE INTO seen VALUES (?,?)", stamps)
        gone = self._all("SELECT uid FROM account WHERE uid NOT IN (SELECT uid FROM seen)")
        self._remove(gone)
        changed = self._all(_UNKNOWN)
        raws: Iterator[RawEntry] = iter(())
        if len(changed) > _MANY * int(self._one("SELECT count(*) FROM seen")):
            known = {*changed}
            raws = (raw for raw in search_accounts(*accounts) if raw.text(uid) in known)
        elif changed:
            raws = search_accounts(*accounts, account_filters(uid, changed))
        while some := list(islice(raws, _AT_ONCE)):
            self._store(some, accounts)
            renew_lock()
        self._read = True

    @property
    def uids(self) -> set[str]:
        """The uids of all accounts."""
        return {*self._all("SELECT uid FROM account")}

    def _store(self, raws: Sequence[RawEntry], accounts: ManagedAccounts) -> None:
        rows, names, traces = [], [], []
        address = [accounts.encoding.name(name) for name in ("mail", "piactlAlias")]
        digest = accounts.encoding.name("piactlMatriculeDigest")
        for raw in raws:
            entry = entry_of(raw, accounts.encoding)
            addresses = {text.casefold() for name in address for text in raw.texts(name)}
            ties = {f"address:{text}" for text in addresses} | {*raw.texts(digest)}
            if isinstance(entry, Unreadable):
                uid, key = entry.uid, key_of(entry.uid, entry.matricule)
                own_names: Collection[str] = (uid, *entry.identifiers)
            else:
                uid, key = entry.account.uid, key_of(entry.account.uid, entry.account.matricule)
                own_names = entry.account.names
                ties |= _ties_of(entry.account)
            rows.append((uid, key, raw.first(CSN)))
            names += [(number, uid) for number in self._names(own_names)]
            traces += [(number, key, f"a:{uid}") for number in self._traces(ties)]
        self._remove([uid for uid, *_ in rows])
        # whoever wrote them may have done so with other rows
        self.db.executemany("DELETE FROM applied WHERE key = ?", [(key,) for _, key, _ in rows])
        self.db.executemany("INSERT OR REPLACE INTO account(uid, key, csn) VALUES (?,?,?)", rows)
        self.db.executemany("INSERT INTO name VALUES (?,?)", names)
        self.db.executemany("INSERT INTO trace VALUES (?,?,?)", traces)

    def _remove(self, uids: Iterable[str]) -> None:
        known = [(uid,) for uid in uids]
        self.db.executemany("DELETE FROM account WHERE uid = ?", known)
        self.db.executemany("DELETE FROM name WHERE uid = ?", known)
        self.db.executemany("DELETE FROM trace WHERE origin = 'a:' || ?", known)

    def _names(self, names: Iterable[str]) -> set[int]:
        return {self._digest(local_of(text).lower()) for text in names}

    def _traces(self, ties: Iterable[str]) -> set[int]:
        return {self._digest(tie) for tie in ties}

    def _digest(self, text: str) -> int:
        digest = hashlib.blake2b(text.encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)

    def __contains__(self, local: object) -> bool:
        """Whether an account has a name."""
        known = "SELECT 1 FROM name WHERE digest = ? LIMIT 1"
        return self._one(known, (self._digest(str(local).lower()),)) is not None

    # who is evaluated

    def want(
        self,
        as_of: date,
        keys: Iterable[str],
        uids: Iterable[str],
        ties: Iterable[Collection[str]],
        traces: Mapping[str, Iterable[str]],
    ) -> None:
        """Notes who is evaluated because of their rows, their entry or the day, and those with these `keys`
        or `uids`, of whom the records know more. People of one of the `ties` are evaluated together, as are
        those who share one of the `traces`, by key, that the records have of people."""
        insert = "INSERT OR IGNORE INTO wanted"
        for source, number in self.full_sources.items():
            of_feed = {"source": source, "feed": number}
            self.db.execute(f"{insert} SELECT now.key {_CHANGED}", of_feed)
            absent = f"SELECT key FROM applied WHERE source = :source AND key NOT IN {_LISTED}"  # nosec B608
            self.db.execute(f"{insert} {absent}", of_feed)
        full = ",".join(map(str, self.full_sources.values()))
        self.db.execute(f"{insert} SELECT key FROM row WHERE key <> '' AND feed NOT IN ({full})")  # nosec B608
        known = "(SELECT key FROM account WHERE at_rest)"
        self.db.execute(f"{insert} SELECT key FROM row WHERE key <> '' AND key NOT IN {known}")  # nosec B608
        due = "SELECT key FROM account WHERE NOT at_rest OR due BETWEEN 1 AND ?"
        self.db.execute(f"{insert} {due}", (as_of.toordinal(),))
        self.db.executemany(f"{insert} VALUES (?)", ((key,) for key in keys))
        named = f"{insert} SELECT key FROM account WHERE uid = ?"  # nosec B608
        self.db.executemany(named, ((uid,) for uid in uids))
        tonight = f"INSERT INTO trace VALUES (?,?,'{_TONIGHT}')"  # nosec B608
        for tie in ties:
            number = self._digest("\0".join(["tie", *sorted(tie)]))
            self.db.executemany(tonight, ((number, key) for key in tie))
            self.db.executemany(f"{insert} VALUES (?)", ((key,) for key in tie))
        of_people = ((number, key) for key, own in traces.items() for number in self._traces(own))
        self.db.executemany(tonight, of_people)

    def key_of_account(self, uid: str) -> str | None:
        key = self._one("SELECT key FROM account WHERE uid = ?", (uid,))
        return str(key) if key is not None else None

    def read_feeds(self, feeds: Iterable[FeedReader]) -> None:
        """Reads the rows of the wanted people, and learns their traces. Raises FeedRefused."""
        for feed in feeds:
            origin = f"s:{feed.source.name}"
            self.db.execute(
                "DELETE FROM trace WHERE origin = ? AND key IN (SELECT key FROM wanted)", (origin,)
            )
        for feed in feeds:
            origin = f"s:{feed.source.name}"
            persons = feed.read_wanted()
            while some := list(islice(persons, _AT_ONCE)):
                ties: set[tuple[int, str, str]] = set()
                for key, person in some:
                    own = {*traces_of(person, self._keys)}
                    if person.former:
                        own |= {*self._keys.candidates(MATRICULE, person.former)}
                    ties |= {(number, key or person.matricule, origin) for number in self._traces(own)}
                self.db.executemany("INSERT INTO trace VALUES (?,?,?)", ties)
        # people without an account of their own may have an archived one, or be in one as a further matricule
        without = self._all("SELECT key FROM wanted WHERE key NOT IN (SELECT key FROM account)")
        digests = (
            (self._digest(text), key) for key in without for text in self._keys.candidates(MATRICULE, key)
        )
        self.db.executemany("INSERT INTO trace VALUES (?,?,'')", digests)

    def batches(self, size: int) -> Iterator[list[str]]:
        """The wanted people in batches. Those who share a trace with somebody wanted are wanted, too; they
        are in one batch with them, and so on."""
        self.db.execute("CREATE TEMP TABLE IF NOT EXISTS new(key TEXT PRIMARY KEY) WITHOUT ROWID")
        self.db.execute("DELETE FROM new")
        self.db.execute("INSERT INTO new SELECT key FROM wanted")
        while more := self._all(_SHARING):
            self.db.execute("DELETE FROM new")
            self.db.executemany("INSERT INTO new VALUES (?)", ((key,) for key in more))
            self.db.execute("INSERT INTO wanted SELECT key FROM new")
        groups = _groups(self.db.execute(_SHARED))
        grouped = {key for group in groups for key in group}
        batch: list[str] = []
        for group in groups:
            batch += group
            if len(batch) >= size:
                yield batch
                batch = []
        for key in self._all("SELECT key FROM wanted ORDER BY key"):
            if key not in grouped:
                batch.append(key)
                if len(batch) >= size:
                    yield batch
                    batch = []
        # the last one, which may be empty, also has the rows without an owner
        yield [*batch, ""]

    def uids_of_batch(self) -> list[str]:
        """The accounts of the people in the batch."""
        return self._all("SELECT uid FROM account JOIN batch USING (key) ORDER BY uid")

    # who is not

    def census(self) -> Census:
        """The census of the accounts that are not evaluated."""
        total, places = 0, (dict[str, int](), dict[str, int](), dict[str, int]())
        homes = f"SELECT home, count(*) FROM account {_OF_OTHERS} AND home <> '' GROUP BY home"  # nosec B608
        for home, count in self.db.execute(homes):
            total += count
            for names, into in zip(json.loads(home), places, strict=True):
                for name in names:
                    into[name] = into.get(name, 0) + count
        return Census(total, *({name: into[name] for name in sorted(into)} for into in places))

    def known(self) -> dict[str, int]:
        """How many of the accounts that are not evaluated have a running assignment from each source."""
        known: dict[str, int] = {}
        query = f"SELECT sources, count(*) FROM account {_OF_OTHERS} GROUP BY sources"  # nosec B608
        for sources, count in self.db.execute(query):
            for source in json.loads(sources or "[]"):
                known[source] = known.get(source, 0) + count
        return known

    # what a run leaves

    def note(self, account: Account, csn: bytes, rules: Rules, *, written: bool, at_rest: bool) -> None:
        """Notes an evaluated account as this run leaves it, or as it will have `written` it. `csn` is the
        entryCSN with which it was read, b"" for a new one; `at_rest`: it needs nothing until something
        changes."""
        uid, as_of = account.uid, rules.as_of
        running = {a.source for a in account.assignments if not a.is_over(as_of)}
        at_rest = at_rest and (written or bool(csn)) and self._all_said(uid, running)
        home, names, traces = "", set[int](), set[int]()
        if account.state in LIVE:
            home = json.dumps([home_establishments(account, as_of), account.profiles, services_of(account)])
        if written:
            ties = _ties_of(account) | {f"address:{address.casefold()}" for address in account.addresses}
            names, traces = self._names(account.names), self._traces(ties)
        key, sources = key_of(uid, account.matricule), json.dumps(sorted(running))
        row = (uid, key, csn, at_rest, _due(account, rules), home, sources, written)
        lists = json.dumps([*names]), json.dumps([*traces])
        self.db.execute("INSERT OR REPLACE INTO noted VALUES (?,?,?,?,?,?,?,?,?,?)", (*row, *lists))

    def _all_said(self, uid: str, running: AbstractSet[str]) -> bool:
        """Whether every full source of a `running` assignment has a feed in this run, or was heard before: an
        absence that no feed could show may count on another night."""
        said = self._listing & running <= self.full_sources.keys()
        return said or bool(self._one("SELECT at_rest FROM account WHERE uid = ?", (uid,)))

    def confirm(self, uid: str, result: WriteResult) -> None:
        """Notes the result of a write of an account."""
        if result.csn_after:
            row = (uid, result.csn_before, result.csn_after)
            self.db.execute("INSERT OR REPLACE INTO confirmed VALUES (?,?,?)", row)

    def take_as_known(self) -> None:
        """Takes what the run has evaluated and written as known.

        An account that it wrote is known only if the result of the write names the entryCSN that it replaced,
        which must be the one that was read, and the one that it set: so the next run evaluates what anyone
        else wrote before or after.
        """
        with room_on_disk(self._folder):
            run = self.db.execute
            run(_TAKE_EVALUATED)
            written = "(SELECT uid FROM noted WHERE written)"
            run(f"UPDATE account SET at_rest = 0, csn = NULL WHERE uid IN {written}")  # nosec B608
            made = run(_MADE)
            while some := made.fetchmany(_AT_ONCE):
                self._remove([uid for uid, *_ in some])
                self.db.executemany("INSERT INTO account VALUES (?,?,?,?,?,?,?)", [row[:7] for row in some])
                names = ((number, row[0]) for row in some for number in json.loads(row[7]))
                self.db.executemany("INSERT INTO name VALUES (?,?)", names)
                traces = ((number, row[1], f"a:{row[0]}") for row in some for number in json.loads(row[8]))
                self.db.executemany("INSERT INTO trace VALUES (?,?,?)", traces)
            for source, number in self.full_sources.items():
                of_feed = {"source": source, "feed": number}
                run(f"DELETE FROM applied WHERE source = :source AND key NOT IN {_LISTED}", of_feed)  # nosec B608
                run(f"INSERT OR REPLACE INTO applied SELECT :source, now.key, now.sum {_CHANGED}", of_feed)

    def keep(self) -> None:
        """Replaces the file by what is known now. Raises PiactlError."""
        folder = self._folder
        make_private_folder(folder)
        new = folder / f".{FILE}.{os.urandom(8).hex()}"
        try:
            # what a killed run left, and what versions until 0.2 had instead of the database
            for left in (*folder.glob(f".{FILE}.*"), *folder.glob("lines/*"), folder / "settled"):
                if left.is_file():
                    left.unlink()
            os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                self.db.commit()
                self.db.execute("VACUUM main INTO ?", (str(new),))
                _seal(new, self._key)
                new.replace(folder / FILE)
            finally:
                new.unlink(missing_ok=True)
        except (OSError, sqlite3.Error) as error:
            file = folder / FILE
            raise PiactlError(
                Phrase("{file}: cannot be written ({why})", file=file, why=system_words(error))
            ) from None

    def _one(self, query: str, values: Sequence[object] = ()) -> Any:
        row = self.db.execute(query, values).fetchone()
        return row[0] if row is not None else None

    def _all(self, query: str, values: Sequence[object] = ()) -> list[str]:
        return [value for (value,) in self.db.execute(query, values)]


def _due(account: Account, rules: Rules) -> int:
    """The ordinal of the next day on which the day changes an account or its place in the census; 0 for
    none."""
    as_of = rules.as_of
    edges = {assignment.start for assignment in account.assignments}
    edges |= {a.end + timedelta(days=1) for a in account.assignments if a.end is not None}
    days = [day for day in edges if day > as_of]
    days += filter(None, [account.next_due, verifier_day(account, rules.keys, as_of + timedelta(days=1))])
    return min((day.toordinal() for day in days), default=0)


def _ties_of(account: Account) -> set[str]:
    further = (matricule for matricule in account.further_matricules if digest_key_id(matricule))
    return {*traces_of_account(account), *account.matricule_digests, *further}


def _groups(pairs: Iterable[tuple[int, str]]) -> list[list[str]]:
    """The people who share a trace, and so on, in groups. `pairs` are traces with a person, by trace."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    last: tuple[int, str] | None = None
    for trace, key in pairs:
        if last is not None and trace == last[0]:
            parent[root(key)] = root(last[1])
        last = (trace, key)
    groups: dict[str, list[str]] = {}
    for key in sorted(parent):
        groups.setdefault(root(key), []).append(key)
    return list(groups.values())


def _copy_of(folder: Path, key: bytes) -> sqlite3.Connection:
    """A connection to a copy of the database in a folder, a file without a name; an empty database if there
    is none, or if it is damaged or not sealed with this key."""
    try:
        db = nameless_database(folder, _unsealed(folder / FILE, key))
        if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA:
            return db
        db.close()
    except (PiactlError, ValueError):
        pass
    db = nameless_database(folder)
    db.executescript(_TABLES)
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    return db


def _unsealed(path: Path, key: bytes) -> Iterator[bytes]:
    """The content of a sealed file. Raises OSError, and ValueError at its end if its seal is not ours."""
    seal, rest = hmac.new(key, digestmod=hashlib.sha256), b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            content, rest = (rest + block)[:-_SEAL], (rest + block)[-_SEAL:]
            seal.update(content)
            yield content
    if not hmac.compare_digest(rest, seal.digest()):
        raise ValueError


def _seal(path: Path, key: bytes) -> None:
    seal = hmac.new(key, digestmod=hashlib.sha256)
    with path.open("r+b") as file:
        while block := file.read(_BLOCK):
            seal.update(block)
        file.write(seal.digest())
