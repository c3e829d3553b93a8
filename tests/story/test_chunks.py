"""Evaluating people in chunks makes the same plan as evaluating everybody together."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ldap3
import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.core.model.account import Account
from piactl.core.model.person import Person
from piactl.directory.open import open_reader
from piactl.directory.store.attribute_map import OBJECT_CLASSES
from piactl.flows.plan import chunks
from piactl.flows.plan import staged as staging
from piactl.flows.plan.chunk_evaluation import ChunkEvaluation
from piactl.flows.plan.incremental import SkipSet
from piactl.flows.plan.inputs.linked_matricules import LinkedMatricules
from piactl.flows.plan.inputs.load_feeds import scan_feeds
from piactl.secret_files import identity_password
from tests.planning import managed_accounts

from .academy import Academy
from .feeds import MICHELIS, crowd, row
from .test_sync_cache import marks, night, passed, same, sifted, skipped

DAY = "2026-09-05"
NEXT = "2026-09-06"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", numen="20E9512345XYZ")
PEOPLE = tuple(crowd(8))


def gone_over(academy: Academy, feed: Path, day: str, tick: Callable[[], object] = lambda: None) -> SkipSet:
    """The skip set after the chunks."""
    configuration = open_configuration(academy.sandbox.config)
    scans = scan_feeds([str(feed)], configuration.settings.sources, configuration.keys)
    with sifted(), open_reader(configuration.settings.directory, "reader", identity_password) as reader:
        skip, cache, memory = skipped(reader, configuration, scans, day)
        as_of = date.fromisoformat(day)
        accounts, rules = managed_accounts(reader, configuration), configuration.rules(as_of)
        folder = Path(configuration.settings.state_folder)
        sources, linked = configuration.settings.sources, LinkedMatricules()
        made = chunks.Chunks(accounts, rules, sources, folder, skip, cache, memory, linked, processes=1)
        return made.evaluated(scans, tick, ExitStack())


def looked_at(academy: Academy, feed: Path, day: str) -> tuple[set[str], list[str]]:
    """The accounts that need nothing, by key, and those left for the joint evaluation, by uid."""
    skip = gone_over(academy, feed, day)
    return set(skip.unchanged), list(skip.evaluate)


def set_aside(academy: Academy, feed: Path, day: str) -> tuple[set[str], set[str]]:
    """The accounts whose changes are staged, by key, and the people whose new accounts are staged."""
    staged = gone_over(academy, feed, day).staged
    assert staged is not None
    return set(staged.changed), {claim.matricule for claim, _ in staged.claims()}


def unmarked(academy: Academy, day: str, *rows: str) -> None:
    night(academy, day, *rows)
    marks(academy).unlink()


def test_only_people_without_changes_are_skipped(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    feed = academy.feed(*PEOPLE, row(uai=MICHELIS), IDA, day=NEXT)
    settled, others = looked_at(academy, feed, NEXT)
    assert (len(settled), others) == (9, ["claire.dubreuil"])
    assert {c["uid"] for c in same(academy, NEXT, feed)["changes"]} == {"claire.dubreuil"}


def test_chunks_leave_the_same_marks_as_a_joint_evaluation(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    feed = academy.feed(*PEOPLE, row(civilite="MME"), IDA, day=NEXT)
    with sifted():
        academy.night(NEXT, feed)
    again = academy.feed(IDA, *PEOPLE, row(civilite="MME"), day="2026-09-07")
    configuration = open_configuration(academy.sandbox.config)
    with open_reader(configuration.settings.directory, "reader", identity_password) as reader:
        scans = scan_feeds([str(again)], configuration.settings.sources, configuration.keys)
        skip_set, _, _ = skipped(reader, configuration, scans, "2026-09-07")
    assert (len(skip_set.unchanged), skip_set.evaluate) == (10, ())
    assert same(academy, "2026-09-07", again)["changes"] == []


def test_changes_and_newcomers_are_staged(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    ben = row(matricule="1998", prenom="Ben", nom_famille="Roy")
    feed = academy.feed(*PEOPLE, row(civilite="MME"), IDA, ben, day=NEXT)
    assert set_aside(academy, feed, NEXT) == ({"1001"}, {"1998"})
    assert looked_at(academy, feed, NEXT)[1] == []
    changes = same(academy, NEXT, feed)["changes"]
    assert {(c["kind"], c["uid"]) for c in changes} == {("update", "claire.dubreuil"), ("create", "ben.roy")}


def test_chunks_make_the_same_plan_if_marks_settle_most_people(academy: Academy) -> None:
    night(academy, DAY, row(), IDA, *PEOPLE)
    ben = row(matricule="1998", prenom="Ben", nom_famille="Roy")
    feed = academy.feed(*PEOPLE, row(civilite="MME"), IDA, ben, day=NEXT)
    assert set_aside(academy, feed, NEXT) == ({"1001"}, {"1998"})
    slow = academy.run("plan", feed, "--as-of", NEXT, "-o", "json")
    with sifted():
        assert academy.run("plan", feed, "--as-of", NEXT, "-o", "json") == slow


def test_a_first_load_made_in_batches_is_the_same_directory(
    make_academy: Callable[..., Academy],
) -> None:
    """Homonyms among people in other batches, people who wait, who are held and who share a NUMEN."""
    twins = [
        row(matricule=f"30{n:02}", prenom="Ida", nom_famille="Roy", debut=f"20{n:02}-09-01") for n in range(9)
    ]
    late = row(matricule="3101", prenom="Noé", nom_famille="Kern", debut="2027-09-01")
    shared = [
        row(matricule=m, prenom="Zoé", nom_famille=name, numen="20E9512345XYZ")
        for m, name in (("3201", "Abel"), ("3202", "Brun"))
    ]
    broken = row(matricule="3301", prenom="Max", nom_famille="Olin").replace("2026-09-01", "2026-09-31")
    rows = [*reversed(twins), row(), late, shared[0], *PEOPLE, shared[1], broken]
    results = []
    for batches in (False, True):
        academy = make_academy()
        feed = academy.feed(*rows, day=DAY)
        assert len(same(academy, DAY, feed)["writes"]) == 18
        with sifted() if batches else nullcontext():
            result = academy.run("nightly", feed, "--as-of", DAY, "-o", "json")
        assert result.code == 0, result.err
        again = academy.feed(*reversed(rows), day=NEXT)
        assert same(academy, NEXT, again)["changes"] == []
        owners = {entry["supannEmpId"][0]: entry["uid"] for entry in academy.accounts().values()}
        results.append((json.loads(result.out)["outcomes"], owners, len(passed(academy, again, NEXT))))
    assert results[0] == results[1]
    assert results[0][0] == {"applied": 18}
    assert results[0][2] == 18


def test_a_first_load_in_batches_keeps_one_batch_in_memory(academy: Academy) -> None:
    """Of the people of a batch only what orders the plan is in memory when the next one is looked at."""
    feed = academy.feed(*crowd(40), day=DAY)
    alive = []

    def looking(*arguments: Any) -> Any:
        alive.append(sum(isinstance(instance, Person | Account) for instance in gc.get_objects()))
        return original(*arguments)

    original = ChunkEvaluation._evaluate_newcomers
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(staging, "IN_MEMORY", 0)
        patched.setattr(ChunkEvaluation, "_evaluate_newcomers", looking)
        gone_over(academy, feed, DAY)
    assert len(alive) == 40
    assert max(alive) <= min(alive) + 4


def test_no_numen_is_spooled_to_disk(academy: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "IN_MEMORY", 0)
    unmarked(academy, DAY, row(), *PEOPLE)
    feed = academy.feed(*PEOPLE, row(numen="20E9500001AAA"), IDA, day=NEXT)
    staged = gone_over(academy, feed, NEXT).staged
    assert staged is not None
    assert len(staged) == 2
    (maker,) = staged.makers
    assert isinstance(maker, ChunkEvaluation)
    spooled = b"".join(spool._file.read(0, len(spool._file)) for spool in (maker._changed, maker._newcomers))
    assert b"claire.dubreuil" in spooled
    assert b"Roy" in spooled
    assert b"20E9" not in spooled


def test_two_accounts_with_one_numen_are_left_for_joint_evaluation(academy: Academy) -> None:
    unmarked(academy, DAY, IDA, *PEOPLE, row(numen="20E9500001AAA"))
    # by another program: HR does not mention it, and every entry is as the feed wants it
    (digest,) = academy.values("ida.roy", "piactlNumenDigest")
    academy.change("claire.dubreuil", piactlNumenDigest=[digest])
    feed = academy.feed(IDA, *PEOPLE, row(numen="20E9512345XYZ"), day=NEXT)
    settled, others = looked_at(academy, feed, NEXT)
    assert {"1999", "1001"}.isdisjoint(settled)
    assert {"ida.roy", "claire.dubreuil"} <= set(others)
    same(academy, NEXT, feed)


def test_two_accounts_of_one_person_in_two_batches_are_held(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    with academy.sandbox.root() as root:
        # replication can leave two such accounts made at two servers; no server would accept it from a client
        moved = root.modify(
            academy.dn("ida.roy"),
            {"supannEmpId": [(ldap3.MODIFY_REPLACE, ["1001"])]},
            controls=[("1.3.6.1.4.1.4203.666.5.12", True, None)],
        )
        assert moved, root.result
    academy.recorded("ida.roy", sn=["Roy"])
    feed = academy.feed(row(), *PEOPLE, day=NEXT)
    settled, others = looked_at(academy, feed, NEXT)
    assert "1001" not in settled
    assert {"claire.dubreuil", "ida.roy"} == set(others)
    (hold,) = same(academy, NEXT, feed)["holds"]
    assert hold["why"].startswith("several accounts have this matricule")


def test_waiting_absent_and_returning_people_get_the_same_plan(academy: Academy) -> None:
    gone = row(matricule="2001", prenom="Léa", nom_famille="Abel", fin="2026-09-20", debut="2020-09-01")
    unmarked(academy, DAY, row(), IDA, gone, *PEOPLE)
    unmarked(academy, "2026-09-06", IDA, gone, *PEOPLE)
    late = row(matricule="3001", prenom="Noé", nom_famille="Kern", debut="2027-09-01")
    unmarked(academy, "2026-09-07", IDA, gone, late, *PEOPLE)
    for day in ("2026-09-08", "2027-08-30", "2033-01-01"):
        feed = academy.feed(IDA, late, *PEOPLE, day=day)
        plan = same(academy, day, feed)
        unmarked(academy, day, IDA, late, *PEOPLE)
    assert any(entry["piactlState"] == [b"archived"] for entry in academy.accounts().values())
    back = row(matricule="2001", prenom="Léa", nom_famille="Abel", debut="2033-01-01")
    feed = academy.feed(IDA, late, back, *PEOPLE, day="2033-01-02")
    plan = same(academy, "2033-01-02", feed)
    assert any(change["kind"] == "reopen" for change in plan["changes"])


def test_rows_that_cannot_be_understood_hold_the_same_people(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    broken = row().replace("2026-09-01", "2026-09-31")
    feed = academy.feed(broken, IDA.replace(";ENS;", ";???;"), PEOPLE[0] + ";", *PEOPLE[1:], day=NEXT)
    assert len(same(academy, NEXT, feed)["holds"]) == 3


def test_a_change_of_the_policy_without_a_feed_is_the_same_plan(academy: Academy) -> None:
    night(academy, DAY, row(), IDA, *PEOPLE)
    academy.edit(
        "policy.yaml",
        "  # business applications, by function",
        "  stylo: {label: Stylo, profiles: [enseignant]}",
    )
    before = marks(academy).read_bytes()
    slow = academy.run("plan", "--as-of", NEXT, "-o", "json")
    with sifted():
        calls = []
        original = chunks.Chunks.evaluated
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(chunks.Chunks, "evaluated", lambda *a: (calls.append(a), original(*a))[1])
            assert academy.run("plan", "--as-of", NEXT, "-o", "json") == slow
        assert len(slow.json["writes"]) == 10
        assert academy.night(NEXT).json["outcomes"] == {"applied": 10}
    assert len(calls) == 1
    # what a run found without a feed says nothing about the lines of people
    assert marks(academy).read_bytes() == before


@pytest.mark.parametrize("alone", [True, False])
def test_a_delta_among_very_many_is_the_same_plan(academy: Academy, alone: bool) -> None:
    academy.sources(hr="kind: full", moves="kind: delta")
    night(academy, DAY, row(), IDA, *PEOPLE)
    ben = row(matricule="1998", prenom="Ben", nom_famille="Roy")
    shared = row(matricule="1997", prenom="Zoé", nom_famille="Abel", numen="20E9512345XYZ")
    delta = academy.feed(row(civilite="MME"), ben, shared, day=NEXT, source="moves")
    feeds = [delta] if alone else [academy.feed(*PEOPLE, row(), IDA, day=NEXT), delta]
    slow = academy.run("plan", *feeds, "--as-of", NEXT, "-o", "json")
    with sifted():
        assert academy.run("plan", *feeds, "--as-of", NEXT, "-o", "json") == slow
    assert {hold["matricule"] for hold in slow.json["holds"]} == {"1997"}
    assert {c["uid"] for c in slow.json["changes"]} >= {"ben.roy"}


@pytest.mark.parametrize("other", ["waits", "is absent", "comes back", "has an account"])
def test_a_newcomer_with_the_numen_of_another_person_is_held(academy: Academy, other: str) -> None:
    """HR gives the NUMEN of both for the first time, so no entry has it yet."""
    late = {"debut": "2027-09-01"} if other == "waits" else {"debut": "2020-09-01"}
    gone = {"fin": "2026-09-20"} if other == "comes back" else {}
    second = {"uai": MICHELIS, "modalite": "secondaire"}
    posts = [row(matricule="2001", prenom="Léa", nom_famille="Abel", numen="", **late, **gone)]
    absent = row(matricule="2001", prenom="Léa", nom_famille="Abel", numen="", **late, **second)
    day = DAY
    unmarked(academy, day, *PEOPLE, *posts, *([absent] if other == "is absent" else []))
    if other == "comes back":
        for day in ("2026-12-01", "2033-01-01"):
            unmarked(academy, day, *PEOPLE)
        assert any(entry["piactlState"] == [b"archived"] for entry in academy.accounts().values())
        posts = [row(matricule="2001", prenom="Léa", nom_famille="Abel", debut="2032-12-31", numen="")]
    day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    with_numens = [post.replace(";;", ";20E9512345XYZ;", 1) if ";20E" not in post else post for post in posts]
    feed = academy.feed(
        *PEOPLE, *with_numens, row(matricule="1998", prenom="Ben", numen="20E9512345XYZ"), day=day
    )
    holds = same(academy, day, feed)["holds"]
    matricules = {"1998", "2001"} if other == "waits" else {"1998"}
    assert {hold["matricule"] for hold in holds} >= matricules


def test_a_settled_account_is_not_counted_twice(academy: Academy) -> None:
    """Neither accounts that the marks settle nor those settled in batches count as two."""
    with_numen = [row(numen="20E9500001AAA"), IDA]
    night(academy, DAY, *with_numen, *PEOPLE)
    feed = academy.feed(*PEOPLE, row(numen="20E9500001AAA", quotite="50"), IDA, day=NEXT)
    assert gone_over(academy, feed, NEXT).evaluate == ()


@pytest.mark.parametrize("harm", ["cut", "twice", "changed", "quote", "field"])
def test_a_refused_feed_gets_the_same_message(
    academy: Academy, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    feed = academy.feed(row(), IDA, *PEOPLE, day=NEXT)
    content = feed.read_bytes()
    if harm == "changed":
        original = chunks.Chunks.evaluated

        def evaluate(*arguments: Any) -> SkipSet:
            skip = original(*arguments)
            feed.write_bytes(content.replace(b"Ida", b"Ada"))
            return skip

        monkeypatch.setattr(chunks.Chunks, "evaluated", evaluate)
    elif harm == "quote":
        feed.write_bytes(content.replace(b"Ida", b'"Ida'))
    elif harm == "field":
        feed.write_bytes(content.replace(b"Ida", b"I" * 5_000))
    elif harm == "cut":
        feed.write_bytes(content[:-30])
    else:
        feed.write_bytes(content + content)
    with sifted():
        sparing = academy.run("plan", feed, "--as-of", NEXT)
    assert sparing.code == 6
    if harm == "changed":
        assert "changed" in sparing.err
    else:
        assert sparing.err == academy.run("plan", feed, "--as-of", NEXT).err


def test_an_account_with_a_line_break_in_its_uid_is_not_skipped(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    with academy.sandbox.root() as root:
        own = {
            "uid": "x\ny",
            "cn": "X",
            "sn": "X",
            "piactlState": "active",
            "piactlMatriculeDigest": "x",
            "piactlIdentifier": "x",
        }
        added = root.add(f"uid=x\\0Ay,{academy.sandbox.accounts}", [*OBJECT_CLASSES], own)
        assert added, root.result
    feed = academy.feed(row(), IDA, *PEOPLE, day=NEXT)
    _, others = looked_at(academy, feed, NEXT)
    assert others == ["x\ny"]
    assert same(academy, NEXT, feed)["changes"] == []


def test_each_chunk_calls_tick(academy: Academy) -> None:
    unmarked(academy, DAY, row(), IDA, *PEOPLE)
    ticks: list[int] = []
    gone_over(academy, academy.feed(row(), IDA, *PEOPLE, day=NEXT), NEXT, lambda: ticks.append(1))
    assert len(ticks) == 10
