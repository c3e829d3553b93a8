"""A server whose schema lacks what a night would write: the night is refused at once, not entry by entry."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .academy import Academy
from .feeds import row

ROOT = Path(__file__).parents[2]
DAYS = ("2026-09-01", "2026-09-02", "2026-09-03")
IDA = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Rollin"}


def test_a_night_that_the_schema_would_refuse(academy: Academy) -> None:
    first, second, third = DAYS
    academy.night(first, academy.feed(row(), day=first))
    academy.sandbox.stop()
    schema = academy.sandbox.folder / "slapd" / "schema" / "supann.schema"
    text = schema.read_text()
    schema.write_text(text.replace(" $ supannMailPrive )", " )"))
    assert schema.read_text() != text
    academy.sandbox.start()
    lacking = (
        "none of the classes inetOrgPerson, eduPerson, supannPerson, piactlAccount allows the attribute "
    )
    [found] = [one for one in academy.run("doctor", "-o", "json").json if one["id"] == "D16"]
    assert (found["result"], found["found"]) == ("error", f"{lacking}supannMailPrive")

    feed = academy.feed(row(), row(**IDA, courriel_prive="ida@exemple.org"), day=second)
    plan = academy.folder / "plan.json"
    assert academy.run("plan", feed, "--as-of", second, "--out", plan).code == 0
    with academy.nothing_written():
        for words in (("nightly", feed, "--as-of", second), ("apply", plan)):
            ran = academy.run(*words)
            assert ran.code == 10, ran
            [line] = [one for one in ran.err.splitlines() if lacking in one]
            assert line.count(lacking) == 1
            assert "schemas/ldap" in ran.err
    assert len(academy.accounts()) == 1
    assert academy.run("journal", "verify").code == 0

    # only what is written counts
    academy.night(third, academy.feed(row(), row(**IDA), day=third))
    assert len(academy.accounts()) == 2


def test_the_official_schema_stands_in_place_of_ours(academy: Academy) -> None:
    """Ours is a part of it, so that slapd refuses both."""
    folder = academy.sandbox.folder / "slapd"
    conf = (folder / "slapd.conf").read_text()
    [ours] = [line for line in conf.splitlines() if line.startswith("include") and "/supann.schema" in line]
    whole = (folder / "schema" / "supann.schema").read_text().replace("supannRoot", "officialRoot")
    more = "attributetype ( supannAttribute:4 NAME 'supannCivilite' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n"
    (folder / "schema" / "official.schema").write_text(
        whole.replace("objectclass (", f"{more}\nobjectclass (")
    )
    theirs = ours.replace("supann.schema", "official.schema")

    def tested(*lines: str) -> str:
        (folder / "tried.conf").write_text(conf.replace(ours, "\n".join(lines)))
        command = ["slapd", "-T", "test", "-u", "-f", str(folder / "tried.conf")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stderr

    assert "Duplicate attributeType" in tested(ours, theirs)
    assert "Duplicate attributeType" in (ROOT / "docs" / "administration.md").read_text(encoding="utf-8")
    assert "succeeded" in tested(theirs)
