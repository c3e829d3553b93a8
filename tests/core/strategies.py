"""Small, difficult lives under small, difficult policies.

Dates lie close together, in a window that begins on an awkward day, so that starts and ends touch,
overlap, contain and miss each other by one day, and delays, bridges, handovers and graces meet them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from hypothesis import strategies as st

from piactl.core.model.establishment import Establishment, Register
from piactl.core.model.person import Assignment
from piactl.core.model.policy import GraceRule, Policy, Position, Profile, Service, When

UAIS = ("0800009A", "0800010B", "0801616X")
REGISTER: Register = {
    "0800009A": Establishment("0800009A", "Lycée Louis Thuillier", "300", "2D", "public", "Amiens"),
    "0800010B": Establishment("0800010B", "Lycée Madeleine Michelis", "300", "2D", "public", "Amiens"),
    "0801616X": Establishment("0801616X", "Collège Guy Mareschal", "340", "2D", "public", "Amiens"),
}
WINDOW = 120
"""The number of days in which all starts of one life lie."""

WINDOWS_BEGIN = (
    date(2027, 2, 20),  # the clocks go forward on 28 March
    date(2027, 7, 15),  # 1 September, the clocks go back on 31 October
    date(2027, 12, 1),  # the year ends, 29 February 2028
    date(2028, 1, 20),  # 29 February in the middle
)
LONGEST_GRACE = 14
LONGEST_RETENTION = 12

GRACE_RULES = (
    (),
    (GraceRule(When(corps=frozenset({"776"})), 0), GraceRule(When(), 6)),
    (GraceRule(When(corps=frozenset({"776"})), LONGEST_GRACE), GraceRule(When(), 3)),
    (GraceRule(When(corps=frozenset({"776"})), 9),),
)
PROFILES = (
    (
        Profile("enseignant", When(fonction=frozenset({"ENS"}))),
        Profile("direction", When(fonction=frozenset({"DIR"}))),
    ),
    (
        Profile("college", When(nature=frozenset({"340"}))),
        Profile("enseignant", When(fonction=frozenset({"ENS"}))),
        Profile("direction", When()),
    ),
)
CONDITIONS = (
    When(),
    When(),
    When(corps=frozenset({"551"})),
    When(nature=frozenset({"300"}), fonction=frozenset({"ENS", "ADM"})),
)
PROFILE_NAMES = ("enseignant", "direction", "college")


@dataclass(frozen=True)
class Life:
    """One person's assignments, the policy over them, and the days on which anything can happen."""

    assignments: tuple[Assignment, ...]
    policy: Policy
    closed_on: date | None
    first: date
    last: date

    def __repr__(self) -> str:
        """What somebody needs to read a counterexample, without defaults."""
        rows = "\n".join(
            f"  {a.uai} {a.function} {a.start}..{a.end or 'open'}"
            f"{' corps ' + a.corps if a.corps else ''}{' position ' + a.position if a.position else ''}"
            f"{' source ' + a.source if a.source else ''}"
            f"{f' locks until {a.locks_until}' if a.locks_until else ''}"
            for a in self.assignments
        )
        p = self.policy
        shown = [
            f"  open_before {p.open_before} bridge {p.bridge} retention {p.retention}",
            f"  closed_on {self.closed_on}",
            *(f"  grace {dict(g.when.conditions)} {g.days}" for g in p.grace),
            *(f"  profile {q.name} {dict(q.when.conditions)}" for q in p.profiles),
            *(f"  {s}" for s in p.services.values()),
            *(f"  {p.positions[name]}" for name in sorted({a.position for a in self.assignments} - {""})),
        ]
        return "Life(\n" + rows + "\n" + "\n".join(shown) + ")"


def positions(services: tuple[str, ...]) -> st.SearchStrategy[dict[str, Position]]:
    """One position of each kind: it keeps some or no services, locks, has its own grace, or ends all."""
    some = st.none() | st.frozensets(st.sampled_from(services))
    login = st.none() | st.booleans()
    own_grace = st.none() | st.integers(0, LONGEST_GRACE)

    def of(
        leave: Position, secondment: Position, locking: Position, ends: Position, death: Position
    ) -> dict[str, Position]:
        plain = Position("default")
        none = Position("disponibilite", keeps=frozenset())
        return {p.name: p for p in (plain, none, leave, secondment, locking, ends, death)}

    return st.builds(
        of,
        st.builds(
            Position,
            st.just("conge"),
            keeps=st.frozensets(st.sampled_from(services)),
            login=login,
            grace=own_grace,
        ),
        st.builds(Position, st.just("detachement"), login=login, grace=own_grace),
        st.builds(
            Position, st.just("suspension"), keeps=some, login=login, lock=st.just(True), grace=own_grace
        ),
        st.builds(Position, st.just("retraite"), ends=st.just(True), grace=own_grace, lock=st.booleans()),
        st.builds(Position, st.just("deces"), ends=st.just(True), grace=st.just(0), lock=st.just(True)),
    )


def services(name: str) -> st.SearchStrategy[Service]:
    delays = st.sampled_from((0, 2, 1, 3, 5))
    return st.builds(
        Service,
        st.just(name),
        st.just(name),
        profiles=st.none() | st.frozensets(st.sampled_from(PROFILE_NAMES), min_size=1, max_size=2),
        when=st.sampled_from(CONDITIONS),
        per_establishment=st.booleans(),
        grant_delay=delays,
        mutation_delay=delays,
        keep=st.booleans(),
        handover=st.integers(0, 10),
        in_grace=st.booleans(),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    names = ("alpha", "beta", "gamma")[: draw(st.integers(1, 3))]
    return Policy(
        open_before=draw(st.integers(0, 6)),
        bridge=draw(st.integers(0, 40)),
        retention=draw(st.integers(0, LONGEST_RETENTION)),
        grace=draw(st.sampled_from(GRACE_RULES)),
        profiles=draw(st.sampled_from(PROFILES)),
        positions=draw(positions(names)),
        services={name: draw(services(name)) for name in names},
    )


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """One to five assignments, rarely none: of any shape, short moves, renewals, or ended more than once."""
    policy = draw(policies())
    begin = draw(st.sampled_from(WINDOWS_BEGIN))
    shape = draw(st.sampled_from((anyhow, moving, renewing, ending)))
    rows: list[Assignment] = []
    spans: list[Span] = []
    for _ in range(draw(st.sampled_from((2, 3, 4, 5, 3, 4, 5, 1, 4, 5, 0)))):
        start, length = draw(shape(spans, policy.bridge))
        spans.append((start, start if length is None else start + length))
        rows.append(
            Assignment(
                locks_until=locks_until(draw, begin, start, length),
                uai=draw(st.sampled_from(usual_uais(shape, rows))),
                function=draw(st.sampled_from(("ENS", "DIR", *(a.function for a in rows[-2:])))),
                start=begin + timedelta(days=start),
                end=None if length is None else begin + timedelta(days=start + length),
                corps=draw(st.sampled_from(("551", "776"))),
                position=draw(st.sampled_from(usual_positions(shape, rows, policy))),
                source=draw(st.sampled_from(("", "", "epp", "assed"))),
            )
        )
    closed = draw(st.none() | st.integers(0, WINDOW))
    locks = [a.locks_until for a in rows if a.locks_until and a.locks_until < date.max]
    latest = max([begin + timedelta(days=closed or 0), *(a.end or a.start for a in rows), *locks])
    return Life(
        assignments=tuple(rows),
        policy=policy,
        closed_on=None if closed is None else begin + timedelta(days=closed),
        first=min([begin, *(a.start for a in rows)]) - timedelta(days=policy.open_before + 2),
        last=latest + timedelta(days=LONGEST_GRACE + LONGEST_RETENTION + 3),
    )


def locks_until(draw: st.DrawFn, begin: date, start: int, length: int | None) -> date | None:
    """The end of the lock that an absence left; seldom there is one."""
    if length is None or draw(st.integers(0, 7)):
        return None
    return draw(st.just(date.max) | st.integers(1, 40).map(lambda n: begin + timedelta(start + length + n)))


Span = tuple[int, int]
"""The first and the last known day of an assignment, counted from the beginning of the window."""

Shape = st.SearchStrategy[tuple[int, int | None]]
"""The start of an assignment and the number of days that it lasts after it; None is an open end."""


def anyhow(before: list[Span], bridge: int) -> Shape:
    edges = [edge for span in before for edge in span]
    return starts(edges, bridge).flatmap(
        lambda start: st.tuples(
            st.just(start),
            st.none() | st.integers(0, 6) | st.integers(0, 60) | lengths_to(edges, start),
        )
    )


def moving(before: list[Span], bridge: int) -> Shape:
    """Short assignments, each near the end of the one before."""
    end = before[-1][1] if before else 0
    gaps = st.sampled_from((1, 1, 2, 0, -2, 4, bridge, bridge + 1))
    return st.tuples(gaps.map(lambda gap: max(0, min(WINDOW, end + gap))), st.integers(0, 7))


def renewing(before: list[Span], bridge: int) -> Shape:
    """Starts on the day after an earlier end, or near that day: renewals among moves."""
    if not before:
        return st.tuples(st.integers(0, 20), st.integers(3, 25))
    start = st.builds(
        lambda end, gap: max(0, min(WINDOW, end + gap)),
        st.sampled_from([end for _, end in before]),
        st.sampled_from((1, 1, 1, 2, 0, -3)),
    )
    return st.tuples(start, st.integers(3, 25) | st.integers(0, 7))


def ending(before: list[Span], bridge: int) -> Shape:
    """Starts on or near the last start, so that two retirements fall on one day."""
    if not before:
        return anyhow(before, bridge)
    near = st.sampled_from((0, 0, 0, 1, 3, 8)).map(lambda gap: min(WINDOW, before[-1][0] + gap))
    return st.tuples(near, st.none() | st.integers(0, 12))


def usual_uais(shape: object, rows: list[Assignment]) -> tuple[str, ...]:
    if shape is moving and rows:
        return (*(uai for uai in UAIS if uai != rows[-1].uai), *UAIS)
    if shape is renewing:
        return UAIS[:2]
    return (*UAIS, *(a.uai for a in rows[-2:]))


def usual_positions(shape: object, rows: list[Assignment], policy: Policy) -> tuple[str, ...]:
    if shape in (moving, renewing):
        return ("", "", "", "", "", "", *policy.positions)
    if shape is ending and rows:
        return ("", "retraite", "deces", *policy.positions)
    return ("", "", "", *policy.positions)


def starts(edges: list[int], bridge: int) -> st.SearchStrategy[int]:
    """A day of the window: anywhere, near an edge, or where a bridge just reaches or just fails."""
    anywhere = st.integers(0, WINDOW)
    if not edges:
        return st.integers(0, 40)
    near = st.builds(
        lambda edge, gap: max(0, min(WINDOW, edge + gap)),
        st.sampled_from(edges),
        st.sampled_from((1, 0, 2, 1, -1, 3, bridge, bridge + 1, -4)),
    )
    return near | near | anywhere


def lengths_to(edges: list[int], start: int) -> st.SearchStrategy[int]:
    """A length that ends on an edge, or one day before or after it."""
    reachable = [edge - start + beside for edge in edges for beside in (-1, 0, 1) if edge + beside >= start]
    return st.sampled_from(reachable) if reachable else st.integers(0, 20)
