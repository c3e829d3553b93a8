"""What another program changed on an account is shown where people look, and no command ignores it."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import row

DAYS = [f"2026-09-{day:02}" for day in range(5, 25)]
CLAIRE, IDA = "claire.dubreuil", "ida.roy"
PEOPLE = (
    row(courriel_prive="claire@example.org"),
    row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1985-03-02", debut="2020-09-01"),
)
URN = "urn:mace:ac-amiens.fr:service:"
NONSENSE = "0800010B$ENS$2026-01-01$$$$$$$manual$"
DAY = ("--as-of", DAYS[1])


@pytest.fixture
def begun(academy: Academy) -> Academy:
    """Two accounts after a night."""
    academy.allow_up_to(5, "drift", "loosening", "revoke", "deactivate", "lock", "rename")
    academy.night(DAYS[0], academy.feed(*PEOPLE, day=DAYS[0]))
    return academy


def services(view: object) -> set[str]:
    return {right["service"] for right in view["entitlements"]}  # type: ignore[index]


def test_drift_is_shown_by_every_command_about_an_account(begun: Academy) -> None:
    """They show a lost assignment, an added and a removed right, and a private address."""
    before = begun.show(CLAIRE, DAYS[1])
    assert (before["drift"], before["held"]) == ([], False)
    assert begun.run("account", "list", "--drift", "-o", "json", *DAY).json == []
    rights = begun.values(IDA, "eduPersonEntitlement")
    begun.change(CLAIRE, piactlAssignment=[NONSENSE])
    added = [*(right for right in rights if right != f"{URN}iprof"), f"{URN}siecle:0800009A"]
    begun.change(IDA, eduPersonEntitlement=added, supannMailPrive=["theft@example.org"])

    shown = begun.show(CLAIRE, DAYS[1])
    assert (shown["state"], shown["held"], services(shown)) == ("active", True, services(before))
    assert (shown["login_until"], shown["profiles"]) == (before["login_until"], before["profiles"])
    (drift,) = shown["drift"]
    assert (drift["attribute"], drift["class"], drift["ours"]) == ("piactlAssignment", "loosening", ["?"])
    assert (drift["theirs"], drift["fate"]) == ([NONSENSE], "waits for the next feed")
    assert "last modified by" in drift["by"]
    text = begun.run("account", "show", CLAIRE, *DAY).out
    assert "CHANGED BY ANOTHER PROGRAM" in text
    assert f"piactl drift revert {CLAIRE}" in text

    rows = begun.run("account", "list", "-o", "json", *DAY).json
    assert [len(account["drift"]) for account in rows] == [1, 2]
    assert "theft@" not in str(rows)
    lines = begun.run("account", "list", "--drift", "-o", "tsv", *DAY).out.splitlines()
    assert [line.rsplit("\t", 1)[-1] for line in lines] == ["drift", "loosening", "loosening"]
    assert "loosening" in begun.run("account", "find", "ida", *DAY).out

    drawn = begun.run("account", "timeline", CLAIRE, "-o", "json", *DAY)
    assert drawn.json["drift"] == shown["drift"]
    assert f"piactl drift show {CLAIRE}" in drawn.err
    exported = begun.run("account", "export", IDA, "-o", "json").json
    assert [drift["attribute"] for drift in exported["drift"]] == ["eduPersonEntitlement", "supannMailPrive"]
    page = begun.run("account", "export", CLAIRE).out
    assert f"piactlAssignment : avant : inconnu, maintenant : {NONSENSE}" in page
    (lacks,) = begun.run("why", IDA, "iprof", "-o", "json", *DAY).json["answers"]
    assert (lacks["verdict"], [cause["effect"] for cause in lacks["causes"]]) == ("yes", ["refused"])
    (has,) = begun.run("why", IDA, "siecle", "-o", "json", *DAY).json["answers"]
    (cause,) = has["causes"]
    assert (has["verdict"], has["uai"], cause["effect"]) == ("no", "0800009A", "let in")
    assert "another program added it, last modified by" in cause["text"]
    assert cause["command"] == f"piactl drift show {IDA}"
    assert cause["text"] in begun.run("why", IDA, "siecle", *DAY).out
    state, *others = begun.run("why", CLAIRE, "-o", "json", *DAY).json["answers"]
    assert state["verdict"] == "active"
    assert "another program changed piactlAssignment" in state["reason"]
    assert {answer["subject"] for answer in others if answer["yes"]} == services(before)
    (login,) = begun.run("why", CLAIRE, "login", "-o", "json", *DAY).json["answers"]
    assert "closed" not in {cause["kind"] for cause in login["causes"]}
    assert "piactlAssignment" in str(login["notes"])
    begun.change(CLAIRE, pwdEndTime=["20260901000000Z"])
    (login,) = begun.run("why", CLAIRE, "login", "-o", "json", *DAY).json["answers"]
    assert "piactlAssignment" in str(login["notes"])
    begun.change(IDA, pwdEndTime=["20260901000000Z"])
    (login,) = begun.run("why", IDA, "login", "-o", "json", *DAY).json["answers"]
    assert (login["causes"][0]["kind"], login["causes"][0]["command"]) == (
        "entry",
        f"piactl drift show {IDA}",
    )


def test_a_removed_right_is_shown_by_its_name(begun: Academy) -> None:
    """It is shown by its name as long as the rules want it."""
    grant = ("exception", "grant", IDA, "--service", "siecle", "--uai", "0800009A", "--until", DAYS[1])
    assert begun.run(*grant, *WHY, "--as-of", DAYS[0]).code == 0
    rights, profiles = begun.values(IDA, "eduPersonEntitlement"), begun.values(IDA, "piactlProfile")
    lost = [f"{URN}siecle:0800009A", f"{URN}iprof"]
    assert profiles
    assert {*lost} < {*rights}
    begun.change(IDA, eduPersonEntitlement=[right for right in rights if right not in lost], piactlProfile=[])
    for day, ours in ((DAYS[1], lost), (DAYS[2], ["?", lost[1]])):  # then the exception is over
        rows = begun.run("drift", "show", IDA, "-o", "json", "--as-of", day).json
        assert {drift["attribute"]: sorted(drift["ours"]) for drift in rows} == {
            "eduPersonEntitlement": sorted(ours),
            "piactlProfile": sorted(profiles),
        }


WHY = ("--reason", "demande du chef d'établissement")


def test_commands_treat_drift_as_the_night_does(begun: Academy) -> None:
    """An earlier end and a name stay until a decision, an override until its last day; a command also puts
    back what gives access, and lists it in its plan."""
    end, theirs = begun.values(IDA, "pwdEndTime"), ["20260901000000Z"]
    begun.change(IDA, displayName=["Ida Roy (rectorat)"])
    assert begun.run("drift", "override", IDA, "--until", DAYS[9], *WHY, *DAY).code == 0
    exception = "grant$siecle$0800009A$2026-09-01$2030-01-01$x$y"
    begun.change(IDA, pwdEndTime=theirs, mail=["leo.petit@ac-amiens.fr"], piactlException=[exception])
    grant = ("exception", "grant", IDA, "--service", "gestion_rh", "--until", DAYS[8], *WHY)
    ran = begun.run(*grant, "--dry-run", "-o", "json", *DAY)
    changes = ran.json[0]["changes"]
    assert [change["kind"] for change in changes] == ["drift", "grant", "update"]
    assert changes[0]["after"]["attributes"] == ["piactlException"]
    assert exception in str(changes[0]["before"])
    assert begun.run(*grant, *DAY).code == 0
    assert begun.values(IDA, "pwdEndTime") == theirs
    assert begun.values(IDA, "displayName") == ["Ida Roy (rectorat)"]
    assert begun.values(IDA, "mail") == ["leo.petit@ac-amiens.fr"]
    assert exception not in begun.values(IDA, "piactlException")
    begun.night(DAYS[1])
    assert begun.values(IDA, "pwdEndTime") == theirs
    assert begun.run("exception", "end", IDA, "--service", "gestion_rh", *WHY, "--as-of", DAYS[4]).code == 0
    assert begun.values(IDA, "pwdEndTime") == theirs
    assert begun.run("drift", "revert", IDA, *WHY, "--as-of", DAYS[4]).code == 0
    assert begun.values(IDA, "pwdEndTime") == end
    assert begun.values(IDA, "displayName") == ["Ida Roy"]


def test_only_a_lock_is_possible_on_a_held_account(begun: Academy) -> None:
    before, rights = begun.show(CLAIRE, DAYS[1]), begun.values(CLAIRE, "eduPersonEntitlement")
    begun.change(CLAIRE, piactlAssignment=[NONSENSE])
    refused = begun.run(
        "exception", "grant", CLAIRE, "--service", "gestion_rh", "--until", DAYS[8], *WHY, *DAY
    )
    assert refused.code == 1
    assert f"piactl drift show {CLAIRE}" in refused.err
    ran = begun.run("account", "lock", CLAIRE, *WHY, *DAY, "-o", "json")
    assert ran.code == 0, ran.err
    locked = begun.show(CLAIRE, DAYS[1])
    assert (locked["state"], locked["locked"], locked["login_until"]) == ("active", True, DAYS[0])
    assert (begun.values(CLAIRE, "piactlAssignment"), locked["held"]) == ([NONSENSE], True)
    assert begun.values(CLAIRE, "eduPersonEntitlement") == rights
    begun.night(DAYS[1], begun.feed(*PEOPLE, day=DAYS[1]))
    assert begun.run("account", "unlock", CLAIRE, *WHY, *DAY).code == 0
    assert begun.show(CLAIRE, DAYS[1]) == before


def test_a_removed_or_forged_base_holds_the_account(begun: Academy) -> None:
    """Another program grants something and removes the base, or writes another one: then no night or command
    changes the account until somebody looks at it."""
    for uid in (CLAIRE, IDA):
        begun.recorded(uid)  # with a digest that is bound to the entry, like that of `drift revert`
    bases = [begun.values(uid, "piactlDigest") for uid in (CLAIRE, IDA)]
    exception = "grant$siecle$0800009A$2026-09-01$2030-01-01$x$y"
    begun.change(CLAIRE, piactlException=[exception], piactlDigest=[])
    begun.change(IDA, piactlDigest=["{k1}AAAA"])
    before = begun.accounts()
    for day, feeds in ((DAYS[1], False), (DAYS[2], True), (DAYS[3], False)):
        plan = begun.plan(*([begun.feed(*PEOPLE, day=day)] if feeds else []), "--as-of", day)
        drifts = [
            (drift["uid"], drift["attribute"], drift["drift_class"], drift["fate"]) for drift in plan["drift"]
        ]
        assert drifts == [(uid, "piactlDigest", "loosening", "waits for a decision") for uid in (CLAIRE, IDA)]
        assert {hold["uid"] for hold in plan["holds"]} == {CLAIRE, IDA}
        begun.quiet_night(day, *([begun.feed(*PEOPLE, day=day)] if feeds else []))
    assert begun.accounts() == before
    (d55,) = [finding for finding in begun.run("doctor", "-o", "json").json if finding["id"] == "D55"]
    assert (d55["result"], d55["found"]) == ("error", "2 accounts with loosening")
    day = ("--as-of", DAYS[3])
    assert begun.show(CLAIRE, DAYS[3])["held"] is True
    assert "piactlDigest" in begun.run("why", CLAIRE, *day).out
    grant = ("exception", "grant", IDA, "--service", "gestion_rh", "--until", DAYS[8], *WHY)
    ran = begun.run(*grant, *day)
    assert (ran.code, "piactl drift revert" in ran.err) == (1, True)
    assert begun.run("account", "lock", CLAIRE, *WHY, *day).code == 0
    assert begun.values(CLAIRE, "piactlDigest") == []
    assert begun.run("account", "unlock", CLAIRE, *WHY, *day).code == 1
    assert begun.run("drift", "adopt", IDA, *WHY, *day).code == 1
    ran = begun.run("drift", "revert", CLAIRE, IDA, *WHY, *day)
    assert ran.code == 0, ran.err
    assert "look at each" in ran.out
    assert begun.run("drift", "list", "-o", "json", *day).json == []
    assert begun.values(IDA, "piactlDigest") == bases[1]
    assert begun.run("account", "unlock", CLAIRE, *WHY, *day).code == 0
    end = ("exception", "end", CLAIRE, "--service", "siecle", "--uai", "0800009A", *WHY)
    assert begun.run(*end, *day).code == 0
    begun.quiet_night(DAYS[4], begun.feed(*PEOPLE, day=DAYS[4]))
    assert begun.values(CLAIRE, "piactlDigest") == bases[0]


def test_a_night_that_leaves_what_another_program_changed_does_not_blame_itself(begun: Academy) -> None:
    begun.change(IDA, mail=["une.autre@ac-amiens.fr"])
    (before,) = begun.run("drift", "list", "-o", "json", *DAY).json
    assert "last modified by cn=root" in before["by"]
    begun.night(DAYS[1])
    (after,) = begun.run("drift", "list", "-o", "json", *DAY).json
    assert (after["uid"], after["attribute"]) == (IDA, "mail")
    assert "nightly" not in str(after["by"])
