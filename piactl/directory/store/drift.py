"""Compares an entry with its base: what another program changed, and which values piactl relies on.

Only digests are stored, so a value that is gone is found again by trial: among the values of the entry, the
days of some years, the services and profiles of the policy, and what the rules want.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from piactl.core.model.account import NO_DEVICE, PROOFS, Lock, State, masked_mail
from piactl.core.model.settings import DirectorySettings, IdentityName
from piactl.core.plan.drift import Drift, DriftClass, DriftFate
from piactl.directory import filters
from piactl.directory.dn import under
from piactl.directory.port import RawEntry, Reader, Values
from piactl.directory.store.attribute_values import lock_text
from piactl.directory.store.base_digest import BASE, POSIX, BaseKeys, Digesting
from piactl.directory.store.records import DATA

ANY_DEVICE = filters.equals("objectClass", "oathTOTPToken")
_ADDING_DEVICES = (IdentityName.DESK, IdentityName.ADMINISTRATOR)
_LOOSENING, _TIGHTENING = DriftClass.LOOSENING, DriftClass.TIGHTENING
_IDENTITY, _PRESENTATION = DriftClass.IDENTITY, DriftClass.PRESENTATION

CLASSES: Mapping[str, tuple[DriftClass, DriftClass]] = {
    "uid": (_IDENTITY, _IDENTITY),
    "cn": (_PRESENTATION, _PRESENTATION),
    "sn": (_PRESENTATION, _PRESENTATION),
    "givenName": (_PRESENTATION, _PRESENTATION),
    "displayName": (_PRESENTATION, _PRESENTATION),
    "personalTitle": (_PRESENTATION, _PRESENTATION),
    "mail": (_IDENTITY, _PRESENTATION),
    "eduPersonPrincipalName": (_LOOSENING, _PRESENTATION),
    "eduPersonEntitlement": (_LOOSENING, _TIGHTENING),
    "supannEmpId": (_LOOSENING, _LOOSENING),
    "supannNomDeNaissance": (_PRESENTATION, _PRESENTATION),
    "supannMailPrive": (_LOOSENING, _TIGHTENING),
    "supannEntiteAffectation": (_LOOSENING, _TIGHTENING),
    "supannEntiteAffectationPrincipale": (_LOOSENING, _TIGHTENING),
    "supannEmpCorps": (_PRESENTATION, _PRESENTATION),
    "supannRessourceEtat": (_LOOSENING, _LOOSENING),
    "supannRessourceEtatDate": (_LOOSENING, _LOOSENING),
    "pwdStartTime": (_LOOSENING, _LOOSENING),
    "pwdEndTime": (_LOOSENING, _LOOSENING),
    "piactlState": (_LOOSENING, _LOOSENING),
    "piactlIdentifier": (_IDENTITY, _LOOSENING),
    "piactlAlias": (_IDENTITY, _PRESENTATION),
    "piactlMatriculeDigest": (_LOOSENING, _LOOSENING),
    "piactlNumenDigest": (_LOOSENING, _LOOSENING),
    "piactlNumenVerifier": (_LOOSENING, _PRESENTATION),
    "piactlProofChanged": (_TIGHTENING, _LOOSENING),
    "piactlNextDue": (_PRESENTATION, _PRESENTATION),
    "piactlProfile": (_LOOSENING, _TIGHTENING),
    "piactlAssignment": (_LOOSENING, _TIGHTENING),
    "piactlLock": (_TIGHTENING, _LOOSENING),
    "piactlException": (_LOOSENING, _LOOSENING),
    "piactlOverride": (_LOOSENING, _LOOSENING),
    "piactlProtected": (_TIGHTENING, _LOOSENING),
    "piactlMatricule": (_LOOSENING, _LOOSENING),
    "piactlMergedInto": (_LOOSENING, _LOOSENING),
    "piactlIdentityDigest": (_LOOSENING, _LOOSENING),
    "piactlBirthDigest": (_LOOSENING, _LOOSENING),
    "supannCivilite": (_PRESENTATION, _PRESENTATION),
    "supannEtablissement": (_LOOSENING, _TIGHTENING),
    "supannEmpDateFin": (_PRESENTATION, _PRESENTATION),
    "eduPersonAffiliation": (_LOOSENING, _TIGHTENING),
    "eduPersonUniqueId": (_LOOSENING, _LOOSENING),
    **dict.fromkeys(POSIX, (_LOOSENING, _LOOSENING)),
}
"""The class of added or replaced values, and the class of values that are only gone; see `_class_of`."""

_FROM_HR = frozenset(
    {
        "sn", "givenName", "personalTitle", "supannNomDeNaissance", "supannMailPrive", "piactlNumenDigest",
        "piactlProofChanged", "piactlIdentityDigest", "piactlBirthDigest",
    }
)  # fmt: skip
"""Attributes whose values only the entry holds until a feed repeats them."""
_STORED = frozenset(
    {
        "piactlAssignment", "piactlException", "piactlOverride", "piactlMatricule", "piactlMergedInto",
    }
)  # fmt: skip
"""Attributes that the rules need: an account is held if a value of these is gone and unknown."""
_STANDS = frozenset(
    {"uid", "mail", "piactlAlias", "piactlIdentifier", "piactlProtected", "piactlProofChanged", "piactlLock"}
)
"""Attributes that the account has as they are on the entry, as long as their change waits or is kept."""
_MULTIPLE = frozenset(
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

Decide = Callable[[str, DriftClass], DriftFate]
"""Decides what becomes of another program's change of an attribute, by its class."""


def usual_fate(_attribute: str, drift_class: DriftClass) -> DriftFate:
    """The fate of a change before anybody has decided. A tightening is kept, because it may be an emergency
    stop; a new name waits, because it may be in use; everything else is reverted."""
    return {_TIGHTENING: DriftFate.KEPT, _IDENTITY: DriftFate.WAITS}.get(drift_class, DriftFate.REVERTED)


_LOCK = Lock(date(2000, 1, 1), None, "piactl", "another program removed the lock, whose words are lost")
_FIRST, _LAST = date(2015, 1, 1), date(2046, 1, 1)


@dataclass(frozen=True, slots=True)
class Drifted:
    """The drift of one entry. `believed` are the managed values that piactl relies on. `kept` are the
    attributes that stay as another program left them although the rules want other values; for an attribute
    in `multiple`, only the changed values stay. `unknown` are attributes that the rules need and that lost a
    value that is not known. `baseless`: another program removed the base, so nothing else is known. Names are
    those of the directory."""

    drift: tuple[Drift, ...]
    believed: Values
    kept: tuple[str, ...]
    unknown: tuple[str, ...]
    added: Mapping[str, tuple[bytes, ...]]
    gone: Mapping[str, frozenset[bytes]]
    multiple: Collection[str]
    digesting: Digesting
    baseless: bool = False

    def with_theirs(self, values: Values, entry: Values, known: Values) -> dict[str, tuple[bytes, ...]]:
        """These desired values, with the changes of another program that stay on the `entry`. Kept changes
        stay. While piactl's own value waits for the next feed, the values on the entry stay, unless other
        values are desired than those that the entry alone gives (`known`)."""
        result = dict(values)
        for name in self.kept:
            added, gone = self.added.get(name, ()), self.gone.get(name, frozenset())
            remaining = [v for v in values.get(name, ()) if self.digesting.item(name, v) not in gone]
            single = added and name not in self.multiple
            result[name] = entry[name] if single else tuple(sorted({*remaining, *added}))
        for drift in self.drift:
            name = drift.attribute
            if drift.fate == DriftFate.UNKNOWN and values.get(name) == known.get(name):
                result[name] = entry.get(name, ())
        return {name: some for name, some in result.items() if some}

    def found(self, values: Values) -> dict[str, tuple[bytes, ...]]:
        """The values among these that another program removed, by attribute."""
        removed_values = {
            name: tuple(v for v in values.get(name, ()) if self.digesting.item(name, v) in gone)
            for name, gone in self.gone.items()
        }
        return {name: some for name, some in removed_values.items() if some}


def drift_of(
    keys: BaseKeys,
    dn: str,
    uuid: bytes,
    values: Values,
    stored: bytes,
    trials: Trials,
    decide: Decide,
) -> Drifted | None:
    """The drift of an entry with these managed values and this base; None if there is none. The entry must
    have a base: a missing one is drift, as is one that piactl did not make for this entry."""
    base = keys.read(stored)
    if base is None:
        return _without_base(keys, dn, values, stored, trials.name(BASE), decide)
    if keys.matches(base, dn, uuid, values):
        return None
    if not keys.unbroken(base, dn, uuid):
        return _without_base(keys, dn, values, stored, trials.name(BASE), decide)
    digesting = keys.digesting(dn, uuid, base)
    here = digesting.items(values)
    known = keys.known_items(base, digesting, values)
    if here == known:
        return None
    lost_items = known - here
    tags = {name: digesting.tag(name) for name in keys.names}
    gone = {name: frozenset(i for i in lost_items if i.startswith(tag)) for name, tag in tags.items()}
    gone = {name: items for name, items in gone.items() if items}
    added = {
        name: tuple(v for v in values.get(name, ()) if digesting.item(name, v) not in known)
        for name in keys.names
    }
    added = {name: some for name, some in added.items() if some}
    drifts, kept_attributes, unknown = [], [], []
    for name in [*added]:
        replaced = name in gone and keys.names[name] not in _MULTIPLE
        closing = tuple(v for v in added[name] if _only_closes(keys.names[name], v) and not replaced)
        fate = decide(name, _IDENTITY) if closing else DriftFate.REVERTED
        if fate is not DriftFate.REVERTED:
            # nothing is loosened because the base lacks a value: it counts until somebody decides
            added[name] = tuple(value for value in added[name] if value not in closing)
            drifts.append(_drift(name, _TIGHTENING, (), closing, fate, keys.names[name]))
    added = {name: some for name, some in added.items() if some}
    believed: dict[str, tuple[bytes, ...]] = dict(values)
    for name in keys.names:
        if name not in added and name not in gone:
            continue
        default, injected, lost = keys.names[name], added.get(name, ()), gone.get(name, frozenset())
        back = trials.back(default, name, lost, digesting, values) if lost else ()
        complete = len(back) == len(lost)
        sort = _class_of(default, injected, back, complete)
        fate = decide(name, sort)
        if fate is DriftFate.KEPT and default == "piactlProtected":  # no run may write such an account
            fate = DriftFate.WAITS
        if fate is DriftFate.REVERTED and not complete and default in _FROM_HR | _STORED:
            fate = DriftFate.UNKNOWN
        if fate is DriftFate.KEPT and default not in _STANDS:
            kept_attributes.append(name)
        if not complete and default in _STORED and not (fate is DriftFate.KEPT and default in _STANDS):
            unknown.append(name)
        stands = fate is DriftFate.WAITS or (fate is DriftFate.KEPT and default in _STANDS)
        # the salt of a new digest is read from the former one
        believes = fate is DriftFate.UNKNOWN and default in _FROM_HR and default != "piactlBirthDigest"
        if not stands and not believes:
            ours = {*(v for v in values.get(name, ()) if v not in injected), *back}
            if default == "piactlLock" and not complete:
                ours = {lock_text(_LOCK).encode()}
            believed[name] = tuple(sorted(ours))
        elif default == "piactlIdentifier":  # the ledger never shrinks
            believed[name] = tuple(sorted({*values.get(name, ()), *back}))
        shown = (*back, *([b"?"] if not complete else []))
        drifts.append(_drift(name, sort, shown, injected, fate, default))
    believed = {name: some for name, some in believed.items() if some}
    stays = tuple(kept_attributes)
    return Drifted(tuple(drifts), believed, stays, tuple(unknown), added, gone, _multiple(keys), digesting)


def _drift(
    name: str,
    drift_class: DriftClass,
    ours: Iterable[bytes],
    theirs: Iterable[bytes],
    fate: DriftFate,
    default: str,
) -> Drift:
    former, new = (tuple(_shown(default, value) for value in some) for some in (ours, theirs))
    return Drift("", name, drift_class.value, former, new, fate.value)


def _only_closes(name: str, value: bytes) -> bool:
    """Whether a value that an account has can only take access away: a lock, a denial, a close or an end, the
    day of a changed proof, the mark of a merge."""
    if name == "piactlException":
        return value.startswith(b"deny$")
    if name == "piactlOverride":
        return value.startswith((b"close$", b"end$"))
    return name in ("piactlLock", "piactlProofChanged", "piactlMergedInto")


def _without_base(
    keys: BaseKeys, dn: str, values: Values, stored: bytes, name: str, decide: Decide
) -> Drifted | None:
    """The drift of an entry without a base that can be read. Nothing is put back: somebody decides, as about
    a name. If it is reverted, the entry counts as it is, and gets a new base."""
    fate = decide(name, _IDENTITY)
    if fate is DriftFate.REVERTED:
        return None
    theirs = ("another value",) if stored else ()
    drift = Drift("", name, _LOOSENING.value, ("?",), theirs, fate.value)
    multiple = _multiple(keys)
    return Drifted((drift,), values, (), (name,), {}, {}, multiple, keys.digesting(dn), baseless=True)


def _multiple(keys: BaseKeys) -> set[str]:
    return {name for name, default in keys.names.items() if default in _MULTIPLE}


def _class_of(name: str, added: Sequence[bytes], back: Sequence[bytes], complete: bool) -> DriftClass:
    adding, removing = CLASSES[name]
    theirs, ours = ([v.decode("utf-8", "replace") for v in some] for some in (added, back))
    if name in ("pwdStartTime", "pwdEndTime"):
        if not theirs or not complete:
            return _LOOSENING
        narrower = not ours or (theirs[0] > ours[0]) == (name == "pwdStartTime")
        return _TIGHTENING if narrower else _LOOSENING
    if name in ("supannRessourceEtat", "supannRessourceEtatDate", "piactlState") and theirs:
        return _LOOSENING if any(map(_is_open, theirs)) else _TIGHTENING
    if name == "piactlException":
        grants = any(not text.startswith("deny") for text in theirs)
        removed = [text for text in ours if text.startswith("grant")]
        return _LOOSENING if grants or not complete or len(removed) < len(ours) else _TIGHTENING
    if name in ("piactlLock", "piactlProofChanged") and (ours or not complete):
        return _LOOSENING
    return adding if added else removing


def _is_open(state: str) -> bool:
    closed = (State.DEACTIVATED.value, State.ARCHIVED.value)
    return state not in closed and not state.startswith(("{COMPTE}I", "{COMPTE}S"))


def _shown(name: str, value: bytes) -> str:
    if name in _DIGESTS:
        return "another value"
    text = value.decode("utf-8", "replace")
    return masked_mail(text) or "" if name == "supannMailPrive" else text


@dataclass(frozen=True)
class Trials:
    """Finds values by their digests. `midnights` gives a day as the directory stores it, `states` are all
    values that the state of an account can have there, `services` are the URNs of the services of the policy,
    `profiles` its profiles."""

    midnights: Callable[[date], str]
    name: Callable[[str], str]
    domain: str
    states: tuple[str, ...]
    services: tuple[str, ...]
    profiles: tuple[str, ...]
    matricule: Callable[[str], Iterable[str]]

    def back(
        self, name: str, attribute: str, lost: frozenset[bytes], digesting: Digesting, values: Values
    ) -> tuple[bytes, ...]:
        """The values with these digests that can be found."""
        texts: dict[bytes, bytes] = {}
        for text in self._texts(name, values):
            item = digesting.item(attribute, text)
            if item in lost and item not in texts:
                texts[item] = text
                if len(texts) == len(lost):
                    break
        return tuple(texts.values())

    def _texts(self, name: str, values: Values) -> Iterable[bytes]:
        if name in ("pwdStartTime", "pwdEndTime", "supannEmpDateFin"):
            return _days(self.midnights)
        if name == "eduPersonAffiliation":
            return (b"faculty", b"staff", b"employee", b"member", b"affiliate")
        if name in ("personalTitle", "supannCivilite"):
            return (b"M.", b"Mme", b"MME", b"M", b"MR", b"Mlle", b"MLLE")
        if name == "supannEtablissement":
            places = values.get(self.name("supannEntiteAffectation"), ())
            return (b"{UAI}" + place for place in places)
        if name == "piactlProofChanged":
            return (f"{proof} {day}".encode() for proof in PROOFS for day in _calendar())
        if name in ("piactlState", "supannRessourceEtat"):
            return (state.encode() for state in self.states)
        if name == "piactlProtected":
            return (b"TRUE",)
        if name == "piactlProfile":
            own = values.get(self.name("piactlAssignment"), ())
            uais = {post.partition(b"$")[0].decode("utf-8", "replace") + "_" for post in own}
            return (f"{uai}{profile}".encode() for uai in ("", *sorted(uais)) for profile in self.profiles)
        if name == "eduPersonEntitlement":
            posts = values.get(self.name("piactlAssignment"), ())
            ends = ("", *sorted({":" + post.partition(b"$")[0].decode("utf-8", "replace") for post in posts}))
            return (f"{urn}{end}".encode() for urn in self.services for end in ends)
        if name == "piactlMatriculeDigest":
            names = (self.name("supannEmpId"), self.name("piactlMatricule"))
            numbers = (v.decode("utf-8", "replace") for attribute in names for v in values.get(attribute, ()))
            return (text.encode() for number in numbers for text in self.matricule(number))
        return self._of_entry(values)

    def _of_entry(self, values: Values) -> Iterator[bytes]:
        """The values of the entry, their parts, and the addresses that follow from its uids."""
        yield NO_DEVICE.encode()
        for some in values.values():
            for value in some:
                yield value
                words = value.split(b" ") if len(value) < 200 else []
                for index in range(1, len(words)):
                    yield b" ".join(words[:index])
                    yield b" ".join(words[index:])
                if value.startswith(b"cn="):
                    yield value[3:].partition(b",")[0]
        for uid in values.get(self.name("uid"), ()):
            yield uid + b"@" + self.domain.encode()


@lru_cache(maxsize=2)
def _calendar() -> tuple[date, ...]:
    return tuple(_FIRST + timedelta(days=n) for n in range((_LAST - _FIRST).days))


@lru_cache(maxsize=4)
def _days(midnights: Callable[[date], str]) -> tuple[bytes, ...]:
    return tuple(midnights(day).encode() for day in (date(1970, 1, 1), date(1970, 1, 2), *_calendar()))


def read_foreign_devices(reader: Reader, settings: DirectorySettings, base: str = "") -> Iterator[RawEntry]:
    """The devices below the accounts, or below one (a DN), that no identity of piactl added; each with what a
    deletion asserts. None if the configuration does not name the identities that add devices."""
    ours = [identity.dn for identity in settings.identities.values() if identity.dn]
    if not all(name in settings.identities and settings.identities[name].dn for name in _ADDING_DEVICES):
        return
    others = filters.none_of(filters.any_of(*(filters.equals("creatorsName", dn) for dn in ours)))
    query = filters.all_of(ANY_DEVICE, others)
    for raw in reader.search(base or settings.accounts, query, [DATA, "creatorsName"]):
        # the identities of other hosts are below those of this one
        if not any(under(raw.text("creatorsName"), dn) for dn in ours):
            yield raw
