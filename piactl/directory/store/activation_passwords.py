"""Activation passwords in the directory: as ppolicy knows them, and what is left when they are used.

What slapd does (2.5 and later) was measured, and is held by tests with real binds. A password that must be
changed has no age: pwdMaxAge would end the one that its owner chooses instead. So the end of an activation
password is a pwdAccountLockedTime that lies ahead: until then it is without effect, from then on it locks,
under a policy whose locks last; the owner's own change takes it away together with pwdReset.
pwdPolicySubentry stays: the next night takes it away.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from piactl.core.credentials.activation_password import ActivationPassword
from piactl.core.model.settings import DirectorySettings, PasswordSettings
from piactl.directory import filters
from piactl.directory.port import EntryWrite, Outcome, RawEntry, Reader, ServerFacts, Writer, WriteResult
from piactl.directory.store.accounts import IN_ACCOUNTS

LOCKED, RESET, POLICY = "pwdAccountLockedTime", "pwdReset", "pwdPolicySubentry"


def activation_write(
    reader: Reader, dn: str, password: ActivationPassword, ends: datetime, policy: str
) -> EntryWrite:
    """The one write that sets an activation password, if no block comes or goes in between.

    A lock of the entry is deleted by its value, not replaced: otherwise ppolicy deletes the new one with the
    old.
    """
    return EntryWrite(
        "modify",
        dn,
        add={
            "userPassword": (password.reveal().encode(),),
            RESET: (b"TRUE",),
            POLICY: (policy.encode(),),
            LOCKED: (_generalized(ends),),
        },
        delete={"userPassword": (), RESET: (), POLICY: (), **_held(reader, dn, LOCKED)},
    )


def unblock_write(
    reader: Reader, dn: str, *, ends: datetime | None, policy: str | None = None
) -> EntryWrite | None:
    """The write that lifts a block by wrong passwords and resets their count; None if nothing is to change.

    `ends` is the end of the activation password, None where the password is none. `policy` is the DN of the
    account's password policy from now on: "" the default one, None as it is.
    """
    delete = _held(reader, dn, LOCKED)
    add = {LOCKED: (_generalized(ends),)} if ends is not None else {}
    if delete == add:
        delete, add = {}, {}
    if policy is not None:
        delete |= _held(reader, dn, POLICY)
        add |= {POLICY: (policy.encode(),)} if policy else {}
    return EntryWrite("modify", dn, add=add, delete=delete) if delete or add else None


def read_released(
    reader: Reader, settings: DirectorySettings, policy: str
) -> Iterator[tuple[str, EntryWrite]]:
    """(uid, write) of the accounts whose owner has replaced the activation password by another, and that are
    still under its policy; without the protected ones, which only the administrator writes."""
    uid = settings.attributes.get("uid", "uid")
    query = filters.all_of(
        IN_ACCOUNTS,
        filters.equals(POLICY, policy),
        filters.none_of(filters.equals(RESET, "TRUE"), filters.equals("piactlProtected", "TRUE")),
    )
    for entry in reader.search(settings.accounts, query, [uid, POLICY]):
        yield entry.text(uid), EntryWrite("modify", entry.dn, delete={POLICY: entry.values[POLICY]})


def foreign_policies(
    reader: Reader, directory: DirectorySettings, passwords: PasswordSettings
) -> Iterator[tuple[RawEntry, str]]:
    """(entry, DN of its password policy) of each account, protected or not, that names a policy which is not
    in the configuration. Nothing if the configuration does not name the default policy."""
    known = {
        passwords.policy,
        passwords.activation_policy,
        passwords.protected_policy,
        *passwords.other_policies,
    }
    if not passwords.policy:
        return
    named = [filters.equals(POLICY, dn) for dn in sorted(known - {""})]
    query = filters.all_of(IN_ACCOUNTS, filters.present(POLICY), filters.none_of(*named))
    uid = directory.attributes.get("uid", "uid")
    for entry in reader.search(directory.accounts, query, [uid, "piactlProtected", POLICY]):
        yield entry, entry.text(POLICY)


def read_foreign(
    reader: Reader, directory: DirectorySettings, passwords: PasswordSettings
) -> Iterator[tuple[str, EntryWrite, str]]:
    """(uid, write, DN of the policy) for each account that `foreign_policies` names; without the protected
    ones, which only the administrator writes. The write removes the policy."""
    uid = directory.attributes.get("uid", "uid")
    for entry, policy in foreign_policies(reader, directory, passwords):
        if entry.text("piactlProtected") != "TRUE":
            write = EntryWrite("modify", entry.dn, delete={POLICY: entry.values[POLICY]})
            yield entry.text(uid), write, policy


def shut_out_by_others(
    reader: Reader, directory: DirectorySettings, passwords: PasswordSettings, uid: str
) -> list[str]:
    """The uids of the protected accounts that wrong passwords block, but for those whose activation password
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
            held = reader.read(policy, ["pwdLockout"])
            blocks[policy] = held is not None and held.text("pwdLockout") == "TRUE"
        if blocks[policy]:
            uids.append(entry.text(uid))
    return sorted(uids)


def policy_faults(reader: Reader, policy: str) -> list[str]:
    """Why activation passwords under this policy would not end, or would not have to be replaced; nothing
    where it is as schemas/ldap/tree.ldif.in has it."""
    names = ("pwdLockout", "pwdLockoutDuration", "pwdMustChange", "pwdMaxAge")
    entry = reader.read(policy, names)
    if entry is None:
        return ["it is not there, and without it slapd applies no policy at all"]
    held = {name: entry.text(name) for name in names}
    faults = []
    if held["pwdLockout"] != "TRUE":
        faults.append("pwdLockout is not TRUE: activation passwords would never end")
    if held["pwdLockoutDuration"] not in ("", "0"):
        faults.append("pwdLockoutDuration is not 0: one that ended would open again after it")
    if held["pwdMustChange"] != "TRUE":
        faults.append("pwdMustChange is not TRUE: it would do as a password for good")
    if held["pwdMaxAge"] not in ("", "0"):
        faults.append(
            "pwdMaxAge is set: it ends the password that replaces the activation password, not that"
        )
    return faults


def reuse_faults(reader: Reader, policy: str) -> list[str]:
    """Why an activation password under this password policy may be kept as the password; nothing if there is
    no such policy, which `policy_faults` reports."""
    entry = reader.read(policy, ["pwdInHistory"])
    if entry is None or entry.text("pwdInHistory") not in ("", "0"):
        return []
    return ["pwdInHistory is not set: an activation password may be its own replacement"]


def policy_exists(reader: Reader, policy: str) -> bool:
    """Whether the entry exists and is visible."""
    return reader.read(policy, ["objectClass"]) is not None


def read_minimum(reader: Reader, policy: str) -> int | None:
    """pwdMinLength of a password policy, 0 where it has none; None where there is no such policy."""
    entry = reader.read(policy, ["pwdMinLength"])
    return int(entry.text("pwdMinLength") or 0) if entry is not None else None


def _held(reader: Reader, dn: str, attribute: str) -> dict[str, tuple[bytes, ...]]:
    entry = reader.read(dn, [attribute])
    values = entry.values.get(attribute, ()) if entry is not None else ()
    return {attribute: values} if values else {}


def _generalized(instant: datetime) -> bytes:
    return instant.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()


@dataclass(frozen=True, slots=True)
class Ending:
    """A writer that checks that each activation password it set has its end, and sets it again if it is
    missing: ppolicy deletes it when a block by wrong passwords comes between reading and writing."""

    writer: Writer

    def facts(self) -> ServerFacts:
        return self.writer.facts()

    def has_class(self, name: str) -> bool:
        return self.writer.has_class(name)

    def who(self) -> str:
        return self.writer.who()

    def lagging(self, seconds: float) -> list[str]:
        return self.writer.lagging(seconds)

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        return self.writer.read(dn, attributes)

    def search(
        self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree"
    ) -> Iterator[RawEntry]:
        return self.writer.search(base, query, attributes, scope=scope)

    def write(self, writes: Iterable[EntryWrite]) -> Generator[WriteResult, None, None]:
        for write in writes:
            for result in self.writer.write([write]):
                yield self._ended(result)

    def _ended(self, result: WriteResult) -> WriteResult:
        write = result.write
        if LOCKED not in write.add:
            return result
        if result.outcome is Outcome.ALREADY:  # the password cannot be read: it is that of another command
            return WriteResult(
                write, Outcome.CONFLICT, "another activation password was set at the same moment"
            )
        if result.outcome is not Outcome.APPLIED:
            return result
        entry = self.writer.read(write.dn, [LOCKED])
        if entry is not None and entry.first(LOCKED) is not None:
            return result
        end = EntryWrite("modify", write.dn, add={LOCKED: write.add[LOCKED]})
        second = next(iter(self.writer.write([end])))
        if second.outcome is Outcome.APPLIED:
            return result
        return WriteResult(
            write, Outcome.FAILED, f"it was set without an end ({second.message}); give it another"
        )
