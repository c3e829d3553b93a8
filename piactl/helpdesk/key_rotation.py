"""The keys of the digests: which entries need which, and when an old one can be retired.

A new key is current at once on the host where it is made. Digests and sealed secrets under older keys
verify as long as those are in the file, and move to the current one when their value comes again:
matricules, NUMENs and birth dates in the next night with a feed, sealed secrets when a code is checked or
their key is retired. What is kept of an archived account can never move: no feed has its matricule any
more. So a key that archived accounts need stays for ever.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from piactl.core.acts import ActRefused
from piactl.core.model.account import State
from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.directory.store.base_digest import BASE, read_base
from piactl.directory.store.devices import device_change, read_all_devices, read_seal_keys
from piactl.directory.store.record_entries import (
    ATTEMPTS,
    DATA,
    IN_RECORD,
    WAITING,
    Places,
    UnreadableRecords,
)
from piactl.directory.store.state_records import read_waiting
from piactl.edits.account_store import AccountStore
from piactl.edits.carry_out_batch import Batch, PreparedAccount
from piactl.errors import NotFound
from piactl.otp_secret import sealed, unsealed
from piactl.phrase import Phrase, counted, joined

WHAT: Mapping[str, Callable[[int], Phrase]] = {
    "matricules": lambda n: counted(n, "matricule of an account", "matricules of accounts"),
    "archived": lambda n: counted(n, "matricule of an archived account", "matricules of archived accounts"),
    "numens": lambda n: counted(n, "NUMEN", "NUMENs"),
    "births": lambda n: counted(n, "digest of a birth date", "digests of birth dates"),
    "waiting": lambda n: counted(n, "person in waiting", "people in waiting"),
    "devices": lambda n: counted(n, "sealed secret of a device", "sealed secrets of devices"),
    "attempts": lambda n: counted(n, "count of identity checks", "counts of identity checks"),
    "bases": lambda n: counted(n, "base of an account", "bases of accounts"),
}
"""The kinds of values that need a key: the word of `key list`, and how so many are called."""


@dataclass(slots=True)
class Need:
    """What needs one key: numbers by the words of WHAT, and one of the entries."""

    counts: Counter[str] = field(default_factory=Counter)
    example: str = ""


def key_needs(reader: Reader, directory: DirectorySettings, unreadable: UnreadableRecords) -> dict[str, Need]:
    """What in the directory needs each key, by the id of the key; "" is the id for digests that name none."""
    needs = defaultdict[str, Need](Need)
    for kind, dn, key in _uses(reader, directory, unreadable):
        need = needs[key]
        need.counts[kind] += 1
        need.example = need.example or dn
    return needs


def _uses(
    reader: Reader, directory: DirectorySettings, unreadable: UnreadableRecords
) -> Iterator[tuple[str, str, str]]:
    birth = ("piactlIdentityDigest", "piactlBirthDigest")
    digests = ("piactlMatriculeDigest", "piactlNumenDigest", "piactlNumenVerifier", *birth)
    name = {n: directory.attributes.get(n, n) for n in (*digests, BASE)}
    state = directory.attributes.get("piactlState", "piactlState")
    for entry in reader.search(directory.accounts, IN_ACCOUNTS, [*name.values(), state]):
        used = {n: list(map(_key_of, entry.values.get(name[n], ()))) for n in digests}
        archived = entry.text(state) == State.ARCHIVED.value
        for attribute, kind in (("piactlMatriculeDigest", "matricules"), ("piactlNumenDigest", "numens")):
            for key in used[attribute]:
                yield ("archived" if archived else kind), entry.dn, key
        for key in {key for n in birth for key in used[n]}:
            yield "births", entry.dn, key
        base = read_base(entry.first(name[BASE]) or b"")
        if base is not None:
            yield "bases", entry.dn, base.key
        for key in used["piactlNumenVerifier"]:
            if key not in used["piactlNumenDigest"]:
                yield "numens", entry.dn, key
    places = Places(directory.state)
    for entry in reader.search(places.folder(WAITING), IN_RECORD, ["cn", DATA], scope="one"):
        # an entry of another name is not a record of a person
        keys = {digest_key_id(entry.text("cn"))} if entry.text("cn").startswith("{") else set()
        waiting = unreadable.read(entry.dn, entry.first(DATA), read_waiting)
        numen = waiting.numen_digest if waiting else None
        for key in sorted(keys | ({digest_key_id(numen)} if numen else set())):
            yield "waiting", entry.dn, key
    for entry in reader.search(places.folder(ATTEMPTS), IN_RECORD, ["cn"], scope="one"):
        if entry.text("cn").startswith("{"):
            yield "attempts", entry.dn, digest_key_id(entry.text("cn"))
    for dn, key in read_seal_keys(reader, directory.accounts, unreadable):
        yield "devices", dn, key


def _key_of(digest: bytes) -> str:
    return digest_key_id(digest[: digest.find(b"}") + 1].decode("utf-8", "replace"))


def need_words(need: Need) -> str:
    """What needs a key, in words."""
    counts = (words(need.counts[kind]) for kind, words in WHAT.items() if need.counts[kind])
    return joined(counts, "{first}, {second}")


def reseals(store: AccountStore, key: str) -> Iterator[tuple[str, Write]]:
    """(uid, write) that moves each secret that is sealed with `key` to the current one. The reader has to be
    bound as the administrator. Raises SealBroken."""
    keys = store.keys
    for uid, entry in read_all_devices(
        store.reader, store.directory.accounts, store.encoding, store.unreadable
    ):
        if entry.device.sealed_with != key:
            continue
        secret = unsealed(entry.sealed, keys, uid, entry.device.name)
        device = replace(entry.device, sealed_with=keys.current)
        copy = sealed(secret, keys, uid, device.name)
        write = device_change(entry, device, mark=secrets.token_hex(8), sealed=copy)
        if write is not None:
            yield uid, write


def check_retirable(keys: DigestKeys, key: str) -> None:
    """Raises NotFound, and ActRefused for the current key."""
    if key not in keys.keys:
        known = ", ".join(keys.keys)
        raise NotFound(Phrase("{key}: the key file has no such key; it has {known}", key=key, known=known))
    if key == keys.current:
        raise ActRefused(
            Phrase("{key}: it is the current key; make another one current first: piactl key add", key=key)
        )


def refuse_needed(key: str, need: Need | None, unreadable: UnreadableRecords) -> None:
    """Raises ActRefused, with the next step, if anything needs the key or may need it."""
    unsure = next(iter(unreadable), None)
    if unsure is not None:
        raise ActRefused(
            Phrase(
                "key {key} stays: a record that may need it cannot be read: {unsure}",
                key=key,
                unsure=str(unsure),
            )
        )
    if need is None or not need.counts.total():
        return
    counts = need.counts
    ways = []
    if counts["matricules"] or counts["numens"] or counts["births"] or counts["waiting"]:
        ways.append(
            Phrase(
                "matricules, NUMENs and birth dates move to the current key in a night with a feed that "
                "has them"
            )
        )
    if counts["attempts"]:
        ways.append(Phrase("counts of identity checks are forgotten after a week"))
    if counts["archived"]:
        ways.append(Phrase("those of archived accounts can never move: the key stays as long as they do"))
    total = counted(counts.total(), "value needs it", "values need it")
    raise ActRefused(
        Phrase(
            "key {key} stays: {total} ({needs}).\n{ways}",
            key=key,
            total=total,
            needs=need_words(need),
            ways=joined(ways),
        )
    )


def prepare_reseals(store: AccountStore, key: str, reason: str) -> Batch:
    """The writes that move every secret sealed with `key` to the current key, by account."""
    by_uid: dict[str, list[Write]] = {}
    for uid, write in reseals(store, key):
        by_uid.setdefault(uid, []).append(write.with_reason(uid, ("reseal",), reason))
    return Batch(tuple(PreparedAccount(uid, uid, writes=tuple(rows)) for uid, rows in by_uid.items()))
