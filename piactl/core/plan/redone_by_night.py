"""Finds the changes that the next night would make again after an undo."""

from __future__ import annotations

from piactl.core.model.account import Account


def comes_back(current: Account, undone: Account, redone: Account) -> tuple[str, ...]:
    """What the next night would change back, in words. `current` is the account before the undo, `undone`
    after it, `redone` the account that the rules then give."""
    returning = []
    if undone.state is not current.state and redone.state is current.state:
        returning.append(f"state {current.state.value}")
    if undone.locked != current.locked and redone.locked == current.locked:
        returning.append("locked" if current.locked else "no longer locked")
    if undone.surname != current.surname and redone.surname == current.surname:
        returning.append(f"the name {current.display_name}")
    for right in sorted(current.entitlements ^ undone.entitlements):
        if (right in redone.entitlements) == (right in current.entitlements):
            verb = "gets" if right in current.entitlements else "loses"
            returning.append(f"{verb} {':'.join(filter(None, right))}")
    window = (current.login_from, current.login_until)
    same = (redone.login_from, redone.login_until) == window != (undone.login_from, undone.login_until)
    if same and not returning:
        returning.append(
            f"log in until {current.login_until}" if current.login_until else "log in without an end"
        )
    return tuple(returning)
