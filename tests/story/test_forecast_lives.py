"""Random lives in a directory in memory. The forecast jumps from one due day to the next and looks only at
what is due; it finds the same as looking at everybody on every day."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.core.model.account import Account, Lock, ServiceException
from piactl.core.model.overrides import Override, OverrideKind
from piactl.core.model.person import Person
from piactl.core.naming.local_part_and_capitalisation import TakenNames
from piactl.core.plan.change import Change
from piactl.core.plan.run_state import LastRun, waiting_for
from piactl.core.rules.address_allocation import named
from piactl.core.rules.desired import Desired, Subject, desired_account
from piactl.directory.port import EntryWrite
from piactl.directory.store.accounts import account_write
from piactl.directory.store.records import DATA, Places, record_write
from piactl.directory.store.typed_records import to_json
from piactl.directory.written_over import WrittenOver
from piactl.flows.forecast import Forecast
from tests.planning import EmptyDirectory, managed_accounts, plan_at_once
from tests.story.test_timelines import FIRST, collected

TOP = Path(__file__).resolve().parents[2]
DatedChanges = list[tuple[date, Change]]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    for name in ("piactl.yaml", "policy.yaml", "establishments.csv"):
        shutil.copy(TOP / "examples" / name, tmp_path)
    keys = tmp_path / "secrets" / "keys"
    keys.parent.mkdir(mode=0o700, parents=True)
    keys.write_text("k1 " + "ab" * 32 + "\n")
    keys.chmod(0o600)
    return open_configuration(tmp_path / "piactl.yaml")


def by_hand(account: Account, number: int) -> Account:
    """The account; some get a lock, an exception or a change by hand that ends by itself."""
    day = FIRST + timedelta(days=1 + number % 40)
    end = day + timedelta(days=5 + number % 23)
    if number % 4 == 0:
        account = replace(account, lock=Lock(day, end, "dupond", "a trial"))
    if number % 5 == 0:
        exception = ServiceException(number % 2 == 0, "iprof", "", day, end, "dupond", "a trial")
        account = replace(account, exceptions=(exception,))
    if number % 3 == 0:
        post = account.assignments[0]
        override = Override(
            OverrideKind.END, end, FIRST, "dupond", "a trial",
            uai=post.uai, function=post.function, start=post.start, day=max(day, post.start),
        )  # fmt: skip
        account = replace(account, overrides=(override,))
    return account


def settled(desired: Desired, account: Account, configuration: Configuration) -> Account:
    """The account after a night has looked at it."""
    subject = replace(desired.subject, current=account)
    after = desired_account(subject, configuration.rules(FIRST))
    assert after is not None
    return after.account


def peopled(configuration: Configuration, number: int, *, otp: bool = True) -> WrittenOver:
    """A directory in memory on the evening of FIRST: accounts, and people who will get one later."""
    rules, places = configuration.rules(FIRST), Places(configuration.settings.directory.state)
    directory = WrittenOver(EmptyDirectory(otp=otp))
    writes: list[EntryWrite | None] = []
    made: list[Desired] = []
    for index, life in enumerate(collected(number)):
        away = timedelta(days=40 if index % 6 == 5 else 0)
        posts = tuple(replace(a, start=a.start + away, end=a.end and a.end + away) for a in life)
        # pairs of homonyms
        person = Person(str(7000 + index), "Vie" + chr(97 + index // 2 % 26) + chr(97 + index // 52), "Alix")
        desired = desired_account(Subject(person.matricule, None, person, posts), rules)
        if desired is not None:
            made.append(desired)
            continue
        waiting = waiting_for(person, None, (None, None), posts, configuration.policy, FIRST)
        if waiting is not None:
            dn = places.waiting(configuration.keys.digest("matricule", person.matricule))
            writes.append(record_write(dn, None, to_json(waiting), waiting.due))
    for index, desired in enumerate(
        named(made, TakenNames((), configuration.policy.first_homonym_digit), configuration.policy)
    ):
        account = settled(desired, by_hand(desired.account, index), configuration)
        writes.append(
            account_write(
                configuration.settings.directory, configuration.encoding.fitted_to(directory), None, account
            )
        )
    digests = configuration.policy.digest, configuration.register_digest
    last = LastRun("first", FIRST, *digests, "", True, otp_schema=otp)
    writes.append(record_write(places.last_run, None, to_json(last)))
    directory.apply(write for write in writes if write is not None)
    return directory


def one_by_one(
    directory: WrittenOver, configuration: Configuration, until: date, *, everybody: bool
) -> DatedChanges:
    """Every night after FIRST, one after the other; with `everybody` each night looks at everybody."""
    dated_changes: DatedChanges = []
    dn = Places(configuration.settings.directory.state).last_run
    day = FIRST
    while day < until:
        day += timedelta(days=1)
        if everybody:
            directory.apply([EntryWrite("delete", dn)])
        ready = plan_at_once(directory, configuration, [], day)
        dated_changes += [(day, change) for change in ready.plan.changes]
        directory.apply(ready.writes)
        directory.apply(ready.records)
        entry = directory.read(dn, [DATA])
        assert ready.last is not None
        record = to_json(ready.last)
        write = record_write(dn, entry.first(DATA) if entry else None, record)
        directory.apply([write] if write else [])
    return dated_changes


def forecast(directory: WrittenOver, configuration: Configuration, first: date, until: date) -> Forecast:
    accounts = managed_accounts(directory, configuration)
    return Forecast(
        accounts, configuration.rules, configuration.settings, configuration.unreadable, first, until
    )


def compare(
    configuration: Configuration, number: int, days: int, *, everybody: bool, otp: bool = True
) -> DatedChanges:
    until = FIRST + timedelta(days=days)
    nights = forecast(
        peopled(configuration, number, otp=otp), configuration, FIRST + timedelta(days=1), until
    ).nights()
    dated_changes = [(night.day, change) for night in nights for change in night.plan.changes]
    assert dated_changes == one_by_one(
        peopled(configuration, number, otp=otp), configuration, until, everybody=everybody
    )
    return dated_changes


@pytest.mark.parametrize("otp", [True, False])
def test_the_forecast_of_random_lives_equals_full_nights(configuration: Configuration, otp: bool) -> None:
    dated_changes = compare(configuration, 25, 150, everybody=True, otp=otp)
    assert len(dated_changes) > 150
    assert {change.kind.value for _, change in dated_changes} >= {
        "create", "update", "grant", "revoke", "suspend", "reopen", "deactivate", "archive", "lock", "unlock",
    }  # fmt: skip


def test_the_forecast_of_random_lives_equals_nights_without_feeds(configuration: Configuration) -> None:
    """The same comparison with nights on every day that look only at what is due."""
    assert compare(configuration, 20, 60, everybody=False)


@pytest.mark.long
@pytest.mark.parametrize("everybody", [True, False])
def test_the_forecast_of_many_random_lives_equals_the_nights(
    configuration: Configuration, everybody: bool
) -> None:
    assert len(compare(configuration, 150, 330, everybody=everybody)) > 1500


def test_the_forecast_writes_nothing(configuration: Configuration) -> None:
    directory = peopled(configuration, 12)
    before = {
        entry.dn: entry
        for entry in directory.search(configuration.settings.directory.suffix, "(objectClass=*)", ["*"])
    }
    assert list(forecast(directory, configuration, FIRST, FIRST + timedelta(days=90)).nights())
    after = {
        entry.dn: entry
        for entry in directory.search(configuration.settings.directory.suffix, "(objectClass=*)", ["*"])
    }
    assert before == after


def test_the_comparison_can_fail(configuration: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jump over days on which something is due must be noticed."""
    usual = Forecast._next

    def too_far(self: Forecast, day: date) -> date | None:
        next_day = usual(self, day)
        return next_day and max(next_day, day + timedelta(days=3))

    monkeypatch.setattr(Forecast, "_next", too_far)
    with pytest.raises(AssertionError):
        compare(configuration, 12, 60, everybody=False)
