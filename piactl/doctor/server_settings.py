"""Checks of the settings of a server: schema, overlays, indexes, checkpoint, clock, groups."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import urlsplit

from piactl.core.credentials.totp_devices import WINDOW
from piactl.core.model.settings import IdentityName
from piactl.core.text import few
from piactl.directory import filters
from piactl.directory.dn import same_dn
from piactl.directory.probe.schema_check import (
    OTP_CLASSES,
    schema_faults,
)
from piactl.directory.probe.server_config import listeners
from piactl.directory.probe.trial_requests import accepts_in_clear
from piactl.directory.store.account_entries import IN_ACCOUNTS, closed_without_link
from piactl.directory.store.attribute_map import LINKED_CLASS
from piactl.directory.store.group_entries import (
    GROUP_CLASS,
    LISTING_CLASS,
    MEMBERS,
    OWNER,
    group_name,
    shown_members,
)
from piactl.doctor.findings import (
    UPGRADE_PAGE,
    CheckResult,
    error,
    fine,
    skipped,
    warning,
    worst,
)
from piactl.doctor.servers import UNPROTECTED, UNSEEN, Server
from piactl.phrase import counted
from piactl.runs.run_checks import PUT_BACK
from piactl.runs.run_lock import MARGIN
from piactl.runs.server_clock import ClockReading
from piactl.shipped_files import slapd_folder

PPOLICY_CONTROL = "1.3.6.1.4.1.42.2.27.8.5.1"
_CANNOT = "unknown: cn=config is not readable"
_OVERLAYS_UNKNOWN = skipped("unknown: the module is loaded, but the overlays are not readable", UNSEEN)
_MONITOR_UNKNOWN = skipped("unknown: cn=monitor is not readable", UNSEEN)
_INDEX = re.compile(r"^index\s+(\S+)\s+(\S+)", re.MULTILINE)
_KINDS = frozenset({"eq", "pres"})
_DRIFT_SECONDS = 10
_SOME = 20
"""Groups that are read to find one with a member."""


def schema(server: Server) -> CheckResult:
    subschema = server.subschema
    if subschema is None:
        return skipped("the schema is not readable", "Let the reader read cn=Subschema.")
    faults = schema_faults(subschema, server.settings.attributes)
    advice = (
        "Load the files of schemas/ldap (eduperson, supann, piactl), or correct directory.attributes. Beside "
        "another SUPANN or eduPerson schema: docs/hosts.md (A server that already runs)."
    )
    return worst(faults, [], advice, "all classes and attributes exist, with their matching rules")


def password_policy(server: Server) -> CheckResult:
    faults = []
    if PPOLICY_CONTROL not in server.first.facts.controls:
        faults.append("the server does not advertise password policies")
    overlays = server.overlays
    if overlays is not None and "ppolicy" not in overlays:
        faults.append(f"the overlay ppolicy is not on the database of {server.settings.suffix}")
    warnings = []
    config = server.config
    advice = "Add `overlay ppolicy` with its settings as in slapd/slapd.conf.in."
    if config is not None and not faults:
        if config.of_overlay("ppolicy", "olcPPolicyHashCleartext") != "TRUE":
            warnings.append("ppolicy_hash_cleartext is off: passwords set by piactl are stored in clear")
        if not config.of_overlay("ppolicy", "olcPPolicyDefault"):
            faults.append("there is no ppolicy_default: ends, starts and locks of accounts have no effect")
    default_faults, default_warnings = _default_policy(server)
    if default_faults:
        faults += default_faults
        advice = f"{PUT_BACK}."
    warnings += default_warnings
    if not faults and _takes_one_letter(server):
        warnings.append("the server accepts 24 times the same letter (tried)")
        advice += (
            " Load ppm (Debian: slapd-contrib) as ppolicy_check_module (olcPPolicyCheckModule), and set "
        )
        advice += f"pwdUseCheckModule in the policies. {UPGRADE_PAGE}"
    if not faults and not warnings and overlays is None:
        return _OVERLAYS_UNKNOWN
    return worst(faults, warnings, advice, "ppolicy is on, passwords are hashed")


def _takes_one_letter(server: Server) -> bool:
    """Whether the server accepts a password of one letter, tried as the desk on an account; False if that is
    unknown."""
    desk = server.probes.get("desk")
    account = server.account(UNPROTECTED)
    return desk is not None and account is not None and desk.takes_password(account, b"a" * 24) is True


def _default_policy(server: Server) -> tuple[list[str], list[str]]:
    """Faults and warnings of the default policy: the entry that the server names, and the one in
    `password.policy`, which every identity that writes accounts must be able to read."""
    set_ = server.passwords.policy
    served = server.config.of_overlay("ppolicy", "olcPPolicyDefault") if server.config else ""
    faults, warnings = [], []
    if served and server.first.entry(served, ["objectClass"]) is None:
        faults.append(f"ppolicy_default {served} does not exist")
    if not set_:
        return faults, ["password.policy is not set: no run notices that the default policy is missing"]
    other = bool(served) and not same_dn(set_, served)
    if other:
        warnings.append(f"password.policy is {set_}, and ppolicy_default is {served}: runs check the first")
    blind = [
        name
        for name, probe in server.probes.items()
        if name != IdentityName.APPROVER and probe.entry(set_, ["objectClass"]) is None
    ]
    if blind and (other or not faults):
        faults.append(f"{', '.join(blind)} cannot find {set_} (password.policy): runs refuse")
    return faults, warnings


def one_time_codes(server: Server) -> CheckResult:
    """D18. If a portal asks for the codes, the server only stores the devices."""
    subschema = server.subschema
    faults = []
    if subschema is not None:
        faults += [f"class {name} is missing" for name in OTP_CLASSES if not subschema.has_class(name)]
    overlays = server.overlays
    if server.content.portal and faults:
        return fine(f"a portal asks for codes; {'; '.join(faults)}: piactl can store no devices")
    if overlays is not None and "otp" not in overlays and not server.content.portal:
        faults.append(f"the overlay otp is not on the database of {server.settings.suffix}")
    advice = "Add `moduleload otp` and `overlay otp` (slapd-contrib), or set otp.enforced_by: portal."
    if not faults and overlays is None and not server.content.portal:
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
    asks = "a portal asks for codes" if server.content.portal else "otp is on"
    return fine(f"{asks}, and each device has a window of {WINDOW}")


def closures(server: Server) -> CheckResult:
    """D38. Whether a link to no device also makes the server refuse closed and locked accounts."""
    with_link = filters.with_class(LINKED_CLASS)
    lacking = [name for name, probe in server.probes.items() if not probe.schema_meets(with_link)]
    overlays = server.overlays
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
    advice = "Set the overlay unique as in slapd/slapd.conf.in: one URI for each attribute, `serialize`."
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
        if seen[name] is False or (not rule and seen[name] is None):
            faults[name].append(f"{name} is not guarded below {server.settings.accounts}")
        elif rule and "serialize" not in rule.split():
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
        return skipped(_CANNOT, UNSEEN)
    named = server.settings.attributes
    wanted = {named.get(name, name): kinds for name, kinds in shipped_indexes().items()}
    have = server.config.indexes()
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
    text = (slapd_folder() / "slapd.conf.in").read_text(encoding="utf-8")
    return {
        name: [kind for kind in kinds.split(",") if kind in _KINDS]
        for names, kinds in _INDEX.findall(text)
        for name in names.split(",")
    }


def checkpoint(server: Server) -> CheckResult:
    config = server.config
    if "syncprov" not in (config.overlays if config else ()) and not server.csns:
        return fine("not replicated" if config else "no contextCSN: not replicated")
    if config is None:
        return skipped(f"replicated; {_CANNOT}", UNSEEN)
    if "syncprov" not in config.overlays:
        return fine("a consumer, or a former provider: no overlay syncprov")
    advice = (
        "Set `syncprov-checkpoint 1 1` (olcSpCheckpoint: 1 1); it costs about a quarter of the write rate."
    )
    checkpoint = config.of_overlay("syncprov", "olcSpCheckpoint")
    if not checkpoint:
        return error("syncprov has no visible checkpoint", advice)
    operations = int(checkpoint.split()[0])
    if operations > 1:
        return error(f"syncprov-checkpoint {checkpoint} is coarse", advice)
    return fine(f"syncprov-checkpoint {checkpoint}")


def clock(server: Server) -> CheckResult:
    for probe in server.probes.values():
        before, reported = server.now(), probe.clock()
        if reported is None:
            continue
        ahead = ClockReading(before, reported, server.now()).ahead().total_seconds()
        apart = max(ahead - 1, -ahead, 0.0)  # the server reports whole seconds
        words = f"this host is {apart:.0f} s {'ahead of' if ahead > 0 else 'behind'} the server"
        advice = "Set both clocks by NTP (timedatectl, chronyc tracking)."
        if apart > MARGIN.total_seconds():
            return error(words, advice)
        if apart > _DRIFT_SECONDS:
            return warning(words, advice)
        return fine("agrees with this host within two seconds" if apart <= 2 else words)
    return _MONITOR_UNKNOWN


def passwords_in_clear(server: Server) -> CheckResult:
    """D44. Tried with a made-up name and password at each TCP address of the server."""
    advice = (
        "Set `localSSF 128` and `security simple_bind=128` (olcLocalSSF, olcSecurity): slapd then refuses "
        f"passwords over TCP without TLS. {UPGRADE_PAGE}"
    )
    url = urlsplit(server.uri)
    uris = next(filter(None, map(listeners, server.probes.values())), None)
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


def comparisons(server: Server) -> CheckResult:
    """D69. Reads the rules only: a trial would end the server."""
    ended = server.config.ended_by_comparisons() if server.config else None
    if ended is None:
        return skipped("unknown: the rules in cn=config are not readable", UNSEEN)
    advice = f"Make `access to attrs=hasSubordinates by * compare` the first rule. {UPGRADE_PAGE}"
    words = f"the rules of {'; '.join(ended)} may refuse a comparison of hasSubordinates"
    return error(words, advice) if ended else fine("everybody may compare hasSubordinates")


_PART = re.compile(r"\(([\w.;-]+)=[^()]*[^()=]\*[^()]*\)")
_DYNAMIC = filters.equals("objectClass", GROUP_CLASS)


def groups(server: Server) -> CheckResult:
    base = server.settings.groups
    listing = _listing_members(server)
    if listing is not None:
        return listing
    if not base:
        return fine("directory.groups is not set")
    if server.first.entry(base, ["ou"]) is None:
        return error(f"there is no entry {base}", UPGRADE_PAGE)
    overlays = server.overlays
    if overlays is None:
        return skipped(_CANNOT, UNSEEN)
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
    words = counted(len(names), "group lists its", "groups list their") + " members, and nobody keeps them: "
    return error(words + few(names, 5), f"{UPGRADE_PAGE} Section 16 replaces or empties them.")


def _searched_by_part(server: Server, base: str) -> CheckResult | None:
    """A finding if groups search for a part of an attribute that the schema compares only as a whole: such a
    filter finds nobody."""
    schema = server.subschema
    if schema is None:
        return None
    empty: dict[str, list[str]] = {}
    for group in server.first.entries(base, _DYNAMIC, ["cn", MEMBERS]):
        for name in sorted(set(_PART.findall(shown_members(group.values)))):
            if schema.has_attribute(name) and not schema.rule(name, "substr"):
                empty.setdefault(name, []).append(group.text("cn"))
    if not empty:
        return None
    words = "; ".join(
        f"the server's schema has no substring rule for {name}: "
        + counted(len(groups), "group is", "groups are")
        + f" empty, such as cn={groups[0]}"
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
