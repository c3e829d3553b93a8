"""Secrets that are easy to recognise go through a whole scenario. Then everything that piactl wrote or
printed, and the words of every process that it started, are searched for them, in clear and in the usual
encodings."""

from __future__ import annotations

import base64
import csv
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from .academy import Academy
from .feeds import row
from .phones import Phone, secret_in
from .test_logins import day

CLAIRE, IDA = "claire.dubreuil", "ida.roy"
NUMEN, WRONG, REJECTED = "20E9517171QQQ", "20E9518181KKK", "20E9519191WWW"
TYPED = "canari quatre chats gris et lents"
WHY = ("--reason", "appel au support")
PROOF = ("--proof-file", "-")


def forms(secret: bytes) -> Iterator[bytes]:
    """The forms that a secret may have in text: as it is, in hexadecimal, base32 and base64 at any offset."""
    yield from (secret, secret.lower(), secret.hex().encode(), secret.hex().upper().encode())
    yield quote(secret).encode()
    for before in range(3):
        # without the letters that depend on neighbouring bytes
        text = base64.b64encode(b"\0" * before + secret)
        letters = text[(0, 2, 3)[before] : (len(secret) + before) * 4 // 3]
        yield from (letters, letters.translate(bytes.maketrans(b"+/", b"-_")))
    for before in range(5):
        text = base64.b32encode(b"\0" * before + secret)
        yield text[(before * 8 + 4) // 5 : (len(secret) + before) * 8 // 5]


def leaks(content: bytes, secrets: dict[str, bytes]) -> list[str]:
    return [name for name, secret in secrets.items() for form in forms(secret) if form in content]


def test_the_search_finds_what_it_looks_for() -> None:
    """Control: each form is found, alone and among other bytes; something else is not."""
    secret = b"20E9517171QQQ"
    for wrapped in (
        secret,
        b"x" + secret.hex().encode(),
        *(base64.b64encode(b"ab" * n + b"c" * m + secret + b"tail") for n in range(3) for m in range(3)),
        *(base64.b32encode(b"c" * n + secret + b"tail") for n in range(5)),
        quote(secret).encode(),
    ):
        assert leaks(b"some " + wrapped + b" thing", {"numen": secret}) != [], wrapped
    assert leaks(b"20E9517171QQ and " + base64.b64encode(b"20E9517171QQ"), {"numen": secret}) == []


@pytest.fixture
def academy(academy: Academy) -> Academy:
    metrics = f"metrics: {academy.sandbox.folder}/metrics/piactl.prom"
    hooks = "hooks: {changes: [{kinds: [lock], run: [/bin/true]}], seconds: 5}"
    academy.edit("piactl.yaml", "\njournal: ", f"\n{metrics}\n{hooks}\njournal: ")
    (academy.sandbox.folder / "metrics").mkdir()
    return academy


def scenario(academy: Academy) -> dict[str, bytes]:
    """Runs everything that handles a secret, by commands; returns the secrets by their names."""
    folder = academy.folder
    secrets = {"numen": NUMEN, "wrong numen": WRONG, "rejected numen": REJECTED, "typed password": TYPED}
    head = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Roy", "fonction": "DIR"}
    rows = (
        row(numen=NUMEN, debut="2020-09-01"),
        row(**head, debut="2020-09-01"),
        row(matricule="1003", numen=REJECTED, prenom="Nour", debut="demain"),
    )
    feed = academy.feed(*rows, day=day(-2).isoformat())
    plan = folder / "plan.json"
    did(academy, "plan", feed, "--as-of", day(-2), "--out", plan)
    did(academy, "feed", "check", feed, code=None)
    did(academy, "nightly", feed, "--as-of", day(-2), "-o", "json")
    secrets["a code"] = code_of(academy, "activate", IDA, "--administrator")
    academy.change(CLAIRE, userPassword=[TYPED])
    reset = ("password", "reset", CLAIRE, "--numen-file", "-", "--out", folder / "reset.csv")
    did(academy, *reset, stdin=f"{WRONG}\n", code=1)
    did(academy, *reset, stdin=f"{NUMEN}\n")
    secrets["a code of a reset"] = code_in(folder / "reset.csv")
    did(academy, "password", "check", CLAIRE, stdin=f"{TYPED}\n", code=None)
    did(academy, "account", "show", NUMEN, code=9)
    did(academy, "why", NUMEN, "login", code=9)
    did(academy, "journal", "show", "--account", NUMEN, code=9)
    did(academy, "account", "lock", NUMEN, *WHY, code=9)
    did(academy, "account", "lock", "-", *WHY, "-o", "json", stdin=f"{NUMEN}\n", code=9)
    did(academy, "otp", "enroll", CLAIRE, "--uri-file", folder / "uri", "--png", folder / "png")
    secrets["secret of a device"] = secret_in(folder / "uri")
    phone = Phone(secrets["secret of a device"])
    did(academy, "otp", "verify", CLAIRE, *PROOF, stdin=f"{NUMEN}\n000000\n", code=1)
    did(academy, "otp", "verify", CLAIRE, *PROOF, stdin=f"{NUMEN}\n{phone.code()}\n")
    did(academy, "otp", "resync", CLAIRE, stdin="111111\n222222\n", code=1)
    did(academy, "key", "add", *WHY)
    did(academy, "exception", "grant", IDA, "--service", "iprof", "--until", day(9), *WHY)
    did(academy, "account", "lock", CLAIRE, "--reason", f"a dit son NUMEN, {NUMEN}", "-o", "json")
    did(academy, "undo", "last", *WHY)
    did(academy, "nightly", feed, "--as-of", day(0), code=None)
    did(academy, "otp", "suspend", CLAIRE, *WHY)
    looked_at(academy)
    for line in (academy.sandbox.folder / "secrets" / "keys").read_text().splitlines():
        if not line.startswith("#"):
            secrets[f"digest key {line.split()[0]}"] = line.split()[1]
    for identity in ("reader", "nightly", "desk", "administrator"):
        secrets[f"password of {identity}"] = (
            (academy.sandbox.folder / "secrets" / identity).read_text().strip()
        )
    encoded = {name: secret.encode() for name, secret in secrets.items()}
    encoded["secret of a device, raw"] = base64.b32decode(secrets["secret of a device"])
    return encoded


def looked_at(academy: Academy) -> None:
    for layout in ("table", "json", "csv"):
        for words in (
            ("account", "list"), ("account", "show", CLAIRE), ("account", "history", CLAIRE),
            ("journal", "show"),
            ("runs", "list"), ("runs", "show", "last"), ("otp", "show", CLAIRE), ("key", "list"), ("doctor",),
            ("why", CLAIRE, "login"), ("exception", "list"), ("forecast", "--leavers", "30"),
        ):  # fmt: skip
            did(academy, *words, "-o", layout, code=None)
    did(academy, "journal", "export")
    did(academy, "journal", "verify")
    did(academy, "account", "timeline", CLAIRE, "-o", "json")


def did(academy: Academy, *words: object, stdin: str = "", code: int | None = 0) -> None:
    ran = academy.run(*map(str, words), stdin=stdin)
    assert code is None or ran.code == code, (words, ran)


def code_of(academy: Academy, verb: str, uid: str, *words: str) -> str:
    file = academy.folder / f"{verb}-{uid}.csv"
    did(academy, "password", verb, uid, *words, "--out", file)
    return code_in(file)


def code_in(file: Path) -> str:
    with file.open(encoding="utf-8", newline="") as rows:
        [password_row] = csv.DictReader(rows)
    return password_row["activation_password"]


def test_no_secret_is_left_anywhere(academy: Academy) -> None:
    secrets = scenario(academy)
    assert len(secrets) == 14
    output = "".join(academy.said).encode("utf-8", "surrogateescape")
    assert leaks(output, secrets) == []
    searched = 0
    for file in sorted(academy.sandbox.folder.rglob("*")):
        inside = file.relative_to(academy.sandbox.folder).parts
        if not file.is_file() or inside[0] in ("secrets", "slapd"):
            continue
        leaked = set(leaks(file.read_bytes(), secrets))
        if inside[:2] == ("state", "rejects"):
            # rows as HR wrote them, to be corrected and fed again
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            leaked -= {"rejected numen"}
        assert not leaked, (file, leaked)
        searched += 1
    assert searched >= 8
    for name in ("plan.json",):
        assert leaks((academy.folder / name).read_bytes(), secrets) == []
        assert stat.S_IMODE((academy.folder / name).stat().st_mode) == 0o600
    holding = {"userPassword", "oathSecret", "pwdHistory"}
    for dn, entry in academy.sandbox.entries(academy.sandbox.accounts).items():
        for attribute, values in entry.items():
            if attribute not in holding:
                assert leaks(b"\n".join(values), secrets) == [], (dn, attribute)
    for dn, entry in academy.sandbox.entries(academy.sandbox.state).items():
        assert leaks(repr(entry).encode(), secrets) == [], dn
        assert leaks(b"\n".join(v for values in entry.values() for v in values), secrets) == [], dn


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_secret_is_in_the_arguments_or_environment_of_a_process(academy: Academy) -> None:
    """This is so for piactl and everything that it starts, also hooks."""
    academy.night(
        day(-2).isoformat(), academy.feed(row(numen=NUMEN, debut="2020-09-01"), day=day(-2).isoformat())
    )
    folder = academy.folder
    trace = folder / "trace"
    for words, stdin in (
        (["password", "reset", CLAIRE, "--numen-file", "-", "--out", str(folder / "code.csv")], f"{NUMEN}\n"),
        (["otp", "enroll", CLAIRE, "--uri-file", str(folder / "uri")], ""),
        (["account", "lock", CLAIRE, *WHY], ""),
        (["key", "add", *WHY], ""),
    ):
        strace = ["strace", "-f", "-v", "-s", "100000", "-e", "trace=execve", "-A", "-o", str(trace)]
        done = subprocess.run(
            [*strace, *academy.words(*words)],
            env=academy.environment(), input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    text = trace.read_bytes()
    assert text.count(b"execve(") >= 5, "the hook as well"
    secrets = {"numen": NUMEN, "code": code_in(folder / "code.csv"), "device": secret_in(folder / "uri")}
    for name in os.listdir(academy.sandbox.folder / "secrets"):  # noqa: PTH208
        for word in (academy.sandbox.folder / "secrets" / name).read_text().split():
            if len(word) > 12:
                secrets[f"{name} {len(secrets)}"] = word
    assert leaks(text, {name: secret.encode() for name, secret in secrets.items()}) == []
