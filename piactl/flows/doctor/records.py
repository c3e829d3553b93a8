"""Checks of the directory's content: base entries, digest keys in use, the lock, the last run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from piactl.core.model.account import LIVE
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings, Settings
from piactl.core.plan.run_state import RunStatus
from piactl.core.text import counted, few
from piactl.directory import filters
from piactl.directory.port import Reader
from piactl.directory.store.accounts import IN_ACCOUNTS, written_after
from piactl.directory.store.attribute_map import Encoding, encoding_of
from piactl.directory.store.attribute_scans import read_numbers
from piactl.directory.store.attribute_values import read_assignment, read_proof_change
from piactl.directory.store.base_digest import LAYOUT
from piactl.directory.store.devices import read_all_devices
from piactl.directory.store.password_state_and_activation import (
    block_faults,
    foreign_policies,
    policy_faults,
    reuse_faults,
    shut_out_by_others,
)
from piactl.directory.store.records import (
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
    parsed,
)
from piactl.directory.store.run_records import read_runs
from piactl.directory.store.state_records import read_last, read_memory
from piactl.errors import PiactlError
from piactl.flows.apply.key_fence import read_announced
from piactl.flows.apply.run_lock import LONGEST, MARGIN, process_began, read_lock
from piactl.flows.doctor.baseline import Baseline
from piactl.flows.doctor.checks import (
    CheckResult,
    Finding,
    error,
    fine,
    skipped,
    unless_broken,
    warning,
    worst,
)
from piactl.flows.helpdesk.identity_check_and_operator_limits import (
    operations_dn,
    read_all_attempts,
    read_attempts,
    read_operations,
)
from piactl.flows.helpdesk.key_rotation import key_needs, need_words
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.sponsors import ADVICE, leaving_sponsors, sponsored_accounts, sponsors_of

_RECOUNT = timedelta(days=7)
"""The days after which all entries that need a key are counted again."""

_FEW_LEFT = 0.1
"""The share of the range of uidNumbers below which few are left."""

_FEW = 10
"""How many accounts are named in one finding."""

_TELLING = (
    "malad", "matern", "patern", "parent", "invalid", "inapt", "therap", "medic", "suspen", "disciplin",
    "sanction", "exclu", "radiat", "revoc",
)  # fmt: skip
"""Parts of the names of positions that reveal health, family or discipline."""

_ENDS: Mapping[str, str] = {
    RunStatus.INTERRUPTED: "was killed; run piactl nightly, which completes its records and makes a new plan",
    RunStatus.FAILED: "failed; see piactl runs show {run}, correct the cause, and run it again",
    RunStatus.PARTLY: (
        "made only some of the changes; see piactl runs show {run}, then run piactl nightly again"
    ),
    RunStatus.STOPPED: "was stopped by a signal; run piactl nightly again for the remaining changes",
    RunStatus.REFUSED: (
        "was refused by guards and wrote nothing; check its plan, then approve it or correct the feed"
    ),
}


@dataclass(frozen=True, slots=True)
class DirectoryContent:
    """The content of the directory, with what this host needs to read it. `policy` and `keys` raise
    PiactlError if their file is not valid. `host` is the name of this host in the records of runs."""

    reader: Reader
    settings: Settings
    policy: Callable[[], Policy]
    keys: Callable[[], DigestKeys]
    unreadable: UnreadableRecords
    baseline: Baseline
    host: str
    now: datetime

    @property
    def today(self) -> date:
        """The day in the time zone of the policy."""
        try:
            zone = self.policy().timezone
        except PiactlError:
            zone = "UTC"
        return self.now.astimezone(ZoneInfo(zone)).date()

    @property
    def directory(self) -> DirectorySettings:
        return self.settings.directory

    @property
    def encoding(self) -> Encoding:
        return encoding_of(self.policy(), self.directory, self.keys())


def _day_of_last_run(content: DirectoryContent) -> CheckResult:
    last, today = read_last(content.reader, content.directory.state, UnreadableRecords()), content.today
    if last is None:
        return fine("no run has written yet")
    if last.as_of <= today:
        return fine(f"{last.as_of}")
    words = f"{last.as_of}, which is after today ({today})"
    advice = f'Correct the clocks, then: piactl runs rewind --to {today} --reason "..."'
    return warning(words, advice) if content.settings.any_date else error(words, advice)


def _layout(content: DirectoryContent) -> CheckResult:
    last = read_last(content.reader, content.directory.state, UnreadableRecords())
    if last is None or last.layout >= LAYOUT:
        return fine("that of this version")
    advice = "Read the plan of the next night: it gives the entries their form. docs/upgrade-directory.md"
    return warning("the last run was of an earlier version", advice)


def _numbers(content: DirectoryContent) -> CheckResult:
    """No two entries have one uidNumber, and there is room for more accounts."""
    posix = content.policy().posix
    if posix is None:
        return fine("the policy gives none")
    owners = defaultdict[int, set[str]](set)
    for number, owner in read_numbers(content.reader, content.directory, content.encoding):
        owners[number].add(owner)
    shared = [
        f"{number} is of {' and '.join(sorted(those))}"
        for number, those in sorted(owners.items())
        if len(those) > 1
    ]
    size = posix.last - posix.first + 1
    free = size - sum(posix.first <= number <= posix.last for number in owners)
    words = f"{free} of {size} numbers are left"
    full = [words] if free == 0 else []
    advice = "Take the number from one of the entries; raise accounts.posix.last where few are left."
    scarce = [words] if 0 < free < _FEW_LEFT * size else []
    return worst([*first_ones(shared), *full], scarce, advice, words)


def _feeds(content: DirectoryContent) -> CheckResult:
    """The last applied feed of each source is not older than `feed_days`."""
    if content.settings.any_date:
        return fine("not compared: trials choose their date (any_date)")
    memory = read_memory(content.reader, content.directory.state, content.keys(), UnreadableRecords()).memory
    old = []
    for name, source in content.settings.sources.items():
        source_memory = memory.sources.get(name)
        day = source_memory.record.date if source_memory else None
        if source.is_old(day, content.today):
            old.append(f"{name}: the last feed is of {day}")
    advice = "Ask HR for the feed of today; a night with a refused feed exits with 6."
    return worst([], old, advice, "none is old")


def _positions(content: DirectoryContent) -> CheckResult:
    """No position of the policy has a telling name, and no entry holds a code that its position replaces."""
    policy, name = content.policy(), content.encoding.name("piactlAssignment")
    wrong = [
        f"{content.settings.policy_file}:{position.line}: position {position.name} "
        "reveals health or discipline"
        for position in policy.positions.values()
        if any(word in position.name.lower() for word in _TELLING)
    ]
    uids, codes = (
        set(),
        sorted(code.encode() for position in policy.positions.values() for code in position.codes),
    )
    accounts, digest = content.directory.accounts, sha256(b" ".join(codes)).hexdigest()
    query = content.baseline.accounts("D54", digest)
    for entry in content.reader.search(accounts, query, ["uid", name]) if codes else ():
        values = [v for v in entry.values.get(name, ()) if any(code in v for code in codes)]
        with suppress(ValueError):  # an entry that cannot be read is reported by every night
            stored = tuple(read_assignment(value.decode()) for value in values)
            if policy.without_codes(stored) is not stored:
                uids.add(entry.text("uid"))
    if uids:
        some = few(sorted(uids), _FEW)
        wrong.append(f"{counted(len(uids), 'entry holds', 'entries hold')} a code of HR: {some}")
    else:
        content.baseline.in_order("D54", digest)
    advice = (
        "Name the position for its effect, and give HR's word among its codes (docs/policy.md); the next "
        "night replaces it on the entries."
    )
    return worst([], wrong, advice, "only effects are stored")


def _bases(content: DirectoryContent) -> CheckResult:
    reader, directory = content.reader, content.directory
    places = Places(directory.state)
    required = [directory.suffix, directory.accounts, directory.state]
    required += [places.folder(name) for name in (RUNS, SOURCES, WAITING)]
    later = [places.folder(name) for name in (ATTEMPTS, REQUESTS)]
    missing = [dn for dn in required if reader.read(dn, ["objectClass"]) is None]
    minor = [dn for dn in later if reader.read(dn, ["objectClass"]) is None]
    advice = "Add them (schemas/ldap/tree.ldif.in has them), or correct the bases."
    errors, warnings = ([f"{dn} is missing" for dn in group] for group in (missing, minor))
    return worst(errors, warnings, advice, f"{len(required) + len(later)} entries are there")


def _activation_policy(content: DirectoryContent) -> CheckResult:
    reader, policy = content.reader, content.settings.password.activation_policy
    if not policy:
        return skipped("password.activation_policy is not set: no activation passwords are issued")
    faults = [*policy_faults(reader, policy), *reuse_faults(reader, policy)]
    advice = f"Set {policy} as cn=activation in schemas/ldap/tree.ldif.in: docs/upgrade-directory.md."
    blocks = block_faults(reader, policy)
    return worst(faults, blocks, advice, "activation passwords expire and must be changed")


def _foreign_policies(content: DirectoryContent) -> CheckResult:
    passwords = content.settings.password
    if not passwords.policy:
        return skipped("password.policy is not set", advice="Set it to the DN of ppolicy_default.")
    name = content.encoding.name("uid")
    known = " ".join(sorted(passwords.known_policies))
    accounts = content.baseline.accounts("D43", known)
    foreign = [
        f"{entry.text(name)}{' (protected)' if entry.text('piactlProtected') == 'TRUE' else ''}: {policy}"
        for entry, policy in foreign_policies(content.reader, content.directory, passwords, accounts)
    ]
    if not foreign:
        content.baseline.in_order("D43", known)
    advice = (
        "Find out who set it. piactl nightly removes it; of a protected account: piactl password unblock "
        "ACCOUNT --administrator. If the policy is yours, add it to password.other_policies."
    )
    return worst(first_ones(foreign), [], advice, "no account names one")


def _blocks_of_protected(content: DirectoryContent) -> CheckResult:
    """Protected accounts that wrong passwords block. An account whose activation password waits for its owner
    is left out: it is under the policy of activation passwords until then."""
    passwords = content.settings.password
    name = content.encoding.name("uid")
    blocked = [
        f"{uid} can be blocked by anybody"
        for uid in shut_out_by_others(content.reader, content.directory, passwords, name)
    ]
    advice = (
        "Set password.protected_policy to cn=protected of schemas/ldap/tree.ldif.in, then put each account "
        'under it: piactl password unblock ACCOUNT --administrator --reason "..."'
    )
    return worst([], first_ones(blocked), advice, "wrong passwords block no protected account")


def first_ones(findings: list[str]) -> list[str]:
    """The first findings, and how many more there are."""
    rest = len(findings) - _FEW
    return [*findings[:_FEW], f"and {rest} more"] if rest > 0 else findings


def _protected(content: DirectoryContent) -> CheckResult:
    """Every account that the policy protects has the mark that the access rules test."""
    protected_uids = sorted(content.policy().protected)
    if not protected_uids:
        return skipped("the policy protects no account")
    named = filters.any_of(*(filters.equals("uid", uid) for uid in protected_uids))
    unmarked = filters.none_of(filters.equals("piactlProtected", "TRUE"))
    query = filters.all_of(IN_ACCOUNTS, named, unmarked)
    entries = content.reader.search(content.directory.accounts, query, ["uid"])
    uids = sorted(entry.text("uid") for entry in entries)
    wrong = [f"{uid} is protected by the policy, but its entry is not marked" for uid in uids]
    advice = 'Any change of it by an administrator marks it: piactl account unlock ACCOUNT --reason "..."'
    return worst(wrong, [], advice, "every protected account is marked")


def _proof_changes(content: DirectoryContent) -> CheckResult:
    """No proof changed on a day that lies ahead, and the counts of today's operations can be read."""
    name, days = content.encoding.name, content.settings.password.holdoff_days
    query = filters.all_of(IN_ACCOUNTS, filters.present(name("piactlProofChanged")))
    held_off, ahead = 0, []
    for entry in content.reader.search(
        content.directory.accounts, query, [name("uid"), name("piactlProofChanged")]
    ):
        texts = [value.decode("utf-8", "replace") for value in entry.values[name("piactlProofChanged")]]
        try:
            last = max(day for _, day in map(read_proof_change, texts))
        except ValueError:  # such an account is reported by every run
            continue
        if last > content.today:
            ahead.append(entry.text(name("uid")))
        held_off += content.today < last + timedelta(days=days)
    wrong = [f"{', '.join(sorted(ahead)[:_FEW])}: changed on a day that lies ahead"] if ahead else []
    unreadable = UnreadableRecords()
    counts = content.reader.read(operations_dn(content.directory.state), [DATA])
    if counts is not None:
        unreadable.read(counts.dn, counts.first(DATA), read_operations)
    wrong += [str(record) for record in unreadable]
    advice = "Correct the clocks and the value of piactlProofChanged; delete a record that cannot be read."
    return worst([], wrong, advice, f"{counted(held_off, 'account')} in the hold-off")


def _addresses(content: DirectoryContent) -> CheckResult:
    """Every open or coming account has an address."""
    name = content.encoding.name
    live = filters.any_of(*(filters.equals(name("piactlState"), state.value) for state in LIVE))
    without = filters.none_of(filters.present(name("mail")))
    query = filters.all_of(content.baseline.accounts("D36"), live, without)
    entries = content.reader.search(content.directory.accounts, query, [name("uid")])
    uids = sorted(entry.text(name("uid")) for entry in entries)
    some = few(uids, _FEW)
    wrong = [f"{counted(len(uids), 'account')} without an address: {some}"] if uids else []
    if not wrong:
        content.baseline.in_order("D36")
    advice = "Another program removed it (see D55): the next night restores it from the ledger of names."
    return worst(wrong, [], advice, "every open or coming account has one")


def _sponsors(content: DirectoryContent) -> CheckResult:
    accounts = ManagedAccounts(content.reader, content.directory, content.encoding)
    sentences = [*leaving_sponsors(accounts, sponsors_of(sponsored_accounts(accounts)))]
    return worst([], sentences, ADVICE, "no sponsor has left")


def _unreadable(content: DirectoryContent) -> CheckResult:
    """Reads every record as the commands do, and reports the unreadable and misplaced ones."""
    reader, directory, unreadable = content.reader, content.directory, UnreadableRecords()
    places = Places(directory.state)
    read_memory(reader, directory.state, content.keys(), unreadable)
    read_runs(reader, directory.state, unreadable, content.now)
    announced = reader.read(places.keys, [DATA])
    if announced is not None:
        unreadable.read(announced.dn, announced.first(DATA), read_announced)
    for entry in reader.search(places.folder(ATTEMPTS), IN_RECORD, ["cn", DATA], scope="one"):
        instants = unreadable.read(entry.dn, entry.first(DATA), _instants)
        if instants and max(instants) > content.now + MARGIN:
            why = "the last identity check counted there is in the future"
            unreadable.add(UnreadableRecord(entry.dn, why, "check the clocks of the hosts"))
    for _ in read_all_devices(reader, directory.accounts, content.encoding, unreadable):
        pass
    for misplaced in misplaced_entries(entries_of(reader, directory.state), directory.state):
        unreadable.add(misplaced)
    # the lock has a check of its own
    problems = [str(record) for record in unreadable if record.dn != places.lock]
    total = counted(len(problems), "record cannot be read", "records cannot be read")
    advice = "Restore these entries from a backup of the directory, or delete them by hand."
    return worst([], [f"{total}: {'; '.join(problems)}"] if problems else [], advice, "all can be read")


def _instants(record: Mapping[str, Any]) -> tuple[datetime, ...]:
    """The times of the identity checks in a record, of one account or of all."""
    if "last" not in record:
        return read_all_attempts(record)
    last = read_attempts(record).last
    return (last,) if last is not None else ()


def _needed_keys(content: DirectoryContent) -> CheckResult:
    try:
        have = content.keys().keys
    except PiactlError:
        return skipped("the key file cannot be read (D04)")
    reader, directory, baseline = content.reader, content.directory, content.baseline
    day, before = _counted_before(baseline)
    if baseline.since and day > content.today - _RECOUNT and before.keys() <= have.keys():
        query = filters.all_of(IN_ACCOUNTS, written_after(baseline.since))
        if key_needs(reader, directory, content.unreadable, query).keys() <= before.keys():
            baseline.now["keys"] = baseline.before["keys"]
            return fine(f"{_needs_in_words(before)} (counted on {day})")
    needs = key_needs(reader, directory, content.unreadable)
    lost = [
        f"key {k or '(none)'}: {counted(need.counts.total(), 'digest')}, such as that of {need.example}"
        for k, need in sorted(needs.items())
        if k not in have
    ]
    words = {key: need_words(need) for key, need in sorted(needs.items())}
    if not lost:
        baseline.now["keys"] = {"day": str(content.today), "needs": words}
    advice = "Restore the key's line in the key file from its copy; a lost key cannot be made again."
    return worst(lost, [], advice, _needs_in_words(words))


def _counted_before(baseline: Baseline) -> tuple[date, Mapping[str, str]]:
    try:
        counted_needs = baseline.before["keys"]
        return date.fromisoformat(counted_needs["day"]), dict(counted_needs["needs"])
    except (KeyError, TypeError, ValueError):
        return date.min, {}


def _needs_in_words(needs: Mapping[str, str]) -> str:
    counts = "; ".join(f"{key}: {words}" for key, words in needs.items())
    return f"needed by key: {counts}" if needs else "no digest is stored yet"


def _lock(content: DirectoryContent) -> CheckResult:
    dn, now = Places(content.directory.state).lock, content.now
    entry = content.reader.read(dn, [DATA])
    if entry is None:
        return fine("free")
    end = "If no run is under way, delete this entry."
    try:
        lock = parsed(dn, entry.first(DATA), read_lock)
    except UnreadableRecord as unreadable:
        return error(f"{dn} cannot be read: {unreadable.why}", end)
    holder, expires = lock.holder, lock.expires
    whose = f"run {holder.run} of {holder.who} on {holder.host} since {lock.since}"
    late = now > expires + MARGIN
    if expires > now + LONGEST + MARGIN:
        return error(f"{dn} expires on {expires:%Y-%m-%d}, later than any lock can: {whose}", end)
    if holder.host == content.host and not (holder.began and process_began(holder.pid) == holder.began):
        advice = "Run piactl nightly: it takes the lock over and completes the records of that run."
        return warning(f"abandoned by {whose}: its process has ended", advice)
    if late:
        advice = "If that process hangs, end it; the next writing run takes the lock over."
        return warning(f"expired at {expires.isoformat(timespec='seconds')}: {whose}", advice)
    return fine(f"held by {whose}, until {expires.isoformat(timespec='seconds')} unless renewed")


def _last_run(content: DirectoryContent) -> CheckResult:
    today, state = content.today, content.directory.state
    try:
        runs = read_runs(content.reader, state, content.unreadable, content.now)
    except PiactlError:
        return skipped("the records of runs cannot be read")
    if not runs:
        return fine("no run has written yet")
    last = runs[0]
    name, status = last["run"], str(last.get("status"))
    words = f"run {name} as of {last.get('as_of')}: {status}"
    if status == RunStatus.RUNNING:
        if content.reader.read(Places(state).lock, [DATA]) is not None:
            return fine(words)
        return warning(f"{words}, but no run holds the lock", f"It {_ENDS[RunStatus.INTERRUPTED]}")
    if status in _ENDS:
        return warning(words, f"It {_ENDS[status].format(run=name)}")
    if str(last.get("as_of")) > today.isoformat():
        problem = f"{words}; that is after today ({today}), so a run as of today is refused"
        advice = "Correct the clock. In a trial, use --as-of with that day or a later one."
        return warning(problem, advice) if content.settings.any_date else error(problem, advice)
    return fine(words)


RECORDS: Mapping[str, Callable[[DirectoryContent], CheckResult]] = {
    "D27": _needed_keys,
    "D28": _lock,
    "D29": _last_run,
    "D30": _activation_policy,
    "D32": _protected,
    "D36": _addresses,
    "D37": _unreadable,
    "D41": _day_of_last_run,
    "D42": _feeds,
    "D43": _foreign_policies,
    "D45": _blocks_of_protected,
    "D49": _proof_changes,
    "D54": _positions,
    "D62": _sponsors,
    "D67": _layout,
    "D68": _numbers,
}


def examine_bases(content: DirectoryContent) -> Finding:
    """D15. Raises PiactlError: another identity may see the entries."""
    return unless_broken("D15", lambda: _bases(content))
