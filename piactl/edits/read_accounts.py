"""Queries of accounts as of any day, from their entries and the policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from rapidfuzz import fuzz, process

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
from piactl.core.model.keyed_digests import DigestKeys, read_numen
from piactl.core.model.overrides import (
    Override,
    OverrideKind,
    overridden,
    override_words,
    running,
    sponsor_of,
)
from piactl.core.model.periods import civil
from piactl.core.model.person import COMMON, Assignment, qualified, read_matricule
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.drift import Drift
from piactl.core.plan.identity_case import Case, cases_of_accounts
from piactl.core.plan.state_between_runs import LastRun, Vanished
from piactl.core.rules.career import AccountStatus, Career, account_status, career_on
from piactl.core.rules.desired import Rules
from piactl.core.text import facts_of, iso
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_list import Listed, read_account_list
from piactl.directory.store.accounts import (
    Entry,
    Unreadable,
    as_found,
    find_accounts,
    read_accounts,
    read_accounts_named,
)
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.attribute_scans import read_nearby
from piactl.directory.store.foreign_changes import read_foreign_devices
from piactl.directory.store.records import Records, UnreadableRecords, read_records
from piactl.directory.store.state_records import cases_in, drift_in, last_in, vanished_in
from piactl.errors import NotFound, PiactlError
from piactl.phrase import Phrase, joined
from piactl.planning.drift_fates import decided, device_drift, drift_list, drift_row, held_words, is_settled
from piactl.planning.inputs.account_index import ManagedAccounts
from piactl.planning.vanished import find_vanished, recheck_vanished

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


@dataclass(frozen=True)
class AccountStore:
    """The accounts of one directory, read through `reader` as of a day and found by name.

    `rules_on` gives the rules of a day. Matricules are found by their digests under
    `keys`, in all `namespaces` if none is named. `unreadable` are the records of piactl that had to be
    skipped.
    """

    reader: Reader
    directory: DirectorySettings
    encoding: Encoding
    keys: DigestKeys
    policy: Policy
    as_of: date
    rules_on: Callable[[date], Rules]
    namespaces: Collection[str] = (COMMON,)
    unreadable: UnreadableRecords = field(default_factory=UnreadableRecords, compare=False)

    @property
    def managed(self) -> ManagedAccounts:
        return ManagedAccounts(self.reader, self.directory, self.encoding)

    @cached_property
    def rules(self) -> Rules:
        """The rules of its day."""
        return self.rules_on(self.as_of)

    @cached_property
    def records(self) -> Records:
        """What runs left beside the accounts, read once."""
        return read_records(self.reader, self.directory.state)

    @cached_property
    def last(self) -> LastRun | None:
        """The last run, as `last_in` has it."""
        return last_in(self.records, self.unreadable)

    @cached_property
    def vanished(self) -> Mapping[str, Vanished]:
        """The accounts whose entry is gone, by uid, as the last run noted them."""
        return vanished_in(self.records, self.unreadable)

    @cached_property
    def listed(self) -> Mapping[str, Listed]:
        """The accounts that the runs made, by uid."""
        return dict(read_account_list(self.reader, self.directory.state, UnreadableRecords()).accounts())

    def gone(self, names: Iterable[str]) -> dict[str, Vanished]:
        """The accounts among these whose entry is gone, by uid; those that went after the last run count from
        today."""
        noted = {name: self.vanished[name] for name in names if name in self.vanished}
        others = {n: self.listed[n] for n in names if n in self.listed and n not in noted}
        return recheck_vanished(self.managed, {**find_vanished(others, set(), self.as_of), **noted})

    def decided(self, entry: Entry | Unreadable) -> Entry | Unreadable:
        """The entry as a night on that day evaluates it, if another program changed it."""
        if isinstance(entry, Unreadable) or is_settled(entry):
            return entry
        return decided(entry, self.encoding, self.last, self.rules)

    def drift(self, entries: Iterable[Entry], devices: Iterable[Drift] = ()) -> dict[str, list[Drift]]:
        """What other programs changed on these accounts, by uid, with these devices of any account."""
        drifted = [entry for entry in entries if entry.drift is not None]
        by_uid: dict[str, list[Drift]] = {}
        if drifted:
            for drift in drift_list(self.reader, self.directory, drifted, drift_in(self.records), self.as_of):
                by_uid.setdefault(drift.uid, []).append(drift)
        for drift in devices:
            by_uid[drift.uid] = sorted(
                [*by_uid.get(drift.uid, ()), drift], key=lambda account_drift: account_drift.rank
            )
        return by_uid

    def devices(self, below: str = "") -> Iterator[Drift]:
        """The devices that other programs added below any account, or `below` this DN."""
        devices = read_foreign_devices(self.reader, self.directory, below)
        return device_drift(self.reader, self.directory, devices)

    @cached_property
    def cases(self) -> Mapping[str, tuple[Case, ...]]:
        """The open cases that hold accounts, by uid."""
        return cases_of_accounts(cases_in(self.records, self.unreadable))

    def held_by_cases(self, uid: str) -> list[str]:
        """A line for each open case that holds an account."""
        return [case.hold_text for case in self.cases_of(uid)]

    def cases_of(self, uid: str) -> tuple[Case, ...]:
        """The open cases that hold an account."""
        return self.cases.get(uid, ())

    def drift_of(self, entry: Entry) -> list[Drift]:
        """What other programs changed on an account, with the devices that they added below it."""
        return self.drift([entry], self.devices(entry.dn)).get(entry.account.uid, [])


def find_entry(store: AccountStore, name: str) -> Entry:
    """The account with this uid, address, alias or matricule, with the values of its entry, as a night
    evaluates it. It is protected if its entry is marked or the policy names it.

    Raises NotFound, and PiactlError if the entry is unreadable or several accounts match.
    """
    name = name.strip()
    if not name:
        raise NotFound(Phrase("no account is named; give a uid, an address or a matricule"))
    if (numen := read_numen(name)) is not None:
        raise NotFound(
            Phrase(
                "{numen}: this is a NUMEN, which is a secret and names no account; give a uid, an address "
                "or a matricule",
                numen=numen,
            )
        )
    entries = find_named(store, name)
    if not entries:
        if store.gone([name]):
            raise NotFound(
                Phrase(
                    "{name}: another program deleted the entry, or took it from piactl: piactl drift show "
                    "{name}",
                    name=name,
                )
            )
        unknown = Phrase("{name}: no account has this uid, address, alias or matricule", name=name)
        by_name = Phrase("by the name of the person: piactl account find NAME")
        raise NotFound(joined([unknown, _nearest(store, name) or by_name]))
    if len(entries) > 1:
        exact = [entry for entry in entries if isinstance(entry, Entry) and entry.account.uid == name]
        if len(exact) != 1:
            uids = ", ".join(sorted(e.account.uid if isinstance(e, Entry) else e.uid for e in entries))
            raise PiactlError(
                Phrase(
                    "{name}: several accounts have this name ({uids}); give a uid, or NAMESPACE:MATRICULE",
                    name=name,
                    uids=uids,
                )
            )
        entries = [*exact]
    entry = store.decided(entries[0])
    if isinstance(entry, Unreadable):
        raise PiactlError(entry.why)
    if entry.account.uid in store.policy.protected:
        return replace(entry, account=replace(entry.account, protected=True))
    return entry


def _nearest(store: AccountStore, name: str) -> Phrase | None:
    """`did you mean UID?` if there is one that, itself or in its address, differs by no more than a typing
    error after its first letters."""
    local = name.partition("@")[0].lower()
    if len(local) < 4 or local.isdigit():
        return None
    uids = dict(read_nearby(*store.managed, local[:3]))
    best = process.extractOne(local, list(uids), scorer=fuzz.ratio, score_cutoff=85)
    return Phrase("did you mean {word}?", word=uids[best[0]]) if best else None


def find_named(store: AccountStore, name: str) -> list[Entry | Unreadable]:
    """The accounts with this uid, address, alias or matricule, which may be in any namespace."""
    namespaces = () if ":" in name else store.namespaces
    matricules = [qualified(namespace, name) for namespace in namespaces] or [read_matricule(name)]
    return find_accounts(*store.managed, store.keys, name, matricules)


def all_entries(store: AccountStore, report_unreadable: Callable[[str], Any]) -> Iterator[Entry]:
    """Every account, in directory order, as a night evaluates it. Calls `report_unreadable` with the reason
    for each unreadable entry."""
    encoding = store.encoding
    return readable(store, read_accounts(store.reader, store.directory, encoding), report_unreadable)


def readable(
    store: AccountStore, read: Iterable[Entry | Unreadable], report_unreadable: Callable[[str], Any]
) -> Iterator[Entry]:
    """The readable accounts, as a night evaluates them. Calls `report_unreadable` as `all_entries` does."""
    for stored_entry in read:
        entry = store.decided(stored_entry)
        if isinstance(entry, Unreadable):
            report_unreadable(entry.why)
        else:
            yield entry


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


def career_and_status(
    account: Account, rules: Rules, day: date | None = None
) -> tuple[Career, AccountStatus]:
    """The career and the status of an account on a day, by default that of the rules, from the functions that
    planning uses."""
    as_of = day or rules.as_of
    career = career_on(account, rules.policy, rules.register, as_of)
    status = account_status(
        career,
        as_of,
        lock=account.lock,
        exceptions=account.exceptions,
        closed_on=(account.state_from if account.state is State.DEACTIVATED else None) or as_of,
        overrides=account.overrides,
    )
    return career, status


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


def override_rows(account: Account, as_of: date) -> list[dict[str, Any]]:
    """The overrides of an account that have not ended, as documents have them."""
    return [
        {
            **facts_of(override, "kind"),
            "what": _effect(override),
            **facts_of(override, "until", "made", "by", "reason", "sponsor", null=("sponsor",)),
        }
        for override in running(account.overrides, as_of)
    ]


def _effect(override: Override) -> str:
    """What an override does, without its last day; of a closure, which has a first day too, with it."""
    if override.kind is OverrideKind.CLOSE:
        return override_words(override)
    if override.kind is OverrideKind.NAME:
        none = Phrase("none")
        return Phrase(
            "the usage name is {name} instead of {was}", name=override.value or none, was=override.was or none
        )
    if override.kind is OverrideKind.KEEP:
        return Phrase("{attribute} stays as another program changed it", attribute=override.value)
    post = Phrase(
        "{function} at {uai} from {start}", function=override.function, uai=override.uai, start=override.start
    )
    if override.kind is OverrideKind.ADD:
        return Phrase("{post} was added", post=post)
    return Phrase("{post} ends on {day}", post=post, day=override.day)


def exception_rows(account: Account, as_of: date) -> list[dict[str, Any]]:
    """The exceptions of an account that have not ended, as documents have them."""
    return [
        {
            "kind": "grant" if exception.grants else "deny",
            **facts_of(exception, "service", "uai", "start", "end", "by", "reason", null=("uai",)),
        }
        for exception in account.exceptions
        if exception.end >= as_of
    ]


def _archived(account: Account) -> dict[str, Any]:
    """The document of an archived account, which has only its identifiers."""
    return {
        **dict.fromkeys(("matricule", "address", "display_name", "login_from", "next_due", "sponsor")),
        **{name: [] for name in ("matricules", "profiles", "assignments", "entitlements")},
        "overrides": [],
        "exceptions": [],
        **facts_of(account, "uid", "state", "locked", "login_until"),
        "aliases": sorted(i for i in account.identifiers if "@" in i),
        "lock": lock_row(account),
    }
