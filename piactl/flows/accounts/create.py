"""Accounts for people whom HR does not know: a source of their own, a sponsor, and an end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date

from piactl.core.edits import ActRefused, Author
from piactl.core.edits.assignments import added_override, check_assignment
from piactl.core.model.account import LIVE, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Person
from piactl.core.model.uai import read_uai
from piactl.core.rules.desired import Subject, address_problem, desired_account
from piactl.directory.port import Reader
from piactl.directory.store.accounts import Entry, read_accounts_of
from piactl.errors import AccountNotFound, PiactlError, UsageError
from piactl.feed.column_validators import check_code, check_mail, check_matricule
from piactl.flows.accounts.edit import Preparation, Prepared, intended
from piactl.flows.apply.run import Order
from piactl.flows.queries.accounts import find_account
from piactl.flows.site import Site

OWN_MATRICULES = "EXT-"
"""What the matricules begin with that stand for people whom no HR knows."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What the command line says of a person. Blank text is none."""

    family_name: str
    given_name: str
    uai: str
    function: str
    sponsor: str
    end: date | None
    start: date | None = None
    usage_name: str = ""
    civilite: str = ""
    private_mail: str = ""
    matricule: str = ""
    corps: str = ""


def prepare_newcomer(
    reader: Reader, site: Site, newcomer: Newcomer, author: Author, order: Order
) -> Preparation:
    """The account that the person would get. Raises UsageError with everything that is missing, ActRefused,
    AccountNotFound for the sponsor."""
    _check_values(newcomer)
    rules = site.rules(order.as_of)
    post = _post(newcomer, order.as_of)
    check_assignment(post, rules)
    matricule = newcomer.matricule.strip() or OWN_MATRICULES + secrets.token_hex(5).upper()
    person = Person(
        matricule=matricule,
        family_name=newcomer.family_name.strip(),
        given_name=newcomer.given_name.strip(),
        usage_name=newcomer.usage_name.strip(),
        civilite=newcomer.civilite.strip(),
        private_mail=newcomer.private_mail.strip(),
    )
    unusable = address_problem(person)
    if unusable is not None:
        raise ActRefused(f"{person.given_name} {person.family_name}: {unusable}")
    sponsor = _sponsor(reader, site, newcomer.sponsor)
    entry = _earlier(reader, site, matricule)
    override = added_override(post, author, sponsor, order.as_of)
    current = entry.account if entry else None
    subject = Subject(matricule, current, person, (post,), note=author.note, overrides=(override,))
    desired = desired_account(subject, rules)
    if desired is None:
        raise ActRefused(
            f"the start, {post.start}, is more than {site.policy.open_before} days ahead: make it then"
        )
    name = f"{person.given_name} {person.usage_name or person.family_name}"
    one: Prepared = intended(reader, site, name, entry, desired, rules, order.reason)
    return Preparation((one,))


def _check_values(newcomer: Newcomer) -> None:
    """Raises UsageError with everything that a feed may not hold either."""
    given = {
        "--civilite": (newcomer.civilite, check_code),
        "--private-mail": (newcomer.private_mail, check_mail),
        # those that were made up stand for the same person again
        "--matricule": (newcomer.matricule.strip().removeprefix(OWN_MATRICULES), check_matricule),
    }
    faults = {name: check(text.strip())[1] for name, (text, check) in given.items() if text.strip()}
    wrong = [f"{name}: {fault[1]}" for name, fault in faults.items() if fault]
    if wrong:
        raise UsageError("\n".join(wrong))


def _post(newcomer: Newcomer, as_of: date) -> Assignment:
    needed = ("family_name", "given_name", "uai", "function", "end", "sponsor")
    missing = [f"--{name.replace('_', '-')}" for name in needed if not getattr(newcomer, name)]
    if missing:
        raise UsageError(f"a new account needs more: add {', '.join(missing)}")
    uai, why = read_uai(newcomer.uai)
    if uai is None:
        raise UsageError(f"--uai: {why}")
    return Assignment(
        uai=uai,
        function=newcomer.function.strip().upper(),
        start=newcomer.start or as_of,
        end=newcomer.end,
        corps=newcomer.corps.strip(),
        source=MANUAL,
    )


def _sponsor(reader: Reader, site: Site, name: str) -> str:
    try:
        sponsor = find_account(reader, site, name)
    except AccountNotFound as error:
        raise AccountNotFound(f"--sponsor {error}") from None
    if sponsor.state not in LIVE:
        raise ActRefused(f"--sponsor {sponsor.uid}: is {sponsor.state.value}; name somebody who is here")
    return sponsor.uid


def _earlier(reader: Reader, site: Site, matricule: str) -> Entry | None:
    """The archived account of a person who is back. Raises ActRefused where they have one that is not."""
    directory = site.settings.directory
    for one in read_accounts_of(reader, directory, site.encoding, site.keys, [matricule]):
        if not isinstance(one, Entry):
            raise PiactlError(one.why)
        if one.account.state is not State.ARCHIVED:
            uid = one.account.uid
            raise ActRefused(
                f"matricule {matricule} has the account {uid} already; see: piactl account show {uid}\n"
                f"An assignment more: piactl assignment add {uid} ..."
            )
        return one
    return None
