"""Shows an activation password once on a terminal, to be read out or copied."""

from __future__ import annotations

from piactl.report.escaping import shown


def activation_text(uid: str, display_name: str, address: str, password: str, until: str) -> str:
    """The activation password of one account, set apart so that it is easy to read."""
    who = f"{shown(display_name)} ({shown(uid)})" + (f", {shown(address)}" if address else "")
    return (
        f"\n  {who}\n"
        f"  activation password  {password}\n"
        f"  valid until          {until}\n"
        "  It is typed in the place of the password, hyphens included; then a new password is asked for.\n\n"
    )
