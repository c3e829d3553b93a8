"""`account history`: who did what to an account, from the journal and from the server's access log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import ldap3
import pytest

from piactl.ask.history import history, paired
from piactl.directory.probe.access_log import LoggedWrite
from piactl.journal.query import JournalledChange

from .academy import Academy
from .feeds import crowd, row

SCHEMAS = Path(__file__).parents[2] / "schemas" / "json"
UID = "claire.dubreuil"
PASSWORD = "a long passphrase of hers"


@pytest.fixture
def logged(make_academy: Callable[..., Academy]) -> Academy:
    """An academy on a server with an access log."""
    return make_academy(accesslog=True, after=two_nights)


def two_nights(academy: Academy) -> None:
    """Runs one night that makes the account, and one that changes it."""
    academy.night("2026-09-05", academy.feed(row(), day="2026-09-05"))
    academy.night("2026-09-06", academy.feed(row(fonction="DIR"), day="2026-09-06"))


def history_rows(academy: Academy, name: str = UID, *words: str, code: int = 0) -> list[dict[str, Any]]:
    ran = academy.run("account", "history", name, *words, "-o", "json")
    assert ran.code == code, ran.err
    return list(ran.json)


def test_the_journal_of_a_created_account_takes_at_most_2000_bytes(academy: Academy) -> None:
    """The run creates 150 accounts; the journal still has the attributes that were written for each, and its
    reason with form and values."""
    academy.allow_up_to(200, "create")
    academy.night("2026-09-05", academy.feed(*crowd(150), day="2026-09-05"))
    size = (academy.sandbox.folder / "journal" / "piactl.jsonl").stat().st_size
    assert size / 150 <= 2000
    (created,) = history_rows(academy, "louise.vaubanaaa")
    assert {"uid", "sn", "mail", "eduPersonEntitlement"} <= {*created["attributes"]}


def by_desk(academy: Academy) -> None:
    """The desk sets the password by hand, and the person logs in, first with a wrong one."""
    changes = {
        "userPassword": [(ldap3.MODIFY_REPLACE, [PASSWORD])],
        "pwdReset": [(ldap3.MODIFY_REPLACE, ["TRUE"])],
    }
    with academy.sandbox.connect("desk") as desk:
        desk.modify(academy.dn(UID), changes)
    assert not academy.sandbox.accepts(academy.dn(UID), "wrong")
    assert academy.sandbox.accepts(academy.dn(UID), PASSWORD)


def test_a_change_in_journal_and_access_log_is_one_row(logged: Academy) -> None:
    rows = history_rows(logged)
    assert [(history_row["kinds"][0], history_row["sources"]) for history_row in rows] == [
        ("create", ["journal", "access log"]),
        ("grant", ["journal", "access log"]),
    ]
    assert {history_row["identity"] for history_row in rows} == {"nightly"}
    assert all(
        history_row["run"] and history_row["reason"] and history_row["outcome"] == "applied"
        for history_row in rows
    )
    for name in ("1001", f"{UID}@ac-amiens.fr"):
        assert history_rows(logged, name) == rows


def test_changes_by_others_are_listed_in_order_from_the_access_log(logged: Academy) -> None:
    logged.change(UID, telephoneNumber=["0322000000"])
    by_desk(logged)
    logged.night("2026-09-07", logged.feed(row(nom_usage="Martin", fonction="DIR"), day="2026-09-07"))
    rows = history_rows(logged)
    assert [history_row["sources"] for history_row in rows] == [
        ["journal", "access log"], ["journal", "access log"], ["access log"], ["access log"],
        ["journal", "access log"],
    ]  # fmt: skip
    root, desk = rows[2:4]
    assert (root["author"].split(",")[0], root["attributes"]) == ("cn=root", ["telephoneNumber"])
    assert (desk["identity"], desk["run"]) == ("desk", None)
    assert "pwdReset" in desk["attributes"]
    assert "rename" in rows[4]["kinds"]
    times = [history_row["time"] for history_row in rows]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


def test_log_ins_are_shown_when_asked_for(logged: Academy) -> None:
    by_desk(logged)
    ran = logged.run("account", "history", UID, "-o", "json")
    assert len(ran.json) == 3
    assert "2 notes of the server about logging in are left out; --logins shows them" in ran.err
    with_logins = history_rows(logged, UID, "--logins")
    assert len(with_logins) == 5
    assert [history_row["attributes"] for history_row in with_logins if history_row not in ran.json] == [
        ["pwdFailureTime"]
    ] * 2


def test_no_value_is_ever_shown(logged: Academy) -> None:
    by_desk(logged)
    logged.change(UID, telephoneNumber=["0322000000"], description=["a canary of a value"])
    for layout in ("table", "tsv", "csv", "json", "ndjson"):
        ran = logged.run("account", "history", UID, "--logins", "-o", layout)
        assert ran.code == 0
        for value in (PASSWORD, "0322000000", "canary", "Dubreuil", "urn:mace", "ARGON2", "{k1}"):
            assert value not in ran.out + ran.err, (layout, value)
    assert "description" in ran.out


def test_devices_belong_to_the_account(logged: Academy) -> None:
    device = f"cn=otp,{logged.dn(UID)}"
    with logged.sandbox.connect("desk") as desk:
        values = {"oathSecret": b"12345678901234567890", "oathOTPLength": 6, "oathTOTPTimeStepPeriod": 30,
                  "oathHMACAlgorithm": "1.2.840.113549.2.7", "oathTOTPParams": device}  # fmt: skip
        desk.add(
            device, attributes={"objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"], **values}
        )
    last = history_rows(logged)[-1]
    assert (last["dn"].split(",")[0], last["operation"], last["identity"]) == ("cn=otp", "add", "desk")


def test_a_period(logged: Academy) -> None:
    today = datetime.now(UTC).date()
    assert len(history_rows(logged, UID, "--from", f"{today - timedelta(days=1)}")) == 2
    assert history_rows(logged, UID, "--from", f"{today + timedelta(days=2)}") == []
    assert history_rows(logged, UID, "--until", f"{today - timedelta(days=2)}") == []


def test_without_an_access_log_the_journal_is_shown(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(row(), day="2026-09-05"))
    ran = academy.run("account", "history", UID, "-o", "json")
    assert [history_row["sources"] for history_row in ran.json] == [["journal"]]
    assert "keeps no access log" in ran.err


def test_an_access_log_that_nobody_here_may_read(logged: Academy) -> None:
    text = logged.sandbox.config.read_text()
    logged.sandbox.config.write_text(re.sub(r"    administrator: .*\n", "", text))
    ran = logged.run("account", "history", UID, "-o", "json")
    assert (ran.code, len(ran.json)) == (0, 2)
    assert "cn=accesslog" in ran.err
    assert all(history_row["sources"] == ["journal"] for history_row in ran.json)


def test_a_logged_write_with_hidden_values_is_still_listed(logged: Academy) -> None:
    """The rules of a site may hide reqMod completely."""
    conf = logged.sandbox.folder / "slapd" / "slapd.conf"
    text = conf.read_text()
    rule = "access to attrs=reqMod val.regex="
    assert rule in text
    logged.change(UID, telephoneNumber=["0322000000"])
    logged.sandbox.stop()
    conf.write_text(text.replace(rule, f"access to attrs=reqMod by * none\n{rule}"))
    logged.sandbox.start()
    rows = history_rows(logged)
    assert rows[-1]["attributes"] is None
    assert [history_row["sources"] for history_row in rows] == [["journal", "access log"]] * 2 + [
        ["access log"]
    ]
    assert "(not shown)" in logged.run("account", "history", UID, "-o", "table").out


def test_the_history_comes_from_the_journal_if_the_server_is_down(logged: Academy) -> None:
    assert logged.run("account", "history", "nobody.here").code == 9
    logged.sandbox.stop()
    ran = logged.run("account", "history", UID, "-o", "ndjson")
    assert ran.code == 8
    assert [json.loads(line)["sources"] for line in ran.out.splitlines()] == [["journal"]] * 2
    assert "from the journal of this host alone" in ran.err
    assert logged.run("account", "history", "nobody.here").code == 8


def test_an_unreadable_entry_has_a_history(logged: Academy) -> None:
    logged.recorded(UID, piactlAssignment=["nonsense"])
    assert logged.run("account", "show", UID).code == 1
    damage, base = history_rows(logged)[-2:]
    assert (damage["attributes"], damage["sources"]) == (["piactlAssignment"], ["access log"])
    assert base["attributes"] == ["piactlDigest"]


# ---- which write is which


def change(
    time: str, names: tuple[str, ...] = ("mail",), outcome: str = "applied", **other_facts: Any
) -> JournalledChange:
    words = dict.fromkeys(("sudo_user", "login", "origin", "host", "reason", "message"), "")
    facts: dict[str, Any] = {"seq": 1, "time": time, "settled": time, "run": "r", "user": "u", "command": ()}
    facts |= {"uid": UID, "dn": f"uid={UID},o=x", "op": "modify", "kinds": ("update",), "attributes": names}
    return JournalledChange(**{**words, **facts, "outcome": outcome, **other_facts})


def write(time: str, names: tuple[str, ...] | None = ("mail",), **other_facts: Any) -> LoggedWrite:
    facts = {"time": time, "dn": f"UID={UID}, O=X", "op": "modify", "by": "cn=n", "attributes": names}
    return LoggedWrite(**{**facts, "result": 0, **other_facts})


NOON = "2026-09-01T12:00:00.000Z"


@pytest.mark.parametrize(
    ("intent", "logged_write", "same"),
    [
        (change(NOON), write(NOON), True),
        (change(NOON), write("2026-09-01T12:00:04.000Z", ("MAIL", "sn")), True),
        (change(NOON), write("2026-09-01T11:59:54.000Z"), False),
        (change(NOON), write("2026-09-01T12:00:09.000Z"), False),
        (change(NOON, settled="2026-09-01T12:00:30.000Z"), write("2026-09-01T12:00:31.000Z"), True),
        (change(NOON, outcome="in doubt", settled=""), write("2026-09-01T12:00:31.000Z"), True),
        (change(NOON, ("mail", "sn")), write(NOON), False),
        (change(NOON, ("userPassword",)), write(NOON, ("pwdChangedTime",)), True),
        (change(NOON), write(NOON, None), True),
        (change(NOON), write(NOON, op="delete"), False),
        (change(NOON), write(NOON, dn="uid=another,o=x"), False),
        (change(NOON), write(NOON, result=122), False),
        (change(NOON, outcome="conflict"), write(NOON), False),
        (change(NOON, outcome="failed"), write(NOON), False),
    ],
)
def test_which_logged_write_is_that_of_an_intent(
    intent: JournalledChange, logged_write: LoggedWrite, same: bool
) -> None:
    assert len(paired([intent], [logged_write])) == (1 if same else 2)


def test_each_logged_write_counts_once() -> None:
    rows = history([change(NOON), change(NOON)], [write(NOON)], {"nightly": "CN=n"})
    assert [len(row["sources"]) for row in rows] == [2, 1]
    assert rows[0]["identity"] == "nightly"


def test_a_write_of_somebody_else_at_the_same_time_is_not_taken_for_a_journalled_one() -> None:
    """The entryCSN tells them apart, also if the other one came first."""
    foreign, own = write(NOON, by="cn=thief", csn="c1"), write("2026-09-01T12:00:01.000Z", csn="c2")
    rows = history([change(NOON, csn="c2")], [foreign, own], {"nightly": "CN=n"})
    assert [(row["identity"], row["sources"]) for row in rows] == [
        ("nightly", ["journal", "access log"]),
        ("cn=thief", ["access log"]),
    ]


def test_both_are_as_the_schemas_promise(logged: Academy) -> None:
    logged.change(UID, telephoneNumber=["0322000000"])
    by_desk(logged)
    for words, schema in (
        (["account", "history", UID, "--logins"], "account-history"),
        (["journal", "show"], "journal-show"),
    ):
        document = logged.run(*words, "-o", "json").json
        assert len(document) >= 2
        text = (SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8")
        jsonschema.Draft202012Validator(json.loads(text)).validate(document)
