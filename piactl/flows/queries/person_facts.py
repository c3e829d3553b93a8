"""What a mail merge needs of a person, beside the account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from piactl.core.credentials.proofs import held_off_until
from piactl.core.model.account import MAIL_PROOF, Account
from piactl.core.model.person import Register

PRIVATE_MAIL = "private_mail"
PERSON_COLUMNS = (
    "civilite",
    "given_name",
    "family_name",
    "functions",
    "establishments",
    "establishment_names",
)


def person_facts(account: Account, register: Register, day: date) -> dict[str, Any]:
    """The PERSON_COLUMNS of an account. Functions and establishments are those of the assignments that run on
    the day, the names as people use them; an archived account has none."""
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


def private_mail(account: Account, holdoff_days: int, day: date, say: Callable[[str], None]) -> str | None:
    """The private address, None where there is none. One that changed within `holdoff_days` before the day is
    left out, and said."""
    until = held_off_until(account, MAIL_PROOF, holdoff_days, day)
    if account.private_mail and until is not None:
        changed = account.proof_changed(MAIL_PROOF)
        say(f"{account.uid}: its private address changed on {changed}, and is not shown before {until}")
        return None
    return account.private_mail or None
