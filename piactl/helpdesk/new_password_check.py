"""The check of a new password against the rules, before its owner sets it."""

from __future__ import annotations

from dataclasses import dataclass

from piactl.core.credentials.passwords import Owner, password_problems
from piactl.core.model.account import Account
from piactl.core.model.settings import PasswordSettings
from piactl.directory.dn import same_dn
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.password_state import POLICY, read_minimum
from piactl.phrase import Phrase


@dataclass(frozen=True, slots=True)
class CheckedPassword:
    """`minimum` is the length that was required. `remarks` are about the check, not about the password."""

    uid: str
    minimum: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def check_password(
    reader: Reader, settings: PasswordSettings, entry: Entry | None, password: str
) -> CheckedPassword:
    """The faults of a password for the account of an entry, or in general without one. The minimum is the
    greater one of the setting and the directory's own policy; for protected accounts it is at least that of
    administrators."""
    minimum, policy = settings.minimum, settings.policy
    owner = Owner()
    if entry is not None:
        if entry.account.protected:
            minimum = max(minimum, settings.administrator_minimum)
        owner = Owner(_words(entry.account))
        raw = reader.read(entry.dn, [POLICY])
        own = raw.text(POLICY) if raw is not None else ""
        if own and not (settings.activation_policy and same_dn(own, settings.activation_policy)):
            policy = own
    remarks = []
    asked = read_minimum(reader, policy) if policy else None
    if asked is None:
        missing = (
            Phrase("{policy} is not there", policy=policy)
            if policy
            else Phrase("password.policy is not set in the configuration")
        )
        remarks.append(Phrase("the directory's own rules are not known: {missing}", missing=missing))
    minimum = max(minimum, asked or 0)
    problems = password_problems(password, minimum, owner)
    return CheckedPassword(entry.account.uid if entry else "", minimum, tuple(problems), tuple(remarks))


def _words(account: Account) -> list[tuple[str, str]]:
    words: list[tuple[str, str]] = [(account.uid, Phrase("the identifier"))]
    names = (account.given_name, account.family_name, account.usage_name)
    for name in names:
        parts = name.replace("-", " ").replace("'", " ").split()
        words += [(part, Phrase("a name of its owner")) for part in parts]
    words += [(address.partition("@")[0], Phrase("an address of its owner")) for address in account.names]
    if account.matricule:
        words.append((account.matricule, Phrase("the matricule")))
    return words
