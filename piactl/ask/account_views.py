"""What is shown of an account: its document for `account show -o json`, its person, its open cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from piactl.ask.list_exceptions import exception_rows, override_rows
from piactl.core.model.account import (
    MAIL_PROOF,
    NO_DEVICE,
    Account,
    State,
    held_off_until,
    is_shut,
    merged_into,
)
from piactl.core.model.establishment import Register
from piactl.core.model.overrides import (
    overridden,
    running,
    sponsor_of,
)
from piactl.core.model.periods import civil
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy
from piactl.core.plan.case import Case
from piactl.core.plan.drift import Drift
from piactl.core.rules.career import AccountStatus, Career
from piactl.core.rules.desired_account import Rules
from piactl.core.text import facts_of, iso
from piactl.directory.store.account_entries import (
    Entry,
    as_found,
    read_accounts_named,
)
from piactl.edits.account_store import AccountStore, career_and_status
from piactl.phrase import Phrase, joined
from piactl.planning.drift_by_rules import (
    drift_row,
    held_words,
)

View = Mapping[str, Any]
_MAYBE_EMPTY = ("corps", "position", "modality")
PRIVATE_MAIL = "private_mail"
PERSON_COLUMNS = (
    "civilite",
    "given_name",
    "family_name",
    "functions",
    "establishments",
    "establishment_names",
)
"""What a mail merge needs of a person, beside the account."""


def with_person_facts(
    store: AccountStore, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows about accounts (`uid`) with the facts of the person, as far as the columns ask for them."""
    if not {*columns} & {*PERSON_COLUMNS}:
        return [{**row} for row in rows]
    uids = list(dict.fromkeys(str(row["uid"]) for row in rows))
    entries = read_accounts_named(*store.managed, uids)
    facts = {
        entry.account.uid: person_facts(entry.account, store.rules)
        for entry in entries
        if isinstance(entry, Entry)
    }
    return [{**row, **facts.get(row["uid"], {})} for row in rows]


def person_facts(account: Account, rules: Rules) -> dict[str, Any]:
    """The PERSON_COLUMNS of an account. Functions and establishments are those of the assignments that run on
    the day, the names as people use them; an archived account has none."""
    day, register = rules.as_of, rules.register
    running = [a for a in account.assignments if a.start <= day and (a.end is None or a.end >= day)]
    uais = list(dict.fromkeys(a.uai for a in running if a.uai))
    names = (register[uai].name if uai in register else "" for uai in uais)
    return {
        "civilite": account.civilite or None,
        "given_name": account.given_name or None,
        "family_name": account.surname if account.given_name else None,
        "functions": list(dict.fromkeys(a.function for a in running)),
        "establishments": uais,
        "establishment_names": [name for name in names if name],
    }


def posts_on(account: Account, policy: Policy, day: date) -> list[Assignment]:
    """What the person does on the day, else the next post, else the last one."""
    rows = overridden(account.assignments, account.overrides, day)
    posts = [a for a in rows if not policy.ends_all(a)]
    today = [a for a in posts if a.covers(day)]
    if today or not posts:
        return today
    ahead = [a for a in posts if a.start > day]
    if ahead:
        return [min(ahead, key=lambda a: a.start)]
    return [max(posts, key=lambda a: (a.end or a.start, a.start))]


def person_row(account: Account, policy: Policy, day: date) -> dict[str, Any]:
    """The person of an account as previews name them: `post` is what they do on the day, else what they will
    do or did last."""
    words = []
    for a in posts_on(account, policy, day):
        if a.covers(day):
            words.append(Phrase("{function} at {uai}", function=a.function, uai=a.uai))
        elif a.start > day:
            later = Phrase("{function} at {uai} from {start}", function=a.function, uai=a.uai, start=a.start)
            words.append(later)
        else:
            former = Phrase("{function} at {uai} until {end}", function=a.function, uai=a.uai, end=a.end)
            words.append(former)
    return {
        "uid": account.uid,
        "display_name": account.display_name or None,
        "post": joined(dict.fromkeys(words), "{first} and {second}") or None,
    }


def private_mail(account: Account, holdoff_days: int, day: date, say: Callable[[str], None]) -> str | None:
    """The private address, None if there is none. One that changed within `holdoff_days` before the day is
    left out, and `say` reports it."""
    until = held_off_until(account, MAIL_PROOF, holdoff_days, day)
    if account.private_mail and until is not None:
        changed = account.proof_changed(MAIL_PROOF)
        say(
            Phrase(
                "{uid}: its private address changed on {changed}, and is not shown before {until}",
                uid=account.uid,
                changed=changed,
                until=until,
            )
        )
        return None
    return account.private_mail or None


def account_views(
    store: AccountStore, entries: Iterable[Entry], drift: Mapping[str, Sequence[Drift]]
) -> Iterator[dict[str, Any]]:
    """The documents of `account show -o json`; see schemas/json/account.schema.json. `drift` is what another
    program changed, by uid."""
    for entry in entries:
        held = bool(held_words(entry))
        view = _view(entry, store, held=held)
        view["cases"] = case_rows(store.cases_of(entry.account.uid))
        view["held"], view["drift"] = held, [drift_row(d) for d in drift.get(entry.account.uid, ())]
        yield view


def case_rows(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """The open cases that hold an account, as documents have them."""
    return [
        {
            "case": case.id,
            **facts_of(case, "doubt", "source", "matricule", "since"),
            "text": case.hold_text,
            "command": f"piactl match show {case.id}",
        }
        for case in cases
    ]


def _view(entry: Entry, store: AccountStore, *, held: bool) -> dict[str, Any]:
    """`held`: see `held_words`."""
    account, as_of, otp_schema = entry.account, store.as_of, store.encoding.otp_schema
    policy, register = store.policy, store.rules.register
    if account.state is State.ARCHIVED:
        into = merged_into(account, store.keys) if account.merged else None
        return {
            **_archived(account),
            "merged_into": into,
            "refused_by": ["dates", *(["link"] if otp_schema else [])],
        }
    career, status = career_and_status(account, store.rules)
    if held:  # what the rules need is unknown
        status = AccountStatus(*(getattr(account, name) for name in AccountStatus._fields))
    # what another program changed counts as it is on the entry, until a night puts it back
    written = as_found(entry, store.encoding) if entry.drift is not None else None
    window = written or status
    open_today = (window.login_from or as_of) <= as_of <= (window.login_until or as_of)
    refused_by = [] if open_today else ["dates"]
    linked = written is None or written.device == NO_DEVICE
    if otp_schema and linked and is_shut(status.state, locked=status.locked):
        refused_by.append("link")
    profiles = {id(post.assignment): post.profile for post in career.posts}
    return {
        **facts_of(account, "uid", "matricule", "matricules", "address", "display_name"),
        "aliases": sorted(account.aliases),
        **facts_of(status, "state", "locked", "login_from", "login_until", "next_due", "profiles"),
        "refused_by": refused_by,
        "assignments": [
            {
                **facts_of(a, "uai", "function", *_MAYBE_EMPTY, "start", "end", null=_MAYBE_EMPTY),
                "profile": profiles.get(id(a)) or _profile(a, policy, register),
            }
            for a in account.assignments
        ],
        "entitlements": [
            {"service": service, "uai": uai or None, "from": None, "to": None}
            for service, uai in sorted(account.entitlements)
        ]
        if held
        else _entitlements(career, as_of),
        "lock": lock_row(account),
        "overrides": override_rows(account, as_of),
        "exceptions": exception_rows(account, as_of),
        "sponsor": sponsor_of(running(account.overrides, as_of)) or None,
        "merged_into": None,
    }


def _profile(assignment: Assignment, policy: Policy, register: Register) -> str | None:
    profile, _ = policy.given_by(assignment, register)
    return profile.name if profile else None


def _entitlements(career: Career, as_of: date) -> list[dict[str, Any]]:
    today = as_of.toordinal()
    return [
        {"service": service, "uai": uai or None, "from": iso(civil(first)), "to": iso(civil(last))}
        for (service, uai), periods in sorted(career.rights.items())
        for first, last in periods
        if last >= today
    ]


def lock_row(account: Account) -> dict[str, Any] | None:
    """The lock of an account as documents have it."""
    lock = account.lock
    if lock is None:
        return None
    return {"since": iso(lock.known_since), **facts_of(lock, "until", "by", "reason")}


def _archived(account: Account) -> dict[str, Any]:
    return {
        **dict.fromkeys(("matricule", "address", "display_name", "login_from", "next_due", "sponsor")),
        **{name: [] for name in ("matricules", "profiles", "assignments", "entitlements")},
        "overrides": [],
        "exceptions": [],
        **facts_of(account, "uid", "state", "locked", "login_until"),
        "aliases": sorted(i for i in account.identifiers if "@" in i),
        "lock": lock_row(account),
    }
