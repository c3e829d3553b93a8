"""The password of an account in the directory (ppolicy, slapo-otp): its state, and activation passwords.

Operational attributes are requested by name. Neither a password nor the secret of a device can be read.

How ppolicy enforces activation passwords was measured with slapd 2.5 and later; tests with real binds check
it. pwdMaxAge cannot end an activation password: a password that must be changed has no age, and the limit
would end the password that replaces it. Instead pwdAccountLockedTime is set to a future time: it has no
effect until then, and locks afterwards, under a policy whose locks last. When the owner changes the password,
slapd removes it together with pwdReset. pwdPolicySubentry stays until the next night removes it. A block by
wrong passwords (pwdMaxFailure) would overwrite that time, so under this policy they only delay
(pwdAccountTmpLockoutEnd).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from piactl.core.credentials.credential_state import NEVER_VALID, Credentials, DeviceStatus, PasswordPolicy
from piactl.core.credentials.passwords import ActivationPassword
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.settings import DirectorySettings, PasswordSettings
from piactl.core.plan.write import Values, Write
from piactl.core.text import utc_instant
from piactl.directory import filters
from piactl.directory.dn import child, same_dn
from piactl.directory.interfaces import Outcome, RawEntry, Reader, Writer, WriteResult, write_one
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.phrase import Phrase

_FOR_GOOD = "000001010000Z"
_ACCOUNT = ("pwdChangedTime", "pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry", "oathTOTPToken",
            "pwdFailureTime", "pwdAccountTmpLockoutEnd")  # fmt: skip
_TOKEN = ("oathTOTPParams", "oathTOTPTimeStepDrift", "oathTOTPTimeStepPeriod")
_POLICY = ("pwdLockout", "pwdLockoutDuration", "pwdMaxAge")


def read_credentials(reader: Reader, dn: str, device: str, settings: PasswordSettings) -> Credentials:
    """The credentials of the account `dn` with the device `device` in force, "" for none.

    Makes one search for the account and its devices, and reads its password policy.
    """
    query = filters.any_of(IN_ACCOUNTS, filters.equals("objectClass", "oathTOTPToken"))
    entries = list(reader.search(dn, query, [*_ACCOUNT, *_TOKEN]))
    entry = next((raw for raw in entries if same_dn(raw.dn, dn)), RawEntry(dn, {}))
    blocked, link = entry.text("pwdAccountLockedTime"), entry.text("oathTOTPToken")
    return Credentials(
        changed=instant(entry.text("pwdChangedTime")),
        must_change=entry.text("pwdReset") == "TRUE",
        blocked=None if blocked == _FOR_GOOD else instant(blocked),
        blocked_for_good=blocked == _FOR_GOOD,
        policy=_policy(reader, entry.text("pwdPolicySubentry") or settings.policy, settings),
        device=_device(reader, entries, child(dn, "cn", device), device) if device else None,
        linked=bool(link and device) and same_dn(link, child(dn, "cn", device)),
        denied=bool(link) and same_dn(link, child(dn, "cn", NO_DEVICE)),
        failures=_instants(entry, "pwdFailureTime"),
        delayed=instant(entry.text("pwdAccountTmpLockoutEnd")),
    )


def _policy(reader: Reader, dn: str, settings: PasswordSettings) -> PasswordPolicy | None:
    entry = reader.read(dn, _POLICY) if dn else None
    if entry is None:
        return None
    return PasswordPolicy(
        name=dn,
        blocks=entry.text("pwdLockout") == "TRUE",
        block=_seconds(entry, "pwdLockoutDuration"),
        max_age=_seconds(entry, "pwdMaxAge"),
        activation=bool(settings.activation_policy) and same_dn(dn, settings.activation_policy),
    )


def _device(reader: Reader, entries: Sequence[RawEntry], dn: str, name: str) -> DeviceStatus:
    entry = next((raw for raw in entries if same_dn(raw.dn, dn)), None)
    if entry is None:
        return DeviceStatus(name, there=False)
    place = entry.text("oathTOTPParams") or dn
    params = next((raw for raw in entries if same_dn(raw.dn, place)), None) or reader.read(place, _TOKEN)
    if params is None:
        return DeviceStatus(name, there=True)
    return DeviceStatus(
        name,
        there=True,
        drift=_whole(params.text("oathTOTPTimeStepDrift"), 0),
        step=_whole(params.text("oathTOTPTimeStepPeriod"), 30),
    )


def instant(text: str) -> datetime | None:
    """The instant of a GeneralizedTime in UTC, with or without fractions of a second; None for other text."""
    try:
        return utc_instant(text)
    except ValueError:
        return None


def _instants(entry: RawEntry, attribute: str) -> tuple[datetime, ...]:
    texts = (value.decode("ascii", "replace") for value in entry.values.get(attribute, ()))
    return tuple(sorted(raw for raw in map(instant, texts) if raw is not None))


def _seconds(entry: RawEntry, attribute: str) -> timedelta:
    return timedelta(seconds=_whole(entry.text(attribute), 0))


def _whole(text: str, usual: int) -> int:
    return int(text) if text.removeprefix("-").isdigit() else usual


LOCKED, RESET, POLICY = "pwdAccountLockedTime", "pwdReset", "pwdPolicySubentry"


def activation_write(
    reader: Reader, dn: str, password: ActivationPassword, ends: datetime, policy: str
) -> Write:
    """The write that sets an activation password. It fails if the block of the entry changes meanwhile.

    An existing block is deleted by its value, not replaced: otherwise ppolicy deletes the new one too.
    """
    return Write(
        "modify",
        dn,
        add={
            "userPassword": (password.reveal().encode(),),
            RESET: (b"TRUE",),
            POLICY: (policy.encode(),),
            LOCKED: (generalized(ends),),
        },
        delete={"userPassword": (), RESET: (), POLICY: (), **_values_of(reader, dn, LOCKED)},
    )


def removal_write(reader: Reader, dn: str, policy: str) -> Write:
    """The write that leaves an account without a password until it gets an activation password. `policy` is
    that of activation passwords, "" without one: with it, the account is like one whose activation password
    ended before it was set."""
    add = {RESET: (b"TRUE",), POLICY: (policy.encode(),), LOCKED: (generalized(NEVER_VALID),)}
    return Write(
        "modify",
        dn,
        add=add if policy else {},
        delete={"userPassword": (), RESET: (), POLICY: (), **_values_of(reader, dn, LOCKED)},
    )


def unblock_write(
    reader: Reader, dn: str, *, ends: datetime | None, policy: str | None = None
) -> Write | None:
    """The write that lifts a block by wrong passwords and resets their count; None if nothing changes.

    `ends` is the end of the activation password, None for another password. `policy` is the DN of the
    account's password policy from now on: "" the default one, None the present one.
    """
    delete = _values_of(reader, dn, LOCKED)
    add = {LOCKED: (generalized(ends),)} if ends is not None else {}
    if delete == add:
        delete, add = {}, {}
    if policy is not None:
        delete |= _values_of(reader, dn, POLICY)
        add |= {POLICY: (policy.encode(),)} if policy else {}
    return Write("modify", dn, add=add, delete=delete) if delete or add else None


def _released(policy: str) -> str:
    return filters.all_of(filters.equals(POLICY, policy), filters.none_of(filters.equals(RESET, "TRUE")))


def _foreign(passwords: PasswordSettings) -> str:
    known = {passwords.policy, passwords.activation_policy, passwords.protected_policy}
    dns = sorted({*known, *passwords.other_policies} - {""})
    named = (filters.equals(POLICY, dn) for dn in dns)
    return filters.all_of(filters.present(POLICY), filters.none_of(*named))


def odd_policies(passwords: PasswordSettings) -> list[str]:
    """The filters of the accounts that go under another password policy, beside that of accounts."""
    released = [_released(passwords.activation_policy)] if passwords.activation_policy else []
    return [*released, *([_foreign(passwords)] if passwords.policy else [])]


def foreign_policies(
    reader: Reader, directory: DirectorySettings, passwords: PasswordSettings
) -> Iterator[tuple[RawEntry, str]]:
    """(entry, DN of its password policy) of each account, protected or not, that names a policy which is not
    in the configuration. Nothing if the configuration does not name the default policy."""
    if not passwords.policy:
        return
    query = filters.all_of(IN_ACCOUNTS, _foreign(passwords))
    uid = directory.attributes.get("uid", "uid")
    for entry in reader.search(directory.accounts, query, [uid, "piactlProtected", POLICY]):
        yield entry, entry.text(POLICY)


def policy_writes(
    reader: Reader, directory: DirectorySettings, passwords: PasswordSettings
) -> Iterator[tuple[str, Write, str]]:
    """(uid, write, foreign policy) for each account that goes under another password policy: from one that
    the configuration does not name, or, "", from that of activation passwords because the owner has replaced
    the password. Protected accounts go under their own policy, or stay if there is none; a foreign one of
    theirs only the administrator removes."""
    queries = odd_policies(passwords)
    if not queries:
        return
    uid = directory.attributes.get("uid", "uid")
    query = filters.all_of(IN_ACCOUNTS, filters.any_of(*queries))
    for entry in reader.search(directory.accounts, query, [uid, POLICY, "piactlProtected"]):
        policy, protected = entry.text(POLICY), entry.text("piactlProtected") == "TRUE"
        foreign = "" if same_dn(policy, passwords.activation_policy) else policy
        if protected and (foreign or not passwords.protected_policy):
            continue
        add: Values = {POLICY: (passwords.protected_policy.encode(),)} if protected else {}
        write = Write("modify", entry.dn, add=add, delete={POLICY: entry.values[POLICY]})
        yield entry.text(uid), write, foreign


def shut_out_by_others(
    reader: Reader, directory: DirectorySettings, passwords: PasswordSettings, uid: str
) -> list[str]:
    """The uids of the protected accounts that wrong passwords block, except those whose activation password
    waits for its owner; `uid` is the attribute."""
    waiting = filters.all_of(
        filters.equals(RESET, "TRUE"), filters.equals(POLICY, passwords.activation_policy or directory.suffix)
    )
    marked = filters.equals("piactlProtected", "TRUE")
    query = filters.all_of(IN_ACCOUNTS, marked, filters.none_of(waiting))
    blocks: dict[str, bool] = {"": False}
    uids = []
    for entry in list(reader.search(directory.accounts, query, [uid, POLICY])):
        policy = entry.text(POLICY) or passwords.policy
        if policy not in blocks:
            policy_entry = reader.read(policy, ["pwdLockout"])
            blocks[policy] = policy_entry is not None and policy_entry.text("pwdLockout") == "TRUE"
        if blocks[policy]:
            uids.append(entry.text(uid))
    return sorted(uids)


_NONE = ("", "0")
_WRONG = (
    ("pwdLockout", ("TRUE",), Phrase("pwdLockout is not TRUE: activation passwords would never end")),
    (
        "pwdLockoutDuration",
        _NONE,
        Phrase("pwdLockoutDuration is not 0: an activation password would be valid again after it"),
    ),
    (
        "pwdMustChange",
        ("TRUE",),
        Phrase("pwdMustChange is not TRUE: activation passwords would never have to be replaced"),
    ),
    (
        "pwdMaxAge",
        _NONE,
        Phrase("pwdMaxAge is set: it would end the password that replaces the activation password"),
    ),
)
"""What is wrong with a policy of activation passwords whose attribute has none of these values."""


def policy_faults(reader: Reader, policy: str) -> list[str]:
    """The reasons why activation passwords under this policy would not end, or would not have to be replaced;
    empty for the policy of slapd/tree.ldif.in."""
    entry = reader.read(policy, [name for name, _, _ in _WRONG])
    if entry is None:
        return [Phrase("it does not exist, and without it slapd applies no policy at all")]
    return [why for name, right, why in _WRONG if entry.text(name) not in right]


def policy_weaknesses(reader: Reader, policy: str) -> tuple[list[str], list[str]]:
    """What else is wrong with this policy of activation passwords: that one may be kept as the password; and
    that anybody can block one until the help desk acts."""
    entry = reader.read(policy, ["pwdInHistory", "pwdMaxFailure"])
    if entry is None:
        return [], []
    kept, unblocked = (entry.text(name) in _NONE for name in ("pwdInHistory", "pwdMaxFailure"))
    reuse: list[str] = [Phrase("pwdInHistory is not set: an activation password may be its own replacement")]
    block: list[str] = [
        Phrase("pwdMaxFailure is set: wrong passwords of anybody block an account until the help desk acts")
    ]
    return reuse if kept else [], [] if unblocked else block


def read_minimum(reader: Reader, policy: str) -> int | None:
    """pwdMinLength of a password policy, 0 if it has none; None if there is no such policy."""
    entry = reader.read(policy, ["pwdMinLength"])
    return int(entry.text("pwdMinLength") or 0) if entry is not None else None


def _values_of(reader: Reader, dn: str, attribute: str) -> dict[str, tuple[bytes, ...]]:
    entry = reader.read(dn, [attribute])
    values = entry.values.get(attribute, ()) if entry is not None else ()
    return {attribute: values} if values else {}


def generalized(instant: datetime) -> bytes:
    return instant.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()


class ActivationPasswordWriter:
    """A Writer that checks the end of each activation password it sets, and sets it again if it is missing:
    ppolicy deletes it if a block by wrong passwords comes between reading and writing."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def __getattr__(self, name: str) -> Any:
        """All else is that of the writer."""
        return getattr(self.writer, name)

    def write(self, writes: Iterable[Write]) -> Generator[WriteResult, None, None]:
        for write in writes:
            for result in self.writer.write([write]):
                yield self._ended(result)

    def _ended(self, result: WriteResult) -> WriteResult:
        write = result.write
        if LOCKED not in write.add:
            return result
        if result.outcome is Outcome.UNCHANGED:  # set by another command, because no password can be read
            return WriteResult(
                write, Outcome.CONFLICT, Phrase("another activation password was set at the same moment")
            )
        if result.outcome is Outcome.FAILED:  # the overlay constraint answers before the missing value does
            entry = self.writer.read(write.dn, [LOCKED])
            if entry is not None and set(entry.values.get(LOCKED, ())) != set(write.delete.get(LOCKED, ())):
                why = Phrase("another activation password or a block was set at the same moment")
                return WriteResult(write, Outcome.CONFLICT, why)
        if result.outcome is not Outcome.APPLIED:
            return result
        entry = self.writer.read(write.dn, [LOCKED])
        if entry is not None and entry.first(LOCKED) is not None:
            return result
        end = Write("modify", write.dn, add={LOCKED: write.add[LOCKED]})
        second = write_one(self.writer, end)
        if second.outcome is Outcome.APPLIED:
            return result
        return WriteResult(
            write,
            Outcome.FAILED,
            Phrase("it was set without an end ({message}); give it another", message=second.message),
        )
