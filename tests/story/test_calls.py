"""Calls to the help desk, as its card has them (docs/fr/help-desk-card.md): what somebody says, what the
operator types and reads out, and who can log in to the real server after it. In both languages."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ldap3
import pytest

from tests.cli.terminal import at_terminal
from tests.outside import POLICIES

from .academy import Academy, Ran, prepared
from .feeds import MARESCHAL, MICHELIS, THUILLIER
from .phones import KNOWN, Phone, secret_in, verified
from .test_logins import day, post

CLAIRE, NADIA, CAMILLE, JULIE = "claire.dubreuil", "nadia.benali", "camille.verdelot", "julie.petit"
NUMEN, OTHER, OF_NADIA = "01E9501234ABC", "01E9501234XYZ", "01E9505678DEF"
OWN, NEW = "quatre chats gris et lents", "trois poules rousses et vives"
WHY = ("--reason", "appel")
KEY = re.compile(r": ((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})$", re.MULTILINE)
GIVEN = re.compile(r"[2-9cfhkmprtwx]{4}(?:-[2-9cfhkmprtwx]{4}){4}")

LABELS: Mapping[str, tuple[str, str]] = {
    # what the operator reads or answers: in English, in French
    "to say": ("to say", "à dire"),
    "hand over": ("hand over", "à remettre"),
    "numen": ("NUMEN", "NUMEN"),
    "sure": ("[y/N]", "[o/N]"),
    "code": ("Code of the new", "Code du nouveau téléphone"),
}


def person(number: int, first: str, family: str, **values: str) -> dict[str, str]:
    return {
        "matricule": str(1000 + number),
        "prenom": first,
        "nom_famille": family,
        "date_naissance": f"1980-01-{number:02}",
        **values,
    }


MARRIED = person(6, "Julie", "Petit")
PEOPLE = [
    post(-300, **person(1, "Claire", "Dubreuil", numen=NUMEN)),
    post(1, **person(2, "Nadia", "Benali", numen=OF_NADIA, modalite="suppleance")),
    post(-300, **person(3, "Marie", "Martin")),
    post(-300, **person(4, "Marie", "Martin", uai=MICHELIS, date_naissance="1991-05-06")),
    post(-300, -3, **person(5, "Camille", "Verdelot", uai=MARESCHAL)),
    post(-2, **person(5, "Camille", "Verdelot")),
    post(-300, **person(7, "Bruno", "Roche", uai=MICHELIS, fonction="DIR")),
    post(-300, **person(8, "Odile", "Lhomel")),
    post(-5, **person(8, "Odile", "Lhomel", position="retraite")),
    post(-300, -60, **person(9, "Armand", "Tillol")),
    post(-300, **person(10, "Gaspard", "Noir")),
    post(-3, **person(10, "Gaspard", "Noir", position="verrouille")),
    post(-300, **person(11, "Lucie", "Haute")),
    post(-3, 40, **person(11, "Lucie", "Haute", position="disponibilite")),
    post(-300, 20, **person(12, "Yanis", "Belhad", corps="776")),
    post(-300, -15, **person(13, "Paul", "Somme", uai=MARESCHAL)),
    post(4, **person(13, "Paul", "Somme")),
]


OTHERS = ("odile.lhomel", "armand.tillol", "gaspard.noir", "lucie.haute", "paul.somme")


@prepared
def staff(academy: Academy) -> Academy:
    """People of a school year. Claire and those who once had a post have chosen a password."""
    academy.allow_up_to(50)
    academy.night(
        day(-90).isoformat(), academy.feed(*PEOPLE, post(-300, **MARRIED), day=day(-90).isoformat())
    )
    for uid in (CLAIRE, CAMILLE, JULIE, *OTHERS):
        academy.change(uid, userPassword=[OWN], pwdReset=[])
    academy.night(
        day(0).isoformat(),
        academy.feed(*PEOPLE, post(-300, nom_usage="Bernard", **MARRIED), day=day(0).isoformat()),
    )
    return academy


def change(academy: Academy, uid: str, old: str, new: str) -> None:
    with academy.sandbox.bind(academy.dn(uid), old) as connection:
        connection.modify(academy.dn(uid), {"userPassword": [(ldap3.MODIFY_REPLACE, [new])]})


@dataclass
class Desk:
    """An operator at a terminal of 80 columns, in one language."""

    academy: Academy
    language: int

    def label(self, name: str) -> str:
        return LABELS[name][self.language]

    def words(self, *languages: str) -> str:
        """The same words in English and in French: those of this language."""
        return languages[self.language]

    def types(self, *words: str, exits: int = 0, **answers: str) -> str:
        """What the screen shows for a command, with the answers to the questions of these labels."""
        locale = ("C.UTF-8", "fr_FR.UTF-8")[self.language]
        asked = {self.label(name): answer for name, answer in answers.items()}
        ran, screen = at_terminal(
            self.academy, *words, answers=asked, columns=100, LC_ALL=locale, TERM="xterm", NO_COLOR="1"
        )
        assert ran == exits, screen
        return screen

    def line(self, name: str, *words: str) -> str:
        """One line of `why`, by its label, joined if the terminal broke it."""
        found = re.findall(rf"^  {self.label(name)} +(.+)$", self.types("why", *words), re.MULTILINE)
        assert len(found) == 1, found
        return str(found[0])

    def reads_out(self, *words: str) -> str:
        return self.line("to say", *words)

    def lets_in(self, uid: str, password: str) -> bool:
        return self.academy.sandbox.accepts(self.academy.dn(uid), password)


@pytest.fixture(params=(0, 1), ids=("english", "french"))
def desk(staff: Academy, request: pytest.FixtureRequest) -> Desk:
    return Desk(staff, request.param)


def given(screen: str) -> str:
    [password] = GIVEN.findall(screen)
    return str(password)


# passwords


def test_1_i_forgot_my_password(desk: Desk) -> None:
    assert desk.words("If yours is forgotten", "Si vous avez oublié le vôtre") not in desk.reads_out(
        CLAIRE, "login"
    )
    assert not desk.lets_in(CLAIRE, "quatre chats noirs")
    assert desk.words("If yours is forgotten", "Si vous avez oublié le vôtre") in desk.reads_out(
        CLAIRE, "login"
    )
    cause = cause_of(desk, "wrong-tries")
    assert "the password was wrong at the last 1 try" in cause["text"]
    assert cause["command"] == f"piactl password reset {CLAIRE}"
    screen = desk.types("password", "reset", CLAIRE, numen=NUMEN, sure=desk.words("y", "o"))
    assert (
        screen.count(f"Claire Dubreuil, ENS {desk.words('at', 'à')} {THUILLIER} (Lycée Louis Thuillier)") >= 2
    )
    password = given(screen)
    assert re.search(rf"^  {desk.words('log in as', 'identifiant')} +{CLAIRE}$", screen, re.MULTILINE)
    assert bool(re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", screen)) is not desk.language, "one form of a time"
    assert not desk.lets_in(CLAIRE, OWN)
    time.sleep(2.05)  # a wrong password delays the next log in
    change(desk.academy, CLAIRE, password, NEW)
    assert desk.lets_in(CLAIRE, NEW)
    assert not desk.lets_in(CLAIRE, password)


def test_2_i_forgot_it_and_the_numen_is_wrong(desk: Desk) -> None:
    screen = desk.types("password", "reset", CLAIRE, exits=1, numen=OTHER)
    assert desk.label("sure") not in screen
    assert desk.words("4 tries are left", "il reste 4 essais") in screen
    assert desk.words("a colleague calls the school back", "un collègue rappelle l'école") in screen
    assert f"piactl password reset {CLAIRE} --second-person" in screen
    assert desk.lets_in(CLAIRE, OWN)


def test_3_i_do_not_know_my_numen(desk: Desk) -> None:
    """Two operators are needed, and the caller hears what happens; test_second_person.py has the rest."""
    said = desk.reads_out("marie.martin", "login")
    assert "NUMEN" not in said, "HR has none of hers"
    assert desk.words("calls you back", "vous rappelle") in said
    assert "piactl password reset marie.martin --second-person" in desk.types("why", "marie.martin", "login")
    reset = ("password", "reset", "marie.martin")
    screen = desk.types(*reset, exits=1)
    assert "piactl password reset marie.martin --second-person" in screen
    assert screen.index("--second-person") < screen.index("--without-check"), "what an operator can do first"
    ran = desk.academy.run(*reset, "--second-person", "--yes", *WHY)
    assert "To say: " in ran.out + ran.err


def test_3b_the_telephone_to_call_back_is_whole(desk: Desk) -> None:
    file = desk.academy.sandbox.folder / "establishments.csv"
    header, *lines = file.read_text().splitlines()
    rows = [f"{header};telephone", *(f"{line};03 53 01 10 16" for line in lines)]
    file.write_text("\n".join(rows) + "\n")
    assert " 03 53 01 10 16 " in desk.types("establishment", "list", THUILLIER)


def test_4_i_typed_it_wrong_too_often(desk: Desk) -> None:
    for _ in range(10):
        desk.lets_in(CLAIRE, "faux")
    assert not desk.lets_in(CLAIRE, OWN)
    assert desk.words("I can lift the block", "je peux lever le blocage") in desk.reads_out(CLAIRE, "login")
    desk.types("password", "unblock", CLAIRE, sure=desk.words("y", "o"))
    assert desk.lets_in(CLAIRE, OWN), "the password stays the same"


def test_4b_and_with_the_first_password_only_time_helps(desk: Desk) -> None:
    with desk.academy.sandbox.root() as root:  # 60 s, where 1, 2, 4, ... are usual
        delay = {name: [(ldap3.MODIFY_REPLACE, ["60"])] for name in ("pwdMinDelay", "pwdMaxDelay")}
        root.modify(f"cn=activation,{POLICIES}", delay)
    password = given(desk.types("password", "reset", CLAIRE, numen=NUMEN, sure=desk.words("y", "o")))
    desk.lets_in(CLAIRE, "faux")
    assert not desk.lets_in(CLAIRE, password)
    with desk.academy.nothing_written():
        screen = desk.types("password", "unblock", CLAIRE)
    assert desk.words("To say: Wait until ", "À dire : Attendez jusqu'au ") in screen
    assert desk.words("unchanged", "inchangé") in screen


def test_4c_nothing_blocks(desk: Desk) -> None:
    """She has just chosen a password: no question is asked about nothing."""
    password = given(desk.types("password", "reset", CLAIRE, numen=NUMEN, sure=desk.words("y", "o")))
    change(desk.academy, CLAIRE, password, NEW)
    with desk.academy.nothing_written():
        screen = desk.types("password", "unblock", CLAIRE)
    assert desk.label("sure") not in screen
    assert desk.words("no wrong passwords block it", "aucun faux mot de passe ne le bloque") in screen


def test_5_i_have_no_password_yet(desk: Desk) -> None:
    marie = "marie.martin"
    assert desk.words("No password is set", "Aucun mot de passe") in desk.reads_out(marie, "login")
    screen = desk.types("password", "activate", CLAIRE, exits=1, numen=NUMEN)
    assert "piactl password reset" in screen, "hers is chosen: another command"
    assert desk.lets_in(CLAIRE, OWN)


# telephones


def test_6_my_telephone_is_gone(desk: Desk) -> None:
    phone = verified(desk.academy, CLAIRE)
    desk.types("otp", "suspend", CLAIRE, *WHY, sure=desk.words("y", "o"))
    assert not desk.lets_in(CLAIRE, OWN + phone.code())
    assert not desk.lets_in(CLAIRE, OWN)
    assert desk.words("reported lost", "déclaré perdu") in desk.reads_out(CLAIRE, "login")
    assert f"piactl otp resume {CLAIRE}" in desk.types("why", CLAIRE, "login")
    cause, file = cause_of(desk, "device-lost"), desk.academy.folder / "uri"
    assert cause["effect"] == "refused"
    followed(desk, cause["command"], "--uri-file", str(file))
    new = Phone(secret_in(file))
    followed(desk, f"piactl otp verify {CLAIRE}", *KNOWN, stdin=f"{new.code()}\n")
    assert desk.lets_in(CLAIRE, OWN + new.code())


def test_7_i_have_a_new_telephone(desk: Desk) -> None:
    """The key that is read out is worth nothing without the proof."""
    phone = read_out(desk)
    assert desk.lets_in(CLAIRE, OWN), "until it is verified nothing has changed"
    assert not desk.lets_in(CLAIRE, OWN + phone.code())
    verify = ("otp", "verify", CLAIRE)
    desk.types(*verify, exits=1, numen=OTHER)
    assert desk.lets_in(CLAIRE, OWN)
    screen = desk.types(*verify, numen=NUMEN, code=phone.code(), sure=desk.words("y", "o"))
    assert "Claire Dubreuil" in screen
    assert not desk.lets_in(CLAIRE, OWN)
    assert desk.lets_in(CLAIRE, OWN + phone.code())


def read_out(desk: Desk) -> Phone:
    """The telephone into which the person typed what was read out: the key, with blanks or without."""
    screen = desk.types("otp", "enroll", CLAIRE, "--yes")
    [key] = KEY.findall(screen)
    assert desk.words("Call the school back", "Rappelez l'école") in screen
    assert screen.splitlines().index(next(line for line in screen.splitlines() if key in line)) > 20
    return Phone(key.replace(" ", ""))


def test_7b_a_lost_telephone_stays_out_whatever_was_read_out(desk: Desk) -> None:
    """The next key replaces one that was never verified, as after a call that broke off."""
    lost = verified(desk.academy, CLAIRE)
    desk.types("otp", "suspend", CLAIRE, "--yes", *WHY)
    first, second = read_out(desk), read_out(desk)
    verify = ("otp", "verify", CLAIRE, "--proof-file", "-")
    run = desk.academy.run
    assert run(*verify, stdin=f"{NUMEN}\n{first.code()}\n").code == 1
    assert not desk.lets_in(CLAIRE, OWN + lost.code())
    assert not desk.lets_in(CLAIRE, OWN + first.code())
    assert run(*verify, stdin=f"{NUMEN}\n{second.code()}\n").code == 0
    assert desk.lets_in(CLAIRE, OWN + second.code())
    assert not desk.lets_in(CLAIRE, OWN + lost.code())


def test_7c_i_have_neither_telephone_nor_password(desk: Desk) -> None:
    """One NUMEN for both in one call would give the account to whoever has the NUMEN: each question says so,
    whichever comes first."""
    yes = desk.words("y", "o")
    never = desk.words(
        "Never a password and a telephone in one", "Jamais un mot de passe et un téléphone dans"
    )

    def before_the_question(screen: str) -> str:
        return screen[: screen.index(desk.label("sure"))]

    reset, verify = ("password", "reset", CLAIRE), ("otp", "verify", CLAIRE)
    assert never not in desk.types(*reset, numen=NUMEN, sure=yes)
    phone = read_out(desk)
    assert never in before_the_question(desk.types(*reset, numen=NUMEN, sure=yes)), "it waits"
    screen = desk.types(*verify, numen=NUMEN, code=phone.code(), sure=yes)
    assert never in before_the_question(screen)
    desk.types("otp", "suspend", CLAIRE, *WHY, sure=yes)
    assert never in before_the_question(desk.types(*reset, numen=NUMEN, sure=yes)), "it is suspended"
    assert never in before_the_question(desk.types("otp", "resume", CLAIRE, *WHY, numen=NUMEN, sure=yes))


def test_8_my_codes_are_refused(desk: Desk) -> None:
    """The clock of a telephone jumped by four minutes: the server cannot know, but wrong tries show it."""
    phone = verified(desk.academy, CLAIRE)
    phone.ahead = 240
    assert not desk.lets_in(CLAIRE, OWN + phone.code())
    assert "the password or the code was wrong at the last" in cause_of(desk, "wrong-tries")["text"]
    assert desk.words("to automatic, and try again", "automatique et réessayez") in desk.reads_out(
        CLAIRE, "login"
    )
    cause = cause_of(desk, "device-clock")
    followed(desk, cause["command"], stdin=f"{phone.code()}\n{phone.code()}\n")
    assert desk.lets_in(CLAIRE, OWN + phone.code())
    causes = {cause["kind"]: cause for cause in answer(desk, "login")["causes"]}
    assert set(causes) == {"device-drift"}, "no wrong tries since"
    text = causes["device-drift"]["text"]
    assert re.search(" min( 30 s)? ahead at its last good code, and is allowed to be", text)


def test_8b_the_clock_was_set_right_after_a_resync(desk: Desk) -> None:
    """Its codes are good again once the time of the last one has come, in the time zone of everybody."""
    phone = verified(desk.academy, CLAIRE)
    phone.ahead = 1230
    resync = ("otp", "resync", CLAIRE)
    assert desk.academy.run(*resync, stdin=f"{phone.code()}\n{phone.code()}\n").code == 0
    phone = Phone(phone.secret)
    assert not desk.lets_in(CLAIRE, OWN + phone.code())
    said = desk.reads_out(CLAIRE, "login")
    assert said.startswith(
        desk.words("Leave the time of your telephone", "Laissez l'heure de votre téléphone")
    )
    screen = desk.types("why", CLAIRE, "login")
    assert re.search(desk.words("2[01] min.* ahead", "2[01] min.* d'avance"), screen)
    refused = desk.academy.run(*resync, stdin=f"{phone.code()}\n{phone.code()}\n")
    assert refused.code == 1
    assert "(Europe/Paris) are used up" in refused.err


def test_9_my_telephone_is_gone_and_never_showed_codes(desk: Desk) -> None:
    with desk.academy.nothing_written():
        screen = desk.types("otp", "suspend", CLAIRE, *WHY, exits=1)
    assert desk.words("nothing needs to be done", "il n'y a rien à faire") in screen
    assert f"piactl password reset {CLAIRE}" in screen, "its mailbox may know the password"
    assert desk.lets_in(CLAIRE, OWN)


def test_24_the_telephone_that_shows_my_codes_is_at_home(desk: Desk) -> None:
    """Nothing is suspended: the password alone opens nothing, and the telephone goes on tomorrow."""
    phone = verified(desk.academy, CLAIRE)
    desk.types("otp", "show", CLAIRE)
    assert desk.words("Nothing here refuses", "Rien ici ne refuse") in desk.reads_out(CLAIRE, "login")
    assert not desk.lets_in(CLAIRE, OWN)
    assert desk.lets_in(CLAIRE, OWN + phone.code())


def test_26_a_code_is_asked_for_at_home(desk: Desk) -> None:
    said = desk.reads_out(CLAIRE, "login")
    assert desk.words("no telephone shows one yet", "aucun téléphone n'en") in said
    assert desk.words("password is forgotten", "oublié votre mot de passe") in said
    assert desk.words("from outside by", "de l'extérieur par") in desk.types("why", CLAIRE, "login")
    said = desk.reads_out(CLAIRE, "iprof")
    assert desk.words("with a code of your telephone", "avec un code de votre téléphone") in said
    assert desk.lets_in(CLAIRE, OWN)


# services


def test_10_i_have_moved_and_a_service_is_missing(desk: Desk) -> None:
    """Both schools for some days, each with its last day; the list of the former one says so, too."""
    screen = desk.types("why", CAMILLE, "livret")
    for uai in (THUILLIER, MARESCHAL):
        assert f"{desk.words('YES at', 'OUI à')} {uai}" in screen
    said = desk.reads_out(CAMILLE, "livret")
    assert f"{THUILLIER} (Lycée Louis Thuillier) {desk.words('and', 'et')} {MARESCHAL}" in said
    assert desk.words("(Collège Guy Mareschal) until", "(Collège Guy Mareschal) jusqu'au") in said
    screen = desk.types("account", "list", "--services", "--uai", "guy mareschal")
    assert desk.words(f"post ended on {day(-3)}", f"poste fini le {day(-3):%d/%m/%Y}") in " ".join(
        screen.split()
    )
    assert desk.lets_in(CAMILLE, OWN)


def test_10d_a_service_that_always_asks_for_a_code(desk: Desk) -> None:
    """The right is there, and a telephone is needed first: so say the answer and the words."""
    desk.academy.change("bruno.roche", userPassword=[OWN], pwdReset=[])
    screen = desk.types("why", "bruno.roche", "siecle")
    assert "piactl otp enroll bruno.roche" in screen
    said = desk.reads_out("bruno.roche", "siecle")
    assert said.startswith(desk.words("You have SIECLE, but", "Vous avez SIECLE, qui demande toujours"))
    assert desk.words("no telephone shows one yet", "aucun téléphone n'en donne encore") in said


def test_10e_the_service_as_the_caller_names_it(desk: Desk) -> None:
    assert desk.types("why", CAMILLE, "livret scolaire") == desk.types("why", CAMILLE, "livret")


def test_10c_my_next_post_begins_in_some_days(desk: Desk) -> None:
    """Between two posts: the next one is recorded, so HR has nothing to record."""
    said = desk.reads_out("paul.somme", "login")
    assert said.startswith(desk.words("Your former post has ended", "Votre ancien poste a pris fin"))
    assert THUILLIER in said
    assert desk.words("a few days later", "quelques jours plus tard") in said, "after the delay of I-Prof"
    screen = " ".join(desk.types("why", "paul.somme", "livret").split())
    assert f"{THUILLIER} (Lycée Louis Thuillier) {desk.words('on', 'le')} " in screen
    assert desk.words("the post there begins on", "l'affectation y commence le") in screen
    assert desk.label("hand over") not in screen
    said = desk.reads_out("paul.somme", "livret")
    assert desk.words("you no longer have Livret", "vous n'avez plus Livret") in said, "of the former school"
    assert said.count(MARESCHAL) == said.count(THUILLIER) == 1


def test_11_i_see_the_service_of_a_school_that_is_not_mine(desk: Desk) -> None:
    """Of two schools, the words say at which one somebody has the service."""
    there = ("--uai", MICHELIS, "--until", "2099-08-31", "--reason", "intérim")
    run = desk.academy.run
    assert run("assignment", "add", CLAIRE, "--function", "ENS", *there).code == 0
    assert run("exception", "deny", CLAIRE, "--service", "viescolaire", *there).code == 0
    said = desk.reads_out(CLAIRE, "viescolaire")
    assert said.startswith(desk.words("You have Vie scolaire at", "Vous avez Vie scolaire à"))
    assert THUILLIER in said.split(desk.words(", and not at ", ", et non à "))[0]
    assert MICHELIS in said.split(desk.words(", and not at ", ", et non à "))[1]


def test_10b_a_service_is_there_and_does_not_open(desk: Desk) -> None:
    assert desk.reads_out(CLAIRE) == desk.words("The account is open", "Le compte est ouvert")
    assert desk.words("read me the message", "lisez-moi le message") in desk.reads_out(CLAIRE, "messagerie")
    said = desk.reads_out(CLAIRE, "livret")
    assert THUILLIER in said
    assert desk.words("your HR office has to correct it", "votre gestionnaire RH doit corriger") in said


def test_28_only_an_administrator_can_help(desk: Desk) -> None:
    """The operator hands over one line: account, cause and command."""
    said = desk.reads_out(CLAIRE, "siecle")
    assert said.startswith(desk.words("With your present post", "Avec votre poste actuel"))
    line = desk.line("hand over", CLAIRE, "siecle")
    assert line.startswith(f"Claire Dubreuil ({CLAIRE})")
    assert f"piactl exception grant {CLAIRE} --service siecle --uai {THUILLIER}" in line


# names and posts


def test_12_i_have_married(desk: Desk) -> None:
    """The uid stays, the former address stays hers, and she is found by both names."""
    for name in ("petit", "bernard"):
        first, second, third, *_ = desk.types("account", "find", "julie", name).splitlines()
        assert (first, second) == ("Julie Bernard  julie.petit", "  julie.bernard@ac-amiens.fr")
        assert third == f"  {desk.words('formerly', 'anciennement')} julie.petit@ac-amiens.fr"
    assert desk.words("did you mean", "s'agit-il de") + f" {JULIE}" in desk.types(
        "why", "julie.bernard", exits=9
    )
    assert desk.lets_in(JULIE, OWN)


def test_13_two_people_have_one_name(desk: Desk) -> None:
    screen = desk.types("account", "find", "marie", "martin")
    for uid, school in (("marie.martin", "Louis Thuillier"), ("marie.martin1", "Madeleine Michelis")):
        card = screen[screen.index(f"  {uid}\n") :].splitlines()
        assert school in card[2], screen
    alone = desk.types("account", "find", "martin", "michelis")
    assert "marie.martin1" in alone
    assert "  marie.martin\n" not in alone


def test_14_i_replace_somebody_from_tomorrow_on(desk: Desk) -> None:
    assert desk.reads_out(NADIA, "login").startswith(desk.words("The account opens on", "Le compte ouvre le"))
    screen = desk.types("password", "activate", NADIA, numen=OF_NADIA, sure=desk.words("y", "o"))
    assert desk.words(f"valid until {day(4)}", f"jusqu'au {day(4):%d/%m/%Y}") in screen, (
        "from her first day on"
    )
    assert not desk.lets_in(NADIA, given(screen)), "not before"


def test_15_my_contract_goes_on(desk: Desk) -> None:
    """HR records it; until then an administrator can."""
    yanis = "yanis.belhad"
    screen = desk.types(
        "account", "extend", yanis, "--until", day(200).isoformat(), *WHY, sure=desk.words("y", "o")
    )
    assert "Yanis Belhad" in screen
    later = desk.academy.run("why", yanis, "--as-of", day(150).isoformat(), "-o", "json").json
    assert later["answers"][0]["verdict"] == "active"


@pytest.mark.parametrize(
    ("uid", "english", "french"),
    [
        (
            "gaspard.noir",
            "The data of HR do not allow",
            "Les données RH ne permettent pas",
        ),  # 16: locked by HR
        ("lucie.haute", "The data of HR do not allow", "Les données RH ne permettent pas"),  # 18: on leave
        (
            "armand.tillol",
            "Your post has ended, and the account with it",
            "Votre poste a pris fin, et le compte",
        ),
    ],
)
def test_16_18_why_am_i_not_let_in(desk: Desk, uid: str, english: str, french: str) -> None:
    """The words never have the position, the reason or a name; no password is given for such an account."""
    said = desk.reads_out(uid, "login")
    assert said.startswith(desk.words(english, french)), said
    for secret in ("verrouille", "disponibilite", "susp", uid.split(".")[0]):
        assert secret not in said.lower()
    if uid == "armand.tillol":  # 20: the day, and the messages
        assert re.search(desk.words(r"since \d{4}-.*messages", r"depuis le \d\d/.*messages"), said), said
    assert not desk.lets_in(uid, OWN)
    desk.types("password", "reset", uid, exits=1)
    if uid == "gaspard.noir":
        screen = desk.types("account", "find", "noir")
        assert desk.words("position verrouille: ENS", "position « verrouille » : ENS") in screen


def test_19_i_have_retired(desk: Desk) -> None:
    """In grace some applications stay; neither the words nor the advice press to reopen the account."""
    said = desk.reads_out("odile.lhomel", "login")
    assert said.startswith(
        desk.words("Your post has ended, and some", "Votre poste a pris fin, et certaines")
    )
    assert re.search(desk.words("log in until [0-9-]{10}", "connecter jusqu'au [0-9/]{10}"), said), said
    screen = desk.types("why", "odile.lhomel", "login")
    assert not re.search("account (reopen|extend)", screen)
    assert desk.reads_out("odile.lhomel") == said
    assert desk.lets_in("odile.lhomel", OWN)


def test_20_i_am_back_from_leave(desk: Desk) -> None:
    """HR ends the leave; the night after it the same password is good again."""
    assert not desk.lets_in("lucie.haute", OWN)
    leave = post(-3, -1, **person(11, "Lucie", "Haute", position="disponibilite"))
    back = [leave if "disponibilite" in line else line for line in PEOPLE]
    desk.academy.night(
        day(0).isoformat(), desk.academy.feed(*back, post(-300, **MARRIED), day=day(0).isoformat())
    )
    assert desk.lets_in("lucie.haute", OWN)


def test_21_nobody_knows_me(desk: Desk) -> None:
    screen = desk.types("account", "find", "kevin", "ouedraogo", exits=9)
    assert desk.words("nobody has this name", "personne n'a ce nom") in screen
    screen = desk.types("account", "find", "1099", exits=9)
    assert "piactl why 1099 --run last" in screen, "a number has no neighbours"
    assert CLAIRE not in screen
    screen = desk.types("account", "find", "dubreuil", "college")
    assert desk.words("without college", "sans college") in screen
    assert CLAIRE in screen
    screen = desk.types("account", "find", "dubreuil", "--uai", "michelis", exits=9)
    assert desk.words("1 person elsewhere", "1 personne ailleurs") in screen


def test_22_hr_has_me_twice(desk: Desk) -> None:
    """A second matricule with her NUMEN: a case for an administrator; her account stays as it is."""
    twin = person(50, "Claire", "Dubreuil", numen=NUMEN, date_naissance="1980-01-01", uai=MICHELIS)
    without = [line for line in PEOPLE if NUMEN not in line]
    feed = desk.academy.feed(*without, post(-300, **MARRIED), post(-1, **twin), day=day(0).isoformat())
    desk.academy.night(day(0).isoformat(), feed)
    said = desk.reads_out(CLAIRE, "login")
    assert desk.words("whose data these are", "à qui sont ces données") in said
    for subject in ("login", "livret"):  # the line has both matricules' people, and the row
        line = desk.line("hand over", CLAIRE, subject)
        assert re.search(r"hr-\S+:\d+: .*\b1050\b", line.replace(" : ", ": ")), line
        assert re.search(r"piactl match show \w+$", line)
        assert line.count("piactl") == 1
    assert desk.lets_in(CLAIRE, OWN)


# a stolen account, and lists for a head


def test_17_my_account_was_hacked(desk: Desk) -> None:
    """After the lock is lifted the stolen password opens nothing: she proves who she is, and chooses one."""
    lock = ("account", "lock", CLAIRE, "--compromised", *WHY)
    desk.types(*lock, sure=desk.words("y", "o"))
    assert not desk.lets_in(CLAIRE, OWN)
    for subject in ("login", "", "messagerie", "siecle"):
        said = desk.reads_out(CLAIRE, *filter(None, [subject]))
        assert said.startswith(
            desk.words("The account is locked. I cannot", "Le compte est verrouillé. Je ne")
        )
        assert "appel" not in said
    screen = " ".join(desk.types("why", CLAIRE, "login").split())
    assert desk.words("refused once the lock is lifted: ", "refusé après la levée du verrou : ") in screen
    desk.types("password", "reset", CLAIRE, exits=1)
    desk.types("account", "unlock", CLAIRE, *WHY, sure=desk.words("y", "o"))
    assert not desk.lets_in(CLAIRE, OWN)
    assert "NUMEN" in desk.reads_out(CLAIRE, "login")
    password = given(desk.types("password", "activate", CLAIRE, numen=NUMEN, sure=desk.words("y", "o")))
    change(desk.academy, CLAIRE, password, NEW)
    assert desk.lets_in(CLAIRE, NEW)


def test_23_25_who_may_use_what_at_my_school(desk: Desk) -> None:
    """For the head, in writing: a table, or a workbook whose matricules keep their zeros (test_find.py)."""
    screen = desk.types("account", "list", "--service", "siecle", "--uai", "madeleine michelis")
    assert "bruno.roche" in screen
    assert CLAIRE not in screen
    screen = desk.types("account", "list", "--service", "siecle", "--uai", MARESCHAL)
    assert desk.words("no account fits", "aucun compte ne répond") in screen
    ran = desk.academy.run("account", "list", "--services", "--uai", MICHELIS, "-o", "csv")
    assert ran.out.splitlines()[0] == "uid,display_name,functions,services,post_ended,until"


def test_27_i_typed_the_command_wrong(desk: Desk) -> None:
    screen = desk.types("acount", "find", "dubreuil", exits=2)
    assert "account" in screen
    screen = desk.types("why", "claire.dubruil", exits=9)
    assert desk.words("did you mean", "s'agit-il de") + f" {CLAIRE}" in screen
    screen = desk.types("account", "list", "--uai", "michelice", exits=2)
    assert f"{MICHELIS} (Lycée Madeleine Michelis)" in screen
    assert "--uai, " in desk.types("account", "find", "dubreuil", "--etab", "michelis", exits=2)


# what `why` advises, as a program reads it


def answer(desk: Desk, subject: str) -> Any:
    """What `why` says as data; its text for people must contain the same."""
    [explanation] = desk.academy.run("why", CLAIRE, subject, "-o", "json").json["answers"]
    words = desk.academy.run("why", CLAIRE, subject).out
    words = re.sub(r"([0-9]{7}[A-Z]) \([^)]*\)", r"\1", words)  # the name of an establishment
    for cause in explanation["causes"]:
        assert cause["text"] in " ".join(words.split()), (cause, words)
    return explanation


def cause_of(desk: Desk, kind: str) -> Any:
    causes = [cause for cause in answer(desk, "login")["causes"] if cause["kind"] == kind]
    assert len(causes) == 1, causes
    return causes[0]


def followed(desk: Desk, command: str, *options: str, stdin: str = "") -> Ran:
    """Runs the advice word for word, with what only the caller knows."""
    words = shlex.split(command.replace('"..."', '"appel au support"'))
    assert words[0] == "piactl"
    ran = desk.academy.run(*words[1:], *options, stdin=stdin)
    assert ran.code == 0, ran
    return ran
