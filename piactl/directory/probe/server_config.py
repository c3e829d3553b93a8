"""Reads the settings of slapd from cn=config, and its listeners from cn=monitor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from piactl.directory.dn import normal_dn, under
from piactl.directory.interfaces import RawEntry
from piactl.directory.probe.trial_requests import Probe


def listeners(probe: Probe) -> list[str] | None:
    """The URIs that the server listens on; None if they may not be read."""
    entries = probe.entries(f"cn=Listeners,{probe.facts.monitor_context}", "(labeledURI=*)", ["labeledURI"])
    return [entry.text("labeledURI") for entry in entries] or None


_ATTRIBUTES = (
    "objectClass olcDatabase olcOverlay olcSuffix olcRootDN olcAddContentAcl olcDbIndex olcUniqueURI"
    " olcPPolicyDefault olcPPolicyHashCleartext olcSpCheckpoint olcSyncrepl olcAccess olcServerID"
).split()
_ORDER = re.compile(r"^\{-?\d+\}")
_UNIQUE = re.compile(r"ldap:///(?P<base>[^?\s]*)\?(?P<attributes>[^?\s]*)\?(?P<scope>[^?\s]*)")
_GOES_ON = re.compile(r"by\s+\*\s+(\+0\s+)?break\s*$", re.IGNORECASE)
_COMPARISONS = re.compile(r"to\s+attrs=hasSubordinates\s+by\s+\*\s+(compare|search|read)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Entries of cn=config: the database that holds the suffix, its overlays by name in the order of the
    server, and all that were read."""

    database: RawEntry
    overlays: Mapping[str, RawEntry]
    entries: Sequence[RawEntry]

    def of_overlay(self, name: str, attribute: str) -> str:
        """A setting of an overlay, "" without one."""
        return self.overlays[name].text(attribute) if name in self.overlays else ""

    def ordered(self, attribute: str) -> list[str]:
        """The values of an attribute of the database, in the order of the server."""
        return _ordered(self.database, attribute)

    def unique_rule(self, attribute: str, base: str) -> str:
        """The setting that keeps values of the attribute unique below `base`; "" if there is none."""
        for text in _ordered(self.overlays["unique"], "olcUniqueURI") if "unique" in self.overlays else ():
            for match in _UNIQUE.finditer(text):
                names, place = match["attributes"].lower().split(","), unquote(match["base"])
                inside = not place or under(base, place)
                if match["scope"] == "sub" and attribute.lower() in names and inside:
                    return text
        return ""

    def indexes(self) -> dict[str, set[str]]:
        """The kinds of index on each attribute, whose name is in lower case."""
        usual, indexes = set[str](), dict[str, set[str]]()
        for text in self.ordered("olcDbIndex"):
            names, _, kinds = text.partition(" ")
            those = {kind.strip() for kind in kinds.split(",") if kind.strip()}
            if names.strip() == "default":
                usual = those
            else:
                indexes |= {name.strip().lower(): those or usual for name in names.split(",")}
        return indexes

    def ended_by_comparisons(self) -> list[str] | None:
        """The suffixes of the databases whose rules may refuse a comparison of hasSubordinates; None if the
        rules may not be read. A database is safe if its first rule lets everybody compare; rules that end in
        `by * break` may come before it. One without rules lets everybody read."""
        if not self.ordered("olcAccess"):
            return None
        ended = []
        for entry in self.entries:
            rules = [text for text in _ordered(entry, "olcAccess") if not _GOES_ON.search(text)]
            is_mdb = entry.text("olcDatabase").endswith("}mdb")
            if is_mdb and rules and not _COMPARISONS.fullmatch(rules[0].strip()):
                ended.append(entry.text("olcSuffix"))
        return ended


def read_server_config(probe: Probe, suffix: str) -> ServerConfig | None:
    """The settings of the database that holds the suffix; None if cn=config may not be read, or has no such
    database."""
    context = probe.facts.config_context
    entries = probe.entries(context, "(|(olcDatabase=*)(olcOverlay=*)(objectClass=olcGlobal))", _ATTRIBUTES)
    holder = _database(entries, suffix)
    if holder is None:
        return None
    inside = [e for e in entries if e.text("olcOverlay") and under(e.dn, holder.dn)]
    return ServerConfig(holder, {_ORDER.sub("", e.text("olcOverlay")): e for e in inside}, entries)


def _database(entries: list[RawEntry], suffix: str) -> RawEntry | None:
    """The database whose suffix holds ours most closely."""
    fitting = [
        (len(normal_dn(own.decode())), entry)
        for entry in entries
        for own in entry.values.get("olcSuffix", ())
        if under(suffix, own.decode())
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _ordered(entry: RawEntry, attribute: str) -> list[str]:
    """The values in the order of the numbers that the server gives them; those without one as they come."""
    texts = [value.decode("utf-8", "replace") for value in entry.values.get(attribute, ())]

    def number(text: str) -> int:
        match = _ORDER.match(text)
        return int(match[0][1:-1]) if match else 0

    return [_ORDER.sub("", text) for text in sorted(texts, key=number)]
