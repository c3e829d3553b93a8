"""Compares an entry with its base: what another program added, and of which removed values only the digest is
known.

A removed value is known again if the rules want it today (see `drift_by_rules`). Nothing else is tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.account import LOST_DAY, PROOFS, Lock, State, masked_mail
from piactl.core.model.person import Person
from piactl.core.model.settings import DirectorySettings, IdentityName
from piactl.core.plan.drift import Drift, DriftClass, DriftFate
from piactl.core.plan.write import Values
from piactl.directory import filters
from piactl.directory.dn import under
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.attribute_values import lock_text
from piactl.directory.store.base_digest import BaseKeys, Digesting
from piactl.directory.store.record_entries import DATA
from piactl.phrase import Phrase

DEVICE_CLASS = "oathTOTPToken"
ANY_DEVICE = filters.equals("objectClass", DEVICE_CLASS)
_ADDING_DEVICES = (IdentityName.DESK, IdentityName.ADMINISTRATOR)

NAMES = frozenset({"uid", "mail", "piactlAlias", "piactlIdentifier"})
"""Names and addresses: another one stays until an administrator decides, because it may be in use."""
_SHOWN = frozenset(
    {
        "cn", "sn", "givenName", "displayName", "personalTitle", "supannNomDeNaissance", "supannEmpCorps",
        "piactlNextDue", "supannCivilite", "supannEmpDateFin",
    }
)  # fmt: skip
"""How a person is shown."""
_GIVES = frozenset(
    {
        "eduPersonEntitlement", "supannMailPrive", "supannEntiteAffectation", "piactlProfile",
        "supannEntiteAffectationPrincipale", "supannEtablissement", "eduPersonAffiliation",
        "piactlAssignment",
    }
)  # fmt: skip
"""A value gives access, and its loss takes it away."""
_TAKES = frozenset({"piactlLock", "piactlProofChanged", "piactlProtected"})
"""A value takes access away, and its loss gives it."""
_STATE = frozenset({"supannRessourceEtat", "supannRessourceEtatDate", "piactlState"})
DATES = frozenset({"pwdStartTime", "pwdEndTime"})
HR_DATA = {
    "sn": "usage_name", "givenName": "given_name", "personalTitle": "civilite",
    "supannNomDeNaissance": "family_name", "supannMailPrive": "private_mail", "piactlNumenDigest": "numen",
    "piactlIdentityDigest": "birth_date", "piactlBirthDigest": "birth_date",
}  # fmt: skip
"""Attributes whose values only the entry holds until a feed repeats them, each with the field of a Person."""
FACTS = frozenset(
    {
        "piactlAssignment", "piactlException", "piactlOverride", "piactlMatricule", "piactlMergedInto",
    }
)  # fmt: skip
"""Attributes that the rules need."""
_REQUIRED = frozenset({"sn", "givenName", "personalTitle", "supannNomDeNaissance"})
"""Data of HR that nobody else knows, and that no entry is without."""
MULTIPLE = frozenset(
    {
        "eduPersonEntitlement", "supannEntiteAffectation", "supannEmpCorps", "piactlProfile",
        "supannEtablissement", "supannEmpDateFin", "eduPersonAffiliation",
        "piactlAssignment", "piactlException", "piactlOverride", "piactlProofChanged", "piactlMatricule",
        "piactlMatriculeDigest",
    }
)  # fmt: skip
PROPERLY = {
    "eduPersonEntitlement": "piactl exception grant",
    "piactlException": "piactl exception grant",
    "piactlAssignment": "piactl assignment add",
    "piactlOverride": "piactl assignment add",
    "piactlLock": "piactl account lock",
}
"""The proper command for what another program wrote into an attribute."""
_DIGESTS = frozenset(
    {
        "piactlMatriculeDigest", "piactlNumenDigest", "piactlNumenVerifier", "piactlIdentityDigest",
        "piactlBirthDigest",
    }
)  # fmt: skip

LOST_LOCK = Lock(LOST_DAY, None, "piactl", Phrase("another program removed the lock, whose words are lost"))
LOST_END = Lock(LOST_DAY, None, "piactl", Phrase("another program removed the end, which is not known here"))


@dataclass(frozen=True, slots=True)
class Drifted:
    """What another program changed on one entry. `added` are the values that are not piactl's, `gone` the
    digests of piactl's values that are not there, both by the `names` of attributes in the directory, which
    map to the default ones. `baseless`: piactl made no base that the entry has, so nothing else is known.

    The rest follows from what the rules want: `found` are those values among the removed ones, `rows` say
    what becomes of each change, `unknown` are the attributes that the rules need and that lost a value that
    is not known. `settles`: the next write decides everything.
    """

    names: Mapping[str, str]
    added: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    gone: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    digesting: Digesting | None = None
    found: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    rows: tuple[Drift, ...] = ()
    unknown: tuple[str, ...] = ()
    settles: bool = False

    @property
    def baseless(self) -> bool:
        return self.digesting is None

    @property
    def changed(self) -> list[str]:
        """The changed attributes, in the order of the base."""
        return [name for name in self.names if name in self.added or name in self.gone]

    @property
    def staying(self) -> frozenset[str]:
        """The attributes with a change that the next write does not take back."""
        return frozenset(row.attribute for row in self.rows if row.fate != DriftFate.REVERTED)

    @property
    def kept(self) -> tuple[str, ...]:
        """The attributes that stay as they are on the entry although the account has other values."""
        stops = DATES | _STATE
        return tuple(
            row.attribute
            for row in self.rows
            if row.fate == DriftFate.KEPT
            or (row.fate == DriftFate.WAITS and self.names.get(row.attribute) in stops)
        )

    def is_complete(self, name: str) -> bool:
        """Whether every removed value of an attribute is known."""
        return len(self.found.get(name, ())) == len(self.gone.get(name, ()))

    def matching(self, name: str, candidates: Collection[bytes]) -> tuple[bytes, ...]:
        """Those among some values of an attribute that were removed."""
        gone, found = self.gone.get(name, frozenset()), dict[bytes, bytes]()
        if gone and self.digesting is not None:
            for value in candidates:
                item = self.digesting.item(name, value)
                if item in gone:
                    found.setdefault(item, value)
        return tuple(found.values())

    def closing(self, name: str) -> tuple[bytes, ...]:
        """The added values that can only take access away. They count until somebody decides: nothing is
        loosened because piactl did not write a value."""
        default, replaced = self.names[name], name in self.gone and self.names[name] not in MULTIPLE
        if self.settles or replaced:
            return ()
        return tuple(value for value in self.added.get(name, ()) if _only_closes(default, value))

    def believed(self, values: Values, as_of: date | None = None) -> dict[str, tuple[bytes, ...]]:
        """The managed values of the account that piactl relies on, given those of its entry. `as_of`: the day
        on which proofs of identity count as changed, if their days were removed."""
        result = dict(values)
        for name in self.changed:
            result[name] = tuple(sorted({*self._own(name, values.get(name, ()), as_of)}))
        return {name: some for name, some in result.items() if some}

    def _own(self, name: str, there: Sequence[bytes], as_of: date | None) -> Sequence[bytes]:
        default, added, back = self.names[name], self.added.get(name, ()), self.found.get(name, ())
        if default in NAMES and not self.settles:
            # the ledger of names never shrinks
            return (*there, *(back if not added or default == "piactlIdentifier" else ()))
        if default == "piactlProtected" and not (added and self.settles):
            return there if added else (b"TRUE",)
        lost = not self.is_complete(name)
        # the salt of a new digest is read from the former one
        stays = default in (_REQUIRED if self.settles else HR_DATA) and default != "piactlBirthDigest"
        if lost and stays:
            return there
        closing = self.closing(name)
        own = [*(value for value in there if value not in added or value in closing), *back]
        if default == "piactlState":
            own += self.matching(name, [state.value.encode() for state in State])
        elif default == "piactlLock" and lost and not own:
            own = [lock_text(LOST_LOCK).encode()]
        elif default == "piactlProofChanged" and lost and as_of is not None:
            own += (f"{proof} {as_of}".encode() for proof in PROOFS)
        return own

    def with_theirs(self, values: Values, entry: Values) -> dict[str, tuple[bytes, ...]]:
        """These desired values, with the changes of another program that stay on the `entry` although the
        account has other values."""
        result = dict(values)
        for name in self.kept:
            added, gone = self.added.get(name, ()), self.matching(name, values.get(name, ()))
            remaining = [value for value in values.get(name, ()) if value not in gone]
            single = added and self.names[name] not in MULTIPLE
            result[name] = entry[name] if single else tuple(sorted({*remaining, *added}))
        return {name: some for name, some in result.items() if some}


def compare(keys: BaseKeys, dn: str, uuid: bytes, values: Values, stored: bytes) -> Drifted | None:
    """What another program changed on an entry with these managed values and this base; None if nothing.
    A missing base is a change, too, as is one that piactl did not make for this entry."""
    base = keys.read(stored)
    if base is None:
        return Drifted(keys.names)
    digesting = keys.digesting(base, dn, uuid)
    # nobody without the key knows the digest of all values, so the seal need not be looked at
    if base.whole == digesting.whole(values):
        return None
    if base.seal and base.seal != digesting.seal(base):
        return Drifted(keys.names)
    tags = {name: digesting.tag(name) for name in keys.names}
    # attributes that piactl manages by now, and that the base does not have
    new = {name: values[name] for name, tag in tags.items() if tag not in base.tags and name in values}
    known = base.items | digesting.items(new)
    lost, added = known - digesting.items(values), dict[str, tuple[bytes, ...]]()
    for name in keys.names:
        added[name] = tuple(v for v in values.get(name, ()) if digesting.item(name, v) not in known)
    gone = {name: frozenset(i for i in lost if i.startswith(tag)) for name, tag in tags.items()}
    gone = {name: items for name, items in gone.items() if items}
    added = {name: some for name, some in added.items() if some}
    return Drifted(keys.names, added, gone, digesting) if added or gone else None


def _only_closes(name: str, value: bytes) -> bool:
    """Whether a value that an account has can only take access away: a lock, a denial, a close or an end, the
    day of a changed proof, the mark of a merge."""
    if name == "piactlException":
        return value.startswith(b"deny$")
    if name == "piactlOverride":
        return value.startswith((b"close$", b"end$"))
    return name in ("piactlLock", "piactlProofChanged", "piactlMergedInto")


def class_of(
    name: str, theirs: Sequence[bytes], ours: Sequence[bytes], wanted: Sequence[bytes], *, lost: bool
) -> DriftClass:
    """The class of a change: `theirs` were added, `ours` removed, as far as they are known; `lost`: something
    was removed. `wanted` are the values that the rules want."""
    if name in _SHOWN:
        return DriftClass.PRESENTATION
    if name in NAMES:
        return DriftClass.IDENTITY if theirs else DriftClass.PRESENTATION
    if name in ("eduPersonPrincipalName", "piactlNumenVerifier") and not theirs:
        return DriftClass.PRESENTATION
    if name in DATES and theirs:
        narrower = not wanted or (theirs[0] > wanted[0]) == (name == "pwdStartTime")
        return DriftClass.TIGHTENING if narrower else DriftClass.LOOSENING
    takes = (
        (name in _GIVES and not theirs)
        or (name in _TAKES and not lost)
        or (name in _STATE and theirs and any(map(_is_open, wanted)) and not any(map(_is_open, theirs)))
        or (name == "piactlException" and not theirs and all(v.startswith(b"grant$") for v in ours or [b""]))
    )
    return DriftClass.TIGHTENING if takes else DriftClass.LOOSENING


def _is_open(state: bytes) -> bool:
    closed = (State.DEACTIVATED.value, State.ARCHIVED.value)
    return state.decode() not in closed and not state.startswith((b"{COMPTE}I", b"{COMPTE}S"))


def rows_of(
    drift: Drifted, values: Values, wanted: Values, kept: Collection[str], person: Person | None
) -> Iterator[Drift]:
    """What becomes of each change of an entry with these `values`. `wanted` are the values that the rules
    want, `kept` the attributes that stay as an administrator decided; `person` has the data that HR has just
    stated again."""
    for name in drift.changed:
        default, closing, back = drift.names[name], drift.closing(name), drift.found.get(name, ())
        theirs = tuple(value for value in drift.added.get(name, ()) if value not in closing)
        if closing:
            yield _row(name, default, DriftClass.TIGHTENING, (), closing, DriftFate.WAITS)
        if not theirs and name not in drift.gone:
            continue
        lost = not drift.is_complete(name)
        sort = class_of(default, theirs, back, wanted.get(name, ()), lost=name in drift.gone)
        if drift.settles:
            fate = DriftFate.REVERTED
        elif name in kept and sort is not DriftClass.LOOSENING:
            fate = DriftFate.KEPT
        elif (
            sort is DriftClass.IDENTITY
            or default == "piactlProtected"
            or (sort is DriftClass.TIGHTENING and default in DATES | _STATE)
        ):
            fate = DriftFate.WAITS
        elif lost and (default in FACTS or (default in HR_DATA and not _states(person, HR_DATA[default]))):
            fate = DriftFate.UNKNOWN
        else:
            fate = DriftFate.REVERTED
        differs = back or (lost and default in _TAKES) or values.get(name, ()) != wanted.get(name, ())
        if differs or fate is not DriftFate.REVERTED:
            yield _row(name, default, sort, (*back, *([b"?"] if lost else [])), theirs, fate)


def _states(person: Person | None, field: str) -> bool:
    return person is not None and field not in person.silent and getattr(person, field) is not None


def _row(
    name: str,
    default: str,
    drift_class: DriftClass,
    ours: Sequence[bytes],
    theirs: Sequence[bytes],
    fate: DriftFate,
) -> Drift:
    former, new = (tuple(_shown(default, value) for value in some) for some in (ours, theirs))
    return Drift("", name, drift_class.value, former, new, fate.value)


def _shown(name: str, value: bytes) -> str:
    if name in _DIGESTS:
        return Phrase("another value")
    text = value.decode("utf-8", "replace")
    return masked_mail(text) or "" if name == "supannMailPrive" else text


def _adders(settings: DirectorySettings) -> list[str]:
    """The identities of piactl, below which are those of other hosts; none if the configuration does not name
    those that add devices."""
    own = {name: identity.dn for name, identity in settings.identities.items() if identity.dn}
    return list(own.values()) if own.keys() >= {*_ADDING_DEVICES} else []


def foreign_devices(settings: DirectorySettings) -> list[str]:
    """The filter of the devices that no identity of piactl added; none if the configuration does not name the
    identities that add devices."""
    ours = _adders(settings)
    return [filters.none_of(*(filters.equals("creatorsName", dn) for dn in ours))] if ours else []


def is_foreign_device(raw: RawEntry, settings: DirectorySettings) -> bool:
    """Whether no identity of piactl, of this host or another one, added a device, read with its
    creatorsName."""
    ours = _adders(settings)
    return bool(ours) and not any(under(raw.text("creatorsName"), dn) for dn in ours)


def read_foreign_devices(reader: Reader, settings: DirectorySettings, base: str = "") -> Iterator[RawEntry]:
    """The devices below the accounts, or below one (a DN), that no identity of piactl added; each with what a
    deletion asserts."""
    for query in foreign_devices(settings):
        devices = filters.all_of(ANY_DEVICE, query)
        for raw in reader.search(base or settings.accounts, devices, [DATA, "creatorsName"]):
            if is_foreign_device(raw, settings):
                yield raw
