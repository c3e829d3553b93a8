"""The default password policy: without it the server applies no end and no lock of an account.

slapd's ppolicy looks it up at every bind; where its entry is missing, pwdStartTime, pwdEndTime, lockouts and
the quality of passwords have no effect, and closed accounts log in again.
"""

from __future__ import annotations

from collections.abc import Callable

from piactl.directory.port import Reader
from piactl.directory.store.activation_passwords import policy_exists
from piactl.errors import DefaultPolicyMissing
from piactl.flows.site import Site

PUT_BACK = (
    'Put it back from schemas/ldap/tree.ldif.in, by the commands of docs/upgrade-directory.md ("A password '
    'policy is missing")'
)


def require_default_policy(reader: Reader, site: Site) -> None:
    """Raises DefaultPolicyMissing where the entry of `password.policy` is not there: what a run would write
    has no effect then. Nothing is required where the setting is empty; `doctor` warns of that."""
    policy = site.settings.password.policy
    if policy and not policy_exists(reader, policy):
        raise DefaultPolicyMissing(
            f"{policy} (password.policy) is missing, or may not be read: without the default password policy "
            f"the server applies no end and no lock of an account. Nothing was changed.\n{PUT_BACK}"
        )


def warn_of_missing_policy(reader: Reader, site: Site, say: Callable[[str], None]) -> None:
    """Says the same of a change that takes access away, which is made nevertheless."""
    policy = site.settings.password.policy
    if policy and not policy_exists(reader, policy):
        say(
            f"warning: {policy} (password.policy) is missing, or may not be read: until it is back, "
            f"the server applies no end and no lock of an account.\n{PUT_BACK}"
        )
