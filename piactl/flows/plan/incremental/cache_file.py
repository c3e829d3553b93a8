"""The file of the sync cache of this host: private and sealed. Without it a run evaluates every account."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from piactl.core.plan.sync_cache import WIDTH, SyncCache
from piactl.flows.site import Site
from piactl.private_files import make_private_folder, write_private

_FILE = "settled"


def keep(site: Site, cache: SyncCache) -> None:
    """Writes the sync cache for the next run on this host. Raises PiactlError."""
    # many homes have the same services
    sets = {s: number for number, s in enumerate(dict.fromkeys(services for _, _, services in cache.homes))}
    head = {
        "basis": cache.basis,
        "server": cache.server,
        "run": cache.run,
        "as_of": cache.as_of,
        "sources": cache.sources,
        "homes": [(places, profiles, sets[services]) for places, profiles, services in cache.homes],
        "services": [*sets],
        "count": len(cache.packed),
        "width": WIDTH,
        "more_names": {key: more for key, more in cache.more_names.items() if key in cache.packed},
    }
    body = b"".join(
        [
            json.dumps(head, separators=(",", ":")).encode() + b"\n",
            "\n".join(cache.packed).encode() + b"\n\n",
            b"".join(cache.packed.values()),
        ]
    )
    path = _path(site)
    make_private_folder(path.parent)
    write_private(path, [_seal(site, body), body])


def load(site: Site) -> SyncCache | None:
    """The sync cache that the last run on this host left; None where there is none that can be trusted."""
    try:
        whole = _path(site).read_bytes()
    except OSError:
        return None
    seal, body = whole[:32], memoryview(whole)[32:]
    if not hmac.compare_digest(seal, _seal(site, body)):
        return None
    try:
        end = whole.index(b"\n", 32)
        head = json.loads(whole[32:end])
        count = head["count"]
        keys, packed = whole[end + 1 : -WIDTH * count - 2], whole[len(whole) - WIDTH * count :]
        names = keys.decode().split("\n")
        if count != len(names) or head["width"] != WIDTH:
            return None
        cache = SyncCache(head["basis"], head["as_of"], tuple(head["sources"]), head["server"], head["run"])
        cache.more_names = head["more_names"]
        sets = [*map(tuple, head["services"])]
        cache.homes = [
            (tuple(at), tuple(profiles), sets[services]) for at, profiles, services in head["homes"]
        ]
        cache.packed = {
            name: packed[at : at + WIDTH]
            for name, at in zip(names, range(0, len(packed), WIDTH), strict=True)
        }
    except (ValueError, LookupError, TypeError):
        return None
    return cache


def _path(site: Site) -> Path:
    return Path(site.settings.state_folder) / _FILE


def _seal(site: Site, body: bytes | memoryview) -> bytes:
    key = hmac.new(site.keys.keys[site.keys.current], b"settled accounts", hashlib.sha256).digest()
    return hmac.new(key, body, hashlib.sha256).digest()
