"""Values that somebody wrote without piactl, each on a different account: none ends a night or a command, and
what is due for other accounts is done."""

from __future__ import annotations

import base64
import json

import ldap3

from .academy import Academy
from .feeds import row

DAY, NEXT, LATER, LAST = "2026-09-05", "2026-09-06", "2026-09-07", "2026-09-08"
LEAVER = "luc.kern"


def base(known: int, items: bytes) -> str:
    return "{k1}" + base64.b64encode(bytes([known]) + bytes(6) + items).decode()


MALFORMED = ("{k1}", "{k9}00", "x" * 100_000)
VALUES: dict[str, tuple[str, ...]] = {
    # the desk may write this one: unknown attributes, or very many digests
    "piactlDigest": (*MALFORMED, base(255, b"\xff" * 500), base(0, bytes(5)), base(39, bytes(50_000))),
    "piactlMatriculeDigest": (*MALFORMED, "{k1}" + "0" * 64),
    "piactlNumenDigest": MALFORMED,
    # a check would need more memory, processor time or digits than is possible
    "piactlNumenVerifier": (
        "{k1}scrypt$14$99999999999999999999$1$00$00",
        "{k1}scrypt$14$8$-1$00$00",
        "{k1}scrypt$14$8$100000$00$00",
        "{k1}scrypt$17$4096$1$00$00",
    ),
    "piactlIdentityDigest": MALFORMED,
    "piactlBirthDigest": ("{k1}$", "{k1}00$" + "0" * 9000),
    "piactlMergedInto": ("{k1}", "{k1}00 nobody.here"),
    "piactlDevice": ("x,ou=y", "*)(uid=*"),
    # the first and the last day of the calendar: sums with them leave it
    "piactlLock": ("2026-01-01$9999-12-31$x$y", "0001-01-01$$x$y"),
    "piactlAssignment": (
        "0800010B$ENS$2020-01-01$9999-12-31$$$$$$manual$",
        "0800010B$ENS$0001-01-01$2027-01-01$$$$$$manual$",
    ),
    "piactlException": ("grant$iprof$$2026-01-01$9999-12-31$x$y",),
    "piactlOverride": (
        "name$9999-12-31$2026-01-01$x$y$$$$$A$B$$0",
        "close$2027-01-01$2026-01-01$x$y$$$$2027-01-01$$$$999999999",
    ),
    "piactlProofChanged": ("numen 9999-12-31", "numen 0001-01-01"),
    "piactlNextDue": ("-1", "99991231"),
    "supannRessourceEtatDate": ("{COMPTE}I:SupannInactif:99991231:",),
    "pwdStartTime": ("00010101000000Z", "99991231235959Z"),
    "pwdEndTime": ("00010101000000Z", "2026090100Z"),
}
ROWS = [(name, value) for name, values in VALUES.items() for value in values]


def person(number: int, **values: str) -> str:
    first, second = divmod(number, 26)
    return row(
        matricule=f"3{number:03}",
        prenom="Claire",
        nom_famille=f"Roy{chr(97 + first)}{chr(97 + second)}",
        numen=f"20E95{number:05}XYZ",
        date_naissance=f"{1960 + number}-01-02",
        debut="2020-09-01",
        **values,
    )


def uid(number: int) -> str:
    return "claire.roy" + chr(97 + number // 26) + chr(97 + number % 26)


def test_no_value_ends_a_night(academy: Academy) -> None:
    academy.allow_up_to(10 * len(ROWS))
    newcomer = row(matricule="2001", prenom="Luc", nom_famille="Autre", numen="20E9500000XYZ", debut=NEXT)
    leaver = row(matricule="1999", prenom="Luc", nom_famille="Kern", debut="2020-09-01", fin=NEXT)
    people = [*(person(number) for number in range(len(ROWS))), leaver]
    academy.night(DAY, academy.feed(*people, day=DAY))
    academy.night(NEXT, academy.feed(*people, newcomer, day=NEXT))
    with academy.sandbox.root() as root:
        for number, (name, value) in enumerate(ROWS):
            root.modify(academy.dn(uid(number)), {name: [(ldap3.MODIFY_REPLACE, [value])]})
        ((dn, case),) = academy.sandbox.entries(academy.sandbox.state, "(cn=case-*)").items()
        record = {**json.loads(case["piactlData"][0]), "since": "9999-12-31"}
        root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record)])]})
    academy.run("nightly", "--as-of", LATER)
    assert academy.values(LEAVER, "piactlState") == ["grace"]
    feed = academy.feed(*people, newcomer, day=LAST)
    assert academy.run("nightly", feed, "--as-of", LAST).code in (0, 5)
    for command in ("account list", "doctor", "drift list", "key list", "match list", "forecast"):
        academy.run(*command.split())
    for number, (name, _) in enumerate(ROWS):
        if name in ("piactlNumenVerifier", "piactlProofChanged", "piactlLock", "piactlDevice"):
            file = academy.folder / f"code-{number}"
            reset = ("password", "reset", uid(number), "--numen-file", "-", "--to", file)
            academy.run(*reset, stdin=f"20E95{number:05}XYZ\n")
            academy.run("account", "show", uid(number))
