"""The file of a host that holds the marks of settled accounts: private, sealed, and only a cache."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from piactl.core.plan.sync_cache import WIDTH, Marks
from piactl.flows.site import Site
from piactl.private_files import make_private_folder, write_private

_FILE = "settled"


def keep(site: Site, marks: Marks) -> None:
    """Writes the marks for the next night of this host. Raises PiactlError."""
    head = {
        "basis": marks.basis,
        "server": marks.server,
        "run": marks.run,
        "as_of": marks.as_of,
        "sources": marks.sources,
        "homes": marks.homes,
        "count": len(marks.packed),
        "width": WIDTH,
        "more_names": {key: more for key, more in marks.more_names.items() if key in marks.packed},
    }
    body = b"".join(
        [
            json.dumps(head, separators=(",", ":")).encode() + b"\n",
            "\n".join(marks.packed).encode() + b"\n\n",
            b"".join(marks.packed.values()),
        ]
    )
    path = _path(site)
    make_private_folder(path.parent)
    write_private(path, [_seal(site, body), body])


def load(site: Site) -> Marks | None:
    """The marks that the last night of this host left; None where there are none that can be trusted."""
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
        marks = Marks(head["basis"], head["as_of"], tuple(head["sources"]), head["server"], head["run"])
        marks.more_names = head["more_names"]
        marks.homes = [(tuple(places), tuple(profiles)) for places, profiles in head["homes"]]
        marks.packed = {
            name: packed[at : at + WIDTH]
            for name, at in zip(names, range(0, len(packed), WIDTH), strict=True)
        }
    except (ValueError, KeyError, TypeError):
        return None
    return marks


def _path(site: Site) -> Path:
    return Path(site.settings.state_folder) / _FILE


def _seal(site: Site, body: bytes | memoryview) -> bytes:
    key = hmac.new(site.keys.keys[site.keys.current], b"settled accounts", hashlib.sha256).digest()
    return hmac.new(key, body, hashlib.sha256).digest()
