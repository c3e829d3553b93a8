"""Everything a flow needs to know of this site, read once: settings, policy, register, keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

from piactl.config.policy import read_policy
from piactl.config.register import read_register
from piactl.config.settings import read_settings
from piactl.core.model.digests import DigestKeys
from piactl.core.model.person import Register
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.rules.desired import Rules
from piactl.directory.port import Reader
from piactl.directory.store.attribute_map import LINKED_CLASS, Encoding
from piactl.directory.store.state_records import UnreadableRecords
from piactl.secrets import read_keys


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
        file = self.settings.establishments_file
        try:
            return hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError:
            read_register(Path(file))  # whose error says what is wrong
            raise

    @cached_property
    def keys(self) -> DigestKeys:
        return read_keys(self.settings.keys_file)

    @cached_property
    def encoding(self) -> Encoding:
        policy = self.policy
        directory = self.settings.directory
        links = policy.otp_enforced_by == "directory"
        names = directory.attributes
        return Encoding(policy.domain, policy.urn, policy.timezone, names, directory.accounts, links)

    @cached_property
    def _encoding_without_otp(self) -> Encoding:
        return replace(self.encoding, otp_schema=False)

    def encoding_for(self, reader: Reader) -> Encoding:
        """How accounts are written in the directory behind `reader`. For a server without slapo-otp closed
        accounts have no link that the schema could not hold."""
        return self.encoding if reader.has_class(LINKED_CLASS) else self._encoding_without_otp

    def rules(self, as_of: date) -> Rules:
        return Rules(self.policy, self.register, as_of, self.keys, self.register_digest)


def open_site(path: Path) -> Site:
    """The site of a configuration file. Raises ConfigurationInvalid."""
    return Site(read_settings(path))
