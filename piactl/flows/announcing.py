"""Saying in the directory which digest key is the current one, so that no host goes on without it.

A host whose key file lacks it would not recognise who is known by a digest under it, and one where another
key got the same id would recognise nobody: both have to end before they write.
"""

from __future__ import annotations

from piactl.core.digests import DigestKeys
from piactl.directory.names import child
from piactl.directory.port import Outcome, Reader, Writer
from piactl.directory.records import DATA, record_write
from piactl.directory.recordtext import loads
from piactl.errors import PiactlError, SecretUnusable
from piactl.flows.site import Site

_CHECK = "keys"


def announce_key(writer: Writer, site: Site, keys: DigestKeys) -> None:
    """Writes down which key is the current one, with a digest of its id under it. Raises PiactlError."""
    dn = _record_dn(site)
    entry = writer.read(dn, [DATA])
    record = {"current": keys.current, "check": keys.digest(_CHECK, keys.current)}
    write = record_write(dn, entry.first(DATA) if entry else None, record)
    if write is None:
        return
    result = next(iter(writer.write([write])))
    if result.outcome not in (Outcome.APPLIED, Outcome.ALREADY):
        raise PiactlError(f"{dn}: cannot be written: {result.message}")


def check_current_key(reader: Reader, site: Site) -> None:
    """Raises SecretUnusable where this host lacks the key that another one made current."""
    dn = _record_dn(site)
    entry = reader.read(dn, [DATA])
    if entry is None:
        return
    record = loads(dn, entry.first(DATA))
    key, check = str(record.get("current")), str(record.get("check"))
    if key in site.keys.keys and site.keys.matches(check, _CHECK, key):
        return
    wrong = "has another key of that id" if key in site.keys.keys else "lacks it"
    raise SecretUnusable(
        f"the current digest key of this directory is {key}, and {site.settings.keys_file} {wrong}; nothing "
        "was changed.\nCopy the key file from the host where `piactl key add` was run"
    )


def _record_dn(site: Site) -> str:
    return child(site.settings.directory.state, "cn", "keys")
