"""Contracts that are extended before HR knows, and end by themselves; accounts with a sponsor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .academy import Academy, Ran
from .both_ways import one_by_one
from .feeds import MICHELIS, row

DAY = "2026-09-05"
WHY = ("--reason", "avenant signé")
EXT = "lou.aubert"
NAMES = {"11": "Claire", "12": "Denis", "13": "Emma", "14": "Ida", "15": "Paul"}
ENDS = {"11": "2026-09-30", "12": "2026-08-20", "13": "2026-07-10"}


def feed(academy: Academy, day: str, **ends: str) -> Path:
    fins = {**ENDS, **{name[1:]: end for name, end in ends.items()}}
    fixed = {"debut": "2025-09-01", "nom_famille": "Hugo"}
    people = [
        row(matricule=m, prenom=name, date_naissance=f"1970-01-{m}", fin=fins.get(m, ""), **fixed)
        for m, name in NAMES.items()
    ]
    # a supply teacher: a post without end, and the last place where she replaces somebody
    rosa = {"matricule": "16", "prenom": "Rosa", "date_naissance": "1970-01-16", "nom_famille": "Hugo"}
    people.append(row(**rosa, fonction="RPL", debut="2025-09-01"))
    people.append(row(**rosa, uai=MICHELIS, debut="2026-03-01", fin="2026-08-31"))
    return academy.feed(*people, day=day)


def act(academy: Academy, *words: str, day: str = DAY, code: int = 0) -> Ran:
    ran = academy.run("account", *words, *WHY, "--as-of", day, "-o", "json")
    assert ran.code == code, ran.err
    return ran


def refused(academy: Academy, *words: str, day: str = DAY) -> str:
    ran = act(academy, *words, day=day, code=1)
    return ran.out + ran.err


def posts(academy: Academy, uid: str, day: str = DAY) -> list[tuple[str, str | None]]:
    return [(a["start"], a["end"]) for a in academy.show(uid, day)["assignments"]]


def shown(academy: Academy, uid: str, day: str = DAY) -> Any:
    return academy.show(uid, day)


def test_contracts_are_extended_until_hr_confirms_them(academy: Academy) -> None:
    academy.night("2026-06-01", feed(academy, "2026-06-01"))
    for day in ("2026-08-01", DAY):
        academy.night(day, feed(academy, day))
    assert [shown(academy, f"{name}.hugo")["state"] for name in ("claire", "denis", "emma", "ida")] == [
        "active", "grace", "deactivated", "active",
    ]  # fmt: skip

    act(academy, "extend", "claire.hugo", "--until", "2026-12-31")
    assert posts(academy, "claire.hugo") == [("2025-09-01", "2026-09-30"), ("2026-10-01", "2026-12-31")]
    rights = {e["service"]: (e["from"], e["to"]) for e in shown(academy, "claire.hugo")["entitlements"]}
    assert rights["iprof"] == ("2025-09-01", "2026-12-31"), "without a gap"
    again = act(academy, "extend", "claire.hugo", "--until", "2026-12-31").json[0]
    assert (again["outcome"], again["message"]) == ("unchanged", "it lasts until 2026-12-31 already")
    early = refused(academy, "extend", "claire.hugo", "--until", "2026-11-01")
    assert "it lasts until 2026-12-31 already" in early
    act(academy, "extend", "claire.hugo", "--until", "2027-01-31")
    assert posts(academy, "claire.hugo") == [("2025-09-01", "2026-09-30"), ("2026-10-01", "2027-01-31")]

    act(academy, "extend", "denis.hugo", "--until", "2026-12-31")
    assert posts(academy, "denis.hugo") == [("2025-09-01", "2026-08-20"), ("2026-08-21", "2026-12-31")]
    assert shown(academy, "denis.hugo")["state"] == "active"
    act(academy, "extend", "emma.hugo", "--until", "2026-12-31")
    assert posts(academy, "emma.hugo")[1:] == [(DAY, "2026-12-31")], "closed meanwhile"
    assert shown(academy, "emma.hugo")["state"] == "active"
    later = ("--until", "2027-01-31")
    assert "ida.hugo: it has no end: ENS at" in refused(academy, "extend", "ida.hugo", *later)
    supply = refused(academy, "extend", "rosa.hugo", *later)
    assert "rosa.hugo: it has no end: RPL at" in supply
    printed = re.search(r"ENS at 0800010B beyond 2026-08-31: piactl (assignment add .*) --reason", supply)
    assert printed, supply
    assert academy.run(*printed[1].split(), *WHY, "--as-of", DAY).code == 0
    assert posts(academy, "rosa.hugo")[-1] == (DAY, "2027-01-31")
    assert "needs no sponsor" in refused(academy, "extend", "denis.hugo", *later, "--sponsor", "ida.hugo")

    open_ = act(academy, "reopen", "ida.hugo")
    assert "piactl account extend ida.hugo --until DATE" in open_.json[0]["message"]
    assert "piactl account extend" in refused(academy, "reopen", "ida.hugo", *later)

    # closed by hand, now or later
    act(academy, "close", "ida.hugo", "--until", "2027-01-31")
    act(academy, "extend", "ida.hugo", *later)
    assert (shown(academy, "ida.hugo")["state"], posts(academy, "ida.hugo")[1:]) == ("active", [])
    act(academy, "close", "denis.hugo", "--until", "2027-01-31")
    act(academy, "extend", "denis.hugo", *later)
    assert (shown(academy, "denis.hugo")["state"], posts(academy, "denis.hugo")[-1][1]) == (
        "active",
        "2027-01-31",
    )
    act(academy, "close", "ida.hugo", "--until", "2027-01-31", "--from", "2026-10-01")
    assert "to be closed on 2026-10-01" in refused(academy, "extend", "ida.hugo", *later)
    act(academy, "reopen", "ida.hugo")

    # HR confirms one of them, and does not know the others yet
    academy.night("2026-09-06", feed(academy, "2026-09-06", m11="2027-08-31"))
    assert posts(academy, "claire.hugo") == [("2025-09-01", "2027-08-31")]
    assert academy.values("claire.hugo", "piactlOverride") == []
    assert [shown(academy, f"{name}.hugo")["state"] for name in ("denis", "emma")] == ["active", "active"]
    academy.quiet_night("2026-09-07", feed(academy, "2026-09-07", m11="2027-08-31"))


def test_sponsored_accounts_have_a_maximum_term_and_need_a_sponsor(academy: Academy) -> None:
    academy.night(DAY, feed(academy, DAY))
    academy.edit("policy.yaml", "  retention: 30", "  sponsored_days: 60\n  retention: 30")
    person = ("--family-name", "Aubert", "--given-name", "Lou", "--uai", MICHELIS, "--function", "ENS")
    made = ("create", *person, "--sponsor", "paul.hugo", "--until")
    assert "ends 60 days ahead at the latest, on 2026-11-04" in refused(academy, *made, "2026-11-05")
    act(academy, *made, "2026-09-20")
    assert shown(academy, EXT)["sponsor"] == "paul.hugo"
    assert "  sponsor    paul.hugo" in academy.run("account", "show", EXT, "--as-of", DAY).out
    for words in (("account", "extend", EXT, "--until"), ("assignment", "end", EXT, "--on")):
        ran = academy.run(*words, "2026-11-05", *WHY, "--as-of", DAY)
        assert ran.code == 1
        assert "accounts.sponsored_days" in ran.err
    act(academy, "extend", EXT, "--until", "2026-10-10")
    assert posts(academy, EXT) == [(DAY, "2026-10-10")]

    # Paul leaves: the night that finds it reports it
    gone = feed(academy, "2026-09-08", m15="2026-09-07")
    remarks = academy.plan(gone, "--as-of", "2026-09-08")["remarks"]
    with one_by_one():
        assert academy.plan(gone, "--as-of", "2026-09-08")["remarks"] == remarks
    words = f"sponsor paul.hugo is in grace, and answers for {EXT}"
    assert [remark for remark in remarks if words in remark and "account extend" in remark]
    academy.night("2026-09-08", gone)
    act(academy, "extend", EXT, "--until", "2026-10-10", "--sponsor", "ida.hugo", day="2026-09-08")
    assert shown(academy, EXT)["sponsor"] == "ida.hugo"
    assert "sponsor" not in str(academy.plan("--as-of", "2026-09-08")["remarks"])

    # once it has ended nobody is responsible for it
    academy.night("2026-10-11")
    for verb in ("extend", "reopen"):
        why = refused(academy, verb, EXT, "--until", "2026-11-30", day="2026-10-12")
        assert "nobody is responsible for it any more" in why, verb
    act(academy, "extend", EXT, "--until", "2026-11-30", "--sponsor", "ida.hugo", day="2026-10-12")
    assert (posts(academy, EXT), shown(academy, EXT, "2026-10-12")["sponsor"]) == (
        [(DAY, "2026-11-30")],
        "ida.hugo",
    )
    academy.quiet_night("2026-10-12")
