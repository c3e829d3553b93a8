"""Finding an account by what a caller says on the telephone."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import openpyxl
import pytest

from tests.cli.terminal import at_terminal
from tests.outside import civil_today

from .academy import Academy, prepared
from .feeds import MICHELIS, THUILLIER, row
from .test_closures import restarted
from .test_person_export import reads

DAY = "2026-09-05"


def staff_rows() -> list[str]:
    people = [("Claire", "Dubreuil"), ("Zoé", "Verdelot"), ("Jean-Luc", "d'Orsay"), ("Inès", "Le Goff")]
    return [
        row(matricule=str(1001 + n), prenom=first, nom_famille=family, date_naissance=f"198{n}-03-04")
        for n, (first, family) in enumerate(people)
    ]


@prepared
def staff(academy: Academy) -> Academy:
    academy.night(DAY, academy.feed(*staff_rows(), day=DAY))
    return academy


@pytest.mark.parametrize(
    ("words", "uid"),
    [
        (["verdelot"], "zoe.verdelot"),
        (["ZOE", "Verd"], "zoe.verdelot"),
        (["verdelot zoé"], "zoe.verdelot"),
        (["dorsay"], "jean-luc.dorsay"),
        (["d'orsay"], "jean-luc.dorsay"),
        (["le", "goff"], "ines.le-goff"),
        (["claire.dubreuil"], "claire.dubreuil"),
    ],
)
def test_by_name(staff: Academy, words: list[str], uid: str) -> None:
    ran = staff.run("account", "find", *words, "--as-of", DAY, "-o", "json")
    assert (ran.code, ran.err) == (0, "")
    assert [account["uid"] for account in ran.json] == [uid]


def with_a_telephone(academy: Academy, number: str) -> None:
    """Gives Lycée Louis Thuillier a telephone in the register, where no other school has one."""
    path = academy.sandbox.folder / "establishments.csv"
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    lines = [f"{line};{number if line.startswith(THUILLIER) else ''}" for line in lines]
    path.write_text("\n".join([f"{header};telephone", *lines, ""]), encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "uids"),
    [
        (["zoe.verdelot@ac-amiens.fr"], ["zoe.verdelot"]),
        (["delot"], ["zoe.verdelot"]),
        (["1002"], ["zoe.verdelot"]),
        (["zoé", "thuillier"], ["zoe.verdelot"]),
        (["michelis"], ["lea.hugo"]),
        ([MICHELIS], ["lea.hugo"]),
        (["zoe", "03", "53", "01", "02", "03"], ["zoe.verdelot"]),
        (["03.53.01.02.03", "dubreuil"], ["claire.dubreuil"]),
        (["+33 3 53 01 02 03", "goff"], ["ines.le-goff"]),
        (["53 01 02", "goff"], ["ines.le-goff"]),
        (["louis"], ["claire.dubreuil", "ines.le-goff", "jean-luc.dorsay", "zoe.verdelot"]),
        (["le", "--uai", "Madeleine Michelis"], ["lea.hugo"]),
        (["le", "--uai", MICHELIS], ["lea.hugo"]),
        (["le"], ["ines.le-goff", "lea.hugo"]),
    ],
)
def test_by_any_piece(staff: Academy, words: list[str], uids: list[str]) -> None:
    """A piece of a name, an address or a matricule, or of the school: its UAI, name, commune, telephone."""
    with_a_telephone(staff, "03 53 01 02 03")
    lea = row(matricule="1009", prenom="Léa", nom_famille="Hugo", date_naissance="1988-01-02", uai=MICHELIS)
    staff.night("2026-09-06", staff.feed(*staff_rows(), lea, day="2026-09-06"))
    ran = staff.run("account", "find", *words, "--as-of", "2026-09-06", "-o", "json")
    assert (ran.code, ran.err) == (0, "")
    assert [account["uid"] for account in ran.json] == uids


def test_nobody_there_but_elsewhere(staff: Academy) -> None:
    """--uai looks in one establishment; that somebody of this name is at another one is said, whether or not
    there is a similar name in the first."""
    lea = row(matricule="1009", prenom="Léa", nom_famille="Hugo", date_naissance="1988-01-02", uai=MICHELIS)
    near = row(
        matricule="1010", prenom="Zoé", nom_famille="Verdelat", date_naissance="1989-01-02", uai=MICHELIS
    )
    there = ("--uai", MICHELIS, "--as-of", "2026-09-06", "-o", "json")
    staff.night("2026-09-06", staff.feed(*staff_rows(), lea, day="2026-09-06"))
    ran = staff.run("account", "find", "zoe", "verdelot", *there)
    assert (ran.code, ran.json) == (9, [])
    said = "nobody at Lycée Madeleine Michelis fits, but 1 person elsewhere: piactl account find zoe verdelot"
    assert said in ran.err
    staff.night("2026-09-06", staff.feed(*staff_rows(), lea, near, day="2026-09-06"))
    assert said in staff.run("account", "find", "zoe", "verdelot", *there).err
    assert "nobody has this name" in staff.run("account", "find", "ouedraogo", *there).err


def test_up_to_four_are_cards_and_more_are_a_table(staff: Academy) -> None:
    """At 80 columns the address is whole; a card says what refuses the log in."""
    why = ("--reason", "vol de portable", "--as-of", DAY)
    assert staff.run("account", "lock", "zoe.verdelot", *why, "--yes").code == 0
    find = ("account", "find", "--as-of", DAY)
    code, text = at_terminal(staff, *find, "verdelot", columns=80)
    first, second, third, fourth = text.splitlines()
    assert (code, first, second) == (0, "Zoé Verdelot  zoe.verdelot", "  zoe.verdelot@ac-amiens.fr")
    assert third == f"  ENS at {THUILLIER} (Lycée Louis Thuillier)"
    assert fourth.startswith("  active, LOCKED; cannot log in: locked")
    assert "vol de portable" in fourth
    _, text = at_terminal(staff, *find, "verdelot", columns=80, LC_ALL="fr_FR.UTF-8")
    third, fourth = text.splitlines()[2:]
    assert third == f"  ENS à {THUILLIER} (Lycée Louis Thuillier)"
    assert fourth.startswith("  actif, VERROUILLÉ ; ne peut pas se connecter : verrouillé")
    assert len(at_terminal(staff, *find, "thuillier", columns=80)[1].splitlines()) == 16
    feed = staff.feed(
        *(
            row(matricule=str(3000 + n), prenom=name, nom_famille="Vandenberghe-Castelain",
                date_naissance=f"197{n}-03-04")
            for n, name in enumerate(("Marie-Christine", "Anne-Sophie", "Jean-Baptiste", "Ana", "Jo"))
        ),
        day="2026-09-06",
    )  # fmt: skip
    staff.night("2026-09-06", feed)
    for language in ("C.UTF-8", "fr_FR.UTF-8"):
        code, text = at_terminal(staff, *find, "castelain", columns=80, LC_ALL=language)
        head, *lines, left_out = text.splitlines()
        found = [line.split()[0] for line in lines if "@" in line]
        assert (code, len(found), max(map(len, lines)) <= 80) == (0, 5, True), text
        assert "-o tsv" in left_out
        assert "marie-christine.vandenberghe-castelain@ac-amiens.fr" in found
        assert all(address.endswith("@ac-amiens.fr") for address in found), text
        assert head.split()[0] in ("address", "adresse")
        assert "Marie-Christine" in text, "a name has two lines rather than be cut"
        assert text.count("Vandenberghe-Castelain") == 5


def test_of_many_the_school_tells_people_apart(academy: Academy) -> None:
    """Address, name and school are whole at 80 columns; function and state may be left out."""
    people = [
        ("Anne", THUILLIER),
        ("Paul", MICHELIS),
        ("Lise", THUILLIER),
        ("Max", MICHELIS),
        ("Zoé", MICHELIS),
    ]
    rows = [
        row(matricule=str(1001 + n), prenom=first, nom_famille="de Hallencourt", uai=uai,
            date_naissance=f"198{n}-03-04")
        for n, (first, uai) in enumerate(people)
    ]  # fmt: skip
    academy.night(DAY, academy.feed(*rows, day=DAY))
    find = ("account", "find", "hallencourt", "--as-of", DAY)
    for language in ("C.UTF-8", "fr_FR.UTF-8"):
        _, text = at_terminal(academy, *find, columns=80, LC_ALL=language)
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert any(
            line.startswith("max.de-hallencourt@ac-amiens.fr Max de Hallencourt Lycée Mad") for line in lines
        ), text


@pytest.mark.parametrize(("word", "uid"), [("verdlot", "zoe.verdelot"), ("dubreuill", "claire.dubreuil")])
def test_with_a_typing_error_the_nearest_are_listed(staff: Academy, word: str, uid: str) -> None:
    ran = staff.run("account", "find", word, "--as-of", DAY, "-o", "json")
    assert ran.code == 0
    assert "nobody has this name; the nearest" in ran.err
    assert [account["uid"] for account in ran.json] == [uid]


def test_all_words_but_one(staff: Academy) -> None:
    """Nobody at a collège is called so: those of that name are shown, with the word that does not fit."""
    find = ("account", "find", "dubreuil", "college", "--as-of", DAY)
    ran = staff.run(*find, "-o", "json")
    assert (ran.code, [account["uid"] for account in ran.json]) == (0, ["claire.dubreuil"])
    assert "not all words fit anybody; without college:" in ran.err
    assert "sans college :" in staff.run_in_french(*find).err
    both = staff.run("account", "find", "dubreuil", "madeleine", "michelis", "--as-of", DAY, "-o", "json")
    assert [account["uid"] for account in both.json] == ["claire.dubreuil"]
    assert "without madeleine michelis:" in both.err
    assert staff.run("account", "find", "wlodarczyk", "lycee", "--as-of", DAY).code == 9


def test_a_person_who_married_is_found_by_both_names(staff: Academy) -> None:
    """The uid stays; the card has the former address, and the new name as a uid leads to the account."""
    rename = ("account", "rename", "zoe.verdelot", "--usage-name", "Lambert", "--until", "2027-08-31")
    assert staff.run(*rename, "--reason", "mariage", "--as-of", DAY).code == 0
    for name in ("verdelot", "lambert"):
        _, text = at_terminal(staff, "account", "find", name, "--as-of", DAY, LC_ALL="fr_FR.UTF-8")
        first, second, third, fourth, *_ = text.splitlines()
        assert (first, second) == ("Zoé Lambert  zoe.verdelot", "  zoe.lambert@ac-amiens.fr")
        assert third == "  anciennement zoe.verdelot@ac-amiens.fr"
        assert fourth == "  nom de naissance : Verdelot"
    for name in ("zoe.lambert", "zoe.lambrt"):
        assert "did you mean zoe.verdelot?" in staff.run("why", name).err


def test_columns_for_a_mail_merge(staff: Academy) -> None:
    """Columns come in the order asked for, in every form; reading the private address is journalled."""
    names = "family_name,given_name,uid,functions,establishments,establishment_names"
    words = ["account", "find", "verdelot", "--as-of", DAY, "--columns"]
    place = "Lycée Louis Thuillier"
    (account,) = staff.run(*words, names, "-o", "json").json
    assert list(account) == names.split(",")
    assert account["establishment_names"] == [place]
    printed = staff.run("account", "list", *words[3:], names, "-o", "xlsx").out.encode("latin-1")
    head, *people = openpyxl.load_workbook(io.BytesIO(printed)).worksheets[0].iter_rows(values_only=True)
    assert (list(head), len(people)) == (names.split(","), 4)
    assert people[3] == ("Verdelot", "Zoé", "zoe.verdelot", "ENS", THUILLIER, place)
    # the help desk may list accounts; only `forecast --leavers --private-mail` has private addresses
    assert staff.run(*words, "private_mail").code == 2
    assert reads(staff) == []
    wrong = staff.run(*words, "noms", "-o", "json")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, 2)
    assert "--columns noms: is not a column; valid values:" in wrong.err


def test_columns_of_the_other_lists(staff: Academy) -> None:
    """Lists about accounts also have the columns that a mail merge needs."""
    why, until = ("--reason", "essai", "--as-of", DAY), "2026-09-20"
    assert staff.run("account", "close", "ines.le-goff", "--until", until, *why).code == 0
    grant = ("exception", "grant", "zoe.verdelot", "--service", "siecle", "--uai", THUILLIER)
    assert staff.run(*grant, "--until", until, *why).code == 0
    staff.change("claire.dubreuil", displayName=["X"])
    names = "given_name,establishment_names,uid"
    for noun, uid, given_name in (
        ("exception", "zoe.verdelot", "Zoé"),
        ("override", "ines.le-goff", "Inès"),
        ("drift", "claire.dubreuil", "Claire"),
    ):
        rows = staff.run(noun, "list", "--columns", names, "-o", "json", "--as-of", DAY).json
        assert rows == [
            {"given_name": given_name, "establishment_names": ["Lycée Louis Thuillier"], "uid": uid}
        ]
        assert staff.run(noun, "list", "--columns", "noms", "--as-of", DAY).code == 2
        assert (
            set(names.split(",")) - {"uid"} - {*staff.run(noun, "list", "-o", "json", "--as-of", DAY).json[0]}
        )
    runs = staff.run("runs", "list", "--columns", "status,run", "-o", "csv").out.splitlines()
    assert runs[0] == "status,run"
    assert runs[1].startswith("done,")
    assert (
        staff.run("match", "list", "--columns", "name,days", "-o", "tsv", "--as-of", DAY).out
        == "name\tdays\n"
    )
    assert staff.run("match", "list", "--columns", "given_name").code == 2


def test_texts_show_the_establishment_name_beside_its_uai(staff: Academy) -> None:
    named = f"{THUILLIER} (Lycée Louis Thuillier)"
    for words in (["account", "show", "zoe.verdelot"], ["why", "zoe.verdelot", "iprof"]):
        text = staff.run(*words, "--as-of", DAY).out
        assert text.count(named) == 1, text
    drawn = staff.run("account", "timeline", "zoe.verdelot", "--as-of", DAY).out
    assert drawn.endswith(f"{THUILLIER}  Lycée Louis Thuillier\n")
    feed = staff.feed(
        row(matricule="1001", prenom="Claire", nom_famille="Dubreuil", fin="2026-09-20"), day=DAY
    )
    plan = staff.run("plan", feed, "--as-of", DAY).out
    assert plan.count("Louis Thuillier)") == 1, plan


@pytest.mark.parametrize("word", ["wlodarczyk", "...", "*"])
def test_find_reports_that_nobody_has_the_name(staff: Academy, word: str) -> None:
    ran = staff.run("account", "find", word, "--as-of", DAY)
    assert ran.code == 9
    assert "nobody has this name" in ran.err


@pytest.mark.parametrize("name", ["claire.dubruil", "clair.dubreuil@ac-amiens.fr"])
def test_did_you_mean(staff: Academy, name: str) -> None:
    ran = staff.run("account", "show", name)
    assert ran.code == 9
    assert "did you mean claire.dubreuil?" in ran.err
    assert "did you mean" not in staff.run("account", "show", "nobody.atall").err


def test_accounts_are_listed_by_lock_sponsor_service_and_last_login(academy: Academy) -> None:
    today = civil_today("Europe/Paris")

    def listed(*words: str, code: int = 0, verb: tuple[str, ...] = ("list",)) -> Any:
        if "--as-of" not in words:
            words = (*words, "--as-of", today.isoformat())
        ran = academy.run("account", *verb, *words, "-o", "json")
        assert ran.code == code, ran.err
        return [account["uid"].partition(".")[0] for account in ran.json] if code == 0 else ran.err

    people = {
        "Anne": {},
        "Bruno": {"uai": MICHELIS, "fonction": "DIR"},
        "Carla": {"uai": MICHELIS},
        "Denis": {},
    }
    rows = [
        row(matricule=str(20 + n), prenom=name, nom_famille="Hugo", debut="2026-01-01",
            date_naissance=f"1970-01-{20 + n}", **values)
        for n, (name, values) in enumerate(people.items())
    ]  # fmt: skip
    academy.night(today.isoformat(), academy.feed(*rows, day=today.isoformat()))
    end = (today + timedelta(days=30)).isoformat()
    why = ("--reason", "vu", "--as-of", today.isoformat())
    person = ("--family-name", "Aubert", "--given-name", "Lou", "--uai", THUILLIER, "--function", "ENS")
    made = academy.run("account", "create", *person, "--sponsor", "bruno.hugo", "--until", end, *why)
    assert made.code == 0, made.err
    assert academy.run("account", "lock", "denis.hugo", *why).code == 0

    assert listed("--locked") == ["denis"]
    assert listed("--sponsor", "bruno.hugo@ac-amiens.fr") == ["lou"]
    assert listed("--establishment", MICHELIS) == listed("--uai", MICHELIS) == ["bruno", "carla"]
    assert listed("--service", "siecle") == ["bruno"]
    assert listed("--service", "livret", "--uai", MICHELIS, "--profile", "enseignant") == ["carla"]
    assert listed("hugo", "--uai", MICHELIS, "--profile", "enseignant", verb=("find",)) == ["carla"]
    assert "did you mean siecle" in listed("--service", "siecl", code=9)
    assert "no account has this" in listed("--sponsor", "nobody.here", code=9)
    assert academy.run("account", "list", "--sponsor", "nobody.here").out == ""

    assert "set `lastbind on`" in listed("--never-logged-in", code=1)
    path = academy.sandbox.folder / "slapd" / "slapd.conf"
    settings = path.read_text(encoding="utf-8")
    restarted(
        academy, settings.replace("index pwdPolicySubentry eq", "lastbind on\nindex pwdPolicySubentry eq")
    )
    for uid in ("anne.hugo", "bruno.hugo"):
        academy.change(uid, userPassword=["Correct-Horse-7"])
        assert academy.sandbox.accepts(academy.dn(uid), "Correct-Horse-7")
    # a locked account counts as open if its state is
    assert listed("--never-logged-in") == ["carla", "denis", "lou"]
    assert listed("--never-logged-in", "--locked") == ["denis"]
    assert listed("--idle", "3") == []
    later = (today + timedelta(days=10)).isoformat()
    assert listed("--idle", "3", "--as-of", later) == ["anne", "bruno", "carla", "denis", "lou"]
    assert listed("--idle", "30", "--as-of", later) == []
    table = academy.run("account", "list", "--idle", "3", "--as-of", later, "-o", "csv").out
    assert table.splitlines()[0].endswith(",last_login")
    last_logins = {line.split(",")[0]: line.split(",")[-1] for line in table.splitlines()}
    assert (last_logins["anne.hugo"][:4], last_logins["carla.hugo"]) == (str(today.year), "")


def test_who_leaves_in_august(staff: Academy) -> None:
    """Those who have no post left from then on, also by hand; not who only changes posts, or goes back."""
    fixed = {"date_naissance": "1980-03-04", "debut": "2020-09-01"}
    posts = [
        {"matricule": "2001", "prenom": "Anne", "fin": "2027-08-31"},
        {"matricule": "2002", "prenom": "Bea", "fin": "2027-08-31"},
        {"matricule": "2002", "prenom": "Bea", "debut": "2027-09-01", "uai": MICHELIS},
        {"matricule": "2003", "prenom": "Chloe", "fin": "2027-08-31"},
        {"matricule": "2003", "prenom": "Chloe", "debut": "2028-03-01", "uai": MICHELIS},
        {"matricule": "2004", "prenom": "Dora", "fin": "2027-07-31"},
        {"matricule": "2005", "prenom": "Elsa"},
    ]
    rows = [row(**{"nom_famille": "Hugo", **fixed, **post}) for post in posts]
    staff.night("2026-09-06", staff.feed(*rows, day="2026-09-06"))
    today = ("--as-of", "2026-09-07")
    close = ("account", "close", "elsa.hugo", "--from", "2027-08-16", "--until", "2027-12-31")
    assert staff.run(*close, "--reason", "muted", *today).code == 0

    def leaving(*words: str) -> dict[str, str]:
        ran = staff.run("account", "list", *words, *today, "-o", "csv", "--columns", "uid,last_day")
        return dict(line.split(",") for line in ran.out.splitlines()[1:] if "hugo" in line)

    august = leaving("--ending-from", "2027-08-01", "--ending-to", "2027-08-31")
    assert august == {"anne.hugo": "2027-08-31", "chloe.hugo": "2027-08-31", "elsa.hugo": "2027-08-15"}
    assert leaving("--ending-to", "2027-08-15") == {"dora.hugo": "2027-07-31", "elsa.hugo": "2027-08-15"}
    assert leaving("--ending-from", "2027-08-20").keys() == {"anne.hugo", "chloe.hugo"}
    table = ("account", "list", "--ending-to", "2027-08-15", *today, "-o", "table")
    assert "dernier jour" in staff.run_in_french(*table).out.splitlines()[0]
    wrong = staff.run("account", "list", "--ending-from", "2027-08-02", "--ending-to", "2027-08-01")
    assert (wrong.code, "is after --ending-to" in wrong.err) == (2, True), wrong


def test_show_says_what_is_by_hand(staff: Academy) -> None:
    """Each override, exception and lock, with its author, reason and end; none that has ended."""
    today, claire = ("--as-of", DAY), "claire.dubreuil"
    acts = (
        ("exception", "deny", claire, "--service", "iprof", "--until", "2026-10-31", "--reason", "litige"),
        ("account", "rename", claire, "--usage-name", "Petit", "--until", "2027-01-31", "--reason", "nom"),
        ("account", "lock", claire, "--until", "2026-12-01", "--reason", "vol"),
    )
    for act in acts:
        ran = staff.run(*act, *today)
        assert ran.code == 0, ran
    shown = staff.show(claire, DAY)
    by = shown["lock"]["by"]
    assert shown["lock"] == {"since": DAY, "until": "2026-12-01", "by": by, "reason": "vol"}
    (override,) = shown["overrides"]
    assert {k: override[k] for k in ("kind", "until", "made", "by", "reason")} == {
        "kind": "name", "until": "2027-01-31", "made": DAY, "by": by, "reason": "nom",
    }  # fmt: skip
    (exception,) = shown["exceptions"]
    assert exception == {
        "kind": "deny", "service": "iprof", "uai": None, "start": DAY, "end": "2026-10-31", "by": by,
        "reason": "litige",
    }  # fmt: skip
    text = staff.run("account", "show", claire, *today).out
    assert f"  locked by  {by}: vol ({DAY} to 2026-12-01)\n" in text
    assert (
        "  by hand\n"
        f"    the usage name is Petit instead of none, by hand until 2027-01-31 ({by}: nom)\n"
        f"    iprof denied, {DAY} to 2026-10-31 ({by}: litige)\n"
    ) in text
    french = staff.run_in_french("account", "show", claire, *today).out
    assert (
        "  à la main\n    le nom d'usage est Petit au lieu de aucun, à la main jusqu'au 31/01/2027" in french
    )
    assert f"    iprof refusé du 05/09/2026 au 31/10/2026 ({by} : litige)\n" in french
    later = staff.show(claire, "2027-03-01")
    assert (later["overrides"], later["exceptions"]) == ([], [])
    assert "by hand" not in staff.run("account", "show", claire, "--as-of", "2027-03-01").out
