"""The base of an account: short keyed digests of the managed values as piactl last wrote them.

It is on the account itself, and is renewed by every write of piactl. A value on the entry that has no
digest in the base was written by another program; a digest without a value is one that another program
removed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Container, Iterable, Mapping
from functools import cached_property, lru_cache
from hashlib import blake2b

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.dataclass import dataclass
from piactl.directory.port import EntryWrite, Values

BASE = "piactlDigest"
_NAME = ("given_name", "family_name", "usage_name")
_LINK = ("device", "state", "locked")

FIELDS: Mapping[str, tuple[str, ...]] = {
    "uid": ("uid", "other_uids"),
    "cn": _NAME,
    "sn": _NAME,
    "givenName": _NAME,
    "displayName": _NAME,
    "personalTitle": ("civilite",),
    "mail": ("address", "other_mails"),
    "eduPersonPrincipalName": ("uid", "state"),
    "eduPersonEntitlement": ("entitlements",),
    "supannEmpId": ("matricule",),
    "supannNomDeNaissance": ("family_name",),
    "supannMailPrive": ("private_mail",),
    "supannEntiteAffectation": ("establishments",),
    "supannEntiteAffectationPrincipale": ("establishments",),
    "supannEmpCorps": ("corps",),
    "supannRessourceEtat": ("state", "locked"),
    "supannRessourceEtatDate": ("state", "locked", "state_from", "state_until"),
    "pwdStartTime": ("login_from",),
    "pwdEndTime": ("login_until",),
    "piactlState": ("state",),
    "piactlIdentifier": ("identifiers",),
    "piactlAlias": ("aliases",),
    "piactlMatriculeDigest": ("matricule_digests",),
    "piactlNumenDigest": ("numen_digest",),
    "piactlNumenVerifier": ("numen_verifier",),
    "piactlProofChanged": ("proof_changes",),
    "piactlNextDue": ("next_due",),
    "piactlProfile": ("profiles", "local_profiles"),
    "piactlAssignment": ("assignments",),
    "piactlLock": ("lock",),
    "piactlException": ("exceptions",),
    "piactlOverride": ("overrides",),
    "piactlProtected": ("protected",),
    "piactlDevice": ("device",),
    "oathTOTPToken": _LINK,
    "piactlMatricule": ("further_matricules",),
    "piactlMergedInto": ("merged",),
    "piactlIdentityDigest": ("identity_digest",),
    "piactlBirthDigest": ("birth_digest",),
    "supannCivilite": ("civilite",),
    "supannEtablissement": ("establishments",),
    "supannEmpDateFin": ("ends",),
    "eduPersonAffiliation": ("affiliations",),
    "eduPersonUniqueId": ("unique_id",),
    "uidNumber": ("posix",),
    "gidNumber": ("posix",),
    "homeDirectory": ("posix",),
    "loginShell": ("posix",),
}
"""Every attribute that piactl writes, with the fields of an account that it is made of; of
eduPersonEntitlement, only the values under piactl's own URN. Bases number the attributes by their place here:
a new one goes to the end, and none is ever removed."""

MANAGED = tuple(FIELDS)

FIRST_LAYOUT = MANAGED[: MANAGED.index("supannCivilite")]
"""The attributes that piactl wrote before it wrote SUPANN and eduPerson as they are defined."""

POSIX = MANAGED[MANAGED.index("uidNumber") :]
"""The attributes that piactl writes only with `posix` of the policy."""

LAYOUT = len(MANAGED) - len(POSIX)
"""The number of attributes that every directory of this version has."""

_NUMBERS = {name: number for number, name in enumerate(MANAGED)}
_CASELESS = frozenset(
    map(_NUMBERS.__getitem__, ("uid", "mail", "piactlIdentifier", "piactlAlias", "oathTOTPToken"))
)
_ASSIGNMENT = _NUMBERS["piactlAssignment"]
_WHOLE, _ITEM = 6, 5
_TAGS = [(bytes([number]), b"%d\0" % number) for number in range(len(MANAGED))]
"""By the number of the attribute: the bytes before the digest of a value, and before the value when it is
digested."""


@dataclass(frozen=True, slots=True)
class Base:
    """`whole` is the digest of all values together, zeros if the entry had changes of another program when
    the base was written. `packed` are the digests of single values, sorted. `known` is the number of
    attributes, from the first on, that are in the base."""

    key: str
    known: int
    whole: bytes
    packed: bytes

    @property
    def items(self) -> frozenset[bytes]:
        """The digests of single values, each after the number of its attribute."""
        packed = self.packed
        return frozenset([packed[offset : offset + _ITEM] for offset in range(0, len(packed), _ITEM)])

    def text(self) -> bytes:
        body = bytes([self.known]) + self.whole + self.packed
        return b"{%b}%b" % (self.key.encode(), base64.b64encode(body))


def packed(items: Iterable[bytes]) -> bytes:
    return b"".join(sorted(items))


@lru_cache(maxsize=4)
def read_base(text: bytes) -> Base | None:
    """The base in a value; None if the value is not a base."""
    key, brace, body = text.removeprefix(b"{").partition(b"}")
    try:
        decoded = base64.b64decode(body, validate=True)
        name = key.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    items = decoded[1 + _WHOLE :]
    if not brace or len(decoded) < 1 + _WHOLE or len(items) % _ITEM:
        return None
    return Base(name, decoded[0], decoded[1 : 1 + _WHOLE], items)


class Digesting:
    """Makes the digests of values under one key for one entry. `names` are the attributes by their names in
    the directory."""

    def __init__(self, secret: bytes, dn: str, names: Mapping[str, int]) -> None:
        self._secret, self._names = secret, names
        # nobody may see that two entries have equal values
        self._entry = dn.partition(",")[0].lower().encode() + b"\0"
        self._begun = blake2b(self._entry, key=secret, digest_size=_ITEM - 1)

    def whole(self, values: Values) -> bytes:
        parts = [self._entry]
        for name in self._names:
            if texts := values.get(name):
                parts += (b"\0\0", name.encode(), *texts)
        return blake2b(b"\0".join(parts), key=self._secret, digest_size=_WHOLE).digest()

    def item(self, name: str, value: bytes) -> bytes:
        (item,) = self.items({name: (value,)})
        return item

    def items(self, values: Values) -> frozenset[bytes]:
        """The digests of single values, each after the number of its attribute."""
        begun, numbers = self._begun.copy, self._names
        digests = []
        for name, texts in values.items():
            number = numbers.get(name)
            if number is None:
                continue
            tag, head = _TAGS[number]
            if number in _CASELESS:
                texts = tuple(text.lower() for text in texts)
            elif number == _ASSIGNMENT:  # the last field, the feed row of the assignment, may change
                texts = tuple(text.rpartition(b"$")[0] for text in texts)
            for text in texts:
                digest = begun()
                digest.update(head + text)
                digests.append(tag + digest.digest())
        return frozenset(digests)


@dataclass(frozen=True)
class BaseKeys:
    """The keys of bases, and the numbers of the attributes by their names in this directory."""

    current: str
    secrets: Mapping[str, bytes]
    names: Mapping[str, int]
    known: int = len(MANAGED)
    """How many attributes, from the first on, the bases of this directory have."""

    def digesting(self, dn: str, key: str = "") -> Digesting:
        return Digesting(self.secrets[key or self.current], dn, self.names)

    def read(self, text: bytes) -> Base | None:
        """The base in a value; None if the value is not a base, or its key is not known."""
        base = read_base(text) if text else None
        return base if base is not None and base.key in self.secrets else None

    def fresh(self, dn: str, values: Values) -> bytes:
        """The base of an entry that has exactly these managed values, all of them piactl's."""
        digesting = self.digesting(dn)
        return Base(self.current, self.known, digesting.whole(values), packed(digesting.items(values))).text()

    def after(
        self,
        dn: str,
        values: Values,
        stored: bytes,
        write: EntryWrite,
        agreed: Collection[str] = (),
        kept_attributes: Collection[str] = (),
    ) -> bytes:
        """The base after piactl has written the entry, which had these managed values and this base. A change
        of another program that this write does not change stays a difference, unless it is `agreed`; so do
        the values of `kept_attributes` that are gone."""
        named = [name for name in self.names if name in values or name in write.add]
        result = {name: _written(values.get(name, ()), name, write) for name in named}
        base = self.read(stored)
        if base is None:
            return self.fresh(dn, result)
        old = self.digesting(dn, base.key)
        if old.items(values) == self.known_items(base, old, values):
            return self.fresh(dn, result)
        settled = {self.names[name] for name in agreed}
        items = {item for item in self.known_items(base, old, values) if item[0] not in settled}
        items |= {old.item(name, value) for name in agreed for value in values.get(name, ())}
        for name in self.names:
            gone = values.get(name, ()) if write.delete.get(name) == () else write.delete.get(name, ())
            items -= {old.item(name, value) for value in gone}
            items |= {old.item(name, value) for value in write.add.get(name, ())}
            if name not in kept_attributes and (name in write.add or name in write.delete):
                here = {old.item(name, value) for value in result.get(name, ())}
                items -= {item for item in items if item[0] == self.names[name] and item not in here}
        if frozenset(items) == old.items(result):
            return self.fresh(dn, result)
        return Base(base.key, self.known, bytes(_WHOLE), packed(items)).text()

    def known_items(self, base: Base, digesting: Digesting, values: Values) -> frozenset[bytes]:
        """The digests of a base, without those of attributes that piactl no longer manages, and with those of
        attributes that the base does not know yet."""
        new = {
            name: values[name]
            for name, number in self.names.items()
            if number >= base.known and name in values
        }
        managed = self._managed
        items = base.items if len(managed) == len(MANAGED) else {i for i in base.items if i[0] in managed}
        return frozenset(items) | digesting.items(new) if new else frozenset(items)

    @cached_property
    def _managed(self) -> frozenset[int]:
        return frozenset(self.names.values())

    def is_fresh(self, base: Base | None) -> bool:
        """Whether the base is under the current key and has all attributes."""
        return base is not None and base.key == self.current and base.known == self.known


def _written(values: tuple[bytes, ...], name: str, write: EntryWrite) -> tuple[bytes, ...]:
    gone = write.delete.get(name)
    if not values:
        return tuple(sorted({*write.add.get(name, ())}))
    remaining = () if gone == () else tuple(v for v in values if v not in (gone or ()))
    return tuple(sorted({*remaining, *write.add.get(name, ())}))


def base_keys(keys: DigestKeys, name: Mapping[str, str], unmanaged: Container[str] = ()) -> BaseKeys:
    """The keys of the bases of a directory. `name` maps default names of attributes to those of the
    directory. `unmanaged` are the attributes of MANAGED that piactl leaves to others there, by their default
    names."""
    secrets = {key: hmac.digest(secret, b"base of an account", "sha256") for key, secret in keys.keys.items()}
    names = {
        name.get(attribute, attribute): n for attribute, n in _NUMBERS.items() if attribute not in unmanaged
    }
    return BaseKeys(keys.current, secrets, names, LAYOUT if POSIX[0] in unmanaged else len(MANAGED))


def numbers_of(items: Iterable[bytes]) -> dict[int, frozenset[bytes]]:
    """The digests by the number of their attribute."""
    digests: dict[int, set[bytes]] = {}
    for item in items:
        digests.setdefault(item[0], set()).add(item)
    return {number: frozenset(some) for number, some in digests.items()}
