"""The configuration of this host, and which one the command line names. Flows get its parts as parameters;
only `cli` holds it as a whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

from piactl.clock import civil_today
from piactl.config.read_policy import policy_of
from piactl.config.read_register import read_register, register_digest
from piactl.config.read_settings import read_language, read_settings
from piactl.core.model.establishment import Register
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import COMMON
from piactl.core.model.policy import Policy
from piactl.core.model.settings import IdentityName, Settings
from piactl.core.rules.desired_account import Rules, rules_of
from piactl.directory.interfaces import Reader
from piactl.directory.store.attribute_map import Encoding, encoding_of
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.edits.account_store import AccountStore
from piactl.errors import ConfigurationInvalid, PiactlError, UsageError
from piactl.host.caller import sudo_service
from piactl.host.private_files import may_not
from piactl.host.secret_files import identity_password, read_own_keys
from piactl.phrase import Phrase
from piactl.planning.account_index import ManagedAccounts
from piactl.translation import use


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


SYSTEM_CONFIGURATION = Path("/etc/piactl/piactl.yaml")


@dataclass
class Chosen:
    """The words as typed, the options before the command, and the configuration once it is read."""

    words: Sequence[str] = ()
    config: str = ""
    configuration: Configuration | None = None
    printed: bool = False
    """Whether data were printed."""
    began: bool = False
    """Whether a run was about to begin, which may have written something."""


chosen = Chosen()


def names_configuration() -> bool:
    """Whether --config or PIACTL_CONFIG names a configuration. Raises UsageError if the caller names one
    under sudo: it would decide which server gets the passwords of this user."""
    named = bool(chosen.config or os.environ.get("PIACTL_CONFIG", ""))
    user = sudo_service() if named else ""
    if user:
        raise UsageError(
            Phrase(
                "under sudo {user} reads {system_configuration} only; leave --config and PIACTL_CONFIG out",
                user=user,
                system_configuration=SYSTEM_CONFIGURATION,
            )
        )
    return named


def configuration_path() -> Path:
    """--config, else PIACTL_CONFIG, else /etc/piactl/piactl.yaml. Raises ConfigurationInvalid, and UsageError
    as `names_configuration` does."""
    if names_configuration():
        return Path(chosen.config or os.environ["PIACTL_CONFIG"])
    if not is_there(SYSTEM_CONFIGURATION):
        raise ConfigurationInvalid.of(
            SYSTEM_CONFIGURATION,
            Phrase(
                "there is no configuration; name one with --config FILE or PIACTL_CONFIG.\n"
                "To try piactl out: piactl sandbox start --dir DIR, then: piactl --config DIR/piactl.yaml "
                "COMMAND\n"
                "For a real directory: piactl init writes the files to edit."
            ),
        )
    return SYSTEM_CONFIGURATION


def is_there(path: Path) -> bool:
    """Whether the file exists. Raises ConfigurationInvalid if this user may not look."""
    try:
        path.stat()
    except PermissionError:
        raise ConfigurationInvalid.of(path, may_not(path)) from None
    except OSError:
        return False
    return True


def this_configuration() -> Configuration:
    """The configuration that the command line or the environment names; a command reads it once. Raises
    ConfigurationInvalid."""
    configuration = chosen.configuration or open_configuration(configuration_path())
    chosen.configuration = configuration
    use(configuration.settings.language)
    return configuration


def use_configured_language() -> None:
    """From now on texts are in the language that the configuration names: for help, and for what ends a
    command before the configuration is read, such as a mistake in it."""
    if chosen.configuration is None:
        with suppress(PiactlError, OSError):
            use(read_language(configuration_path()))


def today(configuration: Configuration) -> date:
    return civil_today(configuration.policy.timezone)


def strongest_identity(configuration: Configuration) -> IdentityName:
    """The identity that sees most, of those whose password this user may read."""
    identities = configuration.settings.directory.identities
    for name in (IdentityName.ADMINISTRATOR, IdentityName.NIGHTLY):
        if name in identities:
            with suppress(PiactlError):
                identity_password(identities[name])
                return name
    return IdentityName.READER
