"""A change of policy is a plan: it shows which accounts it changes, and changes exactly those."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from .academy import Academy, prepared
from .feeds import MARESCHAL, MICHELIS, row

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


@prepared
def loaded(academy: Academy) -> Academy:
    academy.night("2026-02-01", academy.feed(ENS, ADM, DIR, LEAVE, LEFT, day="2026-02-01"))
    academy.night(DAY)
    states = {entry["piactlState"][0].decode() for entry in academy.accounts().values()}
    assert states == {"active", "on-leave", "grace"}
    return academy


def touched(academy: Academy, *words: str) -> Any:
    """The plan of the policy alone, and what applying it changed in the directory."""
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


def test_a_service_added(loaded: Academy) -> None:
    loaded.edit(
        "policy.yaml",
        "  # business applications, by function",
        "  stylo: {label: Stylo, profiles: [enseignant, administratif]}",
    )
    assert touched(loaded) == [("hugo.vasseur", "grant"), ("nour.caron", "grant")]
    assert "urn:mace:ac-amiens.fr:service:stylo" in loaded.values("nour.caron", "eduPersonEntitlement")


def test_a_position_that_keeps_a_service_allows_log_in(loaded: Academy) -> None:
    loaded.edit("policy.yaml", "{keeps: none}\n  detachement", "{keeps: [messagerie]}\n  detachement")
    kinds = dict(touched(loaded))
    assert set(kinds) == {"ida.roy"}
    assert loaded.show("ida.roy", DAY)["login_until"] is None


def test_a_comment_changes_nothing(loaded: Academy) -> None:
    with (loaded.sandbox.folder / "policy.yaml").open("a", encoding="utf-8") as file:
        file.write("# relu\n")
    assert touched(loaded) == []


def by(academy: Academy, group: str, *words: str, code: int = 0) -> dict[str, Any]:
    ran = academy.run("plan", *words, "--by", group, "-o", "json")
    assert ran.code == code, ran.err
    return {row["name"]: row for row in ran.json}


def test_the_impact_of_a_draft(loaded: Academy) -> None:
    """Each changed group, with its share and the nearest guard; a plan in a file shows the same."""
    live, draft = loaded.sandbox.folder / "policy.yaml", loaded.folder / "draft.yaml"
    text = live.read_text(encoding="utf-8")
    assert text.count("  - {days: 30}") == 1
    draft.write_text(text.replace("  - {days: 30}", "  - {days: 5}"), encoding="utf-8")
    file = loaded.folder / "plan.json"
    words = ("--policy", str(draft), "--as-of", DAY)
    with loaded.nothing_written():
        places = by(loaded, "uai", *words, "--out", str(file))
    assert list(places) == ["0800009A"]
    assert {name: places["0800009A"][name] for name in ("label", "accounts", "of", "deactivate")} == {
        "label": "Lycée Louis Thuillier", "accounts": 1, "of": 3, "deactivate": 1,
    }  # fmt: skip
    assert places["0800009A"]["share"] == 0.3333
    assert by(loaded, "uai", "show", str(file)) == places
    services = by(loaded, "service", "show", str(file))
    assert {name: (row["deactivate"], row["of"]) for name, row in services.items()} == {
        "messagerie": (1, 4), "colibris": (1, 4),
    }  # fmt: skip
    assert set(by(loaded, "source", *words)) == {"hr"}
    (change,) = [change for change in loaded.plan("show", file)["changes"] if change["kind"] == "deactivate"]
    assert (change["establishments"], change["source"]) == (["0800009A"], "hr")
    line = text[: text.index("  - {days: 30}")].count("\n") + 1
    assert (change["profiles"], change["rule"].rpartition(":")[2]) == (["enseignant"], str(line))
    (row,) = csv.DictReader(io.StringIO(loaded.run("plan", "show", file, "--by", "uai", "-o", "csv").out))
    assert (row["name"], row["accounts"], row["share"], row["deactivate"]) == ("0800009A", "1", "0.3333", "1")


def test_the_impact_names_the_guard_that_a_group_breaks(loaded: Academy) -> None:
    text = (loaded.sandbox.folder / "policy.yaml").read_text(encoding="utf-8")
    policy = re.sub(
        r"( revoke: +)\{[^\n]*", r"\1{max: 9, share: 0.9, per_establishment: {max: 0, share: 0}}", text
    )
    (loaded.sandbox.folder / "policy.yaml").write_text(policy, encoding="utf-8")
    loaded.edit("policy.yaml", "[messagerie, annuaire, colibris", "[messagerie, colibris")
    loaded.edit("policy.yaml", "Annuaire académique, profiles: all", "Annuaire, profiles: [direction]")
    ran = loaded.run("plan", "--as-of", DAY, "--by", "uai", "-o", "table")
    assert ran.code == 4
    cells = {line.split()[0]: line.split() for line in ran.out.splitlines()}
    assert cells["0800009A"][-4:] == ["revoke", "1", "0", "yes"]
    profiles = by(loaded, "profile", "--as-of", DAY, code=4)
    assert profiles["enseignant"]["revoke"] == profiles["enseignant"]["accounts"] == 1
    assert "only with --by" in loaded.run("plan", "-o", "csv").err
    assert "not with --by" in loaded.run("plan", "--by", "uai", "-o", "text").err


def test_a_draft_is_planned_and_applied_only_as_the_policy(academy: Academy) -> None:
    """People who teach in a lycée get one service and lose two, by conditions and without another profile."""
    other = row(matricule="6", prenom="Max", nom_famille="Roussel", uai=MARESCHAL, debut="2026-01-01")
    academy.night("2026-02-01", academy.feed(ENS, ADM, other, day="2026-02-01"))
    run = academy.night(DAY).json["run"]
    live, draft = academy.sandbox.folder / "policy.yaml", academy.folder / "draft.yaml"
    written = live.read_text(encoding="utf-8")
    for service in ("livret", "viescolaire"):
        before, sign, after = written.partition(f"  {service}:\n")
        after = after.replace("scope:", 'when: {nature: ["340"]}\n    scope:', 1)
        written = before + sign + after
    stylo = '  stylo: {label: Stylo, profiles: [enseignant], when: {nature: ["300"]}}\n'
    draft.write_text(written.replace("  livret:\n", f"{stylo}  livret:\n"), encoding="utf-8")
    lines = draft.read_text(encoding="utf-8").splitlines()
    places = {text: number for number, text in enumerate(lines, 1)}
    file = academy.folder / "plan.json"

    with academy.nothing_written():
        shown = academy.run("plan", "--policy", draft, "--as-of", DAY, "--out", file)
    assert shown.code == 0, shown.err
    assert f"make {draft} the policy" in shown.err
    assert f"the policy has changed since run {run} of {DAY}: draft.yaml" in shown.out
    assert "services: livret -1, stylo +1, viescolaire -1" in shown.out
    when = lines.index('    when: {nature: ["340"]}') + 1
    why = "the policy no longer gives it: profile enseignant has it only where nature 340"
    second = lines.index('    when: {nature: ["340"]}', when) + 1
    losses = f"livret:0800009A (draft.yaml:{when}), viescolaire:0800009A (:{second}); {why}"
    assert f"nour.caron: {losses}" in shown.out
    changes = academy.plan("show", file)["changes"]
    assert {(c["uid"], c["kind"], c["after"]["service"], c["rule"]) for c in changes} == {
        ("nour.caron", "grant", "stylo", f"draft.yaml:{places[stylo.rstrip()]}"),
        ("nour.caron", "revoke", "livret", f"draft.yaml:{when}"),
        ("nour.caron", "revoke", "viescolaire", f"draft.yaml:{second}"),
    }

    with academy.nothing_written():
        ran = academy.run("apply", file)
    assert ran.code == 1, ran.err
    assert "a draft or an older one; make that one the policy" in ran.err
    assert academy.plan("--as-of", DAY)["changes"] == [], "the live policy is as it was"
    assert academy.run("plan", "--policy", academy.folder / "none.yaml").code == 2

    live.write_text(draft.read_text(encoding="utf-8"), encoding="utf-8")
    assert academy.run("apply", file).code == 0
    academy.quiet_night(DAY)
    has = academy.run("why", "nour.caron", "stylo", "--as-of", DAY, "-o", "json").json["answers"][0]
    assert (has["yes"], has["rules"][1]["line"]) == (True, places[stylo.rstrip()])
    lacks = academy.run("why", "max.roussel", "stylo", "--as-of", DAY, "-o", "json").json["answers"][0]
    assert (lacks["yes"], lacks["reason"]) == (False, "profile enseignant has it only where nature 300")
    assert lacks["rules"][1]["key"] == "services.stylo.when"
    assert "profile that has it (enseignant, only where nature 300)" in str(lacks)
    assert "where nature 340" in academy.run("profile", "show", "enseignant").out
    assert "when       nature 300" in academy.run("service", "show", "stylo").out
    # a person who comes to a lycée has it from the first day, one who leaves loses it
    rows = (
        row(matricule="1", prenom="Nour", nom_famille="Caron", debut="2026-01-01", fin="2026-03-01"),
        row(matricule="1", prenom="Nour", nom_famille="Caron", uai=MARESCHAL, debut="2026-03-02"),
        row(matricule="6", prenom="Max", nom_famille="Roussel", debut="2026-03-02"),
    )
    academy.night("2026-03-02", academy.feed(*rows, ADM, day="2026-03-02"))
    urn = "urn:mace:ac-amiens.fr:service:stylo"
    assert urn in academy.values("max.roussel", "eduPersonEntitlement")
    assert urn not in academy.values("nour.caron", "eduPersonEntitlement")


def test_an_older_policy_register_or_configuration_is_refused_until_a_reason(loaded: Academy) -> None:
    """Another host has an old copy of a file: it must not take back each other night what the new one
    gives."""
    changes = {
        "policy": ("policy.yaml", "  - {days: 30}", "  - {days: 31}"),
        "register": ("establishments.csv", "Lycée Madeleine Michelis", "Lycée Michelis"),
        "configuration": (
            "piactl.yaml",
            "kind: full, files",
            "kind: full, feed_days: 8, files",
        ),
    }
    for what, (file, old, new) in changes.items():
        loaded.edit(file, old, new)
        first = loaded.night(DAY)
        assert f"the {what} of this run is not that of run " in first.err
        assert f"the {what}" not in loaded.night(DAY).err
        loaded.edit(file, new, old)
        with loaded.nothing_written():
            ran = loaded.night(DAY, code=4)
        assert f"the {what} of this run is that of run " in ran.err
        assert "--reason" in ran.err
        plan = loaded.folder / "plan.json"
        loaded.plan("--as-of", DAY, "--out", plan)
        assert loaded.run("apply", plan).code == 4
        assert loaded.run("apply", plan, "--reason", "the former one was right").code == 0
        loaded.night(DAY)
        loaded.edit(file, old, new)
        loaded.night(DAY, code=4)
        loaded.edit(file, new, old)
    # the old file, put back before the run with the new one is undone, needs no reason
    loaded.edit("policy.yaml", "  - {days: 30}", "  - {days: 32}")
    loaded.night(DAY)
    loaded.edit("policy.yaml", "  - {days: 32}", "  - {days: 30}")
    assert loaded.run("undo", "last", "--reason", "the policy is wrong", "--as-of", DAY).code == 0
    loaded.night(DAY)
    # files of this host alone may differ from those of other hosts
    loaded.edit("piactl.yaml", 'files: ["*.csv"]', 'limits: {max_rows: 99}, files: ["*.csv", "*.txt"]')
    assert "is not that of" not in loaded.night(DAY).err
    # and a comment says nothing
    loaded.edit("policy.yaml", "  - {days: 30}", "  - {days: 30}  # a month")
    assert "is not that of" not in loaded.night(DAY).err
    loaded.edit("policy.yaml", "  - {days: 30}  # a month", "  - {days: 30}")
    loaded.night(DAY)
