"""Each command runs with the least of the five identities that suffices: the passwords of the others may be
missing on the host. These tests show which identity a command uses; the ACL says what it may do."""

from __future__ import annotations

import shutil

import pytest

from tests.outside import Exit
from tests.story.academy import Academy, prepared
from tests.story.phones import verified

from .command_cases import CASES, CLAIRE, WHY, filled, load

IDENTITIES = ("reader", "nightly", "desk", "administrator", "approver")
READING = (
    "plan adopt forecast why account.export account.find account.list account.show account.timeline "
    "account.history assignment.list drift.list drift.show match.list match.show "
    "exception.list override.list otp.show key.list journal.show journal.verify journal.prune runs.list "
    "runs.show password.check password.requests password.approve otp.approve recover status "
    "rehearse policy.diff guards.suggest feed.score"
)
NONE = (
    "init completion roles feed.check feed.rejects establishment.list service.list service.show profile.list "
    "profile.show journal.export journal.close sandbox.start sandbox.stop sandbox.status policy.test events"
)
SUPPORT = "password.reset password.unblock otp.enroll otp.verify otp.suspend otp.remove otp.resync otp.check"
NIGHTS = "nightly apply"
SECOND = "approve reject"
NEEDS = {
    **{words.replace(".", " "): "reader" for words in READING.split()},
    **{words.replace(".", " "): "" for words in NONE.split()},
    **{words.replace(".", " "): "desk" for words in SUPPORT.split()},
    **dict.fromkeys(NIGHTS.split(), "nightly"),
    **dict.fromkeys(SECOND.split(), "approver"),
    "journal begin": "nightly",
    **dict.fromkeys(("doctor", "policy check"), "all"),  # they check that each of them can be used
}
"""The identity of each command; administrator for all others."""


PREPARED = ("match show",)
"""These commands need what other commands make."""


@prepared
def loaded(academy: Academy) -> Academy:
    load(academy)
    return academy


PROTECTED = "ida.roy"


@prepared
def protecting(academy: Academy) -> Academy:
    """A loaded academy whose policy protects an account that has no mark yet."""
    academy.edit("policy.yaml", "protected: [admin.secours]", f"protected: [admin.secours, {PROTECTED}]")
    load(academy)
    assert academy.values(PROTECTED, "piactlProtected") == []
    return academy


def needed(words: str) -> str:
    return NEEDS.get(words, "administrator")


def leave_only(academy: Academy, identity: str) -> None:
    """Moves the passwords of the other identities away."""
    secrets, aside = academy.sandbox.folder / "secrets", academy.folder / "aside"
    aside.mkdir(exist_ok=True)
    for name in IDENTITIES:
        source, target = (secrets, aside) if name != identity else (aside, secrets)
        if (source / name).exists():
            (source / name).rename(target / name)


def test_the_table_of_identities_names_existing_commands() -> None:
    assert set(NEEDS) <= set(CASES)


@pytest.mark.parametrize("identity", ["", "reader"])
def test_reading_commands_need_at_most_the_reader_password(loaded: Academy, identity: str) -> None:
    academy = loaded
    leave_only(academy, identity)
    alone = [w for w in CASES if needed(w) == identity and not w.startswith("sandbox") and w not in PREPARED]
    assert len(alone) > 8
    new = academy.folder / "new"
    for words in alone:
        case = CASES[words]
        ran = academy.run(*filled(case.right, academy), stdin=case.stdin)
        assert ran.code == case.code, (words, ran)
        shutil.rmtree(new) if new.is_dir() else new.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "words", [w for w in CASES if needed(w) not in ("", "reader", "all") or w in PREPARED]
)
def test_each_command_needs_the_password_of_one_identity(loaded: Academy, words: str) -> None:
    academy = loaded
    case = CASES[words]
    for arguments, stdin in case.before:
        assert academy.run(*filled(arguments, academy), stdin=stdin).code == 0
    if words in ("otp suspend", "otp resume"):
        verified(academy, CLAIRE)
    if words == "otp resume":
        assert academy.run("otp", "suspend", CLAIRE, *WHY).code == 0
    leave_only(academy, needed(words))
    ran = academy.run(*filled(case.right, academy), stdin=case.stdin)
    assert ran.code == case.code, ran
    leave_only(academy, "" if needed(words) == "reader" else "reader")
    if case.acting:  # trying out writes nothing, so it needs no more than reading
        assert academy.run(*filled(case.right, academy), "--dry-run").code in (0, 1)
    (academy.folder / "new").unlink(missing_ok=True)
    if words not in ("apply", "key retire"):
        refused = academy.run(*filled(case.right, academy), stdin=case.stdin)
        assert refused.code == Exit.CONFIGURATION, refused
        assert f"secrets/{needed(words)}: there is no such file" in refused.err, refused


@pytest.mark.parametrize("words", [w for w in CASES if needed(w) == "desk"])
def test_a_protected_account_is_out_of_the_desks_reach(protecting: Academy, words: str) -> None:
    """The message names --administrator, and nothing is written; the administrator can act."""
    academy = protecting
    academy.change(PROTECTED, userPassword=["quatre chats gris et lents"])
    for _ in range(5):
        assert not academy.sandbox.accepts(academy.dn(PROTECTED), "not it")
    if words == "otp verify":
        enrolled = academy.run(
            "otp", "enroll", PROTECTED, "--administrator", "--uri-file", academy.folder / "uri"
        )
        assert enrolled.code == 0, enrolled
    elif words.startswith("otp ") and words != "otp enroll":
        verified(academy, PROTECTED, "--administrator", *WHY)
    if words == "otp resume":
        assert academy.run("otp", "suspend", PROTECTED, "--administrator", *WHY).code == 0
    arguments = [PROTECTED if word == CLAIRE else word for word in filled(CASES[words].right, academy)]
    stdin = "123456\n123456\n" if words.startswith("otp") else CASES[words].stdin
    with academy.nothing_written():
        ran = academy.run(*arguments, stdin=stdin)
    assert ran.code == Exit.FAILED, ran
    assert "protected" in ran.err, ran
    assert "--administrator" in ran.err, ran
    assert not (academy.folder / "new").exists()


def test_an_administrator_marks_a_protected_account(protecting: Academy) -> None:
    """The policy stops the desk in piactl, the mark stops it in the directory; doctor asks for the mark."""
    academy = protecting

    def found() -> str:
        return next(
            finding["result"]
            for finding in academy.run("doctor", "-o", "json").json
            if finding["id"] == "D32"
        )

    assert found() == "error"
    ran = academy.run("account", "unlock", PROTECTED, *WHY)
    assert ran.code == 0, ran
    assert academy.values(PROTECTED, "piactlProtected") == ["TRUE"]
    assert found() == "ok"
    with academy.nothing_written():
        assert academy.run("account", "unlock", PROTECTED, *WHY).code == 0
