"""Counts identity checks and what operators give out, and limits both. The counts are in the directory, so
the limits hold on every host.

Wrong NUMENs and wrong one-time codes of an account are counted separately: a correct code of a new device
says nothing about who guessed the NUMEN. Activation passwords and devices are counted by operator and day, by
compare-and-swap before a command writes: of two at once, only one takes what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from piactl.core.credentials.proofs import FREE_TRIES, Attempts, all_open_at, recent
from piactl.core.model.account import Account
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import PasswordSettings, Settings
from piactl.core.plan.change import OPERATIONS
from piactl.core.plan.check_guards import Refusal, operation_refusals
from piactl.directory.dn import child
from piactl.directory.interfaces import Outcome, RawEntry, Reader, Writer, write_one
from piactl.directory.store.record_entries import (
    ATTEMPTS,
    DATA,
    IN_RECORD,
    Places,
    Record,
    UnreadableRecord,
    UnreadableRecords,
    is_record,
    record_write,
    stored,
)
from piactl.directory.store.state_records import read_last
from piactl.directory.store.typed_records import from_json, reader_of, to_json
from piactl.edits.carry_out_batch import Batch, PreparedAccount
from piactl.errors import Exit, PiactlError, UnsafePlan
from piactl.phrase import Phrase, counted
from piactl.runs.hooks import OwnerNotice, owner_notice
from piactl.runs.run import Run
from piactl.runs.run_checks import require_default_policy

_TRIES = 20
"""How often a count is read again because another host counted in between."""

T = TypeVar("T")
All = tuple[datetime, ...]
"""The times of the wrong checks of all accounts."""


class ProofKind(StrEnum):
    """The kind of an answer; wrong answers are counted by kind. The value is the purpose of the digest that
    names the count."""

    NUMEN = "attempts"
    CODE = "attempts-code"


class TooManyAttempts(PiactlError):
    """Too many identity checks were wrong: the next is allowed at `open_at`."""

    exit_code = Exit.REFUSED

    def __init__(self, message: str, open_at: datetime) -> None:
        self.open_at = open_at
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class IdentityChecks:
    """The identity checks that are counted in one directory, below the entry `state`.

    Counts are found by digests of uids under `keys`. Messages show instants in `timezone`.
    """

    writer: Writer
    state: str
    passwords: PasswordSettings
    keys: DigestKeys
    timezone: str
    unreadable: UnreadableRecords

    def count(self, dn: str, now: datetime) -> _Count[Attempts]:
        """The count of an account. If it cannot be read, one more check may be made before the next has to
        wait."""

        def dated(attempts: Attempts) -> Attempts:
            return replace(attempts, last=min(attempts.last, now)) if attempts.last else attempts

        lost = Attempts(FREE_TRIES - 1, now)
        return _Count(self, dn, read_attempts, Attempts(), lost, dated, lambda new: new if new.last else None)

    def count_of_all(self, now: datetime) -> _Count[All]:
        """The count of all accounts. If it cannot be read, half of what an hour allows is used up."""

        def dated(failures: All) -> All:
            return tuple(min(instant, now) for instant in failures)

        lost = (now,) * (self.passwords.failures_per_hour // 2)
        dn = _all(self.state)
        return _Count(
            self, dn, read_all_attempts, (), lost, dated, lambda new: {"failures": new} if new else None
        )


@dataclass(frozen=True, slots=True)
class _Count(Generic[T]):
    """A count in the directory as it is taken now; `lost` if it cannot be read. An instant in the future
    counts as now (`dated`): nobody waits longer because of it, and nobody gets more tries."""

    checks: IdentityChecks
    dn: str
    read: Callable[[Record], T]
    empty: T
    lost: T
    dated: Callable[[T], T]
    record: Callable[[T], Any]

    def get(self) -> T:
        return self._value(stored(self.checks.writer.read(self.dn, [DATA])))

    def change(self, change: Callable[[T], T]) -> None:
        def changed(data: bytes | None) -> Record | None:
            record: Record | None = to_json(self.record(change(self._value(data))))
            return record

        change_record(self.checks.writer, self.dn, changed)

    def settle(self) -> None:
        data = stored(self.checks.writer.read(self.dn, [DATA]))
        value = None if data is None else self.checks.unreadable.read(self.dn, data, self.read)
        if value is not None and self.dated(value) != value:
            why = Phrase(
                "the count of identity checks is of an instant that lies ahead, and counts as of now"
            )
            advice = Phrase("look at the clocks of the hosts")
            self.checks.unreadable.add(UnreadableRecord(self.dn, why, advice))
            self.change(lambda as_of_now: as_of_now)

    def _value(self, data: bytes | None) -> T:
        if data is None:
            return self.empty
        value = self.checks.unreadable.read(self.dn, data, self.read)
        return self.lost if value is None else self.dated(value)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One check that was counted as wrong before it was made, for each of its answers; `right` and
    `take_back` undo that. `before` are the counts before it, by DN."""

    checks: IdentityChecks
    uid: str
    at: datetime
    answers: tuple[ProofKind, ...]
    before: dict[str, Attempts] = field(default_factory=dict)

    def right(self) -> None:
        """The answers were correct: wrong ones of their kind no longer count against the account."""
        for answer in self.answers:
            for dn in _records(self.checks, self.uid, answer):
                self.checks.count(dn, self.at).change(lambda _: Attempts())
        self._without_all()

    def take_back(self) -> None:
        """The answer was correct but proves nothing, like a code of a new device: this check no longer
        counts, earlier ones still do."""
        for dn, before in self.before.items():

            def one_less(now: Attempts, before: Attempts = before) -> Attempts:
                last = before.last if now.last == self.at else now.last
                return Attempts(now.failures - 1, last) if now.failures > 1 and last else Attempts()

            self.checks.count(dn, self.at).change(one_less)
        self._without_all()

    def _without_all(self) -> None:

        def without(failures: All) -> All:
            remaining = list(failures)
            if self.at in remaining:
                remaining.remove(self.at)
            return tuple(remaining)

        self.checks.count_of_all(self.at).change(without)


def begin_attempt(checks: IdentityChecks, uid: str, now: datetime, *answers: ProofKind) -> Attempt:
    """Counts one identity check of an account, by compare-and-swap, before it is made.

    Raises TooManyAttempts if the next check may not be made yet, and DefaultPolicyMissing; neither is
    counted. Raises UnreadableRecord if an entry that is not a record of piactl is in the place of a count: no
    check is made uncounted.
    """
    policy = checks.passwords.policy
    require_default_policy(
        policy, there=not policy or checks.writer.read(policy, ["objectClass"]) is not None
    )
    limit = checks.passwords.failures_per_hour

    def one_more(attempts: Attempts) -> Attempts:
        attempts = attempts.remembered(now)
        if attempts.open_at is not None and now < attempts.open_at:
            raise TooManyAttempts(
                Phrase(
                    "{uid}: too many identity checks were wrong (the last {failures}); the next can be made "
                    "at {time}",
                    uid=uid,
                    failures=attempts.failures,
                    time=shown_time(attempts.open_at, checks.timezone),
                ),
                attempts.open_at,
            )
        return attempts.failed(now)

    def one_more_of_all(failures: All) -> All:
        failures = recent(failures, now)
        open_at = all_open_at(failures, limit)
        if open_at is not None:
            raise TooManyAttempts(
                Phrase(
                    "{failures} identity checks, of all accounts, were wrong within the last hour: somebody "
                    "may be guessing; each left a note in the journal of its host\n"
                    "The next check of any account can be made at {time}",
                    failures=len(failures),
                    time=shown_time(open_at, checks.timezone),
                ),
                open_at,
            )
        return (*failures, now)

    names = [(_records(checks, uid, answer) or [_names(checks, uid, answer)[0]])[0] for answer in answers]
    own, of_all = [checks.count(dn, now) for dn in names], checks.count_of_all(now)
    for count in own:
        count.settle()
    of_all.settle()
    one_more_of_all(of_all.get())  # refuses before anything is counted
    before = {count.dn: count.get().remembered(now) for count in own}
    for attempts in before.values():
        one_more(attempts)
    # the account first: a refused try does not use up the tries of all accounts
    for count in own:
        count.change(one_more)
    of_all.change(one_more_of_all)
    return Attempt(checks, uid, now, answers, before)


def tries_left(
    checks: IdentityChecks, uid: str, now: datetime, *answers: ProofKind
) -> tuple[int, datetime | None]:
    """How many checks of an account may still be wrong before a wait begins; if there are none, when the next
    can be made."""
    counts = [
        [checks.count(dn, now).get().remembered(now) for dn in _records(checks, uid, answer)]
        for answer in answers
    ]
    left = FREE_TRIES - max(sum(count.failures for count in of_answer) for of_answer in counts)
    waits = [count.open_at for of_answer in counts for count in of_answer if count.open_at is not None]
    return max(0, left), max(waits, default=None)


def forget_old_attempts(run: Run) -> int:
    """Deletes expired counts, and malformed ones, which the help desk can add; returns their number. Raises
    PiactlError."""
    gone = 0
    now, writer, state = run.now(), run.writer, run.settings.directory.state
    checks = IdentityChecks(writer, state, run.settings.password, run.keys, "UTC", run.unreadable)
    folder = run.places.folder(ATTEMPTS)
    entries = list(writer.search(folder, IN_RECORD, [DATA], scope="one"))
    for entry in entries:
        if entry.dn.lower() == _all(state).lower():
            checks.count_of_all(now).settle()
            continue
        if entry.dn.lower() in (operations_dn(state).lower(), run.places.clock.lower()):
            continue
        attempts = run.unreadable.read(entry.dn, entry.first(DATA), read_attempts)
        if attempts is None:
            continue
        if attempts.last is not None and attempts.last > now:
            checks.count(entry.dn, now).settle()
        elif not attempts.remembered(now).failures:
            write = record_write(entry.dn, stored(entry), None)
            if write is not None:
                gone += write_one(writer, write).outcome is Outcome.APPLIED
    return gone + delete_malformed(run, folder, entries)


def delete_malformed(run: Run, folder: str, entries: Iterable[RawEntry]) -> int:
    """Deletes the records of the folder that were found malformed, names all of them, returns how many."""
    names = run.unreadable.delete(run.writer, entries)
    if names:
        run.say(
            Phrase(
                "deleted {records} of {folder}: {names}",
                records=counted(len(names), "malformed record", "malformed records"),
                folder=folder,
                names=", ".join(names),
            )
        )
    return len(names)


read_attempts: Callable[[Record], Attempts] = reader_of(Attempts)
"""Reads the wrong checks of one account."""


def read_all_attempts(record: Record) -> All:
    """The times of the wrong checks of all accounts. Raises KeyError, ValueError."""
    failures: All = from_json(All, record.get("failures", []), "failures")
    return failures


def shown_time(instant: datetime, timezone: str) -> str:
    """An instant in a time zone, to the minute."""
    local = instant.astimezone(ZoneInfo(timezone))
    return Phrase("{time} ({zone})", time=f"{local:%Y-%m-%d %H:%M}", zone=timezone)


def _names(checks: IdentityChecks, uid: str, answer: ProofKind) -> list[str]:
    """The DNs that a count of an account may have: digests of the uid, under the current key first."""
    folder = Places(checks.state).folder(ATTEMPTS)
    return [child(folder, "cn", digest) for digest in checks.keys.candidates(answer, uid)]


def _records(checks: IdentityChecks, uid: str, answer: ProofKind) -> list[str]:
    return [dn for dn in _names(checks, uid, answer) if checks.writer.read(dn, ["cn"]) is not None]


def operations_dn(state: str) -> str:
    """The DN of the counts of what operators did today (see `OperationGuard`)."""
    return child(Places(state).folder(ATTEMPTS), "cn", "operations")


def _all(state: str) -> str:
    return child(Places(state).folder(ATTEMPTS), "cn", "all")


def change_record(writer: Writer, dn: str, change: Callable[[bytes | None], Record | None]) -> None:
    """Replaces the content of a count, by compare-and-swap, with the result of `change`; None deletes it.

    Raises what `change` raises, UnreadableRecord, and PiactlError if the count changes faster than it is
    written.
    """
    for _ in range(_TRIES):
        data = stored(writer.read(dn, [DATA]))
        new = change(data)
        write = record_write(dn, data, new)
        if write is None:
            return
        result = write_one(writer, write)
        if result.outcome is Outcome.APPLIED:
            return
        if result.outcome is Outcome.FAILED and new is None:
            # an entry below it keeps it from being deleted; an empty count is as good as none
            change = _empty
        elif result.outcome is Outcome.FAILED or not _is_ours(writer, dn):
            raise UnreadableRecord(
                dn,
                Phrase("the count of identity checks cannot be written ({message})", message=result.message),
            )
    raise PiactlError(Phrase("the count of identity checks changes faster than it can be written; try again"))


def _is_ours(writer: Writer, dn: str) -> bool:
    entry = writer.read(dn, ["objectClass"])
    return entry is None or is_record(entry)


def _empty(_: bytes | None) -> Record | None:
    return {"failures": 0}


Counts = Mapping[str, Mapping[str, int]]
"""Operations of a day by operator and operation."""


@dataclass(frozen=True, slots=True)
class OperationGuard:
    """Counts what `operator` does on a day; `allowed` has the approved number by kind of guard."""

    settings: Settings
    policy: Policy
    day: date
    operator: str
    allowed: Mapping[str, int]
    unreadable: UnreadableRecords

    @property
    def _state(self) -> str:
        return self.settings.directory.state

    def notice(self, account: Account, operation: str) -> OwnerNotice:
        """The notice of an operation to the owner of an account."""
        return owner_notice(account, operation, self.settings.password.holdoff_days, self.day)

    def guarded(self, reader: Reader, operation: str, accounts: tuple[PreparedAccount, ...]) -> Batch:
        """The batch of these accounts, each of whose writes is one operation, with the guards it breaks."""
        uids = [account.uid for account in accounts if account.write is not None]
        data = stored(reader.read(operations_dn(self._state), [DATA]))
        broken = self._refusals(reader, operation, uids, self._counts(data))
        return Batch(accounts, tuple(broken), self._reservation(operation, uids) if uids else None)

    def _reservation(self, operation: str, uids: Sequence[str]) -> Callable[[Writer], None]:
        def reserve(writer: Writer) -> None:
            def more(data: bytes | None) -> Record:
                counts = self._counts(data)
                if self._refusals(writer, operation, uids, counts, self.allowed):
                    raise UnsafePlan(
                        Phrase(
                            "{accounts}: another command used up what was left of today; nothing was "
                            "written. Repeat it to see the guard",
                            accounts=counted(len(uids), "account", "accounts"),
                        )
                    )
                return {"day": self.day.isoformat(), "operators": self._after(counts, operation, len(uids))}

            change_record(writer, operations_dn(self._state), more)

        return reserve

    def _refusals(
        self,
        reader: Reader,
        operation: str,
        uids: Sequence[str],
        counts: Counts,
        allowed: Mapping[str, int] | None = None,
    ) -> list[Refusal]:
        last = read_last(reader, self._state, self.unreadable)
        earlier = self._earlier(counts, operation)
        accounts = last.census.total if last else 0
        return operation_refusals(operation, uids, earlier, accounts, self.policy, self.day, allowed)

    def _earlier(self, counts: Counts, operation: str) -> tuple[int, int]:
        own = counts.get(self.operator, {}).get(operation, 0)
        return own, sum(done.get(operation, 0) for done in counts.values())

    def _after(self, counts: Counts, operation: str, number: int) -> Counts:
        """The counts after `number` more. As in the windows of nights, what was approved does not count: the
        command alone, with what the operator did before, or with what all did."""
        before = zip(OPERATIONS[operation], (0, *self._earlier(counts, operation)), strict=True)
        approved = {kind for kind, earlier in before if self.allowed.get(kind) == earlier + number}
        if not approved:
            own = counts.get(self.operator, {})
            return {**counts, self.operator: {**own, operation: own.get(operation, 0) + number}}
        _, of_operator, of_day = OPERATIONS[operation]
        again = {*counts} if of_day in approved else {self.operator} if of_operator in approved else set()
        return {name: {**own, operation: 0} if name in again else own for name, own in counts.items()}

    def _counts(self, data: bytes | None) -> Counts:
        if data is None:
            return {}
        counts = self.unreadable.read(operations_dn(self._state), data, read_operations)
        return counts[1] if counts and counts[0] == self.day else {}


def read_operations(record: Record) -> tuple[date, Counts]:
    """The day and the counts of a record. Raises KeyError, ValueError."""
    return from_json(date, record["day"], "day"), from_json(Counts, record["operators"], "operators")
