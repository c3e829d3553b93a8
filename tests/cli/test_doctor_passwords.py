"""`piactl doctor` on what protects passwords, and the nights that repair it: each fault is planted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.directory.test_acl_matrix import device
from tests.outside import POLICIES, identity_dn
from tests.story.academy import Academy, prepared
from tests.story.feeds import row
from tests.story.test_logins import day

from .test_doctor import PASSWORD, Clinic, clinic, contents, sandbox

__all__ = ["clinic", "sandbox"]

CLAIRE, IDA = "claire.dubreuil", "ida.roy"
WHY = ("--reason", "a trial")
GONE = f"cn=gone,{POLICIES}"
STRICT = f"cn=strict,{POLICIES}"
PROTECTED, CODES = f"cn=protected,{POLICIES}", f"cn=activation,{POLICIES}"


def row_of(academy: Academy, id_: str, *options: str) -> dict[str, str]:
    (finding,) = [
        finding for finding in academy.run("doctor", "-o", "json", *options).json if finding["id"] == id_
    ]
    return finding  # type: ignore[no-any-return]


@prepared
def staff(academy: Academy) -> Academy:
    """Claire and Ida, active and with passwords."""
    rows = [row(debut=day(-100).isoformat()), row(matricule="1002", prenom="Ida", nom_famille="Roy")]
    academy.night(day(-1).isoformat(), academy.feed(*rows, day=day(-1).isoformat()))
    for uid in (CLAIRE, IDA):
        academy.change(uid, userPassword=[PASSWORD])
    return academy


# ---- foreign password policies


@pytest.mark.parametrize("policy", [GONE, f"cn=services,{POLICIES}"])
def test_the_night_removes_a_foreign_policy(staff: Academy, policy: str) -> None:
    staff.change(CLAIRE, pwdPolicySubentry=[policy])
    assert row_of(staff, "D43") | {"advice": ""} == {
        **row_of(staff, "D43"), "result": "error", "found": f"{CLAIRE}: {policy}", "advice": "",
    }  # fmt: skip
    ran = staff.run("nightly")
    assert ran.code == 0, ran.err
    assert f"{CLAIRE}: names a foreign password policy, {policy}" in ran.err
    assert staff.values(CLAIRE, "pwdPolicySubentry") == []
    assert row_of(staff, "D43")["result"] == "ok"
    lines = staff.run("journal", "show", "--account", CLAIRE, "-o", "json").out
    assert f"its password policy {policy} is none of the configuration" in lines
    assert staff.run("journal", "verify").code == 0
    staff.quiet_night(day(0).isoformat())


def test_a_policy_of_the_configuration_stays(staff: Academy) -> None:
    staff.edit("piactl.yaml", "  protected_policy:", f'  other_policies: ["{STRICT}"]\n  protected_policy:')
    staff.change(CLAIRE, pwdPolicySubentry=[STRICT])
    assert staff.run("nightly").code == 0
    assert staff.values(CLAIRE, "pwdPolicySubentry") == [STRICT]
    assert row_of(staff, "D43")["result"] == "ok"


# ---- protected accounts


def test_wrong_passwords_do_not_block_a_protected_account(staff: Academy) -> None:
    """An account that was protected before is named; an administrator puts it under the policy."""
    staff.change(CLAIRE, piactlProtected=["TRUE"], pwdPolicySubentry=[GONE])
    assert row_of(staff, "D43")["found"] == f"{CLAIRE} (protected): {GONE}"
    staff.change(CLAIRE, pwdPolicySubentry=[])
    assert (row_of(staff, "D43")["result"], row_of(staff, "D43")["found"]) == (
        "warning",
        f"{CLAIRE} can be blocked by anybody",
    )
    guess(staff, CLAIRE)
    assert not staff.sandbox.accepts(staff.dn(CLAIRE), PASSWORD)
    ran = staff.run("password", "unblock", CLAIRE, "--administrator", *WHY)
    assert ran.code == 0, ran.err
    assert "from now on wrong passwords do not block it" in ran.out + ran.err
    assert staff.values(CLAIRE, "pwdPolicySubentry") == [PROTECTED]
    assert row_of(staff, "D43")["result"] == "ok"
    guess(staff, CLAIRE)
    assert staff.sandbox.accepts(staff.dn(CLAIRE), PASSWORD)
    with (
        staff.sandbox.bind(staff.dn(CLAIRE), PASSWORD) as owner,
        pytest.raises(ldap3.core.exceptions.LDAPConstraintViolationResult),
    ):
        owner.modify(staff.dn(CLAIRE), {"userPassword": [(ldap3.MODIFY_REPLACE, ["quinze.lettres."])]})
    assert staff.run("nightly").code == 0
    assert staff.values(CLAIRE, "pwdPolicySubentry") == [PROTECTED]
    # an activation password of the administrator, then the owner's own: the next night puts the account back
    path = staff.folder / "codes.csv"
    given = staff.run("password", "reset", CLAIRE, "--without-check", *WHY, "--out", path)
    assert given.code == 0, given.err
    assert (staff.values(CLAIRE, "pwdPolicySubentry"), row_of(staff, "D43")["result"]) == ([CODES], "ok")
    assert staff.run("nightly").code == 0
    assert staff.values(CLAIRE, "pwdPolicySubentry") == [CODES]
    code = path.read_text(encoding="utf-8").splitlines()[1]
    (code,) = re.findall(r"[a-z0-9]{4}(?:-[a-z0-9]{4}){4}", code)
    with staff.sandbox.bind(staff.dn(CLAIRE), code) as owner:
        owner.modify(staff.dn(CLAIRE), {"userPassword": [(ldap3.MODIFY_REPLACE, ["seize belles lettres."])]})
    assert row_of(staff, "D43")["result"] == "warning"
    ran = staff.run("nightly")
    assert (ran.code, staff.values(CLAIRE, "pwdPolicySubentry")) == (0, [PROTECTED]), ran.err
    assert row_of(staff, "D43")["result"] == "ok"


def guess(academy: Academy, uid: str) -> None:
    for _ in range(6):
        assert not academy.sandbox.accepts(academy.dn(uid), "not it at all")


# ---- settings of the server


def test_a_server_that_takes_passwords_in_clear(clinic: Clinic) -> None:
    row_ = clinic.finds("D44", "ok", "refused at 127.0.0.1:", 0)
    assert "(tried)" in row_["found"]
    before = contents(clinic)
    clinic.reconfigure((r"security simple_bind=128\n", ""))
    row_ = clinic.finds("D44", "error", "accepted at 127.0.0.1:", 1)
    assert "docs/upgrade-directory.md" in row_["advice"]
    assert contents(clinic) == before


def test_a_server_without_ppm(clinic: Clinic) -> None:
    """There is a warning; passwords are set as before."""
    clinic.finds("D17", "ok", "ppolicy is on, passwords are hashed", 0)
    clinic.reconfigure((r"ppolicy_check_module ppm.so\n", ""))
    with clinic.sandbox.root() as root:
        for name in ("default", "activation", "protected"):
            root.modify(f"cn={name},{POLICIES}", {"pwdUseCheckModule": [(ldap3.MODIFY_DELETE, [])]})
    clinic.finds("D17", "warning", "the server accepts 24 times the same letter", 0)
    account = f"uid=claire.exemple,{clinic.sandbox.accounts}"
    with clinic.sandbox.connect("desk") as desk:
        desk.modify(account, {"userPassword": [(ldap3.MODIFY_REPLACE, ["a" * 24])]})
    assert clinic.sandbox.accepts(account, "a" * 24)


# ---- canaries


@pytest.fixture
def watched(staff: Academy) -> Academy:
    """Ida, who is locked, is a canary."""
    (staff.sandbox.folder / "secrets" / "ida").write_text(PASSWORD + "\n")
    (staff.sandbox.folder / "secrets" / "ida").chmod(0o600)
    canaries = f"canaries: {{locked: {{account: {IDA}, password_file: secrets/ida}}}}\n"
    staff.edit("piactl.yaml", "password:\n", f"{canaries}password:\n")
    assert staff.run("account", "lock", IDA, *WHY).code == 0
    return staff


def test_canaries_that_are_refused(watched: Academy) -> None:
    assert row_of(watched, "D47")["result"] == "skipped"
    finding = row_of(watched, "D47", "--canaries")
    assert (finding["result"], finding["found"]) == ("ok", "1 bind, all refused")
    ran = watched.run("nightly")
    assert (ran.code, "canary" in ran.err) == (0, False), ran.err


def test_a_canary_that_gets_in(watched: Academy) -> None:
    """Somebody opened it without piactl: the night ends as incomplete, and the metrics say so."""
    metrics = watched.sandbox.folder / "metrics" / "piactl.prom"
    metrics.parent.mkdir()
    watched.edit("piactl.yaml", "password:\n", f"metrics: {metrics}\npassword:\n")
    assert watched.run("nightly").code == 0
    assert "piactl_last_run_canaries_let_in 0\n" in metrics.read_text()
    opened(watched)
    ran = watched.run("doctor", "-o", "json", "--canaries")
    assert ran.code == 1
    (finding,) = [finding for finding in ran.json if finding["id"] == "D47"]
    assert finding["found"] == f"locked ({IDA}) at {watched.sandbox.uri}: it was let in"
    watched.edit("piactl.yaml", f"account: {IDA}", f"account: {CLAIRE}")
    ran = watched.run("nightly")
    assert ran.code == 5, ran.err
    assert f"canary locked ({CLAIRE}) at {watched.sandbox.uri}: it was let in; it must be refused" in ran.err
    assert "piactl_last_run_canaries_let_in 1\n" in metrics.read_text()
    assert PASSWORD not in ran.err + ran.out + metrics.read_text()


def opened(academy: Academy) -> None:
    """Removes by hand what closes Ida's account."""
    changes: dict[str, Any] = {name: [] for name in ("pwdStartTime", "pwdEndTime", "oathTOTPToken")}
    with academy.sandbox.root() as root:
        root.modify(
            academy.dn(IDA),
            {name: [(ldap3.MODIFY_REPLACE, [])] for name in changes}
            | {"objectClass": [(ldap3.MODIFY_DELETE, ["oathTOTPUser"])]},
        )
    assert academy.sandbox.accepts(academy.dn(IDA), PASSWORD)


def test_a_canary_without_account_or_usable_password_is_a_warning(watched: Academy) -> None:
    watched.edit("piactl.yaml", f"account: {IDA}", "account: nobody.here")
    finding = row_of(watched, "D47", "--canaries")
    assert (finding["result"], "there is no such account" in finding["found"]) == ("warning", True)
    (watched.sandbox.folder / "secrets" / "ida").chmod(0o644)
    watched.edit("piactl.yaml", "account: nobody.here", f"account: {IDA}")
    assert row_of(watched, "D47", "--canaries")["result"] == "warning"
    ran = watched.run("nightly")
    assert ran.code == 0
    assert "canary locked" in ran.err


# ---- devices


def test_a_device_with_a_wider_window(clinic: Clinic) -> None:
    clinic.finds("D18", "ok", "a window of 1", 0)
    dn = f"cn=otp,uid=claire.exemple,{clinic.sandbox.accounts}"
    values = device(dn, oathTOTPTimeStepWindow=3, piactlSealed=[])
    clinic.sandbox.add(dn, {name: value for name, value in values.items() if value != []})
    row_ = clinic.finds("D18", "warning", f"such as {dn}", 0)
    assert "docs/upgrade-directory.md" in row_["advice"]
    page = (Path(__file__).parents[2] / "docs" / "upgrade-directory.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"(?s)```\n(ldapsearch -LLL -o ldif-wrap=no -x .*?)```", page)
    file = clinic.sandbox.folder / "secrets" / "bare"
    file.write_text((clinic.sandbox.folder / "secrets" / "administrator").read_text().strip())
    names = f'administrator={identity_dn("administrator")} accounts="{clinic.sandbox.accounts}"'
    script = f"{names}\n{command.replace('administrator.password', str(file))}"
    environment = {**os.environ, "LDAPURI": clinic.sandbox.uri}
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environment, check=True, timeout=30)
    clinic.finds("D18", "ok", "a window of 1", 0)
