"""Maps the fields of an account to the attributes of its entry.

Sources: inetOrgPerson (RFC 2798), eduPerson, SUPANN 2021, ppolicy (draft-behera), piactl's own schema.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property

from piactl.core.model.account import NO_DEVICE, PLACEHOLDER, Account, State
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.change import Kind
from piactl.core.plan.write import Values, Write
from piactl.directory import filters
from piactl.directory.dn import child
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.attribute_values import (
    CIVILITIES,
    EXCEPTION,
    FORMER_ARCHIVED,
    LABEL,
    LOCKED_STATE,
    OVERRIDE,
    SUPANN_STATES,
    assignment_text,
    civil_day,
    compact_day,
    labelled_mail,
    lock_text,
    midnight,
    plain_mail,
    read_assignment,
    read_compact_day,
    read_lock,
    read_proof_change,
)
from piactl.directory.store.base_digest import (
    ATTRIBUTES,
    BASE,
    FIELDS,
    FIRST_LAYOUT,
    MANAGED,
    POSIX,
    BaseKeys,
    base_keys,
    read_base,
)
from piactl.errors import PiactlError
from piactl.phrase import Phrase

ACCOUNT_CLASS = "piactlAccount"
SECRETS = frozenset({"userPassword", "oathSecret", "piactlSealed"})
"""Attributes with secret values, by their names on the server; not even a digest of them is stored."""
OBJECT_CLASSES = ("inetOrgPerson", "eduPerson", "supannPerson", ACCOUNT_CLASS)
LINKED_CLASS = "oathTOTPUser"
"""The class of slapo-otp for accounts that are linked to a device."""
# pwdUseCheckModule, which OpenLDAP 2.5 lacks. By its number: an unknown name would make any filter undefined.
WITH_CHECK_MODULE = filters.equals("attributeTypes", "1.3.6.1.4.1.4754.1.99.3")
EXPECTED_SCHEMA = filters.all_of(filters.with_class(LINKED_CLASS), WITH_CHECK_MODULE)
"""Finds the schema of OpenLDAP 2.6 with slapo-otp and ppolicy: most servers, so one request is enough."""
POSIX_CLASS = "posixAccount"
"""The class for accounts that Unix hosts see (RFC 2307)."""
FOLLOWING_CLASSES = {"oathTOTPToken": LINKED_CLASS, POSIX[0]: POSIX_CLASS}
"""The classes that an account has together with an attribute."""

UNIQUE_ID = "eduPersonUniqueId"
_LOCAL = re.compile(r"\d{7}[A-Z]_")
"""The beginning of a profile at one establishment; profiles have no capitals."""
_ENTRY_ID, MADE = "entryUUID", "createTimestamp"


_Texts = str | None | Collection[str]
"""One value, or several; None and "" mean no value."""


class UnreadableEntry(PiactlError):
    """A managed value of an entry cannot be parsed; the entry is reported and left unchanged."""


@dataclass(frozen=True)
class Encoding:
    """The encoding of accounts in one directory. `names` renames attributes: default name -> name there.

    `accounts` is the base of the accounts. `links`: the server itself asks for the code of the linked device;
    without it devices are not linked, and a portal verifies the codes. `otp_schema`: the schema of the server
    has the link, so closed and locked accounts can be linked to NO_DEVICE. `unique_ids`: piactl manages
    eduPersonUniqueId; `posix`: it manages the attributes in POSIX.
    """

    domain: str
    urn: str
    timezone: str
    names: Mapping[str, str] = field(default_factory=dict)
    accounts: str = ""
    links: bool = True
    otp_schema: bool = True
    unique_ids: bool = False
    posix: bool = False
    keys: DigestKeys | None = field(default=None, repr=False)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The attributes to request when accounts are read."""
        made = (MADE,) if self.unique_ids else ()
        return (*self._managed.values(), self.name(BASE), _ENTRY_ID, *made)

    @cached_property
    def _unmanaged(self) -> frozenset[str]:
        """The attributes of MANAGED that this directory leaves to other programs."""
        return frozenset((*([] if self.unique_ids else [UNIQUE_ID]), *([] if self.posix else POSIX)))

    @cached_property
    def classes(self) -> frozenset[str]:
        """The classes of accounts that piactl manages, in lower case."""
        posix = (POSIX_CLASS,) if self.posix else ()
        names = ("top", "person", "organizationalPerson", *OBJECT_CLASSES, LINKED_CLASS, *posix)
        return frozenset(name.lower() for name in names)

    @cached_property
    def _managed(self) -> Mapping[str, str]:
        """The other attributes of MANAGED: default name -> name in this directory."""
        return {name: self.name(name) for name in MANAGED if name not in self._unmanaged}

    @cached_property
    def bases(self) -> BaseKeys | None:
        """The keys of the bases of accounts; None if they are neither read nor written."""
        return base_keys(self.keys, self.names, self._unmanaged) if self.keys else None

    def fitted_to(self, reader: Reader) -> Encoding:
        """The encoding for the directory behind `reader`. Without the schema of slapo-otp, closed accounts
        have no link."""
        links = reader.schema_meets(EXPECTED_SCHEMA) or reader.schema_meets(filters.with_class(LINKED_CLASS))
        return self if links else replace(self, otp_schema=False)

    def name(self, attribute: str) -> str:
        return self.names.get(attribute, attribute)

    @cached_property
    def fields(self) -> Mapping[str, tuple[str, ...]]:
        """The fields of an account that each attribute of this directory is made of."""
        fields = {**FIELDS, "objectClass": (*FIELDS["oathTOTPToken"], "posix")}
        return {self.name(attribute): made_of for attribute, made_of in fields.items()}

    def values(self, account: Account) -> dict[str, tuple[bytes, ...]]:
        """All managed values of an account, except objectClass; none is empty."""
        texts: dict[str, _Texts] = {"uid": account.uid, "cn": PLACEHOLDER, "sn": PLACEHOLDER}
        if account.state is not State.ARCHIVED:
            texts = self._texts(account)
        texts.update(self._state_texts(account))
        texts["piactlDevice"] = account.device
        texts["oathTOTPToken"] = self.link(account)
        values: dict[str, tuple[bytes, ...]] = {}
        for name, text in texts.items():
            if not text:
                continue
            if isinstance(text, str):
                encoded_values: tuple[bytes, ...] = (text.encode(),)
            elif len(text) == 1:
                (only,) = text
                encoded_values = (only.encode(),)
            else:
                encoded_values = tuple([value.encode() for value in sorted(text)])
            values[self.names.get(name, name)] = encoded_values
        return values

    def _texts(self, account: Account) -> dict[str, _Texts]:
        surname, shown, establishments = account.surname, account.display_name, account.establishments
        return {
            "uid": (account.uid, *account.other_uids),
            "cn": shown,
            "sn": surname,
            "givenName": account.given_name,
            "displayName": shown,
            "personalTitle": account.civilite,
            "mail": (account.address, *account.other_mails) if account.address else account.other_mails,
            "eduPersonPrincipalName": f"{account.uid}@{self.domain}",
            "eduPersonEntitlement": [
                self.urn + ":".join(filter(None, right)) for right in account.entitlements
            ],
            "supannEmpId": account.matricule,
            "piactlMatricule": account.further_matricules,
            "supannNomDeNaissance": account.family_name,
            "supannMailPrive": labelled_mail(account.private_mail),
            "supannCivilite": CIVILITIES.get(account.civilite.strip(". ").upper()),
            "supannEtablissement": ["{UAI}" + uai for uai in establishments],
            "supannEmpDateFin": [midnight(end + timedelta(days=1), self.timezone) for end in account.ends],
            "eduPersonAffiliation": account.affiliations,
            UNIQUE_ID: account.unique_id if self.unique_ids else "",
            **dict(zip(POSIX, account.posix, strict=False)),
            "supannEntiteAffectation": establishments,
            "supannEntiteAffectationPrincipale": establishments[:1],
            "supannEmpCorps": ["{NCORPS}" + corps for corps in account.corps],
            "piactlAlias": account.aliases,
            "piactlNumenVerifier": account.numen_verifier,
            "piactlProofChanged": [f"{proof} {day}" for proof, day in account.proof_changes],
            "piactlNextDue": compact_day(account.next_due),
            "piactlProfile": (*account.profiles, *account.local_profiles),
            "piactlAssignment": [assignment_text(a) for a in account.assignments],
            "piactlException": [*map(EXCEPTION.text, account.exceptions)],
            "piactlOverride": [*map(OVERRIDE.text, account.overrides)],
        }

    def _state_texts(self, account: Account) -> dict[str, _Texts]:
        state = "{COMPTE}" + (LOCKED_STATE if account.locked else SUPANN_STATES[account.state])
        begin, end = compact_day(account.state_from), compact_day(account.state_until)
        start, last = account.login_from, account.login_until
        return {
            "supannRessourceEtat": state,
            "supannRessourceEtatDate": f"{state}:{begin}:{end}",
            "pwdStartTime": midnight(start, self.timezone) if start else None,
            "pwdEndTime": midnight(last + timedelta(days=1), self.timezone) if last else None,
            "piactlState": account.state.value,
            "piactlIdentifier": account.identifiers,
            "piactlMatriculeDigest": account.matricule_digests,
            "piactlMergedInto": account.merged,
            "piactlNumenDigest": account.numen_digest,
            "piactlIdentityDigest": account.identity_digest,
            "piactlBirthDigest": account.birth_digest,
            "piactlLock": lock_text(account.lock) if account.lock else "",
            "piactlProtected": "TRUE" if account.protected else "",
        }

    def link(self, account: Account) -> str:
        """The device entry whose code the server asks for, "" for none.

        A closed or locked account is linked to NO_DEVICE, which always refuses the log in; its dates refuse
        it only under a password policy. An account that is about to open already has the link of the open
        account, so that it never opens with the password alone.
        """
        if self.otp_schema and account.shut:
            return self._device(account, NO_DEVICE)
        if not self.links or not account.device or account.state is State.DEACTIVATED:
            return ""
        return self._device(account, account.device)

    def _device(self, account: Account, device: str) -> str:
        return child(child(self.accounts, self.name("uid"), account.uid), "cn", device)

    def account(self, entry: RawEntry) -> Account:
        """The account of an entry. Raises UnreadableEntry naming the attribute."""
        return _Reading(self, entry).account()

    def managed(self, entry: RawEntry) -> dict[str, tuple[bytes, ...]]:
        """The current managed values of an entry, in the order of `values`."""
        managed: dict[str, tuple[bytes, ...]] = {}
        for default, name in self._managed.items():
            values = entry.values.get(name, ())
            if default == "eduPersonEntitlement":
                urn = self.urn.encode()
                values = tuple(v for v in values if v.startswith(urn))
            if values:
                managed[name] = values if len(values) == 1 else tuple(sorted(values))
        return managed

    def formed(self, write: Write) -> list[str]:
        """The attributes that a write of an account only puts into the form of this version: those that the
        base of the entry does not know, and those whose values say the same in another form."""
        stored = write.delete.get(self.name(BASE), ())
        base = read_base(stored[0]) if stored else None
        if base is None or base.known >= ATTRIBUTES:
            return []
        new = [self.name(attribute) for attribute in MANAGED[max(base.known, len(FIRST_LAYOUT)) : ATTRIBUTES]]
        return sorted({name for name in new if name in write.add} | {*self._rewritten(write)})

    def _rewritten(self, write: Write) -> Iterator[str]:
        """The attributes whose old values, in the first layout, say the same as the new ones."""
        archived = ("{COMPTE}" + state for state in (FORMER_ARCHIVED, SUPANN_STATES[State.ARCHIVED]))
        old_state, new_state = (state.encode() for state in archived)
        profiles = self.name("piactlProfile")
        come = write.add.get(profiles, ())
        if come and profiles not in write.delete and all(_LOCAL.match(v.decode()) for v in come):
            yield profiles
        for attribute, old, new in (
            ("supannMailPrive", b"", LABEL.encode()),
            ("supannRessourceEtat", old_state, new_state),
            ("supannRessourceEtatDate", old_state, new_state),
        ):
            gone, come = (side.get(self.name(attribute), ()) for side in (write.delete, write.add))
            if gone and come == tuple(new + value.removeprefix(old) for value in gone):
                yield self.name(attribute)

    def of_server(self, entry: RawEntry) -> dict[str, tuple[bytes, ...]]:
        """What the server itself says about an entry: its entryUUID, and when it was made."""
        return {name: entry.values[name] for name in (_ENTRY_ID, MADE) if name in entry.values}

    def rights(self, entry: RawEntry) -> frozenset[tuple[str, str]]:
        """The pairs (service, uai) that an entry is entitled to under piactl's URN."""
        rights = set()
        for text in entry.texts(self.name("eduPersonEntitlement")):
            if text.startswith(self.urn):
                service, _, uai = text[len(self.urn) :].partition(":")
                rights.add((service, uai))
        return frozenset(rights)


def encoding_of(policy: Policy, directory: DirectorySettings, keys: DigestKeys | None) -> Encoding:
    """The encoding of accounts under this policy and these settings. Without `keys` no account is written,
    and drift is not seen."""
    by_server = policy.otp_enforced_by == "directory"
    names, accounts = directory.attributes, directory.accounts
    return Encoding(
        policy.domain,
        policy.urn,
        policy.timezone,
        names,
        accounts,
        by_server,
        unique_ids=policy.unique_id,
        posix=policy.posix is not None,
        keys=keys,
    )


def _own_address(mails: Sequence[str], identifiers: Set[str], aliases: Set[str]) -> str | None:
    """The address of the account among the values of mail, to which other tools may add: the one that is in
    its ledger of names and not an alias."""
    if len(mails) <= 1:
        return mails[0] if mails else None
    known = {name.casefold() for name in identifiers}
    return min(mails, key=lambda mail: (mail.casefold() not in known, mail in aliases, mail))


class _Reading:
    """Reads one entry into an account, attribute by attribute."""

    def __init__(self, encoding: Encoding, entry: RawEntry) -> None:
        self.encoding, self.entry = encoding, entry
        self._names = encoding.names

    def all(self, attribute: str) -> list[str]:
        values = self.entry.values.get(self._names.get(attribute, attribute))
        if not values:
            return []
        try:
            return [values[0].decode()] if len(values) == 1 else sorted(value.decode() for value in values)
        except UnicodeDecodeError:
            raise self.unreadable(attribute, Phrase("is not UTF-8")) from None

    def one(self, attribute: str) -> str:
        values = self.entry.values.get(self._names.get(attribute, attribute))
        if values and len(values) == 1:  # without a list: there are some thirty of them in an entry
            try:
                return values[0].decode()
            except UnicodeDecodeError:
                raise self.unreadable(attribute, Phrase("is not UTF-8")) from None
        return self.all(attribute)[0] if values else ""

    def day(self, attribute: str, *, last: bool) -> date | None:
        text = self.one(attribute)
        return civil_day(text, self.encoding.timezone, last=last) if text else None

    def unreadable(self, attribute: str, why: str) -> UnreadableEntry:
        name = self.encoding.name(attribute)
        return UnreadableEntry(
            Phrase(
                "{dn}: {name} {why}; correct it by hand, then run again", dn=self.entry.dn, name=name, why=why
            )
        )

    def account(self) -> Account:
        attribute = ""
        try:
            attribute = "piactlState"
            state = State(self.one(attribute))
            attribute = "supannRessourceEtatDate"
            dates = self.one(attribute) or "::"
            begin, until = map(read_compact_day, dates.rsplit(":", 2)[-2:])
            attribute = "piactlAssignment"
            assignments = tuple(
                sorted(
                    map(read_assignment, self.all(attribute)),
                    key=lambda a: (a.start, a.uai, a.function, a.source),
                )
            )
            attribute = "piactlLock"
            lock = read_lock(self.one(attribute)) if self.one(attribute) else None
            attribute = "piactlException"
            exceptions = tuple(map(EXCEPTION.read, self.all(attribute)))
            attribute = "piactlOverride"
            overrides = tuple(map(OVERRIDE.read, self.all(attribute)))
            attribute = "piactlProofChanged"
            proof_changes = tuple(map(read_proof_change, self.all(attribute)))
            attribute = "piactlNextDue"
            next_due = read_compact_day(self.one(attribute))
            attribute = "supannEmpDateFin"
            ends = tuple(civil_day(t, self.encoding.timezone, last=True) for t in self.all(attribute))
            attribute = "pwdStartTime"
            login_from = self.day(attribute, last=False)
            attribute = "pwdEndTime"
            login_until = self.day(attribute, last=True)
        except ValueError as error:
            raise self.unreadable(attribute, Phrase("cannot be understood ({error})", error=error)) from None
        archived = state is State.ARCHIVED
        family = self.one("supannNomDeNaissance") or self.one("sn")
        surname = self.one("sn")
        main = self.one("supannEntiteAffectationPrincipale")
        identifiers = frozenset(self.all("piactlIdentifier"))
        aliases = frozenset(self.all("piactlAlias"))
        mails, uids = self.all("mail"), self.all("uid")
        posix = tuple(map(self.one, POSIX)) if self.encoding.posix else ()
        made = self.one(MADE) if self.one(_ENTRY_ID) else ""
        named = self.entry.dn.partition("=")[2].partition(",")[0].lower()
        own_uid = next((uid for uid in uids if uid.lower() == named), uids[0] if uids else "")
        address = _own_address(mails, identifiers, aliases)
        return Account(
            uid=own_uid,
            other_uids=frozenset(uids).difference((own_uid,)),
            matricule=self.one("supannEmpId") or None,
            matricule_digests=tuple(self.all("piactlMatriculeDigest")),
            further_matricules=tuple(self.all("piactlMatricule")),
            merged=self.one("piactlMergedInto"),
            numen_digest=self.one("piactlNumenDigest") or None,
            numen_verifier=self.one("piactlNumenVerifier") or None,
            identity_digest=self.one("piactlIdentityDigest") or None,
            birth_digest=self.one("piactlBirthDigest") or None,
            civilite=self.one("personalTitle"),
            family_name=PLACEHOLDER if archived else family,
            given_name=self.one("givenName"),
            usage_name="" if archived or surname == family else surname,
            private_mail=plain_mail(self.one("supannMailPrive")),
            address=address,
            aliases=aliases,
            other_mails=frozenset(mails).difference((address,)),
            identifiers=identifiers,
            state=state,
            state_from=begin,
            state_until=until,
            locked=self.one("supannRessourceEtat") == "{COMPTE}" + LOCKED_STATE,
            login_from=login_from,
            login_until=login_until,
            next_due=next_due,
            profiles=tuple(profile for profile in self.all("piactlProfile") if not _LOCAL.match(profile)),
            local_profiles=tuple(profile for profile in self.all("piactlProfile") if _LOCAL.match(profile)),
            affiliations=tuple(self.all("eduPersonAffiliation")),
            establishments=tuple(
                dict.fromkeys([*([main] if main else []), *self.all("supannEntiteAffectation")])
            ),
            corps=tuple(value.removeprefix("{NCORPS}") for value in self.all("supannEmpCorps")),
            ends=ends,
            unique_id=self.one(UNIQUE_ID) if self.encoding.unique_ids else "",
            posix=posix if any(posix) else (),
            entry_id=self.one(_ENTRY_ID).replace("-", ""),
            made_on=civil_day(made, self.encoding.timezone, last=False) if made else None,
            assignments=assignments,
            entitlements=self.encoding.rights(self.entry),
            lock=lock,
            exceptions=exceptions,
            overrides=overrides,
            protected=self.one("piactlProtected") == "TRUE",
            device=self.one("piactlDevice"),
            proof_changes=proof_changes,
        )


# ---- what the journal keeps of a write for `events`


_KINDS = frozenset(kind.value for kind in Kind if kind is not Kind.GROUP)
"""The kinds of changes of accounts; the members of groups follow from these."""


def event_facts(write: Write, as_of: date, names: Mapping[str, str], urn: str) -> dict[str, object]:
    """The facts of a write that other programs need to know; {} if they need none.

    `as_of` is the day of the run, `names` renames attributes, and `urn` is the beginning of
    the rights that are piactl's. The facts name only what the write changes: `state`, the services that are
    `added` and `removed`, the `old` and the `new` address.
    """
    if write.op == "delete":
        return {}

    def values(side: Values, attribute: str) -> set[str]:
        return {value.decode("utf-8", "replace") for value in side.get(names.get(attribute, attribute), ())}

    def changed(attribute: str) -> tuple[list[str], list[str]]:
        added, removed = values(write.add, attribute), values(write.delete, attribute)
        return sorted(added - removed), sorted(removed - added)

    state, services, mails = (changed(n) for n in ("piactlState", "eduPersonEntitlement", "mail"))
    added, removed = (
        [right.removeprefix(urn) for right in side if right.startswith(urn)] for side in services
    )
    facts: dict[str, object] = {
        "state": next(iter(state[0]), None),
        "added": added,
        "removed": removed,
        "new": next(iter(mails[0]), None),
        "old": next(iter(mails[1]), None),
    }
    known = {name: value for name, value in facts.items() if value}
    if not known and _KINDS.isdisjoint(write.kinds):
        return {}
    days = {kind: write.effective.get(kind, as_of).isoformat() for kind in write.kinds}
    return {"effective": days, **known}
