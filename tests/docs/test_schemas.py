"""The JSON that commands print is what schemas/json promises to other programs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import Sandbox
from tests.story.academy import Academy
from tests.story.feeds import MICHELIS, row

SCHEMAS = Path(__file__).parents[2] / "schemas" / "json"
DAY = "2026-03-01"
NUMEN = "20E9512345XYZ"


@cache
def validator(name: str) -> Any:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def wrong(name: str, document: Any) -> list[str]:
    """Every violation of the schema in a document."""
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(document)]


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every key in a document."""
    paths = []
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        if isinstance(data, dict):
            paths.append((*path, key))
        paths += places(value, (*path, key))
    return paths


def without(data: Any, path: tuple[Any, ...]) -> Any:
    result = copy.deepcopy(data)
    place = result
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return result


@pytest.fixture
def academy(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Academy:
    """An academy with accounts in every state, one with a mutation, one locked."""
    academy = Academy(make_sandbox(), tmp_path)
    rows = {
        "active": [
            row(matricule="1", numen=NUMEN, prenom="Claire", debut="2025-09-01", modalite="principale")
        ],
        "on-leave": [row(matricule="2", prenom="Hugo", debut="2025-09-01", position="suspension")],
        "grace": [row(matricule="3", prenom="Nour", debut="2025-09-01", fin="2026-02-20")],
        "anticipated": [row(matricule="4", prenom="Ida", debut="2026-03-05", corps="")],
        "deactivated": [row(matricule="5", prenom="Léo", debut="2025-09-01", fin="2026-01-20")],
        "archived": [row(matricule="6", prenom="Ysé", debut="2025-09-01", fin="2025-12-20")],
        "mutation": [
            row(matricule="7", prenom="Gaël", fonction="DIR", debut="2025-09-01", fin="2026-02-28"),
            row(matricule="7", prenom="Gaël", fonction="DIR", debut="2026-03-01", uai=MICHELIS),
        ],
    }
    lines = [line for some in rows.values() for line in some]
    academy.night("2025-09-01", academy.feed(*lines, day="2025-09-01"))
    academy.night(DAY, academy.feed(*lines, day=DAY))
    return academy


def test_accounts_in_every_state(academy: Academy) -> None:
    views = academy.run("account", "list", "--as-of", DAY, "-o", "json").json
    assert {view["state"] for view in views} == {
        "active", "on-leave", "grace", "anticipated", "deactivated", "archived",
    }  # fmt: skip
    for view in views:
        assert wrong("account", view) == []
        assert academy.show(view["uid"], DAY) == view
        assert NUMEN not in json.dumps(view)


def test_accounts_on_any_day(academy: Academy) -> None:
    for day in ("2025-08-01", "2026-03-02", "2026-06-30", "2031-01-01"):
        for line in academy.run("account", "list", "--as-of", day, "-o", "ndjson").out.splitlines():
            assert wrong("account", json.loads(line)) == []


def test_the_account_schema_refuses_wrong_accounts(academy: Academy) -> None:
    """Every field is required."""
    academy.change("claire.dubreuil", displayName=["C. D."])
    view = academy.show("claire.dubreuil", DAY)
    assert view["drift"]
    assert view["entitlements"]
    for place in places(view):
        assert wrong("account", without(view, place)), place
    for values in ({"more": 1}, {"state": "dead"}, {"locked": "no"}, {"login_from": ""}, {"sn": "Martin"}):
        assert wrong("account", {**view, **values}), values
    for name, values in (("assignments", {"start": None, "uai": ""}), ("entitlements", {"uai": ""})):
        for field, value in values.items():
            broken = [{**view[name][0], field: value}]
            assert wrong("account", {**view, name: broken}), (name, field)


def test_plans(academy: Academy) -> None:
    """One plan has changes of many kinds, rejections, holds and absences; one is refused; one is empty."""
    rows = [
        row(matricule="1", numen="20E9512346XYZ", prenom="Claire", nom_usage="Aubry", debut="2025-09-01"),
        row(matricule="2", prenom="Hugo", debut="demain"),
        row(matricule="8", prenom="Noé", debut="2026-03-01"),
        row(matricule="3", prenom="Nour", debut="2025-09-01", fin="2026-02-20"),
    ]
    plan = academy.plan(academy.feed(*rows, day="2026-03-02"), "--as-of", "2026-03-02")
    assert {"create", "rename"} <= set(plan["summary"])
    assert plan["rejections"]
    assert plan["holds"]
    assert plan["absents"]
    assert plan["writes"]
    assert wrong("plan", plan) == []
    refuses_wrong_plans(plan)
    assert NUMEN not in json.dumps(plan)
    assert "20E9512346XYZ" not in json.dumps(plan)

    empty = academy.plan("--as-of", DAY)
    assert empty["changes"] == []
    assert wrong("plan", empty) == []

    academy.edit(
        "policy.yaml", "  rename:     {floor: 15, share: 0.005}", "  rename:     {max: 0, share: 0.005}"
    )
    refused = academy.plan(academy.feed(*rows, day="2026-03-02"), "--as-of", "2026-03-02", code=4)
    assert refused["refusals"]
    assert wrong("plan", refused) == []
    assert wrong("plan", {**refused, "refusals": [{**refused["refusals"][0], "found": -1}]})
    for field in REQUIRED["refusals"].split():
        assert wrong("plan", {**refused, "refusals": [without(refused["refusals"][0], (field,))]}), field


REQUIRED = {
    "": "fingerprint basis summary changes rejections holds absents disagreements contradictions drift "
    "refusals writes signature",
    "changes": "kind uid matricule before after reason feed line effective",
    "rejections": "file line column code message matricule",
    "holds": "matricule uid why code",
    "refusals": "guard found of limit scope",
}
"""The fields that every plan has, and those of its parts."""


def refuses_wrong_plans(plan: dict[str, Any]) -> None:
    """The fields are required, and have their form."""
    for name in REQUIRED[""].split():
        assert wrong("plan", without(plan, (name,))), name
    for name in ("changes", "rejections", "holds"):
        for field in REQUIRED[name].split():
            assert wrong("plan", {**plan, name: [without(plan[name][0], (field,))]}), (name, field)
    for name, field, value in (
        ("changes", "kind", "explode"),
        ("changes", "effective", "01/09/2026"),
        ("changes", "line", 0),
        ("holds", "why", None),
    ):
        assert wrong("plan", {**plan, name: [{**plan[name][0], field: value}]}), (name, field)
    assert wrong("plan", {**plan, "basis": {**plan["basis"], "as_of": None}})


def test_each_change_of_a_plan_has_a_reason_and_all_its_fields(academy: Academy) -> None:
    rows = [row(matricule="1", prenom="Claire", nom_usage="Aubry", debut="2025-09-01", uai=MICHELIS)]
    feed = academy.feed(*rows, day="2026-03-02")
    for change in academy.plan(feed, "--as-of", "2026-03-02")["changes"]:
        assert {"kind", "uid", "before", "after", "reason", "feed", "line", "effective"} <= set(change)
        assert change["reason"]
        assert change["before"] != change["after"]


def test_runs(academy: Academy) -> None:
    """One run did something, one was refused by a guard, one for its feed, and one did not begin."""
    done = academy.run("nightly", "--as-of", "2026-03-05", "-o", "json").json
    assert (done["status"], done["outcomes"]["applied"] > 0) == ("done", True)
    academy.edit("policy.yaml", "  deactivate: {floor: 15,", "  deactivate: {max: 0,")
    guarded = academy.run("nightly", "--as-of", "2026-06-30", "-o", "json").json
    assert (guarded["status"], [refusal["guard"] for refusal in guarded["refusals"]]) == (
        "refused",
        ["deactivate"],
    )
    older = academy.run(
        "nightly", academy.feed(row(), day="2026-01-01"), "--as-of", "2026-03-06", "-o", "json"
    ).json
    assert older["refused_feeds"]
    academy.sandbox.stop()
    unreached = academy.run("nightly", "--as-of", "2026-03-06", "-o", "json").json
    assert (unreached["status"], unreached["error"] != "") == ("failed", True)
    for document in (done, guarded, older, unreached):
        assert wrong("run", document) == []
    assert wrong("run", {**done, "status": "fine"})
    assert wrong("run", {name: value for name, value in done.items() if name != "plan"})


def test_feed_checks(academy: Academy) -> None:
    rows = [row(matricule="1", prenom="Claire"), row(matricule="2", debut="demain"), row(matricule="")]
    usable = academy.run("feed", "check", academy.feed(rows[0]), "-o", "json").json
    partly = academy.run("feed", "check", academy.feed(*rows), "-o", "json").json
    empty = academy.folder / "hr-empty.csv"
    empty.write_bytes(b"")
    refused = academy.run("feed", "check", empty, "-o", "json").json
    assert [check["status"] for check in (usable, partly, refused)] == ["usable", "partly usable", "refused"]
    assert (len(partly["rejections"]) > 1, partly["held"] != {}) == (True, True)
    for check in (usable, partly, refused):
        assert wrong("feed-check", check) == []
    assert wrong("feed-check", {**usable, "rows": "many"})


def test_status(academy: Academy) -> None:
    why = ("--reason", "essai", "--as-of", DAY)
    assert academy.run("account", "close", "claire.dubreuil", "--until", "2026-03-04", *why).code == 0
    grant = ("exception", "grant", "claire.dubreuil", "--service", "siecle", "--uai", MICHELIS)
    assert academy.run(*grant, "--until", "2026-03-05", *why).code == 0
    status = academy.run("status", "--as-of", DAY, "-o", "json").json
    assert all(status[name] for name in ("runs", "feeds", "guards", "coming", "overrides_ending"))
    assert status["exceptions_ending"]
    assert wrong("status", status) == []
    assert wrong("status", {**status, "accounts": -1})
