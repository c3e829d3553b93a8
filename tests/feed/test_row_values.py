"""What a row may contain, and the message for one that is wrong."""

from __future__ import annotations

from datetime import date

import pytest

GOOD = {
    "matricule with leading zeros": ({"matricule": "0001"}, "matricule", "0001"),
    "matricule with letters": ({"matricule": "A12b"}, "matricule", "A12b"),
    "names trimmed": ({"nom_famille": "  de  la   Tour "}, "family_name", "de la Tour"),
    "names keep accents and case": ({"prenom": "ÉLODIE"}, "given_name", "ÉLODIE"),
    "name in quotes": ({"nom_famille": '"du;Bois ""x"""'}, "family_name", 'du;Bois "x"'),
    "usage name equal to the family name": ({"nom_usage": "Dubreuil"}, "usage_name", ""),
    "usage name": ({"nom_usage": "Martin"}, "usage_name", "Martin"),
    "usage name X": ({"nom_usage": "X"}, "usage_name", ""),
    "no birth date": ({"date_naissance": ""}, "birth_date", None),
    "birth on a leap day": ({"date_naissance": "29/02/1980"}, "birth_date", date(1980, 2, 29)),
    "no mail": ({"courriel_prive": "X"}, "private_mail", ""),
    "born in Excel's first year": ({"date_naissance": "02/01/1900"}, "birth_date", date(1900, 1, 2)),
    "an apprentice of fifteen": ({"date_naissance": "01/09/2011"}, "birth_date", date(2011, 9, 1)),
    "mail of letters and marks": (
        {"courriel_prive": "o'neil+a_b@a-b.example.org"},
        "private_mail",
        "o'neil+a_b@a-b.example.org",
    ),
    "no numen": ({"numen": ""}, "numen", None),
    "inverted bang is no mojibake": ({"prenom": "João"}, "given_name", "João"),
    "capital A tilde is no mojibake": ({"prenom": "JOÃO"}, "given_name", "JOÃO"),
}
GOOD_ASSIGNMENT = {
    "open end": ({"fin": ""}, "end", None),
    "open end by year 9999": ({"fin": "31/12/9999"}, "end", None),
    "open end by year 9999, ISO": ({"fin": "9999-12-31"}, "end", None),
    "X is no end": ({"fin": "X"}, "end", None),
    "ISO date": ({"debut": "2026-09-01"}, "start", date(2026, 9, 1)),
    "leap day": ({"debut": "29/02/2028", "fin": ""}, "start", date(2028, 2, 29)),
    "one day": ({"debut": "01/09/2026", "fin": "01/09/2026"}, "end", date(2026, 9, 1)),
    "lower case UAI": ({"uai": "0800009a"}, "uai", "0800009A"),
    "code kept as given": ({"corps": "051"}, "corps", "051"),
    "no position": ({"position": ""}, "position", ""),
    "modality in capitals": ({"modalite": "PRINCIPALE"}, "modality", "principale"),
    "no modality": ({"modalite": ""}, "modality", ""),
    "quotite with decimals": ({"quotite": "77,78"}, "quotite", "77,78"),
    "quotite in percent": ({"quotite": "50 %"}, "quotite", "50 %"),
    "quotite as a fraction": ({"quotite": "9/18"}, "quotite", "9/18"),
}
BAD = {
    "blank matricule": ({"matricule": ""}, "missing-value", "matricule"),
    "matricule with a blank": ({"matricule": "12 3"}, "bad-matricule", "matricule"),
    "matricule too long": ({"matricule": "1" * 21}, "bad-matricule", "matricule"),
    "NUMEN as matricule": ({"matricule": "01E9501234ABC", "numen": ""}, "matricule-is-numen", "matricule"),
    "NULL as matricule": ({"matricule": "NULL"}, "bad-matricule", "matricule"),
    "null as matricule": ({"matricule": "null"}, "bad-matricule", "matricule"),
    "None as matricule": ({"matricule": "None"}, "bad-matricule", "matricule"),
    "a total as matricule": ({"matricule": "TOTAL"}, "bad-matricule", "matricule"),
    "short NUMEN": ({"numen": "01E9501234AB"}, "bad-numen", "numen"),
    "blank name": ({"nom_famille": " "}, "missing-value", "nom_famille"),
    "X as a first name": ({"prenom": "X"}, "missing-value", "prenom"),
    "mojibake": ({"prenom": "Ã‰lodie"}, "damaged-text", "prenom"),
    "mojibake of an apostrophe": ({"nom_famille": "dâ€™Orsay"}, "damaged-text", "nom_famille"),
    "replacement character": ({"prenom": "\ufffdlodie"}, "damaged-text", "prenom"),
    "C1 character": ({"prenom": "\u0089lodie"}, "damaged-text", "prenom"),
    "NUL": ({"prenom": "Cl\0aire"}, "control-character", "prenom"),
    "escape": ({"fonction": "E\x1bNS"}, "control-character", "fonction"),
    "tab inside": ({"prenom": "Anne\tMarie"}, "control-character", "prenom"),
    "lone CR": ({"prenom": "Anne\rMarie"}, "control-character", "prenom"),
    "line separator": ({"nom_famille": "Bré\u2028hat"}, "control-character", "nom_famille"),
    "paragraph separator": ({"prenom": "Anne\u2029Marie"}, "control-character", "prenom"),
    "line separator at the end": ({"nom_famille": "Bréhat\u2028"}, "control-character", "nom_famille"),
    "next line": ({"nom_famille": "Bré\u0085hat"}, "damaged-text", "nom_famille"),
    "vertical tab": ({"nom_famille": "Bré\u000bhat"}, "control-character", "nom_famille"),
    "30 February": ({"debut": "30/02/2026"}, "bad-date", "debut"),
    "29 February of no leap year": ({"debut": "29/02/2027"}, "bad-date", "debut"),
    "American date": ({"debut": "09/30/2026"}, "month-first", "debut"),
    "31 September": ({"debut": "09/31/2026"}, "bad-date", "debut"),
    "date with other digits": ({"debut": "٠١/٠٩/2026"}, "bad-date", "debut"),
    "blank start": ({"debut": ""}, "missing-value", "debut"),
    "start long ago": ({"debut": "01/09/1926"}, "date-out-of-range", "debut"),
    "start far ahead": ({"debut": "01/09/2206", "fin": ""}, "date-out-of-range", "debut"),
    "open start": ({"debut": "31/12/9999", "fin": ""}, "date-out-of-range", "debut"),
    "end before start": ({"fin": "31/08/2026"}, "end-before-start", "fin"),
    "born too early": ({"date_naissance": "01/01/1826"}, "date-out-of-range", "date_naissance"),
    "born after the start": ({"date_naissance": "02/09/2026"}, "birth-after-start", "date_naissance"),
    "six years old": ({"date_naissance": "01/03/2020"}, "too-young", "date_naissance"),
    "fourteen only tomorrow": ({"date_naissance": "02/09/2012"}, "too-young", "date_naissance"),
    "the empty date of Excel": ({"date_naissance": "01/01/1900"}, "date-out-of-range", "date_naissance"),
    "the empty date of old Macs": ({"date_naissance": "1904-01-01"}, "date-out-of-range", "date_naissance"),
    "wrong UAI letter": ({"uai": "0800009B"}, "bad-uai", "uai"),
    "short UAI": ({"uai": "080009A"}, "bad-uai", "uai"),
    "blank UAI": ({"uai": ""}, "missing-value", "uai"),
    "blank function": ({"fonction": "X"}, "missing-value", "fonction"),
    "long code": ({"corps": "5" * 41}, "bad-code", "corps"),
    "two @": ({"courriel_prive": "a@b@example.org"}, "bad-mail", "courriel_prive"),
    "mail with a blank": ({"courriel_prive": "a b@example.org"}, "bad-mail", "courriel_prive"),
    "mail in brackets": ({"courriel_prive": "<a@example.org>"}, "bad-mail", "courriel_prive"),
    "mail with a name": ({"courriel_prive": "Anne<a@example.org>"}, "bad-mail", "courriel_prive"),
    "mail with a comma": ({"courriel_prive": "a,b@example.org"}, "bad-mail", "courriel_prive"),
    "two mails": ({"courriel_prive": "a@example.org,b@example.org"}, "bad-mail", "courriel_prive"),
    "mailto": ({"courriel_prive": "mailto:a@example.org"}, "bad-mail", "courriel_prive"),
    "mail with a dot at the end": ({"courriel_prive": "a@example.org."}, "bad-mail", "courriel_prive"),
    "mail with two dots": ({"courriel_prive": "a..b@example.org"}, "bad-mail", "courriel_prive"),
    "mail without a domain": ({"courriel_prive": "a@example"}, "bad-mail", "courriel_prive"),
    "mail too long": ({"courriel_prive": f"{'a' * 243}@example.org"}, "bad-mail", "courriel_prive"),
    "unknown modality": ({"modalite": "tertiaire"}, "bad-modality", "modalite"),
    "quotite above 100": ({"quotite": "100,5"}, "bad-quotite", "quotite"),
    "quotite in words": ({"quotite": "moitié"}, "bad-quotite", "quotite"),
    "fraction above one": ({"quotite": "19/18"}, "bad-quotite", "quotite"),
    "fraction by zero": ({"quotite": "0/0"}, "bad-quotite", "quotite"),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_person_value_is_read(case, sample, read):
    cells, field, value = GOOD[case]
    feed = read(sample.text(sample.row(**cells)))
    (person,) = feed.people.values()
    assert getattr(person, field) == value
    assert not feed.rejections
    assert not feed.held


@pytest.mark.parametrize("case", GOOD_ASSIGNMENT)
def test_a_good_assignment_value_is_read(case, sample, read):
    cells, field, value = GOOD_ASSIGNMENT[case]
    feed = read(sample.text(sample.row(**cells)))
    (person,) = feed.people.values()
    assert getattr(person.assignments[0], field) == value
    assert not feed.rejections


@pytest.mark.parametrize("case", BAD)
def test_a_bad_value_rejects_its_row_and_holds_its_person(case, sample, read):
    cells, code, column = BAD[case]
    feed = read(sample.text(sample.row(**cells), sample.row(matricule="0002")))
    assert [(r.code, r.column, r.line) for r in feed.rejections] == [(code, column, 2)]
    assert set(feed.people) == {"0002"}
    if column == "matricule":
        assert feed.facts.unattributed == 1
        assert feed.rejections[0].matricule is None
    else:
        assert feed.facts.unattributed == 0
        assert set(feed.held) == {"0001"}
        assert code in feed.held["0001"]
    assert feed.facts.columns[column][1] == 1
    message = feed.rejections[0].message
    assert len(message.splitlines()) == 1
    if code in ("bad-matricule", "bad-mail", "too-young", "control-character"):
        assert "expected" in message or "control character" in message
    assert set(feed.raw_lines) == {2}


def test_all_that_is_wrong_in_a_row_is_reported(sample, read):
    feed = read(sample.text(sample.row(uai="1", debut="x", quotite="101"), sample.row(matricule="0002")))
    assert [r.column for r in feed.rejections] == ["debut", "quotite", "uai"]


def test_the_right_letter_of_a_uai_is_named(sample, read):
    feed = read(sample.text(sample.row(uai="0800009B"), sample.row(matricule="0002")))
    assert "0800009A" in feed.rejections[0].message


def test_an_assignment_has_its_source_and_its_row(sample, read):
    feed = read(sample.text(*sample.four()))
    second = feed.people["0003"].assignments[1]
    assert (second.source, second.origin) == ("epp", "epp-20260901.csv:5")
    assert feed.people["0003"].lines == (4, 5)


def test_identical_rows_count_once(sample, read):
    feed = read(sample.text(sample.row(), sample.row(debut="2026-09-01"), sample.row(matricule="0002")))
    assert len(feed.people["0001"].assignments) == 1
    assert feed.remarks == ("1 row is a duplicate and counts once (line 3 = 2)",)
    assert feed.facts.rows == 3


def test_rows_of_one_person_that_differ_hold_the_person(sample, read):
    other = "01E9501299ABC"
    rows = (
        sample.row(),
        sample.row(prenom="Clara", numen=other, uai="0800010B"),
        sample.row(matricule="0002"),
    )
    feed = read(sample.text(*rows))
    assert set(feed.people) == {"0002"}
    assert [(r.line, r.code) for r in feed.rejections] == [
        (2, "person-contradicts"),
        (3, "person-contradicts"),
    ]
    message = feed.rejections[0].message
    assert "numen, prenom" in message
    assert "lines 2, 3" in message
    assert other not in message
    assert set(feed.raw_lines) == {2, 3}


def test_rows_of_one_assignment_that_differ_hold_the_person(sample, read):
    feed = read(sample.text(sample.row(), sample.row(fin="", corps="551"), sample.row(uai="0800010B")))
    assert not feed.people
    assert [(r.line, r.code) for r in feed.rejections] == [
        (2, "assignment-contradicts"),
        (3, "assignment-contradicts"),
    ]
    assert "corps (553 here, 551 there), fin (2027-08-31 here, blank there)" in feed.rejections[0].message
    assert set(feed.raw_lines) == {2, 3, 4}


def test_an_unusual_numen_is_a_remark(sample, read):
    feed = read(sample.text(sample.row(numen="01E9501234A1C")))
    assert feed.people["0001"].numen is not None
    assert [r.partition(" (")[0] for r in feed.remarks] == ["1 NUMEN has an unusual ending"]


def test_one_bad_row_holds_the_whole_person(sample, read):
    rows = sample.four()
    rows[3] = rows[3].replace("0800002T", "0800002Z")
    feed = read(sample.text(*rows))
    assert set(feed.people) == {"0001", "0002", "0004"}
    assert set(feed.held) == {"0003"}
    assert set(feed.raw_lines) == {4, 5}
    assert feed.present == {"0001", "0002", "0003", "0004"}
    assert feed.facts.people == 4


def test_a_matricule_with_too_many_assignments_is_rejected(sample, read):
    days = [f"{1 + i % 28:02d}/{1 + i // 28 % 12:02d}/{2000 + i // 336}" for i in range(502)]
    feed = read(sample.text(*(sample.row(debut=day, fin="") for day in days)))
    assert not feed.people
    assert {r.code for r in feed.rejections} == {"too-many-assignments"}


def test_a_mapping_brings_another_layout_to_the_canonical_one(read):
    content = (
        "PRENOM|ID|NOM|RNE|FN|DEB|POS\n"
        "Claire|17|Dubreuil|0800009A|P|20260901|01\n"
        "Zoé|18|Noël|0800009A|P|20260901|\n"
    )
    feed = read(
        content,
        delimiter="|",
        columns={
            "matricule": "id",
            "nom_famille": "Nom",
            "uai": "RNE",
            "fonction": "FN",
            "debut": "DEB",
            "position": "POS",
        },
        values={"fonction": {"P": "ENS"}, "position": {"01": "activite", "": "inconnue"}},
        constants={"corps": "553"},
        date_formats=("%Y%m%d",),
    )
    first, second = (feed.people[m].assignments[0] for m in ("17", "18"))
    assert (first.function, first.position, first.corps, first.start) == (
        "ENS",
        "activite",
        "553",
        date(2026, 9, 1),
    )
    assert second.position == "inconnue"
    assert not feed.remarks


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "iso-8859-15"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_delimiters_and_ends_give_the_same_people(sample, read, encoding, delimiter, end):
    plain = read(sample.text(*sample.four()))
    text = sample.text(*sample.four()).replace(";", delimiter).replace("\n", end)
    codec = {"windows-1252": "cp1252"}.get(encoding, encoding)
    feed = read(text.encode(codec), encoding=encoding)
    assert feed.people == plain.people
    assert feed.layout.delimiter == delimiter


def test_a_byte_order_mark_is_no_part_of_the_header(sample, read):
    feed = read(b"\xef\xbb\xbf" + sample.text(*sample.four()).encode())
    assert len(feed.people) == 4


def test_unknown_columns_are_named(sample, read):
    feed = read(sample.text(sample.row() + ";x", header=sample.header + ";Grade"))
    assert feed.remarks == ("columns not read: 'Grade'",)


def test_the_date_of_a_feed(sample, read):
    text = sample.text(sample.row())
    assert read(text, name="epp-20260901.csv").facts.date == date(2026, 9, 1)
    assert read(text, name="epp-2026-09-02.csv").facts.date == date(2026, 9, 2)
    nameless = read(text, name="epp.csv")
    assert nameless.facts.date is None
    assert [r.partition(",")[0] for r in nameless.remarks] == ["the feed has no date"]
    other = read(sample.with_trailer(text.encode(), 1, day="2026-09-03"))
    assert other.facts.date == date(2026, 9, 3)
    assert [r.partition("; ")[2] for r in other.remarks] == ["the #FIN line counts"]
