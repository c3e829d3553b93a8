"""Account entries: reads all, or single ones by any name; and makes the LDAP write that
turns an entry into the desired account.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from piactl.core.model.account import Account, State
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Values, Write
from piactl.directory import filters
from piactl.directory.dn import child, same_dn
from piactl.directory.interfaces import RawEntry, Reader, search_each
from piactl.directory.store.attribute_map import (
    ACCOUNT_CLASS,
    FOLLOWING_CLASSES,
    OBJECT_CLASSES,
    Encoding,
    UnreadableEntry,
)
from piactl.directory.store.attribute_values import plain_mail, read_proof_change
from piactl.directory.store.base_digest import BASE, BaseKeys, is_sealed
from piactl.directory.store.find_drift import MULTIPLE, Drifted, compare
from piactl.phrase import Phrase


@dataclass(frozen=True, slots=True)
class Entry:
    """An account with the exact values of its entry, which a later write asserts.

    `account` is what piactl relies on, even if another program changed the entry (`drift`). `csn` is the
    entryCSN when it was read; every write changes it. `base` is the base of the entry, b"" for none, `uuid`
    its entryUUID, b"" if it was not read.
    """

    dn: str
    account: Account
    values: Values = field(repr=False)
    csn: bytes = b""
    base: bytes = b""
    drift: Drifted | None = field(default=None, repr=False)
    uuid: bytes = b""


CSN, UUID = "entryCSN", "entryUUID"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A managed entry that cannot be parsed. It is reported and left unchanged; its identifiers stay
    taken."""

    dn: str
    uid: str
    matricule: str | None
    identifiers: tuple[str, ...]
    why: str
    digest: str = ""
    """The digest of the matricule, if another program changed the matricule."""


NAMES = ("piactlIdentifier", "mail", "piactlAlias")
"""The attributes with reserved values: the ledger of names, and those that other programs may change."""

IN_ACCOUNTS = filters.equals("objectClass", ACCOUNT_CLASS)
AT_ONCE = 50
"""The number of names or digests per search; slapd compares each candidate entry with half of them on
average."""


def read_accounts(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, queries: Iterable[str] | None = None
) -> Iterator[Entry | Unreadable]:
    """All managed accounts below the accounts base, or the few that these filters find."""
    for raw in search_accounts(reader, settings, encoding, queries):
        yield entry_of(raw, encoding)


def search_accounts(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, queries: Iterable[str] | None = None
) -> Iterator[RawEntry]:
    """The entries of `read_accounts`."""
    attributes = [*encoding.attributes, CSN]
    if queries is None:
        return reader.search(settings.accounts, IN_ACCOUNTS, attributes)
    return search_each(reader, settings.accounts, queries, attributes)


def written_after(since: datetime) -> str:
    """The filter of the entries that were written since an instant of the server's clock."""
    return filters.at_least(CSN, f"{since.astimezone(UTC):%Y%m%d%H%M%S.%f}Z#000000#000#000000")


def read_accounts_named(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, uids: Sequence[str]
) -> Iterator[Entry | Unreadable]:
    """The accounts of these uids."""
    return read_accounts(reader, settings, encoding, account_filters(encoding.name("uid"), uids))


def read_unmanaged(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, attribute: str, wanted: Sequence[str]
) -> dict[str, str]:
    """value -> DN of the entries below the accounts base that piactl does not manage and that have one of the
    wanted values of an attribute (by its default name)."""
    name, folded = encoding.name(attribute), {value.casefold(): value for value in wanted}
    dns = {}
    others = filters.none_of(IN_ACCOUNTS)
    queries = (filters.all_of(others, some) for some in filters.equals_one(name, wanted, AT_ONCE))
    for raw in search_each(reader, settings.accounts, queries, [name]):
        for text in map(str.casefold, raw.texts(name)):
            if text in folded:
                dns[folded[text]] = raw.dn
    return dns


def account_filters(name: str, values: Sequence[str]) -> Iterator[str]:
    """The filters that match the accounts with one of these values of an attribute."""
    for some in filters.equals_one(name, values, AT_ONCE):
        yield filters.all_of(IN_ACCOUNTS, some)


def read_accounts_with(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, attribute: str
) -> Iterator[Entry | Unreadable]:
    """The accounts with a value of this attribute (by its default name)."""
    query = filters.all_of(IN_ACCOUNTS, filters.present(encoding.name(attribute)))
    return read_accounts(reader, settings, encoding, [query])


def read_accounts_of(
    reader: Reader,
    settings: DirectorySettings,
    encoding: Encoding,
    keys: DigestKeys,
    matricules: Sequence[str],
) -> Iterator[Entry | Unreadable]:
    """The accounts of these people, including archived ones, by the digests of their matricules."""
    name = encoding.name("piactlMatriculeDigest")
    digests = [digest for matricule in matricules for digest in keys.candidates("matricule", matricule)]
    return read_accounts(reader, settings, encoding, account_filters(name, digests))


def closed_without_link(name: Callable[[str], str]) -> str:
    """The filter for closed accounts without a link; `name` returns the name of an attribute in this
    directory. Locked accounts are left out, because no index finds them."""
    states = (State.DEACTIVATED, State.ARCHIVED)
    closed = filters.any_of(*(filters.equals(name("piactlState"), state.value) for state in states))
    return filters.all_of(IN_ACCOUNTS, closed, filters.none_of(filters.present(name("oathTOTPToken"))))


def entry_of(raw: RawEntry, encoding: Encoding) -> Entry | Unreadable:
    """The account of an entry. One without a sealed base shows no drift here (see `drift_by_rules`)."""
    base, bases = raw.first(encoding.name(BASE)) or b"", encoding.bases
    values, drift = encoding.managed(raw), None
    if bases is not None and is_sealed(base):
        drift = compare(bases, raw.dn, raw.first(UUID) or b"", values, base)
    return with_drift(raw, encoding, values, drift)


def with_drift(
    raw: RawEntry, encoding: Encoding, values: Values, drift: Drifted | None, as_of: date | None = None
) -> Entry | Unreadable:
    """The account of an entry with these managed values, on which another program changed this."""
    base, csn, uuid = (raw.first(name) or b"" for name in (encoding.name(BASE), CSN, UUID))
    try:
        if drift is None:
            return Entry(raw.dn, encoding.account(raw), values, csn, base, uuid=uuid)
        _check_matricule(raw, encoding, drift)
        believed = {**drift.believed(values, as_of), **encoding.of_server(raw)}
        return Entry(raw.dn, encoding.account(RawEntry(raw.dn, believed)), values, csn, base, drift, uuid)
    except AnotherMatricule as error:
        digest = raw.text(encoding.name("piactlMatriculeDigest"))
        return replace(_unreadable(raw, encoding, error), matricule=None, digest=digest)
    except UnreadableEntry as error:
        return _unreadable(raw, encoding, error)


def again(
    entry: Entry, encoding: Encoding, drift: Drifted | None, as_of: date | None = None
) -> Entry | Unreadable:
    """The entry with another drift."""
    values = {**entry.values, encoding.name(BASE): (entry.base,), CSN: (entry.csn,), UUID: (entry.uuid,)}
    raw = RawEntry(entry.dn, {name: some for name, some in values.items() if some != (b"",)})
    result = with_drift(raw, encoding, entry.values, drift, as_of)
    if isinstance(result, Unreadable):
        return result
    account = replace(result.account, entry_id=entry.account.entry_id, made_on=entry.account.made_on)
    return replace(result, account=account)


def _unreadable(raw: RawEntry, encoding: Encoding, error: UnreadableEntry) -> Unreadable:
    return Unreadable(
        dn=raw.dn,
        uid=raw.text(encoding.name("uid")),
        matricule=raw.text(encoding.name("supannEmpId")) or None,
        identifiers=tuple(text for name in NAMES for text in raw.texts(encoding.name(name))),
        why=str(error),
    )


def as_found(entry: Entry, encoding: Encoding) -> Account:
    """The account with the values of its entry, other programs' changes included. If they cannot be parsed,
    the account without these changes."""
    try:
        return encoding.account(RawEntry(entry.dn, entry.values))
    except UnreadableEntry:
        return entry.account


class AnotherMatricule(UnreadableEntry):
    """Another program changed the matricule of an entry."""


def _check_matricule(raw: RawEntry, encoding: Encoding, drift: Drifted) -> None:
    """Raises AnotherMatricule if another program changed whose account it is."""
    name = encoding.name("supannEmpId")
    if name in drift.changed:
        raise AnotherMatricule(
            Phrase(
                "{dn}: another program changed {name}, so nobody can know whose account it is; "
                "set it as the journal and HR have it, then run again",
                dn=raw.dn,
                name=name,
            )
        )


def find_accounts(
    reader: Reader,
    settings: DirectorySettings,
    encoding: Encoding,
    keys: DigestKeys,
    name: str,
    matricules: Iterable[str],
) -> list[Entry | Unreadable]:
    """The accounts with this uid, address or alias, or one of these matricules, including archived ones."""
    digests = [digest for matricule in matricules for digest in keys.candidates("matricule", matricule)]
    query = filters.all_of(
        IN_ACCOUNTS,
        filters.any_of(
            filters.equals(encoding.name("uid"), name),
            filters.equals(encoding.name("mail"), name),
            filters.equals(encoding.name("piactlAlias"), name),
            filters.equals(encoding.name("piactlIdentifier"), name),
            *(filters.equals(encoding.name("piactlMatriculeDigest"), digest) for digest in digests),
        ),
    )
    return [*read_accounts(reader, settings, encoding, [query])]


def read_whole(
    reader: Reader,
    settings: DirectorySettings,
    encoding: Encoding,
    uids: Sequence[str],
    attributes: Sequence[str] = ("*",),
) -> Iterator[RawEntry]:
    """The accounts of these uids with all readable attributes, or the given ones, in chunks."""
    return search_each(reader, settings.accounts, account_filters(encoding.name("uid"), uids), attributes)


def account_dn(settings: DirectorySettings, uid: str) -> str:
    return child(settings.accounts, settings.attributes.get("uid", "uid"), uid)


def read_private_mail(
    reader: Reader, dn: str, settings: DirectorySettings
) -> tuple[str, tuple[tuple[str, date], ...]]:
    """The private address of an account, "" without one, and the last changes of its proofs."""
    name, changed = (
        settings.attributes.get(attribute, attribute)
        for attribute in ("supannMailPrive", "piactlProofChanged")
    )
    entry = reader.read(dn, [name, changed])
    if entry is None:
        return "", ()
    return plain_mail(entry.text(name)), tuple(map(read_proof_change, entry.texts(changed)))


def account_write(
    settings: DirectorySettings, encoding: Encoding, current: Entry | None, desired: Account
) -> Write | None:
    """The atomic write that turns an entry into the desired account; None if nothing differs. What another
    program changed and nobody has decided stays."""
    values = encoding.values(desired)
    if current is None:
        classes = [name.encode() for name in (*OBJECT_CLASSES, *following_classes(encoding, values))]
        dn = account_dn(settings, desired.uid)
        base = _bases(encoding).fresh(dn, values)
        add = {"objectClass": tuple(classes), **values, encoding.name(BASE): (base,)}
        return Write("add", dn, add=add)
    drift, agreed = current.drift, frozenset[str]()
    if drift is not None:
        values = drift.with_theirs(values, current.values)
        decided = {*drift.changed} - drift.staying
        agreed = frozenset(n for n in decided if values.get(n, ()) == current.values.get(n, ()))
    write = account_change(encoding, current.dn, current.values, values)
    if write is None and not agreed and _is_fresh(encoding, current):
        return None
    return with_base(encoding, current, write or Write("modify", current.dn), agreed)


def reducing_write(encoding: Encoding, entry: Entry, present: Account, account: Account) -> Write | None:
    """The write that takes from an entry that another program changed what `account` has less than the
    account as `present` on it. What was changed stays a difference. None if there is nothing to take."""
    before, after, values = encoding.values(present), encoding.values(account), dict(entry.values)
    for name in {*before, *after}:
        old, new = {*before.get(name, ())}, {*after.get(name, ())}
        if old != new:
            multiple = entry.drift is not None and entry.drift.names.get(name) in MULTIPLE
            values[name] = tuple(sorted({*entry.values.get(name, ())} - old | new if multiple else new))
    write = account_change(encoding, entry.dn, entry.values, {n: some for n, some in values.items() if some})
    if write is None and _is_fresh(encoding, entry):
        return None
    return with_base(encoding, entry, write or Write("modify", entry.dn), stays=True)


def only_renews_base(encoding: Encoding, write: Write) -> bool:
    """Whether the write changes nothing but the base."""
    return len(write.add) <= 1 and {*write.add, *write.delete} == {encoding.name(BASE)}


def with_base(
    encoding: Encoding, entry: Entry, write: Write, agreed: Collection[str] = (), *, stays: bool = False
) -> Write:
    """The write of an account, with the base that the account has after it. What another program changed
    remains a difference, except `agreed` attributes, the values that the write itself changes and, unless it
    `stays`, all that an attribute lost that it changes. If another program removed the base, the write makes
    no new one: that would say that all values are piactl's own."""
    drift, bases, name = entry.drift, _bases(encoding), encoding.name(BASE)
    after = write.made_on(entry.values)
    values = {n: tuple(sorted({*after[n]})) for n in bases.names if after.get(n)}
    foreign, lost = dict[str, Collection[bytes]](), set[bytes]()
    if drift is not None and not drift.settles:
        if drift.baseless:
            return write
        written = {*write.add, *write.delete}
        for changed in [attribute for attribute in drift.changed if attribute not in agreed]:
            foreign[changed] = [
                value
                for value in drift.added.get(changed, ())
                if value in values.get(changed, ()) and value not in write.add.get(changed, ())
            ]
            keeps = stays and drift.names[changed] != "piactlLock"
            if changed not in written or keeps or changed in drift.kept:
                lost |= drift.gone.get(changed, frozenset())
    new = bases.after(write.dn, entry.uuid, values, foreign, lost, entry.base)
    if new == entry.base:
        return write
    delete = {**write.delete, name: (entry.base,)} if entry.base else write.delete
    return replace(write, add={**write.add, name: (new,)}, delete=delete)


def _bases(encoding: Encoding) -> BaseKeys:
    if encoding.bases is None:
        raise AssertionError("an account is written by an encoding with keys")
    return encoding.bases


def _is_fresh(encoding: Encoding, entry: Entry) -> bool:
    """Whether the base needs no renewal. The sealed base of an entry with drift is renewed only when the
    drift is gone."""
    bases, drift = encoding.bases, entry.drift
    if bases is None:
        return True
    if drift is not None and (drift.settles or drift.baseless or is_sealed(entry.base)):
        return not drift.settles
    return bases.is_fresh(entry.base, entry.dn, entry.uuid, entry.values)


def account_change(encoding: Encoding, dn: str, current: Values, values: Values) -> Write | None:
    """The modify from the `current` values of an account to the desired ones, None if they are equal. The
    classes that follow an attribute are added and removed with it."""
    link = encoding.name("oathTOTPToken")
    old, new = current.get(link, ()), values.get(link, ())
    if len(old) == len(new) == 1 and same_dn(old[0].decode("utf-8", "replace"), new[0].decode()):
        values = {**values, link: old}  # a DN has several spellings
    delete, add = map(dict, differences(current, values))
    if not delete and not add:
        return None
    come, go = (
        tuple(name.encode() for name in following_classes(encoding, one.keys() - other.keys()))
        for one, other in ((add, delete), (delete, add))
    )
    add |= {"objectClass": come} if come else {}
    delete |= {"objectClass": go} if go else {}
    return Write("modify", dn, add=add, delete=delete)


def following_classes(encoding: Encoding, attributes: Container[str]) -> list[str]:
    """The classes that an account has together with these attributes."""
    return [
        object_class for name, object_class in FOLLOWING_CLASSES.items() if encoding.name(name) in attributes
    ]


def differences(current: Values, desired: Values) -> tuple[Values, Values]:
    """(values to remove, values to add) that turn the managed values of an entry into the desired ones."""
    delete: dict[str, tuple[bytes, ...]] = {}
    add: dict[str, tuple[bytes, ...]] = {}
    for name in dict.fromkeys([*current, *desired]):
        old, new = current.get(name, ()), desired.get(name, ())
        if old == new:
            continue
        removed = tuple(value for value in old if value not in new)
        come = tuple(value for value in new if value not in old)
        if removed:
            delete[name] = removed
        if come:
            add[name] = come
    return delete, add
