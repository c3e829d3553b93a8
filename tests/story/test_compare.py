"""All servers are compared value by value, and the first one is repaired from another."""

from __future__ import annotations

import pytest

from piactl.flows import server_differences

from .academy import Academy
from .feeds import crowd, row
from .test_failover import Pair, pair

__all__ = ["pair"]

DAY, NEXT = "2026-09-05", "2026-09-06"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Rollin")
NOEL = row(matricule="2001", prenom="Noel", nom_famille="Carpentier")


@pytest.fixture
def two(pair: Pair) -> Pair:
    """Two servers with the same content."""
    pair.academy.night(DAY, pair.academy.feed(row(), IDA, *crowd(7), day=DAY))
    pair.copy()
    pair.name_first(pair.academy.sandbox.uri)
    return pair


def compared(academy: Academy, code: int = 0) -> dict:  # type: ignore[type-arg]
    ran = academy.run("doctor", "--compare", "-o", "json")
    assert ran.code == code, ran.out + ran.err
    return ran.json  # type: ignore[no-any-return]


def test_equal_servers_are_equal(two: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only entries that differ are read a second time, because reading them one by one takes long."""
    monkeypatch.setattr(server_differences.Scope, "entry", lambda *_: pytest.fail("an entry is read again"))
    comparison = compared(two.academy)
    assert comparison["entries"]["account"] == 9
    assert comparison["entries"]["record"] > 1
    assert (comparison["differing"], comparison["differences"]) == ({}, [])


def test_every_difference_is_counted_and_named(two: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_differences, "_BLOCK", 3)
    academy, second = two.academy, two.second
    academy.change("claire.dubreuil", telephoneNumber=["0322000000"])
    second.change("ida.rollin", pwdReset=["TRUE"])
    with second.sandbox.root() as root:
        root.delete(second.dn("louise.vaubanaaa"))
        root.delete(f"cn=state,{second.sandbox.state}")
    comparison = compared(academy, code=1)
    assert comparison["differing"] == {"account": 3, "record": 1}
    differences = {
        difference["dn"].split(",")[0]: (difference["lacking"], difference["attributes"])
        for difference in comparison["differences"]
    }
    assert differences == {
        "uid=claire.dubreuil": ([], ["telephoneNumber"]),
        "uid=ida.rollin": ([], ["pwdReset"]),
        "uid=louise.vaubanaaa": ([second.sandbox.uri], []),
        "cn=state": ([second.sandbox.uri], []),
    }
    assert "piactl recover --from" in academy.run("doctor", "--compare").out


def test_a_password_that_differs_shows_by_the_time_of_its_change(two: Pair) -> None:
    academy = two.academy
    codes = academy.folder / "codes.csv"
    words = ("--administrator", "--out", codes, "--reason", "x")
    assert academy.run("password", "activate", "ida.rollin", *words).code == 5
    differences = compared(academy, code=1)["differences"]
    (difference,) = [difference for difference in differences if "ida.rollin" in difference["dn"]]
    assert {"pwdChangedTime", "pwdPolicySubentry", "pwdReset"} <= set(difference["attributes"])


def test_failed_logins_are_no_difference(two: Pair) -> None:
    two.academy.sandbox.accepts(two.academy.dn("ida.rollin"), "wrong")
    compared(two.academy)


def test_changes_not_yet_replicated_are_counted_apart(two: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are providers; the second does not fetch what the first has got since then."""
    for academy in (two.second, two.academy):
        academy.sandbox.stop()
        conf = academy.sandbox.folder / "slapd" / "slapd.conf"
        text = conf.read_text()
        assert text.count("\noverlay otp\n") == 1
        conf.write_text(text.replace("\noverlay otp\n", "\noverlay otp\noverlay syncprov\n"))
        academy.sandbox.start()
    two.academy.change("claire.dubreuil", description=["one"])
    two.academy.sandbox.stop()  # this writes its contextCSN
    two.copy()
    two.academy.sandbox.start()
    assert compared(two.academy)["level"]
    monkeypatch.setattr(server_differences, "PATIENCE", 0.0)
    two.academy.change("claire.dubreuil", description=["two"])
    comparison = compared(two.academy, code=1)
    assert (comparison["level"], comparison["coming"], comparison["differing"]) == (False, 1, {"account": 1})
    assert comparison["differences"][0]["coming"]
    assert "not yet replicated" in two.academy.run("doctor", "--compare").out


def test_one_server_cannot_be_compared(academy: Academy) -> None:
    assert academy.run("doctor", "--compare").code == 2


def test_the_first_server_gets_what_another_one_has(two: Pair) -> None:
    academy, second = two.academy, two.second
    feed = academy.feed(row(civilite="MME"), IDA, NOEL, *crowd(7), day=NEXT)
    academy.night(NEXT, feed, code=5)  # the second server does not follow
    older(two)
    extra = academy.run("recover", "--from", second.sandbox.uri, "-o", "json")
    assert extra.code == 0, extra.err
    kinds = {(write["kind"], write["op"]) for write in extra.json["writes"]}
    assert {("account", "add"), ("account", "modify"), ("record", "add"), ("record", "modify")} <= kinds
    assert extra.json["passwords"] == ["noel.carpentier"]
    assert "noel.carpentier" not in academy.names().values()
    assert academy.run("nightly", "--as-of", NEXT).code == 11
    ran = academy.run("recover", "--from", second.sandbox.uri, "--reason", "the disk was lost")
    assert ran.code == 0, ran.err
    assert "noel.carpentier: needs a new activation password" in ran.err
    assert ran.err.index("uid=noel.carpentier") < ran.err.index("noel.carpentier: needs")
    assert academy.managed() == second.managed()
    assert academy.run("recover").code == 0
    academy.night(NEXT, feed, code=5)
    assert academy.run("journal", "verify").code == 0


def test_what_the_first_server_got_can_be_undone(two: Pair) -> None:
    academy, second = two.academy, two.second
    academy.allow_up_to(20, "create", "update", "deactivate")
    feed = academy.feed(row(civilite="MME"), IDA, NOEL, *crowd(7), day=NEXT)
    academy.night(NEXT, feed, code=5)
    academy.change("ida.rollin", telephoneNumber=["0322000000"], jpegPhoto=[b"\xff\xd8"])
    older(two)
    before = academy.managed()
    ran = academy.run("recover", "--from", second.sandbox.uri, "--reason", "a slip", "-o", "json")
    assert ran.code == 0, ran.err
    assert academy.values("claire.dubreuil", "personalTitle") == ["MME"]
    assert academy.run("runs", "show", "last", "-o", "json").json["summary"] == {"mend": 3}
    undone = academy.run("undo", "last", "--yes", "--reason", "of the slip", "--as-of", NEXT, "-o", "json")
    assert undone.code == 5, undone.err
    fates = {account["uid"]: account["outcome"] for account in undone.json["accounts"]}
    assert fates == {"claire.dubreuil": "reversed", "noel.carpentier": "reversed", "ida.rollin": "impossible"}
    after = academy.managed()
    assert after[academy.dn("claire.dubreuil")] == before[academy.dn("claire.dubreuil")]
    assert academy.values("noel.carpentier", "piactlState") == ["deactivated"]
    assert academy.run("journal", "verify").code == 0


def older(two: Pair) -> None:
    """Exchanges the data of the two servers, so that the first one is behind."""
    one, other = two.academy.sandbox, two.second.sandbox
    one.stop()
    other.stop()
    one_data, other_data = one.folder / "slapd" / "data", other.folder / "slapd" / "data"
    aside = one_data.with_name("aside")
    one_data.rename(aside)
    other_data.rename(one_data)
    aside.rename(other_data)
    one.start()
    other.start()


def test_a_server_that_is_not_in_the_list_is_no_source(two: Pair) -> None:
    assert two.academy.run("recover", "--from", "ldap://nowhere.example").code == 9
    assert two.academy.run("recover", "--from", two.academy.sandbox.uri).code == 9
