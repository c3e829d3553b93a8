"""The configuration of this host. Flows get its parts as parameters; only `cli` holds it as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

from piactl.clock import civil_today
from piactl.config.read_policy import policy_of
from piactl.config.read_settings import read_settings
from piactl.config.register import read_register, register_digest
from piactl.core.model.establishment import Register
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import COMMON
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.rules.desired_account import Rules, rules_of
from piactl.directory.interfaces import Reader
from piactl.directory.store.attribute_map import Encoding, encoding_of
from piactl.directory.store.records import UnreadableRecords
from piactl.edits.account_store import AccountStore
from piactl.host.secret_files import read_own_keys
from piactl.planning.account_index import ManagedAccounts


@dataclass(frozen=True)
class Configuration:
    """The settings, and the files they name. Each file is read when it is first asked for, and only once.

    `unreadable` are the skipped records of the directory; the command reports them when it ends. Every
    property raises ConfigurationInvalid or SecretUnusable if its file is not valid.
    """

    settings: Settings
    unreadable: UnreadableRecords = field(default_factory=UnreadableRecords, compare=False)

    @cached_property
    def policy(self) -> Policy:
        return policy_of(self.settings)

    @cached_property
    def register(self) -> Register:
        return read_register(Path(self.settings.establishments_file))

    @cached_property
    def register_digest(self) -> str:
        return register_digest(Path(self.settings.establishments_file))

    @cached_property
    def keys(self) -> DigestKeys:
        return read_own_keys(self.settings)

    @cached_property
    def encoding(self) -> Encoding:
        return encoding_of(self.policy, self.settings.directory, self.keys)

    def accounts(self, reader: Reader, as_of: date | None = None) -> AccountStore:
        """The accounts that `reader` reads, as of a day, today by default."""
        settings, day = self.settings, as_of or civil_today(self.policy.timezone)
        namespaces = {COMMON, *(source.namespace for source in settings.sources.values())}
        return AccountStore(
            reader,
            settings.directory,
            self.encoding.fitted_to(reader),
            self.keys,
            self.policy,
            day,
            self.rules,
            namespaces,
            self.unreadable,
        )

    def managed(self, reader: Reader) -> ManagedAccounts:
        """The accounts that `reader` reads, for a plan of all of them."""
        return ManagedAccounts(reader, self.settings.directory, self.encoding.fitted_to(reader))

    def rules(self, as_of: date) -> Rules:
        """The inputs of the rules on a day."""
        digest = self.register_digest
        return rules_of(self.settings, self.policy, self.register, self.keys, as_of, digest)


def open_configuration(path: Path) -> Configuration:
    """The configuration of a `piactl.yaml`. Raises ConfigurationInvalid."""
    return Configuration(read_settings(path))
