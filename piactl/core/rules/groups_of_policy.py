"""The groups of the policy: for each its name and what its members have.

The right or the profile on the account decides. A group only names those who have it, for applications that
need groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from piactl.core.model.establishment import Register
from piactl.core.model.policy import Policy
from piactl.core.rules.career import local_profile

SERVICE = "service:"
ANYWHERE = "*"
"""In place of an establishment: at any."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of accounts. Its members have one of `rights`, pairs of a service and an establishment ("" if
    the service has none), and one of `profiles`, each at any establishment or, in the form of
    `local_profile`, at one; an empty tuple requires nothing. `line` is its line in the policy."""

    name: str
    label: str
    rights: tuple[tuple[str, str], ...] = ()
    profiles: tuple[str, ...] = ()
    line: int = 0


def groups_of(policy: Policy, register: Register) -> Iterator[Group]:
    """The groups that the policy and the register ask for, in the order of their names."""
    groups = [*_of_services(policy), *_of_establishments(policy, register), *_extra(policy)]
    return iter(sorted(groups, key=lambda group: group.name))


def _of_services(policy: Policy) -> Iterator[Group]:
    chosen = policy.groups.services
    for service in policy.services.values():
        if chosen is None or service.name in chosen:
            right = service.name, ANYWHERE if service.per_establishment else ""
            yield Group(SERVICE + service.name, service.label, (right,), line=policy.groups.line)


def _of_establishments(policy: Policy, register: Register) -> Iterator[Group]:
    for name in policy.groups.per_establishment:
        service = policy.services.get(name)
        if service is None:
            yield from _of_profile(name, policy, register)
            continue
        for uai, establishment in register.items():
            label = f"{service.label}, {establishment.name or uai}"
            yield Group(f"{SERVICE}{name}:{uai}", label, ((name, uai),), line=policy.groups.line)


def _of_profile(profile: str, policy: Policy, register: Register) -> Iterator[Group]:
    for uai, establishment in register.items():
        name = local_profile(uai, profile)
        label = f"{profile}, {establishment.name or uai}"
        yield Group(name, label, profiles=(name,), line=policy.groups.line)


def _extra(policy: Policy) -> Iterator[Group]:
    for extra in policy.groups.extra:
        rights = tuple(
            (name, ANYWHERE if policy.services[name].per_establishment else "") for name in extra.services
        )
        yield Group(extra.name, extra.label, rights, extra.profiles, extra.line)
