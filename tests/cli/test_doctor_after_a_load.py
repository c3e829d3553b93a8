"""Doctor minutes after a load: it reads whole neither what a night wrote nor what its journal has."""

from __future__ import annotations

from collections.abc import Callable

import ldap3
import pytest

from piactl.directory.client.connection import Session
from tests.story.academy import Academy
from tests.story.feeds import row


def test_doctor_reads_only_what_a_night_did_not_write(
    make_academy: Callable[..., Academy], monkeypatch: pytest.MonkeyPatch
) -> None:
    academy = make_academy(accesslog=True)
    hugo = row(matricule="1002", prenom="Hugo", nom_famille="Caron")
    academy.night("2026-09-05", academy.feed(row(), hugo, day="2026-09-05"))
    whole: list[str] = []
    page = Session.page

    def noted(
        self: Session, base: str, scope: str, query: str, wanted: list[str], **options: object
    ) -> object:
        result = page(self, base, scope, query, wanted, **options)  # type: ignore[arg-type]
        if {"displayName", "reqMod"} & {*wanted}:  # an account, or a write in the access log
            whole.extend(entry.text("reqDN") or entry.dn for entry in result[0])
        return result

    monkeypatch.setattr(Session, "page", noted)

    def found() -> dict[str, tuple[str, str]]:
        whole.clear()
        rows = academy.run("doctor", "-o", "json").json
        return {finding["id"]: (finding["result"], finding["found"]) for finding in rows}

    before = found()
    assert (before["D51"][0], before["D55"][0], whole) == ("ok", "ok", [])
    assert "2 matricules of accounts" in before["D27"][1]
    with academy.sandbox.root() as root:
        root.modify(academy.dn("hugo.caron"), {"mail": [(ldap3.MODIFY_REPLACE, ["vol@example.org"])]})
    after = found()
    assert "1 write of accounts not in this journal" in after["D51"][1]
    assert after["D55"] == ("warning", "1 account with identity")
    assert {dn.split(",")[0] for dn in whole} == {"uid=hugo.caron"}
