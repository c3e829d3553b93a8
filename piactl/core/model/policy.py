"""The policy: who gets what, when. Built from `policy.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

from piactl.core.model.establishment import Register
from piactl.core.model.field_notes import (
    ANY_TEXT,
    FILLED,
    KEY_LINE,
    LINE,
    NAME,
    ONE_OR_LIST,
    OUTSIDE,
    REQUIRED,
    UNIQUE,
    Bounds,
    EntryName,
    Key,
    Names,
    Needs,
    Only,
    PlainText,
    Section,
    Spread,
    Text,
    TrueOrFalse,
    Uai,
    Usually,
    Version,
    meaning,
    one_of,
    whole,
)
from piactl.core.model.guard_limits import Guard, GuardPeriod, WrittenGuards
from piactl.core.model.person import Assignment

_ACCOUNTS = Section("accounts", "a mapping, {domain: ac-amiens.fr, ...}")
_OTP = Section("otp", "{enforced_by: directory} or {enforced_by: portal}")
_DAYS, _DAYS_OF_A_YEAR, _UNIX = whole("days", 0, 3650), whole("days", 0, 366), 2_147_483_647
_POSITION, _DOMAIN = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$", "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_ServiceName = Annotated[
    str, Text("the name of a service"), Names(("services",), "there is no service {name}")
]
_ProfileName = Annotated[
    str, Text("the name of a profile"), Names(("profiles",), "there is no profile {name}")
]
_PositionName = Annotated[PlainText, Names(("positions",), "there is no position {name}")]
_GroupName = Annotated[
    str,
    Text("the name of a profile, or of a service with scope: establishment"),
    Names(("services", "profiles"), "there is no service or profile {name}"),
]
_Affiliation = Annotated[str, one_of("faculty", "staff", "employee", "member", "affiliate")]
_Code = Annotated[str, Text("a code of HR, of letters, digits, _ . and -", _POSITION)]
_Label = Annotated[str, Text("the name that people read", ANY_TEXT)]
_TEXTS = "a text or a list of texts"
_Texts = Annotated[frozenset[PlainText], ONE_OR_LIST, FILLED, _TEXTS]

EMPLOYEE = frozenset({"employee", "member"})
"""The affiliations of a profile that names none."""


ASSIGNMENT_FIELDS = {
    "fonction": "function",
    "corps": "corps",
    "discipline": "discipline",
    "modalite": "modality",
    "position": "position",
    "uai": "uai",
}
ESTABLISHMENT_FIELDS = ("nature", "degree", "sector")


def _field(name: str, assignment: Assignment, register: Register) -> str:
    if name in ASSIGNMENT_FIELDS:
        return str(getattr(assignment, ASSIGNMENT_FIELDS[name]))
    establishment = register.get(assignment.uai)
    return str(getattr(establishment, name)) if establishment else ""


@dataclass(frozen=True, kw_only=True)
class When:
    """A condition on an assignment: each field must have one of its values. Without fields it is always true.
    `line` is its line in the policy.

    The last three are those of the establishment; blank if it is not in the register.
    """

    fonction: _Texts = frozenset()
    corps: _Texts = frozenset()
    discipline: _Texts = frozenset()
    modalite: _Texts = frozenset()
    position: Annotated[frozenset[_PositionName], ONE_OR_LIST, FILLED, _TEXTS] = frozenset()
    uai: Annotated[frozenset[Uai], ONE_OR_LIST, FILLED, _TEXTS] = frozenset()
    nature: _Texts = frozenset()
    degree: Annotated[
        frozenset[Annotated[str, one_of("1D", "2D")]], ONE_OR_LIST, FILLED, "1D or 2D, or a list"
    ] = frozenset()
    sector: _Texts = frozenset()
    line: Annotated[int, LINE] = field(default=0, compare=False)

    @cached_property
    def conditions(self) -> Mapping[str, frozenset[str]]:
        """The values by field, of the fields that have some."""
        values = {name: getattr(self, name) for name in (*ASSIGNMENT_FIELDS, *ESTABLISHMENT_FIELDS)}
        return {name: some for name, some in values.items() if some}

    def fits(self, assignment: Assignment, register: Register) -> bool:
        return all(_field(name, assignment, register) in values for name, values in self.conditions.items())


_When = Annotated[When, "a condition, {fonction: [ENS, DOC]}"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile and the condition under which an assignment gives it; `line` is its line in the policy.
    `affiliations` are those of eduPerson for people in post with this profile."""

    name: EntryName
    when: _When
    line: Annotated[int, KEY_LINE] = 0
    affiliations: Annotated[
        frozenset[_Affiliation], UNIQUE, "affiliations of eduPerson, [faculty, employee, member]"
    ] = EMPLOYEE


@dataclass(frozen=True, slots=True)
class Position:
    """An administrative position, and the rights that an assignment keeps in it.

    `keeps` None keeps all services. `login` None allows login if a service is kept. `grace` None is the grace
    of the corps. `ends`: the position ends all assignments. `codes` are the words of HR that mean this
    position: they are read, but never stored.
    """

    name: Annotated[str, NAME, Text("a position, of letters, digits, _ . and -", _POSITION)]
    keeps: Annotated[
        frozenset[_ServiceName] | None,
        meaning(all=None, none=frozenset()),
        "all, none, or a list of services",
    ] = None
    login: TrueOrFalse | None = None
    lock: TrueOrFalse = False
    ends: TrueOrFalse = False
    grace: Annotated[int, _DAYS] | None = None
    codes: Annotated[
        frozenset[_Code],
        FILLED,
        UNIQUE,
        "the codes of HR that mean this position, never stored, [conge_maladie]",
    ] = frozenset()
    line: Annotated[int, KEY_LINE] = 0

    def keeps_service(self, service: str) -> bool:
        return self.keeps is None or service in self.keeps

    @property
    def keeps_all(self) -> bool:
        return self.keeps is None

    @property
    def allows_login(self) -> bool:
        if self.login is not None:
            return self.login
        return self.keeps is None or bool(self.keeps)


@dataclass(frozen=True, slots=True)
class Service:
    """An assignment gives it if its profile is one of `profiles` (None is all) and `when` fits. Delays and
    handover are in days. `keep`: an existing right continues in a delay."""

    name: EntryName
    label: _Label
    profiles: Annotated[frozenset[_ProfileName] | None, meaning(all=None), "all, or a list of profiles"] = (
        None
    )
    when: _When = When()
    per_establishment: Annotated[bool, Key("scope"), meaning(person=False, establishment=True)] = False
    grant_delay: Annotated[int, _DAYS_OF_A_YEAR] = 0
    mutation_delay: Annotated[int, _DAYS_OF_A_YEAR, Usually("grant_delay")] = 0
    keep: Annotated[bool, Key("meanwhile"), meaning(keep=True, none=False)] = True
    handover: Annotated[int, _DAYS_OF_A_YEAR] = 0
    in_grace: TrueOrFalse = False
    otp: Annotated[str, one_of("never", "off-site", "always")] = "never"
    line: Annotated[int, KEY_LINE] = 0

    def serves(self, profile: str) -> bool:
        return self.profiles is None or profile in self.profiles


@dataclass(frozen=True, slots=True)
class GraceRule:
    """The days of grace of the assignments that match a condition."""

    when: _When = When()
    days: Annotated[int, REQUIRED, _DAYS] = 0
    line: Annotated[int, LINE] = 0


@dataclass(frozen=True, slots=True)
class ExtraGroup:
    """A group by profile, by service, or by both: a member has one of each that is given."""

    name: EntryName
    label: Annotated[_Label, Usually("name")] = ""
    profiles: Annotated[tuple[_ProfileName, ...], Key("profile"), FILLED, "a list of profiles"] = ()
    services: Annotated[tuple[_ServiceName, ...], Key("service"), FILLED, "a list of services"] = ()
    line: Annotated[int, KEY_LINE] = 0


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The groups that applications see. `services`: those with a group each, None for all.
    `per_establishment`: services and profiles with a group for each establishment of the register."""

    services: Annotated[frozenset[_ServiceName] | None, meaning(all=None), "all, or a list of services"] = (
        frozenset()
    )
    per_establishment: Annotated[
        tuple[_GroupName, ...], UNIQUE, "a list of profiles, and of services with scope: establishment"
    ] = ()
    extra: Annotated[
        tuple[Annotated[ExtraGroup, FILLED, "a group, {profile: [...]} or {service: [...]}"], ...],
        "groups, name: {profile: [...]}",
    ] = ()
    line: Annotated[int, KEY_LINE] = 0


MERGE = "merge"
"""The word for a merge by hand in rules for approvals and in the summary of its plan; it is not a kind of
change."""


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A plan that needs another person: one that breaks a guard of these kinds (`refused`; `any` is all), one
    that has more than `more_than` accounts with a change of `kinds`, or one that changes a protected
    account."""

    refused: Annotated[frozenset[PlainText], ONE_OR_LIST, FILLED, "any, or kinds of guard"] = frozenset()
    kinds: Annotated[
        frozenset[PlainText],
        Key("kind"),
        ONE_OR_LIST,
        FILLED,
        Needs(("more_than",)),
        "a kind of change, or merge, or a list of them",
    ] = frozenset()
    more_than: Annotated[int, Bounds("accounts, a whole number from 0", 0), Needs(("kind",))] = 0
    protected: Annotated[bool, Only(True), "true"] = False


_Rule = Annotated[
    ApprovalRule, FILLED, "{refused: any}, {kind: [deactivate], more_than: 200}, or {protected: true}"
]


@dataclass(frozen=True, slots=True)
class Approvals:
    """Which plans other people have to approve, how many people (`count`), and how long an approval is valid
    (`hours`)."""

    required: Annotated[
        tuple[_Rule, ...], FILLED, REQUIRED, "the plans that need another person, [{refused: any}]"
    ] = ()
    count: Annotated[int, whole("people", 1, 9)] = 1
    hours: Annotated[int, whole("hours", 1, 168)] = 24


@dataclass(frozen=True, slots=True)
class PosixSettings:
    """What Unix hosts see of accounts (RFC 2307): a uidNumber from `first` to `last`, the primary group, the
    home directory, in which {uid} is the uid, and the shell."""

    first: Annotated[int, whole("the first uidNumber", 1000, _UNIX)]
    last: Annotated[int, whole("the last uidNumber", 1000, _UNIX)]
    group: Annotated[int, whole("the gidNumber of the primary group", 1, _UNIX)]
    home: Annotated[str, Text("a path with {uid} in it, such as /home/{uid}", r"^/[ -~]*\{uid\}[ -~]*$")] = (
        "/home/{uid}"
    )
    shell: Annotated[str, Text("a path, such as /bin/bash", "^/[!-~]+$")] = "/bin/bash"

    def attributes(self, uid: str, number: int) -> tuple[str, str, str, str]:
        """uidNumber, gidNumber, homeDirectory and loginShell of an account."""
        return str(number), str(self.group), self.home.replace("{uid}", uid), self.shell


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy. `uid_form` is address (the local part of the first address) or initial (first letter
    of the given name and the surname). `otp_issuer` is the name that authenticators show with the account,
    `otp_reach` the largest clock error, in minutes, that a resynchronisation corrects. `own_guards`: the file
    names guards, else all are the default ones. `window` is the number of days whose losses count together.
    An account with a sponsor ends at most `sponsored_days` ahead. `real_names`, in plain letters, are names
    that people have although they look like none. `supplements` are the sources that the configuration marks
    as supplements; they are not in the file.
    `digest` is the SHA-256 of its file, in hexadecimal, `content` that of what it says without its
    comments, `file` its name."""

    version: Version = 1
    timezone: Annotated[
        str, Text("the name of a time zone, such as Europe/Paris", "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    ] = "Europe/Paris"
    domain: Annotated[
        str, _ACCOUNTS, Text("a mail domain, such as ac-amiens.fr", rf"^{_DOMAIN}(\.{_DOMAIN})+$")
    ] = "ac-amiens.fr"
    open_before: Annotated[int, _ACCOUNTS, _DAYS_OF_A_YEAR] = 15
    bridge: Annotated[int, _ACCOUNTS, _DAYS] = 60
    retention: Annotated[int, _ACCOUNTS, _DAYS] = 60
    sponsored_days: Annotated[int, _ACCOUNTS, whole("days", 1, 3650)] | None = None
    first_homonym_digit: Annotated[int, _ACCOUNTS, whole("the digit of the first homonym", 0, 9)] = 1
    name_case: Annotated[
        str,
        _ACCOUNTS,
        one_of("as-written", "proper", "NOM"),
        "the case of names that HR writes in capitals: as-written, proper or NOM",
    ] = "as-written"
    real_names: Annotated[
        frozenset[Annotated[str, Text("a name as HR writes it", ANY_TEXT)]],
        _ACCOUNTS,
        UNIQUE,
        "a list of names that people have although they look like none",
    ] = frozenset()
    urn: Annotated[
        str,
        _ACCOUNTS,
        Text(
            "the beginning of the URNs of services, such as urn:mace:ac-amiens.fr:service:",
            "^urn:[a-z0-9][a-z0-9-]{0,31}:[!-~]*:$",
        ),
        Usually("domain", "urn:mace:{}:service:".format),
    ] = "urn:mace:ac-amiens.fr:service:"
    uid_form: Annotated[str, _ACCOUNTS, one_of("address", "initial")] = "address"
    unique_id: Annotated[bool, _ACCOUNTS, "true or false: accounts get an eduPersonUniqueId"] = False
    posix: Annotated[
        PosixSettings | None, _ACCOUNTS, "a mapping, {first: 200000, last: 399999, group: 20000}"
    ] = None
    unknown_establishment: Annotated[str, _ACCOUNTS, one_of("warning", "rejection")] = "warning"
    grace: Annotated[
        tuple[Annotated[GraceRule, "a rule, {days: 30}"], ...], FILLED, "a list of rules, - {days: 30}"
    ] = ()
    profiles: Annotated[
        tuple[Annotated[Profile, "a profile, {when: {...}}"], ...],
        FILLED,
        REQUIRED,
        "profiles, name: {when: {...}}",
    ] = ()
    positions: Annotated[
        Mapping[str, Annotated[Position, "a position, {keeps: all}"]], "positions, name: {keeps: all}"
    ] = field(default_factory=dict)
    services: Annotated[
        Mapping[str, Annotated[Service, "a service, {label: ...}"]],
        FILLED,
        REQUIRED,
        "services, name: {label: ...}",
    ] = field(default_factory=dict)
    otp_enforced_by: Annotated[str, _OTP, Key("enforced_by"), one_of("directory", "portal")] = "directory"
    otp_issuer: Annotated[
        str,
        _OTP,
        Key("issuer"),
        Text(
            "the name that authenticators show over the account, 1 to 64 characters without a colon",
            r"^[^:\x00-\x1f]{1,64}$",
        ),
        Usually("domain"),
    ] = "ac-amiens.fr"
    otp_reach: Annotated[int, _OTP, Key("resync_minutes"), Bounds("minutes, 5 to 1440", 5, 1440)] = 120
    guards: Annotated[Mapping[str, Guard], Spread(WrittenGuards), "guards by kind"] = field(
        default_factory=dict
    )
    periods: Annotated[tuple[GuardPeriod, ...], OUTSIDE] = ()
    own_guards: Annotated[bool, OUTSIDE] = True
    window: Annotated[int, OUTSIDE] = 7
    approvals: Annotated[Approvals, "which plans another person approves, {required: [{refused: any}]}"] = (
        Approvals()
    )
    protected: Annotated[
        frozenset[Annotated[str, Text("a uid of small letters, digits, . and -", "^[a-z0-9][a-z0-9.-]*$")]],
        UNIQUE,
        "a list of uids",
    ] = frozenset()
    groups: Annotated[GroupSettings, "groups, {services: all, extra: {...}}"] = GroupSettings()
    supplements: Annotated[frozenset[str], OUTSIDE] = frozenset()
    digest: Annotated[str, OUTSIDE] = ""
    content: Annotated[str, OUTSIDE] = ""
    file: Annotated[str, OUTSIDE] = ""
    _given: dict[tuple[str, ...], tuple[Profile | None, frozenset[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _asked: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    _of_code: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    careers: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The careers under this policy that `core.rules.career` keeps."""

    def __post_init__(self) -> None:
        self._of_code.update({code: p.name for p in self.positions.values() for code in p.codes})
        for when in [*(p.when for p in self.profiles), *(s.when for s in self.services.values())]:
            self._asked.update(when.conditions)

    def position(self, name: str) -> Position | None:
        """The position of that name or code (blank: `default`), or None if the policy does not list it."""
        if not name:
            return self.positions.get("default") or Position("default")
        return self.positions.get(self._of_code.get(name, name))

    def ends_all(self, assignment: Assignment) -> bool:
        """Whether the position of an assignment ends all assignments of the person."""
        position = self.position(assignment.position)
        return position is not None and position.ends

    def locks(self, assignment: Assignment) -> bool:
        """Whether the position of an assignment locks the account."""
        position = self.position(assignment.position)
        return position is not None and position.lock

    def without_codes(self, assignments: tuple[Assignment, ...]) -> tuple[Assignment, ...]:
        """The assignments with the name of the position in place of HR's code for it. Entries, plans and
        journals hold what a position does, and not a word that reveals health or discipline."""
        if not any(a.position in self._of_code for a in assignments):
            return assignments
        return tuple(replace(a, position=self._of_code.get(a.position, a.position)) for a in assignments)

    def given_by(self, assignment: Assignment, register: Register) -> tuple[Profile | None, frozenset[str]]:
        """The first profile that fits an assignment, and the services that it gives; none without one."""
        # most assignments share their values in the fields that conditions use: cache by these
        key = tuple([_field(name, assignment, register) for name in self._asked])
        if key not in self._given:
            profile = next((p for p in self.profiles if p.when.fits(assignment, register)), None)
            serving = (s for s in self.services.values() if profile and s.serves(profile.name))
            self._given[key] = (
                profile,
                frozenset(s.name for s in serving if s.when.fits(assignment, register)),
            )
        return self._given[key]

    def grace_of(self, assignment: Assignment, register: Register) -> tuple[int, str, int]:
        """Days of grace after the assignment, with the key and the line of the rule: of its position, else of
        the first matching rule, else 0."""
        position = self.position(assignment.position)
        if position is not None and position.grace is not None:
            return position.grace, f"positions.{position.name}", position.line
        rule = next((g for g in self.grace if g.when.fits(assignment, register)), GraceRule())
        return rule.days, "grace", rule.line
