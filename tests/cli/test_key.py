"""`key add|list|retire`: nights move to a new key step by step, while the old one still verifies."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

from piactl.host.secret_files import read_keys
from tests.story.academy import Academy
from tests.story.feeds import row
from tests.story.phones import verified
from tests.story.test_logins import day

WHY = ("--reason", "the yearly change of keys")
NUMEN = "20E9512345XYZ"


def keys_file(academy: Academy) -> Path:
    return academy.sandbox.folder / "secrets" / "keys"


def feed(academy: Academy, on: str, *rows: str) -> Path:
    claire = row(numen=NUMEN, debut="2020-09-01")
    return academy.feed(claire, row(matricule="1999", prenom="Ida", nom_famille="Roy"), *rows, day=on)


def needed(academy: Academy) -> dict[str, dict[str, Any]]:
    ran = academy.run("key", "list", "-o", "json")
    assert ran.code == 0, ran.err
    return {key["key"]: key for key in ran.json}


def keys_of(academy: Academy, attribute: str) -> set[str]:
    return {
        value[: value.index(b"}") + 1].decode()
        for entry in academy.accounts().values()
        for value in entry.get(attribute, [])
    }


def test_digests_move_to_a_new_key_and_the_old_one_is_retired(academy: Academy) -> None:
    first, second = day(-2).isoformat(), day(0).isoformat()
    academy.night(first, feed(academy, first))
    old = keys_file(academy).read_text()
    added = academy.run("key", "add", *WHY)
    assert (added.code, added.out) == (0, "k2\n")
    assert "Copy" in added.err
    text = keys_file(academy).read_text()
    assert read_keys(str(keys_file(academy))).current == "k2"
    assert stat.S_IMODE(keys_file(academy).stat().st_mode) == 0o600
    assert set(old.splitlines()) < set(text.splitlines())
    assert not re.search(r"[0-9a-f]{64}", added.out + added.err)
    # the old digests verify meanwhile, and nothing was written
    assert needed(academy)["k1"]["matricules"] == 2
    assert needed(academy)["k2"]["matricules"] == 0
    assert academy.show("1001", second)["uid"] == "claire.dubreuil"
    refused = academy.run("key", "retire", "k1", *WHY)
    assert refused.code == 1
    assert "2 matricules of accounts, 1 NUMEN, 2 bases of accounts)" in refused.err
    assert keys_file(academy).read_text() == text
    # the next night with a feed moves them, and says so
    plan = academy.plan(feed(academy, second), "--as-of", second)
    assert {change["reason"] for change in plan["changes"]} == {"digests move to the current key, k2"}
    assert plan["refusals"] == []
    academy.twice(second, feed(academy, second))
    assert keys_of(academy, "piactlMatriculeDigest") == keys_of(academy, "piactlNumenDigest") == {"{k2}"}
    assert academy.show("1001", second)["uid"] == "claire.dubreuil"
    assert needed(academy)["k1"]["matricules"] == 0
    assert academy.run("key", "retire", "k1", "--dry-run", *WHY).code == 0
    assert keys_file(academy).read_text() == text
    retired = academy.run("key", "retire", "k1", *WHY)
    assert (retired.code, retired.out) == (0, "k1\n")
    assert list(read_keys(str(keys_file(academy))).keys) == ["k2"]
    academy.quiet_night(second, feed(academy, second))


def test_a_key_stays_while_an_archived_account_needs_it(academy: Academy) -> None:
    start, late, second = day(-200).isoformat(), day(-80).isoformat(), day(-78).isoformat()
    gone = row(
        matricule="1500", prenom="Jean", nom_famille="Parti", debut="2020-01-01", fin=day(-190).isoformat()
    )
    academy.night(start, feed(academy, start, gone))
    academy.nights(late, feed(academy, late, gone))
    assert academy.values("jean.parti", "piactlState") == ["archived"]
    assert academy.run("key", "add", *WHY).code == 0
    academy.night(second, feed(academy, second, gone))
    assert needed(academy)["k1"] | {"matricules": 0, "archived": 1} == needed(academy)["k1"]
    refused = academy.run("key", "retire", "k1", *WHY)
    assert refused.code == 1
    assert "can never move" in refused.err
    # a person who returns is recognised by the old key, and moves to the new one
    back = row(matricule="1500", prenom="Jean", nom_famille="Parti", debut=day(-78).isoformat())
    academy.night(second, feed(academy, second, gone, back))
    assert academy.values("jean.parti", "piactlState") == ["active"]
    assert academy.values("jean.parti", "piactlMatriculeDigest")[0].startswith("{k2}")
    assert academy.run("key", "retire", "k1", *WHY).code == 0


def test_sealed_secrets_move_when_their_key_is_retired(academy: Academy) -> None:
    first, second = day(-2).isoformat(), day(0).isoformat()
    academy.night(first, feed(academy, first))
    academy.change("claire.dubreuil", userPassword=["Correct-Horse-7"])
    phone = verified(academy, "claire.dubreuil")
    ida = verified(academy, "ida.roy")
    assert academy.run("key", "add", *WHY).code == 0
    academy.night(second, feed(academy, second))
    assert needed(academy)["k1"]["devices"] == 2
    # a code that is checked moves the secret of its device
    ran = academy.run("otp", "resync", "ida.roy", stdin=f"{ida.code()}\n{ida.code()}\n")
    assert ran.code == 0, ran.err
    assert needed(academy)["k1"]["devices"] == needed(academy)["k2"]["devices"] == 1
    retired = academy.run("key", "retire", "k1", *WHY)
    assert retired.code == 0, retired.err
    assert needed(academy).keys() == {"k2"}
    ran = academy.run("otp", "resync", "claire.dubreuil", stdin=f"{phone.code()}\n{phone.code()}\n")
    assert ran.code == 0, ran.err
    assert academy.sandbox.accepts(academy.dn("claire.dubreuil"), "Correct-Horse-7" + phone.code())


def test_a_host_without_the_current_key_writes_nothing(academy: Academy) -> None:
    first, second = day(-2).isoformat(), day(0).isoformat()
    academy.night(first, feed(academy, first))
    old = keys_file(academy).read_bytes()
    assert academy.run("key", "add", *WHY).code == 0
    new = keys_file(academy).read_bytes()
    forged = old.replace(b"k1 ", b"k2 " + b"ab" * 32 + b"\nk1 ", 1)
    for content, words in ((old, "lacks it"), (forged, "has another key with that id")):
        keys_file(academy).write_bytes(content)
        with academy.nothing_written():
            ran = academy.run("nightly", feed(academy, second), "--as-of", second)
            assert ran.code == 10
            assert words in ran.err
            assert academy.run("account", "lock", "ida.roy", "--reason", "x").code == 10
            again = academy.run("key", "add", *WHY)
            assert again.code == 10
            assert keys_file(academy).read_bytes() == content
    keys_file(academy).write_bytes(new)
    academy.night(second, feed(academy, second))
    keys_file(academy).write_bytes(old)
    listed = academy.run("key", "list", "-o", "json")
    assert listed.code == 1
    assert {key["key"]: key["here"] for key in listed.json} == {"k1": True, "k2": False}
    doctor = academy.run("doctor", "-o", "json")
    [finding] = [finding for finding in doctor.json if finding["id"] == "D27"]
    assert finding["result"] == "error"
    assert "key k2" in finding["found"]


def test_wrong_arguments_are_refused_and_change_no_key(academy: Academy) -> None:
    before = keys_file(academy).read_bytes()
    for words, code, message in [
        (("add",), 2, "needs a reason"),
        (("add", "--id", "k1", *WHY), 10, "key k1 already exists"),
        (("add", "--id", "k 2", *WHY), 10, "not the id of a key"),
        (("retire", "k1", *WHY), 1, "it is the current key"),
        (("retire", "k7", *WHY), 9, "no such key"),
        (("retire", *WHY), 2, "KEY"),
    ]:
        ran = academy.run("key", *words)
        assert (ran.code, message in ran.err) == (code, True), ran.err
    assert keys_file(academy).read_bytes() == before


def test_comments_and_older_keys_stay(academy: Academy) -> None:
    file = keys_file(academy)
    file.write_bytes(b"# ours\n\n" + file.read_bytes())
    assert academy.run("key", "add", "--id", "year-2027", *WHY).out == "year-2027\n"
    assert academy.run("key", "add", *WHY).out == "k2\n"
    lines = file.read_text().splitlines()
    assert [line.split(" ")[0] for line in lines if line] == ["#", "k2", "year-2027", "k1"]
