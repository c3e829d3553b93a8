"""Records the current digest key in the directory, so that no host writes without it.

A host without that key would not recognise people whose digests were made with it. A host with another key
of the same id would recognise nobody. Both must stop before they write.
"""

from __future__ import annotations

from dataclasses import dataclass

from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.core.model.settings import Settings
from piactl.directory.port import Outcome, Reader, Writer
from piactl.directory.store.accounts import IN_ACCOUNTS
from piactl.directory.store.records import (
    Places,
    Records,
    UnreadableRecords,
    set_record,
)
from piactl.directory.store.typed_records import reader_of, to_json
from piactl.errors import PiactlError, SecretUnusable
from piactl.phrase import Phrase

_CHECK = "keys"


@dataclass(frozen=True, slots=True)
class AnnouncedKey:
    """The id of the current key, and the digest of it made with the key itself."""

    current: str
    check: str


read_announced = reader_of(AnnouncedKey)


def announce_key(writer: Writer, state: str, keys: DigestKeys) -> None:
    """Records the current key below the entry `state`: its id, and a digest of the id made with it. Raises
    PiactlError."""
    dn = Places(state).keys
    result = set_record(writer, dn, to_json(AnnouncedKey(keys.current, keys.digest(_CHECK, keys.current))))
    if result is not None and result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED):
        raise PiactlError(Phrase("{dn} cannot be written: {why}", dn=dn, why=result.message))


def check_current_key(
    records: Records, settings: Settings, keys: DigestKeys, unreadable: UnreadableRecords
) -> None:
    """Raises SecretUnusable if this host lacks the current key.

    If the record cannot be read, this host needs every key that the digests of accounts were made with.
    """
    dn = records.places.keys
    if records.entry(dn) is None:
        return
    announced = records.value(dn, read_announced, unreadable)
    if announced is None:
        check_needed_keys(records.reader, settings, keys)
        return
    key = announced.current
    if key in keys.keys and keys.matches(announced.check, _CHECK, key):
        return
    wrong = Phrase("has another key with that id") if key in keys.keys else Phrase("lacks it")
    raise SecretUnusable(
        Phrase(
            "the current digest key of this directory is {key}, and {file} {wrong}; nothing was changed.\n"
            "Copy the key file from the host where `piactl key add` was run",
            key=key,
            file=settings.keys_file,
            wrong=wrong,
        )
    )


def check_needed_keys(reader: Reader, settings: Settings, keys: DigestKeys) -> None:
    """Raises SecretUnusable if this host lacks a key that digests of accounts were made with."""
    directory = settings.directory
    digests = ("piactlMatriculeDigest", "piactlNumenDigest", "piactlIdentityDigest", "piactlBirthDigest")
    names = [directory.attributes.get(name, name) for name in digests]
    for entry in reader.search(directory.accounts, IN_ACCOUNTS, names):
        digests_here = (digest for name in names for digest in entry.values.get(name, ()))
        for key in (digest_key_id(digest.decode("utf-8", "replace")) for digest in digests_here):
            if key not in keys.keys:
                raise SecretUnusable(
                    Phrase(
                        "{dn} needs the digest key {key}, and {file} lacks it; nothing was changed.\n"
                        "Copy the key file from the host where the nights run",
                        dn=entry.dn,
                        key=key or "(none)",
                        file=settings.keys_file,
                    )
                )
