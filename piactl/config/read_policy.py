"""Reads `policy.yaml`: who gets what, when."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from piactl.config.nearest_word import hint
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.config.typed_reading import read_typed
from piactl.core.model.policy import MERGE, GraceRule, Policy, Profile, When
from piactl.core.model.settings import Settings
from piactl.core.naming.names import plain_letters
from piactl.core.plan.change import GUARD_KINDS, Kind
from piactl.errors import Mistake
from piactl.phrase import Phrase, counted, joined

DEFAULT_GRACE_DAYS = 30

_NOBODY = 65_535


def policy_of(settings: Settings) -> Policy:
    """The policy that the settings name, with their supplements."""
    policy = read_policy(Path(settings.policy_file))
    names = frozenset(source.name for source in settings.sources.values() if source.supplement)
    return replace(policy, supplements=names) if names else policy


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises ConfigurationInvalid with every mistake in it, by line and column."""
    policy, document = read_typed(path, Policy, Phrase("policy"))
    for check in (_check_timezone, _check_posix, _check_positions, _check_services, _check_groups):
        check(document, document.root)
    _check_approvals(document, document.root)
    document.refuse_mistakes()
    return replace(
        policy,
        grace=policy.grace or (GraceRule(When(), DEFAULT_GRACE_DAYS),),
        real_names=frozenset(map(plain_letters, policy.real_names)),
        digest=document.digest,
        content=document.content_digest(),
        file=path.name,
    )


# What no type says. A value of another form is no mistake here: the walk over the types reports it.


def _check_timezone(document: Document, root: Node) -> None:
    node = root.at("timezone")
    try:
        ZoneInfo(node.text("UTC"))
    except (KeyError, ValueError, OSError):
        zones = available_timezones()
        document.mistake(
            node,
            Phrase(
                "timezone: {found} is not a time zone; {hint}",
                found=quoted(node),
                hint=hint(node.text(), zones),
            ),
        )


def _check_posix(document: Document, root: Node) -> None:
    node = root.at("accounts").at("posix")
    first, last = node.at("first").value, node.at("last").value
    if not (isinstance(first, int) and isinstance(last, int)):
        return
    if first > last:
        document.mistake(
            node.at("last"),
            Phrase(
                "accounts.posix.last: {last} is less than first, {first}; change one of them",
                last=last,
                first=first,
            ),
        )
    if first <= _NOBODY and last >= _NOBODY - 1:
        document.mistake(
            node.at("first"),
            Phrase(
                "accounts.posix.first: Unix hosts have 65534 and 65535 for nobody; leave them out of the "
                "range"
            ),
        )


def _check_approvals(document: Document, root: Node) -> None:
    for rule in root.at("approvals").at("required").items():
        if len({"refused", "kind", "protected"} & {key for key, _ in rule.entries()}) > 1:
            wrong = Phrase(
                "approvals.required: write `refused`, `kind` and `protected` as rules of their own"
            )
            document.mistake(rule, wrong)
        for key, valid in (
            ("refused", ("any", *GUARD_KINDS)),
            ("kind", [*(kind.value for kind in Kind), MERGE]),
        ):
            for name in rule.at(key).text_nodes():
                if name.text() not in valid:
                    why = Phrase(
                        "approvals.required.{key}: there is no {found}; {hint}",
                        key=key,
                        found=quoted(name),
                        hint=hint(name.text(), valid),
                    )
                    document.mistake(name, why)


def _check_positions(document: Document, root: Node) -> None:
    positions = root.at("positions")
    ends = positions.at("default").at("ends")
    if ends.value is True:
        document.mistake(
            ends,
            Phrase("positions.default.ends: this would end every assignment without a position; remove it"),
        )
    # no two positions have the same code, and no code is the name of another position
    owners = {name: name for name, _ in positions.entries()}
    for name, node in positions.entries():
        for place in node.at("codes").text_nodes():
            owner = owners.setdefault(place.text(), name)
            if owner != name:
                document.mistake(
                    place,
                    Phrase(
                        "positions.{name}.codes: {code} is position {owner} already; remove one of them",
                        name=name,
                        code=place.text(),
                        owner=owner,
                    ),
                )


def _check_services(document: Document, root: Node) -> None:
    for name, node in root.at("services").entries():
        handover, meanwhile = node.at("handover"), node.at("meanwhile")
        scope = node.at("scope").text("person")
        if handover.value is not None and scope == "person":
            document.mistake(
                handover,
                Phrase(
                    "services.{name}.handover: allowed only with `scope: establishment`; remove one of them",
                    name=name,
                ),
            )
        if meanwhile.value is not None and scope == "establishment":
            document.mistake(
                meanwhile,
                Phrase(
                    "services.{name}.meanwhile: allowed only with `scope: person`; remove one of them",
                    name=name,
                ),
            )


def _check_groups(document: Document, root: Node) -> None:
    node, services = root.at("groups"), dict(root.at("services").entries())
    for place in node.at("per_establishment").text_nodes():
        service = services.get(place.text())
        if service is not None and service.at("scope").text("person") == "person":
            document.mistake(
                place,
                Phrase(
                    "groups.per_establishment: {name} has no `scope: establishment`; remove it",
                    name=place.text(),
                ),
            )
    for name, group in node.at("extra").entries():
        keys = {key for key, _ in group.entries()}
        if keys and not keys & {"profile", "service"}:
            document.mistake(
                group,
                Phrase("groups.extra.{name}: name its profiles or services, {{profile: [...]}}", name=name),
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
                (
                    service.line,
                    Phrase(
                        "services.{service}: no profile gets it; name another, or remove it",
                        service=service.name,
                    ),
                )
            )
        elif service.when.conditions and not any(
            _together(p.when, service.when) for p in policy.profiles if service.serves(p.name)
        ):
            warnings.append(
                (
                    service.when.line,
                    Phrase(
                        "services.{service}.when: fits none of its profiles; change one of them",
                        service=service.name,
                    ),
                )
            )
    return [Mistake(file, line, 0, message) for line, message in sorted(warnings)]


def _unreachable(policy: Policy) -> dict[str, tuple[int, str]]:
    unreachable: dict[str, tuple[int, str]] = {}
    for index, profile in enumerate(policy.profiles):
        takers = _takers(policy.profiles[:index], profile.when)
        if takers:
            names = joined(takers, "{first} and {second}")
            unreachable[profile.name] = (
                profile.line,
                Phrase(
                    "profiles.{profile}: nobody can have it: {names} before it takes every assignment it "
                    "matches; "
                    "move it up",
                    profile=profile.name,
                    names=names,
                )
                if len(takers) == 1
                else Phrase(
                    "profiles.{profile}: nobody can have it: {names} before it take every assignment it "
                    "matches; "
                    "move it up",
                    profile=profile.name,
                    names=names,
                ),
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
            Phrase(
                "{label}: {days} of grace and {retention} of retention keep data for {sum} days; shorten "
                "one of them: the arrêté du 30/11/2006, art. 6, allows three months ({most})",
                label=label,
                days=counted(days, "day", "days"),
                retention=policy.retention,
                sum=days + policy.retention,
                most=LONGEST_KEEPING,
            ),
        )
        for line, label, days in graces
        if days + policy.retention > LONGEST_KEEPING
    ]
