"""What happens to the files of an HR office: `feed check` says before the night, in its language,
which line is wrong, what is expected and who acts. The night that gets such a file takes nothing from
anybody."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import openpyxl
import pytest

from tests.outside import civil_today

from .academy import Academy, Ran, prepared
from .feeds import COLUMNS, HEADER, MICHELIS, row, text

PEOPLE = 60
TODAY = civil_today("Europe/Paris")
DAYS = [(TODAY - timedelta(days=ago)).isoformat() for ago in (3, 2, 1, 0)]
NIGHT = DAYS[3]


def person(place: int, **values: str) -> str:
    """One of ten has a matricule that begins with a zero."""
    own = {
        "matricule": f"{90_000 + place if place % 10 == 0 else 3_900_000 + place:07}",
        "numen": f"20E95{place:05}ABC",
        "prenom": "Élodie" if place % 2 else "Gaël",
        "nom_famille": f"Lefèvre{chr(97 + place // 26)}{chr(97 + place % 26)}",
        "date_naissance": f"{1 + place % 28:02}/07/{1970 + place % 20}",
        "uai": "0800009A" if place % 3 else MICHELIS,
        "debut": "2020-09-01",
        "fin": "2030-08-31" if place % 2 else "",
        "position": "suspension" if place == 7 else "",
    }
    return row(**{**own, **values})


ROWS = [person(place) for place in range(PEOPLE)]
TODAYS = text(ROWS, NIGHT)


@prepared
def office(academy: Academy) -> Academy:
    """Three nights with everybody, so that a feed has something to be compared with."""
    for day in DAYS[:3]:
        academy.night(day, academy.feed(*ROWS, day=day))
    return academy


def speak(academy: Academy, language: str, *words: str | Path) -> Ran:
    return academy.run_in_french(*words) if language == "fr" else academy.run(*words)


def french_day(day: str) -> str:
    return "/".join(reversed(day.split("-")))


def without(column: str) -> str:
    place = COLUMNS.index(column)
    cut = [";".join(c for n, c in enumerate(line.split(";")) if n != place) for line in (HEADER, *ROWS)]
    return "\n".join([*cut, TODAYS.splitlines()[-1], ""])


def with_days(form: str) -> str:
    """The file with its days in another form of day, month and year, such as `{0}/{1}/{2}`."""

    def written(day: re.Match[str]) -> str:
        numbers = map(int, reversed(day[1].split("-")) if "-" in day[1] else day[1].split("/"))
        return ";" + form.format(*numbers)

    rows, end = TODAYS.split("#FIN")
    return re.sub(r";(\d\d/\d\d/\d{4}|\d{4}-\d\d-\d\d)", written, rows) + "#FIN" + end


def slipped() -> str:
    """Each matricule is one row further down, as if a cell had been inserted."""
    keys = [line.split(";")[0] for line in ROWS]
    both = [line for line in ROWS for _ in (0, 1)]  # two rows each
    ours = [
        line.replace("0800009A", MICHELIS).replace(";ENS;", ";DOC;") if n % 2 else line
        for n, line in enumerate(both)
    ]
    column = [keys[-1], *(line.split(";")[0] for line in ours[:-1])]
    return text([f"{key};{line.partition(';')[2]}" for key, line in zip(column, ours, strict=True)], NIGHT)


def workbook() -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    for line in (HEADER, *ROWS):
        book.worksheets[0].append(line.split(";"))
    book.save(content)
    return content.getvalue()


def with_wrong_rows() -> str:
    first = [person(0, fonction="PROF"), person(1, debut="31/02/2026"), person(2, modalite="titulaire")]
    return text([*first, *ROWS[3:]], NIGHT)


def with_wrong_names() -> str:
    first = [person(0, position="congé maternité"), person(1, uai="0800009B"), person(2, prenom="L?a")]
    return text([*first, *ROWS[3:]], NIGHT)


@dataclass(frozen=True)
class Situation:
    """A file, the exit codes of its check and of the night that gets it, and what both print. `check`: the
    check alone prints it. `compare`: the check asks the directory."""

    file: Callable[[], str | bytes]
    code: int
    night: int
    en: tuple[str, ...]
    fr: tuple[str, ...]
    check_only: bool = False
    compare: bool = False
    name: str = ""


SITUATIONS = {
    "1 a good file": Situation(
        lambda: b"\xef\xbb\xbf" + TODAYS.replace("\n", "\r\n").encode(), 0, 0,
        ("60 rows", "source hr (full)"), ("60 lignes", "source hr (complet)"),
    ),
    "2 saved by Excel as ANSI": Situation(
        lambda: TODAYS.encode("cp1252"), 6, 6,
        ("60 of 60 rows are not utf-8, the first is line 2; they look like windows-1252; "
         "HR: export the file again, without opening it in a spreadsheet; administrator: or",),
        ("60 lignes sur 60 ne sont pas en utf-8, la première est la ligne 2",
         "RH : refaire l'extraction sans l'ouvrir dans un tableur ; administrateur : ou"),
    ),
    "3 days as D/M/YYYY": Situation(lambda: with_days("{0}/{1}/{2}"), 0, 0, ("60 rows",), ("60 lignes",)),
    "4 days with hyphens": Situation(
        lambda: with_days("{0:02}-{1:02}-{2}"), 6, 6,
        ("60 of 60 values of column debut are wrong",
         "line 2: '01-09-2020' is not a valid date: expected the form 01/09/2020 or 2020-09-01",
         "HR: send a correct file"),
        ("60 valeurs sur 60 de la colonne debut sont fausses",
         "ligne 2 : '01-09-2020' n'est pas une date valable : écrire sous la forme 01/09/2020 ou 2020-09-01",
         "RH : envoyer un fichier correct"),
    ),
    "4 days that Excel made a number": Situation(
        lambda: TODAYS.replace(";2020-09-01", ";44075"), 6, 6,
        ("line 2: '44075' is the number that Excel has for 2020-09-01: expected 01/09/2020 or 2020-09-01",),
        ("ligne 2 : '44075' est le nombre qui représente le 01/09/2020 dans Excel : écrire 01/09/2020 ou",),
    ),
    "4 years of two digits": Situation(
        lambda: TODAYS.replace(";2020-09-01", ";01/09/20").replace(";2030-08-31", ";31/12/99"), 6, 6,
        ("line 2: '01/09/20' has a year of two digits: expected four, such as 2020-09-01",
         "'31/12/99' has a year of two digits: expected four, such as 9999-12-31"),
        ("ligne 2 : '01/09/20' a une année de deux chiffres : écrire l'année en quatre chiffres, 2020-09-01",
         "'31/12/99' a une année de deux chiffres : écrire l'année en quatre chiffres, 9999-12-31"),
    ),
    "4 the month before the day": Situation(
        lambda: with_days("{1:02}/{0:02}/{2}"), 6, 6,
        ("'08/31/2030' has the month before the day; other dates are read the wrong way round without an "
         "error: correct none of them by hand",),
        ("'08/31/2030' : le mois est écrit avant le jour ; d'autres dates se lisent à l'envers sans erreur : "
         "ne rien corriger à la main",),
    ),
    "4 a code that nobody knows": Situation(
        lambda: TODAYS.replace(";ENS;", ";PROF;"), 6, 6,
        ("line 2: fonction 'PROF' fits no profile of the policy", "HR: send a correct file"),
        ("ligne 2 : la fonction 'PROF' n'est pas connue de la politique", "RH : envoyer un fichier correct"),
    ),
    "5 no column uai": Situation(
        lambda: without("uai"), 6, 6,
        ("column uai is missing; HR: add it", "administrator: or map its name"),
        ("la colonne uai manque ; RH : l'ajouter", "administrateur : ou indiquer son nom"),
    ),
    "5 a column with another name": Situation(
        lambda: TODAYS.replace("nom_famille", "Nom de famille", 1), 6, 6,
        ("column nom_famille is missing; the file has 'Nom de famille'; HR:",),
        ("la colonne nom_famille manque ; le fichier a 'Nom de famille' ; RH :",),
    ),
    "6 no column fin": Situation(
        lambda: without("fin"), 0, 6,
        ("warning: fin: the file has no such column: no post has an end", "HR: add it", "1 warning above"),
        ("attention : fin : cette colonne manque : aucune affectation n'aura de fin", "RH : l'ajouter",
         "rien n'est rejeté, mais il y a un doute : 1 alerte ci-dessus"),
        check_only=True,
    ),
    "6 no column fin, compared": Situation(
        lambda: without("fin"), 6, 6,
        ("column fin: a value in no row, for the column is missing, 50.0% in the last 3 feeds",),
        ("colonne fin : une valeur dans aucune ligne, car la colonne manque, contre 50,0 % dans les 3",),
        compare=True,
    ),
    "6 no column numen": Situation(
        lambda: without("numen"), 0, 6,
        ("warning: numen: the file has no such column", "HR: add it"),
        ("attention : numen : cette colonne manque : l'assistance ne pourra pas", "RH : l'ajouter"),
        check_only=True,
    ),
    "6 another name of numen": Situation(
        lambda: TODAYS.replace("numen", "NUMEN agent", 1), 0, 6,
        ("warning: numen: the file has no such column, but 'NUMEN agent', which is not read; "
         "HR: give it the name numen",),
        ("attention : numen : cette colonne manque ; le fichier a 'NUMEN agent', qui n'est pas lue ; "
         "RH : la nommer numen",),
        check_only=True,
    ),
    "7 the file of another day": Situation(
        lambda: text(ROWS[:-1], DAYS[1]), 6, 6,
        ("has been applied;\n", "HR: send the file of today; administrator: or accept it"),
        ("a été appliqué ;\n", "RH : envoyer le fichier du jour ; administrateur : ou l'accepter"),
        compare=True,
    ),
    "7 the file of last night": Situation(
        lambda: text(ROWS, DAYS[2]), 0, 0,
        ("the last night applied this very file; HR: send the one of today", "1 warning above",
         "compared with the last 3 feeds: no column differs"),
        ("la dernière nuit a déjà appliqué ce même fichier ; RH : envoyer celui du jour",
         "1 alerte ci-dessus",
         "comparé aux 3 derniers fichiers : aucune colonne ne diffère"),
        check_only=True, compare=True,
    ),
    "7 a file of yesterday, not compared": Situation(
        lambda: text(ROWS, DAYS[2]), 0, 0,
        (f"warning: date: it is dated {DAYS[2]}, not today; HR: send the one of today", "1 warning above"),
        (f"attention : date : il est daté du {french_day(DAYS[2])}, pas d'aujourd'hui ; RH : envoyer celui",
         "1 alerte ci-dessus"),
        check_only=True,
    ),
    "7 the file of a month ago": Situation(
        lambda: text(ROWS, (TODAY - timedelta(days=31)).isoformat()), 0, 6,
        ("the data are 31 days old, and a night takes at most 7 days; HR: send the file of today",),
        ("les données ont 31 jours, et une nuit en accepte au plus 7 ; RH : envoyer le fichier du jour",),
        check_only=True,
    ),
    "8 cut within a row": Situation(
        lambda: TODAYS[: len(TODAYS) // 2], 6, 6,
        ("line 31 has no line end: the file was cut; HR: export the file again",),
        ("la ligne 31 n'a pas de fin de ligne : le fichier a été coupé ; RH : refaire l'extraction",),
    ),
    "8 cut after a row": Situation(
        lambda: text(ROWS[:40]), 0, 6,
        ("warning: #FIN: the file has no such last line: if its end was cut off, nothing shows it; HR: "
         "export the file again; if it was saved from a workbook, check that this has 40 rows below its "
         "header, and let the file go; do not add the line by hand",),
        ("attention : #FIN : cette dernière ligne manque : si la fin du fichier a été coupée, rien ne le "
         "montre ; RH : refaire l'extraction ; s'il vient d'un classeur, vérifier que celui-ci a 40 lignes "
         "sous son en-tête, et le déposer ; ne pas ajouter cette ligne à la main",),
        check_only=True,
    ),
    "9 a wrong number of rows": Situation(
        lambda: TODAYS.replace(f"{ROWS[5]}\n", ""), 6, 6,
        ("the file has 59 rows, but the #FIN line says 60; HR: export the file again",),
        ("le fichier a 59 lignes, mais la ligne #FIN en annonce 60 ; RH : refaire l'extraction",),
    ),
    "10 rows twice": Situation(
        lambda: text([*ROWS, ROWS[3], ROWS[4]], NIGHT), 0, 0,
        ("2 rows are duplicates and count once (line 62 = 5, 63 = 6)",),
        ("2 lignes en double ne comptent qu'une fois (ligne 62 = 5, 63 = 6)",),
    ),
    "11 an empty row": Situation(
        lambda: text([*ROWS[:5], ";" * ROWS[0].count(";"), *ROWS[5:]], NIGHT), 5, 0,
        ("the row is blank; the file may go, but no absence counts this night; HR: remove the cause"),
        ("ligne 7 : ligne : la ligne est vide ; le fichier peut partir, mais aucune absence ne comptera "
         "cette nuit ; RH : en supprimer la cause dans votre logiciel, et non la ligne à la main",),
        check_only=True,
    ),
    "11 a NUMEN of two people": Situation(
        lambda: text([*ROWS, person(8, matricule="7777777", nom_famille="Autre", prenom="Ida")], NIGHT), 0, 0,
        ("warning: numen: 3900008 (line 10) and 7777777 (line 62) have the same NUMEN",
         "HR: if they are two people, correct what is wrong"),
        ("attention : numen : 3900008 (ligne 10) et 7777777 (ligne 62) ont le même NUMEN",
         "RH : si elles sont deux, corriger ce qui est faux"),
        check_only=True,
    ),
    "11 a column that slipped": Situation(
        slipped, 6, 6,
        ("60 of its 60 people are held (limit: 5 %, from 20); often a column, such as matricule, is a row",),
        ("60 de ses 60 personnes seraient en attente", "par exemple matricule, a glissé d'une ligne"),
        check_only=True,
    ),
    "12 wrong rows": Situation(
        with_wrong_rows, 5, 0,
        (":2: fonction: fonction 'PROF' fits no profile of the policy; write one of ADA, ",
         "; administrator: or add it to the policy [profile-none]",
         ":3: debut: there is no '31/02/2026': its month has fewer days; "
         "HR: correct it in your application, or in the rejects file [bad-date]",
         ":4: modalite: 'titulaire' is not a modalite: expected principale, secondaire or suppleance; HR:"),
        (", ligne 2 : fonction : la fonction 'PROF' n'est pas connue de la politique ; écrire un de",
         " ; administrateur : ou l'ajouter à la politique [profile-none]",
         ", ligne 3 : debut : il n'y a pas de '31/02/2026' : ce mois a moins de jours ; "
         "RH : à corriger dans votre logiciel, ou dans le fichier des rejets [bad-date]",
         ", ligne 4 : modalite : 'titulaire' n'est pas une modalité : écrire principale, secondaire ou"),
    ),
    "12 wrong names and places": Situation(
        with_wrong_names, 5, 0,
        (":2: position: position 'congé maternité' is not in the policy; write one of acces_reduit, ",
         ":3: uai: the key letter of UAI 0800009B is wrong: 0800009A would be right; HR: correct it",
         ":4: prenom: prenom 'L?a' has a question mark in place of a letter; correct it in the HR"),
        (", ligne 2 : position : la position 'congé maternité' n'est pas connue de la politique ; écrire un",
         ", ligne 3 : uai : la lettre clé de l'UAI 0800009B est fausse : 0800009A serait juste ; RH :",
         ", ligne 4 : prenom : prenom 'L?a' a un point d'interrogation à la place d'une lettre : un accent a "
         "été perdu ; à corriger dans le logiciel RH"),
    ),
    "13 a file without its zeros": Situation(
        lambda: re.sub("(?m)^0+", "", TODAYS), 0, 6,
        ("warning: matricule: 6 of 60 matricules: not of 7 digits, as most are (90000, line 2, 12, 22, 32, "
         "42 and 1 more): a spreadsheet may have removed leading zeros; HR: send the file as it was",),
        ("attention : matricule : 6 matricule(s) sur 60 sans 7 chiffres, contrairement à la plupart (90000, "
         "ligne 2, 12, 22, 32, 42 et 1 de plus) : un tableur a peut-être enlevé des zéros de tête ; RH :",),
        check_only=True,
    ),
    "13 the same, compared": Situation(
        lambda: re.sub("(?m)^0+", "", TODAYS), 6, 6,
        ("line 2: 90000 is 0090000 without its 2 zeros: the file was saved by a spreadsheet",
         "HR: send the file as it was exported"),
        ("ligne 2 : 90000 est 0090000 sans ses 2 zéros : un tableur a enregistré le fichier",
         "RH : envoyer le fichier tel qu'il a été extrait, sans l'ouvrir dans un tableur"),
        compare=True,
    ),
    "14 a workbook": Situation(
        workbook, 2, 2,
        ("the file is an Excel workbook, not CSV; HR: open it, then File > Save as > CSV UTF-8",),
        ("le fichier est un classeur Excel, non un CSV ; RH : l'ouvrir, puis Fichier > Enregistrer sous",),
        name="hr-4.xlsx",
    ),
    "14 a workbook named .csv": Situation(
        workbook, 6, 6,
        ("the file is an Excel workbook, not CSV; HR: open it",),
        ("le fichier est un classeur Excel, non un CSV ; RH : l'ouvrir",),
    ),
}  # fmt: skip
"""Each has the number of the situation that it plays."""


CARD = (Path(__file__).parents[2] / "docs" / "fr" / "hr-card.md").read_text(encoding="utf-8")
ON_CARD = [
    re.sub(r"\d+", r"\\d+", re.escape(quote)).replace(re.escape("..."), ".*")
    for line in re.findall(r"^\| (« [^|]+) \|", CARD, re.MULTILINE)
    for quote in re.findall("« (.+?) »", line)
]
"""What piactl says, as the card for an HR office has it."""


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("name", SITUATIONS)
def test_a_file_and_the_night_that_gets_it(office: Academy, name: str, language: str) -> None:
    case = SITUATIONS[name]
    content = case.file()
    feed = office.raw_feed(content if isinstance(content, bytes) else content.encode())
    feed = feed.rename(feed.with_name(case.name or feed.name))
    checked = speak(office, language, "feed", "check", feed, *(["--compare"] if case.compare else []))
    with office.nothing_written():
        night = speak(office, language, "nightly", feed, "--as-of", NIGHT)
    assert (checked.code, night.code) == (case.code, case.night), (checked, night)
    assert "--accept-feed" not in checked.out + checked.err, "only an administrator accepts a feed"
    if language == "fr":
        assert [words for words in ON_CARD if re.search(words, checked.out + checked.err)], "not on the card"
    for words in case.fr if language == "fr" else case.en:
        assert words in checked.out + checked.err
        assert case.check_only or words in night.out + night.err


@pytest.mark.parametrize("language", ["en", "fr"])
def test_4_a_refused_file_has_no_rejects(office: Academy, language: str) -> None:
    """Its rows are not wrong one by one; a corrected part of them would be taken."""
    feed, out = office.raw_feed(with_days("{1:02}/{0:02}/{2}").encode()), office.folder / "rejects.csv"
    checked = speak(office, language, "feed", "check", feed)
    ran = speak(office, language, "feed", "rejects", feed, "--out", out)
    assert (ran.code, ran.err, out.exists()) == (6, checked.err, False)
    assert ("correct none of them by hand" if language == "en" else "ne rien corriger à la main") in ran.err


@pytest.mark.parametrize("language", ["en", "fr"])
def test_1_and_11_who_is_new_and_who_has_a_mistyped_matricule(office: Academy, language: str) -> None:
    typed = [person(8, matricule="7777777"), *ROWS[:8], *ROWS[9:]]
    ran = speak(office, language, "feed", "check", office.raw_feed(text(typed, NIGHT).encode()), "--compare")
    assert ran.code == 0, ran.err
    if language == "fr":
        words = "1 matricule n'a pas de compte : 7777777 Gaël Lefèvreai ; si l'une de ces personnes n'est pas"
    else:
        words = "1 matricule has no account: 7777777 Gaël Lefèvreai; if one of them is not new, the matricule"
    assert words in ran.out
    same = speak(office, language, "feed", "check", office.raw_feed(TODAYS.encode()), "--compare")
    assert "Gaël" not in same.out


def test_12_dates_of_rejects_are_in_the_form_that_a_spreadsheet_keeps(office: Academy) -> None:
    feed, out = office.raw_feed(with_wrong_rows().encode()), office.folder / "rejects.csv"
    assert office.run("feed", "rejects", feed, "--out", out).code == 0
    content = out.read_text(encoding="utf-8")
    assert ";1971-07-02;" in content
    assert ";31/02/2026;" in content, "what is wrong stays as it was"
    again = office.run("feed", "check", out.rename(out.with_name("hr-rejects.csv")))
    assert again.out.count("[bad-date]") == 1


@pytest.mark.parametrize("language", ["en", "fr"])
def test_15_how_good_the_files_are(office: Academy, language: str) -> None:
    """A note and its parts in percent, one under the other; nobody is named."""
    office.night(NIGHT, office.raw_feed(with_wrong_rows().encode()))
    ran = speak(office, language, "feed", "score", "-o", "table")
    parts = [line.partition("  ") for line in ran.out.partition("\n\n")[0].splitlines()]
    lines = {name: " ".join(value.split()) for name, _, value in parts}
    nights = speak(office, language, "feed", "score", "--by", "night", "-o", "table")
    day = TODAY.strftime("%d/%m/%Y") if language == "fr" else NIGHT
    assert day in nights.out
    if language == "fr":
        assert (lines["source"], lines["nuits"]) == ("hr", "4")
        assert any("en attente" in name for name in lines)
        assert lines["validité"] == "98,8 % lignes acceptées"
        assert lines["délais"].endswith("postes connus à temps")
        assert {"réapparues", "note"} <= {*lines}
        assert "acquis" not in ran.out
    else:
        assert (lines["source"], lines["nights"], lines["held"]) == ("hr", "4", "0")
        assert lines["validity"] == "98.8% rows accepted"
    assert not any(name in ran.out for name in ("Lefèvre", "39000", "00900"))
    office.run("nightly", office.raw_feed(text(ROWS[:20], NIGHT).encode()), "--as-of", NIGHT)
    sent = speak(office, language, "feed", "score", "-o", "xlsx").out
    book = openpyxl.load_workbook(io.BytesIO(sent.encode("latin-1")))
    first, nights, refused, schools = (list(sheet.values) for sheet in book.worksheets)
    words = "moyenne des parts qui suivent" if language == "fr" else "mean of the shares below"
    assert any(row[-1] == words for row in first)
    assert all(isinstance(row[4], int | float) for row in nights[1:])
    assert refused[1][:2] == ("hr", day)
    assert schools[0][0] == "uai"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_16_the_contracts_that_end(office: Academy, language: str) -> None:
    """By establishment, for a spreadsheet, by the name of the school and with days as people write them."""
    words = ("--ending-to", "31/12/2030", "--uai", "madeleine michelis", "-o", "xlsx")
    ran = speak(office, language, "assignment", "list", *words)
    assert ran.code == 0, ran.err
    head, *rows = openpyxl.load_workbook(io.BytesIO(ran.out.encode("latin-1"))).worksheets[0].values
    french = ("uai", "établissement", "fin", "accès jusqu'au", "nom affiché", "uid", "fonction")
    assert head == (french if language == "fr" else (
        "uai", "establishment", "end", "access_until", "display_name", "uid", "function"))  # fmt: skip
    assert len(rows) == 10
    day = "31/08/2030" if language == "fr" else "2030-08-31"
    assert rows[0][:3] == (MICHELIS, "Lycée Madeleine Michelis", day)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_17_the_page_of_the_night(office: Academy, language: str) -> None:
    """Who waits, why and who acts; days and times of one time zone, as people write them."""
    page = office.folder / "night.html"
    feed = office.raw_feed(with_wrong_rows().encode())
    ran = speak(office, language, "nightly", feed, "--as-of", NIGHT, "--html", page)
    assert ran.code == 0, ran.err
    shown = page.read_text(encoding="utf-8")
    assert 'class="verdict waits"' in shown
    assert "+00:00" not in shown
    if language == "fr":
        day = TODAY.strftime("%d/%m/%Y")
        assert f"Nuit du {day}" in shown
        assert re.search(rf"{day} à \d\d h \d\d \(Europe/Paris\)", shown)
        assert "3 personnes sont en attente" in shown
        assert "3 lignes ont été rejetées" in shown
        assert ", ligne 3 : " in shown
        assert shown.count("RH : à corriger dans votre logiciel") == 1, "with who waits, not also by reason"
        assert {"portée", "motif", "lignes rejetées"} <= {*re.findall(">([^<]+)<", shown)}
    else:
        assert f"Night of {NIGHT}" in shown
        assert re.search(rf"{NIGHT} \d\d:\d\d \(Europe/Paris\)", shown)
        assert "HR: correct it in your application" in shown


@pytest.mark.parametrize("language", ["en", "fr"])
def test_10_and_17_newcomers_on_the_page_by_their_names(office: Academy, language: str) -> None:
    page = office.folder / "night.html"
    newcomer = {"matricule": "8888888", "nom_famille": "Cagny", "prenom": "Maud", "numen": ""}
    wrong = person(8, **newcomer, discipline="L0202"), person(8, **newcomer, discipline="L1000")
    feed = office.raw_feed(text([*ROWS, *wrong], NIGHT).encode())
    night = speak(office, language, "nightly", feed, "--as-of", NIGHT, "--html", page)
    assert night.code == 0, night.err
    shown = page.read_text(encoding="utf-8")
    assert "8888888 Maud Cagny" in shown
    if language == "fr":
        assert "affectation de 8888888, ligne 63, diffère dans discipline (L0202 ici, L1000 là)" in shown
    else:
        assert "assignment of 8888888, line 63, disagrees in discipline (L0202 here, L1000 there)" in shown
    public = speak(office, language, "nightly", feed, "--as-of", NIGHT, "--html", page, "--public")
    assert public.code == 0, public.err
    assert "Cagny" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_17_the_page_of_a_file_that_was_cut(office: Academy, language: str) -> None:
    """Who is absent from a file is on the page, which is not green; a file applied before says so."""
    page = office.folder / "night.html"
    ran = speak(
        office, language, "nightly", office.raw_feed(text(ROWS[:-2], NIGHT).encode()), "--as-of", NIGHT,
        "--html", page,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    shown = page.read_text(encoding="utf-8")
    assert 'class="verdict waits"' in shown
    assert re.search(r"gael\.lefevrecg ?: ENS", shown), "who waits"
    speak(office, language, "nightly", office.raw_feed(text(ROWS[:-2], NIGHT).encode()), "--as-of", NIGHT,
          "--html", page)  # fmt: skip
    again = page.read_text(encoding="utf-8")
    if language == "fr":
        assert "2 affectations sont absentes du fichier et attendent le suivant" in shown
        assert "Rien de nouveau : " in again
    else:
        assert "2 assignments are absent from the feed and wait for the next one" in shown
        assert "Nothing new: " in again
