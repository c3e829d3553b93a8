"""The files of the sync cache and of the known lines of feeds: private, sealed with a key of this host."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.plan.sync_cache import WIDTH, Seen, SyncCache
from piactl.core.text import read_json
from piactl.feed.fingerprints import KnownLines, packed, unpacked
from piactl.private_files import make_private_folder, write_private

_SEAL = 32
_OF_ACCOUNTS, _OF_LINES = b"settled accounts", b"known lines"
_FILE = "settled"
LINES = "lines"
"""The folder with the known lines of the feeds."""


class KeptLines(dict[str, KnownLines]):
    """The known lines of each source, as the last night on this host kept them."""

    def __init__(self, folder: Path, keys: DigestKeys) -> None:
        self._folder, self._keys = folder / LINES, keys

    def __missing__(self, source: str) -> KnownLines:
        known = KnownLines()
        try:
            known = unpacked(memoryview(_unsealed(self._folder / source, self._keys, _OF_LINES))[_SEAL:])
        except (OSError, ValueError, LookupError, TypeError):
            pass
        self[source] = known
        return known

    def keep(self) -> None:
        """Writes the lines that changed. Raises PiactlError."""
        make_private_folder(self._folder.parent)
        make_private_folder(self._folder)
        for source, known in self.items():
            if known.changed:
                _write(
                    self._folder / source, b"".join(packed(known.basis, known.lines)), self._keys, _OF_LINES
                )


def keep(cache: SyncCache, folder: Path, keys: DigestKeys) -> None:
    """Writes the sync cache for the next run on this host. Raises PiactlError."""
    # many homes have the same services
    sets = {s: number for number, s in enumerate(dict.fromkeys(services for _, _, services in cache.homes))}
    seen = cache.seen
    head = {
        "basis": cache.basis,
        "server": cache.server,
        "run": cache.run,
        "as_of": cache.as_of,
        "sources": cache.sources,
        "seen": {"cookie": seen.cookie, "nights": seen.nights, "size": len(seen.uuids)},
        "homes": [(places, profiles, sets[services]) for places, profiles, services in cache.homes],
        "services": [*sets],
        "count": len(cache.packed),
        "width": WIDTH,
        "more_names": {key: names for key, names in cache.more_names.items() if key in cache.packed},
        "others": cache.others,
    }
    body = b"".join(
        [
            json.dumps(head, separators=(",", ":")).encode() + b"\n",
            seen.uuids,
            "\n".join(cache.packed).encode() + b"\n\n",
            b"".join(cache.packed.values()),
        ]
    )
    make_private_folder(folder)
    _write(folder / _FILE, body, keys, _OF_ACCOUNTS)


def load(folder: Path, keys: DigestKeys) -> SyncCache | None:
    """The sync cache in the state folder of this host; None if there is none, or its seal is not ours."""
    try:
        head, content, offset = _opened(folder, keys)
        cache = _without_entries(head, content, offset)
        count = head["count"]
        names = content[offset + head["seen"]["size"] : -WIDTH * count - 2]
        packed = content[len(content) - WIDTH * count :]
        cache_keys = names.decode().split("\n")
        if count != len(cache_keys) or head["width"] != WIDTH:
            return None
        cache.more_names, cache.others = head["more_names"], head["others"]
        sets = [*map(tuple, head["services"])]
        cache.homes = [
            (tuple(places), tuple(profiles), sets[services]) for places, profiles, services in head["homes"]
        ]
        cache.packed = {
            key: packed[start : start + WIDTH]
            for key, start in zip(cache_keys, range(0, len(packed), WIDTH), strict=True)
        }
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return cache


def load_without_entries(folder: Path, keys: DigestKeys) -> SyncCache | None:
    """The same without the cache entries and homes."""
    try:
        return _without_entries(*_opened(folder, keys))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _opened(folder: Path, keys: DigestKeys) -> tuple[dict[str, Any], bytes, int]:
    """The head, the whole file, and where the head ends. Raises ValueError if the seal is not ours."""
    content = _unsealed(folder / _FILE, keys, _OF_ACCOUNTS)
    end = content.index(b"\n", _SEAL)
    return read_json(content[_SEAL:end]), content, end + 1


def _without_entries(head: dict[str, Any], content: bytes, offset: int) -> SyncCache:
    cache = SyncCache(head["basis"], head["as_of"], tuple(head["sources"]), head["server"], head["run"])
    seen = head["seen"]
    cache.seen = Seen(seen["cookie"], content[offset : offset + seen["size"]], seen["nights"])
    return cache


def _write(path: Path, body: bytes, keys: DigestKeys, purpose: bytes) -> None:
    write_private(path, [_seal(keys, body, purpose), body], sync=False)


def _unsealed(path: Path, keys: DigestKeys, purpose: bytes) -> bytes:
    """A file with its seal. Raises OSError, or ValueError if the seal is not ours."""
    content = path.read_bytes()
    if not hmac.compare_digest(content[:_SEAL], _seal(keys, memoryview(content)[_SEAL:], purpose)):
        raise ValueError
    return content


def _seal(keys: DigestKeys, body: bytes | memoryview, purpose: bytes) -> bytes:
    key = hmac.new(keys.keys[keys.current], purpose, hashlib.sha256).digest()
    return hmac.new(key, body, hashlib.sha256).digest()
