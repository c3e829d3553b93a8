"""The other national feeds: AAF of the 1er degré, GPEI, and STS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import (
    PartRecord,
    feed_refusals,
    order_refusals,
    part_refusals,
    record_of,
)
from piactl.errors import FeedRefused
from piactl.feed.feed_result import Feed
from piactl.feed.read_feed import read_feed
from tests.aaf_sets import Agent, document, files, first_degree, folder, gpei, individual, sts, zipped
from tests.aaf_sets import request as xml_request

CLAIRE = Agent("500", ("4077$ENS$ENSEIGNANT$L0202$X", "4078$ENS$E$L0202"))
ZOE = Agent("501", ("4079$EDU$E$E0030",), sn="LEFÈVRE", given="Zoé", home="4079")
FIRST = SourceSettings("aaf1d", format="aaf1d", perimeter={"academie": "020"})
GPEI = SourceSettings("gpei", format="gpei", perimeter={"departements": "080", "secteurs": "PU"})
STS = SourceSettings("sts", format="sts", namespace="sts", supplement=True, creates=False)


def refused(path: Path, source: SourceSettings) -> list[str]:
    with pytest.raises(FeedRefused) as caught:
        read_feed(path, source)
    return [code for code, _ in caught.value.refusals]


def posts(feed: Feed, key: str) -> list[tuple[str, str, str]]:
    return [(a.uai, a.function, a.modality) for a in feed.people[key].assignments]


def test_the_head_of_a_school_of_the_1er_degre_has_the_function_dir(tmp_path):
    contents = first_degree(files([CLAIRE, ZOE], name="ENT1D"))
    head = b'      <attr name="ENTEnsFonctionDir">\n<value>4079$O</value></attr>\n'
    people = next(name for name in contents if "Pers" in name)
    place = contents[people].rindex(b"    </attributes>")
    contents[people] = contents[people][:place] + head + contents[people][place:]
    feed = read_feed(folder(tmp_path / "set", contents), FIRST)
    assert posts(feed, "501") == [("0800002T", "EDU", "principale"), ("0800002T", "DIR", "principale")]
    assert posts(feed, "500") == [("0800009A", "ENS", "principale"), ("0800010B", "ENS", "secondaire")]
    assert (feed.people["500"].family_name, feed.people["500"].given_name) == ("DUBREUIL", "Claire")
    assert feed.people["500"].civilite == "Mme"


def test_a_gpei_set_must_declare_the_configured_perimeter(tmp_path):
    contents = files([CLAIRE, ZOE], name="CLG80_GPEI")
    feed = read_feed(zipped(tmp_path / "CLG80_GPEI_Complet_20260901.zip", gpei(contents)), GPEI)
    assert posts(feed, "500") == [("0800009A", "ENS", "principale"), ("0800010B", "ENS", "secondaire")]
    assert feed.people["501"].birth_date == date(1980, 7, 14)
    # what is in other sets of the source is not absent here
    assert feed.written.uais == {"0800009A", "0800010B", "0800002T"}
    for number, declared in enumerate(("listeDept=[002]", "listeDept=[080, 002] listeSecteur=[PU]", "")):
        other = folder(tmp_path / f"set{number}", gpei(contents, declared))
        assert refused(other, GPEI) == ["wrong-perimeter"]
    assert refused(folder(tmp_path / "aaf", {**contents}), GPEI) == ["missing-piece"]
    single = {"CLG80_GPEI_Complet_20260901.xml": b"".join(gpei(contents).values())}
    assert refused(folder(tmp_path / "single", single), GPEI) == ["missing-piece"]
    both = replace(GPEI, perimeter={"departements": "002,080"})
    read_feed(folder(tmp_path / "both", gpei(contents, "listeDept = [080,002]")), both)


def test_an_sts_file_becomes_people_with_posts(tmp_path):
    contents = sts(
        individual("7001", NOM_USAGE="AUBRY"),
        individual("7002", PRENOM="Léo", CIVILITE="1", FONCTION="DIR"),
        individual("L1", "local", PRENOM="Ève", NOM_PATRONYMIQUE="", DATE_NAISSANCE=""),
        individual("7003", FONCTION=""),
    )
    paths = [
        folder(tmp_path / "set", contents) / next(iter(contents)),
        zipped(tmp_path / "sts_x.zip", contents),
    ]
    feeds = [read_feed(path, STS) for path in paths]
    assert feeds[0].people == feeds[1].people
    feed = feeds[0]
    assert {sts_feed.facts.kind for sts_feed in feeds} == {"sts_emp_0800009A_2026"}
    dated = read_feed(zipped(tmp_path / "sts_emp_0800009A_2026_20261003.zip", contents), STS)
    assert (dated.facts.date, dated.people) == (date(2026, 10, 3), feed.people)
    claire, leo, eve = (feed.people[f"sts:{key}"] for key in ("7001", "7002", "L1"))
    assert (claire.family_name, claire.usage_name, claire.civilite) == ("DUBREUIL", "AUBRY", "Mme")
    assert (leo.given_name, leo.civilite, leo.birth_date) == ("Léo", "M.", date(1980, 7, 14))
    (post,) = claire.assignments
    year = date(2026, 9, 1), date(2027, 8, 31)
    assert (post.uai, post.function, post.discipline, post.start, post.end) == (
        "0800009A", "ENS", "L0202", *year,
    )  # fmt: skip
    assert post.origin == "sts_emp_0800009A_2026.xml:11"
    assert (eve.family_name, eve.birth_date) == ("DUBREUIL", None)
    assert feed.local == {"sts:L1"}
    (content,) = contents.values()
    elsewhere = f"<AUTRES>{individual('7009')}</AUTRES>\n<DONNEES>".encode()
    extended = {name: content.replace(b"<DONNEES>", elsewhere) for name in contents}
    assert read_feed(zipped(tmp_path / "more.zip", extended), STS).people == feed.people
    assert feed.written.uais == {"0800009A"}
    assert feed.facts.date is None
    messages = feed.remarks
    assert "passed over: people without a function (1): no post" in messages
    assert "people made by the head of a school: 1; each is a case" in messages


def other(old: bytes, new: bytes) -> Mapping[str, bytes]:
    ((name, content),) = sts(individual("7001")).items()
    assert old in content
    return {name: content.replace(old, new)}


@pytest.mark.parametrize(
    ("code", "contents"),
    [
        ("bad-name", {"export.xml": b"<STS_EDT/>"}),
        ("mixed-sets", {**sts(individual("7001")), **sts(individual("7001"), uai="0800010B")}),
        ("mixed-sets", {"LISEZMOI.txt": b"x"}),
        ("wrong-perimeter", other(b"0800009A", b"0800010B")),
        ("wrong-perimeter", other(b'ANNEE="2026"', b'ANNEE="2025"')),
        ("bad-xml", other(b"STS_EDT>", b"EDT_STS>")),
        ("cut", other(b"</DONNEES>\n</STS_EDT>\n", b"")),
        ("unsafe-xml", other(b"<STS_EDT>", b'<!DOCTYPE STS_EDT [<!ENTITY a "ha">]><STS_EDT>')),
        ("header-only", sts()),
    ],
)
def test_a_file_of_sts_is_refused_as_a_whole(tmp_path, code, contents):
    assert refused(zipped(tmp_path / "sts.zip", contents), STS) == [code]


def test_a_person_whose_sts_entries_differ_is_held(tmp_path):
    contents = sts(
        individual("7001"), individual("7001"), individual("7001", FONCTION="DOC"), individual("7002")
    )
    feed = read_feed(zipped(tmp_path / "sts.zip", contents), STS)
    assert (set(feed.held), set(feed.people)) == ({"sts:7001"}, {"sts:7002"})
    assert all("the file has 7001 twice, with other content; correct" in r.message for r in feed.rejections)


def test_a_part_of_a_source_is_compared_only_with_its_own_past(tmp_path):
    """Each part is compared with the part before it, whatever the size and date of other parts."""
    crowd = [replace(CLAIRE, id=str(1000 + n)) for n in range(120)]
    source = SourceSettings("aaf2d", format="aaf")
    large = read_feed(folder(tmp_path / "a", files(crowd, "20260902", name="ENT_0800009A")), source).facts
    small = read_feed(folder(tmp_path / "b", files([ZOE], "20260901", name="ENT_0800010B")), source).facts
    last = record_of(replace(large, part=False), large.date)
    assert feed_refusals(small, last, 0, 0, source, date(2026, 9, 2)) == []
    # a whole set is not compared with a part either
    assert record_of(small, small.date, last) == replace(last, digest=small.digest, date=small.date)
    assert record_of(small, small.date).rows == 0
    assert order_refusals(small, {large.digest}, 1) == []
    assert small.kind == "ENT_0800010B"
    (refusal,) = part_refusals(small, PartRecord(large.date, (large.digest,)))
    assert refusal[0] == "older"
    complete = replace(small, part=False)
    codes = [code for code, _ in feed_refusals(complete, last, 0, 0, source, date.max)]
    assert codes[:2] == ["older", "size"]


def test_a_delta_that_adds_values_to_an_attribute_is_refused(tmp_path):
    change = xml_request("modifyRequest", "PersEducNat", "500", {"sn": ["AUBRY"]})
    contents = {
        "ENT2DVA_Delta_20260902_PersEducNat_0000.xml": document([change.replace('"replace"', '"add"')])
    }
    assert refused(folder(tmp_path / "set", contents), replace(FIRST, format="aaf")) == ["bad-xml"]
