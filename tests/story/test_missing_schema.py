"""A server whose schema lacks what a night would write: the night is refused at once, not entry by entry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import ldap3
import pytest

from tests.directory.official_supann import official_schema

from .academy import Academy
from .feeds import MICHELIS, row
from .test_groups import grouped, is_consistent

ROOT = Path(__file__).parents[2]
DAYS = ("2026-09-01", "2026-09-02", "2026-09-03")
IDA = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Rollin"}


def test_a_night_is_refused_if_the_schema_lacks_an_attribute(academy: Academy) -> None:
    first, second, third = DAYS
    academy.night(first, academy.feed(row(), day=first))
    academy.sandbox.stop()
    schema = academy.sandbox.folder / "slapd" / "schema" / "supann.schema"
    text = schema.read_text()
    schema.write_text(text.replace(" $ supannMailPrive $", " $"))
    assert schema.read_text() != text
    academy.sandbox.start()
    lacking = (
        "none of the classes inetOrgPerson, eduPerson, supannPerson, piactlAccount allows the attribute "
    )
    [finding] = [finding for finding in academy.run("doctor", "-o", "json").json if finding["id"] == "D16"]
    assert (finding["result"], finding["found"]) == ("error", f"{lacking}supannMailPrive")

    feed = academy.feed(row(), row(**IDA, courriel_prive="ida@exemple.org"), day=second)
    plan = academy.folder / "plan.json"
    assert academy.run("plan", feed, "--as-of", second, "--out", plan).code == 0
    with academy.nothing_written():
        for words in (("nightly", feed, "--as-of", second), ("apply", plan)):
            ran = academy.run(*words)
            assert ran.code == 10, ran
            [line] = [line for line in ran.err.splitlines() if lacking in line]
            assert line.count(lacking) == 1
            assert "schemas/ldap" in ran.err
    assert len(academy.accounts()) == 1
    assert academy.run("journal", "verify").code == 0

    # only attributes that are written count
    academy.night(third, academy.feed(row(), row(**IDA), day=third))
    assert len(academy.accounts()) == 2


@pytest.fixture
def official(academy: Academy) -> Academy:
    """An academy with groups whose server has the whole official schema instead of piactl's part."""
    academy.sandbox.stop()
    folder = academy.sandbox.folder / "slapd"
    (folder / "schema" / "supann.schema").write_text(official_schema())
    academy.sandbox.start()
    return grouped(academy)


def test_accounts_live_and_end_under_the_official_schema(official: Academy) -> None:
    people = (
        row(civilite="MME", courriel_prive="c@example.org", fin="2026-09-30"),
        row(**IDA, fonction="DIR"),
    )
    official.twice(DAYS[0], official.feed(*people, day=DAYS[0]))
    entry = official.entry("claire.dubreuil")
    assert entry["supannCivilite"] == [b"Mme"]
    assert entry["supannEtablissement"] == [b"{UAI}0800009A"]
    assert entry["supannEmpDateFin"] == [b"20260930220000Z"]
    assert is_consistent(official)["direction-iprof"] == {"ida.rollin"}
    moved = (people[0], people[1].replace("0800009A", MICHELIS))
    official.night(DAYS[1], official.feed(*moved, day=DAYS[1]))
    official.night("2026-11-05")
    official.nights("2027-02-02")
    assert official.values("claire.dubreuil", "supannRessourceEtat") == ["{COMPTE}I:SupannSupprDonnees"]


def test_the_official_schema_and_ours_are_not_loaded_together(academy: Academy) -> None:
    """piactl's part repeats definitions of it, so slapd refuses both together."""
    folder = academy.sandbox.folder / "slapd"
    conf = (folder / "slapd.conf").read_text()
    [ours] = [line for line in conf.splitlines() if line.startswith("include") and "/supann.schema" in line]
    (folder / "schema" / "official.schema").write_text(official_schema())
    both = f"{ours}\n{ours.replace('supann.schema', 'official.schema')}"
    (folder / "tried.conf").write_text(conf.replace(ours, both))
    command = ["/usr/sbin/slapd", "-T", "test", "-u", "-f", str(folder / "tried.conf")]
    tested = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    assert "Duplicate attributeType" in tested
    assert "Duplicate attributeType" in (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8")


@pytest.fixture
def older(academy: Academy) -> Academy:
    """An academy whose server has the schema of password policies that OpenLDAP 2.5 has."""
    folder = academy.sandbox.folder / "slapd"
    with academy.sandbox.root() as root:
        root.search(
            "cn=Subschema", "(objectClass=*)", ldap3.BASE, attributes=["attributeTypes", "objectClasses"]
        )
        of_server = root.response[0]["raw_attributes"]
    academy.sandbox.stop()
    lines = []
    for kind, values in (("attributetype", "attributeTypes"), ("objectclass", "objectClasses")):
        found = [value.decode() for value in of_server[values] if b"NAME 'pwd" in value]
        found = [value for value in found if "'pwdUseCheckModule'" not in value and "'pwdLast" not in value]
        lines += [f"{kind} {re.sub(r' NO-USER.*| USAGE .*', ' )', value)}" for value in found]
    (folder / "schema" / "ppolicy.schema").write_text("\n".join(lines).replace(" $ pwdUseCheckModule", ""))
    conf = (folder / "slapd.conf").read_text()
    conf = re.sub(r"(?m)^(moduleload ppolicy|overlay ppolicy|ppolicy_.*)\n|,olcPPolicy\w+", "", conf)
    (folder / "slapd.conf").write_text(
        conf.replace("\nmoduleload", f"\ninclude {folder}/schema/ppolicy.schema\nmoduleload", 1)
    )
    academy.sandbox.start()
    return academy


def test_a_server_older_than_2_6_is_refused_at_once(older: Academy) -> None:
    feed = older.feed(row(), day=DAYS[0])
    with older.nothing_written():
        for command in ("plan", "nightly"):
            ran = older.run(command, feed, "--as-of", DAYS[0])
            assert ran.code == 10, ran
            assert "OpenLDAP 2.5 or earlier" in ran.err
            assert "piactl needs OpenLDAP 2.6 (Debian 13)" in ran.err
    examined = older.run("doctor", "-o", "json")
    [finding] = [finding for finding in examined.json if finding["id"] == "D73"]
    assert (finding["result"], examined.code) == ("error", 10)
    assert "OpenLDAP 2.5 or earlier" in finding["found"]
