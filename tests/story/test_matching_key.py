"""A second secret for the digests of NUMENs: hosts of the help desk have only slow verifiers."""

from __future__ import annotations

from piactl.core.credentials.proofs import numen_verifier, verifies
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.rules.desired_account import MATRICULE, VERIFIER_DAYS, verifier_turn
from piactl.host.secret_files import read_keys
from tests.cli.test_password import CLAIRE, NUMEN, OTHER, reset

from .academy import Academy, prepared
from .test_logins import day, post

KEYS = DigestKeys("k1", {"k1": b"1" * 32})
SETTING = "matching_key: secrets/matching\n"


def test_a_verifier_fits_only_its_numen_key_and_account() -> None:
    stored = numen_verifier(KEYS, NUMEN, "{k1}00")
    assert stored.startswith("{k1}scrypt$14$8$1$")
    assert verifies(KEYS, stored, NUMEN)
    assert not verifies(KEYS, stored, OTHER)
    assert not verifies(DigestKeys("k1", {"k1": b"2" * 32}), stored, NUMEN)
    assert stored != numen_verifier(KEYS, NUMEN, "{k1}01")
    for broken in ("", "{k1}", "{k2}scrypt$14$8$1$00$00", "{k1}scrypt$30$8$1$00$00", "{k1}scrypt$x$8$1$0$0"):
        assert not verifies(KEYS, broken, NUMEN)


@prepared
def matched(academy: Academy) -> Academy:
    """Claire was made by a night without a matching key; the host, which runs the nights, now has one."""
    before = day(-40).isoformat()
    academy.night(before, academy.feed(post(-100, numen=NUMEN), day=before))
    secret = academy.sandbox.folder / "secrets" / "matching"
    secret.write_text("5" * 64, encoding="ascii")
    secret.chmod(0o600)
    academy.edit("piactl.yaml", "state_folder: state\n", f"state_folder: state\n{SETTING}")
    return academy


def night(academy: Academy, offset: int) -> dict[str, int]:
    """Runs a night with the same feed; returns what it changes."""
    as_of = day(offset).isoformat()
    summary: dict[str, int] = academy.night(as_of, academy.feed(post(-100, numen=NUMEN), day=as_of)).json[
        "summary"
    ]
    return summary


def turn(academy: Academy) -> int:
    """The number of days since it was Claire's turn to get a verifier."""
    (digest,) = academy.values(CLAIRE, "piactlMatriculeDigest")
    number = verifier_turn(digest)
    days = range(-VERIFIER_DAYS, 0)
    return next(ago for ago in days if day(ago).toordinal() % VERIFIER_DAYS == number)


def test_digests_get_the_matching_key_at_once_and_verifiers_in_turn(matched: Academy) -> None:
    before = matched.values(CLAIRE, "piactlNumenDigest")
    its_day = turn(matched)
    assert night(matched, its_day - 2) == {"update": 1}
    assert night(matched, its_day - 1) == {}
    assert matched.values(CLAIRE, "piactlNumenVerifier") == []
    assert night(matched, its_day) == {"update": 1}
    assert night(matched, its_day + 1) == {}
    assert matched.values(CLAIRE, "piactlNumenDigest") != before
    (verifier,) = matched.values(CLAIRE, "piactlNumenVerifier")
    assert matched.values(CLAIRE, "piactlProofChanged") == [], "the same NUMEN"
    # a host of the help desk has no matching key
    matched.edit("piactl.yaml", SETTING, "")
    for numen, code in ((OTHER, 1), (NUMEN, 0)):
        assert reset(matched, numen)[0].code == code
    assert not verifies(KEYS, verifier, NUMEN), "it takes the key of the directory"


def test_a_changed_numen_has_its_verifier_at_once(matched: Academy) -> None:
    today = day(0).isoformat()
    matched.twice(today, matched.feed(post(-100, numen=OTHER), day=today))
    assert len(matched.values(CLAIRE, "piactlNumenVerifier")) == 1
    matched.edit("piactl.yaml", "password:\n", "password:\n  holdoff_days: 0\n")
    matched.edit("piactl.yaml", SETTING, "")
    assert reset(matched, NUMEN)[0].code == 1
    assert reset(matched, OTHER)[0].code == 0


def test_without_the_matching_key_a_digest_proves_nothing(matched: Academy) -> None:
    today = day(0).isoformat()
    matched.night(today, matched.feed(post(-100, numen=NUMEN), day=today))
    matched.change(CLAIRE, piactlNumenVerifier=[])
    assert reset(matched, NUMEN)[0].code == 0
    matched.edit("piactl.yaml", SETTING, "")
    assert reset(matched, NUMEN)[0].code == 1


def test_a_host_of_the_help_desk_needs_no_matching_key(matched: Academy) -> None:
    """It has neither the identity of the nights nor that of administrators. tests/cli/test_sudo.py has the
    help desk on the host of the nights."""
    today, secret = day(0).isoformat(), matched.sandbox.folder / "secrets" / "matching"
    matched.night(today, matched.feed(post(-100, numen=OTHER), day=today))
    matched.edit("piactl.yaml", "password:\n", "password:\n  holdoff_days: 0\n")
    whole = matched.sandbox.config.read_text(encoding="utf-8")
    secret.unlink()
    for kept in ("nightly", "administrator"):
        # matching feeds needs the key
        write_without(matched, whole, {"nightly", "administrator"} - {kept})
        ran = reset(matched, OTHER)[0]
        assert (ran.code, "matching" in ran.err) == (10, True), ran
        doctor = {finding["id"]: finding for finding in matched.run("doctor", "-o", "json").json}
        assert doctor["D04"]["result"] == "error"
    write_without(matched, whole, {"nightly", "administrator"})
    assert reset(matched, NUMEN)[0].code == 1
    assert reset(matched, OTHER)[0].code == 0


def write_without(academy: Academy, configuration: str, identities: set[str]) -> None:
    beginnings = tuple(f"{name}: {{dn" for name in identities)
    lines = configuration.splitlines(keepends=True)
    left = [line for line in lines if not line.strip().startswith(beginnings)]
    academy.sandbox.config.write_text("".join(left), encoding="utf-8")


def test_an_older_key_stays_while_a_verifier_needs_it(matched: Academy) -> None:
    its_day = turn(matched)
    for offset in (its_day - 1, its_day):
        night(matched, offset)
    (before,) = matched.values(CLAIRE, "piactlNumenVerifier")
    assert matched.run("key", "add", "--reason", "yearly").code == 0
    # each key has its own turns: this night must not be the turn of the new key
    keys = read_keys(str(matched.sandbox.folder / "secrets" / "keys"))
    turn_of_new_key = verifier_turn(keys.digest(MATRICULE, "1001"))
    is_turn = day(its_day + 1).toordinal() % VERIFIER_DAYS == turn_of_new_key
    assert night(matched, its_day if is_turn else its_day + 1) == {"update": 1}
    ran = matched.run("key", "retire", "k1", "--reason", "yearly")
    assert (ran.code, "1 NUMEN" in ran.err) == (1, True), ran.err
    assert reset(matched, NUMEN)[0].code == 0
    assert matched.values(CLAIRE, "piactlNumenVerifier") == [before]
