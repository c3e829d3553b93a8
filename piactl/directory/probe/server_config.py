"""Reads the settings of slapd from cn=config, and its time and listeners from cn=monitor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from piactl.core.text import utc_instant
from piactl.directory.dn import normal_dn, under
from piactl.directory.port import RawEntry
from piactl.directory.probe.trial_requests import Probe


def server_time(probe: Probe) -> datetime | None:
    """The server's clock now, to the second, UTC; None if it may not be read."""
    entry = probe.entry(f"cn=Current,cn=Time,{_context(probe)}", ["monitorTimestamp"])
    text = entry.text("monitorTimestamp") if entry else ""
    try:
        return utc_instant(text)
    except ValueError:
        return None


def listeners(probe: Probe) -> list[str] | None:
    """The URIs that the server listens on; None if they may not be read."""
    entries = probe.entries(f"cn=Listeners,{_context(probe)}", "(labeledURI=*)", ["labeledURI"])
    return [entry.text("labeledURI") for entry in entries] or None


def _context(probe: Probe) -> str:
    return probe.facts.monitor_context or "cn=Monitor"


_ATTRIBUTES = (
    "objectClass olcDatabase olcOverlay olcSuffix olcRootDN olcAddContentAcl olcDbIndex olcUniqueURI"
    " olcPPolicyDefault olcPPolicyHashCleartext olcSpCheckpoint olcSyncrepl olcAccess olcServerID"
).split()
_ORDER = re.compile(r"^\{-?\d+\}")
_UNIQUE = re.compile(r"ldap:///(?P<base>[^?\s]*)\?(?P<attributes>[^?\s]*)\?(?P<scope>[^?\s]*)")
_EVERYBODY = re.compile(r'by\s+set(\.\w+)?="this/-1/piactlProtected & \[TRUE\]"\s+read', re.IGNORECASE)
_GOES_ON = re.compile(r"by\s+\*\s+(\+0\s+)?break\s*$", re.IGNORECASE)
_COMPARISONS = re.compile(r"to\s+attrs=hasSubordinates\s+by\s+\*\s+(compare|search|read)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UniqueRule:
    """Values of `attributes` are unique below `base`; `serialize`: also for two writers at once."""

    base: str
    attributes: frozenset[str]
    serialize: bool


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The database that holds the suffix. Attribute names are in lower case.

    `checkpoint` is that of syncprov, "" without one. Overlays are in the order of the server; an empty tuple
    means none. `plain_syncrepl`: the database follows another server entry by entry instead of by its access
    log. It shows only where `olcSyncrepl`, which has a password, may be read. `ended_by_comparisons` are the
    suffixes of the mdb databases of the server whose rules may refuse a comparison of hasSubordinates; None
    if the rules may not be read.
    """

    root: str
    checks_adds: bool
    indexes: Mapping[str, frozenset[str]]
    overlays: tuple[str, ...]
    unique: tuple[UniqueRule, ...] = ()
    password_policy: str = ""
    hashes_passwords: bool = False
    checkpoint: str = ""
    plain_syncrepl: bool = False
    has_number: bool = False
    """Whether it has a serverID."""
    ended_by_comparisons: tuple[str, ...] | None = None
    shows_devices: bool = False
    """Whether a rule of an earlier version lets everybody see the devices of protected accounts."""

    def unique_rule(self, attribute: str, base: str) -> UniqueRule | None:
        """The rule that keeps values of the attribute unique below `base`; None if there is none."""
        rules = (r for r in self.unique if attribute.lower() in r.attributes and under(base, r.base))
        return next(rules, None)


def read_server_config(probe: Probe, suffix: str) -> ServerConfig | None:
    """The settings of the database that holds the suffix; None if cn=config may not be read, or has no such
    database."""
    context = probe.facts.config_context or "cn=config"
    entries = probe.entries(context, "(|(olcDatabase=*)(olcOverlay=*)(objectClass=olcGlobal))", _ATTRIBUTES)
    holder = _database(entries, suffix)
    if holder is None:
        return None
    inside = [e for e in entries if e.text("olcOverlay") and under(e.dn, holder.dn)]
    overlays = {_ORDER.sub("", entry.text("olcOverlay")): entry for entry in inside}
    frontend = next((e for e in entries if "frontend" in e.text("olcDatabase")), holder)
    top = next((e for e in entries if b"olcGlobal" in e.values.get("objectClass", ())), holder)
    ppolicy = overlays.get("ppolicy", holder)
    return ServerConfig(
        root=holder.text("olcRootDN"),
        checks_adds="TRUE" in (holder.text("olcAddContentAcl"), frontend.text("olcAddContentAcl")),
        indexes=_indexes(_ordered(holder, "olcDbIndex")),
        overlays=tuple(overlays),
        unique=_rules(overlays["unique"], suffix) if "unique" in overlays else (),
        password_policy=ppolicy.text("olcPPolicyDefault"),
        hashes_passwords=ppolicy.text("olcPPolicyHashCleartext") == "TRUE",
        plain_syncrepl=any("syncdata=accesslog" not in text for text in _ordered(holder, "olcSyncrepl")),
        has_number=bool(top.text("olcServerID")),
        checkpoint=overlays["syncprov"].text("olcSpCheckpoint") if "syncprov" in overlays else "",
        ended_by_comparisons=_ended_by_comparisons(entries) if _ordered(holder, "olcAccess") else None,
        shows_devices=any(_EVERYBODY.search(text) for text in _ordered(holder, "olcAccess")),
    )


def _ended_by_comparisons(entries: list[RawEntry]) -> tuple[str, ...]:
    """A database is safe if its first rule lets everybody compare; rules that end in `by * break` may come
    before it. One without rules lets everybody read."""
    ended = []
    for entry in entries:
        rules = [text for text in _ordered(entry, "olcAccess") if not _GOES_ON.search(text)]
        if (
            entry.text("olcDatabase").endswith("}mdb")
            and rules
            and not _COMPARISONS.fullmatch(rules[0].strip())
        ):
            ended.append(entry.text("olcSuffix"))
    return tuple(ended)


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


def _indexes(texts: list[str]) -> dict[str, frozenset[str]]:
    usual: frozenset[str] = frozenset()
    indexes: dict[str, frozenset[str]] = {}
    for text in texts:
        names, _, kinds = text.partition(" ")
        those = frozenset(kind.strip() for kind in kinds.split(",") if kind.strip())
        if names.strip() == "default":
            usual = those
            continue
        for name in names.split(","):
            indexes[name.strip().lower()] = those or usual
    return indexes


def _rules(entry: RawEntry, suffix: str) -> tuple[UniqueRule, ...]:
    rules = []
    for text in _ordered(entry, "olcUniqueURI"):
        for match in _UNIQUE.finditer(text):
            if match["scope"] == "sub":
                names = frozenset(match["attributes"].lower().split(","))
                rules.append(UniqueRule(unquote(match["base"]) or suffix, names, "serialize" in text.split()))
    return tuple(rules)
