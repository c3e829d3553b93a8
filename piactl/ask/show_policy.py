"""Queries of the policy: its services and profiles, what grants them, and on which line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piactl.config.nearest_word import hint
from piactl.core.model.policy import Policy, Position, Profile, Service, When
from piactl.core.text import facts_of, few, search_words
from piactl.errors import NotFound
from piactl.phrase import Phrase

_MOST_NAMED = 5


def read_service(policy: Policy, text: str) -> str:
    """The name of the service that somebody typed by its name or label, whatever case, accents and hyphens
    (`I-Prof`), or by words that fit one alone (`livret scolaire`). A text that means none, or several, stays
    as it is."""
    meant = _meant(policy, text, str.__eq__)
    return meant[0].name if text not in policy.services and len(meant) == 1 else text


def _meant(policy: Policy, text: str, fits: Callable[[str, str], bool]) -> list[Service]:
    """The services with this name or label, else those of which a word `fits` each word."""

    def plain(words: str) -> str:
        return "".join(search_words(words))

    services, words = policy.services.values(), search_words(text)
    exact = [s for s in services if plain(text) in map(plain, (s.name, s.label, s.label.partition("(")[0]))]
    return exact or [
        s
        for s in services
        if words
        and all(any(fits(own, word) for own in search_words(f"{s.name} {s.label}")) for word in words)
    ]


def find_service(policy: Policy, text: str, *others: str) -> Service:
    """The service that somebody typed, as `read_service`. Raises NotFound, with the services that the text
    fits, or with the nearest of the names and the `others` that may be typed there."""
    service = policy.services.get(read_service(policy, text))
    if service is not None:
        return service
    several = _meant(policy, text, str.__eq__)
    if several:
        names = few([f"{s.name} ({s.label})" for s in several], _MOST_NAMED)
        raise NotFound(Phrase("{text} fits several services: {names}", text=repr(text), names=names))
    begun = [service.name for service in _meant(policy, text, str.startswith)]
    why = hint(text, begun or [*policy.services, *others])
    raise NotFound(Phrase("{name}: the policy has no such service; {hint}", name=text, hint=why))


def service_rows(policy: Policy) -> list[dict[str, Any]]:
    """The services in policy order, as `service list -o json` prints them. `profiles` lists all profiles if
    the policy says `all`."""
    return [_service(service, policy) for service in policy.services.values()]


def service_view(policy: Policy, name: str) -> dict[str, Any]:
    """One service, as `service show -o json` prints it: with the profiles that give it, their conditions, and
    the effect of each position, with lines in the policy.

    Raises NotFound with the nearest name if the policy has no such service.
    """
    service = find_service(policy, name)
    return {
        **_service(service, policy),
        "urn": policy.urn + service.name + (":UAI" if service.per_establishment else ""),
        "given_by": [_profile(entry) for entry in policy.profiles if service.serves(entry.name)],
        "positions": [_position(entry, service) for entry in policy.positions.values()],
    }


def profile_rows(policy: Policy) -> list[dict[str, Any]]:
    """The profiles in policy order, the order in which they are tried."""
    return [
        {**_profile(entry), "services": [s.name for s in policy.services.values() if s.serves(entry.name)]}
        for entry in policy.profiles
    ]


def profile_view(policy: Policy, name: str) -> dict[str, Any]:
    """One profile, as `profile show -o json` prints it: its condition, the profiles tried before it, its
    grace by corps, and its services.

    Raises NotFound with the nearest name if the policy has no such profile.
    """
    names = [entry.name for entry in policy.profiles]
    if name not in names:
        raise NotFound(
            Phrase("{name}: the policy has no such profile; {hint}", name=name, hint=hint(name, names))
        )
    place = names.index(name)
    return {
        **_profile(policy.profiles[place]),
        "tried_before": names[:place],
        "services": [_service(entry, policy) for entry in policy.services.values() if entry.serves(name)],
        "grace": [
            {"when": _when(entry.when), "days": entry.days, "line": entry.line} for entry in policy.grace
        ],
    }


def _service(service: Service, policy: Policy) -> dict[str, Any]:
    return {
        **facts_of(service, "name", "label", "grant_delay", "mutation_delay", "handover", "in_grace", "otp"),
        "scope": "establishment" if service.per_establishment else "person",
        "meanwhile": None if service.per_establishment else ("keep" if service.keep else "none"),
        "profiles": [entry.name for entry in policy.profiles if service.serves(entry.name)],
        "when": _when(service.when),
        "line": service.line,
    }


def _profile(profile: Profile) -> dict[str, Any]:
    return {"name": profile.name, "when": _when(profile.when), "line": profile.line}


def _when(when: When) -> dict[str, list[str]]:
    return {field: sorted(values) for field, values in when.conditions.items()}


def _position(position: Position, service: Service) -> dict[str, Any]:
    """The effect of a position on a service: whether it keeps it, and whether it ends all assignments."""
    return {
        "name": position.name,
        "keeps": not position.ends and position.keeps_service(service.name),
        "ends": position.ends,
        "lock": position.lock,
        "line": position.line,
    }
