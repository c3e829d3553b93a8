"""A first migration by slapadd under a policy with groups and approvals."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import MICHELIS, row
from .test_approvals import approve
from .test_first_migration import DAY, NEXT, loaded, planned, record
from .test_groups import grouped, members, said_by_accounts
from .test_second_person import log_in

APPROVALS = "\napprovals:\n  required: [{kind: create, more_than: 1}]\n"
PEOPLE = (row(), row(matricule="1002", prenom="Hugo", nom_famille="Caron", fonction="DIR", uai=MICHELIS))


def test_an_approved_migration_loads_groups_with_the_accounts(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = grouped(academy).sandbox.folder / "policy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + APPROVALS, encoding="utf-8")
    log_in(monkeypatch, "anne")
    feed, plan = planned(academy, *PEOPLE)
    ldif = academy.folder / "accounts.ldif"
    with academy.nothing_written():
        ran = academy.run("apply", plan, "--ldif", ldif)
    assert (ran.code, "1 other person has to approve this plan" in ran.err, ldif.exists()) == (4, True, False)
    assert approve(academy, monkeypatch, plan).code == 0
    ran = academy.run("apply", plan, "--ldif", ldif)
    assert (ran.code, "approved by bruno" in ran.err) == (0, True), ran
    loaded(academy, ldif)
    assert members(academy) == said_by_accounts(academy) != {}
    assert academy.night(DAY, feed).json["summary"] == {}
    ended = record(academy, ldif)
    assert (ended["status"], ended["approved_by"]) == ("done", ["bruno"])
    assert academy.run("journal", "verify").code == 0
    academy.quiet_night(NEXT, academy.feed(*PEOPLE, day=NEXT))
