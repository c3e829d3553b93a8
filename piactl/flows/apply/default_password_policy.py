"""The default password policy: without it the server applies no end and no lock of an account.

slapd's ppolicy looks it up at every bind; where its entry is missing, pwdStartTime, pwdEndTime, lockouts and
the quality of passwords have no effect, and closed accounts log in again.
"""

from __future__ import annotations

from collections.abc import Callable

from piactl.directory.port import Reader
from piactl.directory.store.activation_passwords import policy_exists
from piactl.errors import DefaultPolicyMissing

PUT_BACK = (
    'Put it back from schemas/ldap/tree.ldif.in, by the commands of docs/upgrade-directory.md ("A password '
    'policy is missing")'
)


def require_default_policy(reader: Reader, policy: str) -> None:
    """Raises DefaultPolicyMissing where there is no entry `policy` (the DN in `password.policy`): what a run
    would write has no effect then. Nothing is required where the DN is empty; `doctor` warns of that."""
    if policy and not policy_exists(reader, policy):
        raise DefaultPolicyMissing(
            f"{policy} (password.policy) is missing, or may not be read: without the default password policy "
            f"the server applies no end and no lock of an account. Nothing was changed.\n{PUT_BACK}"
        )


def warn_of_missing_policy(reader: Reader, policy: str, say: Callable[[str], None]) -> None:
    """Says that the entry is missing, for a change that takes access away and is made nevertheless."""
    if policy and not policy_exists(reader, policy):
        say(
            f"warning: {policy} (password.policy) is missing, or may not be read: until it is back, "
            f"the server applies no end and no lock of an account.\n{PUT_BACK}"
        )
