"""Reads entries that piactl does not manage yet, and makes the write that adopts one as an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from piactl.core.model.account import Account
from piactl.core.model.keyed_digests import read_numen
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.adoption_rules import Incumbent, harmless
from piactl.core.plan.write import Values, Write
from piactl.directory import filters
from piactl.directory.dn import same_dn, under
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.account_entries import (
    IN_ACCOUNTS,
    Entry,
    account_dn,
    differences,
    following_classes,
    with_base,
)
from piactl.directory.store.attribute_map import OBJECT_CLASSES, Encoding
from piactl.directory.store.attribute_values import plain_mail
from piactl.directory.store.base_digest import POSIX
from piactl.phrase import Phrase

_STRUCTURAL = "structuralObjectClass"
_PERSON = "inetOrgPerson"


@dataclass(frozen=True, slots=True)
class Stranger:
    """An unmanaged entry: the facts that decide on adoption, the values that piactl would manage, the
    classes.

    `shows_numen`: one of its identifiers looks like a NUMEN in clear text. `inside`: it is below the accounts
    base; others are read for their names only.
    """

    incumbent: Incumbent
    values: Values = field(repr=False)
    classes: frozenset[str]
    shows_numen: bool = False
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Recognition:
    """The attributes that identify entries; `numen` may be "". `digest` returns the keyed digest of a
    NUMEN."""

    matricule: str
    numen: str
    digest: Callable[[str], str] = field(repr=False)


def read_strangers(
    reader: Reader, settings: DirectorySettings, encoding: Encoding, by: Recognition
) -> Iterator[Stranger]:
    """Every entry below the suffix that piactl does not manage and that has a name or an identifier."""
    identifiers = [name for name in (by.matricule, by.numen) if name]
    wanted = dict.fromkeys([*settings.taken_attributes, *identifiers])
    query = filters.all_of(
        filters.none_of(IN_ACCOUNTS), filters.any_of(*(filters.present(name) for name in wanted))
    )
    # values are returned under the last spelling of a name
    attributes = list(dict.fromkeys([*wanted, "objectClass", _STRUCTURAL, *encoding.attributes]))
    for raw in reader.search(settings.suffix, query, attributes):
        yield _stranger(raw, settings, encoding, by)


def _stranger(raw: RawEntry, settings: DirectorySettings, encoding: Encoding, by: Recognition) -> Stranger:
    managed = encoding.managed(raw)
    uid, mail = encoding.name("uid"), encoding.name("mail")
    numens = [numen for text in _texts(raw, by.numen) if (numen := read_numen(text)) is not None]
    classes = frozenset(
        value.decode("ascii", "replace").lower() for value in raw.values.get("objectClass", ())
    )
    incumbent = Incumbent(
        dn=raw.dn,
        uids=_texts(raw, uid),
        mails=_texts(raw, mail),
        others=tuple(
            text
            for name in settings.taken_attributes
            if name.lower() not in (uid.lower(), mail.lower())
            for text in _texts(raw, name)
        ),
        matricules=tuple(text.strip() for text in _texts(raw, by.matricule)),
        numens=tuple(by.digest(numen.reveal()) for numen in numens),
        rights=encoding.rights(raw),
        civilite="".join(_texts(raw, encoding.name("personalTitle"))[:1]),
        private_mail=plain_mail("".join(_texts(raw, encoding.name("supannMailPrive"))[:1])),
    )
    inside = under(raw.dn, settings.accounts)
    if inside:
        incumbent = replace(incumbent, fault=_fault(raw, incumbent, settings, encoding, classes))
    shows = bool(numens) or any(read_numen(text) for text in incumbent.matricules)
    return Stranger(incumbent, managed, classes, shows, inside)


def _fault(
    raw: RawEntry,
    incumbent: Incumbent,
    settings: DirectorySettings,
    encoding: Encoding,
    classes: frozenset[str],
) -> str:
    structural = raw.text(_STRUCTURAL)
    if structural.lower() != _PERSON.lower() and _PERSON.lower() not in classes:
        return Phrase(
            "its structural class is {value}, which no server changes to {person}; create the entry again",
            value=structural or "unknown",
            person=_PERSON,
        )
    if len(incumbent.uids) == 1 and not same_dn(raw.dn, account_dn(settings, incumbent.uid)):
        return Phrase(
            "its name is {dn}, but an account needs {account_dn}; piactl renames no entry",
            dn=raw.dn,
            account_dn=account_dn(settings, incumbent.uid),
        )
    if raw.values.get(encoding.name("oathTOTPToken")):
        return Phrase("it is linked to a one-time-code device that piactl does not know; unlink it first")
    closed = [name for name in ("pwdStartTime", "pwdEndTime") if raw.values.get(encoding.name(name))]
    if closed:
        names = " and ".join(encoding.name(name) for name in closed)
        return Phrase("{names} limits its log in, for an unknown reason; remove it first", names=names)
    try:
        for values in encoding.managed(raw).values():
            for value in values:
                value.decode()
    except UnicodeDecodeError:
        return Phrase("it has values that are not valid UTF-8; correct them first")
    return ""


def _texts(raw: RawEntry, attribute: str) -> tuple[str, ...]:
    values_found = next(
        (values for name, values in raw.values.items() if name.lower() == attribute.lower()), ()
    )
    return tuple(value.decode("utf-8", "replace") for value in values_found)


def adoption_write(stranger: Stranger, account: Account, encoding: Encoding, by: Recognition) -> Write:
    """The atomic write that turns the entry into this account: it adds the classes and attributes of piactl,
    replaces values that differ, and leaves everything else.

    It asserts the unchanged identifier and addresses. A replaced value that looks like a NUMEN is not in the
    write.
    """
    delete, add = differences(stranger.values, encoding.values(account))
    missing = tuple(
        name.encode()
        for name in (*OBJECT_CLASSES, *following_classes(encoding, add))
        if name.lower() not in stranger.classes
    )
    asserted = [encoding.name("mail")]
    if by.matricule.lower() in (name.lower() for name in stranger.values):
        asserted.append(next(name for name in stranger.values if name.lower() == by.matricule.lower()))
    removed, added = dict(delete), {"objectClass": missing, **add}
    for name in asserted:
        if name not in removed and name not in added:
            removed[name] = added[name] = stranger.values[name]
    for name, values in delete.items():
        if any(read_numen(value.decode()) for value in values):
            removed[name], added[name] = (), encoding.values(account).get(name, ())
    write = Write("modify", stranger.incumbent.dn, add=added, delete=removed)
    return with_base(encoding, Entry(write.dn, account, stranger.values), write)


def posix_values(stranger: Stranger, encoding: Encoding) -> tuple[str, ...]:
    """What Unix hosts see of the entry; empty if they see nothing, or if piactl leaves that to others."""
    texts = tuple(stranger.values.get(encoding.name(name), (b"",))[0].decode() for name in POSIX)
    return texts if any(texts) else ()


Shown = dict[str, list[str]]
"""Values by attribute, in the form of a plan."""


def replaced_values(stranger: Stranger, write: Write) -> tuple[Shown, Shown]:
    """(before, after) of the attributes whose values the write removes, in the form of a plan."""
    before: Shown = {}
    after: Shown = {}
    for name, values in write.delete.items():
        old = values or stranger.values.get(name, ())
        if set(old) == set(write.add.get(name, ())):
            continue
        before[name] = [harmless(value.decode("utf-8", "replace")) for value in old]
        after[name] = [value.decode() for value in write.add.get(name, ())]
    return before, after
