"""Mistyped passwords must not disturb a run, and a wrong clock must stop it."""

from __future__ import annotations

from datetime import date, timedelta

import ldap3

from tests.outside import ACCOUNTS, STATE

from .survival import check_directory, check_journal, check_nothing_left_to_do
from .world import NEXT, World

PASSWORD = "Une longue phrase de passe 2026"


def test_mistyped_passwords_between_plan_and_apply_are_no_conflict(world: World) -> None:
    """A failed bind changes entryCSN and modifiersName, but nothing that piactl manages."""
    people = sorted(dn for dn in world.changed & world.before.accounts.keys() if dn.endswith(ACCOUNTS))[:6]
    with world.root() as connection:
        for name in people:
            connection.modify(name, {"userPassword": [(ldap3.MODIFY_REPLACE, [PASSWORD])]})
    plan = world.folder / "plan.json"
    made = world.run(world.command("plan", "--as-of", str(NEXT), *world.feeds, "--out", str(plan)))
    assert made.code == 0, made.said
    before = dict(world.stamps(ACCOUNTS))
    for name in people:
        assert not accepts(world, name, "pas celle-là")
    after = dict(world.stamps(ACCOUNTS))
    assert {name for name in after if after[name] != before[name]} == set(people), "no bind failed"
    applied = world.run(world.command("apply", str(plan)))
    assert applied.code == 0, applied.said
    assert f"{len(world.changed)} applied" in applied.out
    assert "conflict" not in applied.out + applied.said
    entries = world.snapshot().entries
    for name, entry in world.reference.entries.items():
        assert {n: v for n, v in entries[name].items() if n in entry} == entry
    check_journal(world)
    logins = [name for name in people if accepts(world, name, PASSWORD)]
    assert logins, "nobody's own password works any more"


def accepts(world: World, name: str, password: str) -> bool:
    server = ldap3.Server(world.uri, get_info=ldap3.NONE)
    connection = ldap3.Connection(server, name, password, check_names=False, receive_timeout=30)
    try:
        return bool(connection.bind())
    finally:
        connection.unbind()


def test_a_night_with_a_day_before_that_of_the_last_one_is_refused(world: World) -> None:
    night = world.run(world.night())
    assert night.code == 0, night.said
    before = world.stamps(ACCOUNTS)
    yesterday = NEXT - timedelta(days=1)
    refused = world.run(world.command("nightly", "--as-of", str(yesterday), *world.feeds))
    assert refused.code == 4, (refused.code, refused.said)
    assert f"{yesterday}, is before that of the last one, {NEXT}" in refused.said
    assert "check the clock" in refused.said
    assert world.stamps(ACCOUNTS) == before
    assert world.lock() is None
    check_directory(world)
    check_nothing_left_to_do(world)


def test_a_clock_far_ahead_is_refused_unless_as_of_confirms_the_day(world: World) -> None:
    def on(day: date) -> str:
        return (
            "import piactl.clock as clock\n"
            "from datetime import date, datetime, timedelta, UTC\n"
            f"clock.civil_today = lambda zone: date({day.year}, {day.month}, {day.day})\n"
        )

    first = world.run(world.night())
    assert first.code == 0, first.said
    before = world.stamps(ACCOUNTS)
    wrong = NEXT + timedelta(days=93)
    refused = world.run(world.command("nightly", prelude=on(wrong)))
    assert refused.code == 4, (refused.code, refused.said)
    assert "is 93 days after the last one" in refused.said
    assert f"if the clock is right, confirm it with --as-of {wrong}" in refused.said
    assert world.stamps(ACCOUNTS) == before
    assert world.lock() is None
    confirmed = world.run(world.command("nightly", "--as-of", str(wrong), prelude=on(wrong)))
    # 5: on that day the cases are undecided for too long
    assert confirmed.code in (0, 4, 5), confirmed.said
    assert "if the clock is right" not in confirmed.said


def test_as_of_another_day_is_refused_where_trials_are_not_allowed(world: World) -> None:
    config = world.configure("real.yaml", any_date=False)
    before = world.stamps()
    refused = world.run(world.night(config=config))
    assert refused.code == 4, (refused.code, refused.said)
    assert "is for trials" in refused.said
    # only the record of the refused run itself
    written = {dn.partition(",")[2] for dn, _ in world.stamps() ^ before}
    assert written == {f"ou=runs,{STATE}"}
