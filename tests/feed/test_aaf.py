"""AAF sets: what is understood of them, and what refuses a whole set."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from piactl.core.model.settings import SourceLimits, SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.feed_result import Feed
from piactl.feed.read_feed import read_feed
from piactl.translation import in_french
from tests.aaf_sets import (
    Agent,
    document,
    files,
    first_degree,
    folder,
    person,
    structures,
    tarred,
    zipped,
)

SOURCE = SourceSettings(
    "aaf2d",
    format="aaf",
    namespace="aaf",
    supplement=True,
    perimeter={"academie": "020", "degre": "2D"},
    drop_functions=("-",),
)
CLAIRE = Agent("500", ("4077$ENS$ENSEIGNANT$L0202$X", "4078$ENS$E$L0202", "4077$-$SANS OBJET", "4077$DOC"))
ZOE = Agent("501", ("4079$EDU$EDUCATION$E0030$CPE",), sn="NOËL", birth_name="LEFÈVRE", given="Zoé")
NOBODY = Agent("502", ())
PEOPLE = "ENT2DVA_Complet_20260901_PersEducNat_0000.xml"


def read(path: Path, source: SourceSettings = SOURCE) -> Feed:
    return read_feed(path, source)


def refusals(path: Path, source: SourceSettings = SOURCE) -> list[str]:
    with pytest.raises(FeedRefused) as caught:
        read(path, source)
    assert path.name in str(caught.value)
    return [code for code, _ in caught.value.refusals]


def test_a_set_becomes_people_with_posts(tmp_path):
    feed = read(folder(tmp_path / "set", files([CLAIRE, ZOE, NOBODY])))
    assert feed.facts.date == date(2026, 9, 1)
    assert feed.facts.full
    assert feed.rejections == ()
    claire, zoe = feed.people["aaf:500"], feed.people["aaf:501"]
    assert [(a.uai, a.function, a.discipline, a.modality) for a in claire.assignments] == [
        ("0800009A", "ENS", "L0202", "principale"),
        ("0800010B", "ENS", "L0202", "secondaire"),
        ("0800009A", "DOC", "", "principale"),
    ]
    assert {a.start for a in claire.assignments} == {date(2026, 9, 1)}
    assert (zoe.family_name, zoe.usage_name, zoe.given_name) == ("LEFÈVRE", "NOËL", "Zoé")
    assert zoe.birth_date == date(1980, 7, 14)
    assert "numen" not in feed.columns
    line = (tmp_path / "set" / PEOPLE).read_text("utf-8").split("<id>501<")[0].count("<addRequest>")
    assert line == 2
    file, _, number = zoe.assignments[0].origin.partition(":")
    assert file == PEOPLE
    assert (tmp_path / "set" / PEOPLE).read_text("utf-8").splitlines()[int(number) - 1] == "  <addRequest>"
    assert feed.remarks == (
        "posts by function at 3 structures: ENS 2, DOC 1, EDU 1",
        "posts by structure: 0800009A 2, 0800010B 1, 0800002T 1",
        "passed over: functions - (1): under drop_functions, beside another one",
        "passed over: people without a function (1): no post",
    )


def test_a_folder_an_archive_and_pieces_say_the_same(tmp_path):
    contents = files([CLAIRE, ZOE], pieces=2)
    latin = files([CLAIRE, ZOE], encoding="ISO-8859-15")
    single = {"ENT2DVA_Complet_20260901.xml": document([*structures(), person(CLAIRE), person(ZOE)])}
    paths = [
        folder(tmp_path / "set", contents),
        zipped(tmp_path / "set.zip", contents),
        tarred(tmp_path / "set.tgz", dict(reversed(contents.items()))),
        folder(tmp_path / "latin", latin),
        folder(tmp_path / "one", single),
        tmp_path / "one" / "ENT2DVA_Complet_20260901.xml",
    ]
    people = [read(path).people for path in paths]
    assert len(people[0]) == 2
    assert all(other == people[0] for other in people)


def test_a_structure_that_the_set_lacks_rejects_the_row(tmp_path):
    feed = read(folder(tmp_path / "set", files([CLAIRE, replace(ZOE, functions=("9999$EDU",))])))
    (rejection,) = feed.rejections
    assert (rejection.code, rejection.matricule, rejection.file) == ("structure-unknown", "aaf:501", PEOPLE)
    assert rejection.message.startswith("no structure 9999 in the set; ask for a set")
    assert in_french(rejection.message).startswith("pas de structure 9999 dans le lot ; demander un lot")
    assert rejection.line > 5
    # a supplement holds that post alone; in an authoritative source the row holds its person
    assert (feed.held, feed.people["aaf:501"].assignments) == ({}, ())
    assert feed.unread == {"aaf:501": {("", "EDU")}}
    authoritative = read(tmp_path / "set", replace(SOURCE, supplement=False))
    assert set(authoritative.held) == {"aaf:501"}
    assert set(authoritative.people) == {"aaf:500"}


@pytest.mark.parametrize(
    ("functions", "posts"),
    [
        (("4077$-$SANS OBJET", "4077$ENS"), [("0800009A", "ENS")]),
        (("4077$-$SANS OBJET", "4078$ENS"), [("0800010B", "ENS")]),
        (("4077$-$SANS OBJET", "4078$-"), [("0800009A", "-"), ("0800010B", "-")]),
        (("4077$-$SANS OBJET", "4078$$"), [("0800009A", "-")]),
    ],
)
def test_a_dropped_function_is_kept_if_a_person_has_no_other(tmp_path, functions, posts):
    sets = folder(tmp_path / "set", files([replace(CLAIRE, functions=functions), ZOE]))
    feed = read(sets)
    assert [(a.uai, a.function) for a in feed.people["aaf:500"].assignments] == posts
    passed = any(remark.startswith("passed over: functions - (1)") for remark in feed.remarks)
    assert passed is (posts[-1][1] != "-")
    # the people of a source that makes no accounts have functions in another source
    beside = read(sets, replace(SOURCE, creates=False)).people
    assert ("aaf:500" in beside) is passed
    assert "aaf:501" in beside


@pytest.mark.parametrize(
    ("functions", "passed"),
    [
        (("4077$-$SANS", "4077$ENS"), "functions - (1): under drop_functions, beside another one"),
        (("4077$-$SANS",), "functions - (1): under drop_functions, without another one"),
    ],
)
def test_dropped_functions_are_counted_by_whether_the_person_has_another_one(tmp_path, functions, passed):
    agent = replace(CLAIRE, functions=functions)
    feed = read(folder(tmp_path / "set", files([agent, ZOE])), replace(SOURCE, creates=False))
    assert f"passed over: {passed}" in feed.remarks


# ---- the 1er degré: heads of school

FIRST = replace(SOURCE, format="aaf1d", perimeter={"academie": "020"})


def set_of_heads(folder_path: Path, *values: str, **attributes: str | list[str]) -> Path:
    """A set of the 1er degré with one person, a teacher at 4077, and her headships."""
    further = {"ENTEnsFonctionDir": [*values], **attributes}
    contents = first_degree(files([replace(CLAIRE, functions=("4077$ENS",))]))
    added = "".join(
        f'<attr name="{name}">{"".join(f"<value>{escape(v)}</value>" for v in listed)}</attr>'
        for name, listed in ((n, [v] if isinstance(v, str) else v) for n, v in further.items())
    )
    contents[PEOPLE] = contents[PEOPLE].replace(b"</attributes>", f"{added}</attributes>".encode())
    return folder(folder_path, contents)


@pytest.mark.parametrize(
    ("values", "schools"),
    [
        (["4078"], ["0800010B"]),
        (["4078", "4079"], ["0800010B", "0800002T"]),
        (["4077"], ["0800009A"]),
        (["4078$O", "4079$N"], ["0800010B"]),
        (["O"], ["0800009A"]),
        (["OUI"], ["0800009A"]),
        (["1"], ["0800009A"]),
        (["N"], []),
        ([""], []),
        ([], []),
    ],
)
def test_a_head_is_a_head_of_each_structure_that_is_named(tmp_path, values, schools):
    feed = read(set_of_heads(tmp_path / "set", *values), FIRST)
    assert not feed.rejections
    posts = feed.people["aaf:500"].assignments
    assert [a.uai for a in posts if a.function == "DIR"] == schools
    assert [a.uai for a in posts if a.function == "ENS"] == ["0800009A"]


def test_a_head_of_an_unknown_structure_is_rejected_and_other_words_are_counted(tmp_path):
    feed = read(set_of_heads(tmp_path / "set", "9999", "DIRECTEUR"), FIRST)
    assert [rejection.code for rejection in feed.rejections] == ["structure-unknown"]
    assert feed.unread == {"aaf:500": {("", "DIR")}}
    assert "passed over: values of ENTEnsFonctionDir (1): neither a structure nor O" in feed.remarks


# ---- dates

OF_FUNCTIONS, OF_HEADS, OF_HOME = (
    "ENTPersonFonctionsDate",
    "ENTEnsFonctionDirDate",
    "ENTPersonStructRattachDate",
)
DAY = date(2026, 9, 1)


@pytest.mark.parametrize(
    ("dates", "teacher", "head"),
    [
        ({}, DAY, DAY),
        ({OF_FUNCTIONS: "01/09/2020"}, date(2020, 9, 1), DAY),
        ({OF_FUNCTIONS: "4077$ENS$01/09/2020"}, date(2020, 9, 1), DAY),
        ({OF_FUNCTIONS: "4077$2020-09-01"}, date(2020, 9, 1), DAY),
        ({OF_HOME: "01/09/2019"}, date(2019, 9, 1), DAY),
        ({OF_HOME: "01/09/2019", OF_FUNCTIONS: "01/09/2020"}, date(2020, 9, 1), DAY),
        ({OF_HEADS: "01/09/2024"}, DAY, date(2024, 9, 1)),
        ({OF_HEADS: "4078$01/09/2024 00:00:00"}, DAY, date(2024, 9, 1)),
        ({OF_HEADS: "01/10/2026"}, DAY, date(2026, 10, 1)),
    ],
)
def test_posts_begin_on_the_dates_that_an_export_has(tmp_path, dates, teacher, head):
    feed = read(set_of_heads(tmp_path / "set", "4078", **dates), FIRST)
    assert not feed.rejections
    starts = {a.function: a.start for a in feed.people["aaf:500"].assignments}
    assert starts == {"ENS": teacher, "DIR": head}


@pytest.mark.parametrize(
    ("dates", "why"),
    [
        ({OF_FUNCTIONS: "n.c."}, f"{OF_FUNCTIONS} (1): no date on which a post can begin"),
        ({OF_FUNCTIONS: "31/02/2020"}, f"{OF_FUNCTIONS} (1): no date on which a post can begin"),
        ({OF_FUNCTIONS: "01/09/1949"}, f"{OF_FUNCTIONS} (1): no date on which a post can begin"),
        ({OF_HEADS: "31/12/2099"}, f"{OF_HEADS} (1): no date on which a post can begin"),
        ({OF_HOME: "14/07/1980"}, f"{OF_HOME} (1): no date on which a post can begin"),
        ({OF_FUNCTIONS: ["01/09/2020", "01/09/2021"]}, f"{OF_FUNCTIONS} (2): not one for each post"),
    ],
)
def test_a_date_that_is_none_is_counted_and_the_post_begins_without_it(tmp_path, dates, why):
    feed = read(set_of_heads(tmp_path / "set", "4078", **dates), FIRST)
    assert not feed.rejections
    assert {a.start for a in feed.people["aaf:500"].assignments} == {DAY}
    assert f"passed over: values of {why}" in feed.remarks


def test_the_date_in_the_head_may_be_french(tmp_path):
    single = document([*structures(), person(CLAIRE)])
    dated = single.replace(b"<!-- degre", b"<!-- dateGenerationExport : 16/09/2024 -->\n<!-- degre")
    (tmp_path / "ENT2DVA.xml").write_bytes(dated)
    feed = read(tmp_path / "ENT2DVA.xml")
    assert feed.facts.date == date(2024, 9, 16)


def test_values_that_were_escaped_twice_are_read(tmp_path):
    agent = replace(CLAIRE, sn="D&apos;ARTOIS", given="Jo&#39;Anne")
    feed = read(folder(tmp_path / "set", files([agent])))
    assert b"D&amp;apos;ARTOIS" in (tmp_path / "set" / PEOPLE).read_bytes()
    named = feed.people["aaf:500"]
    assert (named.family_name, named.given_name) == ("D'ARTOIS", "Jo'Anne")


# ---- what is no set, and what a Mac adds


@pytest.mark.parametrize(
    ("mode", "suffix", "kind"),
    [("w", ".tar", "tar"), ("w:bz2", ".tar.bz2", "bzip2"), ("w:xz", ".tar.xz", "xz")],
)
def test_an_archive_of_another_kind_is_said_to_be_one(tmp_path, mode, suffix, kind):
    path = tmp_path / f"ENT2DVA_Complet_20260901{suffix}"
    with tarfile.open(path, mode) as archive:
        for name, content in files([CLAIRE]).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(FeedRefused) as caught:
        read(path)
    ((code, message),) = caught.value.refusals
    assert code == "other-archive"
    assert f"it is an archive of {kind}" in message
    assert "pack it as .zip or .tgz" in message


@pytest.mark.parametrize("single", [True, False], ids=["one file", "a folder"])
def test_a_set_without_staff_says_so(tmp_path, single):
    contents = files([])
    if single:
        contents = {name: content for name, content in contents.items() if "EtabEducNat" in name}
    with pytest.raises(FeedRefused) as caught:
        read(folder(tmp_path / "set", contents))
    assert [code for code, _ in caught.value.refusals] == ["no-people"]
    assert "the set has no staff (PersEducNat)" in str(caught.value)


@pytest.mark.parametrize("folder_name", ["", "__MACOSX/"])
def test_the_files_that_a_mac_adds_are_passed_over(tmp_path, folder_name):
    contents = files([CLAIRE, ZOE])
    mac = {f"{folder_name}._{name}": b"\x00\x05\x16\x07" for name in (*contents, "ENT2DVA.md5")}
    feed = read(zipped(tmp_path / "set_20260901.zip", {**contents, **mac}))
    assert set(feed.people) == {"aaf:500", "aaf:501"}
    assert "passed over: files ._* (3): made by a Mac" in feed.remarks
    if not folder_name:
        assert set(read(folder(tmp_path / "set", {**contents, **mac})).people) == set(feed.people)


def test_a_person_twice_with_other_content_is_held(tmp_path):
    other = replace(CLAIRE, functions=("4079$ENS",))
    feed = read(folder(tmp_path / "set", files([CLAIRE, ZOE, CLAIRE, other])))
    assert set(feed.held) == {"aaf:500"}
    assert {r.code for r in feed.rejections} == {"person-doubled"}
    assert all("the set has 500 twice, with other content; correct" in r.message for r in feed.rejections)
    assert feed.facts.unattributed == 0


def test_a_set_of_one_establishment_names_the_uais_it_covers(tmp_path):
    contents = files([CLAIRE], name="ENT_0800009A", schools={"4077": "0800009A", "4078": "0800010B"})
    assert read(folder(tmp_path / "set", contents)).written.uais == {"0800009A", "0800010B"}
    assert read(folder(tmp_path / "all", files([CLAIRE]))).written.uais is None


def without(contents: Mapping[str, bytes], word: str) -> dict[str, bytes]:
    return {name: content for name, content in contents.items() if word not in name}


def altered(old: bytes, new: bytes) -> dict[str, bytes]:
    contents = files([CLAIRE])
    assert old in contents[PEOPLE]
    return {**contents, PEOPLE: contents[PEOPLE].replace(old, new, 1)}


DOCTYPE = b'<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">'
LAUGHS = b'<!DOCTYPE ficAlimMENESR [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = b'<!DOCTYPE ficAlimMENESR [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("code", "contents"),
    [
        ("missing-piece", without(files([CLAIRE], pieces=3), "Nat_0001")),
        ("missing-piece", without(files([CLAIRE], pieces=2), "PersEducNat_0000")),
        ("missing-piece", without({**files([CLAIRE]), "LISEZMOI.txt": b"x"}, "EtabEducNat")),
        ("no-structures", without(files([CLAIRE]), "EtabEducNat")),
        ("no-structures", files([CLAIRE], schools={})),
        ("mixed-sets", {**files([CLAIRE]), **files([ZOE], "20260902")}),
        ("no-complete-set", {n.replace("Complet", "Delta"): c for n, c in files([CLAIRE]).items()}),
        ("delta-set", altered(b"addRequest", b"deleteRequest") | {}),
        ("wrong-perimeter", files([CLAIRE], academie="013")),
        ("wrong-perimeter", altered(b"degre : 2D", b"degre : 1D")),
        ("undated", {n.replace("20260901", "x"): c for n, c in files([CLAIRE]).items()}),
        ("unsafe-xml", altered(DOCTYPE, LAUGHS)),
        ("unsafe-xml", altered(DOCTYPE, OUTSIDE)),
        ("bad-xml", altered(b"<ficAlimMENESR>", b"<other>")),
        ("cut", altered(b"</ficAlimMENESR>", b"")),
        ("no-people", files([])),
    ],
)
def test_a_set_is_refused_as_a_whole(tmp_path, code, contents):
    if code == "delta-set" and PEOPLE in contents:
        contents[PEOPLE] = contents[PEOPLE].replace(b"</addRequest>", b"</deleteRequest>", 1)
    if b"<other>" in contents.get(PEOPLE, b""):
        contents[PEOPLE] = contents[PEOPLE].replace(b"</ficAlimMENESR>", b"</other>")
    assert refusals(folder(tmp_path / "set", contents)) == [code]
    assert refusals(zipped(tmp_path / "set.zip", contents)) == [code]


def test_a_file_cut_at_any_place_is_refused_as_cut(tmp_path):
    """Also if the parser reports another mistake at the end, such as in an attribute."""
    contents = files([CLAIRE])
    path = folder(tmp_path / "set", contents)
    content = contents[PEOPLE].rstrip()
    for end in range(content.index(b"<ficAlim") + 1, len(content), 5):
        (path / PEOPLE).write_bytes(content[:end])
        assert refusals(path) == ["cut"], content[:end][-30:]


def test_messages_name_the_missing_file_and_the_next_step(tmp_path):
    contents = files([CLAIRE, replace(ZOE, birth="31/02/1980")], pieces=2)
    path = folder(tmp_path / "set", without(contents, "PersEducNat_0000"))
    with pytest.raises(FeedRefused, match=r"no file ENT2DVA_Complet_20260901_PersEducNat_0000\.xml; fetch"):
        read(path)
    pupils = {"ENT2DVA_Complet_20260901_Eleve_0000.xml": document([])}
    feed = read(folder(tmp_path / "more", {**contents, **pupils}))
    assert "passed over: files of Eleve (1): no staff" in feed.remarks
    (rejection,) = feed.rejections
    # the rejects file of a set cannot be fed again
    assert rejection.message.endswith("; correct it in the application that exports the set")


def test_archives_made_to_harm_are_refused(tmp_path):
    contents = files([CLAIRE])
    (name, content), *_ = contents.items()
    assert refusals(zipped(tmp_path / "outside.zip", {**contents, "../../etc/x.xml": b""})) == ["bad-archive"]
    assert refusals(zipped(tmp_path / "root.zip", {**contents, "/etc/x.xml": b""})) == ["bad-archive"]
    assert refusals(zipped(tmp_path / "doubled.zip", {**contents, f"a/{name}": content})) == ["bad-archive"]
    assert refusals(tarred(tmp_path / "outside.tgz", {**contents, "../x.xml": b""})) == ["bad-archive"]
    link = zipfile.ZipInfo("link.xml")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped(tmp_path / "link.zip", contents), "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refusals(tmp_path / "link.zip") == ["bad-archive"]
    bomb = {**contents, "ENT2DVA_Complet_20260901_Eleve_0000.xml": b" " * 3_000_000}
    small = replace(SOURCE, limits=SourceLimits(max_bytes=1_000_000))
    for path in (zipped(tmp_path / "bomb.zip", bomb), tarred(tmp_path / "bomb.tgz", bomb)):
        assert refusals(path, small) == ["too-many-bytes"]


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path):
    contents = {**files([CLAIRE]), PEOPLE: document([person(CLAIRE)]) + b" " * 3_000_000}
    path = zipped(tmp_path / "set.zip", contents)
    content = path.read_bytes()
    size = len(contents[PEOPLE]).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (1_000).to_bytes(4, "little")))
    small = replace(SOURCE, limits=SourceLimits(max_bytes=1_000_000))
    assert set(refusals(path, small)) <= {"too-many-bytes", "bad-archive", "cut"}


HUGE = 40_000_000


def bombs() -> dict[str, bytes]:
    """Archives whose table of contents is large, although the archive is not: a name, a header of pax, the
    map of a sparse file, many entries of a zip."""

    def header(name: str, size: int, kind: bytes, content: bytes) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.type = size, kind
        return info.tobuf(tarfile.GNU_FORMAT) + content

    pax = b"".join(
        b"%d %s\n" % (len(text) + 4, text) for text in (b"GNU.sparse.major=1", b"GNU.sparse.minor=0")
    )
    numbers = b"%d\n" % (HUGE // 200) + (b"0" * 99 + b"\n") * (HUGE // 100)
    sparse = header("x", len(pax), tarfile.XHDTYPE, pax.ljust(512, b"\0"))
    sparse += header("x.xml", len(numbers), tarfile.REGTYPE, numbers)
    tars = {
        "name.tgz": header("x", HUGE, tarfile.GNUTYPE_LONGNAME, b"a" * HUGE),
        "pax.tgz": header("x", HUGE, tarfile.XHDTYPE, b"%d path=" % HUGE + b"a" * HUGE),
        "sparse.tgz": sparse,
        "chain.tgz": header("x", 1_000_000, tarfile.GNUTYPE_LONGNAME, b"a" * 1_000_448) * 40,
    }
    count = 300_000
    table = (b"PK\1\2" + b"\0" * 24 + b"\1" + b"\0" * 17 + b"x") * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(table), 0, 0)
    return {name: gzip.compress(tar, 1) for name, tar in tars.items()} | {"many.zip": table + end}


def test_a_large_table_of_contents_is_refused_before_it_takes_memory(tmp_path):
    for name, content in bombs().items():
        path = tmp_path / name
        path.write_bytes(content)
        tracemalloc.start()
        try:
            assert refusals(path) == ["too-many-bytes"], name
            assert tracemalloc.get_traced_memory()[1] < 10_000_000, name
        finally:
            tracemalloc.stop()


def crafted() -> dict[str, bytes]:
    """Archives with numbers and names that the libraries read with an error of their own."""
    contents = files([CLAIRE])

    def tar(headers: Mapping[str, str], content: bytes = b"x") -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
            for name, text in {**contents, "x.xml": content}.items():
                info = tarfile.TarInfo(name)
                info.size, info.pax_headers = len(text), dict(headers) if name == "x.xml" else {}
                archive.addfile(info, io.BytesIO(text))
        return stream.getvalue()

    def zip_(name: str, extra: bytes) -> bytearray:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for other, content in contents.items():
                info = zipfile.ZipInfo(other)
                info.extra = extra if other == name else b""
                archive.writestr(info, content)
        return bytearray(stream.getvalue())

    version = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    (first, *_) = contents
    name = zip_("", b"")
    name[6:8], name[30] = struct.pack("<H", 0x800), 0xFF  # says that its name is UTF-8, and it is not
    offset = zip_(first, struct.pack("<HHQ", 1, 8, 2**64 - 1))
    place = offset.find(b"PK\1\2") + 42
    offset[place : place + 4] = b"\xff" * 4
    return {
        "size.tgz": tar({**version, "GNU.sparse.size": "abc"}),
        "map.tgz": tar({"GNU.sparse.map": "a,b,c"}),
        "body.tgz": tar(version, b"zz\n" + b"x" * 509),
        # it would hide the size of the others in the sum
        "minus.tgz": tar({**version, "GNU.sparse.realsize": "-5"}, b"1\n0\n0\n".ljust(512, b"\0")),
        "name.zip": bytes(name),
        "offset.zip": bytes(offset),
    }


def test_a_negative_size_in_an_archive_is_no_bug(tmp_path):
    """Python 3.13 takes it for the end of the archive, 3.11 for an error."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x.xml")
        info.pax_headers = {"size": "-99999999999999999999999"}
        archive.addfile(info, io.BytesIO(b""))
    (tmp_path / "set.tgz").write_bytes(stream.getvalue())
    with pytest.raises(FeedRefused):
        read(tmp_path / "set.tgz")


@pytest.mark.parametrize("name", [*crafted()])
def test_an_archive_with_false_numbers_or_names_is_refused_as_damaged(tmp_path, name):
    (tmp_path / name).write_bytes(crafted()[name])
    with pytest.raises(FeedRefused, match="the archive is damaged or cut") as caught:
        read(tmp_path / name)
    assert [code for code, _ in caught.value.refusals] == ["bad-archive"]


PLACES, PIECES = (
    ("<attributes>", "<addRequest>", "</ficAlimMENESR>"),
    ("<v/>", "<!---->", "<x/><!-- x --><?x?>", "<value>a</value>", "\n"),
)


@pytest.mark.parametrize(
    ("piece", "place"),
    [
        # each of them in one of the others' places; all together in the long run
        pytest.param(piece, place, marks=() if piece == PIECES[0] or place == PLACES[0] else pytest.mark.long)
        for piece in PIECES
        for place in PLACES
    ],
)
def test_a_file_with_too_much_in_one_request_is_refused_before_it_takes_memory(tmp_path, piece, place):
    """Elements take thirty times the memory of their text, and little room in an archive."""
    head, mark, rest = document([person(CLAIRE)]).decode().partition(place)
    before, after = (head, mark + rest) if place != "<attributes>" else (head + mark, rest)
    content = before + piece * (9_000_000 // len(piece)) + after
    path = zipped(tmp_path / "set.zip", {**files([]), PEOPLE: content.encode()})
    with pytest.raises(FeedRefused, match="more than 4000000 bytes belong to one") as caught:
        read(path)
    assert [code for code, _ in caught.value.refusals] == ["bad-xml"]


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def listed(contents: Mapping[str, bytes], line: str = "{0}  {1}\n") -> bytes:
    return "".join(line.format(md5(content), name) for name, content in contents.items()).encode()


@pytest.mark.parametrize("line", ["{0}  {1}\n", "{0} *./a/{1}\r\n", "MD5 ({1}) = {0}\n", "# md5\n{0}  {1}\n"])
def test_a_set_agrees_with_its_md5(tmp_path, line):
    contents = files([CLAIRE])
    name = "ENT2DVA_Complet_20260901.md5"
    within = {**contents, name: listed({name: b"", **contents}, line)}
    paths = [folder(tmp_path / "set", within), zipped(tmp_path / "set.zip", within)]
    paths += [tarred(tmp_path / "set.tgz", within), zipped(tmp_path / "beside.zip", contents)]
    (tmp_path / "beside.zip.md5").write_bytes(listed({"beside.zip": paths[-1].read_bytes()}, line))
    (tmp_path / "beside.MD5").write_bytes(listed(contents, line))
    assert [set(read(path).people) for path in paths] == [{"aaf:500"}] * 4
    assert not any("md5" in remark for path in paths for remark in read(path).remarks)
    # a changed file is read anew
    (tmp_path / "beside.MD5").write_bytes(listed({PEOPLE: b"other"}, line))
    assert refusals(paths[-1]) == ["wrong-checksum"]


def test_a_bare_md5_applies_to_the_file_of_its_name(tmp_path):
    path = zipped(tmp_path / "set.zip", files([CLAIRE]))
    for name in ("set.zip.md5", "set.md5"):
        (tmp_path / name).write_text(md5(path.read_bytes()).upper())
    assert set(read(path).people) == {"aaf:500"}
    contents = {**files([CLAIRE])}
    contents["ENT2DVA_Complet_20260901_PersEducNat_0000.md5"] = md5(contents[PEOPLE]).encode()
    assert set(read(folder(tmp_path / "set.d", contents)).people) == {"aaf:500"}


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_an_md5_costs_one_reading_of_each_file(tmp_path, suffix):
    """However often files with digests name a file, and in whatever order."""
    many = {f"{number:03}.txt": b"x" for number in range(300, 0, -1)}
    big = {"big.txt": b"\0" * 10_000_000}
    lines = {"a.md5": listed(dict(sorted(many.items()))), "b.md5": listed(big) * 10_000}
    contents = {**files([CLAIRE]), **big, **many, **lines}
    path = (zipped if suffix == ".zip" else tarred)(tmp_path / f"set{suffix}", contents)
    (tmp_path / "set.md5").write_bytes(listed(big) * 10_000)
    before = time.process_time()
    assert set(read(path).people) == {"aaf:500"}
    assert time.process_time() - before < 2
    # other digests of a file are not passed over
    for names in ("a.md5", "b.md5"):
        other = {**contents, names: contents[names] + listed({"big.txt": b"other"})}
        assert refusals(zipped(tmp_path / "other.zip", other)) == ["wrong-checksum"]


def test_an_archive_that_is_unpacked_again_and_again_is_refused(tmp_path):
    """Each of its pieces is before the last one, so that all is unpacked up to it."""
    contents = files([CLAIRE])
    piece = contents.pop(PEOPLE)
    pieces = {PEOPLE.replace("_0000", f"_{number:04}"): piece for number in range(99, -1, -1)}
    path = tarred(tmp_path / "set.tgz", {**contents, "big.txt": b"\0" * 900_000, **pieces})
    assert set(read(path).people) == {"aaf:500"}
    small = replace(SOURCE, limits=SourceLimits(max_bytes=1_500_000))
    assert refusals(path, small) == ["too-many-bytes"]


@pytest.mark.parametrize(
    "content",
    [
        listed({PEOPLE: b"other"}),
        listed({**files([CLAIRE]), "ENT2DVA_Complet_20260901_PersEducNat_0001.xml": b""}),
        md5(b"other").encode(),
        b"<html>404</html>",
        b"\xff\x00",
        b"",
    ],
)
def test_a_set_that_does_not_agree_with_its_md5_is_refused(tmp_path, content):
    within = {**files([CLAIRE]), "ENT2DVA_Complet_20260901_PersEducNat_0000.xml.md5": content}
    assert refusals(folder(tmp_path / "set", within)) == ["wrong-checksum"]
    assert refusals(zipped(tmp_path / "set.zip", within)) == ["wrong-checksum"]
    path = zipped(tmp_path / "beside.zip", files([CLAIRE]))
    (tmp_path / "beside.zip.md5").write_bytes(content)
    assert refusals(path) == ["wrong-checksum"]
