"""Somebody writes the digests of accounts: removes, cuts, copies or repeats them. No lock, denial, closure or
hold-off ends because of it, and what HR ends is still ended."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import ldap3
import pytest

from piactl.directory.store.base_digest import ATTRIBUTES
from piactl.directory.store.record_entries import Places

from .academy import Academy, prepared
from .feeds import row
from .test_logins import PASSWORD, day

CLAIRE, HUGO, IDA, LEA, NOUR = (
    "claire.dubreuil", "hugo.caron", "ida.roy", "lea.petit", "nour.vidal",
)  # fmt: skip
EVERYBODY = (CLAIRE, HUGO, IDA, LEA, NOUR)
IPROF = "urn:mace:ac-amiens.fr:service:iprof"
WHY = ("--reason", "essai")
LATER = (date.today() + timedelta(days=300)).isoformat()


def people(numen: str = "20E1234567XYZ", **claire: str) -> list[str]:
    begun = day(-100).isoformat()
    return [
        row(debut=begun, **claire),
        row(matricule="1002", prenom="Hugo", nom_famille="Caron", debut=begun),
        row(matricule="1003", prenom="Ida", nom_famille="Roy", debut=begun),
        row(matricule="1004", prenom="Léa", nom_famille="Petit", debut=begun),
        row(matricule="1005", prenom="Nour", nom_famille="Vidal", debut=begun, numen=numen),
    ]


def night(academy: Academy, offset: int, *rows: str) -> None:
    as_of = day(offset).isoformat()
    ran = academy.night(as_of, *([academy.feed(*rows, day=as_of)] if rows else []))
    assert "another program" not in ran.err


@prepared
def restricted(academy: Academy) -> Any:
    """Hugo is closed by hand, Ida is denied a service, Léa is locked, Nour's NUMEN has just changed. `left`
    are the digests from before that."""
    academy.allow_up_to(50)
    night(academy, -2, *people())
    before = {uid: academy.values(uid, "piactlDigest")[0] for uid in EVERYBODY}
    for command in (
        ("account", "close", HUGO, "--until", LATER),
        ("exception", "deny", IDA, "--service", "iprof", "--until", LATER),
        ("account", "lock", LEA),
    ):
        ran = academy.run(*command, *WHY)
        assert ran.code == 0, ran.err
    night(academy, 0, *people(numen="20E7654321ABC"))
    for uid in EVERYBODY:
        academy.change(uid, userPassword=[PASSWORD])
    return before


def is_restricted(academy: Academy) -> None:
    assert academy.values(HUGO, "piactlState") == ["deactivated"]
    assert academy.values(HUGO, "piactlOverride")
    assert IPROF in academy.values(CLAIRE, "eduPersonEntitlement")
    assert IPROF not in academy.values(IDA, "eduPersonEntitlement")
    assert academy.values(IDA, "piactlException")
    assert academy.values(LEA, "piactlLock")
    assert academy.values(NOUR, "piactlProofChanged") == [f"numen {day(0)}"]
    let_in = {uid for uid in EVERYBODY if academy.sandbox.accepts(academy.dn(uid), PASSWORD)}
    assert not let_in & {HUGO, LEA}
    # the link to no device refuses them without a password policy, too
    assert all("cn=suspended," in academy.values(uid, "oathTOTPToken")[0] for uid in (HUGO, LEA))


def body(digest: str) -> tuple[str, bytes]:
    head, _, text = digest.rpartition("$")
    return f"{head}$", base64.b64decode(text)


def rewritten(digest: str, change: Callable[[bytes], bytes]) -> str:
    head, octets = body(digest)
    return head + base64.b64encode(change(octets)).decode()


FORGED: dict[str, Callable[[Academy, str, str], str]] = {
    "removed": lambda _academy, _uid, _digest: "",
    "no digest": lambda _academy, _uid, _digest: "x",
    "cut": lambda _academy, _uid, digest: digest[:-8],
    "without the last items": lambda _academy, _uid, digest: rewritten(digest, lambda octets: octets[:-70]),
    "without any item": lambda _academy, _uid, digest: rewritten(digest, lambda octets: octets[:25]),
    "without the digest of all values": lambda _academy, _uid, digest: rewritten(
        digest, lambda octets: octets[:1] + bytes(8) + octets[9:]
    ),
    "another first octet": lambda _academy, _uid, digest: rewritten(
        digest, lambda octets: bytes([octets[0] ^ 1]) + bytes(8) + octets[9:]
    ),
    "of a later version": lambda _academy, _uid, digest: digest.replace("2$", "3$"),
    "not sealed": lambda _academy, _uid, _digest: "{k1}" + base64.b64encode(bytes([48]) + bytes(6)).decode(),
    "not sealed, knows nothing": lambda _academy, _uid, _digest: "{k1}" + base64.b64encode(bytes(7)).decode(),
    "of another account": lambda academy, uid, _digest: academy.values(
        IDA if uid != IDA else LEA, "piactlDigest"
    )[0],
    "of the same account before": lambda academy, uid, _digest: academy.left[uid],
}

HARMLESS = {"without the last items", "without any item", "of the same account before"}
"""What holds no account that is as piactl wrote it: the digest of all its values is still there."""


FEW = (
    "removed", "no digest", "without any item", "without the digest of all values", "not sealed",
    "of another account", "of the same account before",
)  # fmt: skip
"""The others are met by --all."""


@pytest.mark.parametrize("names", [FEW, pytest.param([*FORGED], marks=pytest.mark.long)], ids=["few", "all"])
def test_no_forged_digest_loosens_anything_or_keeps_what_hr_ends(
    restricted: Academy, names: Sequence[str]
) -> None:
    is_restricted(restricted)
    honest = {uid: restricted.values(uid, "piactlDigest")[0] for uid in EVERYBODY}
    offset = 0
    for name in names:
        forged = {uid: FORGED[name](restricted, uid, honest[uid]) for uid in EVERYBODY}
        for uid, digest in forged.items():
            restricted.change(uid, piactlDigest=[digest] if digest else [])
        # with a feed and without one, and beyond the days for which a tightening is kept
        for later in (1, 2, 5):
            rows = people(numen="20E7654321ABC") if later != 2 else []
            night(restricted, offset + later, *rows)
            is_restricted(restricted)
        offset += 5
        held = {hold["uid"] for hold in restricted.plan("--as-of", day(offset).isoformat())["holds"]}
        assert (CLAIRE in held) == (name not in HARMLESS), name
        gone = day(offset + 1).isoformat()
        night(restricted, offset + 1, *people(numen="20E7654321ABC", fin=gone, position="radiation"))
        night(restricted, offset + 3)
        assert restricted.values(CLAIRE, "piactlState") == ["deactivated"], name
        assert not restricted.sandbox.accepts(restricted.dn(CLAIRE), PASSWORD), name
        is_restricted_but_claire(restricted)
        for uid in honest:
            ran = restricted.run("drift", "revert", uid, *WHY, "--as-of", day(offset + 3).isoformat())
            assert ran.code == 0, ran.err
        offset += 4
        night(restricted, offset, *people(numen="20E7654321ABC"))
        honest = {uid: restricted.values(uid, "piactlDigest")[0] for uid in EVERYBODY}


def is_restricted_but_claire(academy: Academy) -> None:
    assert academy.values(HUGO, "piactlState") == ["deactivated"]
    assert academy.values(LEA, "piactlLock")
    assert IPROF not in academy.values(IDA, "eduPersonEntitlement")


def test_the_help_desk_cannot_write_a_digest(restricted: Academy) -> None:
    with restricted.sandbox.connect("desk") as desk, restricted.nothing_written():
        for digest in ("", "x", restricted.left[HUGO]):
            with pytest.raises(ldap3.core.exceptions.LDAPInsufficientAccessRightsResult):
                desk.modify(
                    restricted.dn(HUGO),
                    {"piactlDigest": [(ldap3.MODIFY_REPLACE, [digest] if digest else [])]},
                )


def test_a_renamed_entry_has_no_digest(restricted: Academy) -> None:
    """Another program renames an entry, with its uid: the digest is of another name."""
    with restricted.sandbox.root() as root:
        root.modify_dn(restricted.dn(LEA), "uid=lea.autre", delete_old_dn=True)
    for later in (1, 5):
        night(restricted, later, *people(numen="20E7654321ABC"))
    assert restricted.values("lea.autre", "piactlLock")
    assert not restricted.sandbox.accepts(restricted.dn("lea.autre"), PASSWORD)


def as_before_seals(academy: Academy) -> None:
    """Makes the directory look like that of the version before seals."""
    for uid in EVERYBODY:
        academy.unsealed(uid)
    dn = Places(academy.sandbox.state).last_run
    [data] = (academy.sandbox.entry(dn) or {})["piactlData"]
    record = {**json.loads(data), "layout": ATTRIBUTES}
    with academy.sandbox.root() as root:
        root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record)])]})


@pytest.mark.parametrize("fed", [False, True], ids=["dates alone", "feed"])
def test_the_first_night_seals_what_an_earlier_version_left(restricted: Academy, fed: bool) -> None:
    """So it does for a protected account, for that of a person who is on hold, and for one without a
    digest."""
    restricted.edit("policy.yaml", "protected: [admin.secours]", f"protected: [{LEA}]")
    as_before_seals(restricted)
    rights = restricted.values(NOUR, "eduPersonEntitlement")
    before = restricted.managed()
    siecle = "urn:mace:ac-amiens.fr:service:siecle:0800009A"
    restricted.change(NOUR, eduPersonEntitlement=[*rights, siecle])
    restricted.change(IDA, piactlException=[])
    restricted.change(CLAIRE, piactlDigest=[])
    as_of = day(1).isoformat()
    rows = people(numen="20E7654321ABC")
    rows[1] = rows[1].replace(day(-100).isoformat(), "2026-02-31")  # Hugo is on hold
    feeds = [restricted.feed(*rows, day=as_of)] if fed else []
    plan = restricted.plan(*feeds, "--as-of", as_of)
    drift = {(drift["uid"], drift["attribute"], drift["fate"]) for drift in plan["drift"]}
    assert drift == {
        (NOUR, "eduPersonEntitlement", "reverted"),
        (IDA, "piactlException", "waits for the next feed"),
    }
    restricted.night(as_of, *feeds)
    sealed = {uid for uid in EVERYBODY if "}2$" in "".join(restricted.values(uid, "piactlDigest"))}
    assert sealed == {*EVERYBODY}
    after = restricted.managed()
    assert after[restricted.dn(IDA)].pop("piactlException", None) is None
    before[restricted.dn(IDA)].pop("piactlException")
    assert after == before
    night(restricted, 2)
    # from then on a digest that is not sealed is one that another program removed
    restricted.unsealed(HUGO)
    for uid, held in ((HUGO, True), (IDA, True), (CLAIRE, False), (LEA, False), (NOUR, False)):
        assert restricted.show(uid, day(3).isoformat())["held"] is held, uid
