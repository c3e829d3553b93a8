"""Checks of what the directory holds: records, keys, password policies, canaries, cases, approvals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from piactl.core.model.settings import IdentityName
from piactl.directory import filters
from piactl.directory.dn import same_dn
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.directory.store.attribute_scans import read_numbers
from piactl.directory.store.devices import read_all_devices
from piactl.directory.store.password_state import (
    foreign_policies,
    policy_faults,
    policy_weaknesses,
    shut_out_by_others,
)
from piactl.directory.store.record_entries import (
    ATTEMPTS,
    DATA,
    IN_RECORD,
    REQUESTS,
    RUNS,
    SOURCES,
    WAITING,
    Places,
    UnreadableRecord,
    UnreadableRecords,
    entries_of,
    misplaced_entries,
    read_records,
)
from piactl.directory.store.run_records import read_runs
from piactl.directory.store.state_records import cases_in, read_memory
from piactl.doctor.canaries import try_canaries
from piactl.doctor.facts import (
    UPGRADE_PAGE,
    CheckResult,
    Content,
    fine,
    first_ones,
    skipped,
    worst,
)
from piactl.helpdesk.attempt_limits import (
    operations_dn,
    read_all_attempts,
    read_attempts,
    read_operations,
)
from piactl.helpdesk.key_rotation import key_needs, need_words
from piactl.phrase import Phrase, counted, joined
from piactl.runs.approvals import read_approvals
from piactl.runs.run_checks import read_announced
from piactl.runs.run_lock import LONGEST, MARGIN, read_lock

_FEW_LEFT = 0.1
"""The share of the range of uidNumbers below which few are left."""


def bases(content: Content) -> CheckResult:
    reader, directory = content.reader, content.directory
    places = Places(directory.state)
    required = [directory.suffix, directory.accounts, directory.state]
    required += [places.folder(name) for name in (RUNS, SOURCES, WAITING)]
    later = [places.folder(name) for name in (ATTEMPTS, REQUESTS)]
    missing = [dn for dn in required if reader.read(dn, ["objectClass"]) is None]
    minor = [dn for dn in later if reader.read(dn, ["objectClass"]) is None]
    advice = Phrase("Add them (slapd/tree.ldif.in has them), or correct the bases.")
    errors, warnings = ([Phrase("{dn} is missing", dn=dn) for dn in group] for group in (missing, minor))
    return worst(
        errors, warnings, advice, Phrase("{number} entries are there", number=len(required) + len(later))
    )


def needed_keys(content: Content) -> CheckResult:
    have = content.keys.keys
    needs = key_needs(content.reader, content.directory, content.unreadable)
    lost = [
        Phrase(
            "key {key}: {digests}, such as that of {example}",
            key=k or Phrase("(none)"),
            digests=counted(need.counts.total(), "digest", "digests"),
            example=need.example,
        )
        for k, need in sorted(needs.items())
        if k not in have
    ]
    counts = joined(
        Phrase("{name}: {text}", name=key, text=need_words(need)) for key, need in sorted(needs.items())
    )
    advice = Phrase("Restore the key's line in the key file from its copy; a lost key cannot be made again.")
    return worst(
        lost,
        [],
        advice,
        Phrase("needed by key: {counts}", counts=counts) if needs else Phrase("no digest is stored yet"),
    )


def activation_policy(content: Content) -> CheckResult:
    reader, policy = content.reader, content.settings.password.activation_policy
    if not policy:
        return skipped(Phrase("password.activation_policy is not set: no activation passwords are issued"))
    reuse, blocks = policy_weaknesses(reader, policy)
    advice = Phrase(
        "Set {policy} as cn=activation in slapd/tree.ldif.in: docs/upgrade-directory.md.", policy=policy
    )
    return worst(
        [*policy_faults(reader, policy), *reuse],
        blocks,
        advice,
        Phrase("activation passwords expire and must be changed"),
    )


def protected(content: Content) -> CheckResult:
    """D32. Every account that the policy protects has the mark that the access rules test."""
    protected_uids = sorted(content.policy.protected)
    if not protected_uids:
        return skipped(Phrase("the policy protects no account"))
    named = filters.any_of(*(filters.equals("uid", uid) for uid in protected_uids))
    unmarked = filters.none_of(filters.equals("piactlProtected", "TRUE"))
    query = filters.all_of(IN_ACCOUNTS, named, unmarked)
    entries = content.reader.search(content.directory.accounts, query, ["uid"])
    uids = sorted(entry.text("uid") for entry in entries)
    wrong = [Phrase("{uid} is protected by the policy, but its entry is not marked", uid=uid) for uid in uids]
    advice = Phrase(
        'Any change of it by an administrator marks it: piactl account unlock ACCOUNT --reason "..."'
    )
    return worst(wrong, [], advice, Phrase("every protected account is marked"))


def unreadable(content: Content) -> CheckResult:
    """D37. Reads every record as the commands do, and reports the unreadable and misplaced ones."""
    reader, directory, unreadable = content.reader, content.directory, content.unreadable
    places, operations = Places(directory.state), operations_dn(content.directory.state)
    read_memory(reader, directory.state, content.keys, unreadable)
    read_runs(reader, directory.state, unreadable, content.now)
    for dn, read in ((places.keys, read_announced), (operations, read_operations)):
        if (entry := reader.read(dn, [DATA])) is not None:
            unreadable.read(dn, entry.first(DATA), read)
    entry = reader.read(places.lock, [DATA])
    lock = unreadable.read(places.lock, entry.first(DATA), read_lock) if entry is not None else None
    if lock is not None and lock.expires > content.now + LONGEST + MARGIN:
        why = Phrase("it expires later than any lock can")
        unreadable.add(UnreadableRecord(places.lock, why, Phrase("delete it if no run is under way")))
    for entry in reader.search(places.folder(ATTEMPTS), IN_RECORD, ["cn", DATA], scope="one"):
        instants = unreadable.read(entry.dn, entry.first(DATA), _instants)
        if instants and max(instants) > content.now + MARGIN:
            why = Phrase("the last identity check counted there is in the future")
            unreadable.add(UnreadableRecord(entry.dn, why, Phrase("check the clocks of the hosts")))
    for _ in read_all_devices(reader, directory.accounts, content.encoding, unreadable):
        pass
    for misplaced in misplaced_entries(entries_of(reader, directory.state), directory.state):
        unreadable.add(misplaced)
    problems = list(map(str, unreadable))
    total = counted(len(problems), "record cannot be read", "records cannot be read")
    advice = Phrase("Restore these entries from a backup of the directory, or delete them by hand.")
    return worst(
        [],
        [Phrase("{name}: {text}", name=total, text=joined(problems))] if problems else [],
        advice,
        Phrase("all can be read"),
    )


def _instants(record: Mapping[str, Any]) -> tuple[datetime, ...]:
    """The times of the identity checks in a record, of one account or of all."""
    if "last" not in record:
        return read_all_attempts(record)
    last = read_attempts(record).last
    return (last,) if last is not None else ()


def password_policies(content: Content) -> CheckResult:
    """D43. No account names a policy that the configuration does not have, and wrong passwords block no
    protected account, except one whose activation password waits for its owner."""
    passwords, reader, directory = content.settings.password, content.reader, content.directory
    if not passwords.policy:
        return skipped(
            Phrase("password.policy is not set"), advice=Phrase("Set it to the DN of ppolicy_default.")
        )
    name = content.encoding.name("uid")
    foreign = [
        Phrase("{uid} (protected): {policy}", uid=entry.text(name), policy=policy)
        if entry.text("piactlProtected") == "TRUE"
        else f"{entry.text(name)}: {policy}"
        for entry, policy in foreign_policies(reader, directory, passwords)
    ]
    blocked = [
        Phrase("{uid} can be blocked by anybody", uid=uid)
        for uid in shut_out_by_others(reader, directory, passwords, name)
    ]
    advice = []
    if foreign:
        advice.append(
            Phrase(
                "Find out who set it. piactl nightly removes it; of a protected account: piactl password "
                "unblock ACCOUNT --administrator. If the policy is yours, add it to "
                "password.other_policies."
            )
        )
    if blocked:
        advice.append(
            Phrase(
                "Set password.protected_policy to cn=protected of slapd/tree.ldif.in, then put each "
                'account under it: piactl password unblock ACCOUNT --administrator --reason "..."'
            )
        )
    good = Phrase("no account names another one, and wrong passwords block no protected account")
    return worst(first_ones(foreign), first_ones(blocked), joined(advice, "{first} {second}"), good)


def canaries(content: Content) -> CheckResult:
    """D47. An error for each server that lets a canary in. Nothing is tried unless that is asked for."""
    if not content.settings.canaries:
        return fine(Phrase("none is configured"))
    if not content.binds:
        return skipped(
            Phrase("not tried"), Phrase("Run piactl doctor --canaries; the night tries them as well.")
        )
    results = list(try_canaries(content.reader, content.settings))
    let_in = [str(result) for result in results if result.let_in]
    unknown = [str(result) for result in results if result.let_in is None]
    advice = Phrase(
        "Find out why the account opens (piactl why ACCOUNT login), and which others do. A canary that "
        "proves nothing needs a password and its file."
    )
    return worst(
        let_in, unknown, advice, Phrase("{binds}, all refused", binds=counted(len(results), "bind", "binds"))
    )


def cases(content: Content) -> CheckResult:
    """Cases that are overdue, soon needed, or wait for HR."""
    cases = cases_in(read_records(content.reader, content.directory.state), UnreadableRecords())
    matching, today = content.settings.matching, content.today
    overdue = [
        Phrase("case {id} is open since {since}", id=c.id, since=c.since)
        for c in cases
        if c.overdue(matching, today)
    ]
    soon = [
        Phrase("case {id}: the newcomer starts on {start}, or has started", id=c.id, start=c.start)
        for c in cases
        if c.urgent(matching, today) and not c.overdue(matching, today)
    ]
    soon += [
        Phrase("case {id} waits since {since} for HR to correct a row", id=c.id, since=c.since)
        for c in cases
        if c.waits_for_hr
    ]
    number = sum(case.open for case in cases)
    advice = Phrase("Decide them, or ask HR to correct its row: piactl match list (docs/identity.md).")
    return worst(overdue, soon, advice, Phrase("{number} open, none is urgent", number=number))


def approvals(content: Content) -> CheckResult:
    if not content.policy.approvals.required:
        return fine(Phrase("the policy asks for no other person"))
    directory = content.directory
    if IdentityName.NIGHTLY not in directory.identities:
        return fine(Phrase("this host applies no plan"))
    records = read_approvals(content.reader, directory, content.keys, content.unreadable)
    wrong = []
    if records.records.entry(records.folder) is None:
        wrong.append(Phrase("there is no entry {folder}", folder=records.folder))
    approver = directory.identities.get(IdentityName.APPROVER)
    if approver is None or not approver.dn:
        wrong.append(Phrase("directory.identities.approver has no dn, so no approval counts"))
    else:
        same = [
            name
            for name, identity in directory.identities.items()
            if name != IdentityName.APPROVER and identity.dn and same_dn(identity.dn, approver.dn)
        ]
        wrong += [Phrase("approver and {name} are one identity", name=name) for name in same]
    count = len(records.all())
    return worst(
        wrong,
        [],
        Phrase("{upgrade_page} See docs/approvals.md.", upgrade_page=UPGRADE_PAGE),
        counted(count, "answer of another person is recorded", "answers of other people are recorded"),
    )


def numbers(content: Content) -> CheckResult:
    """D68. No two entries have one uidNumber, and there is room for more accounts."""
    posix = content.policy.posix
    if posix is None:
        return fine(Phrase("the policy gives none"))
    owners = defaultdict[int, set[str]](set)
    for number, owner in read_numbers(content.reader, content.directory, content.encoding):
        owners[number].add(owner)
    shared = [
        Phrase("{number} is of {names}", number=number, names=joined(sorted(those), "{first} and {second}"))
        for number, those in sorted(owners.items())
        if len(those) > 1
    ]
    size = posix.last - posix.first + 1
    free = size - sum(posix.first <= number <= posix.last for number in owners)
    words = Phrase("{free} of {size} numbers are left", free=free, size=size)
    full = [words] if free == 0 else []
    advice = Phrase("Take the number from one of the entries; raise accounts.posix.last where few are left.")
    scarce = [words] if 0 < free < _FEW_LEFT * size else []
    return worst([*first_ones(shared), *full], scarce, advice, words)
