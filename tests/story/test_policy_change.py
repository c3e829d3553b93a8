"""A change of policy is a plan: it shows whom it touches, and touches exactly those."""

from __future__ import annotations

from typing import Any

from .academy import Academy
from .feeds import MICHELIS, row

ENS = row(matricule="1", prenom="Nour", nom_famille="Caron", debut="2026-01-01")
ADM = row(
    matricule="2", prenom="Hugo", nom_famille="Vasseur", fonction="ADM", uai="0809901C", debut="2026-01-01"
)
DIR = row(
    matricule="3", prenom="Ysé", nom_famille="Lambert", fonction="DIR", uai=MICHELIS, debut="2026-01-01"
)
LEAVE = row(matricule="4", prenom="Ida", nom_famille="Roy", position="disponibilite", debut="2026-01-01")
LEFT = row(matricule="5", prenom="Léo", nom_famille="Petit", debut="2026-01-01", fin="2026-02-20")
DAY = "2026-03-01"


def load(academy: Academy) -> None:
    academy.night("2026-02-01", academy.feed(ENS, ADM, DIR, LEAVE, LEFT, day="2026-02-01"))
    academy.night(DAY)
    states = {entry["piactlState"][0].decode() for entry in academy.accounts().values()}
    assert states == {"active", "on-leave", "grace"}


def touched(academy: Academy, *words: str) -> Any:
    """The plan of the policy alone, and what it did when it was applied to the directory."""
    file = academy.folder / "plan.json"
    with academy.nothing_written():
        plan = academy.plan("--as-of", DAY, "--out", file)
    before = academy.stamps()
    ran = academy.run("apply", file, "-o", "json")
    assert ran.code == 0, ran.err
    moved = {dn for dn, stamp in academy.stamps().items() if before[dn] != stamp}
    assert moved == {academy.dn(change["uid"]) for change in plan["changes"]}
    academy.quiet_night(DAY)
    return sorted({(c["uid"], c["kind"]) for c in plan["changes"]})


def test_a_service_added(academy: Academy) -> None:
    load(academy)
    academy.edit(
        "policy.yaml",
        "  # business applications, by function",
        "  stylo: {label: Stylo, profiles: [enseignant, administratif]}",
    )
    assert touched(academy) == [("hugo.vasseur", "grant"), ("nour.caron", "grant")]
    assert "urn:mace:ac-amiens.fr:service:stylo" in academy.values("nour.caron", "eduPersonEntitlement")


def test_a_service_removed(academy: Academy) -> None:
    load(academy)
    path = academy.sandbox.folder / "policy.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("  annuaire:")), encoding="utf-8")
    academy.edit("policy.yaml", "[messagerie, annuaire, colibris", "[messagerie, colibris")
    assert touched(academy) == [
        ("hugo.vasseur", "revoke"),
        ("nour.caron", "revoke"),
        ("yse.lambert", "revoke"),
    ]


def test_a_service_of_one_establishment_added(academy: Academy) -> None:
    load(academy)
    academy.edit(
        "policy.yaml",
        "  # business applications, by function",
        "  clef: {label: Clef, profiles: [direction], scope: establishment}",
    )
    assert touched(academy) == [("yse.lambert", "grant")]
    urn = f"urn:mace:ac-amiens.fr:service:clef:{MICHELIS}"
    assert urn in academy.values("yse.lambert", "eduPersonEntitlement")


def test_a_shorter_grace_closes_those_it_should(academy: Academy) -> None:
    load(academy)
    academy.edit("policy.yaml", "  - {days: 30}", "  - {days: 5}")
    assert touched(academy) == [("leo.petit", "deactivate"), ("leo.petit", "update")]


def test_a_position_that_keeps_more(academy: Academy) -> None:
    load(academy)
    academy.edit("policy.yaml", "{keeps: none}\n  detachement", "{keeps: [messagerie]}\n  detachement")
    kinds = dict(touched(academy))
    assert set(kinds) == {"ida.roy"}
    assert academy.show("ida.roy", DAY)["login_until"] is None


def test_a_comment_changes_nothing(academy: Academy) -> None:
    load(academy)
    with (academy.sandbox.folder / "policy.yaml").open("a", encoding="utf-8") as file:
        file.write("# relu\n")
    assert touched(academy) == []


def test_a_guard_sees_a_change_of_policy(academy: Academy) -> None:
    load(academy)
    academy.edit("policy.yaml", "  - {days: 30}", "  - {days: 5}")
    academy.edit(
        "policy.yaml",
        "  deactivate: {floor: 15, share: 0.01, per_establishment: {max: 5, share: 0.2}}\n  archive:",
        "  deactivate: {max: 0, share: 0}\n  archive:",
    )
    with academy.nothing_written():
        assert "deactivate: 1 of 5" in academy.night(DAY, code=4).err
