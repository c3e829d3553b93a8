"""A night leaves out accounts of which nothing has changed, and plans as if it had evaluated everybody."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import ldap3
import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.directory.open import open_reader
from piactl.host.secret_files import identity_password
from piactl.night import run_night as nightly
from piactl.planning import collect_evaluations as planning
from piactl.planning import night_db
from piactl.planning.build_plan import build_plan
from piactl.planning.load_feeds import scan_feeds
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import FILE, NightDb
from piactl.sandbox.folder import identity_dn
from tests.cli.streams import shared_forks
from tests.planning import managed_accounts, run_state

from .academy import Academy
from .both_ways import both, known, one_by_one, same
from .feeds import MARESCHAL, MICHELIS, crowd, row
from .test_random_hr import FIRST, HumanResources

DAY = "2026-09-05"
NEXT = "2026-09-06"
POST_READ, NOTHING = b"1.3.6.1.1.13.2", b"1.3.6.1.1.13.9"
SEARCHED, MODIFIED = 0x64, 0x67
"""The tags of a search result entry and of the answer to a modify."""
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", numen="20E9512345XYZ")


def passed(academy: Academy, feed: Path, day: str) -> set[str]:
    """The people whose accounts would not be evaluated, by matricule."""
    configuration = open_configuration(academy.sandbox.config)
    settings, as_of = configuration.settings, date.fromisoformat(day)
    night = NightDb(Path(settings.state_folder), configuration.keys)
    scans = scan_feeds([str(feed)], settings.sources, night.rows, (), print)
    with open_reader(settings.directory, "reader", identity_password) as reader:
        state = run_state(reader, configuration, as_of)
        accounts, rules = managed_accounts(reader, configuration), configuration.rules(as_of)
        build_plan(accounts, rules, settings, scans, state, night, Accepted(date=True))
    return {key for (key,) in night.db.execute("SELECT key FROM account EXCEPT SELECT key FROM wanted")}


def night(academy: Academy, day: str, *rows: str) -> Path:
    feed = academy.feed(*rows, day=day)
    academy.night(day, feed)
    return feed


@pytest.fixture
def settled(academy: Academy) -> Academy:
    """An academy of Claire and Ida, of whom a night knows everything."""
    night(academy, DAY, row(), IDA)
    return academy


def uids(plan: Any) -> set[str]:
    return {change["uid"] for change in plan["changes"]}


def test_only_people_of_whom_something_is_new_are_evaluated(academy: Academy) -> None:
    """Léo is due: his post ends. A newcomer is compared with the accounts that are skipped, too."""
    leo = row(matricule="1998", prenom="Léo", nom_famille="Kern", fin=DAY)
    night(academy, DAY, row(), IDA, leo)
    again = academy.feed(leo, IDA, row(), day=NEXT)
    assert passed(academy, again, NEXT) == {"1001", "1999"}
    assert uids(same(academy, NEXT, again)) == {"leo.kern"}
    moved = academy.feed(row(uai=MICHELIS), IDA, leo, day=NEXT)
    assert passed(academy, moved, NEXT) == {"1999"}
    assert uids(same(academy, NEXT, moved)) == {"claire.dubreuil", "leo.kern"}
    thief = row(matricule="7777", prenom="Zoé", nom_famille="Kern", numen="20E9512345XYZ")
    plan = same(academy, NEXT, academy.feed(row(), IDA, leo, thief, day=NEXT))
    assert {hold["matricule"] for hold in plan["holds"]} == {"7777"}
    plan = same(academy, NEXT, academy.feed(row(), IDA, leo, row(matricule="7777"), day=NEXT))
    assert uids(plan) == {"leo.kern", "claire.dubreuil1"}
    # nobody gets an earlier name of a skipped account
    night(academy, NEXT, row(nom_usage="Aubry"), IDA, leo)
    feed = academy.feed(row(nom_usage="Aubry"), IDA, leo, row(matricule="7777"), day="2026-09-07")
    assert passed(academy, feed, "2026-09-07") == {"1001", "1998", "1999"}
    assert uids(same(academy, "2026-09-07", feed)) == {"claire.dubreuil1"}
    with academy.sandbox.root() as root:
        root.delete(academy.dn("ida.roy"))
    feed = academy.feed(row(nom_usage="Aubry"), IDA, leo, day="2026-09-07")
    plan = same(academy, "2026-09-07", feed)
    assert (plan["changes"], [drift["drift_class"] for drift in plan["drift"]]) == ([], ["vanished"])


def test_an_account_that_counts_at_another_school_now_is_evaluated(academy: Academy) -> None:
    """Claire has retired, so the end of her other post does not change her account, but she now counts at
    another establishment."""
    retired = row(debut="2026-09-03", position="retraite")
    rows = (retired, row(uai=MARESCHAL, debut="2025-09-01", fin=DAY), IDA)
    night(academy, "2026-09-01", *rows)
    night(academy, DAY, *rows)
    assert academy.values("claire.dubreuil", "piactlState") == ["grace"]
    feed = academy.feed(*rows, day=NEXT)
    assert passed(academy, feed, NEXT) == {"1999"}
    assert same(academy, NEXT, feed)["changes"] == []


def test_nothing_is_known_when_what_it_rests_on_changes(settled: Academy) -> None:
    feed = settled.feed(row(), IDA, day=NEXT)
    folder = settled.sandbox.folder
    known_file = known(settled)
    content = known_file.read_bytes()
    for file, changed in (
        (folder / "policy.yaml", lambda old: old.replace(b"open_before: 15", b"open_before: 16")),
        (folder / "establishments.csv", lambda old: old + b"\n"),
        (
            folder / "piactl.yaml",
            lambda old: old.replace(b"any_date: true", b"any_date: true\nkeep_undo_days: 80"),
        ),
        (known_file, lambda old: old[:-1] + bytes([old[-1] ^ 1])),
    ):
        assert passed(settled, feed, NEXT) == {"1001", "1999"}
        before = file.read_bytes()
        file.write_bytes(changed(before))
        assert file.read_bytes() != before
        assert passed(settled, feed, NEXT) == set(), file
        file.write_bytes(before)
        known_file.write_bytes(content)
    assert passed(settled, feed, "2026-09-04") == set(), "an earlier day"
    settled.edit("policy.yaml", "open_before: 15", "open_before: 16")
    assert same(settled, NEXT, feed)["changes"] == []


def test_guards_and_limits_count_skipped_accounts(academy: Academy) -> None:
    many = crowd(60)
    night(academy, DAY, *many)
    feed = academy.feed(*many[:58], day=NEXT)
    assert len(passed(academy, feed, NEXT)) == 58
    same(academy, NEXT, feed)
    few = academy.feed(*many[:40], day=NEXT)
    refused, _ = both(academy, NEXT, few)
    assert refused["status"] == "refused"
    assert "only 40 of the 60" in academy.run("plan", few, "--as-of", NEXT).err
    broken = [many[n].replace(";ENS;", ";???;") for n in range(30)]
    both(academy, NEXT, academy.feed(*broken, *many[30:], day=NEXT))
    closed = [line.replace("2026-09-01;", f"2026-09-01;{DAY}") for line in many[:20]]
    same(academy, NEXT, academy.feed(*closed, *many[20:], day=NEXT))


def test_an_absence_that_did_not_count_may_count_the_next_night(settled: Academy) -> None:
    nobody = row(matricule="")
    settled.night(NEXT, settled.feed(IDA, nobody, day=NEXT))
    settled.night("2026-09-07", settled.feed(IDA, nobody, day="2026-09-07"))
    feed = settled.feed(IDA, day="2026-09-08")
    (absent,) = same(settled, "2026-09-08", feed)["absents"]
    assert absent["uid"] == "claire.dubreuil"


def test_an_absent_post_that_did_not_count_may_count_the_next_night(academy: Academy) -> None:
    """The person is in the feed with the same lines as on a night when an absence meant nothing."""
    night(academy, DAY, row(), row(uai=MARESCHAL, debut="2025-09-01"), IDA)
    academy.night(NEXT, academy.feed(row(), IDA, row(matricule=""), day=NEXT))
    feed = academy.feed(row(), IDA, day="2026-09-07")
    assert passed(academy, feed, "2026-09-07") == {"1999"}
    (absent,) = same(academy, "2026-09-07", feed)["absents"]
    assert (absent["uid"], absent["uai"]) == ("claire.dubreuil", MARESCHAL)


def test_plans_are_the_same_after_a_night_on_another_host(settled: Academy) -> None:
    """The other host does not know what this one does, and sees what this one does not."""
    saved = known(settled).read_bytes()
    night(settled, NEXT, IDA)
    night(settled, "2026-09-07", row(uai=MARESCHAL), row(fin="2026-09-06"), IDA)
    known(settled).write_bytes(saved)
    for rows in ((row(), IDA), (IDA,), (row(uai=MARESCHAL), row(fin="2026-09-06"), IDA)):
        same(settled, "2026-09-08", settled.feed(*rows, day="2026-09-08"))


@pytest.mark.parametrize("between", ["no feed", "a delta", "a plan applied", "an edit", "another host"])
def test_what_is_known_survives_a_run_in_between(academy: Academy, between: str) -> None:
    """The run in between changes Claire; the night after, nobody else has to be evaluated."""
    academy.sources(hr="kind: full", moves="kind: delta")
    leo = row(matricule="1998", prenom="Léo", nom_famille="Kern")
    claire = row(fin=DAY) if between == "no feed" else row()
    night(academy, DAY, claire, IDA, leo)
    cache = known(academy).read_bytes()
    changed = row(civilite="MME")
    if between == "no feed":
        assert academy.night(NEXT).json["outcomes"] == {"applied": 1}
    elif between == "a delta":
        academy.night(NEXT, academy.feed(changed, day=NEXT, source="moves"))
    elif between == "a plan applied":
        file = academy.folder / "plan.json"
        feed = academy.feed(changed, IDA, leo, day=NEXT)
        assert academy.run("plan", feed, "--as-of", NEXT, "--out", file).code == 0
        assert academy.run("apply", file).code == 0
    elif between == "an edit":
        ran = academy.run("account", "lock", "claire.dubreuil", "--reason", "x", "--yes", "--as-of", NEXT)
        assert ran.code == 0, ran.err
    else:
        known(academy).unlink()
        night(academy, NEXT, changed, IDA, leo)
        assert known(academy).read_bytes() != cache
        known(academy).write_bytes(cache)
    for rows in ((claire, IDA, leo), (changed, IDA, leo), (claire, IDA.replace("Roy", "Rey"), leo)):
        feed = academy.feed(*rows, day="2026-09-07")
        unchanged = {"1999", "1998"} if IDA in rows else {"1998"}
        if between == "no feed" and claire in rows:  # that night has evaluated her
            unchanged |= {"1001"}
        assert passed(academy, feed, "2026-09-07") == unchanged
        same(academy, "2026-09-07", feed)


def test_rows_that_come_again_after_others_were_applied_are_evaluated(settled: Academy) -> None:
    """A plan is applied in which HR ends a post, a night without a feed looks at the account, and HR goes
    back to the rows that the last night had."""
    file = settled.folder / "plan.json"
    ended = settled.feed(row(fin=DAY), IDA, day=NEXT)
    assert settled.run("plan", ended, "--as-of", NEXT, "--out", file).code == 0
    assert settled.run("apply", file).code == 0
    settled.night("2026-09-07")
    feed = settled.feed(row(), IDA, day="2026-09-08")
    assert passed(settled, feed, "2026-09-08") == {"1999"}
    assert {c["uid"] for c in same(settled, "2026-09-08", feed)["changes"]} == {"claire.dubreuil"}


def test_a_newcomer_held_by_a_delta_is_held_the_next_night_too(academy: Academy) -> None:
    """A delta gives a newcomer the NUMEN of an account: they wait, and the account is not skipped."""
    academy.sources(hr="kind: full", moves="kind: delta")
    night(academy, DAY, row(), IDA)
    thief = row(matricule="7777", prenom="Max", nom_famille="Olin", numen="20E9512345XYZ")
    academy.night(NEXT, academy.feed(thief, day=NEXT, source="moves"))
    feed = academy.feed(row(), IDA, day="2026-09-07")
    plan = same(academy, "2026-09-07", feed)
    assert {hold["matricule"] for hold in plan["holds"]} == {"7777"}


def test_plans_are_the_same_after_two_sources_disagreed(academy: Academy) -> None:
    academy.sources(epp="kind: full", agape="kind: full")
    first = academy.feed(row(), IDA, day=DAY, source="epp")
    second = academy.feed(row(uai=MARESCHAL, fonction="DIR"), day=DAY, source="agape")
    academy.night(DAY, first, second)
    other = academy.feed(row(uai=MARESCHAL, fonction="DIR", civilite="MME"), day=NEXT, source="agape")
    one = academy.feed(row(civilite="M."), IDA, day=NEXT, source="epp")
    cache = known(academy).read_bytes()
    academy.night(NEXT, one, other)
    academy.night("2026-09-07", one, other)
    known(academy).write_bytes(cache)
    for feeds in ((first, second), (one, other), (first, other), (one, second)):
        same(academy, "2026-09-08", *feeds)


def grant(academy: Academy, identity: str) -> None:
    """Acts as another program: gives Claire a right that the date will end, and nothing else."""
    with academy.sandbox.connect(identity) as connection:
        changes = {
            "piactlException": [(ldap3.MODIFY_ADD, ["grant$siecle$0800009A$2026-09-01$2026-09-20$x$y"])],
            "piactlNextDue": [(ldap3.MODIFY_REPLACE, ["20260921"])],
        }
        assert connection.modify(academy.dn("claire.dubreuil"), changes), connection.result


def change_is_noticed(
    academy: Academy, monkeypatch: pytest.MonkeyPatch, moment: str, identity: str = "administrator"
) -> None:
    """Checks that, if a night and another program write to Claire at once, the next night evaluates her."""
    if identity == "nightly":
        academy.edit("piactl.yaml", identity_dn("administrator"), identity_dn("nightly"))
    original = getattr(nightly, moment)

    def interrupted(*arguments: Any) -> Any:
        grant(academy, identity)
        return original(*arguments)

    rows = (row(civilite="MME"), IDA)
    with monkeypatch.context() as patched:
        patched.setattr(nightly, moment, interrupted)
        night(academy, NEXT, *rows)
    feed = academy.feed(*rows, day="2026-09-07")
    assert academy.values("claire.dubreuil", "personalTitle") == ["MME"]
    assert passed(academy, feed, "2026-09-07") == {"1999"}
    assert {c["uid"] for c in same(academy, "2026-09-07", feed)["changes"]} == {"claire.dubreuil"}


READ, WRITTEN = "sealed", "_keep_known"
"""The functions that a night calls when it has read the accounts, and when it has written them."""


@pytest.mark.parametrize("moment", [READ, WRITTEN])
@pytest.mark.parametrize("identity", ["administrator", "nightly"])
def test_drift_just_before_or_after_the_write_of_a_night_is_noticed(
    settled: Academy, monkeypatch: pytest.MonkeyPatch, moment: str, identity: str
) -> None:
    """This is so even if the administrator and the nightly bind as the same identity."""
    change_is_noticed(settled, monkeypatch, moment, identity)


@pytest.mark.parametrize("moment", [READ, WRITTEN])
def test_a_guessed_entrycsn_would_miss_drift(
    settled: Academy, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """If the database takes any entryCSN that the entry has, or any that was overwritten, the test above
    fails."""
    take = NightDb.take_as_known

    def taking(self: NightDb) -> None:
        take(self)
        (csn,) = settled.entry("claire.dubreuil")["entryCSN"]
        self.db.execute("UPDATE account SET csn = ? WHERE uid = 'claire.dubreuil'", (csn,))

    if moment == READ:
        made = night_db._MADE.replace("AND c.before = n.csn", "")
        monkeypatch.setattr(night_db, "_MADE", made)
    else:
        monkeypatch.setattr(NightDb, "take_as_known", taking)
    with pytest.raises(AssertionError, match="1001"):
        change_is_noticed(settled, monkeypatch, moment)


@pytest.mark.parametrize("end", ["in part", "killed", "server lost"])
def test_a_run_that_did_not_end_well_leaves_what_was_known_before(
    academy: Academy, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    night(academy, DAY, row(civilite="M."), IDA)
    feed = academy.feed(row(civilite="MME"), IDA, day=NEXT)
    assert passed(academy, feed, NEXT) == {"1999"}
    if end == "in part":
        seal = nightly.sealed

        def other_hand(*arguments: Any) -> Any:
            academy.change("claire.dubreuil", personalTitle=["Dr"])
            return seal(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(nightly, "sealed", other_hand)
            academy.night(NEXT, feed, code=5)
    else:
        statement = "os._exit(9)" if end == "killed" else "raise DirectoryUnreachable('the server is gone')"
        words = ("nightly", str(feed), "--as-of", NEXT)
        config, program = academy.sandbox.config, DYING.format(statement)
        code, _, messages = shared_forks().ended(words, config, academy.folder, program=program)
        assert code == (9 if end == "killed" else 8), messages
    assert passed(academy, feed, NEXT) == {"1999"}
    assert passed(academy, feed, "2026-09-07") == {"1999"}
    same(academy, "2026-09-07", feed)
    academy.night("2026-09-07", feed)
    if end == "in part":  # an account that another program changed is evaluated again
        assert passed(academy, feed, "2026-09-08") == {"1999"}
        academy.quiet_night("2026-09-08", feed)
    assert passed(academy, feed, "2026-09-09") == {"1001", "1999"}


DYING = """
import os
from piactl.cli.main import main
from piactl.errors import DirectoryUnreachable
from piactl.runs import apply_plan as applying

def end(*arguments):
    {}

applying.keep_undo = end  # just before the first account is written
main()
"""


NUMEN, MAIL = "20E9512345XYZ", "ida.roy@example.org"
OF_IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", numen=NUMEN, courriel_prive=MAIL)


def nameless_files() -> bytes:
    """The content of the files without a name that this process has open."""
    content = b""
    for link in Path("/proc/self/fd").iterdir():
        try:
            if link.readlink().name.startswith(".night."):
                content += link.read_bytes()
        except OSError:  # closed meanwhile
            continue
    return content


def test_no_numen_reaches_the_disk(academy: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the file of the database nor those that two nights make meanwhile."""
    found = []
    plan = planning.Planning.plan

    def planned(self: planning.Planning, *arguments: Any) -> Any:
        ready = plan(self, *arguments)
        self.table._db.commit()
        self.night.db.commit()  # type: ignore[union-attr]
        found.append(nameless_files())
        return ready

    monkeypatch.setattr(planning.Planning, "plan", planned)
    night(academy, DAY, row(), OF_IDA)
    night(academy, NEXT, row(), OF_IDA.replace("Roy", "Rey"))
    file = known(academy)
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(b"ida.roy" in content for content in found)
    for content in (file.read_bytes(), *found):
        assert NUMEN.encode() not in content
        assert NUMEN[3:].encode() not in content
    for text in (MAIL, "Rey"):
        assert text.encode() not in file.read_bytes()


def test_files_of_older_versions_and_of_killed_runs_are_removed(academy: Academy) -> None:
    folder = known(academy).parent
    (folder / "lines").mkdir(parents=True)
    left = [folder / name for name in ("settled", "lines/hr", f".{FILE}.0011223344556677")]
    for file in left:
        file.write_bytes(b"x")
    night(academy, DAY, row(), IDA)
    assert not [file for file in left if file.exists()]
    assert known(academy).exists()


def random_nights(make_academy: Callable[..., Academy], seed: int, nights: int) -> None:
    """Runs random nights, each planned with and without what earlier ones know."""
    academy = make_academy()
    random = Random(seed)
    hr = HumanResources(random)
    for _ in range(14):
        hr.arrive(FIRST)
    day = FIRST
    settled = 0
    for _ in range(nights):
        for _ in range(random.randint(0, 3)):
            hr.change(random.choice(hr.agents), day)
        if random.random() < 0.3:
            hr.arrive(day)
        feed = academy.feed(*hr.feed(), day=day.isoformat())
        if known(academy).exists():
            settled += len(passed(academy, feed, day.isoformat()))
        fast, slow = both(academy, day.isoformat(), feed)
        assert fast == slow, f"seed {seed}, {day}"
        if random.random() < 0.2 and academy.accounts():
            uid = random.choice(sorted(academy.names().values()))
            academy.change(uid, displayName=["Autre Main"])
        if random.random() < 0.2:
            known(academy).unlink(missing_ok=True)
        cache = known(academy).read_bytes() if known(academy).exists() else None
        with one_by_one() if random.random() < 0.5 else nullcontext():
            academy.night(day.isoformat(), *([feed] if random.random() < 0.8 else []))
        if cache is not None and random.random() < 0.3:  # that night was run by another host
            known(academy).write_bytes(cache)
        day = date.fromordinal(day.toordinal() + random.choice((1, 1, 1, 2, 5, 20)))
    assert settled > 2 * nights, f"seed {seed}: hardly anybody was ever settled"


@pytest.mark.parametrize("seed", [5, pytest.param(8, marks=pytest.mark.long)])
def test_random_nights_plan_the_same_with_and_without_the_database(
    make_academy: Callable[..., Academy], seed: int
) -> None:
    random_nights(make_academy, seed, 8)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40, 60))
def test_many_random_nights_plan_the_same_with_and_without_the_database(
    make_academy: Callable[..., Academy], seed: int
) -> None:
    random_nights(make_academy, seed, 40)
