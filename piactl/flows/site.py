"""Everything a flow needs to know of this site, read once: settings, policy, register, keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from piactl.config.policy import read_policy
from piactl.config.register import read_register, register_digest
from piactl.config.settings import read_settings
from piactl.core.model.digests import DigestKeys
from piactl.core.model.person import Register
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.directory.port import Reader
from piactl.directory.store.attribute_map import Encoding, encoding_of
from piactl.directory.store.records import UnreadableRecords
from piactl.secrets import read_keys

if TYPE_CHECKING:
    from piactl.core.rules.desired import Rules


@dataclass(frozen=True)
class Site:
    """One configuration; each part is read when it is first asked for, and only once.

    `unreadable` are the records in its directory that this command did without, to be reported at its end.
    """

    settings: Settings
    unreadable: UnreadableRecords = field(default_factory=UnreadableRecords, compare=False)

    @cached_property
    def policy(self) -> Policy:
        return read_policy(Path(self.settings.policy_file))

    @cached_property
    def register(self) -> Register:
        return read_register(Path(self.settings.establishments_file))

    @cached_property
    def register_digest(self) -> str:
        return register_digest(Path(self.settings.establishments_file))

    @cached_property
    def keys(self) -> DigestKeys:
        return read_keys(self.settings.keys_file)

    @cached_property
    def encoding(self) -> Encoding:
        return encoding_of(self.policy, self.settings.directory)

    def encoding_for(self, reader: Reader) -> Encoding:
        return self.encoding.fitted_to(reader)

    def rules(self, as_of: date) -> Rules:
        from piactl.core.rules.desired import Rules  # here: `account show` needs no rules

        return Rules(self.policy, self.register, as_of, self.keys)


def open_site(path: Path) -> Site:
    """The site of a configuration file. Raises ConfigurationInvalid."""
    return Site(read_settings(path))
