"""What an undo puts back and the next night would do again."""

from __future__ import annotations

from piactl.core.model.account import Account


def comes_back(current: Account, undone: Account, again: Account) -> tuple[str, ...]:
    """The respects in which the next night makes an account again what it is now, as words.

    `current` is the account before the undo, `undone` after it, `again` what the rules then make of it.
    """
    returning = []
    if undone.state is not current.state and again.state is current.state:
        returning.append(f"state {current.state.value}")
    if undone.locked != current.locked and again.locked == current.locked:
        returning.append("locked" if current.locked else "no longer locked")
    if undone.surname != current.surname and again.surname == current.surname:
        returning.append(f"the name {current.display_name}")
    for right in sorted(current.entitlements ^ undone.entitlements):
        if (right in again.entitlements) == (right in current.entitlements):
            verb = "gets" if right in current.entitlements else "loses"
            returning.append(f"{verb} {':'.join(filter(None, right))}")
    window = (current.login_from, current.login_until)
    same = (again.login_from, again.login_until) == window != (undone.login_from, undone.login_until)
    if same and not returning:
        returning.append(
            f"log in until {current.login_until}" if current.login_until else "log in without an end"
        )
    return tuple(returning)
