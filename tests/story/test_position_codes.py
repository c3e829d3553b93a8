"""HR's words for positions that reveal health or discipline are read, and are nowhere afterwards."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import MICHELIS, row

CODES = ("suspension", "conge_maladie", "conge_parental", "radiation")
POST = {"debut": "2026-01-01"}
PEOPLE = [
    row(matricule="1", prenom="Nour", nom_famille="Caron", **POST),
    row(matricule="2", prenom="Hugo", nom_famille="Vasseur", **POST),
    row(matricule="3", prenom="Ida", nom_famille="Roy", **POST),
    row(matricule="4", prenom="Zoé", nom_famille="Petit", **POST),
]


def away(number: int, position: str) -> str:
    name = ("Nour", "Hugo", "Ida", "Zoé")[number - 1], ("Caron", "Vasseur", "Roy", "Petit")[number - 1]
    return row(
        matricule=str(number), prenom=name[0], nom_famille=name[1], debut="2026-03-01", position=position
    )


def everything(academy: Academy) -> str:
    """Everything in the directory, the files of this host and every output, except the feeds."""
    entries = academy.sandbox.entries("o=gouv,c=fr")
    texts = [value.decode("utf-8", "replace") for e in entries.values() for vs in e.values() for value in vs]
    hidden = {academy.sandbox.folder / "policy.yaml", academy.sandbox.folder / "ldap"}
    for path in academy.sandbox.folder.rglob("*"):
        if path.is_file() and not hidden & {path, *path.parents}:
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join([*texts, *academy.said])


def test_only_the_effect_of_a_position_code_is_kept(academy: Academy) -> None:
    academy.night("2026-02-01", academy.feed(*PEOPLE, day="2026-02-01"))
    rows = [*PEOPLE, *(away(number, code) for number, code in enumerate(CODES, 1))]
    academy.twice("2026-03-02", academy.feed(*rows, day="2026-03-02"))
    academy.run("account", "show", "nour.caron", "--as-of", "2026-03-02")
    academy.run("why", "nour.caron", "login", "--as-of", "2026-03-02")
    academy.run("account", "timeline", "nour.caron", "--as-of", "2026-03-02")
    academy.run("runs", "list")
    academy.run("journal", "show", "-o", "json")
    assert "position verrouille" in academy.run("why", "nour.caron", "login", "--as-of", "2026-03-02").out
    states = {uid: academy.values(uid, "piactlState") for uid in ("nour.caron", "hugo.vasseur", "ida.roy")}
    assert states == {"nour.caron": ["on-leave"], "hugo.vasseur": ["active"], "ida.roy": ["on-leave"]}
    assert academy.show("nour.caron", "2026-03-02")["locked"]
    text = everything(academy)
    assert "verrouille" in text
    for code in CODES:
        # names of other parts of the policy, and of piactl's states of a device, are different words
        assert f"${code}$" not in text
        assert f"position {code}" not in text
        assert f'"{code}"' not in text


@pytest.mark.parametrize("fed", [True, False], ids=["with a feed", "without a feed"])
def test_a_stored_position_code_is_replaced_by_the_next_night(academy: Academy, *, fed: bool) -> None:
    codes = "codes: [suspension]}"
    academy.edit("policy.yaml", codes, "}\n  suspension: {keeps: none, lock: true}")
    path = academy.sandbox.folder / "policy.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("lock: true, }", "lock: true}"), encoding="utf-8"
    )
    rows = [*PEOPLE, away(1, "suspension")]
    academy.allow_up_to(10, "lock", "suspend")
    academy.night("2026-03-02", academy.feed(*rows, day="2026-03-02"))
    assert any("$suspension$" in value for value in academy.values("nour.caron", "piactlAssignment"))
    academy.edit(
        "policy.yaml", "lock: true}\n  suspension: {keeps: none, lock: true}", f"lock: true, {codes}"
    )
    feeds = [academy.feed(*rows, day="2026-03-03")] if fed else []
    ran = academy.twice("2026-03-03", *feeds)
    assert ran.json["summary"] == {"update": 1}
    assert any("$verrouille$" in value for value in academy.values("nour.caron", "piactlAssignment"))
    entries = academy.sandbox.entries(academy.sandbox.accounts)
    assert not [v for entry in entries.values() for vs in entry.values() for v in vs if b"suspension" in v]
    assert academy.show("nour.caron", "2026-03-03")["locked"]


def test_a_position_code_given_by_hand_is_not_stored(academy: Academy) -> None:
    academy.night("2026-02-01", academy.feed(*PEOPLE, day="2026-02-01"))
    ran = academy.run(
        "assignment", "add", "nour.caron", "--uai", MICHELIS, "--function", "ENS", "--from", "2026-02-02",
        "--until", "2026-06-30", "--position", "conge_maladie", "--as-of", "2026-02-01", "--reason", "essai",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert any("$activite$" in value for value in academy.values("nour.caron", "piactlAssignment"))
    academy.quiet_night("2026-02-01", academy.feed(*PEOPLE, day="2026-02-01"))
