"""A timeline shows for every day what the rules say, and gives each right one cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from piactl.core.model.account import Account, Lock, ServiceException
from piactl.core.model.overrides import Override, OverrideKind, overridden
from piactl.core.model.periods import OPEN
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Position, Profile, Service, When
from piactl.core.rules.career import career_of
from piactl.core.timeline_rows import Row, RowGroup, Shade, timeline_rows
from tests.examples import examples

from .strategies import REGISTER, Life, lives
from .test_oracle_rules import ORDINARY

HAD = {Shade.HELD, Shade.KEPT, Shade.HANDOVER, Shade.IN_GRACE, Shade.GRANTED}
ALWAYS = (1, OPEN)


def account(assignments: tuple[Assignment, ...], **values: object) -> Account:
    return replace(
        Account(uid="a.b", matricule="1", matricule_digests=("x",), assignments=assignments), **values
    )  # type: ignore[arg-type]


def shades_on(row: Row, day: date) -> list[Shade]:
    number = day.toordinal()
    return [span.shade for span in row.spans if span.first <= number <= span.last]


def check(life: Life, *exceptions: ServiceException) -> None:
    career = career_of(
        life.assignments, life.policy, REGISTER, exceptions=exceptions, closed_on=life.closed_on or life.first
    )
    rows = timeline_rows(account(life.assignments, exceptions=exceptions), [(ALWAYS, career)], life.policy)
    services = {
        tuple((row.label + " ").split(" ")[:2]): row for row in rows if row.group is RowGroup.SERVICES
    }
    states = {row.label: row for row in rows if row.group is RowGroup.STATES}
    login = [row for row in rows if row.group is RowGroup.LOGIN]
    locks = [row for row in rows if row.group is RowGroup.LOCKS]
    day = life.first
    begun = False
    while day <= life.last:
        had = {right for right, row in services.items() if HAD & set(shades_on(row, day))}
        assert had == career.rights_on(day), day
        for right, row in services.items():
            assert len(shades_on(row, day)) <= 1, (right, day)
        state_names = [name for name, row in states.items() if shades_on(row, day)]
        begun = begun or bool(state_names)
        assert state_names == ([career.state_on(day).value] if begun else []), day
        assert any(shades_on(row, day) for row in login) == career.login_on(day), day
        assert any(shades_on(row, day) for row in locks) == career.locked_on(day), day
        day += timedelta(days=1)
    for row in rows:
        assert all(span.first <= span.last for span in row.spans)
        assert row.spans, row


@settings(ORDINARY, max_examples=examples(60))
@given(lives())
def test_the_timeline_agrees_with_the_rules_on_every_day(life: Life) -> None:
    check(life)


@settings(ORDINARY, max_examples=examples(40))
@given(lives(), st.data())
def test_the_timeline_with_an_exception_agrees_with_the_rules(life: Life, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(life.policy.services)) | st.just("gone")
    uais = st.sampled_from(("", "0800009A"))
    start = life.first + timedelta(days=data.draw(st.integers(0, 90)))
    exception = ServiceException(
        data.draw(st.booleans()),
        data.draw(names),
        data.draw(uais),
        start,
        start + timedelta(days=20),
        "d",
        "r",
    )
    check(life, exception)


POLICY = Policy(
    profiles=(Profile("tous", When()),),
    positions={
        "default": Position("default"),
        "conge": Position("conge", keeps=frozenset({"mail"})),
        "retraite": Position("retraite", ends=True),
        "suspension": Position("suspension", keeps=frozenset(), lock=True),
    },
    services={
        "mail": Service("mail", "Courrier", in_grace=True),
        "iprof": Service("iprof", "I-Prof", mutation_delay=2),
        "siecle": Service("siecle", "SIECLE", per_establishment=True, mutation_delay=3, handover=10),
    },
)
A, B = "0800009A", "0800010B"
MOVE = (
    Assignment(A, "ENS", date(2026, 9, 1), date(2026, 12, 31)),
    Assignment(B, "ENS", date(2027, 1, 1), date(2027, 6, 30)),
)


def rows_of(drawn_account: Account, *, until: date | None = None) -> dict[tuple[str, str], Row]:
    """The rows by group and label; `until` is the last day of the overrides."""
    days = date(2026, 10, 1)
    now = career_of(
        overridden(drawn_account.assignments, drawn_account.overrides, days),
        POLICY,
        {},
        exceptions=drawn_account.exceptions,
    )
    pieces = [(ALWAYS, now)]
    if until is not None:
        edge = until.toordinal()
        later = career_of(drawn_account.assignments, POLICY, {}, exceptions=drawn_account.exceptions)
        pieces = [((1, edge), now), ((edge + 1, OPEN), later)]
    return {(row.group.value, row.label): row for row in timeline_rows(drawn_account, pieces, POLICY)}


def spans(row: Row) -> list[tuple[str, str, str]]:
    return [
        (date.fromordinal(s.first).isoformat(), date.fromordinal(s.last).isoformat(), s.shade.value)
        for s in row.spans
    ]


def test_a_mutation_shows_rights_held_kept_handed_over_and_waiting() -> None:
    rows = rows_of(account(MOVE))
    assert spans(rows["services", "iprof"]) == [
        ("2026-09-01", "2026-12-31", "held"),
        ("2027-01-01", "2027-01-02", "kept"),
        ("2027-01-03", "2027-06-30", "held"),
    ]
    assert spans(rows["services", f"siecle {A}"]) == [
        ("2026-09-01", "2026-12-31", "held"),
        ("2027-01-01", "2027-01-10", "handover"),
    ]
    assert spans(rows["services", f"siecle {B}"]) == [
        ("2027-01-01", "2027-01-03", "waiting"),
        ("2027-01-04", "2027-06-30", "held"),
    ]


def test_leave_retirement_and_a_lock_by_position_are_shown() -> None:
    posts = (
        Assignment(A, "ENS", date(2026, 9, 1), None),
        Assignment(A, "ENS", date(2026, 11, 1), date(2026, 11, 30), position="conge"),
        Assignment(A, "ENS", date(2027, 2, 1), date(2027, 2, 10), position="suspension"),
        Assignment(A, "ENS", date(2027, 5, 1), None, position="retraite"),
    )
    shades = [
        [shade for _, _, shade in told_open(row)]
        for row in timeline_rows(account(posts), [(ALWAYS, career_of(posts, POLICY, {}))], POLICY)
        if row.group is RowGroup.ASSIGNMENTS
    ]
    assert shades == [
        ["counts", "not counted", "counts", "not counted", "counts", "not counted"],
        ["leave"],
        ["leave"],
        ["ends all"],
    ]
    assert spans(rows_of(account(posts))["locks", "by position"]) == [("2027-02-01", "2027-02-10", "locked")]


def told_open(row: Row) -> list[tuple[int, int, str]]:
    return [(span.first, span.last, span.shade.value) for span in row.spans]


def test_a_lock_a_denial_and_an_override_by_hand_are_shown() -> None:
    lock = Lock(date(2026, 10, 5), date(2026, 10, 9), "dupond", "telephone lost")
    deny = ServiceException(False, "iprof", "", date(2026, 10, 20), date(2026, 10, 31), "dupond", "x")
    override = Override(
        OverrideKind.END, date(2026, 11, 30), date(2026, 9, 20), "martin", "left",
        uai=A, function="ENS", start=date(2026, 9, 1), day=date(2026, 10, 31),
    )  # fmt: skip
    drawn_account = account(MOVE[:1], lock=lock, exceptions=(deny,), overrides=(override,))
    rows = rows_of(drawn_account, until=override.until)
    assert spans(rows["locks", "by hand"]) == [("2026-10-05", "2026-10-09", "locked")]
    assert rows["locks", "by hand"].note == "dupond: telephone lost"
    assert ("2026-10-10", "2026-10-31", "log in") in spans(rows["login", "log in"])
    assert spans(rows["services", "iprof"]) == [
        ("2026-09-01", "2026-10-19", "held"),
        ("2026-10-20", "2026-10-31", "denied"),
        ("2026-12-01", "2026-12-31", "held"),
    ]
    assert spans(rows["assignments", f"ENS {A}"]) == [
        ("2026-09-01", "2026-10-31", "counts"),
        ("2026-11-01", "2026-11-30", "not counted"),
        ("2026-12-01", "2026-12-31", "counts"),
    ]
    assert spans(rows["exceptions", "deny iprof"]) == [("2026-10-20", "2026-10-31", "denial")]
    assert spans(rows["overrides", f"end {A}"]) == [("2026-09-20", "2026-11-30", "by hand")]
