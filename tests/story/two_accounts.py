"""A person with two accounts, for the tests of merges and splits: Luc has matricules in EPP and AAF."""

from __future__ import annotations

from pathlib import Path

from .academy import Academy, Ran
from .feeds import MARESCHAL, MICHELIS, row
from .phones import KNOWN, verified

DAYS = [f"2026-09-{day:02}" for day in range(5, 28)]
CLAIRE, LUC = "claire.dubreuil", "luc.vasseur"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy")
AS_OF = ("--as-of", DAYS[0])
WHY = ("--reason", "dit par la DRH", "--yes")


def epp(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(*rows, IDA, day=day, source="epp")


def aaf(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(*rows, IDA.replace("1999", "77").replace("Roy", "Quint"), day=day, source="aaf")


def luc(**values: str) -> str:
    named = {"prenom": "Luc", "nom_famille": "Vasseur", "date_naissance": "1980-02-01", "debut": "2026-09-01"}
    return row(**{"matricule": "1001", "uai": MICHELIS, **named, **values})


def with_two_sources(academy: Academy) -> Academy:
    academy.sources(epp="kind: full", aaf="kind: full, namespace: aaf")
    academy.allow_up_to(9, "update", "deactivate", "grant", "revoke", "create", "rename", "identity")
    return academy


def doubled(academy: Academy) -> None:
    """Gives Luc a second account: AAF lists him under another matricule than EPP."""
    academy.night(
        DAYS[0],
        epp(academy, DAYS[0], luc(numen="20E9512345XYZ")),
        aaf(academy, DAYS[0], luc(matricule="42", uai=MARESCHAL, date_naissance="", prenom="LUC")),
    )
    assert {"1001": LUC, "aaf:42": f"{LUC}1"}.items() <= academy.names().items()
    verified(academy, f"{LUC}1", *KNOWN)
    denied = ("exception", "deny", f"{LUC}1", "--service", "iprof", "--until", DAYS[-1])
    for words in (denied, ("account", "lock", f"{LUC}1", "--until", DAYS[-1])):
        assert academy.run(*words, *WHY, *AS_OF).code == 0
    academy.change(f"{LUC}1", telephoneNumber=["0322000000"], userPassword=["quatre chats gris et lents"])


def merge(academy: Academy, *options: str, code: int = 0) -> Ran:
    ran = academy.run("account", "merge", f"{LUC}1", LUC, *WHY, *AS_OF, *options)
    assert ran.code == code, ran.err
    return ran


def both_feeds(academy: Academy, day: str) -> list[Path]:
    return [
        epp(academy, day, luc(numen="20E9512345XYZ")),
        aaf(academy, day, luc(matricule="42", uai=MARESCHAL, date_naissance="", prenom="LUC")),
    ]
