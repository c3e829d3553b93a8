"""Searches for a few attributes: of all entries, for plans; of a few, for completion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from piactl.core.model.account import NUMBER
from piactl.core.model.settings import DirectorySettings
from piactl.directory import filters
from piactl.directory.client.connection import Password, open_session
from piactl.directory.client.messages import PAGED
from piactl.directory.client.strategy import Deadline
from piactl.directory.interfaces import Reader, search_each
from piactl.directory.store.account_entries import IN_ACCOUNTS, NAMES, account_filters
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import POSIX
from piactl.directory.store.password_state import instant
from piactl.directory.store.record_entries import IN_RECORD, RUNS, Places


def read_identifiers(reader: Reader, settings: DirectorySettings, encoding: Encoding) -> Iterator[str]:
    """The names of every managed account, including archived ones: its ledger, and the names on the entry,
    which other tools may change."""
    names = [encoding.name(name) for name in NAMES]
    for raw in reader.search(settings.accounts, IN_ACCOUNTS, names):
        for name in names:
            yield from raw.texts(name)


def read_owners(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(name, uid) of each account whose ledger has one of these names; the name in lower case."""
    name, uid = encoding.name("piactlIdentifier"), encoding.name("uid")
    wanted = {wanted_name.casefold() for wanted_name in names}
    for raw in search_each(reader, settings.accounts, account_filters(name, names), [uid, name]):
        for name_found in map(str.casefold, raw.texts(name)):
            if name_found in wanted:
                yield name_found, raw.text(uid)


def read_numbers(
    reader: Reader, settings: DirectorySettings, encoding: Encoding
) -> Iterator[tuple[int, str]]:
    """(uidNumber, owner) of all entries below the suffix, including numbers in the ledgers of accounts."""
    uid, number, ledger = map(encoding.name, ("uid", POSIX[0], "piactlIdentifier"))
    query = filters.any_of(
        filters.present(number), filters.all_of(IN_ACCOUNTS, filters.begins(ledger, NUMBER))
    )
    for raw in reader.search(settings.suffix, query, [uid, number, ledger]):
        names = (value.decode("utf-8", "replace") for value in raw.values.get(ledger, ()))
        texts = [name.removeprefix(NUMBER) for name in names if name.startswith(NUMBER)]
        owner = raw.text(uid) if raw.values.get(ledger) else raw.dn
        for text in {*texts, *filter(None, [raw.text(number)])}:
            if text.isdecimal():
                yield int(text), owner


def read_nearby(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, prefix: str
) -> Iterator[tuple[str, str]]:
    """(name, uid) of the uids that begin with `prefix`, and of the addresses of these accounts and of others
    that begin so; of an address what stands before the @."""
    uid, mail = encoding.name("uid"), encoding.name("mail")
    begins = filters.any_of(filters.begins(uid, prefix), filters.begins(mail, prefix))
    for raw in reader.search(settings.accounts, filters.all_of(IN_ACCOUNTS, begins), [uid, mail]):
        yield raw.text(uid), raw.text(uid)
        yield from ((address.partition("@")[0].lower(), raw.text(uid)) for address in raw.texts(mail))


@dataclass(frozen=True, slots=True)
class LastLogin:
    """The last log in to an account that the server knows, and when the entry was made; UTC."""

    at: datetime | None = None
    made: datetime | None = None


_LAST_LOGIN = ("pwdLastSuccess", "authTimestamp")


def read_last_logins(
    reader: Reader, settings: DirectorySettings, encoding: Encoding
) -> Iterator[tuple[str, LastLogin]]:
    """(uid, last log in) of every account, if the server keeps it (`lastbind`, or the overlay of that
    name)."""
    uid = encoding.name("uid")
    for raw in reader.search(settings.accounts, IN_ACCOUNTS, [uid, *_LAST_LOGIN, "createTimestamp"]):
        login_times = [
            login_time
            for login_time in (instant(raw.text(name)) for name in _LAST_LOGIN)
            if login_time is not None
        ]
        yield raw.text(uid), LastLogin(max(login_times, default=None), instant(raw.text("createTimestamp")))


def read_foreign_names(reader: Reader, settings: DirectorySettings, encoding: Encoding) -> Iterator[str]:
    """The names that piactl does not manage: uids and addresses of unmanaged entries anywhere below the
    suffix, and the values of unmanaged attributes on accounts."""
    attributes = list(settings.taken_attributes)
    managed = {name.casefold() for name in encoding.attributes}
    beside = [name for name in attributes if name.casefold() not in managed]
    query = filters.all_of(
        filters.none_of(IN_ACCOUNTS), filters.any_of(*(filters.present(name) for name in attributes))
    )
    if beside:
        query = filters.any_of(query, *(filters.present(name) for name in beside))
    for raw in reader.search(settings.suffix, query, attributes):
        for name in raw.values:
            yield from raw.texts(name)


MOST = 50
"""The largest number of names that completion offers."""


def suggested_uids(settings: DirectorySettings, password: Password, prefix: str, seconds: float) -> list[str]:
    """At most MOST uids of accounts with that prefix. Raises the error if the search fails or is too slow."""
    uid = settings.attributes.get("uid", "uid")
    query = filters.all_of(IN_ACCOUNTS, filters.begins(uid, prefix) if prefix else filters.present(uid))
    return _suggested(settings, password, settings.accounts, query, uid, seconds)


def suggested_runs(settings: DirectorySettings, password: Password, prefix: str, seconds: float) -> list[str]:
    """Ids of runs with that prefix, like `suggested_uids`."""
    query = filters.all_of(IN_RECORD, filters.begins("cn", prefix)) if prefix else IN_RECORD
    return _suggested(settings, password, Places(settings.state).folder(RUNS), query, "cn", seconds)


def suggested_cases(
    settings: DirectorySettings, password: Password, prefix: str, seconds: float
) -> list[str]:
    """Ids of cases with that prefix, like `suggested_uids`."""
    query = filters.all_of(IN_RECORD, filters.begins("cn", f"case-{prefix}"))
    names = _suggested(settings, password, settings.state, query, "cn", seconds)
    return [name.removeprefix("case-") for name in names]


def _suggested(
    settings: DirectorySettings, password: Password, base: str, query: str, attribute: str, seconds: float
) -> list[str]:
    deadline = Deadline(seconds)
    # both settings are whole seconds; round up
    brief = replace(settings, connect_timeout=seconds / 2, operation_timeout=seconds)  # type: ignore[arg-type]
    session = open_session(settings.servers[0], brief, settings.identities["reader"], password)
    try:
        session.operation_timeout = deadline.remaining()
        size = MOST if PAGED in session.facts.controls else None
        scope = "one" if attribute == "cn" else "subtree"
        entries, _ = session.page(base, scope, query, [attribute], size=size)
        return sorted(entry.text(attribute) for entry in entries)[:MOST]
    finally:
        session.drop()
