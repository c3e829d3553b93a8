"""The file of the sync cache: private, and sealed with a key of this host."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.plan.sync_cache import WIDTH, Seen, SyncCache
from piactl.private_files import make_private_folder, write_private

_FILE = "settled"


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
        "more_names": {key: more for key, more in cache.more_names.items() if key in cache.packed},
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
    write_private(folder / _FILE, [_seal(keys, body), body])


def load(folder: Path, keys: DigestKeys) -> SyncCache | None:
    """The sync cache in the state folder of this host; None if there is none, or its seal is not ours."""
    try:
        head, whole, at = _opened(folder, keys)
        cache = _without_entries(head, whole, at)
        count = head["count"]
        names = whole[at + head["seen"]["size"] : -WIDTH * count - 2]
        packed = whole[len(whole) - WIDTH * count :]
        cache_keys = names.decode().split("\n")
        if count != len(cache_keys) or head["width"] != WIDTH:
            return None
        cache.more_names, cache.others = head["more_names"], head["others"]
        sets = [*map(tuple, head["services"])]
        cache.homes = [
            (tuple(places), tuple(profiles), sets[services]) for places, profiles, services in head["homes"]
        ]
        cache.packed = {
            key: packed[at : at + WIDTH]
            for key, at in zip(cache_keys, range(0, len(packed), WIDTH), strict=True)
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
    whole = (folder / _FILE).read_bytes()
    if not hmac.compare_digest(whole[:32], _seal(keys, memoryview(whole)[32:])):
        raise ValueError
    end = whole.index(b"\n", 32)
    return json.loads(whole[32:end]), whole, end + 1


def _without_entries(head: dict[str, Any], whole: bytes, at: int) -> SyncCache:
    cache = SyncCache(head["basis"], head["as_of"], tuple(head["sources"]), head["server"], head["run"])
    seen = head["seen"]
    cache.seen = Seen(seen["cookie"], whole[at : at + seen["size"]], seen["nights"])
    return cache


def _seal(keys: DigestKeys, body: bytes | memoryview) -> bytes:
    key = hmac.new(keys.keys[keys.current], b"settled accounts", hashlib.sha256).digest()
    return hmac.new(key, body, hashlib.sha256).digest()
