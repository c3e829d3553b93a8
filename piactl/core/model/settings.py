"""The settings. Built from `piactl.yaml`. Paths are absolute; no value is a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from piactl.core.model.person import COMMON

CREDENTIAL = "credential:"
"""`credential:NAME` in place of a path names a systemd credential."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How a service identity binds: SASL EXTERNAL over ldapi, or a DN and a password file. `elsewhere`:
    another host binds as it too, with a journal of its own. `name` is its key in the configuration, usually
    an IdentityName."""

    external: bool = False
    dn: str = ""
    password_file: str = ""
    elsewhere: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`ca_file` "" is the system store. Certificates are always verified; `strict` also requires the
    extensions of RFC 5280."""

    ca_file: str = ""
    starttls: bool = False
    strict: bool = True


class IdentityName(StrEnum):
    """The accounts that piactl binds as, by what they may do."""

    READER = "reader"
    NIGHTLY = "nightly"
    DESK = "desk"
    ADMINISTRATOR = "administrator"
    APPROVER = "approver"


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """The directory and its connections. Timeouts are in seconds, per operation. Only the first server is
    written to; a lock, a closure or a password waits up to `replication_seconds` for the others.

    `attributes` renames LDAP attributes: the name that piactl uses by default -> the one used here.
    `in_flight`: pending requests of a writer; 1 waits for each answer.
    `taken_attributes`: attributes of unmanaged entries whose addresses count as taken. `groups`: the base of
    the groups of the policy, `structures`: the base of the establishments, "" if they are not kept.
    """

    servers: tuple[str, ...]
    suffix: str
    accounts: str
    state: str
    identities: Mapping[str, Identity]
    tls: TlsSettings = TlsSettings()
    connect_timeout: int = 5
    operation_timeout: int = 30
    replication_seconds: int = 10
    page_size: int = 500
    in_flight: int = 64
    attributes: Mapping[str, str] = field(default_factory=dict)
    taken_attributes: tuple[str, ...] = ("uid", "mail", "mailAlternateAddress", "mailEquivalentAddress")
    groups: str = ""
    structures: str = ""


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """When a whole feed of a source is refused. Shares are 0 to 1, floors and sizes are counts.

    `bad_share`: of the values of one column, with at least `bad_floor` of them bad.
    `known_share`: of the matricules known from the last feed that a full feed must still have, if at least
    `known_floor` were known. `size_share`: how far the number of rows may be from the last one, with at least
    `size_floor` rows of difference. `column_share`: how far the share of rows with a value in one column may
    be from the share in the last feed, with at least `column_floor` rows of difference.
    `held_share`: of the people of a feed, how many may be held, with at least `held_floor` of them.
    The maxima stop a runaway file.
    """

    bad_share: float = 0.05
    bad_floor: int = 20
    known_share: float = 0.9
    known_floor: int = 20
    size_share: float = 0.1
    size_floor: int = 50
    column_share: float = 0.2
    column_floor: int = 20
    held_share: float = 0.05
    held_floor: int = 20
    max_rows: int = 5_000_000
    max_bytes: int = 2_000_000_000
    max_field: int = 1_000


@dataclass(frozen=True, slots=True)
class LimitsPeriod:
    """A part of the year, (month, day) both included, with other limits."""

    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    limits: SourceLimits


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A source of HR data and the mapping of its layout to the canonical one.

    `full`: a complete feed lists everyone. `trailer`: a feed without its `#FIN` line is incomplete.
    `delimiter` "" is detected in the header (`;` `,` or tab). `encoding` is utf-8, windows-1252 or
    iso-8859-15, decoded strictly. `files` are patterns (fnmatch) of the file names of the source.
    `date_pattern` is a regular expression with groups `year`, `month`, `day` for the feed's date in the file
    name, and `number` for what orders the sets of one day. `columns`: canonical column -> header name in the
    feed. `values`: canonical column -> raw value -> canonical value. `constants`: canonical column -> value
    for every row. `date_formats` are strptime formats, tried in order. `feed_days`: how many days the date of
    a feed may differ from the date of the run. `namespace`: the namespace of its matricules.

    `format` is csv, or the format of a set of files (piactl.feed.formats); `perimeter` is what the head of
    such a set must state (`academie`, `degre`), `drop_functions` are function codes that make no post beside
    another function. `empty_values`: what an attribute without a value in a modification does, clear or keep.
    `delta_days`: the most days from one set to the next delta; only `delta_weekdays` count. `state_folder` is
    where this host keeps the last sets. `supplement`: the source only adds posts to people of other sources.
    `creates`: people of no other source get an account.
    """

    name: str
    full: bool = True
    trailer: bool = False
    files: tuple[str, ...] = ()
    date_pattern: str = r"(?P<year>20\d\d)-?(?P<month>\d\d)-?(?P<day>\d\d)"
    delimiter: str = ""
    encoding: str = "utf-8"
    date_formats: tuple[str, ...] = ("%d/%m/%Y", "%Y-%m-%d")
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    absent_runs: int = 2
    feed_days: int = 7
    namespace: str = COMMON
    format: str = "csv"
    supplement: bool = False
    creates: bool = True
    perimeter: Mapping[str, str] = field(default_factory=dict)
    drop_functions: tuple[str, ...] = ()
    empty_values: str = "clear"
    delta_days: int = 1
    delta_weekdays: tuple[str, ...] = WEEKDAYS
    state_folder: str = ""
    limits: SourceLimits = SourceLimits()
    periods: tuple[LimitsPeriod, ...] = ()

    def is_old(self, day: date | None, today: date) -> bool:
        """Whether its last full feed, dated `day` (None: not known), is too far from today."""
        return self.full and day is not None and abs((today - day).days) > self.feed_days


@dataclass(frozen=True, slots=True)
class PasswordSettings:
    """Passwords and activation passwords. `policy` is the DN of the ppolicy entry for people,
    `activation_policy` the DN of the one that applies until an activation password is replaced,
    `protected_policy` the DN of the one for protected accounts. `other_policies` are those that an account
    may also name; a run removes every other one.

    An activation password lasts `activation_hours`. `minimum` and `administrator_minimum` are in characters.
    After `failures_per_hour` failed identity checks over all accounts, checks are refused for a while. A
    changed NUMEN or private address cannot be used for `holdoff_days`.
    """

    policy: str = ""
    activation_policy: str = ""
    activation_hours: int = 72
    minimum: int = 12
    administrator_minimum: int = 16
    failures_per_hour: int = 60
    holdoff_days: int = 7
    protected_policy: str = ""
    other_policies: tuple[str, ...] = ()

    @property
    def known_policies(self) -> frozenset[str]:
        """The DNs of all policies that an account may be under."""
        named = {self.policy, self.activation_policy, self.protected_policy, *self.other_policies}
        return frozenset(named - {""})


@dataclass(frozen=True, slots=True)
class MatchingSettings:
    """How people are recognised. `identity_digests`: digests of birth dates are stored. `automatic` is the
    evidence that needs no decision: `numen+identity`, or nothing if it is empty. A case warns from
    `match_days` before the newcomer's start on, and is an error once it is older than `max_hold_days`."""

    identity_digests: bool = True
    automatic: frozenset[str] = frozenset({"numen+identity"})
    match_days: int = 5
    max_hold_days: int = 10


@dataclass(frozen=True, slots=True)
class Canary:
    """An account that every server must refuse, whatever its password: closed, locked, archived, or with a
    device and without a code."""

    name: str
    account: str
    password_file: str


@dataclass(frozen=True, slots=True)
class ChangeHook:
    """A command with arguments that gets the changes of these kinds. It is killed after `seconds`."""

    kinds: frozenset[str]
    command: tuple[str, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one host. `matching_key_file` holds the second secret of the digests of NUMENs, ""
    on a host that has none. `sources` are in the order of their rank; `ranks` names, for some data, the
    source that comes first. `go_on`: a run continues without these sources if their feed is refused.
    `clock_minutes`: how far the clocks of this host and of the server may differ. `change_hooks` are the
    commands that get changes, `proof_hook` is the one for changes of proofs of identity, with its arguments,
    which may run for `hook_seconds`. `roles`: Unix groups that have a role (`piactl.roles`) besides its own
    group, by the name of the role.
    `language` is the language of texts for people, "" for the language of the environment."""

    file: str
    directory: DirectorySettings
    policy_file: str
    establishments_file: str
    keys_file: str
    journal_file: str
    state_folder: str
    metrics_file: str = ""
    matching_key_file: str = ""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    ranks: Mapping[str, str] = field(default_factory=dict)
    go_on: frozenset[str] = frozenset()
    language: str = ""
    any_date: bool = False
    strict: bool = False
    lock_seconds: int = 300
    clock_minutes: int = 10
    keep_undo_days: int = 90
    keep_runs_days: int = 400
    keep_rejects_days: int = 30
    change_hooks: tuple[ChangeHook, ...] = ()
    proof_hook: tuple[str, ...] = ()
    hook_seconds: int = 10
    password: PasswordSettings = PasswordSettings()
    matching: MatchingSettings = MatchingSettings()
    canaries: tuple[Canary, ...] = ()

    @property
    def matches_feeds(self) -> bool:
        """Whether this host matches NUMENs of feeds, and so needs the matching key: nights do, and the
        administrator, who adopts; a host of the help desk does not."""
        names = {IdentityName.NIGHTLY, IdentityName.ADMINISTRATOR}
        return not names.isdisjoint(self.directory.identities)

    def with_state_folder(self, folder: str) -> Settings:
        """The settings with another state folder."""
        sources = {
            name: source if source.format == "csv" else replace(source, state_folder=folder)
            for name, source in self.sources.items()
        }
        return replace(self, state_folder=folder, sources=sources)

    @property
    def plans_folder(self) -> str:
        """Where plans are kept: those that wait for an approval, and those of the last runs."""
        return f"{self.state_folder}/plans"

    def kept_plan(self, fingerprint: str) -> str:
        """The file of the plan with this fingerprint in `plans_folder`."""
        return f"{self.plans_folder}/{fingerprint[:16]}.json"
