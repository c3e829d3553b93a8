"""The commands of one-time-code devices, as people and scripts use them."""

from __future__ import annotations

import json
import stat

import pytest

from tests.story.academy import Academy, prepared
from tests.story.feeds import row
from tests.story.phones import KNOWN, Phone, enrolled, resync, secret_in, verified, verify
from tests.story.test_logins import day

from .terminal import at_terminal

UID, IDA = "claire.dubreuil", "ida.roy"
WHY = ("--reason", "asked for on the telephone")


@prepared
def two(academy: Academy) -> Academy:
    """Two active people with passwords; Ida heads an establishment, whose services always ask for a code."""
    first = day(-3).isoformat()
    head = row(matricule="1999", prenom="Ida", nom_famille="Roy", fonction="DIR", debut="2020-09-01")
    academy.night(first, academy.feed(row(debut="2020-09-01"), head, day=first))
    for uid in (UID, IDA):
        academy.change(uid, userPassword=["Correct-Horse-7"])
    return academy


def devices(academy: Academy) -> int:
    return len(academy.sandbox.entries(academy.sandbox.accounts, "(objectClass=oathTOTPToken)"))


def test_enroll_draws_a_qr_code_whose_device_can_be_verified(two: Academy) -> None:
    code, shown = at_terminal(two, "otp", "enroll", UID, "--yes", columns=120, TERM="xterm")
    assert code == 0, shown
    assert "▄" in shown
    assert "otpauth://totp/ac-amiens.fr:claire.dubreuil%40ac-amiens.fr?secret=" in shown
    secret = shown.partition("secret=")[2].partition("&")[0]
    phone = Phone(secret)
    code, shown = at_terminal(
        two, "otp", "verify", UID, *KNOWN, answers={"Code of": phone.code(), "[y/N]": "y"}
    )
    assert code == 0, shown
    assert "Code of the new device otp-" in shown
    assert "the password followed by a code" in shown


def test_enroll_writes_no_secret_to_a_pipe(two: Academy) -> None:
    for options in ((), ("-o", "json"), ("-o", "ndjson")):
        ran = two.spawn("otp", "enroll", UID, *options)
        assert ran.code == 2
        assert "--uri-file" in ran.err
        assert "otpauth" not in ran.out + ran.err
    assert devices(two) == 0


def test_enroll_writes_private_files_and_overwrites_none(two: Academy) -> None:
    folder = two.folder
    png, uri = folder / "qr.png", folder / "qr.uri"
    assert two.run("otp", "enroll", UID, "--png", png, "--uri-file", uri).code == 0
    assert png.read_bytes().startswith(b"\x89PNG\r\n")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (png, uri)} == {0o600}
    before = png.read_bytes(), uri.read_bytes()
    for options in (("--png", png), ("--uri-file", uri), ("--png", folder / "new.png", "--uri-file", uri)):
        ran = two.run("otp", "enroll", UID, *options)
        assert ran.code == 1
        assert "already exists" in ran.err
    assert (png.read_bytes(), uri.read_bytes()) == before
    assert not (folder / "new.png").exists()
    link = folder / "link"
    link.symlink_to(folder / "elsewhere")
    assert two.run("otp", "enroll", UID, "--uri-file", link).code == 1
    assert not (folder / "elsewhere").exists()
    assert two.run("otp", "enroll", UID, "--uri-file", folder / "none" / "x").code == 1
    missing = two.run("otp", "enroll", "nobody.here", "--uri-file", folder / "nobody")
    assert missing.code == 9
    assert not (folder / "nobody").exists()
    assert devices(two) == 1


def test_several_accounts_are_enrolled_and_suspended_at_once(two: Academy) -> None:
    file = two.folder / "uris.tsv"
    stdin = f"{IDA}\nnobody.here\n" + json.dumps({"uid": UID}) + f"\n{UID}\n"
    ran = two.run("otp", "enroll", "-", "--uri-file", file, "-o", "ndjson", stdin=stdin)
    assert ran.code == 5
    results = [json.loads(line) for line in ran.out.splitlines()]
    assert [(r["account"], r["outcome"]) for r in results] == [
        (IDA, "applied"),
        ("nobody.here", "not found"),
        (UID, "applied"),
        (UID, "refused"),
    ]
    header, *lines = file.read_text().splitlines()
    assert header == "uid\taddress\turi"
    assert [line.split("\t")[:2] for line in lines] == [
        [IDA, "ida.roy@ac-amiens.fr"],
        [UID, "claire.dubreuil@ac-amiens.fr"],
    ]
    for line in lines:
        uid, _, uri = line.split("\t")
        (two.folder / uid).write_text(uri)
        assert verify(two, uid, Phone(secret_in(two.folder / uid)).code(), *KNOWN).code == 0
    suspended = two.run("otp", "suspend", "-", "-o", "ndjson", *WHY, stdin=f"{UID}\n{IDA}\n")
    assert suspended.code == 0, suspended.err
    for uid in (UID, IDA):
        assert not two.sandbox.accepts(two.dn(uid), "Correct-Horse-7")


def test_show_lists_the_services_blocked_without_a_device(two: Academy) -> None:
    shown = two.run("otp", "show", IDA)
    assert "BLOCKED while no device is in force: siecle" in shown.out
    verified(two, IDA)
    assert "BLOCKED" not in two.run("otp", "show", IDA).out
    assert two.run("otp", "suspend", IDA, *WHY).code == 0
    view = two.run("otp", "show", IDA, UID, "-o", "json").json
    assert "siecle" in view[0]["blocked"]
    assert view[0]["devices"][0]["use"] == "suspended"
    assert view[1]["devices"] == []
    table = two.run("otp", "show", UID, IDA, "-o", "tsv").out.splitlines()
    assert [line.split("\t")[0] for line in table] == ["uid", UID, IDA]


@pytest.mark.parametrize(
    ("words", "stdin", "code", "message"),
    [
        (("enroll", "nobody.here", "--uri-file", "/nonexistent/x"), "", 1, "cannot be made"),
        (("verify", "nobody.here"), "123456\n", 9, "no account has this uid"),
        (("verify", UID), "123456\n", 1, "no device waits"),
        (("resync", UID), "1\n2\n", 1, "no device in force"),
        (("resume", UID, *WHY), "", 1, "no suspended device"),
        (("suspend", UID, *WHY), "", 1, "no device is in force"),
        (("suspend", UID), "", 2, "needs a reason"),
        (("remove", UID), "", 2, "needs a reason"),
        (("enroll", UID, IDA, "--png", "x.png"), "", 2, "--png is for one account"),
        (("show",), "", 2, "ACCOUNT"),
        (("show", "nobody.here"), "", 9, "nobody.here"),
    ],
)
def test_impossible_commands_are_refused_and_write_nothing(
    two: Academy, words: tuple[str, ...], stdin: str, code: int, message: str
) -> None:
    with two.nothing_written():
        ran = two.run("otp", *words, stdin=stdin)
    assert (ran.code, message in ran.err) == (code, True), ran.err
    assert ran.out == ""


def test_input_that_is_no_code_is_not_counted_as_an_attempt(two: Academy) -> None:
    enrolled(two, UID)
    for stdin, code in (("", 2), ("\n", 2), ("twelve\n", 1), ("1234567\n", 1)):
        assert two.run("otp", "verify", UID, *KNOWN, stdin=stdin).code == code
    counts = "(&(objectClass=piactlRecord)(!(cn=clock)))"
    assert two.sandbox.entries(f"ou=attempts,{two.sandbox.state}", counts) == {}


def test_the_policy_sets_the_issuer_and_the_resync_minutes(two: Academy) -> None:
    two.edit(
        "policy.yaml",
        "otp: {enforced_by: directory}",
        "otp: {enforced_by: directory, issuer: Académie d'Amiens, resync_minutes: 10}",
    )
    file = two.folder / "issuer.uri"
    assert two.run("otp", "enroll", UID, "--uri-file", file).code == 0
    assert "Acad%C3%A9mie%20d%27Amiens" in file.read_text()
    phone = Phone(secret_in(file), ahead=1200)
    assert "more than 10 minutes" in resync(two, UID, phone).err
