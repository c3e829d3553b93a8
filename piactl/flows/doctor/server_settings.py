"""Checks of the settings of a server: schema, overlays, indexes, limits, checkpoint, size, clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from urllib.parse import urlsplit

from piactl.core.credentials.totp_devices import WINDOW
from piactl.core.text import counted, few
from piactl.directory import filters
from piactl.directory.dn import same_dn
from piactl.directory.probe.server_config import (
    UNLIMITED,
    database_overlays,
    database_room,
    listeners,
    server_time,
)
from piactl.directory.probe.subschema import (
    OTP_CLASSES,
    PASSWORD_ATTRIBUTES,
    Subschema,
    read_subschema,
    schema_faults,
)
from piactl.directory.probe.trial_requests import accepts_in_clear
from piactl.directory.store.accounts import IN_ACCOUNTS, closed_without_link
from piactl.directory.store.attribute_map import LINKED_CLASS
from piactl.directory.store.groups_and_structures import (
    GROUP_CLASS,
    LISTING_CLASS,
    MEMBERS,
    OWNER,
    group_name,
    shown_members,
)
from piactl.flows.apply.run_checks import PUT_BACK
from piactl.flows.apply.run_lock import MARGIN
from piactl.flows.doctor.checks import CheckResult, error, fine, note, skipped, warning, worst
from piactl.flows.doctor.servers import UPGRADE_PAGE, Server
from piactl.resources import schemas_folder

PPOLICY_CONTROL = "1.3.6.1.4.1.42.2.27.8.5.1"
_UNSEEN = "Give the reader access, as schemas/ldap/slapd.conf.in does for cn=config and cn=monitor."
_CANNOT = "unknown: cn=config is not readable"
_OVERLAYS_UNKNOWN = skipped("unknown: the module is loaded, but the overlays are not readable", _UNSEEN)
_MONITOR_UNKNOWN = skipped("unknown: cn=monitor is not readable", _UNSEEN)
_INDEX = re.compile(r"^index\s+(\S+)\s+(\S+)", re.MULTILINE)
_KINDS = frozenset({"eq", "pres"})
_DRIFT_SECONDS = 10
_SMALL_MAP = 256 << 20
_SOME = 20
"""Groups that are read to find one with a member."""


def _subschema(server: Server) -> Subschema | None:
    return read_subschema(server.first.entry, server.first.facts.subschema)


def schema(server: Server) -> CheckResult:
    subschema = _subschema(server)
    if subschema is None:
        return skipped("the schema is not readable", "Let the reader read cn=Subschema.")
    faults = schema_faults(subschema, server.settings.attributes)
    advice = (
        "Load the files of schemas/ldap (eduperson, supann, piactl), or correct directory.attributes. Beside "
        "another SUPANN or eduPerson schema: docs/administration.md, step 5."
    )
    return worst(faults, [], advice, "all classes and attributes exist, with their matching rules")


def password_policy(server: Server) -> CheckResult:
    subschema = _subschema(server)
    faults = []
    if PPOLICY_CONTROL not in server.first.facts.controls:
        faults.append("the server does not advertise password policies")
    if subschema is not None:
        faults += [f"attribute {n} is missing" for n in PASSWORD_ATTRIBUTES if not subschema.has_attribute(n)]
    overlays = _overlays(server)
    if overlays is not None and "ppolicy" not in overlays:
        faults.append(f"the overlay ppolicy is not on the database of {server.settings.suffix}")
    warnings = []
    config = server.config
    advice = "Add `overlay ppolicy` with its settings as in schemas/ldap/slapd.conf.in."
    if config is not None and not faults:
        if not config.hashes_passwords:
            warnings.append("ppolicy_hash_cleartext is off: passwords set by piactl are stored in clear")
        if not config.password_policy:
            faults.append("there is no ppolicy_default: ends, starts and locks of accounts have no effect")
    default_faults, default_warnings = _default_policy(server)
    if default_faults:
        faults += default_faults
        advice = f"{PUT_BACK}."
    warnings += default_warnings
    if not faults and overlays is None:
        return _OVERLAYS_UNKNOWN
    return worst(faults, warnings, advice, "ppolicy is on, passwords are hashed")


def _default_policy(server: Server) -> tuple[list[str], list[str]]:
    """Faults and warnings of the default policy: the entry that the server names, and the one in
    `password.policy`, which every identity that writes accounts must be able to read."""
    set_, served = server.passwords.policy, server.config.password_policy if server.config else ""
    faults, warnings = [], []
    if served and server.first.entry(served, ["objectClass"]) is None:
        faults.append(f"ppolicy_default {served} does not exist")
    if not set_:
        return faults, ["password.policy is not set: no run notices that the default policy is missing"]
    other = bool(served) and not same_dn(set_, served)
    if other:
        warnings.append(f"password.policy is {set_}, and ppolicy_default is {served}: runs check the first")
    blind = [name for name, probe in server.of_accounts() if probe.entry(set_, ["objectClass"]) is None]
    if blind and (other or not faults):
        faults.append(f"{', '.join(blind)} cannot find {set_} (password.policy): runs refuse")
    return faults, warnings


def one_time_codes(server: Server) -> CheckResult:
    """D18. If a portal asks for the codes, the server only stores the devices."""
    subschema = _subschema(server)
    faults = []
    if subschema is not None:
        faults += [
            f"class {name} is missing" for name in OTP_CLASSES if name.lower() not in subschema.classes
        ]
    overlays = _overlays(server)
    if server.portal and faults:
        advice = "Add `moduleload otp` (slapd-contrib), unless the portal has devices of its own."
        return note(f"{'; '.join(faults)}: piactl can store no devices", advice)
    if overlays is not None and "otp" not in overlays and not server.portal:
        faults.append(f"the overlay otp is not on the database of {server.settings.suffix}")
    advice = "Add `moduleload otp` and `overlay otp` (slapd-contrib), or set otp.enforced_by: portal."
    if not faults and overlays is None and not server.portal:
        return _OVERLAYS_UNKNOWN
    if faults:
        return error("; ".join(faults), advice)
    query = filters.all_of(
        filters.equals("objectClass", "oathTOTPParams"),  # which is indexed
        filters.present("oathTOTPTimeStepWindow"),
        filters.none_of(filters.equals("oathTOTPTimeStepWindow", str(WINDOW))),
    )
    wider = server.first.sample(server.settings.accounts, query)
    if wider is not None:
        words = f"devices whose window is not {WINDOW}, such as {wider.dn}: more codes fit than need to"
        return warning(words, f"Set their oathTOTPTimeStepWindow to {WINDOW}. {UPGRADE_PAGE}")
    asks = "a portal asks for codes" if server.portal else "otp is on"
    return fine(f"{asks}, and each device has a window of {WINDOW}")


def closures(server: Server) -> CheckResult:
    """D38. Whether a link to no device also makes the server refuse closed and locked accounts."""
    lacking = [name for name, probe in server.probes.items() if not probe.has_class(LINKED_CLASS)]
    overlays = _overlays(server)
    alone = "only the password policy refuses closed and locked accounts"
    advice = (
        "Add `moduleload otp` and `overlay otp` (slapd-contrib), also where a portal asks for the codes; the "
        "next night then links closed accounts to no device."
    )
    if len(lacking) == len(server.probes):
        return warning(f"{alone}: class {LINKED_CLASS} is missing", advice)
    if lacking:
        words = f"{', '.join(lacking)} cannot read the class {LINKED_CLASS} and would unlink closed accounts"
        return warning(words, "Let every identity read cn=Subschema.")
    if overlays is None:
        return _OVERLAYS_UNKNOWN
    if "otp" not in overlays:
        words = f"{alone}: the overlay otp is not on the database of {server.settings.suffix}"
        return warning(words, advice)
    return _unlinked(server)


def _unlinked(server: Server) -> CheckResult:
    names = server.settings.attributes
    query = closed_without_link(lambda attribute: names.get(attribute, attribute))
    account = server.first.sample(server.settings.accounts, query)
    if account is None:
        return fine("refused by the password policy and by a link to no device")
    advice = (
        "Run `piactl nightly`, which links them; a protected one: the same `piactl account close`, or a lock."
    )
    return warning(f"closed accounts without a link to no device, such as {account.dn}", advice)


def unique_names(server: Server) -> CheckResult:
    names = [server.settings.attributes.get(name, name) for name in ("piactlIdentifier", "mail")]
    seen = {name: _guarded(server, name) for name in names}
    advice = (
        "Set the overlay unique as in schemas/ldap/slapd.conf.in: one URI for each attribute, `serialize`."
    )
    config = server.config
    if config is None:
        open_ = [f"{name} can be given twice" for name, holds in seen.items() if holds is False]
        if open_:
            return worst(open_[:1], open_[1:], advice, "")
        if all(seen.values()):
            return fine(f"{' and '.join(names)}: a taken value was refused")
        return skipped("unknown: there is no account to try with, and cn=config is not readable")
    faults: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        rule = config.unique_rule(name, server.settings.accounts)
        if seen[name] is False or (rule is None and seen[name] is None):
            faults[name].append(f"{name} is not guarded below {server.settings.accounts}")
        elif rule is not None and not rule.serialize:
            faults[names[1]].append(
                f"{name} is guarded without `serialize`: two simultaneous writers get past it"
            )
    good = f"{' and '.join(names)} are guarded" + (", tried" if all(seen.values()) else "")
    return worst(faults[names[0]], faults[names[1]], advice, good)


def _guarded(server: Server, attribute: str) -> bool | None:
    """Whether the server refuses to give the value of an account to a second entry; None if it is unknown.

    The request cannot succeed."""
    query = filters.all_of(IN_ACCOUNTS, filters.present(attribute))
    account = server.first.sample(server.settings.accounts, query, attribute)
    taken = account.first(attribute) if account else None
    return server.first.guards_value(server.settings.accounts, attribute, taken) if taken else None


def indexes(server: Server) -> CheckResult:
    if server.config is None:
        return skipped(_CANNOT, _UNSEEN)
    named = server.settings.attributes
    wanted = {named.get(name, name): kinds for name, kinds in shipped_indexes().items()}
    have = server.config.indexes
    missing = [
        f"no {kind} index on {name}"
        for name, kinds in wanted.items()
        for kind in kinds
        if kind not in have.get(name.lower(), ())
    ]
    advice = (
        "Add `index NAME eq` (or pres) to the database (olcDbIndex: slapd then makes it by itself); after a "
        "change of slapd.conf run slapindex."
    )
    return worst([], missing, advice, f"{len(wanted)} attributes")


@cache
def shipped_indexes() -> dict[str, list[str]]:
    """The attributes that the shipped settings index, each with the kinds that piactl needs: eq, pres."""
    text = (schemas_folder() / "ldap" / "slapd.conf.in").read_text(encoding="utf-8")
    return {
        name: [kind for kind in kinds.split(",") if kind in _KINDS]
        for names, kinds in _INDEX.findall(text)
        for name in names.split(",")
    }


def limits(server: Server) -> CheckResult:
    errors, warnings, unknown = [], [], []
    least = 0
    for name, probe in server.of_accounts():
        size = server.config.size_limit_of(server.settings.identities[name].dn) if server.config else None
        if server.settings.identities[name].external:
            size = None
        if size == UNLIMITED:
            continue
        cut, count = probe.is_cut(server.settings.suffix, filters.ANY_ENTRY)
        least = max(least, count)
        if cut:
            errors.append(f"{name}: a search was truncated at {counted(count, 'entry', 'entries')}")
        elif size is None:
            unknown.append(name)
        elif size < 2 * count:
            errors.append(f"{name}: at most {size} entries, and the directory has {count}")
        else:
            warnings.append(f"{name}: at most {size} entries (there are {count})")
    advice = 'Set `limits dn.exact="DN of the identity" size=unlimited time=unlimited` on the database.'
    if not errors and not warnings and unknown:
        words = f"unknown beyond the {least} entries of today: limits of {', '.join(unknown)}"
        return skipped(words, _UNSEEN)
    return worst(errors, warnings, advice, f"none for {', '.join(server.probes)}")


def checkpoint(server: Server) -> CheckResult:
    suffix = server.first.entry(server.settings.suffix, ["contextCSN"])
    replicated = bool(suffix and suffix.values.get("contextCSN"))
    overlays = _overlays(server)
    if "syncprov" not in (overlays or ()) and not replicated:
        words = "not replicated" if overlays is not None else "no contextCSN: not replicated"
        return fine(words)
    config = server.config
    if config is None:
        return skipped(f"replicated; {_CANNOT}", _UNSEEN)
    if "syncprov" not in config.overlays:
        return note(
            "a consumer, or a former provider: no overlay syncprov",
            "No action, if this is intended.",
        )
    advice = (
        "Set `syncprov-checkpoint 1 1` (olcSpCheckpoint: 1 1); it costs about a quarter of the write rate."
    )
    if not config.checkpoint:
        return error("syncprov has no visible checkpoint", advice)
    operations = int(config.checkpoint.split()[0])
    if operations > 1:
        return error(f"syncprov-checkpoint {config.checkpoint} is coarse", advice)
    return fine(f"syncprov-checkpoint {config.checkpoint}")


def room(server: Server) -> CheckResult:
    database = next(filter(None, (database_room(q, server.settings.suffix) for q in server.each())), None)
    if database is None and server.config is None:
        return _MONITOR_UNKNOWN
    size = database.size if database else server.config.max_size if server.config else 0
    words = f"maxsize {size >> 20:,} MiB"
    if database:
        words += f", {database.share:.0%} used"
    advice = (
        "Raise `maxsize` of the mdb database (olcDbMaxSize, bytes): it is sparse and costs nothing unused."
    )
    if database and database.share > 0.9:
        return error(words, advice)
    if size < _SMALL_MAP or (database and database.share > 0.7):
        return warning(words, advice)
    return fine(words)


def clock(server: Server) -> CheckResult:
    for probe in server.each():
        before = server.now()
        reported = server_time(probe)
        after = server.now()
        if reported is None:
            continue
        # the server reports whole seconds
        ahead = (before - reported).total_seconds() - 1
        behind = (reported - after).total_seconds()
        apart = max(ahead, behind, 0.0)
        words = f"this host is {apart:.0f} s {'ahead of' if ahead > behind else 'behind'} the server"
        advice = "Set both clocks by NTP (timedatectl, chronyc tracking)."
        if apart > MARGIN.total_seconds():
            return error(words, advice)
        if apart > _DRIFT_SECONDS:
            return warning(words, advice)
        return fine("agrees with this host within two seconds" if apart <= 2 else words)
    return _MONITOR_UNKNOWN


def requests_in_flight(server: Server) -> CheckResult:
    """Whether the server accepts as many pending requests on one connection as piactl sends."""
    most = server.settings.in_flight
    words = f"up to {most} writes in flight" if most > 1 else "one write at a time"
    if server.config is not None and 0 < server.config.pending < most:
        words += f"; the server closes a connection with more than {server.config.pending} pending requests"
        advice = "Raise olcConnMaxPendingAuth (conn_max_pending_auth), or lower directory.in_flight."
        return note(words, advice)
    if most == 1:
        return note(words, "Set directory.in_flight: 64 for faster nights.")
    return fine(words)


def _overlays(server: Server) -> tuple[str, ...] | None:
    if server.config is not None:
        return server.config.overlays
    suffix = server.settings.suffix
    return next((o for q in server.each() if (o := database_overlays(q, suffix)) is not None), None)


def passwords_in_clear(server: Server) -> CheckResult:
    """D44. Tried with a made-up name and password at each TCP address of the server."""
    advice = (
        "Set `localSSF 128` and `security simple_bind=128` (olcLocalSSF, olcSecurity): slapd then refuses "
        f"passwords over TCP without TLS. {UPGRADE_PAGE}"
    )
    url = urlsplit(server.uri)
    uris = next((listening for probe in server.each() if (listening := listeners(probe))), None)
    ports = sorted({urlsplit(uri).port or 389 for uri in uris or () if uri.startswith("ldap://")})
    if uris is None:
        if url.scheme == "ldapi":
            return _MONITOR_UNKNOWN
        ports = [url.port or 389] if url.scheme == "ldap" else [389]
    host = url.hostname if url.scheme != "ldapi" and url.hostname else "127.0.0.1"
    answers = {f"{host}:{port}": accepts_in_clear(host, port, server.settings) for port in ports}
    open_ = [address for address, accepted in answers.items() if accepted]
    if open_:
        return error(f"accepted at {', '.join(open_)} (tried)", advice)
    tried = [address for address, accepted in answers.items() if accepted is False]
    return fine(f"refused at {', '.join(tried)} (tried)" if tried else "no port without TLS")


def password_quality(server: Server) -> CheckResult:
    """D46. Tried on an account: the server must refuse a password of one character."""
    desk = server.probes.get("desk")
    unprotected = filters.none_of(filters.equals("piactlProtected", "TRUE"))
    account = server.first.sample(server.settings.accounts, filters.all_of(IN_ACCOUNTS, unprotected))
    if desk is None or account is None:
        lacking = "desk cannot bind" if desk is None else "there is no account yet"
        return fine(f"not tried: {lacking}")
    advice = (
        "Load ppm (Debian: slapd-contrib) as ppolicy_check_module (olcPPolicyCheckModule), and set "
        f"pwdUseCheckModule in the policies. {UPGRADE_PAGE}"
    )
    accepted = desk.takes_password(account.dn, b"a" * 24)
    if accepted is None:
        return skipped("the server's answer does not show its rules")
    if accepted:
        return warning("the server accepts 24 times the same letter (tried)", advice)
    return fine("24 times the same letter is refused (tried)")


def replication(server: Server) -> CheckResult:
    """D71."""
    if len(server.csns()) < 2 and len(server.settings.servers) < 2:
        return fine("one server")
    overlays = _overlays(server)
    if overlays is None:
        return skipped("unknown: neither cn=config nor cn=monitor is readable", _UNSEEN)
    advice = "Several servers need delta-syncrepl: docs/administration.md (Several servers)."
    if not any(overlay.endswith("accesslog") for overlay in overlays):
        return error("several servers, and no access log: this is plain syncrepl", advice)
    if server.config is not None and server.config.plain_syncrepl:
        return error("olcSyncrepl has no syncdata=accesslog: this is plain syncrepl", advice)
    if server.config is not None and not server.config.has_number:
        advice = "Give each server a serverID of its own, and let the reader read olcServerID."
        return warning("no serverID can be seen (olcServerID)", advice)
    return fine("the changes are in an access log (delta-syncrepl)")


def comparisons(server: Server) -> CheckResult:
    """D69. Reads the rules only: a trial would end the server."""
    ended = server.config.ended_by_comparisons if server.config else None
    if ended is None:
        return skipped("unknown: the rules in cn=config are not readable", _UNSEEN)
    advice = f"Make `access to attrs=hasSubordinates by * compare` the first rule. {UPGRADE_PAGE}"
    words = f"the rules of {'; '.join(ended)} may refuse a comparison of hasSubordinates"
    return error(words, advice) if ended else fine("everybody may compare hasSubordinates")


_PART = re.compile(r"\(([\w.;-]+)=[^()]*[^()=]\*[^()]*\)")
_DYNAMIC = filters.equals("objectClass", GROUP_CLASS)


def groups(server: Server) -> CheckResult:
    """D64."""
    base = server.settings.groups
    listing = _listing_members(server)
    if listing is not None:
        return listing
    if not base:
        return fine("directory.groups is not set")
    if server.first.entry(base, ["ou"]) is None:
        return error(f"there is no entry {base}", UPGRADE_PAGE)
    overlays = _overlays(server)
    if overlays is None:
        return skipped("unknown: neither cn=config nor cn=monitor is readable", _UNSEEN)
    if not any(overlay.endswith("dynlist") for overlay in overlays):
        return error("the overlay dynlist is not loaded", UPGRADE_PAGE)
    return _searched_by_part(server, base) or _groups_tried(server, base)


def _listing_members(server: Server) -> CheckResult | None:
    """A finding if groups of earlier versions are left, wherever they are: who leaves stays in them."""
    settings = server.settings
    ours = filters.equals(OWNER, settings.state), filters.equals("objectClass", LISTING_CLASS)
    names = sorted(
        group_name(entry.dn)
        for entry in server.first.entries(settings.suffix, filters.all_of(*ours), ["1.1"])
    )
    if not names:
        return None
    words = f"{counted(len(names), 'group lists its', 'groups list their')} members, and nobody keeps them: "
    return error(words + few(names, 5), f"{UPGRADE_PAGE} Section 16 replaces or empties them.")


def _searched_by_part(server: Server, base: str) -> CheckResult | None:
    """A finding if groups search for a part of an attribute that the schema compares only as a whole: such a
    filter finds nobody."""
    schema = _subschema(server)
    if schema is None:
        return None
    empty: dict[str, list[str]] = {}
    for group in server.first.entries(base, _DYNAMIC, ["cn", MEMBERS]):
        for name in sorted(set(_PART.findall(shown_members(group.values)))):
            if schema.has_attribute(name) and not schema.substr(name):
                empty.setdefault(name, []).append(group.text("cn"))
    if not empty:
        return None
    words = "; ".join(
        f"the server's schema has no substring rule for {name}: "
        f"{counted(len(groups), 'group is', 'groups are')} empty, such as cn={groups[0]}"
        for name, groups in empty.items()
    )
    advice = (
        "In the schema that defines it (that of eduPerson for eduPersonEntitlement), add to the attribute "
        "SUBSTR caseExactSubstringsMatch, as in schemas/ldap/eduperson.schema."
    )
    return error(words, advice)


def _groups_tried(server: Server, base: str) -> CheckResult:
    """Whether the overlay answers in both directions, by the first member of a group."""
    probe = server.first
    for group in probe.entries(base, _DYNAMIC, ["cn"])[:_SOME]:
        entry = probe.entry(group.dn, ["member"])
        member = entry.text("member") if entry else ""
        if not member:
            continue
        account = probe.entry(member, ["memberOf"])
        of = account.values.get("memberOf", ()) if account else ()
        named = any(same_dn(dn.decode("utf-8", "replace"), group.dn) for dn in of)
        if named and probe.sample(member, filters.equals("memberOf", group.dn)):
            return fine("members, memberOf and a search by memberOf answer (tried)")
        words = f"{member} is a member of {group.dn}, and memberOf does not have it (tried)"
        advice = "Set `dynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames`. "
        return error(words, advice + UPGRADE_PAGE)
    return fine("the overlay dynlist is there; not tried: no group has a member yet")


SETTINGS: Mapping[str, Callable[[Server], CheckResult]] = {
    "D16": schema,
    "D17": password_policy,
    "D18": one_time_codes,
    "D19": unique_names,
    "D20": indexes,
    "D21": limits,
    "D24": checkpoint,
    "D25": room,
    "D26": clock,
    "D31": requests_in_flight,
    "D38": closures,
    "D44": passwords_in_clear,
    "D46": password_quality,
    "D64": groups,
    "D71": replication,
    "D69": comparisons,
}
