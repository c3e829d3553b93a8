"""A device that is lost, found again, or given up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from piactl.core.credentials.totp import DeviceState, services_with_code, suspended
from piactl.core.edits import ActRefused, Author
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.policy import Policy
from piactl.core.plan.guards import DEVICE
from piactl.directory.store.devices import device_change
from piactl.flows.accounts.batch import Batch, PreparedAccount
from piactl.flows.helpdesk.operator_limits import OperationGuard
from piactl.flows.helpdesk.otp.holder import (
    Holder,
    as_proved,
    deletions,
    link,
    login_words,
    prepare_holders,
    prepared,
)
from piactl.flows.helpdesk.otp.verify_device import Prove
from piactl.flows.queries.accounts import AccountStore


def prepare_suspension(
    store: AccountStore,
    names: Iterable[str],
    author: Author,
    now: datetime,
    identity: str,
) -> Batch:
    """The account is linked to a device that is none, so that logging in is refused until another is
    verified or this one given back; then the device says so of itself."""

    def prepare(holder: Holder) -> PreparedAccount:
        uid = holder.account.uid
        if not holder.account.device:
            raise ActRefused(
                f"{uid}: no device is in force, so none can be suspended.\n"
                f'To keep the account shut: piactl account lock {uid} --reason "..."'
            )
        device = holder.in_force or holder.entry_of(suspended(holder.plain, holder.account.device))
        mark = None
        if device is not None and device.device.state is not DeviceState.SUSPENDED:
            mark = device_change(device, replace(device.device, state=DeviceState.SUSPENDED, suspended=now))
        what = "logging in is refused" if holder.encoding.links else "no code is good"
        note = (
            f"the device is suspended: {what} until another is verified (piactl otp enroll {uid}), or this "
            f"one is found (piactl otp resume {uid})"
        )
        return prepared(holder, "otp-suspend", author.reason, [link(holder, NO_DEVICE), mark], note)

    return prepare_holders(store, names, identity, prepare)


def prepare_resumption(
    store: AccountStore,
    names: Iterable[str],
    prove: Prove,
    author: Author,
    identity: str,
) -> Batch:
    """The suspended device is in force again, once `prove` was asked: who has the telephone may not be its
    owner."""

    def prepare(holder: Holder) -> PreparedAccount:
        uid = holder.account.uid
        if holder.in_force is not None and holder.in_force.device.state is DeviceState.VERIFIED:
            return prepared(holder, "otp-resume", author.reason, [], f"{holder.account.device} is in force")
        device = holder.in_force or holder.entry_of(suspended(holder.plain, holder.account.device))
        if device is None:
            raise ActRefused(f"{uid}: it has no suspended device.\nEnrol one: piactl otp enroll {uid}")
        prove(holder)
        named = device.device.name
        mark = device_change(device, replace(device.device, state=DeviceState.VERIFIED, suspended=None))
        note = f"{named} is in force again: {login_words(holder, named)}"
        return prepared(holder, "otp-resume", author.reason, [mark, link(holder, named)], note)

    return prepare_holders(store, names, identity, prepare)


def prepare_removal(
    store: AccountStore,
    policy: Policy,
    names: Iterable[str],
    prove: Prove,
    guard: OperationGuard,
    author: Author,
    identity: str,
    *,
    password_alone: bool,
) -> Batch:
    """The account is unlinked and its devices are deleted. Refused where a service of the account asks for
    a code, unless `password_alone` says that it is meant. `prove` is asked where a device is in force or
    suspended."""

    def prepare(holder: Holder) -> PreparedAccount:
        _refuse_needed(policy, holder, password_alone)
        if holder.account.device:
            prove(holder)
            holder = as_proved(store, holder)
        words = login_words(holder, "")
        note = f"it has no device any more: {words}" if holder.devices or holder.account.device else ""
        writes = [link(holder, ""), *deletions(holder.devices)]
        removed = prepared(holder, "otp-remove", author.reason, writes, note or "it has no device")
        return replace(removed, notice=guard.notice(holder.account, DEVICE))

    batch = prepare_holders(store, names, identity, prepare)
    return guard.guarded(store.reader, DEVICE, batch.accounts)


def _refuse_needed(policy: Policy, holder: Holder, password_alone: bool) -> None:
    if password_alone or not holder.account.device:
        return
    services = services_with_code(holder.account.entitlements, policy)
    if services:
        uid = holder.account.uid
        names = ", ".join(f"{service.name} ({service.otp})" for service in services)
        raise ActRefused(
            f"{uid}: services of this account ask for a code: {names}.\n"
            f"For a lost telephone: piactl otp suspend {uid}; for a new one: piactl otp enroll {uid}; "
            "to go back to the password alone all the same, add --password-alone"
        )
