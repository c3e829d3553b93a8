"""Reads `policy.yaml`: who gets what, when.

`check_schema` reports mistakes of form; `_policy` builds the values and reports names that are not defined.
`_policy` never fails on a wrong form, so one run reports the mistakes of both.
"""

from __future__ import annotations

from itertools import product
from math import prod
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from piactl.config.guard_settings import names_guards, read_guard_periods, read_guards
from piactl.config.schema_validation import hint, read_checked
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.core.model.person import read_uai
from piactl.core.model.policy import (
    ASSIGNMENT_FIELDS,
    EMPLOYEE,
    ESTABLISHMENT_FIELDS,
    MERGE,
    ApprovalRule,
    Approvals,
    ExtraGroup,
    GraceRule,
    GroupSettings,
    Policy,
    Position,
    PosixSettings,
    Profile,
    Service,
    When,
)
from piactl.core.naming.local_part_and_capitalisation import plain_letters
from piactl.core.plan.change import GUARD_KINDS, Kind
from piactl.core.text import counted
from piactl.errors import Mistake

__all__ = ["DEFAULT_GRACE_DAYS", "policy_warnings", "read_policy"]

DEFAULT_GRACE_DAYS = 30

_NOBODY = 65_535

# `Policy` has slots, so its defaults are not class attributes: an empty policy holds them
_USUAL = Policy()


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises ConfigurationInvalid with every mistake in it, by line and column."""
    document = read_checked(path, "policy")
    policy = _policy(document, path.name)
    document.refuse_mistakes()
    return policy


def _policy(document: Document, file: str) -> Policy:
    root = document.root
    accounts, guards = root.at("accounts"), root.at("guards")
    domain = accounts.at("domain").text(_USUAL.domain)
    _check_timezone(document, root.at("timezone"))
    return Policy(
        timezone=root.at("timezone").text(_USUAL.timezone),
        domain=domain,
        open_before=accounts.at("open_before").integer(_USUAL.open_before),
        bridge=accounts.at("bridge").integer(_USUAL.bridge),
        retention=accounts.at("retention").integer(_USUAL.retention),
        sponsored_days=accounts.at("sponsored_days").integer(0) or None,
        first_homonym_digit=accounts.at("first_homonym_digit").integer(_USUAL.first_homonym_digit),
        name_case=accounts.at("name_case").text(_USUAL.name_case),
        real_names=frozenset(map(plain_letters, accounts.at("real_names").texts())),
        urn=accounts.at("urn").text(f"urn:mace:{domain}:service:"),
        uid_form=accounts.at("uid_form").text(_USUAL.uid_form),
        posix=_posix(document, accounts.at("posix")),
        unique_id=accounts.at("unique_id").truth(_USUAL.unique_id),
        unknown_establishment=accounts.at("unknown_establishment").text(_USUAL.unknown_establishment),
        grace=_grace(document, root),
        profiles=_profiles(document, root),
        positions=_positions(document, root),
        services=_services(document, root),
        otp_enforced_by=root.at("otp").at("enforced_by").text(_USUAL.otp_enforced_by),
        otp_issuer=root.at("otp").at("issuer").text(domain),
        otp_reach=root.at("otp").at("resync_minutes").integer(_USUAL.otp_reach),
        guards=read_guards(guards),
        periods=read_guard_periods(document, guards),
        own_guards=names_guards(guards),
        window=guards.at("window").integer(7),
        approvals=_approvals(document, root.at("approvals")),
        protected=frozenset(root.at("protected").texts()),
        groups=_groups(document, root),
        digest=document.digest,
        content=document.content_digest(),
        file=file,
    )


def _posix(document: Document, node: Node) -> PosixSettings | None:
    if node.value is None:
        return None
    first, last = node.at("first").integer(0), node.at("last").integer(0)
    if first > last:
        document.mistake(
            node.at("last"), f"accounts.posix.last: {last} is less than first, {first}; change one of them"
        )
    if first <= _NOBODY and last >= _NOBODY - 1:
        document.mistake(
            node.at("first"),
            "accounts.posix.first: Unix hosts have 65534 and 65535 for nobody; leave them out of the range",
        )
    home, shell = node.at("home").text("/home/{uid}"), node.at("shell").text("/bin/bash")
    return PosixSettings(first, last, node.at("group").integer(0), home, shell)


def _approvals(document: Document, node: Node) -> Approvals:
    usual = _USUAL.approvals
    for rule in node.at("required").items():
        if isinstance(rule.value, dict) and len({"refused", "kind", "protected"} & {*rule.value}) > 1:
            wrong = "approvals.required: write `refused`, `kind` and `protected` as rules of their own"
            document.mistake(rule, wrong)
        for key, valid in (
            ("refused", ("any", *GUARD_KINDS)),
            ("kind", [*(kind.value for kind in Kind), MERGE]),
        ):
            for name in rule.at(key).text_nodes():
                if name.text() not in valid:
                    why = f"approvals.required.{key}: there is no {quoted(name)}; {hint(name.text(), valid)}"
                    document.mistake(name, why)
    rules = tuple(
        ApprovalRule(
            refused=frozenset(rule.at("refused").texts()),
            kinds=frozenset(rule.at("kind").texts()),
            more_than=rule.at("more_than").integer(0),
            protected=rule.at("protected").truth(False),
        )
        for rule in node.at("required").items()
    )
    return Approvals(rules, node.at("count").integer(usual.count), node.at("hours").integer(usual.hours))


def _check_timezone(document: Document, node: Node) -> None:
    try:
        ZoneInfo(node.text(_USUAL.timezone))
    except (KeyError, ValueError, OSError):
        zones = available_timezones()
        document.mistake(node, f"timezone: {quoted(node)} is not a time zone; {hint(node.text(), zones)}")


def _when(document: Document, node: Node, label: str) -> When:
    for place in node.at("uai").text_nodes():
        uai, why = read_uai(place.text())
        if why or uai != place.text():
            document.mistake(place, f"{label}.when.uai: {why or f'write {uai}'}")
    if "position" in dict(node.entries()):
        _refuse_unknown(document, node.at("position"), "positions", f"{label}.when.position")
    names = (*ASSIGNMENT_FIELDS, *ESTABLISHMENT_FIELDS)
    conditions = {name: frozenset(node.at(name).texts()) for name in names if node.at(name).value is not None}
    return When(conditions, node.line)


def _refuse_unknown(document: Document, node: Node, section: str, label: str) -> None:
    """Adds a mistake for each name in `node` that the section of the policy does not define."""
    valid = dict(document.root.at(section).entries())
    for place in node.text_nodes():
        if place.text() not in valid:
            document.mistake(
                place, f"{label}: there is no {section[:-1]} {place.text()}; {hint(place.text(), valid)}"
            )


def _grace(document: Document, root: Node) -> tuple[GraceRule, ...]:
    node = root.at("grace")
    if node.value is None:
        return (GraceRule(When(), DEFAULT_GRACE_DAYS),)
    return tuple(
        GraceRule(_when(document, rule.at("when"), "grace"), rule.at("days").integer(0), rule.line)
        for rule in node.items()
    )


def _profiles(document: Document, root: Node) -> tuple[Profile, ...]:
    profiles = root.at("profiles")
    return tuple(
        Profile(
            name,
            _when(document, node.at("when"), f"profiles.{name}"),
            profiles.key_line(name),
            EMPLOYEE if node.at("affiliations").value is None else frozenset(node.at("affiliations").texts()),
        )
        for name, node in profiles.entries()
    )


def _positions(document: Document, root: Node) -> dict[str, Position]:
    positions = root.at("positions")
    result = {}
    for name, node in positions.entries():
        keeps = node.at("keeps")
        if isinstance(keeps.value, list):
            _refuse_unknown(document, keeps, "services", f"positions.{name}.keeps")
        if name == "default" and node.at("ends").truth(False):
            document.mistake(
                node.at("ends"),
                "positions.default.ends: this would end every assignment without a position; remove it",
            )
        everything = keeps.value is None or keeps.value == "all"
        login, grace = node.at("login"), node.at("grace")
        result[name] = Position(
            name,
            keeps=None if everything else frozenset(item.text() for item in keeps.items()),
            login=None if login.value is None else login.truth(False),
            lock=node.at("lock").truth(False),
            ends=node.at("ends").truth(False),
            grace=None if grace.value is None else grace.integer(0),
            codes=frozenset(node.at("codes").texts()),
            line=positions.key_line(name),
        )
    _check_codes(document, positions)
    return result


def _check_codes(document: Document, positions: Node) -> None:
    """Adds a mistake for each code that two positions have, or that is the name of another position."""
    owners = {name: name for name, _ in positions.entries()}
    for name, node in positions.entries():
        for place in node.at("codes").text_nodes():
            owner = owners.setdefault(place.text(), name)
            if owner != name:
                document.mistake(
                    place,
                    f"positions.{name}.codes: {place.text()} is position {owner} already; remove one of them",
                )


def _services(document: Document, root: Node) -> dict[str, Service]:
    services = root.at("services")
    return {
        name: _service(document, name, node, services.key_line(name)) for name, node in services.entries()
    }


def _service(document: Document, name: str, node: Node, line: int) -> Service:
    profiles, handover, meanwhile = node.at("profiles"), node.at("handover"), node.at("meanwhile")
    if isinstance(profiles.value, list):
        _refuse_unknown(document, profiles, "profiles", f"services.{name}.profiles")
    per_establishment = node.at("scope").text("person") == "establishment"
    if handover.value is not None and not per_establishment:
        document.mistake(
            handover,
            f"services.{name}.handover: allowed only with `scope: establishment`; remove one of them",
        )
    if meanwhile.value is not None and per_establishment:
        document.mistake(
            meanwhile, f"services.{name}.meanwhile: allowed only with `scope: person`; remove one of them"
        )
    grant_delay = node.at("grant_delay").integer(0)
    everyone = profiles.value is None or profiles.value == "all"
    return Service(
        name,
        label=node.at("label").text(name),
        profiles=None if everyone else frozenset(item.text() for item in profiles.items()),
        when=_when(document, node.at("when"), f"services.{name}"),
        per_establishment=per_establishment,
        grant_delay=grant_delay,
        mutation_delay=node.at("mutation_delay").integer(grant_delay),
        keep=meanwhile.text("keep") == "keep",
        handover=handover.integer(0),
        in_grace=node.at("in_grace").truth(False),
        otp=node.at("otp").text("never"),
        line=line,
    )


def _groups(document: Document, root: Node) -> GroupSettings:
    node = root.at("groups")
    services, places, extra = node.at("services"), node.at("per_establishment"), node.at("extra")
    everything = services.value == "all"
    if not everything:
        _refuse_unknown(document, services, "services", "groups.services")
    of_services, of_profiles = (dict(root.at(section).entries()) for section in ("services", "profiles"))
    for place in places.text_nodes():
        if place.text() in of_profiles and place.text() not in of_services:
            continue
        if place.text() not in of_services:
            names = (*of_services, *of_profiles)
            label = f"groups.per_establishment: there is no service or profile {place.text()}"
            document.mistake(place, f"{label}; {hint(place.text(), names)}")
        if (
            place.text() in of_services
            and of_services[place.text()].at("scope").text("person") != "establishment"
        ):
            document.mistake(
                place,
                f"groups.per_establishment: {place.text()} has no `scope: establishment`; remove it",
            )
    groups = []
    for name, group in extra.entries():
        _refuse_unknown(document, group.at("profile"), "profiles", f"groups.extra.{name}.profile")
        _refuse_unknown(document, group.at("service"), "services", f"groups.extra.{name}.service")
        if group.at("profile").value is None and group.at("service").value is None:
            document.mistake(group, f"groups.extra.{name}: name its profiles or services, {{profile: [...]}}")
        profiles, rights = tuple(group.at("profile").texts()), tuple(group.at("service").texts())
        groups.append(ExtraGroup(name, group.at("label").text(name), profiles, rights, extra.key_line(name)))
    chosen = None if everything else frozenset(services.texts()) & of_services.keys()
    per_establishment = tuple(name for name in places.texts() if name in of_services or name in of_profiles)
    return GroupSettings(
        chosen,
        per_establishment,
        extra=tuple(groups),
        line=root.key_line("groups") if node.value else 0,
    )


LONGEST_KEEPING = 92
"""Three months, in days: arrêté du 30 novembre 2006, article 6, for the data of school portals."""

_MOST_COMBINATIONS = 20_000


def policy_warnings(policy: Policy, file: str = "policy.yaml") -> list[Mistake]:
    """The warnings in file order: unreachable profiles, services that no profile gets or whose condition none
    of their profiles can meet, and data kept longer than three months."""
    unreachable = _unreachable(policy)
    warnings = [*unreachable.values(), *_too_long(policy)]
    for service in policy.services.values():
        if service.profiles is not None and not service.profiles - set(unreachable):
            warnings.append(
                (service.line, f"services.{service.name}: no profile gets it; name another, or remove it")
            )
        elif service.when.conditions and not any(
            _together(p.when, service.when) for p in policy.profiles if service.serves(p.name)
        ):
            warnings.append(
                (
                    service.when.line,
                    f"services.{service.name}.when: fits none of its profiles; change one of them",
                )
            )
    return [Mistake(file, line, 0, message) for line, message in sorted(warnings)]


def _unreachable(policy: Policy) -> dict[str, tuple[int, str]]:
    unreachable = {}
    for index, profile in enumerate(policy.profiles):
        takers = _takers(policy.profiles[:index], profile.when)
        if takers:
            names = " and ".join(takers)
            verb = "takes" if len(takers) == 1 else "take"
            unreachable[profile.name] = (
                profile.line,
                f"profiles.{profile.name}: nobody can have it: {names} before it {verb}"
                " every assignment it matches; move it up",
            )
    return unreachable


def _takers(earlier: tuple[Profile, ...], when: When) -> list[str]:
    """The earlier profiles that together match every assignment that `when` matches; [] if they do not."""
    names = list(when.conditions)
    for profile in earlier:
        conditions = profile.when.conditions
        if all(name in names and values >= when.conditions[name] for name, values in conditions.items()):
            return [profile.name]
    if prod(len(values) for values in when.conditions.values()) > _MOST_COMBINATIONS:
        return []
    takers: list[str] = []
    for combination in product(*(sorted(when.conditions[name]) for name in names)):
        values = dict(zip(names, combination, strict=True))
        taker = next((p.name for p in earlier if _takes(p.when, values)), None)
        if taker is None:
            return []
        if taker not in takers:
            takers.append(taker)
    return takers


def _together(one: When, other: When) -> bool:
    """Whether an assignment can fit both."""
    both = one.conditions.keys() & other.conditions.keys()
    return all(one.conditions[name] & other.conditions[name] for name in both)


def _takes(when: When, values: dict[str, str]) -> bool:
    return all(values.get(name) in allowed for name, allowed in when.conditions.items())


def _too_long(policy: Policy) -> list[tuple[int, str]]:
    graces = [(rule.line, "grace", rule.days) for rule in policy.grace]
    graces += [
        (position.line, f"positions.{position.name}.grace", position.grace)
        for position in policy.positions.values()
        if position.grace is not None
    ]
    return [
        (
            line,
            f"{label}: {counted(days, 'day')} of grace and {policy.retention} of retention keep data for"
            f" {days + policy.retention} days; shorten one of them:"
            f" the arrêté du 30/11/2006, art. 6, allows three months ({LONGEST_KEEPING})",
        )
        for line, label, days in graces
        if days + policy.retention > LONGEST_KEEPING
    ]
