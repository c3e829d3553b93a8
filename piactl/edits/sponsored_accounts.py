"""Accounts for people whom HR does not know: a source of their own, a sponsor, an end, and its extension."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from piactl.core.acts import ActRefused, Author
from piactl.core.acts.assignments_by_hand import added_override, check_assignment, refuse_too_long
from piactl.core.acts.lock_close_rename import extend
from piactl.core.model.account import LIVE, State
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Assignment, Person, read_matricule
from piactl.core.naming.implausible_values import internal_address
from piactl.core.rules.desired_account import Subject, desired_account, name_problem
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import AccountStore, find_entry
from piactl.edits.carry_out_batch import Batch
from piactl.edits.one_off_change import intended, owner_of, prepare
from piactl.errors import NotFound, UsageError
from piactl.feed.value_checks import check_code, check_mail, check_matricule
from piactl.phrase import Phrase, joined

OWN_MATRICULES = "EXT-"
"""The beginning of matricules of people whom HR does not know."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A person as given on the command line. Blank text means no value."""

    family_name: str
    given_name: str
    uai: str
    function: str
    sponsor: str
    until: date | None
    start: date | None = None
    usage_name: str = ""
    civilite: str = ""
    private_mail: str = ""
    matricule: str = ""
    corps: str = ""


def prepare_newcomer(store: AccountStore, newcomer: Newcomer, author: Author) -> Batch:
    """The account that the person would get. Raises UsageError with everything that is missing, ActRefused,
    NotFound for the sponsor."""
    _check_values(newcomer)
    post = _post(newcomer, store.as_of)
    check_assignment(post, store.rules)
    matricule = read_matricule(newcomer.matricule) or OWN_MATRICULES + secrets.token_hex(5).upper()
    person = Person(
        matricule=matricule,
        family_name=newcomer.family_name.strip(),
        given_name=newcomer.given_name.strip(),
        usage_name=newcomer.usage_name.strip(),
        civilite=newcomer.civilite.strip(),
        private_mail=newcomer.private_mail.strip(),
    )
    unusable = name_problem(person, store.policy)
    if unusable is not None:
        name = f"{person.given_name} {person.family_name}"
        raise ActRefused(Phrase("{name}: {text}", name=name, text=unusable.problem))
    internal = internal_address(person.private_mail, store.policy.domain)
    if internal:
        raise ActRefused(Phrase("{name}: {text}", name="--private-mail", text=internal))
    sponsor = find_sponsor(store, newcomer.sponsor)
    entry = _earlier(store, matricule)
    override = added_override(post, author, sponsor, store.as_of)
    current = entry.account if entry else None
    subject = Subject(matricule, current, person, (post,), note=author.note, overrides=(override,))
    desired = desired_account(subject, store.rules)
    if desired is None:
        raise ActRefused(
            Phrase(
                "the start, {start}, is more than {open_before} days ahead; create the account then",
                start=post.start,
                open_before=store.policy.open_before,
            )
        )
    refuse_too_long(desired.account, store.rules)
    name = f"{person.given_name} {person.usage_name or person.family_name}"
    return Batch((intended(store, name, entry, desired, author.reason),))


def _check_values(newcomer: Newcomer) -> None:
    bare = newcomer.matricule.strip().rpartition(":")[2]
    options = {
        "--civilite": (newcomer.civilite, check_code),
        "--private-mail": (newcomer.private_mail, check_mail),
        # a generated matricule names the same person again
        "--matricule": (bare.removeprefix(OWN_MATRICULES), check_matricule),
    }
    faults = {name: check(text.strip())[1] for name, (text, check) in options.items() if text.strip()}
    wrong = [Phrase("{name}: {text}", name=name, text=fault[1]) for name, fault in faults.items() if fault]
    if wrong:
        raise UsageError(joined(wrong, "{first}\n{second}"))


def _post(newcomer: Newcomer, as_of: date) -> Assignment:
    needed = ("family_name", "given_name", "uai", "function", "until", "sponsor")
    missing = [f"--{name.replace('_', '-')}" for name in needed if not getattr(newcomer, name)]
    if missing:
        raise UsageError(Phrase("a new account needs more: add {missing}", missing=", ".join(missing)))
    return Assignment(
        uai=newcomer.uai,
        function=newcomer.function.strip().upper(),
        start=newcomer.start or as_of,
        end=newcomer.until,
        corps=newcomer.corps.strip(),
        source=MANUAL,
    )


def _earlier(store: AccountStore, matricule: str) -> Entry | None:
    """The archived account of a person who returns. Raises ActRefused if they have an account that is not
    archived."""
    entry = owner_of(store, matricule)
    if entry is not None and entry.account.state is not State.ARCHIVED:
        uid = entry.account.uid
        raise ActRefused(
            Phrase(
                "matricule {matricule} has the account {uid} already; see: piactl account show {uid}\n"
                "An assignment more: piactl assignment add {uid} "
                '--uai UAI --function CODE --until DATE --reason "..."',
                matricule=matricule,
                uid=uid,
            )
        )
    return entry


def find_sponsor(store: AccountStore, name: str) -> str:
    """The uid of the account of a sponsor. Raises NotFound, ActRefused for one that is closed."""
    try:
        sponsor = find_entry(store, name).account
    except NotFound as error:
        raise NotFound(Phrase("--sponsor {error}", error=str(error))) from None
    if sponsor.state not in LIVE:
        raise ActRefused(
            Phrase(
                "--sponsor {uid}: is {state}; name an open account",
                uid=sponsor.uid,
                state=sponsor.state.words,
            )
        )
    return sponsor.uid


def prepare_extension(
    store: AccountStore,
    names: Iterable[str],
    author: Author,
    until: date,
    sponsor: str,
) -> Batch:
    """The changes that extend accounts to `until`, by account. Raises as `find_sponsor`."""
    uid = find_sponsor(store, sponsor) if sponsor else ""
    return prepare(store, names, extend(author, until, uid), author.reason)
