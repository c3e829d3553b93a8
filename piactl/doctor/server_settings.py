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
from piactl.doctor.facts import (
    UPGRADE_PAGE,
    CheckResult,
    error,
    fine,
    skipped,
    warning,
    worst,
)
from piactl.doctor.servers import UNPROTECTED, UNSEEN, Server
from piactl.phrase import Phrase, counted, joined
from piactl.runs.run_checks import PUT_BACK
from piactl.runs.run_lock import MARGIN
from piactl.runs.server_clock import ClockReading
from piactl.shipped_files import slapd_folder

PPOLICY_CONTROL = "1.3.6.1.4.1.42.2.27.8.5.1"
_CANNOT = Phrase("unknown: cn=config is not readable")
_OVERLAYS_UNKNOWN = skipped(
    Phrase("unknown: the module is loaded, but the overlays are not readable"), UNSEEN
)
_MONITOR_UNKNOWN = skipped(Phrase("unknown: cn=monitor is not readable"), UNSEEN)
_INDEX = re.compile(r"^index\s+(\S+)\s+(\S+)", re.MULTILINE)
_KINDS = frozenset({"eq", "pres"})
_DRIFT_SECONDS = 10
_SOME = 20
"""Groups that are read to find one with a member."""


def schema(server: Server) -> CheckResult:
    subschema = server.subschema
    if subschema is None:
        return skipped(Phrase("the schema is not readable"), Phrase("Let the reader read cn=Subschema."))
    faults = schema_faults(subschema, server.settings.attributes)
    advice = Phrase(
        "Load the files of schemas/ldap (eduperson, supann, piactl), or correct directory.attributes. "
        "Beside another SUPANN or eduPerson schema: docs/hosts.md (A server that already runs)."
    )
    return worst(faults, [], advice, Phrase("all classes and attributes exist, with their matching rules"))


def password_policy(server: Server) -> CheckResult:
    faults: list[str] = []
    if PPOLICY_CONTROL not in server.first.facts.controls:
        faults.append(Phrase("the server does not advertise password policies"))
    overlays = server.overlays
    if overlays is not None and "ppolicy" not in overlays:
        faults.append(
            Phrase("the overlay ppolicy is not on the database of {suffix}", suffix=server.settings.suffix)
        )
    warnings: list[str] = []
    config = server.config
    advice: str = Phrase("Add `overlay ppolicy` with its settings as in slapd/slapd.conf.in.")
    if config is not None and not faults:
        if config.of_overlay("ppolicy", "olcPPolicyHashCleartext") != "TRUE":
            warnings.append(
                Phrase("ppolicy_hash_cleartext is off: passwords set by piactl are stored in clear")
            )
        if not config.of_overlay("ppolicy", "olcPPolicyDefault"):
            faults.append(
                Phrase("there is no ppolicy_default: ends, starts and locks of accounts have no effect")
            )
    default_faults, default_warnings = _default_policy(server)
    if default_faults:
        faults += default_faults
        advice = Phrase("{advice}.", advice=PUT_BACK)
    warnings += default_warnings
    if not faults and _takes_one_letter(server):
        warnings.append(Phrase("the server accepts 24 times the same letter (tried)"))
        load = Phrase(
            "Load ppm (Debian: slapd-contrib) as ppolicy_check_module (olcPPolicyCheckModule), and set "
            "pwdUseCheckModule in the policies. {upgrade_page}",
            upgrade_page=UPGRADE_PAGE,
        )
        advice = joined([advice, load], "{first} {second}")
    if not faults and not warnings and overlays is None:
        return _OVERLAYS_UNKNOWN
    return worst(faults, warnings, advice, Phrase("ppolicy is on, passwords are hashed"))


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
    faults: list[str] = []
    warnings: list[str] = []
    if served and server.first.entry(served, ["objectClass"]) is None:
        faults.append(Phrase("ppolicy_default {served} does not exist", served=served))
    if not set_:
        return faults, [
            Phrase("password.policy is not set: no run notices that the default policy is missing")
        ]
    other = bool(served) and not same_dn(set_, served)
    if other:
        warnings.append(
            Phrase(
                "password.policy is {set}, and ppolicy_default is {served}: runs check the first",
                set=set_,
                served=served,
            )
        )
    blind = [
        name
        for name, probe in server.probes.items()
        if name != IdentityName.APPROVER and probe.entry(set_, ["objectClass"]) is None
    ]
    if blind and (other or not faults):
        faults.append(
            Phrase(
                "{names} cannot find {set} (password.policy): runs refuse", names=", ".join(blind), set=set_
            )
        )
    return faults, warnings


def one_time_codes(server: Server) -> CheckResult:
    """D18. If a portal asks for the codes, the server only stores the devices."""
    subschema = server.subschema
    faults = []
    if subschema is not None:
        faults += [
            Phrase("class {name} is missing", name=name)
            for name in OTP_CLASSES
            if not subschema.has_class(name)
        ]
    overlays = server.overlays
    if server.content.portal and faults:
        return fine(
            Phrase("a portal asks for codes; {names}: piactl can store no devices", names=joined(faults))
        )
    if overlays is not None and "otp" not in overlays and not server.content.portal:
        faults.append(
            Phrase("the overlay otp is not on the database of {suffix}", suffix=server.settings.suffix)
        )
    advice = Phrase("Add `moduleload otp` and `overlay otp` (slapd-contrib), or set otp.enforced_by: portal.")
    if not faults and overlays is None and not server.content.portal:
        return _OVERLAYS_UNKNOWN
    if faults:
        return error(joined(faults), advice)
    query = filters.all_of(
        filters.equals("objectClass", "oathTOTPParams"),  # which is indexed
        filters.present("oathTOTPTimeStepWindow"),
        filters.none_of(filters.equals("oathTOTPTimeStepWindow", str(WINDOW))),
    )
    wider = server.first.sample(server.settings.accounts, query)
    if wider is not None:
        words = Phrase(
            "devices whose window is not {window}, such as {dn}: more codes fit than need to",
            window=WINDOW,
            dn=wider.dn,
        )
        return warning(
            words,
            Phrase(
                "Set their oathTOTPTimeStepWindow to {window}. {upgrade_page}",
                window=WINDOW,
                upgrade_page=UPGRADE_PAGE,
            ),
        )
    asks = Phrase("a portal asks for codes") if server.content.portal else Phrase("otp is on")
    return fine(Phrase("{asks}, and each device has a window of {window}", asks=asks, window=WINDOW))


def closures(server: Server) -> CheckResult:
    """D38. Whether a link to no device also makes the server refuse closed and locked accounts."""
    with_link = filters.with_class(LINKED_CLASS)
    lacking = [name for name, probe in server.probes.items() if not probe.schema_meets(with_link)]
    overlays = server.overlays
    alone = Phrase("only the password policy refuses closed and locked accounts")
    advice = Phrase(
        "Add `moduleload otp` and `overlay otp` (slapd-contrib), also where a portal asks for the codes; "
        "the next night then links closed accounts to no device."
    )
    if len(lacking) == len(server.probes):
        return warning(
            Phrase("{alone}: class {linked_class} is missing", alone=alone, linked_class=LINKED_CLASS), advice
        )
    if lacking:
        words = Phrase(
            "{names} cannot read the class {linked_class} and would unlink closed accounts",
            names=", ".join(lacking),
            linked_class=LINKED_CLASS,
        )
        return warning(words, Phrase("Let every identity read cn=Subschema."))
    if overlays is None:
        return _OVERLAYS_UNKNOWN
    if "otp" not in overlays:
        words = Phrase(
            "{alone}: the overlay otp is not on the database of {suffix}",
            alone=alone,
            suffix=server.settings.suffix,
        )
        return warning(words, advice)
    return _unlinked(server)


def _unlinked(server: Server) -> CheckResult:
    names = server.settings.attributes
    query = closed_without_link(lambda attribute: names.get(attribute, attribute))
    account = server.first.sample(server.settings.accounts, query)
    if account is None:
        return fine(Phrase("refused by the password policy and by a link to no device"))
    advice = Phrase(
        "Run `piactl nightly`, which links them; a protected one: the same `piactl account close`, or a lock."
    )
    return warning(Phrase("closed accounts without a link to no device, such as {dn}", dn=account.dn), advice)


def unique_names(server: Server) -> CheckResult:
    names = [server.settings.attributes.get(name, name) for name in ("piactlIdentifier", "mail")]
    seen = {name: _guarded(server, name) for name in names}
    advice = Phrase(
        "Set the overlay unique as in slapd/slapd.conf.in: one URI for each attribute, `serialize`."
    )
    config = server.config
    if config is None:
        open_ = [
            Phrase("{name} can be given twice", name=name) for name, holds in seen.items() if holds is False
        ]
        if open_:
            return worst(open_[:1], open_[1:], advice, "")
        if all(seen.values()):
            return fine(
                Phrase("{names}: a taken value was refused", names=joined(names, "{first} and {second}"))
            )
        return skipped(Phrase("unknown: there is no account to try with, and cn=config is not readable"))
    faults: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        rule = config.unique_rule(name, server.settings.accounts)
        if seen[name] is False or (not rule and seen[name] is None):
            faults[name].append(
                Phrase("{name} is not guarded below {accounts}", name=name, accounts=server.settings.accounts)
            )
        elif rule and "serialize" not in rule.split():
            faults[names[1]].append(
                Phrase(
                    "{name} is guarded without `serialize`: two simultaneous writers get past it", name=name
                )
            )
    both = joined(names, "{first} and {second}")
    good = Phrase("{names} are guarded", names=both)
    if all(seen.values()):
        good = Phrase("{names} are guarded, tried", names=both)
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
        Phrase("no {kind} index on {name}", kind=kind, name=name)
        for name, kinds in wanted.items()
        for kind in kinds
        if kind not in have.get(name.lower(), ())
    ]
    advice = Phrase(
        "Add `index NAME eq` (or pres) to the database (olcDbIndex: slapd then makes it by itself); after "
        "a change of slapd.conf run slapindex."
    )
    return worst([], missing, advice, counted(len(wanted), "attribute", "attributes"))


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
        return fine(Phrase("not replicated") if config else Phrase("no contextCSN: not replicated"))
    if config is None:
        return skipped(Phrase("replicated; {why}", why=_CANNOT), UNSEEN)
    if "syncprov" not in config.overlays:
        return fine(Phrase("a consumer, or a former provider: no overlay syncprov"))
    advice = Phrase(
        "Set `syncprov-checkpoint 1 1` (olcSpCheckpoint: 1 1); it costs about a quarter of the write rate."
    )
    checkpoint = config.of_overlay("syncprov", "olcSpCheckpoint")
    if not checkpoint:
        return error(Phrase("syncprov has no visible checkpoint"), advice)
    operations = int(checkpoint.split()[0])
    if operations > 1:
        return error(Phrase("syncprov-checkpoint {checkpoint} is coarse", checkpoint=checkpoint), advice)
    return fine(f"syncprov-checkpoint {checkpoint}")


def clock(server: Server) -> CheckResult:
    for probe in server.probes.values():
        before, reported = server.now(), probe.clock()
        if reported is None:
            continue
        ahead = ClockReading(before, reported, server.now()).ahead().total_seconds()
        apart = max(ahead - 1, -ahead, 0.0)  # the server reports whole seconds
        form = (
            Phrase("this host is {seconds} s ahead of the server")
            if ahead > 0
            else Phrase("this host is {seconds} s behind the server")
        )
        words = Phrase(form, seconds=f"{apart:.0f}")
        advice = Phrase("Set both clocks by NTP (timedatectl, chronyc tracking).")
        if apart > MARGIN.total_seconds():
            return error(words, advice)
        if apart > _DRIFT_SECONDS:
            return warning(words, advice)
        return fine(Phrase("agrees with this host within two seconds") if apart <= 2 else words)
    return _MONITOR_UNKNOWN


def passwords_in_clear(server: Server) -> CheckResult:
    """D44. Tried with a made-up name and password at each TCP address of the server."""
    advice = Phrase(
        "Set `localSSF 128` and `security simple_bind=128` (olcLocalSSF, olcSecurity): slapd then refuses "
        "passwords over TCP without TLS. {upgrade_page}",
        upgrade_page=UPGRADE_PAGE,
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
        return error(Phrase("accepted at {names} (tried)", names=", ".join(open_)), advice)
    tried = [address for address, accepted in answers.items() if accepted is False]
    return fine(
        Phrase("refused at {names} (tried)", names=", ".join(tried))
        if tried
        else Phrase("no port without TLS")
    )


def comparisons(server: Server) -> CheckResult:
    """D69. Reads the rules only: a trial would end the server."""
    ended = server.config.ended_by_comparisons() if server.config else None
    if ended is None:
        return skipped(Phrase("unknown: the rules in cn=config are not readable"), UNSEEN)
    advice = Phrase(
        "Make `access to attrs=hasSubordinates by * compare` the first rule. {upgrade_page}",
        upgrade_page=UPGRADE_PAGE,
    )
    words = Phrase("the rules of {names} may refuse a comparison of hasSubordinates", names=joined(ended))
    return error(words, advice) if ended else fine(Phrase("everybody may compare hasSubordinates"))


_PART = re.compile(r"\(([\w.;-]+)=[^()]*[^()=]\*[^()]*\)")
_DYNAMIC = filters.equals("objectClass", GROUP_CLASS)


def groups(server: Server) -> CheckResult:
    base = server.settings.groups
    listing = _listing_members(server)
    if listing is not None:
        return listing
    if not base:
        return fine(Phrase("directory.groups is not set"))
    if server.first.entry(base, ["ou"]) is None:
        return error(Phrase("there is no entry {base}", base=base), UPGRADE_PAGE)
    overlays = server.overlays
    if overlays is None:
        return skipped(_CANNOT, UNSEEN)
    if not any(overlay.endswith("dynlist") for overlay in overlays):
        return error(Phrase("the overlay dynlist is not loaded"), UPGRADE_PAGE)
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
    groups = counted(len(names), "group lists its", "groups list their")
    return error(
        Phrase("{groups} members, and nobody keeps them: {names}", groups=groups, names=few(names, 5)),
        Phrase("{upgrade_page} Section 16 replaces or empties them.", upgrade_page=UPGRADE_PAGE),
    )


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
    words = joined(
        Phrase(
            "the server's schema has no substring rule for {name}: {groups} empty, such as cn={group}",
            name=name,
            groups=counted(len(groups), "group is", "groups are"),
            group=groups[0],
        )
        for name, groups in empty.items()
    )
    advice = Phrase(
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
            return fine(Phrase("members, memberOf and a search by memberOf answer (tried)"))
        words = Phrase(
            "{member} is a member of {dn}, and memberOf does not have it (tried)", member=member, dn=group.dn
        )
        advice = Phrase("Set `dynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames`.")
        return error(words, joined([advice, UPGRADE_PAGE], "{first} {second}"))
    return fine(Phrase("the overlay dynlist is there; not tried: no group has a member yet"))
