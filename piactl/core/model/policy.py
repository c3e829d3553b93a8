"""The policy: who gets what, when. Built from `policy.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

from piactl.core.model.person import Assignment, Register

EMPLOYEE = frozenset({"employee", "member"})
"""The affiliations of a profile that names none."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition on an assignment: each field must have one of its values. Without fields it is always true.
    `line` is its line in the policy.

    Fields: fonction corps discipline modalite position uai (of the assignment), nature degree sector (of its
    establishment; blank if it is not in the register).
    """

    conditions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    line: int = field(default=0, compare=False)

    def fits(self, assignment: Assignment, register: Register) -> bool:
        return all(_field(name, assignment, register) in values for name, values in self.conditions.items())


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


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile and the condition under which an assignment gives it; `line` is its line in the policy.
    `affiliations` are those of eduPerson for people in post with this profile."""

    name: str
    when: When
    line: int = 0
    affiliations: frozenset[str] = EMPLOYEE


@dataclass(frozen=True, slots=True)
class Position:
    """An administrative position, and the rights that an assignment keeps in it.

    `keeps` None keeps all services. `login` None allows login if a service is kept. `grace` None is the grace
    of the corps. `ends`: the position ends all assignments. `codes` are the words of HR that mean this
    position: they are read, but never stored.
    """

    name: str
    keeps: frozenset[str] | None = None
    login: bool | None = None
    lock: bool = False
    ends: bool = False
    grace: int | None = None
    codes: frozenset[str] = frozenset()
    line: int = 0

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

    name: str
    label: str
    profiles: frozenset[str] | None = None
    when: When = When()
    per_establishment: bool = False
    grant_delay: int = 0
    mutation_delay: int = 0
    keep: bool = True
    handover: int = 0
    in_grace: bool = False
    otp: str = "never"
    line: int = 0

    def serves(self, profile: str) -> bool:
        return self.profiles is None or profile in self.profiles


@dataclass(frozen=True, slots=True)
class GraceRule:
    """The days of grace of the assignments that match a condition."""

    when: When
    days: int
    line: int = 0


REFERENCE = 1_000
"""The number of accounts in scope that a scaling floor refers to."""

LEAST = 10
"""A scaling floor never falls below this number of accounts, which a person can still read, unless the policy
gives a lower floor."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Exceeded by more than `max` accounts and more than `share` (0 to 1) of the accounts in scope.

    `scales`: `max` is the floor for REFERENCE accounts, and the floor for another number is `max` times the
    root of their ratio, because the chance variation of a count grows with the root of its mean.
    """

    max: int
    share: float
    scales: bool = False

    def among(self, accounts: int) -> Limit:
        """The limit for a scope of this many accounts."""
        if not self.scales:
            return self
        floor = int(self.max * sqrt(accounts / REFERENCE))
        return Limit(max(floor, min(self.max, LEAST)), self.share)

    def most(self, accounts: int) -> int:
        """The most accounts that do not exceed it in a scope of this many."""
        return max(self.among(accounts).max, int(self.share * accounts))


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits of one kind of change: overall, per establishment and per profile."""

    overall: Limit | None = None
    per_establishment: Limit | None = None
    per_profile: Limit | None = None

    def limit(self, scope: str) -> Limit | None:
        """The limit for one "establishment" or one "profile", or else for all accounts."""
        own = {"establishment": self.per_establishment, "profile": self.per_profile}
        return own.get(scope, self.overall)


@dataclass(frozen=True, slots=True)
class GuardPeriod:
    """A part of the year with other guards; `first` and `last` are (month, day), both included.

    A period whose last day is before its first day spans New Year.
    """

    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    guards: Mapping[str, Guard]


@dataclass(frozen=True, slots=True)
class ExtraGroup:
    """A group by profile, by service, or by both: a member has one of each that is given."""

    name: str
    label: str
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The groups that applications see. `services`: those with a group each, None for all.
    `per_establishment`: services and profiles with a group for each establishment of the register."""

    services: frozenset[str] | None = frozenset()
    per_establishment: tuple[str, ...] = ()
    extra: tuple[ExtraGroup, ...] = ()
    line: int = 0


MERGE = "merge"
"""The word for a merge by hand in rules for approvals and in the summary of its plan; it is not a kind of
change."""


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A plan that needs another person: one that breaks a guard of these kinds (`refused`; `any` is all), one
    that has more than `more_than` accounts with a change of `kinds`, or one that changes a protected
    account."""

    refused: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    more_than: int = 0
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Approvals:
    """Which plans other people have to approve, how many people (`count`), and how long an approval is valid
    (`hours`)."""

    required: tuple[ApprovalRule, ...] = ()
    count: int = 1
    hours: int = 24


@dataclass(frozen=True, slots=True)
class PosixSettings:
    """What Unix hosts see of accounts (RFC 2307): a uidNumber from `first` to `last`, the primary group, the
    home directory, in which {uid} is the uid, and the shell."""

    first: int
    last: int
    group: int
    home: str
    shell: str

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

    timezone: str = "Europe/Paris"
    domain: str = "ac-amiens.fr"
    open_before: int = 15
    bridge: int = 60
    retention: int = 60
    sponsored_days: int | None = None
    first_homonym_digit: int = 1
    name_case: str = "as-written"
    real_names: frozenset[str] = frozenset()
    urn: str = "urn:mace:ac-amiens.fr:service:"
    uid_form: str = "address"
    unique_id: bool = False
    posix: PosixSettings | None = None
    unknown_establishment: str = "warning"
    grace: tuple[GraceRule, ...] = ()
    profiles: tuple[Profile, ...] = ()
    positions: Mapping[str, Position] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    otp_enforced_by: str = "directory"
    otp_issuer: str = "ac-amiens.fr"
    otp_reach: int = 120
    guards: Mapping[str, Guard] = field(default_factory=dict)
    periods: tuple[GuardPeriod, ...] = ()
    own_guards: bool = True
    window: int = 7
    approvals: Approvals = Approvals()
    protected: frozenset[str] = frozenset()
    groups: GroupSettings = GroupSettings()
    supplements: frozenset[str] = frozenset()
    digest: str = ""
    content: str = ""
    file: str = ""
    _given: dict[tuple[str, ...], tuple[Profile | None, frozenset[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _asked: dict[bool, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _of_code: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    careers: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The careers under this policy that `core.rules.career` keeps."""

    def __post_init__(self) -> None:
        self._of_code.update({code: p.name for p in self.positions.values() for code in p.codes})

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

    def profile(self, assignment: Assignment, register: Register) -> Profile | None:
        """The first profile that matches, or None."""
        return self.given_by(assignment, register)[0]

    def given_by(self, assignment: Assignment, register: Register) -> tuple[Profile | None, frozenset[str]]:
        """The profile of an assignment and the services that it gives; none without a profile."""
        if not self._asked:
            conditions = [entry.when for entry in self.profiles] + [s.when for s in self.services.values()]
            asked = {name for when in conditions for name in when.conditions}
            self._asked[True] = tuple(f for name, f in ASSIGNMENT_FIELDS.items() if name in asked)
            self._asked[False] = tuple(name for name in ESTABLISHMENT_FIELDS if name in asked)
        own, of_place = self._asked[True], self._asked[False]
        place = register.get(assignment.uai) if of_place else None
        # most assignments share their values in the fields that conditions use: cache by these
        key = (
            *[getattr(assignment, name) for name in own],
            *([getattr(place, name) for name in of_place] if place else ()),
        )
        if key not in self._given:
            profile = next((p for p in self.profiles if p.when.fits(assignment, register)), None)
            serving = (s for s in self.services.values() if profile and s.serves(profile.name))
            self._given[key] = (
                profile,
                frozenset(s.name for s in serving if s.when.fits(assignment, register)),
            )
        return self._given[key]

    def grace_days(self, assignment: Assignment, register: Register) -> int:
        """Days of grace after the assignment: of its position, else of the first matching rule, else 0."""
        position = self.position(assignment.position)
        if position is not None and position.grace is not None:
            return position.grace
        return next((g.days for g in self.grace if g.when.fits(assignment, register)), 0)
