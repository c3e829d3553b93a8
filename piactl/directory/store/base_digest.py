"""The base of an account: short keyed digests of the managed values as piactl last wrote them.

It is on the account itself, and is renewed by every write of piactl. A value on the entry that has no
digest in the base was written by another program; a digest without a value is one that another program
removed.

The form is `{KEY}2$BASE64`, with the octets: 1 if the entryUUID is sealed, too, else 0 (it is not known when
an entry is added); the digest of all values together (8); the seal (16), a digest of the version, the name of
the entry, its entryUUID and everything else in the base; then the digests of single values (7 each). Each
begins with two octets made of the name of its attribute, so that a list of attributes that changes shifts no
meaning. An attribute without a value has zeros after its tag: it is known to have none. Nobody without the
key makes a base, changes one, or takes that of another entry.

The form before it, `{KEY}BASE64`, is not sealed. It is read until the first night of this version has sealed
all bases.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.plan.write import Values
from piactl.directory.dn import normal_dn

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
eduPersonEntitlement, only the values under piactl's own URN. Unsealed bases number the attributes by their
place here."""

MANAGED = tuple(FIELDS)

FIRST_LAYOUT = MANAGED[: MANAGED.index("supannCivilite")]
"""The attributes that piactl wrote before it wrote SUPANN and eduPerson as they are defined."""

POSIX = MANAGED[MANAGED.index("uidNumber") :]
"""The attributes that piactl writes only with `posix` of the policy."""

ATTRIBUTES = len(MANAGED) - len(POSIX)
"""The number of attributes that every directory of this version has."""

LAYOUT = ATTRIBUTES + 1
"""The form in which this version writes accounts. It grows with every version that changes the form: the last
step sealed the bases."""

WITNESSED = frozenset({"piactlDevice", "oathTOTPToken"})
"""The attributes that the help desk writes. They are in no base, which it may not renew: the journal and the
access log show who changed them."""

_NUMBERS = {name: number for number, name in enumerate(MANAGED)}
_CASELESS = frozenset({"uid", "mail", "piactlIdentifier", "piactlAlias"})
_WHOLE, _SEAL, _TAG, _DIGEST = 8, 16, 2, 5
_ITEM = _TAG + _DIGEST
_OLD_WHOLE, _OLD_ITEM = 6, 5
_NONE = bytes(_DIGEST)
TAGS = {name: blake2b(name.encode(), digest_size=_TAG).digest() for name in MANAGED}
"""The octets that begin the digests of each attribute's values."""
_MARK = b"2$"


@dataclass(frozen=True, slots=True)
class Base:
    """`whole` is the digest of all values together, zeros if the entry had changes of another program when
    the base was written. `packed` has the digests of single values, each after the tag of its attribute, and
    zeros after the tags of attributes without values; in an unsealed base, which has `known` attributes from
    the first one on, only the digests. `bound`: the entryUUID is sealed, too. `seal` is b"" in the form
    before seals. Few bases are looked at item by item."""

    key: str
    whole: bytes
    packed: bytes
    bound: bool = False
    seal: bytes = b""
    known: int = len(MANAGED)

    def text(self) -> bytes:
        body = bytes([self.bound]) + self.whole + self.seal + self.packed
        return b"{%b}%b%b" % (self.key.encode(), _MARK, base64.b64encode(body))

    @property
    def items(self) -> frozenset[bytes]:
        """The digests of single values, each after the tag of its attribute."""
        return frozenset(item for item in self._all() if not self.seal or item[_TAG:] != _NONE)

    @property
    def tags(self) -> frozenset[bytes]:
        """The tags of all attributes that are in the base."""
        if self.seal:
            return frozenset(item[:_TAG] for item in self._all())
        return frozenset(bytes([number]) for number in range(self.known))

    def _all(self) -> list[bytes]:
        size = _ITEM if self.seal else _OLD_ITEM
        return [self.packed[offset : offset + size] for offset in range(0, len(self.packed), size)]


def is_sealed(text: bytes) -> bool:
    """Whether a value has the form of a sealed base; its seal is not checked."""
    return text.partition(b"}")[2].startswith(_MARK)


@lru_cache(maxsize=4)
def read_base(text: bytes) -> Base | None:
    """The base in a value, its seal not checked; None if the value is not a base."""
    key, brace, body = text.removeprefix(b"{").partition(b"}")
    sealed = body.startswith(_MARK)
    try:
        decoded = base64.b64decode(body.removeprefix(_MARK), validate=True)
        name = key.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    size, first = (_ITEM, 1 + _WHOLE + _SEAL) if sealed else (_OLD_ITEM, 1 + _OLD_WHOLE)
    if not brace or len(decoded) < first or (len(decoded) - first) % size:
        return None
    if not sealed:
        return Base(name, decoded[1:first], decoded[first:], known=min(decoded[0], len(MANAGED)))
    whole, seal = decoded[1 : 1 + _WHOLE], decoded[1 + _WHOLE : first]
    return Base(name, whole, decoded[first:], decoded[0] == 1, seal)


class Digesting:
    """Makes the digests of values under one key for one entry; `names` are the attributes by their names in
    the directory, each with its default name. `uuid` is the entryUUID, b"" if it is not known. With `sealed`
    False the digests are those of the form before seals."""

    def __init__(
        self, secret: bytes, dn: str, names: Mapping[str, str], uuid: bytes = b"", *, sealed: bool = True
    ) -> None:
        self._secret, self._names, self._sealed, self._bound = secret, names, sealed, bool(uuid)
        # nobody may see that two entries have equal values
        self._entry = dn.partition(",")[0].lower().encode() + b"\0"
        self._identity = (normal_dn(dn).encode(), uuid)

    def whole(self, values: Values) -> bytes:
        parts = [*self._identity, ",".join(self._names).encode()] if self._sealed else [self._entry]
        for name in self._names:
            if texts := values.get(name):
                parts += (b"\0\0", name.encode(), *texts)
        size = _WHOLE if self._sealed else _OLD_WHOLE
        return blake2b(b"\0".join(parts), key=self._secret, digest_size=size).digest()

    def sealed(self, key: str, whole: bytes, items: Iterable[bytes]) -> Base:
        """The sealed base with these digests."""
        some = {*items}
        empty = {self.tag(name) for name in self._names} - {item[:_TAG] for item in some}
        packed = b"".join(sorted([*some, *(tag + _NONE for tag in empty)]))
        base = Base(key, whole, packed, self._bound)
        return replace(base, seal=self.seal(base))

    def seal(self, base: Base) -> bytes:
        parts = (_MARK, base.key.encode(), *self._identity, base.whole, base.packed)
        return blake2b(b"\0".join(parts), key=self._secret, digest_size=_SEAL).digest()

    def tag(self, name: str) -> bytes:
        """The tag of an attribute, by its name in the directory."""
        default = self._names[name]
        return TAGS[default] if self._sealed else bytes([_NUMBERS[default]])

    def item(self, name: str, value: bytes) -> bytes:
        (item,) = self.items({name: (value,)})
        return item

    def items(self, values: Values) -> frozenset[bytes]:
        """The digests of single values, each after the tag of its attribute."""
        size = _DIGEST if self._sealed else _OLD_ITEM - 1
        begun, names = blake2b(self._entry, key=self._secret, digest_size=size).copy, self._names
        digests = []
        for name, texts in values.items():
            default = names.get(name)
            if default is None:
                continue
            head = default.encode() if self._sealed else b"%d" % _NUMBERS[default]
            if default in _CASELESS:
                texts = tuple(text.lower() for text in texts)
            elif default == "piactlAssignment":  # the last field, the row of the assignment, may change
                texts = tuple(text.rpartition(b"$")[0] for text in texts)
            tag = self.tag(name)
            for text in texts:
                digest = begun()
                digest.update(head + b"\0" + text)
                digests.append(tag + digest.digest())
        return frozenset(digests)


@dataclass(frozen=True)
class BaseKeys:
    """The keys of bases, and the default names of the attributes by their names in this directory."""

    current: str
    secrets: Mapping[str, bytes]
    names: Mapping[str, str]

    def read(self, text: bytes) -> Base | None:
        """The base in a value, its seal not checked; None if it is not a base, or its key is not known."""
        base = read_base(text) if text else None
        return base if base is not None and base.key in self.secrets else None

    def digesting(self, base: Base, dn: str, uuid: bytes) -> Digesting:
        uuid, sealed = uuid if base.bound else b"", bool(base.seal)
        return Digesting(self.secrets[base.key], dn, self.names, uuid, sealed=sealed)

    def fresh(self, dn: str, values: Values, uuid: bytes = b"") -> bytes:
        """The base of an entry that has exactly these managed values, all of them piactl's."""
        digesting = Digesting(self.secrets[self.current], dn, self.names, uuid)
        return digesting.sealed(self.current, digesting.whole(values), digesting.items(values)).text()

    def after(
        self,
        dn: str,
        uuid: bytes,
        values: Values,
        foreign: Mapping[str, Collection[bytes]],
        lost: Iterable[bytes],
        stored: bytes = b"",
    ) -> bytes:
        """The base of an entry with these managed values once piactl has written it. The `foreign` ones are
        of another program, and values of which the base that was `stored` has these digests are `lost`: both
        stay differences."""
        lost, base = frozenset(lost), self.read(stored)
        if base is None or not (lost or any(foreign.values())):
            return self.fresh(dn, values, uuid)
        # under the same key, because of a lost value only the digest is known
        digesting = Digesting(self.secrets[base.key], dn, self.names, uuid)
        own = {n: tuple(v for v in some if v not in foreign.get(n, ())) for n, some in values.items()}
        items = {*digesting.items(own), *(item if base.seal else self._resealed(item) for item in lost)}
        return digesting.sealed(base.key, bytes(_WHOLE), items).text()

    def _resealed(self, item: bytes) -> bytes:
        """The digest of a lost value of an unsealed base as one of a sealed base, which no value matches."""
        return (TAGS[MANAGED[item[0]]] + item[1:]).ljust(_ITEM, b"\1")

    def is_fresh(self, stored: bytes, dn: str, uuid: bytes, values: Values) -> bool:
        """Whether the base, which shows no drift of these values, is sealed under the current key and has all
        attributes."""
        base = self.read(stored)
        if base is None or not base.seal or base.key != self.current:
            return False
        if base.whole == self.digesting(base, dn, uuid).whole(values):
            return True
        return {TAGS[default] for default in self.names.values()} <= base.tags


def base_keys(keys: DigestKeys, name: Mapping[str, str], unmanaged: Container[str] = ()) -> BaseKeys:
    """The keys of the bases of a directory. `name` maps default names of attributes to those of the
    directory. `unmanaged` are the attributes of MANAGED that piactl leaves to others there, by their default
    names."""
    secrets = {key: hmac.digest(secret, b"base of an account", "sha256") for key, secret in keys.keys.items()}
    names = {
        name.get(attribute, attribute): attribute
        for attribute in MANAGED
        if attribute not in unmanaged and attribute not in WITNESSED
    }
    return BaseKeys(keys.current, secrets, names)
