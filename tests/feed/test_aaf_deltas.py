"""AAF deltas: read on top of the last set, they give what the complete set of their day gives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import order_refusals
from piactl.errors import FeedRefused, PiactlError
from piactl.feed.feed_result import Feed
from piactl.feed.formats.all_formats import set_to_keep
from piactl.feed.formats.kept_sets import keep_set
from piactl.feed.read_feed import read_feed
from piactl.planning.load_feeds import by_date
from tests.aaf_sets import (
    SCHOOLS,
    Agent,
    changes,
    deletion,
    delta,
    document,
    files,
    first_degree,
    folder,
    modification,
    person,
    request,
    zipped,
)

CLAIRE = Agent("500", ("4077$ENS$E$L0202", "4078$ENS$E$L0202"))
ZOE = Agent("501", ("4079$EDU$E$E0030",), sn="NOËL", birth_name="LEFÈVRE", given="Zoé", home="4079")
IDA = Agent("502", (), sn="ROY", given="Ida")


@pytest.fixture
def source(tmp_path: Path) -> SourceSettings:
    (tmp_path / "state").mkdir(mode=0o700)
    return SourceSettings("aaf2d", format="aaf", namespace="aaf", state_folder=str(tmp_path / "state"))


class Sets:
    """Sets of one source, each read and kept as a run does."""

    def __init__(self, folder: Path, source: SourceSettings) -> None:
        self.folder, self.source = folder, source

    def complete(self, day: str, *agents: Agent) -> Path:
        return zipped(self.folder / f"ENT2DVA_Complet_{day}.zip", files(agents, day))

    def delta(self, day: str, *requests: str) -> Path:
        return zipped(self.folder / f"ENT2DVA_Delta_{day}.zip", delta(requests, day))

    def read(self, path: Path, *, keep: bool = True) -> Feed:
        feed = read_feed(path, self.source)
        kept_set = set_to_keep(path, self.source)
        assert kept_set is not None
        if keep:
            keep_set(Path(self.source.state_folder), kept_set)
        return feed


@pytest.fixture
def sets(tmp_path: Path, source: SourceSettings) -> Sets:
    return Sets(tmp_path, source)


def posts(feed: Feed, key: str) -> list[tuple[str, str]]:
    return [(a.uai, a.function) for a in feed.people[f"aaf:{key}"].assignments]


def test_a_delta_changes_what_it_names(sets):
    sets.read(sets.complete("20260901", CLAIRE, ZOE, IDA))
    feed = sets.read(
        sets.delta(
            "20260902",
            modification("500", sn="AUBRY", ENTPersonFonctions=["4079$ENS$E$L0202"]),
            modification("502", ENTPersonFonctions=["4077$DOC"], personalTitle=""),
            deletion("501"),
            person(Agent("503", sn="GRÉVIN", given="Léo")),
            modification("900", sn="X"),
            deletion("901"),
        )
    )
    claire, ida = feed.people["aaf:500"], feed.people["aaf:502"]
    assert (claire.usage_name, claire.family_name, claire.civilite) == ("AUBRY", "DUBREUIL", "Mme")
    assert posts(feed, "500") == [("0800002T", "ENS")]
    # people without a function are known as well, and an empty value erases
    assert (posts(feed, "502"), ida.civilite) == ([("0800009A", "DOC")], "")
    assert set(feed.people) == {"aaf:500", "aaf:502", "aaf:503"}
    assert feed.written.gone == {"aaf:501"}
    assert feed.facts.date == date(2026, 9, 2)
    assert feed.facts.full
    assert claire.assignments[0].origin.startswith("ENT2DVA_Delta_20260902_PersEducNat_0000.xml:")
    messages = feed.remarks
    assert "a delta on the set of 2026-09-01: 1 added, 2 modified, 1 deleted" in messages
    unknown = "of unknown people (1): the set before lacks them"
    assert f"passed over: modifyRequest {unknown}" in messages
    assert f"passed over: deleteRequest {unknown}" in messages


def heads(feed: Feed, key: str) -> list[tuple[str, date]]:
    posts = feed.people[f"aaf:{key}"].assignments
    return [(a.uai, a.start) for a in posts if a.function == "DIR"]


def headed(set_files: dict[str, bytes], *values: str, **dates: str) -> dict[str, bytes]:
    """A set of the 1er degré whose people are heads of these structures."""
    listed = {"ENTEnsFonctionDir": values, **{name: (value,) for name, value in dates.items()}}
    added = "".join(
        f'<attr name="{name}">{"".join(f"<value>{value}</value>" for value in texts)}</attr>'
        for name, texts in listed.items()
    )
    return {
        name: content.replace(b"</attributes>", f"{added}</attributes>".encode())
        if "PersEducNat" in name
        else content
        for name, content in first_degree(set_files).items()
    }


def test_a_delta_changes_the_schools_of_a_head(sets, tmp_path):
    sets.source = replace(sets.source, format="aaf1d")
    contents = headed(files([CLAIRE], "20260901"), "4078", "4079", ENTEnsFonctionDirDate="4079$01/09/2024")
    feed = sets.read(zipped(tmp_path / "ENT2DVA_Complet_20260901.zip", contents))
    first = date(2026, 9, 1)
    assert heads(feed, "500") == [("0800010B", first), ("0800002T", date(2024, 9, 1))]
    # what a modification does not name stays
    second = sets.read(sets.delta("20260902", modification("500", ENTPersonNom="AUBRY")))
    assert [uai for uai, _ in heads(second, "500")] == ["0800010B", "0800002T"]
    assert heads(second, "500")[1][1] == date(2024, 9, 1)
    third = sets.read(sets.delta("20260903", modification("500", ENTEnsFonctionDir="4079")))
    assert heads(third, "500") == [("0800002T", date(2024, 9, 1))]
    fourth = sets.read(sets.delta("20260904", modification("500", ENTEnsFonctionDir="")))
    assert heads(fourth, "500") == []


def test_an_empty_value_changes_nothing_if_so_configured(sets):
    sets.source = replace(sets.source, empty_values="keep")
    sets.read(sets.complete("20260901", CLAIRE))
    feed = sets.read(sets.delta("20260902", modification("500", personalTitle="", ENTPersonFonctions=[])))
    assert feed.people["aaf:500"].civilite == "Mme"
    assert len(posts(feed, "500")) == 2


def said(feed: Feed) -> dict[str, Person]:
    """The people of a feed without the name of its source."""
    return {
        key: replace(person, assignments=tuple(replace(a, source="") for a in person.assignments))
        for key, person in feed.people.items()
    }


def population(chance: random.Random, agents: Sequence[Agent], number: int) -> list[Agent]:
    """The people of the next day: some leave, some change, some come."""
    result = [agent for agent in agents if chance.random() > 0.15]
    for place, agent in enumerate(result):
        if chance.random() < 0.4:
            functions = [f"{chance.choice([*SCHOOLS])}${chance.choice(['ENS', 'EDU'])}$E$L0202"]
            result[place] = replace(
                agent,
                functions=tuple(chance.choice([functions, [*functions, "4077$DOC"], []])),
                sn=chance.choice(["NOËL", "D'ORSAY", agent.sn]),
                home=chance.choice([*SCHOOLS]),
            )
    ids = {agent.id for agent in agents}
    new = [Agent(str(600 + number * 10 + i), given="Léo", sn="GRÉVIN") for i in range(chance.randint(1, 3))]
    return [*result, *(agent for agent in new if agent.id not in ids)]


@pytest.mark.parametrize("seed", range(6))
def test_a_set_with_its_deltas_equals_the_later_complete_set(tmp_path, source, seed):
    """This is so if every set is read by another run, and if one run reads all."""
    chance, first = random.Random(seed), date(2026, 9, 1)
    people = [CLAIRE, ZOE, IDA, *(Agent(str(510 + i), given="Ève", sn="ROUX") for i in range(5))]
    sets, in_run = Sets(tmp_path, source), Sets(tmp_path, replace(source, name="other"))
    path = sets.complete(f"{first:%Y%m%d}", *people)
    sets.read(path)
    in_run.read(path, keep=False)
    for number in range(1, 6):
        day = f"{first + timedelta(number):%Y%m%d}"
        after = population(chance, people, number)
        requests = changes(people, after)
        chance.shuffle(requests)
        path = sets.delta(day, *requests)
        by_delta = sets.read(path)
        # another source, because a delta may be read on top of any set of its own source
        other = replace(source, name="whole")
        complete = said(read_feed(zipped(tmp_path / f"whole_{day}.zip", files(after, day)), other))
        assert len(complete) > 2
        assert said(by_delta) == complete, f"seed {seed}, day {day}"
        assert by_delta.written.gone == {f"aaf:{a.id}" for a in people} - {f"aaf:{a.id}" for a in after}
        assert said(in_run.read(path, keep=False)) == complete
        again = read_feed(folder(tmp_path / f"set_{day}", delta(requests, day)), source)
        assert said(again) == complete
        people = after


def test_a_delta_changes_structures(sets, tmp_path):
    sets.read(sets.complete("20260901", CLAIRE, ZOE))
    one = {"ENTStructureJointure": ["4078"], "ENTStructureUAI": ["0801616X"]}
    other = {"ENTStructureJointure": ["4090"], "ENTStructureUAI": ["0020032Z"]}
    requests = [
        request("modifyRequest", "EtabEducNat", "4078", one),
        request("addRequest", "EtabEducNat", "4090", other),
        request("deleteRequest", "EtabEducNat", "4079", {}),
    ]
    contents = {
        "ENT2DVA_Delta_20260902_EtabEducNat_0000.xml": document(requests),
        **delta([person(Agent("503", ("4090$ENS",)))], "20260902"),
    }
    feed = sets.read(folder(tmp_path / "ENT2DVA_Delta_20260902", contents))
    assert posts(feed, "500") == [("0800009A", "ENS"), ("0801616X", "ENS")]
    assert posts(feed, "503") == [("0020032Z", "ENS")]
    assert [(r.code, r.matricule) for r in feed.rejections] == [("structure-unknown", "aaf:501")]


def test_a_person_whom_a_delta_describes_twice_is_held(sets):
    sets.read(sets.complete("20260901", CLAIRE, ZOE))
    twice = [modification("500", sn="AUBRY"), modification("500", sn="MOREL"), deletion("501"), person(ZOE)]
    feed = sets.read(sets.delta("20260902", *twice))
    assert set(feed.held) == {"aaf:500"}
    assert {r.code for r in feed.rejections} == {"person-doubled"}
    assert set(feed.people) == {"aaf:501"}
    # the next delta settles it
    feed = sets.read(sets.delta("20260903", person(replace(CLAIRE, sn="AUBRY", birth_name="DUBREUIL"))))
    assert feed.people["aaf:500"].usage_name == "AUBRY"


def test_a_delta_needs_the_set_before_it(sets, tmp_path):
    early = sets.delta("20260830", deletion("501"))
    sets.read(sets.complete("20260901", CLAIRE, ZOE))
    with pytest.raises(FeedRefused) as caught:
        sets.read(early)
    # later nights skip it
    assert [code for code, _ in caught.value.refusals] == ["older"]
    assert "it is dated 2026-08-30, but one dated 2026-09-01 of its kind" in str(caught.value)
    # a set of another kind does not count
    other = folder(tmp_path / "ENT2DVB_Delta_20260902", delta([], "20260902", name="ENT2DVB"))
    with pytest.raises(FeedRefused) as caught:
        sets.read(other)
    assert [code for code, _ in caught.value.refusals] == ["no-complete-set"]
    # a kept set that is damaged counts as missing
    (file,) = (tmp_path / "state" / "sets").iterdir()
    file.write_bytes(file.read_bytes().replace(b"DUBREUIL", b"DUBREUI"))
    sets.source = replace(sets.source, files=("x",))
    late = zipped(tmp_path / "ENT2DVC_Delta_20260902.zip", delta([], "20260902"))
    with pytest.raises(FeedRefused, match=r"feed the last complete set and every delta after it"):
        read_feed(late, replace(sets.source, name="elsewhere"))


def test_the_same_delta_again_says_the_same(sets):
    """This is needed because a guard may have refused the run that kept the delta."""
    sets.read(sets.complete("20260901", CLAIRE, ZOE))
    path = sets.delta("20260902", deletion("501"), modification("500", sn="AUBRY"))
    feed = sets.read(path)
    sets.source = replace(sets.source, absent_runs=3)  # like another run, which has not read it
    again = sets.read(path)
    assert again.people == feed.people
    assert again.written.gone == {"aaf:501"}
    assert again.facts.basis.day == date(2026, 9, 1)
    assert again.facts.digest == feed.facts.digest


def test_a_delta_that_does_not_follow_the_last_set_is_refused(sets):
    first = sets.read(sets.complete("20260901", CLAIRE, ZOE)).facts
    second = sets.read(sets.delta("20260902", deletion("501"))).facts
    fourth = sets.read(sets.delta("20260904", modification("500", sn="AUBRY"))).facts
    assert order_refusals(second, {first.digest}, 1) == []
    assert [code for code, _ in order_refusals(second, set(), 1)] == ["missing-delta"]
    (refusal,) = order_refusals(fourth, {first.digest, second.digest}, 1)
    assert refusal[0] == "missing-delta"
    assert "comes 2 days after the set of 2026-09-02 (limit: 1, `delta_days`)" in refusal[1]
    assert order_refusals(fourth, {first.digest, second.digest}, 3) == []
    # another delta of the same day as the second
    other = Sets(sets.folder / "other", sets.source)
    other.folder.mkdir()
    doubled = other.read(other.delta("20260902", deletion("500"))).facts
    refused = order_refusals(doubled, {first.digest, second.digest}, 1)
    assert [code for code, _ in refused] == ["doubled-delta"]
    assert order_refusals(doubled, {first.digest}, 1) == []


def test_days_on_which_no_delta_comes_do_not_count(sets):
    friday = sets.read(sets.complete("20260904", CLAIRE, ZOE)).facts
    # each set that was read belongs to the run of the later ones
    tuesday, monday = (sets.read(sets.delta(day, deletion("501"))) for day in ("20260908", "20260907"))
    week = ("mon", "tue", "wed", "thu", "fri")
    assert order_refusals(monday.facts, {friday.digest}, 1, week) == []
    (refusal,) = order_refusals(tuesday.facts, {friday.digest}, 1, week)
    assert refusal[0] == "missing-delta"
    assert "comes 2 days after the set of 2026-09-04" in refusal[1]
    assert [code for code, _ in order_refusals(monday.facts, {friday.digest}, 1)] == ["missing-delta"]


def test_several_deltas_of_one_day_are_ordered_by_a_number_in_their_names(sets):
    pattern = r"(?P<year>20\d\d)(?P<month>\d\d)(?P<day>\d\d)(?P<number>\d{4})?"
    sets.source = replace(sets.source, date_pattern=pattern)
    first = sets.read(sets.complete("20260901", CLAIRE, ZOE, IDA)).facts
    requests = {"202609020600": modification("500", sn="AUBRY"), "202609021830": deletion("501")}
    paths = [sets.delta(day, text) for day, text in requests.items()]
    arguments = [(sets.source, path) for path in reversed(paths)]
    assert [path for _, path in by_date(arguments)] == paths
    morning, evening = (sets.read(path) for path in paths)
    assert set(evening.people) == {"aaf:500"}
    assert evening.people["aaf:500"].usage_name == "AUBRY"
    assert order_refusals(evening.facts, {first.digest, morning.facts.digest}, 1) == []
    (refusal,) = order_refusals(evening.facts, {first.digest}, 1)
    assert refusal[0] == "missing-delta"
    # a delta between them comes too late
    late = sets.read(sets.delta("202609021200", deletion("500"), deletion("502")), keep=False).facts
    everything = {first.digest, morning.facts.digest, evening.facts.digest}
    assert [code for code, _ in order_refusals(late, everything, 1)] == ["doubled-delta"]


def test_a_set_that_cannot_be_kept_is_reported(sets, monkeypatch, tmp_path):
    from piactl.planning.load_feeds import keep_sets
    from piactl.planning.merge_feeds import SourcedFeed

    path = sets.complete("20260901", CLAIRE)
    feed = sets.read(path, keep=False)
    (tmp_path / "state" / "sets").write_text("no folder")
    messages: list[str] = []
    keep_sets([SourcedFeed(feed, sets.source, path)], messages.append)
    assert "deltas after it are refused" in messages[0]
    with pytest.raises(PiactlError):
        keep_set(tmp_path / "state", set_to_keep(path, sets.source))


def test_one_establishment_has_its_own_deltas(sets, tmp_path):
    """There are two establishments, each with its own sets."""
    for name, key in (("ENT_0800009A", "4077"), ("ENT_0800010B", "4078")):
        agent = replace(CLAIRE, id=key, functions=(f"{key}$ENS",))
        schools = {key: SCHOOLS[key]}
        sets.read(folder(tmp_path / name, files([agent], name=name, schools=schools)))
    path = folder(tmp_path / "delta", delta([deletion("4078")], "20260902", name="ENT_0800010B"))
    with pytest.raises(FeedRefused) as caught:  # nobody is left
        sets.read(path)
    assert [code for code, _ in caught.value.refusals] == ["header-only"]
    requests = [modification("4077", sn="AUBRY")]
    feed = sets.read(folder(tmp_path / "other", delta(requests, "20260902", name="ENT_0800009A")))
    assert set(feed.people) == {"aaf:4077"}
    assert feed.written.uais == {"0800009A"}
