"""The settings. Built from `piactl.yaml`. Paths are absolute; no value is a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from piactl.core.model.field_notes import (
    ANY_TEXT,
    FILE,
    FILLED,
    GIVEN,
    NAME,
    OUTSIDE,
    UNIQUE,
    Bounds,
    DayOfYear,
    EntryName,
    FilePath,
    Key,
    Mark,
    Names,
    PlainText,
    Section,
    Spread,
    Text,
    TrueOrFalse,
    Unfit,
    Usually,
    Version,
    WrittenAs,
    dn,
    meaning,
    one_of,
    whole,
)
from piactl.core.model.person import COMMON
from piactl.phrase import joined

_NO_NUL, _MANY = r"^[^\u0000]+$", 1_000_000_000
_SHARE, _COUNT = Bounds("a share from 0 to 1, such as 0.05", 0, 1), whole("a count", 0, _MANY)
_SECONDS, _CHARACTERS = whole("seconds", 1, 300), whole("characters", 8, 128)
_Keeping = Annotated[int, whole("days", 1, 3650)]
_CLOCK = Section("clock", "{server_minutes: 10}")
_HOOKS = Section("hooks", "{changes: [{kinds: [lock], run: [command, word]}], seconds: 10}")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _no_address() -> Unfit:
    return Unfit(
        "{shown} is not an address such as ldapi:///, ldaps://ldap.example.fr or ldap://ldap.example.fr:389"
    )


def _read_address(text: str) -> str:
    # a message never shows a possible password
    if "@" in text:
        raise Unfit("an address must not contain a user or a password; put them under identities")
    try:
        url = urlsplit(text)
        port = url.port if url.scheme != "ldapi" else None
    except ValueError:
        raise _no_address() from None
    if (
        url.scheme not in ("ldap", "ldaps", "ldapi")
        or "://" not in text
        or url.query
        or url.fragment
        or url.path not in ("", "/")
    ):
        raise _no_address()
    if url.scheme != "ldapi" and (not url.hostname or port == 0):
        raise Unfit(
            "{shown} names no host; expected an address such as ldaps://ldap.example.fr or "
            "ldap://ldap.example.fr:389"
        )
    if url.scheme == "ldapi" and url.netloc and not unquote(url.netloc).startswith("/"):
        raise Unfit(
            "{shown}: write the path of the socket with %2F for /, as in ldapi://%2Frun%2Fslapd%2Fldapi"
        )
    return text


def _read_date_pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise Unfit("not a valid regular expression ({why}); correct it", why=error) from None
    missing = [group for group in ("year", "month", "day") if group not in groups]
    if missing:
        lacking = joined([f"(?P<{group}>...)" for group in missing], "{first} and {second}")
        raise Unfit("the group {group} is missing; add it", group=lacking)
    return text


_TRIAL = datetime(2026, 9, 21)  # noqa: DTZ001 a civil day; its year, month and day differ


def _read_date_format(text: str) -> str:
    try:
        # newer Pythons warn about a format without a year before they refuse it
        has_year = any(word in text for word in ("%Y", "%y", "%G", "%D", "%x", "%c"))
        good = has_year and datetime.strptime(_TRIAL.strftime(text), text) == _TRIAL  # noqa: DTZ007 a civil day
    except (ValueError, re.error):
        good = False
    if not good:
        raise Unfit("{shown} must contain a day, a month and a year, such as %d/%m/%Y")
    return text


_Dn = Annotated[str, dn("ou=education,o=gouv,c=fr")]
_PolicyDn = Annotated[str, dn("cn=default,ou=policies,c=fr")]
_Address = Annotated[str, Text("an ldap://, ldaps:// or ldapi:// address", "", _read_address)]
_Attribute = Annotated[str, Text("the name of an LDAP attribute", "^[A-Za-z][A-Za-z0-9-]*$")]
_UnixGroup = Annotated[str, Text("the name of a Unix group", "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
_Role = Annotated[str, one_of("desk", "administrator", "approver", "portal")]
_Word = Annotated[str, Text("one word of the command", _NO_NUL)]
_Command = Annotated[tuple[_Word, ...], FILLED, "a list, the words of a command"]
_Kind = Annotated[
    str,
    one_of(
        *("drift", "identity", "create", "adopt", "update", "rename", "grant", "revoke", "suspend", "reopen"),
        *("deactivate", "archive", "lock", "unlock"),
    ),
    "a kind of change",
]
_SourceName = Annotated[str, Text("the name of a source"), Names(("sources",), "'{name}' is not a source")]
_Academie = Annotated[str, Text('the code of an académie in quotes, such as "020"', "^[0-9]{1,3}$")]
_Departement = Annotated[str, Text('the code of a département in quotes, such as "080"', "^[0-9AB]{2,3}$")]
_Sector = Annotated[str, one_of("PU", "PR")]
_StructureType = Annotated[str, Text("a type of structures, such as CLG", ANY_TEXT)]
_Function = Annotated[str, Text('a code of a function in quotes, such as "-"', ANY_TEXT)]
_FilePattern = Annotated[str, Text('a pattern of file names, such as "epp-*.csv"', ANY_TEXT)]
_DateFormat = Annotated[str, Text('a date format, such as "%d/%m/%Y"', "", _read_date_format)]
_Header = Annotated[str, Text("the header of a column, as text", ANY_TEXT)]
_Column = Annotated[
    str,
    one_of(
        *("matricule", "numen", "civilite", "nom_usage", "nom_famille", "prenom", "date_naissance"),
        *("courriel_prive", "ancien_matricule", "corps", "position", "uai", "fonction", "discipline"),
        *("modalite", "quotite", "debut", "fin"),
    ),
    "a column of the canonical layout",
]

CREDENTIAL = "credential:"
"""`credential:NAME` in place of a path names a systemd credential."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`ca_file` "" is the system store. Certificates are always verified; `strict` also requires the
    extensions of RFC 5280."""

    ca_file: FilePath = ""
    starttls: TrueOrFalse = False
    strict: TrueOrFalse = True


class IdentityName(StrEnum):
    """The accounts that piactl binds as, by what they may do."""

    READER = "reader"
    NIGHTLY = "nightly"
    DESK = "desk"
    ADMINISTRATOR = "administrator"
    APPROVER = "approver"


@dataclass(frozen=True, slots=True)
class Identity:
    """How a service identity binds: SASL EXTERNAL over ldapi, or a DN and a password file. `elsewhere`:
    another host binds as it too, with a journal of its own. `name` is its key in the configuration, usually
    an IdentityName."""

    external: TrueOrFalse = False
    dn: _Dn = ""
    password_file: FilePath = ""
    elsewhere: Annotated[bool, "true if another host binds as it too"] = False
    name: Annotated[str, NAME, one_of(*IdentityName)] = ""


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """The directory and its connections. Timeouts are in seconds, per operation. Only the first server is
    written to; a lock, a closure or a password waits up to `replication_seconds` for the others.

    `attributes` renames LDAP attributes: the name that piactl uses by default -> the one used here.
    A search asks for `page_size` entries at a time. `in_flight`: pending requests of a writer; 1 waits for
    each answer.
    `taken_attributes`: attributes of unmanaged entries whose addresses count as taken. `groups`: the base of
    the groups of the policy, `structures`: the base of the establishments, "" if they are not kept.
    """

    servers: Annotated[
        tuple[_Address, ...], FILLED, UNIQUE, "a list of ldap://, ldaps:// or ldapi:// addresses"
    ]
    suffix: _Dn
    accounts: _Dn
    state: _Dn
    identities: Annotated[
        Mapping[str, Annotated[Identity, "{external: true} or {dn: ..., password_file: ...}"]],
        FILLED,
        "identities, reader: {external: true}",
    ]
    tls: Annotated[TlsSettings, "{ca_file: ..., starttls: true, strict: true}"] = TlsSettings()
    connect_timeout: Annotated[int, _SECONDS] = 5
    operation_timeout: Annotated[int, whole("seconds", 1, 3600)] = 30
    replication_seconds: Annotated[int, whole("seconds", 1, 3600)] = 10
    page_size: Annotated[int, OUTSIDE] = 500
    in_flight: Annotated[int, whole("requests", 1, 500)] = 64
    attributes: Annotated[Mapping[_Attribute, _Attribute], "attributes, usual name: name here"] = field(
        default_factory=dict
    )
    taken_attributes: Annotated[tuple[_Attribute, ...], UNIQUE, "a list of LDAP attributes"] = (
        *("uid", "mail", "mailAlternateAddress", "mailEquivalentAddress"),
    )
    groups: Annotated[str, dn("ou=groupes,o=gouv,c=fr")] = ""
    structures: Annotated[str, dn("ou=structures,o=gouv,c=fr")] = ""


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

    bad_share: Annotated[float, _SHARE] = 0.05
    bad_floor: Annotated[int, _COUNT] = 20
    known_share: Annotated[float, Bounds("a share from 0 to 1, such as 0.9", 0, 1)] = 0.9
    known_floor: Annotated[int, _COUNT] = 20
    size_share: Annotated[float, Bounds("a share, such as 0.1", 0)] = 0.1
    size_floor: Annotated[int, _COUNT] = 50
    column_share: Annotated[float, Bounds("a share from 0 to 1, such as 0.2", 0, 1)] = 0.2
    column_floor: Annotated[int, _COUNT] = 20
    held_share: Annotated[float, _SHARE] = 0.05
    held_floor: Annotated[int, _COUNT] = 20
    max_rows: Annotated[int, whole("a count", 1, _MANY)] = 5_000_000
    max_bytes: Annotated[int, whole("bytes", 1, 1_000_000_000_000)] = 2_000_000_000
    max_field: Annotated[int, whole("characters", 1, 1_000_000)] = 1_000


@dataclass(frozen=True, slots=True)
class LimitsPeriod:
    """A part of the year, (month, day) both included, with other limits."""

    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    limits: SourceLimits


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WrittenLimitsPeriod(SourceLimits):
    """A period as the configuration has it; `given` are the limits that it sets."""

    name: Annotated[str, NAME, Text("a name")]
    first: Annotated[DayOfYear, Key("from")]
    last: Annotated[DayOfYear, Key("to")]
    given: Annotated[frozenset[str], GIVEN]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WrittenLimits(SourceLimits):
    """The limits of a source as the configuration has them."""

    periods: Annotated[
        tuple[Annotated[WrittenLimitsPeriod, "a period, {from: 08-20, to: 10-15, ...}"], ...],
        "periods, name: {from: 08-20, to: 10-15, ...}",
    ] = ()

    def value(self) -> dict[str, Any]:
        """`limits` and `periods` of a source. What a period does not set is as outside periods."""
        names = [limit.name for limit in fields(SourceLimits)]
        limits = SourceLimits(*(getattr(self, name) for name in names))
        periods = []
        for period in self.periods:
            given = {name: getattr(period, name) for name in names if name in period.given}
            own = replace(limits, **given)
            periods.append(LimitsPeriod(period.name, period.first, period.last, own))
        return {"limits": limits, "periods": tuple(periods)}


@dataclass(frozen=True, eq=False, repr=False)
class Perimeter:
    """What the head of a set must state, as the configuration has it."""

    academie: _Academie = ""
    degre: Annotated[str, one_of("1D", "2D")] = ""
    departements: Annotated[tuple[_Departement, ...], FILLED, UNIQUE, "a list of codes of départements"] = ()
    secteurs: Annotated[tuple[_Sector, ...], FILLED, UNIQUE, "a list of PU and PR"] = ()
    types: Annotated[tuple[_StructureType, ...], FILLED, UNIQUE, "a list of types of structures"] = ()

    def value(self) -> dict[str, str]:
        """The values by name, lists with commas."""
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: v if isinstance(v, str) else ",".join(v) for name, v in given.items() if v}


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

    `format` is csv, xlsx (a workbook, or csv), or the format of a set of files (piactl.feed.formats);
    `perimeter` is what the head of such a set must state (`academie`, `degre`), `drop_functions` are function
    codes that make no post beside another function. `empty_values`: what an attribute without a value in a
    modification does, clear or keep.
    `delta_days`: the most days from one set to the next delta; only `delta_weekdays` count. `state_folder` is
    where this host keeps the last sets. `supplement`: the source only adds posts to people of other sources.
    `creates`: people of no other source get an account.
    """

    name: EntryName
    full: Annotated[
        bool, Key("kind"), meaning(full=True, delta=False), "full (a feed lists everyone) or delta"
    ] = True
    trailer: TrueOrFalse = False
    files: Annotated[tuple[_FilePattern, ...], FILLED, UNIQUE, "a list of patterns of file names"] = ()
    date_pattern: Annotated[
        str,
        Text(
            "a regular expression with the groups year, month and day, and number if there are several a day",
            ANY_TEXT,
            _read_date_pattern,
        ),
    ] = r"(?P<year>20\d\d)-?(?P<month>\d\d)-?(?P<day>\d\d)"
    delimiter: Annotated[
        str, one_of("", ";", ",", "\t", "|"), '";", ",", "|", "\\t" or "" (found in the header)'
    ] = ""
    encoding: Annotated[str, one_of("utf-8", "windows-1252", "iso-8859-15")] = "utf-8"
    date_formats: Annotated[tuple[_DateFormat, ...], FILLED, "a list of date formats"] = (
        *("%d/%m/%Y", "%Y-%m-%d"),
    )
    columns: Annotated[Mapping[_Column, _Header], "columns, name here: header there"] = field(
        default_factory=dict
    )
    values: Annotated[
        Mapping[_Column, Annotated[Mapping[str, PlainText], 'values, "raw": ours']],
        "tables of values by column",
    ] = field(default_factory=dict)
    constants: Annotated[Mapping[_Column, PlainText], "values by column"] = field(default_factory=dict)
    absent_runs: Annotated[int, whole("a number of feeds", 1, 100)] = 2
    feed_days: Annotated[int, whole("days", 0, 3650)] = 7
    namespace: Annotated[
        str, Text("a name of small letters, digits, _ and -", "^[a-z0-9][a-z0-9_-]{0,62}$")
    ] = COMMON
    format: Annotated[
        str,
        one_of("csv", "xlsx", "aaf", "aaf1d", "gpei", "sts"),
        "csv, xlsx (a workbook, or csv), aaf (2nd degré), aaf1d (1er degré), gpei or sts",
    ] = "csv"
    supplement: Annotated[
        bool,
        Key("role"),
        meaning(authoritative=False, supplement=True),
        "authoritative, or supplement (it adds posts to people whom other sources know)",
    ] = False
    creates: Annotated[
        bool,
        "true or false: whether a supplement makes accounts",
        Usually("supplement", lambda supplement: not supplement),
    ] = True
    perimeter: Annotated[
        Mapping[str, str], WrittenAs(Perimeter), 'perimeter, {academie: "020", degre: 2D}'
    ] = field(default_factory=dict)
    drop_functions: Annotated[tuple[_Function, ...], UNIQUE, "a list of codes of functions"] = ()
    empty_values: Annotated[
        str,
        one_of("clear", "keep"),
        "clear or keep: what an attribute without a value in a modification does",
    ] = "clear"
    delta_days: Annotated[int, Bounds("days, 1 to 366: the most from one set to the next delta", 1, 366)] = 1
    delta_weekdays: Annotated[
        tuple[Annotated[str, one_of(*WEEKDAYS)], ...],
        FILLED,
        UNIQUE,
        "a list of the days that delta_days counts, mon to sun",
    ] = WEEKDAYS
    state_folder: Annotated[str, OUTSIDE] = ""
    limits: Annotated[SourceLimits, Spread(WrittenLimits), "limits, {size_share: 0.1, ...}"] = SourceLimits()
    periods: Annotated[tuple[LimitsPeriod, ...], OUTSIDE] = ()

    @property
    def of_sets(self) -> bool:
        """Whether its feeds are sets of files of a national format."""
        return self.format not in ("csv", "xlsx")

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

    policy: _PolicyDn = ""
    activation_policy: _PolicyDn = ""
    activation_hours: Annotated[int, whole("hours", 1, 2160)] = 72
    minimum: Annotated[int, _CHARACTERS] = 12
    administrator_minimum: Annotated[int, _CHARACTERS] = 16
    failures_per_hour: Annotated[int, whole("failures", 5, 100_000)] = 60
    holdoff_days: Annotated[int, whole("days", 0, 90)] = 7
    protected_policy: _PolicyDn = ""
    other_policies: Annotated[
        tuple[_PolicyDn, ...], UNIQUE, 'a list of distinguished names, such as ["cn=strict,ou=policies,c=fr"]'
    ] = ()


@dataclass(frozen=True, slots=True)
class MatchingSettings:
    """How people are recognised. `identity_digests`: digests of birth dates are stored. `automatic` is the
    evidence that needs no decision: `numen+identity`, or nothing if it is empty. A case warns from
    `match_days` before the newcomer's start on, and is an error once it is older than `max_hold_days`."""

    identity_digests: TrueOrFalse = True
    automatic: Annotated[
        frozenset[Annotated[str, one_of("numen+identity")]],
        UNIQUE,
        "a list of evidence that needs no decision: [numen+identity], the default, or [] for none",
    ] = frozenset({"numen+identity"})
    match_days: Annotated[int, whole("days", 0, 90)] = 5
    max_hold_days: Annotated[int, whole("days", 1, 365)] = 10


@dataclass(frozen=True, slots=True)
class Canary:
    """An account that every server must refuse, whatever its password: closed, locked, archived, or with a
    device and without a code."""

    name: Annotated[str, NAME, Text("a name, such as closed", "^[a-z][a-z0-9_-]*$")]
    account: Annotated[str, Text("the uid of an account", _NO_NUL)]
    password_file: Annotated[str, Text("a path, or credential:NAME", _NO_NUL), Mark.PATH]


@dataclass(frozen=True, slots=True)
class ChangeHook:
    """A command with arguments that gets the changes of these kinds. It is killed after `seconds`; 0 is the
    number of seconds of all hooks."""

    kinds: Annotated[frozenset[_Kind], FILLED, "a list of kinds of change"]
    command: Annotated[_Command, Key("run")]
    seconds: Annotated[int, _SECONDS] = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one host. `matching_key_file` holds the second secret of the digests of NUMENs, ""
    on a host that has none. `sources` are in the order of their rank; `ranks` names, for some data, the
    source that comes first. `go_on`: a run continues without these sources if their feed is refused.
    `clock_minutes`: how far the clocks of this host and of the server may differ. `change_hooks` are the
    commands that get changes, `proof_hook` is the one for changes of proofs of identity, with its arguments,
    which may run for `hook_seconds`. `roles`: Unix groups that have a role (see `host.roles_of_caller`)
    besides its own group, by the name of the role.
    `language` is the language of texts for people, "" for the language of the environment."""

    version: Version = field(default=1, kw_only=True)
    file: Annotated[str, FILE]
    directory: Annotated[DirectorySettings, "a mapping, {servers: [...], suffix: ...}"]
    policy_file: Annotated[FilePath, Key("policy")]
    establishments_file: Annotated[FilePath, Key("establishments")]
    keys_file: Annotated[FilePath, Key("keys")]
    journal_file: Annotated[FilePath, Key("journal")]
    state_folder: Annotated[FilePath, "the path of a folder"]
    metrics_file: Annotated[FilePath, Key("metrics")] = ""
    matching_key_file: Annotated[FilePath, Key("matching_key")] = ""
    roles: Annotated[
        Mapping[_Role, Annotated[tuple[_UnixGroup, ...], "names of Unix groups"]],
        "the Unix groups of the site that have a role, besides the group of piactl",
    ] = field(default_factory=dict)
    sources: Annotated[
        Mapping[str, Annotated[SourceSettings, "a source, {kind: full, ...}"]],
        "sources, name: {kind: full, ...}",
    ] = field(default_factory=dict)
    ranks: Annotated[
        Mapping[Annotated[str, one_of("names", "courriel_prive")], _SourceName],
        "the source that comes first, ranks: {names: epp}",
    ] = field(default_factory=dict)
    go_on: Annotated[frozenset[_SourceName], Key("continue"), UNIQUE, "a list of sources"] = frozenset()
    language: Annotated[str, one_of("en", "fr")] = ""
    any_date: TrueOrFalse = False
    strict: TrueOrFalse = True
    lock_seconds: Annotated[int, whole("seconds", 30, 86_400)] = 300
    clock_minutes: Annotated[int, _CLOCK, Key("server_minutes"), whole("minutes", 1, 1440)] = 10
    keep_undo_days: _Keeping = 90
    keep_runs_days: _Keeping = 400
    keep_rejects_days: _Keeping = 30
    change_hooks: Annotated[
        tuple[Annotated[ChangeHook, "{kinds: [lock], run: [command, word]}"], ...],
        _HOOKS,
        Key("changes"),
        FILLED,
        "a list of hooks, {kinds: [lock], run: [command, word]}",
    ] = ()
    proof_hook: Annotated[_Command, _HOOKS, Key("proof_changed")] = ()
    hook_seconds: Annotated[int, _HOOKS, Key("seconds"), _SECONDS] = 10
    password: Annotated[
        PasswordSettings, FILLED, '{activation_policy: "cn=activation,...", activation_hours: 72, ...}'
    ] = PasswordSettings()
    matching: Annotated[MatchingSettings, "how people are recognised, such as matching: {automatic: []}"] = (
        MatchingSettings()
    )
    canaries: Annotated[
        tuple[Annotated[Canary, "{account: essai.ferme, password_file: secrets/canary-closed}"], ...],
        "accounts that must be refused, closed: {account: essai.ferme, password_file: secrets/canary-closed}",
    ] = ()

    def with_state_folder(self, folder: str) -> Settings:
        """The settings with another state folder."""
        sources = {
            name: replace(source, state_folder=folder) if source.of_sets else source
            for name, source in self.sources.items()
        }
        return replace(self, state_folder=folder, sources=sources)

    @property
    def plans_folder(self) -> str:
        """Where plans are kept: those that wait for an approval, and those of the last runs."""
        return f"{self.state_folder}/plans"

    @property
    def rehearsals_folder(self) -> str:
        """Where people who reach this host by sudo keep rehearsals."""
        return f"{self.state_folder}/rehearsals"

    def kept_plan(self, fingerprint: str) -> str:
        """The file of the plan with this fingerprint in `plans_folder`."""
        return f"{self.plans_folder}/{fingerprint[:16]}.json"
