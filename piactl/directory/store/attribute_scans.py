"""Searches for a few attributes: of all entries, for incremental planning; of a few, for completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from piactl.core.model.account import NUMBER, State
from piactl.core.model.settings import DirectorySettings
from piactl.core.rules.matching import MAIL, mail_trace
from piactl.dataclass import dataclass
from piactl.directory import filters
from piactl.directory.client.connection import Password, open_session
from piactl.directory.client.controls import PAGED
from piactl.directory.client.strategy import Deadline
from piactl.directory.dn import under
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.accounts import AT_ONCE, CSN, IN_ACCOUNTS, NAMES, account_filters
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.attribute_values import labelled_mail, plain_mail
from piactl.directory.store.base_digest import POSIX
from piactl.directory.store.password_state_and_activation import instant
from piactl.directory.store.records import IN_RECORD, RUNS, Places

_TRACES = ("piactlNumenDigest", "piactlIdentityDigest", "supannMailPrive")

UUID, CONTEXT_CSN = "entryUUID", "contextCSN"

Stamp = tuple[str, str | None, bytes]
"""uid, matricule and entryCSN of an account."""


def read_stamps(
    reader: Reader,
    settings: DirectorySettings,
    encoding: Encoding,
    uuid: Callable[[str], object] | None = None,
) -> Iterator[Stamp]:
    """The uid, matricule and entryCSN of every account. `uuid` is called with the entryUUID of each."""
    uid, matricule = encoding.name("uid"), encoding.name("supannEmpId")
    further_attributes = [UUID] if uuid is not None else []
    for raw in reader.search(settings.accounts, IN_ACCOUNTS, [uid, matricule, CSN, *further_attributes]):
        if uuid is not None:
            uuid(raw.text(UUID))
        yield raw.text(uid), raw.text(matricule) or None, raw.first(CSN) or b""


def read_context_csns(reader: Reader, base: str) -> list[str]:
    """The contextCSN of the database that holds `base`, one for each server; empty if it keeps none."""
    contexts = [context for context in reader.facts().naming_contexts if context and under(base, context)]
    entry = reader.read(max(contexts, key=len, default=base), [CONTEXT_CSN])
    return [csn.decode("ascii", "replace") for csn in (entry.values.get(CONTEXT_CSN, ()) if entry else ())]


def read_uids_of(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, matricules: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(uid, matricule) of the accounts of these matricules."""
    uid, matricule = encoding.name("uid"), encoding.name("supannEmpId")
    queries = account_filters(matricule, matricules)
    for raw in reader.search_each(settings.accounts, queries, [uid, matricule]):
        yield raw.text(uid), raw.text(matricule)


def read_holders(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, traces: Sequence[str]
) -> Iterator[tuple[str, str | None]]:
    """(uid, matricule) of the accounts that have one of these traces (see `core.rules.matching`)."""
    uid, matricule, *names = map(encoding.name, ("uid", "supannEmpId", *_TRACES))

    def conditions(trace: str) -> list[str]:
        if not trace.startswith(MAIL):
            return [filters.equals(name, trace) for name in names[:2]]
        address = trace.removeprefix(MAIL)
        return [filters.equals(names[2], text) for text in (labelled_mail(address), address)]

    blocks = (traces[start : start + AT_ONCE] for start in range(0, len(traces), AT_ONCE))
    queries = (
        filters.all_of(IN_ACCOUNTS, filters.any_of(*chain.from_iterable(map(conditions, block))))
        for block in blocks
    )
    for raw in reader.search_each(settings.accounts, queries, [uid, matricule]):
        yield raw.text(uid), raw.text(matricule) or None


def read_traces(
    reader: Reader, settings: DirectorySettings, encoding: Encoding
) -> Iterator[tuple[str, str | None, list[str]]]:
    """(uid, matricule, traces) of every account that has any."""
    uid, matricule, *names = map(encoding.name, ("uid", "supannEmpId", *_TRACES))
    query = filters.all_of(IN_ACCOUNTS, filters.any_of(*map(filters.present, names)))
    for raw in reader.search(settings.accounts, query, [uid, matricule, *names]):
        traces = [raw.text(names[0]), raw.text(names[1]), mail_trace(plain_mail(raw.text(names[2])))]
        yield raw.text(uid), raw.text(matricule) or None, [trace for trace in traces if trace]


def read_tombstones(reader: Reader, settings: DirectorySettings, encoding: Encoding) -> Iterator[str]:
    """The digests of the matricules of archived accounts."""
    digest, matricule = map(encoding.name, ("piactlMatriculeDigest", "supannEmpId"))
    query = filters.all_of(IN_ACCOUNTS, filters.none_of(filters.present(matricule)))
    for raw in reader.search(settings.accounts, query, [digest]):
        yield from raw.texts(digest)


def read_linked(
    reader: Reader, settings: DirectorySettings, encoding: Encoding
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(first matricule, further ones) of each account with several; see `Account`."""
    name, further = encoding.name("supannEmpId"), encoding.name("piactlMatricule")
    query = filters.all_of(IN_ACCOUNTS, filters.present(further))
    for raw in reader.search(settings.accounts, query, [name, further]):
        if raw.text(name):
            yield raw.text(name), tuple(raw.texts(further))


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
    for raw in reader.search_each(settings.accounts, account_filters(name, names), [uid, name]):
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


def without_number(entries: Iterable[RawEntry], encoding: Encoding) -> Iterator[tuple[str, str]]:
    """(uid, uidNumber on the entry) of the accounts among `entries` that have no number in the ledger, except
    archived ones."""
    uid, number, ledger, state = map(encoding.name, ("uid", POSIX[0], "piactlIdentifier", "piactlState"))
    beginning, archived = NUMBER.encode(), State.ARCHIVED.value.encode()
    for raw in entries:
        has_one = any(name.startswith(beginning) for name in raw.values.get(ledger, ()))
        if not has_one and raw.first(state) != archived:
            yield raw.text(uid), raw.text(number)


def read_uids(reader: Reader, settings: DirectorySettings, encoding: Encoding, prefix: str) -> Iterator[str]:
    """The uids of accounts that begin with `prefix`."""
    uid = encoding.name("uid")
    for raw in reader.search(
        settings.accounts, filters.all_of(IN_ACCOUNTS, filters.begins(uid, prefix)), [uid]
    ):
        yield raw.text(uid)


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
