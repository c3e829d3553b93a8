"""Reads the settings of slapd from cn=config, and its time, version and database size from cn=monitor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from piactl.core.text import utc_instant
from piactl.directory import filters
from piactl.directory.dn import normal_dn, same_dn, under
from piactl.directory.port import RawEntry, Reader
from piactl.directory.probe.trial_requests import Probe
from piactl.errors import PiactlError

_PAGE_BYTES = 4096
"""The page size of mdb on every machine with pages of 4 KiB; the shares do not depend on it."""


@dataclass(frozen=True, slots=True)
class Room:
    """The map of an mdb database, in bytes."""

    size: int
    used: int

    @property
    def share(self) -> float:
        return self.used / self.size if self.size else 0.0


def root_of(reader: Reader, suffix: str) -> str:
    """The rootdn of the database with this suffix; "" if cn=config may not be read."""
    context = reader.facts().config_context
    try:
        query = filters.equals("olcSuffix", suffix)
        roots = (
            [entry.text("olcRootDN") for entry in reader.search(context, query, ["olcRootDN"])]
            if context
            else []
        )
    except PiactlError:
        return ""
    return roots[0] if roots else ""


def server_version(probe: Probe) -> str:
    """The name and the version of the server, in its own words; "" if they may not be read."""
    entry = probe.entry(_context(probe), ["monitoredInfo"])
    return entry.text("monitoredInfo") if entry else ""


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


def database_room(probe: Probe, suffix: str) -> Room | None:
    """The room in the database of the suffix; None if it may not be read, or is not mdb."""
    attributes = ["namingContexts", "olmMDBPagesMax", "olmMDBPagesUsed", "olmMDBPagesFree"]
    base = f"cn=Databases,{_context(probe)}"
    for entry in probe.entries(base, "(objectClass=olmMDBDatabase)", attributes):
        if any(same_dn(value.decode(), suffix) for value in entry.values.get("namingContexts", ())):
            most, used, free = (int(entry.text(name) or 0) for name in attributes[1:])
            return Room(most * _PAGE_BYTES, max(0, used - free) * _PAGE_BYTES) if most else None
    return None


def database_overlays(probe: Probe, suffix: str) -> tuple[str, ...] | None:
    """The overlays of the database of the suffix; None if they may not be read."""
    base = f"cn=Databases,{_context(probe)}"
    for entry in probe.entries(
        base, "(monitoredInfo=*)", ["namingContexts", "monitorOverlay", "monitoredInfo"]
    ):
        names = [value.decode() for value in entry.values.get("namingContexts", ())]
        if entry.text("monitoredInfo") == "mdb" and any(same_dn(name, suffix) for name in names):
            return tuple(value.decode() for value in entry.values.get("monitorOverlay", ()))
    return None


def _context(probe: Probe) -> str:
    return probe.facts.monitor_context or "cn=Monitor"


_ATTRIBUTES = (
    "objectClass olcDatabase olcOverlay olcSuffix olcRootDN olcAddContentAcl olcReadOnly olcLimits"
    " olcSizeLimit olcConnMaxPendingAuth olcDbIndex olcDbMaxSize olcUniqueURI"
    " olcPPolicyDefault olcPPolicyHashCleartext olcSpCheckpoint olcSyncrepl olcAccess olcServerID"
).split()
_ORDER = re.compile(r"^\{-?\d+\}")
_UNIQUE = re.compile(r"ldap:///(?P<base>[^?\s]*)\?(?P<attributes>[^?\s]*)\?(?P<scope>[^?\s]*)")
_COMPARISONS = re.compile(r"to\s+attrs=hasSubordinates\s+by\s+\*\s+(compare|search|read)", re.IGNORECASE)
_LIMIT = re.compile(
    r'(?P<who>\*|users|anonymous|dn[^=\s]*="[^"]*"|dn[^=\s]*=\S+|\S+)\s*(?P<what>.*)', re.DOTALL
)
_SIZE = re.compile(r"\bsize(?:\.(?P<kind>\w+))?=(?P<value>\S+)")

DEFAULT_SIZE_LIMIT = 500
UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class UniqueRule:
    """Values of `attributes` are unique below `base`; `serialize`: also for two writers at once."""

    base: str
    attributes: frozenset[str]
    serialize: bool


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The database that holds the suffix. Attribute names are in lower case.

    `limits` are (who, what) in their order, `size_limit` is everybody else's. `pending` requests may wait
    on one connection, 0 if that is unknown. `checkpoint` is that of syncprov, "" without one. Overlays
    are in the order of the server; an empty tuple means none. `plain_syncrepl`: the database follows another
    server entry by entry instead of by its access log. It shows only where `olcSyncrepl`, which has a
    password, may be read. `ended_by_comparisons` are the suffixes of the mdb databases of the server whose
    rules may refuse a comparison of hasSubordinates; None if the rules may not be read.
    """

    root: str
    read_only: bool
    checks_adds: bool
    size_limit: int
    limits: tuple[tuple[str, str], ...]
    indexes: Mapping[str, frozenset[str]]
    max_size: int
    overlays: tuple[str, ...]
    unique: tuple[UniqueRule, ...] = ()
    password_policy: str = ""
    hashes_passwords: bool = False
    checkpoint: str = ""
    pending: int = 0
    plain_syncrepl: bool = False
    has_number: bool = False
    """Whether it has a serverID."""
    ended_by_comparisons: tuple[str, ...] | None = None

    def size_limit_of(self, dn: str) -> int | None:
        """The size limit of that identity: a number, UNLIMITED, or None if it is unknown."""
        if self.root and same_dn(dn, self.root):
            return UNLIMITED
        for who, limit in self.limits:
            fits = _fits(who, dn)
            if fits is None:
                return None
            if fits:
                return _size(limit, self.size_limit)
        return self.size_limit

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
    everyone = next(filter(None, (e.text("olcSizeLimit") for e in (holder, frontend, top))), "")
    return ServerConfig(
        root=holder.text("olcRootDN"),
        read_only=holder.text("olcReadOnly") == "TRUE",
        checks_adds="TRUE" in (holder.text("olcAddContentAcl"), frontend.text("olcAddContentAcl")),
        size_limit=_size(f"size={everyone}" if everyone.isdigit() else everyone, DEFAULT_SIZE_LIMIT),
        limits=tuple(_who_what(text) for text in _ordered(holder, "olcLimits")),
        indexes=_indexes(_ordered(holder, "olcDbIndex")),
        max_size=int(holder.text("olcDbMaxSize") or 10_485_760),
        overlays=tuple(overlays),
        unique=_rules(overlays["unique"], suffix) if "unique" in overlays else (),
        password_policy=ppolicy.text("olcPPolicyDefault"),
        hashes_passwords=ppolicy.text("olcPPolicyHashCleartext") == "TRUE",
        pending=int(top.text("olcConnMaxPendingAuth") or 0),
        plain_syncrepl=any("syncdata=accesslog" not in text for text in _ordered(holder, "olcSyncrepl")),
        has_number=bool(top.text("olcServerID")),
        checkpoint=overlays["syncprov"].text("olcSpCheckpoint") if "syncprov" in overlays else "",
        ended_by_comparisons=_ended_by_comparisons(entries) if _ordered(holder, "olcAccess") else None,
    )


def _ended_by_comparisons(entries: list[RawEntry]) -> tuple[str, ...]:
    """A database is safe if its first rule lets everybody compare; rules that end in `by * break` may come
    before it. One without rules lets everybody read."""
    ended = []
    for entry in entries:
        rules = [text for text in _ordered(entry, "olcAccess") if not text.rstrip().endswith("by * break")]
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


def _who_what(text: str) -> tuple[str, str]:
    match = _LIMIT.match(text.strip())
    return (match["who"], match["what"]) if match else (text, "")


def _fits(who: str, dn: str) -> bool | None:
    """Whether a limit is for that DN; None if only the server knows (groups, patterns)."""
    if who in ("*", "users"):
        return True
    if who == "anonymous":
        return False
    kind, _, value = who.partition("=")
    value = value.strip('"')
    if kind in ("dn", "dn.base", "dn.exact", "dn.self"):
        return same_dn(value, dn)
    if kind in ("dn.subtree", "dn.sub"):
        return under(dn, value)
    if kind == "dn.children":
        return under(dn, value) and not same_dn(dn, value)
    return None


def _size(text: str, usual: int) -> int:
    """The limit of a whole paged search in `size=...` settings: `prtotal`, else the hard limit, else the soft
    one; `usual` if there is none."""
    values = {match["kind"] or "": match["value"] for match in _SIZE.finditer(text)}
    value = values.get("prtotal") or values.get("hard") or values.get("") or values.get("soft")
    if value is None:
        return usual
    if value in ("unlimited", "none", "-1"):
        return UNLIMITED
    return int(value) if value.isdigit() else usual
