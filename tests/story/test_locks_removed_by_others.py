"""Another program removes a lock, a denial, a closure or an end, with all that follows from it: log in stays
refused, the account gains nothing, and what HR ends is still ended."""

from __future__ import annotations

import pytest

from .academy import Academy, prepared
from .feeds import row
from .test_logins import PASSWORD, day

CLAIRE, HUGO, IDA, LEA, NOUR = (
    "claire.dubreuil", "hugo.caron", "ida.roy", "lea.petit", "nour.vidal",
)  # fmt: skip
EVERYBODY = (CLAIRE, HUGO, IDA, LEA, NOUR)
IPROF = "urn:mace:ac-amiens.fr:service:iprof"
WHY = ("--reason", "essai")
STATE = (
    "piactlState", "supannRessourceEtat", "supannRessourceEtatDate", "pwdStartTime", "pwdEndTime",
    "oathTOTPToken", "eduPersonEntitlement", "piactlProfile", "piactlNextDue", "objectClass",
)  # fmt: skip


def people(**ida: str) -> list[str]:
    begun = day(-100).isoformat()
    return [
        row(debut=begun),
        row(matricule="1002", prenom="Hugo", nom_famille="Caron", debut=begun),
        row(matricule="1003", prenom="Ida", nom_famille="Roy", debut=begun, **ida),
        row(matricule="1004", prenom="Léa", nom_famille="Petit", debut=begun),
        row(matricule="1005", prenom="Nour", nom_famille="Vidal", debut=begun),
    ]


@prepared
def stopped(academy: Academy) -> None:
    """Claire's post ends in ten days by hand, Hugo is closed by hand, Ida is denied a service, Léa is
    locked."""
    academy.allow_up_to(50)
    academy.night(day(-1).isoformat(), academy.feed(*people(), day=day(-1).isoformat()))
    until = ("--until", day(300).isoformat())
    post = ("--uai", "0800009A", "--function", "ENS", "--on", day(10).isoformat())
    for command in (
        ("assignment", "end", CLAIRE, *post, *until),
        ("account", "close", HUGO, *until),
        ("exception", "deny", IDA, "--service", "iprof", *until),
        ("account", "lock", LEA),
    ):
        ran = academy.run(*command, *WHY)
        assert ran.code == 0, ran.err
    for uid in EVERYBODY:
        academy.change(uid, userPassword=[PASSWORD])


def let_in(academy: Academy) -> set[str]:
    return {uid for uid in EVERYBODY if academy.sandbox.accepts(academy.dn(uid), PASSWORD)}


def opened(academy: Academy) -> None:
    """Another program removes each stop, and gives all that an account without it has."""
    like_nour = {name: academy.values(NOUR, name) for name in STATE}
    academy.change(CLAIRE, piactlOverride=[], **like_nour)
    academy.change(HUGO, piactlOverride=[], **like_nour)
    academy.change(IDA, piactlException=[], **like_nour)
    academy.change(LEA, piactlLock=[], **like_nour)
    assert let_in(academy) == {*EVERYBODY}


@pytest.mark.parametrize("fed", [False, True], ids=["dates alone", "feed"])
def test_a_removed_stop_counts_as_in_force(stopped: Academy, fed: bool) -> None:
    assert let_in(stopped) == {CLAIRE, IDA, NOUR}
    opened(stopped)

    def night(offset: int, *rows: str) -> None:
        as_of = day(offset).isoformat()
        stopped.night(as_of, *([stopped.feed(*rows, day=as_of)] if rows else []))

    for offset in (1, 2, 9):
        night(offset, *(people() if fed else []))
        # nobody knows when Claire's post ends
        assert let_in(stopped) == {IDA, NOUR}
        assert IPROF not in stopped.values(IDA, "eduPersonEntitlement")
        held = {hold["uid"] for hold in stopped.plan("--as-of", day(offset).isoformat())["holds"]}
        assert held == {CLAIRE, HUGO, IDA}
        for uid in (CLAIRE, HUGO, IDA):
            grant = ("exception", "grant", uid, "--service", "gestion_rh", "--until", day(60).isoformat())
            assert stopped.run(*grant, *WHY, "--as-of", day(offset).isoformat()).code == 1
    shown = stopped.run("drift", "show", HUGO, "-o", "json", "--as-of", day(9).isoformat()).json
    assert ("piactlOverride", ["?"]) in [(row["attribute"], row["ours"]) for row in shown]
    assert not any("piactl-" in row["by"] for row in shown), "piactl wrote the entry since"
    night(10, *people(fin=day(10).isoformat(), position="radiation"))
    night(12)
    assert stopped.values(IDA, "piactlState") == ["deactivated"]
    assert let_in(stopped) == {NOUR}


def test_what_an_administrator_gives_up_is_open_again(stopped: Academy) -> None:
    """Until then every command about the account says that somebody has to look."""
    opened(stopped)
    stopped.night(day(1).isoformat())
    as_of = ("--as-of", day(1).isoformat())
    assert f"piactl drift show {HUGO}" in stopped.run("why", HUGO, *as_of).out
    for uid in EVERYBODY:
        assert stopped.run("drift", "revert", uid, *WHY, *as_of).code == 0
    for uid in (CLAIRE, HUGO, LEA):  # they are locked
        assert stopped.run("account", "unlock", uid, *WHY, *as_of).code == 0
    assert stopped.run("drift", "list", "-o", "json", *as_of).json == []
    stopped.quiet_night(day(1).isoformat(), stopped.feed(*people(), day=day(1).isoformat()))
    assert let_in(stopped) == {*EVERYBODY}
    assert IPROF in stopped.values(IDA, "eduPersonEntitlement")


def test_nothing_is_said_to_be_known_done_or_refused_that_is_not(stopped: Academy) -> None:
    """Another program removed what refused the log in, and the words of a lock: the entry lets in until a
    night, and nobody knows since when the account was locked."""
    opened(stopped)
    as_of = ("--as-of", day(1).isoformat())
    before = stopped.run("account", "show", *EVERYBODY, *as_of).out
    assert before.count("LET IN") == 2, before
    both = stopped.run("account", "show", HUGO, LEA, *as_of, "-o", "json").json
    assert [view["refused_by"] for view in both] == [[], []]
    plan = stopped.run("plan", *as_of).out
    assert "reverted" not in plan
    assert "this plan puts it back" in plan
    assert "left unchanged" not in plan, "the plan takes a right of Ida"
    stays = stopped.run("drift", "revert", IDA, "--dry-run", *WHY, *as_of).out
    assert "gives up a denial or a grant (piactlException)" in stays
    stopped.night(day(1).isoformat())
    shown = [before, stopped.run("account", "show", *EVERYBODY, *as_of).out]
    for uid in (HUGO, LEA):
        shown.append(stopped.run("account", "timeline", uid, *as_of).out)
        shown.append(stopped.run("why", uid, "login", *as_of).out)
    for text in shown:
        for invented in ("1970-01-0", "2000-01-01", "reverted"):
            assert invented not in text
    assert "piactl-nightly" not in stopped.run("drift", "list", *as_of).out + "".join(shown)
    given = stopped.run("drift", "revert", IDA, HUGO, "--dry-run", *WHY, *as_of).out
    assert "gives up a denial or a grant (piactlException)" in given
    assert "gives up an end or a closure (piactlOverride)" in given


def test_an_undo_does_not_remove_the_lock_that_a_night_put_back(stopped: Academy) -> None:
    stopped.change(LEA, piactlLock=[], **{name: stopped.values(NOUR, name) for name in STATE})
    stopped.night(day(1).isoformat())
    as_of = ("--as-of", day(1).isoformat())
    ran = stopped.run("undo", "last", "--yes", *WHY, *as_of)
    assert "another program had removed" in ran.out + ran.err
    stopped.night(day(1).isoformat())
    assert LEA not in let_in(stopped)
    assert stopped.run("account", "unlock", LEA, *WHY, *as_of).code == 0
    assert LEA in let_in(stopped)


def test_an_undo_of_a_night_that_shut_again_opens_nobody_for_good(stopped: Academy) -> None:
    """A denial, a closure and an end whose words are lost, and a lock."""
    opened(stopped)
    stopped.night(day(1).isoformat())
    assert let_in(stopped) == {IDA, NOUR}
    ran = stopped.run("undo", "last", "--yes", *WHY, "--as-of", day(1).isoformat())
    assert ran.code in (0, 5), ran.err
    assert LEA not in let_in(stopped)
    stopped.night(day(1).isoformat())
    assert let_in(stopped) == {IDA, NOUR}
    assert IPROF not in stopped.values(IDA, "eduPersonEntitlement")
