"""`piactl doctor`: a healthy directory is fine; each planted fault is found by its own check."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ldap3
import pytest

from piactl.cli.main import run
from piactl.clock import utc_now
from piactl.doctor.checks import CHECKS
from piactl.doctor.examine import examine, exit_code
from piactl.journal import who
from piactl.sandbox.folder import GROUPS, POLICIES

PASSWORD = "correct horse battery"
WORKED = {"ok", "skipped", "warning", "error"}
HIDDEN = r"(?ms)^(database config\n.*?|database monitor\n.*?)(?=^database|^moduleload)"


class Clinic:
    """A sandbox with some accounts, and the ways to break it."""

    def __init__(self, sandbox: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self.sandbox, self._capsys = sandbox, capsys

    def doctor(self, *options: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
        """The exit code, and the rows by the id of their check."""
        code = run(["--config", str(self.sandbox.config), "doctor", "-o", "json", *options])
        checks: dict[str, list[dict[str, str]]] = {}
        for row in json.loads(self._capsys.readouterr().out):
            checks.setdefault(row["id"], []).append(row)
        return code, checks

    def finds(self, id_: str, result: str, words: str, code: int, *options: str) -> dict[str, str]:
        """The only row of a check, whose finding contains `words`; no other check finds an error."""
        got, checks = self.doctor(*options)
        (row,) = checks[id_]
        assert row["result"] == result, row
        assert words in row["found"]
        assert row["meaning"]
        if result != "ok":
            assert row["advice"] or result == "skipped"
        others = {
            i: r["found"] for i, rows in checks.items() for r in rows if i != id_ and r["result"] == "error"
        }
        assert not others
        assert got == code
        return row

    def account(self, uid: str, **attributes: Any) -> str:
        dn = f"uid={uid},{self.sandbox.accounts}"
        values: dict[str, Any] = {
            "objectClass": ["inetOrgPerson", "eduPerson", "supannPerson", "piactlAccount"],
            "cn": "Claire Exemple",
            "sn": "Exemple",
            "mail": f"{uid}@example.org",
            "piactlState": "active",
            "piactlIdentifier": [uid, f"{uid}@example.org"],
            "piactlMatriculeDigest": "{k1}00",
        }
        self.sandbox.add(dn, values | attributes)
        return dn

    def record(self, name: str, data: dict[str, Any] | bytes) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        values = {"objectClass": "piactlRecord", "piactlData": content}
        self.sandbox.add(f"{name},{self.sandbox.state}", values)

    def remove(self, *dns: str) -> None:
        with self.sandbox.root() as root:
            for dn in dns:
                root.delete(dn)

    def reconfigure(self, *changes: tuple[str, str], file: str = "slapd.conf") -> None:
        """Changes the server's settings by (pattern, replacement), restarts it; every pattern must match."""
        path = self.sandbox.folder / "slapd" / file
        self.sandbox.stop()
        edit(path, *changes)
        self.sandbox.start()

    def configure(self, *changes: tuple[str, str]) -> None:
        edit(self.sandbox.config, *changes)


def contents(clinic: Clinic) -> dict[str, dict[str, list[bytes]]]:
    """All entries; without the checkpoints of replication, which the server writes when it likes."""
    entries = clinic.sandbox.entries("o=gouv,c=fr")
    for entry in entries.values():
        entry.pop("contextCSN", None)
    return entries


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    path.write_text(text)


@pytest.fixture(autouse=True)
def syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this host one that has syslog."""
    monkeypatch.setattr("piactl.doctor.journal_of_host.has_syslog", lambda: True)


@pytest.fixture
def clinic(sandbox: Any, capsys: pytest.CaptureFixture[str]) -> Clinic:
    return made_clinic(sandbox, capsys)


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Any]) -> Any:
    """A server with an access log."""
    return make_sandbox(accesslog=True)


def made_clinic(sandbox: Any, capsys: pytest.CaptureFixture[str]) -> Clinic:
    made = Clinic(sandbox, capsys)
    claire = made.account("claire.exemple")
    with sandbox.connect("desk") as desk:
        desk.modify(claire, {"userPassword": [(ldap3.MODIFY_REPLACE, [PASSWORD])]})
    protected = {"piactlProtected": "TRUE", "pwdPolicySubentry": f"cn=protected,{POLICIES}"}
    made.account("paul.garde", piactlNumenDigest="{k1}01", **protected)
    return made


# ---- health


def test_a_healthy_directory_is_fine_and_is_left_as_it_was(clinic: Clinic, capsys: Any) -> None:
    before = entries_of(clinic)
    files = sorted(str(p) for p in clinic.sandbox.folder.rglob("*"))
    code, checks = clinic.doctor("--strict")
    assert code == 0
    assert list(checks) == sorted(CHECKS)
    assert {row["result"] for rows in checks.values() for row in rows} == {"ok"}
    assert "not tried" not in checks["D23"][0]["found"]
    assert all("tried" in checks[id_][0]["found"] for id_ in ("D23", "D34", "D70"))
    assert checks["D39"][0]["found"] == "4 changes tried without the run lock, all refused"
    assert entries_of(clinic) == before
    assert sorted(str(p) for p in clinic.sandbox.folder.rglob("*")) == files
    # the output for people has one line for a check that is fine
    assert run(["--config", str(clinic.sandbox.config), "doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS) + 2
    assert lines[-1] == f"{len(CHECKS)} checks: {len(CHECKS)} ok"
    # --problems leaves the checks out that are fine
    assert run(["--config", str(clinic.sandbox.config), "doctor", "--problems"]) == 0
    assert capsys.readouterr().out == f"{len(CHECKS)} checks: {len(CHECKS)} ok\n"


def entries_of(clinic: Clinic) -> dict[str, Any]:
    """All entries, without contextCSN, which the trial of the lock changes if there is an access log."""
    entries = clinic.sandbox.entries("o=gouv,c=fr")
    return {dn: {k: v for k, v in values.items() if k != "contextCSN"} for dn, values in entries.items()}


def test_doctor_says_what_it_cannot_try_on_an_empty_directory(sandbox: Any, capsys: Any) -> None:
    code, checks = Clinic(sandbox, capsys).doctor()
    assert code == 0
    assert "not tried: there is no account and no protected entry yet" in checks["D23"][0]["found"]
    assert checks["D19"][0]["found"] == "piactlIdentifier and mail are guarded"
    assert checks["D34"][0]["found"] == "not tried: there is no account yet"


def test_a_journal_that_agrees_with_its_run_is_fine(clinic: Clinic, capsys: Any) -> None:
    assert nightly(clinic) == 0
    capsys.readouterr()
    code, checks = clinic.doctor("--strict")
    assert code == 0, checks
    assert "1 stored head matches" in checks["D09"][0]["found"]
    assert checks["D40"][0]["found"] == "the directory has the last run of this host"


def nightly(clinic: Clinic) -> int:
    """A night without feeds; it removes the accounts of these tests first, because they cannot be read."""
    clinic.remove(*clinic.sandbox.entries(clinic.sandbox.accounts, "(uid=*)"))
    return run(["--config", str(clinic.sandbox.config), "nightly"])


# ---- this host


def test_policy_check_reads_every_file_and_no_server(sandbox: Any, capsys: Any) -> None:
    sandbox.stop()
    folder = sandbox.folder
    words = ["--config", str(sandbox.config), "policy", "check"]
    assert run(words) == 0
    assert capsys.readouterr().out.endswith("5 checks: 5 ok\n")
    (folder / "secrets" / "desk").chmod(0o644)
    (folder / "secrets" / "keys").unlink()
    edit(folder / "policy.yaml", (r"(?m)^timezone: .*", "timezone: Europe/Parys"))
    edit(folder / "establishments.csv", ("0800009A", "0800009B"))
    assert run([*words, "--problems", "-o", "json"]) == 10
    found = {row["id"]: row["found"] for row in json.loads(capsys.readouterr().out)}
    assert found.keys() == {"D02", "D03", "D04", "D05"}
    assert "Europe/Parys" in found["D02"]
    assert f"{folder}/secrets/desk" in found["D05"]
    edit(sandbox.config, ("keys: secrets/keys", "keyes: secrets/keys"))
    assert run([*words, "--problems"]) == 10
    assert "keyes" in capsys.readouterr().out.splitlines()[0]


def test_policy_check_of_a_draft_takes_the_other_files_of_the_configuration(
    sandbox: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no configuration, it is checked alone."""
    draft, words = tmp_path / "draft.yaml", ["policy", "check", "--problems", "-o", "json"]
    monkeypatch.delenv("PIACTL_CONFIG", raising=False)

    def errors(*arguments: str) -> dict[str, str]:
        code = run([*arguments, *words, str(draft)])
        found = {row["id"]: row["found"] for row in json.loads(capsys.readouterr().out)}
        assert code == (10 if found else 0)
        return found

    draft.write_bytes((sandbox.folder / "policy.yaml").read_bytes())
    assert errors("--config", str(sandbox.config)) == errors() == {}
    edit(draft, (r"(?m)^timezone: .*", "timezone: Europe/Parys"))
    edit(sandbox.folder / "establishments.csv", ("0800009A", "0800009B"))
    assert errors("--config", str(sandbox.config)).keys() == {"D02", "D03"}
    assert errors().keys() == {"D02"}
    assert f"{draft}:" in errors()["D02"]


def test_a_missing_configuration_is_the_only_error(clinic: Clinic) -> None:
    clinic.sandbox.config.unlink()
    clinic.finds("D01", "error", "there is no such file", 10)


def test_a_wrong_configuration_is_reported_and_other_checks_skipped(clinic: Clinic) -> None:
    clinic.configure(("any_date: true", "any_day: true"))
    row = clinic.finds("D01", "error", "any_day", 10)
    assert "piactl.yaml:" in row["found"]
    assert {r["result"] for i, rows in clinic.doctor()[1].items() for r in rows if i != "D01"} == {"skipped"}


def test_a_policy_warning_fails_only_with_strict(clinic: Clinic) -> None:
    edit(clinic.sandbox.folder / "policy.yaml", (r"retention: 30 ", "retention: 90 "))
    clinic.finds("D02", "warning", "policy.yaml:", 0)
    clinic.finds("D02", "warning", "policy.yaml:", 1, "--strict")


def test_the_server_is_checked_even_if_the_policy_is_wrong(clinic: Clinic) -> None:
    edit(clinic.sandbox.folder / "policy.yaml", ("Europe/Paris", "Europe/Pariss"))
    clinic.finds("D02", "error", "Europe/Pariss", 10)
    assert clinic.doctor()[1]["D16"][0]["result"] == "ok"


def test_a_wrong_register(clinic: Clinic) -> None:
    with (clinic.sandbox.folder / "establishments.csv").open("a") as file:
        file.write("0800009B;Faux;300;2D;PU;Amiens\n")
    clinic.finds("D03", "error", "0800009", 10)


def test_secrets_that_others_can_read(clinic: Clinic) -> None:
    for name in ("keys", "desk"):
        (clinic.sandbox.folder / "secrets" / name).chmod(0o644)
    code, checks = clinic.doctor()
    assert code == 10
    for id_ in ("D04", "D05"):
        assert checks[id_][0]["result"] == "error"
        assert "chmod 600" in checks[id_][0]["found"]


def test_a_state_folder_that_others_can_write(clinic: Clinic) -> None:
    (clinic.sandbox.folder / "state").chmod(0o777)
    clinic.finds("D06", "error", "others can write to", 1)


def test_a_journal_that_others_can_write(clinic: Clinic) -> None:
    journal = clinic.sandbox.folder / "journal" / "piactl.jsonl"
    journal.touch()
    journal.chmod(0o666)
    clinic.finds("D08", "error", "can be written by others", 1)


def test_a_journal_with_an_edited_line(clinic: Clinic, capsys: Any) -> None:
    assert nightly(clinic) == 0
    capsys.readouterr()
    edit(clinic.sandbox.folder / "journal" / "piactl.jsonl", ('"user":"', '"user":"x'))
    clinic.finds("D09", "error", "piactl.jsonl:1:", 1)


def test_a_journal_that_was_deleted(clinic: Clinic, capsys: Any) -> None:
    assert nightly(clinic) == 0
    capsys.readouterr()
    for file in (clinic.sandbox.folder / "journal").iterdir():
        file.unlink()
    row = clinic.finds("D09", "error", "run ", 1)
    assert "piactl journal begin --reason" in row["advice"]


def test_a_directory_that_lacks_the_last_run(clinic: Clinic, capsys: Any) -> None:
    assert nightly(clinic) == 0
    capsys.readouterr()
    runs = f"ou=runs,{clinic.sandbox.state}"
    with clinic.sandbox.root() as root:
        for dn in sorted(clinic.sandbox.entries(runs), key=len, reverse=True):
            if dn != runs:
                root.delete(dn)
    row = clinic.finds("D40", "error", "the directory is older than the journal", 1)
    assert "piactl recover" in row["advice"]


# ---- the way to the servers


def test_a_stopped_server(clinic: Clinic) -> None:
    clinic.sandbox.stop()
    code, checks = clinic.doctor()
    assert code == 8
    assert checks["D11"][0]["result"] == "error"
    assert checks["D02"][0]["result"] == checks["D08"][0]["result"] == "ok"
    assert {checks[i][0]["result"] for i in ("D12", "D16", "D19", "D27", "D37")} == {"skipped"}


def test_one_of_two_servers_is_down(clinic: Clinic) -> None:
    clinic.configure((r'servers: \["', 'servers: ["ldap://127.0.0.1:1", "'))
    code, checks = clinic.doctor()
    assert code == 1
    assert [(r["where"], r["result"]) for r in checks["D11"]] == [
        ("ldap://127.0.0.1:1", "error"),
        (clinic.sandbox.uri, "ok"),
    ]
    assert [r["result"] for r in checks["D16"]] == ["skipped", "ok"]


def test_a_wrong_password(clinic: Clinic) -> None:
    (clinic.sandbox.folder / "secrets" / "nightly").write_text("another one\n")
    row = clinic.finds("D12", "error", "nightly: bind as", 1)
    assert "another one" not in json.dumps(row)


def test_a_server_that_takes_no_writes(clinic: Clinic) -> None:
    clinic.reconfigure((r"(?m)^maxsize", "readonly on\nmaxsize"))
    code, checks = clinic.doctor()
    assert code == 1
    assert checks["D14"][0]["result"] == "error"
    assert "(53)" in checks["D14"][0]["found"]


def test_rights_are_skipped_if_none_could_be_tried(clinic: Clinic) -> None:
    """A read-only server refuses every request before it looks at the rights."""
    assert re.match(r"[1-9]\d* tried, all as expected", clinic.doctor()[1]["D23"][0]["found"])
    clinic.reconfigure((r"(?m)^maxsize", "readonly on\nmaxsize"))
    (row,) = clinic.doctor()[1]["D23"]
    assert (row["result"], row["found"]) == ("skipped", "the server's answers do not show the rights")


# ---- what the directory holds


def test_base_entries_that_are_gone(clinic: Clinic) -> None:
    for name, result, code in (("attempts", "warning", 0), ("waiting", "error", 1)):
        clinic.remove(f"ou={name},{clinic.sandbox.state}")
        clinic.finds("D15", result, f"ou={name},", code)


def test_a_key_that_entries_need_is_missing(clinic: Clinic) -> None:
    (clinic.sandbox.folder / "secrets" / "keys").write_text(f"k2 {'0' * 64}\n")
    clinic.finds("D27", "error", "key k1: 3 digests", 1)


def lock(**fields: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    holder = {"run": "r9", "host": "elsewhere", "pid": 1, "began": 1, "who": "piactl"}
    times = {"since": now.isoformat(), "expires": (now + timedelta(seconds=300)).isoformat()}
    return holder | times | fields


def test_records_that_cannot_be_read(clinic: Clinic) -> None:
    clinic.finds("D37", "ok", "all can be read", 0)
    clinic.record("cn=mine,ou=waiting", b"rubbish")
    clinic.finds("D37", "warning", f"1 record cannot be read: cn=mine,ou=waiting,{clinic.sandbox.state}: ", 0)
    clinic.record("cn=other", {})
    clinic.finds("D37", "warning", "2 records cannot be read: ", 0)


# ---- the server's settings


def test_a_schema_that_is_not_as_shipped_reports_every_fault(clinic: Clinic) -> None:
    faults = [
        (r"(NAME 'piactlLock'(?s:.*?)) SINGLE-VALUE", r"\1", "piactlLock is not SINGLE-VALUE"),
        (r" ORDERING integerOrderingMatch", "", "piactlNextDue has no ORDERING"),
        (
            r"(NAME 'piactlState'(?s:.*?))caseExact",
            r"\1caseIgnore",
            "piactlState has EQUALITY caseIgnoreMatch",
        ),
        ("piactlDigest", "piactlDigest2", "attribute piactlDigest is missing"),
        ("'piactlRecord'", "'piactlRecord2'", "class piactlRecord is missing"),
        (r"(NAME 'piactlData'(?s:.*?))EQUALITY \w+", r"\1", "attribute piactlData has no EQUALITY"),
    ]
    rules = (
        ("@piactlRecord,", ""),
        (",piactlDigest;lang-", ""),
        ('val="piactlRecord"', 'val="piactlRecord2"'),
    )
    edit(clinic.sandbox.folder / "slapd" / "slapd.conf", *rules)
    clinic.reconfigure(*(fault[:2] for fault in faults), file="schema/piactl.schema")
    code, checks = clinic.doctor()
    assert (code, checks["D16"][0]["result"]) == (1, "error")
    assert [words for *_, words in faults if words not in checks["D16"][0]["found"]] == []


def test_a_host_without_syslog(clinic: Clinic, monkeypatch: Any) -> None:
    clinic.finds("D50", "ok", "syslog gets the heads of the journal", 0)
    monkeypatch.setattr("piactl.doctor.journal_of_host.has_syslog", lambda: False)
    clinic.finds("D50", "warning", "nothing listens at /dev/log", 0)


def test_digests_that_the_desk_can_write(clinic: Clinic) -> None:
    clinic.reconfigure(
        ("attrs=oathTOTPToken,piactlDevice\n", "attrs=oathTOTPToken,piactlDevice,piactlDigest\n")
    )
    clinic.finds("D23", "error", "desk can write the digest of an account", 1)


RULE = "access to attrs=pwdHistory by [*] none\n"


@pytest.mark.parametrize(
    ("id_", "pattern", "replacement", "result", "words"),
    [
        ("D17", r"(?s)\noverlay ppolicy\n.*?ppm.so\n", "\n", "error", "ppolicy is not on the database"),
        ("D17", "\nppolicy_hash_cleartext\n", "\n", "warning", "ppolicy_hash_cleartext is off"),
        ("D17", "cn=default,ou", "cn=gone,ou", "error", "cn=gone,ou=policies"),
        ("D17", "\nppolicy_default .*\n", "\n", "error", "there is no ppolicy_default"),
        ("D18", "\noverlay otp\n", "\n", "error", "otp is not on the database"),
        ("D19", r"\noverlay unique\n(unique_uri.*\n)+", "\n", "error", "piactlIdentifier is not guarded"),
        ("D19", r'unique_uri "serialize (.*\?mail\?sub)"\n', "", "warning", "mail is not guarded"),
        ("D19", r'"serialize (.*\?piactlIdentifier)', r'"\1', "warning", "without `serialize`"),
        ("D20", r"index mail eq", "", "warning", "no eq index on mail"),
        ("D20", r"index uid eq,subinitial", "index uid sub", "warning", "no eq index on uid"),
        ("D23", r"add_content_acl on", "add_content_acl off", "error", "add_content_acl is off"),
        (
            "D23",
            r'by dn\.exact="[^"]*" (set\.exact="this/-1/piactlProtected & \[TRUE\]" read)',
            r"by \1",
            "error",
            "everybody can see the devices of protected accounts",
        ),
        (
            "D69",
            r"access to attrs=hasSubordinates by \* compare\n",
            "",
            "error",
            "the rules of cn=accesslog; o=gouv,c=fr may refuse a comparison of hasSubordinates",
        ),
    ],
)
def test_a_wrong_server_setting(
    clinic: Clinic, id_: str, pattern: str, replacement: str, result: str, words: str
) -> None:
    clinic.reconfigure((pattern, replacement))
    clinic.finds(id_, result, words, 1 if result == "error" else 0)


def test_no_otp_overlay_is_needed_if_a_portal_asks_for_codes(clinic: Clinic) -> None:
    edit(clinic.sandbox.folder / "policy.yaml", ("enforced_by: directory", "enforced_by: portal"))
    clinic.reconfigure(("\noverlay otp\n", "\n"))
    clinic.finds("D18", "ok", "a portal asks for codes, and each device has a window of 1", 0)


def test_closed_accounts_that_only_the_password_policy_refuses(clinic: Clinic) -> None:
    dn = clinic.account("nour.close", piactlState="deactivated")
    row = clinic.finds("D38", "warning", f"closed accounts without a link to no device, such as {dn}", 0)
    assert "piactl nightly" in row["advice"]
    clinic.reconfigure(("\noverlay otp\n", "\n"))
    [row] = clinic.doctor()[1]["D38"]
    assert row["result"] == "warning"
    assert (
        "only the password policy refuses closed and locked accounts: the overlay otp is not on the database"
        in row["found"]
    )
    assert "overlay otp" in row["advice"]


def test_an_identity_that_cannot_see_the_schema(clinic: Clinic) -> None:
    """Such an identity would believe that every closed account lacks its link."""
    nightly = '"cn=piactl-nightly,ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"'
    hidden = (
        f'database frontend\naccess to dn.base="cn=Subschema"\n  by dn.exact={nightly} none\n  by * read\n'
    )
    clinic.reconfigure((r"(?m)^database config\n", f"{hidden}access to * by * read\n\ndatabase config\n"))
    clinic.finds("D38", "warning", "nightly cannot read the class oathTOTPUser", 0)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("attrs=displayName by dn.exact={reader} write by * break", "reader can change an account"),
        ("attrs=displayName by dn.exact={nightly} read by * break", "nightly cannot change an account"),
        (
            'dn.subtree="{accounts}" attrs=userPassword by dn.exact={nightly} =w by * break',
            "nightly can set a password",
        ),
        (
            "attrs=userPassword;lang-fr by dn.exact={desk} write by * break",
            "desk can store a password in clear",
        ),
        ("attrs=oathTOTPToken by dn.exact={desk} write by * break", "desk can reset a protected account"),
        ("attrs=userPassword by dn.exact={reader} read by * break", "reader can read the password hash"),
        ("dn.subtree=ou=runs,{state} by dn.exact={desk} write by * break", "desk can change records"),
    ],
)
def test_an_identity_with_too_many_or_too_few_rights(clinic: Clinic, rule: str, words: str) -> None:
    names = {
        i: f'"cn=piactl-{i},ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"'
        for i in ("reader", "nightly", "desk")
    }
    text = rule.format(accounts=clinic.sandbox.accounts, state=clinic.sandbox.state, **names)
    # the overlay constraint, too, keeps everybody but these from sending a password
    sets = (r'userPassword set "', rf"\g<0>([{names['nightly'][1:-1]}] & user) | ")
    clinic.reconfigure(
        (r"access to attrs=hasSubordinates .*\n", rf"\g<0>access to {text}\n"),
        *([sets] if "set a password" in words else []),
    )
    clinic.finds("D23", "error", words, 1)


SERVICES = "ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"
SELF = rf'access to dn.subtree="{SERVICES}" attrs=userPassword\n'
COUNT = "\nconstraint_attribute userPassword count 1 .*\n"
ORDER = r"(?s)(overlay ppolicy.*?\n\n)(.*?)(overlay constraint\n.*?\n\n)"
ONLY_CODES = r"(?s)access to [^\n]* attrs=pwdPolicySubentry val.*?none\n"
DESK = r"(?s)(attrs=pwdPolicySubentry\n.*?piactl-desk[^ ]*) =zrscd"


@pytest.mark.parametrize(
    ("id_", "change", "words", "advice"),
    [
        (
            "D23",
            (DESK, r"\1 write"),
            "desk can put an account under a policy that does not exist; desk can put an account under the "
            "default policy",
            "their order matters",
        ),
        ("D23", (ONLY_CODES, ""), f"desk cannot put an account under cn=activation,{POLICIES}", "order"),
        ("D34", (COUNT, "\n"), "accepts a second password (tried on an account)", "userPassword count 1"),
        ("D70", (ORDER, r"\3\2\1"), "somebody else's password is wrong (tried", "constraint after ppolicy"),
        (
            "D23",
            (SELF, "access to attrs=userPassword\n  by self =xw\n"),
            "reader can change the password of reader; nightly can change the password of nightly; ",
            "their order matters",
        ),
    ],
)
def test_wrong_access_is_found_by_trying_it(
    clinic: Clinic, id_: str, change: tuple[str, str], words: str, advice: str
) -> None:
    """Also on a server whose settings may not be seen."""
    account = f"uid=claire.exemple,{clinic.sandbox.accounts}"
    clinic.reconfigure(change, (HIDDEN, ""))
    before = contents(clinic)
    row = clinic.finds(id_, "error", words, 1)
    assert advice in row["advice"]
    assert "docs/upgrade-directory.md" in row["advice"]
    assert contents(clinic) == before
    assert clinic.sandbox.accepts(account, PASSWORD)


GROUP = r'by group/piactlRunLock/piactlWriter.exact="[^"]*" (write|=\w+)'


def test_a_server_that_does_not_refuse_a_run_without_the_lock(clinic: Clinic) -> None:
    assert clinic.sandbox.entry(f"cn=lock,{clinic.sandbox.state}") is None
    nightly = 'by dn.subtree="cn=piactl-nightly,ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"'
    clinic.reconfigure((GROUP, rf"{nightly} \1"), (HIDDEN, ""))
    row = clinic.finds("D39", "error", "nightly can change an account without the run lock", 1)
    assert "nightly can write below ou=waiting without the run lock" in row["found"]
    assert "docs/upgrade-directory.md" in row["advice"]


def test_a_schema_without_the_class_of_the_run_lock(clinic: Clinic) -> None:
    """With the schema and the rules of an earlier version runs go on; doctor says what the server lacks."""
    file = clinic.sandbox.folder / "slapd" / "schema" / "piactl.schema"
    text = file.read_text()
    file.write_text(text[: text.index("objectclass ( piactlObjectClass:3")])
    clinic.reconfigure(
        (GROUP, r"by dn.exact=cn=piactl-nightly,ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr \1")
    )
    clinic.finds("D39", "error", "the server lacks piactlRunLock", 1)
    assert nightly(clinic) == 0


def test_doctor_tries_what_it_can_while_a_run_holds_the_lock(clinic: Clinic) -> None:
    dn = f"cn=lock,{clinic.sandbox.state}"
    data = json.dumps(lock()).encode()
    values = {"objectClass": ["piactlRecord", "piactlRunLock"], "cn": "lock", "piactlData": data}
    nightly = "cn=piactl-nightly,ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"
    clinic.sandbox.add(dn, values | {"piactlWriter": f"cn=other.example,{nightly}"})
    clinic.finds("D23", "ok", "nightly not tried: another run holds the run lock", 0)
    clinic.finds("D39", "ok", "all refused", 0)
    clinic.remove(dn)
    clinic.sandbox.add(dn, values | {"piactlWriter": nightly})
    clinic.finds("D39", "skipped", "a run of this host holds the run lock", 0)
    before = clinic.sandbox.entries(dn)
    clinic.finds("D23", "ok", "all as expected", 0)
    assert clinic.sandbox.entries(dn) == before


def test_without_a_known_password_a_second_one_is_not_tried(sandbox: Any, capsys: Any) -> None:
    clinic = Clinic(sandbox, capsys)
    account = clinic.account("claire.exemple")
    clinic.finds("D34", "skipped", "no account is known to have a password", 0)
    clinic.remove(account)
    clinic.account("claire.exemple", userPassword=PASSWORD)  # as an account that was loaded with its password
    assert "pwdChangedTime" not in (sandbox.entry(account) or {})
    clinic.finds("D34", "ok", "a second one is refused", 0)


def test_the_password_of_an_identity_that_another_can_change(clinic: Clinic) -> None:
    rule = f'access to dn.subtree="{SERVICES}" attrs=userPassword by dn.exact="cn=piactl-desk,{SERVICES}" =w '
    clinic.reconfigure((RULE, f"{rule} by anonymous auth by * none\n"))
    row = clinic.finds("D23", "error", "desk can change the password of nightly", 1)
    assert "reader can" not in row["found"]


def test_an_activation_password_that_anybody_can_block(clinic: Clinic) -> None:
    with clinic.sandbox.root() as root:
        root.modify(f"cn=activation,{POLICIES}", {"pwdMaxFailure": [(ldap3.MODIFY_REPLACE, ["5"])]})
    clinic.finds("D30", "warning", "wrong passwords of anybody block an account until the help desk acts", 0)


def test_an_activation_password_that_may_replace_itself(clinic: Clinic) -> None:
    with clinic.sandbox.root() as root:
        root.modify(f"cn=activation,{POLICIES}", {"pwdInHistory": [(ldap3.MODIFY_REPLACE, [])]})
    row = clinic.finds(
        "D30", "error", "pwdInHistory is not set: an activation password may be its own replacement", 1
    )
    assert "docs/upgrade-directory.md" in row["advice"]


def test_the_default_password_policy_is_missing(clinic: Clinic) -> None:
    clinic.remove(f"cn=default,{POLICIES}")
    row = clinic.finds("D17", "error", f"ppolicy_default cn=default,{POLICIES} does not exist", 1)
    assert "tree.ldif.in" in row["advice"]
    clinic.reconfigure((HIDDEN, ""))
    clinic.finds("D17", "error", f"cannot find cn=default,{POLICIES} (password.policy)", 1)


def test_the_default_password_policy_differs_or_is_not_set(clinic: Clinic) -> None:
    clinic.configure((r"  policy: cn=default,", "  policy: cn=services,"))
    clinic.finds("D17", "warning", "runs check the first", 0)
    clinic.configure((r"  policy: cn=services,.*\n", ""))
    clinic.finds("D17", "warning", "password.policy is not set", 0)


def test_an_identity_that_cannot_read_the_default_password_policy(clinic: Clinic) -> None:
    nightly = f'"cn=piactl-nightly,{SERVICES}"'
    hidden = f'access to dn.base="cn=default,{POLICIES}" by dn.exact={nightly} none by * break\n'
    clinic.reconfigure((RULE, hidden))
    clinic.finds("D17", "error", f"nightly cannot find cn=default,{POLICIES}", 1)


def test_an_identity_that_is_the_rootdn(clinic: Clinic) -> None:
    clinic.reconfigure(("cn=root,ou=services", "cn=piactl-nightly,ou=services"))
    code, checks = clinic.doctor()
    assert code == 1
    assert "nightly is the rootdn" in checks["D23"][0]["found"]


@pytest.mark.parametrize(
    ("replacement", "result", "words"),
    [
        ("syncprov-checkpoint 1 1\n", "ok", "syncprov-checkpoint 1 1"),
        ("syncprov-checkpoint 100 1\n", "error", "100 1 is coarse"),
        ("", "error", "no visible checkpoint"),
    ],
)
def test_the_checkpoint_of_replication(
    make_sandbox: Any, capsys: Any, replacement: str, result: str, words: str
) -> None:
    clinic = Clinic(make_sandbox(accesslog=True), capsys)
    clinic.reconfigure(("syncprov-checkpoint 1 1\n", replacement))
    clinic.finds("D24", result, words, 1 if result == "error" else 0)


SYNCREPL = 'syncrepl rid=001 provider=ldap://127.0.0.1:9 searchbase="o=gouv,c=fr" bindmethod=simple'


def test_several_servers_need_delta_syncrepl(make_sandbox: Any, capsys: Any) -> None:
    plain = Clinic(make_sandbox(), capsys)
    _, checks = plain.doctor()
    assert checks["D71"][0]["found"] == "one server"
    plain.reconfigure((r"\n\Z", "\noverlay syncprov\nsyncprov-checkpoint 1 1\n"))
    # a list of one server may lead to several: the writes have several numbers
    for number in (1, 2):
        plain.reconfigure((r"(serverID \d\n)?# ---- cn=config", f"serverID {number}\n# ---- cn=config"))
        with plain.sandbox.root() as root:
            root.modify(f"cn=default,{POLICIES}", {"description": [("MODIFY_REPLACE", [f"{number}"])]})
    _, checks = plain.doctor()
    assert checks["D71"][0]["result"] == "error"
    assert "no access log: this is plain syncrepl" in checks["D71"][0]["found"]
    delta = Clinic(make_sandbox(accesslog=True), capsys)
    delta.configure((r"servers: \[", 'servers: ["ldapi://%2Fnowhere", '))
    _, checks = delta.doctor()
    assert checks["D71"][1]["result"] == "warning"
    assert "no serverID can be seen" in checks["D71"][1]["found"]
    assert (checks["D72"][1]["result"], checks["D72"][1]["found"]) == ("ok", "piactl does not write here")
    delta.reconfigure(("# ---- cn=config", "serverID 1\n# ---- cn=config"))
    code, checks = delta.doctor()
    assert [row["result"] for row in checks["D71"]] == ["skipped", "ok"]
    overlay = "\noverlay syncprov\n"
    delta.reconfigure(
        (",olcServerID,", ",olcServerID,olcSyncrepl,"),
        (overlay, f"\n{SYNCREPL}\nmultiprovider on\n{overlay}"),
    )
    code, checks = delta.doctor()
    assert (code, checks["D71"][1]["result"]) == (1, "error")
    assert "no syncdata=accesslog" in checks["D71"][1]["found"]


def test_clocks_that_are_apart(clinic: Clinic) -> None:
    for seconds, result, code in ((0, "ok", 0), (-30, "warning", 0), (30, "warning", 0), (120, "error", 1)):
        later = timedelta(seconds=seconds)
        findings = examine(lambda: clinic.sandbox.config, lambda later=later: utc_now() + later, who().host)
        assert [f["result"] for f in findings if f["id"] == "D26"] == [result]
        assert exit_code(findings, strict=False) == code


GROUPED = (r"  identities:", f"  groups: {GROUPS}\n  identities:")


def test_groups_that_a_server_cannot_fill(clinic: Clinic) -> None:
    clinic.configure(GROUPED)
    clinic.finds("D64", "ok", "not tried: no group has a member yet", 0)
    url = f"ldap:///{quote(clinic.sandbox.accounts, safe='=,')}??sub?(uid=claire.exemple)"
    clinic.sandbox.add(f"cn=claire,{GROUPS}", {"objectClass": "groupOfURLs", "memberURL": url})
    clinic.finds("D64", "ok", "members, memberOf and a search by memberOf answer (tried)", 0)
    clinic.reconfigure((r"member\+memberOf@groupOfNames", "member"))
    clinic.finds("D64", "error", "and memberOf does not have it (tried)", 1)
    clinic.reconfigure((r"(memberURL member)\n", r"\1+memberOf@groupOfNames\n"))
    everywhere = url.replace("(uid=claire.exemple)", "(%26(uid=*)(eduPersonEntitlement=urn:x:siecle:*))")
    clinic.sandbox.add(f"cn=service:siecle,{GROUPS}", {"objectClass": "groupOfURLs", "memberURL": everywhere})
    clinic.finds("D64", "ok", "members, memberOf and a search by memberOf answer (tried)", 0)
    # as the official schema of eduPerson has it
    clinic.reconfigure((" SUBSTR caseExactSubstringsMatch", ""), file="schema/eduperson.schema")
    empty = "no substring rule for eduPersonEntitlement: 1 group is empty, such as cn=service:siecle"
    clinic.finds("D64", "error", empty, 1)
    clinic.remove(f"cn=service:siecle,{GROUPS}")
    clinic.remove(f"cn=claire,{GROUPS}")
    clinic.reconfigure((r"overlay dynlist\ndynlist-attrset .*\n", ""))
    clinic.finds("D64", "error", "the overlay dynlist is not loaded", 1)
    clinic.remove(GROUPS)
    clinic.finds("D64", "error", f"there is no entry {GROUPS}", 1)


def test_a_group_that_lists_its_members(clinic: Clinic) -> None:
    """It is found wherever it is, because groups may no longer be configured."""
    member = f"uid=claire.exemple,{clinic.sandbox.accounts}"
    values = {"labeledURI": "ldap:///", "member": member}
    classes = ["groupOfNames", "labeledURIObject"]
    ours = {"objectClass": classes, "owner": clinic.sandbox.state, **values}
    clinic.sandbox.add(f"cn=service:iprof,{GROUPS}", ours)
    clinic.sandbox.add(f"cn=theirs,{GROUPS}", {"objectClass": classes, "owner": member, **values})
    words = "1 group lists its members, and nobody keeps them: cn=service:iprof"
    row = clinic.finds("D64", "error", words, 1)
    assert "Section 16" in row["advice"]
    clinic.configure(GROUPED)
    clinic.finds("D64", "error", words, 1)
    clinic.remove(f"cn=service:iprof,{GROUPS}")
    clinic.finds("D64", "ok", "not tried: no group has a member yet", 0)


# ---- a server whose settings may not be seen


def test_checks_of_hidden_settings_are_tried_or_skipped(clinic: Clinic) -> None:
    clinic.reconfigure((HIDDEN, ""))
    code, checks = clinic.doctor()
    assert code == 0
    results = {i: rows[0]["result"] for i, rows in checks.items()}
    assert {i for i, result in results.items() if result == "skipped"} == {
        "D17", "D18", "D20", "D24", "D26", "D38", "D44", "D69",
    }  # fmt: skip
    assert all(checks[i][0]["advice"] for i in ("D17", "D20", "D26", "D69"))
    assert checks["D19"][0]["found"].endswith("a taken value was refused")


def test_a_fault_in_hidden_settings_is_found_by_trying(clinic: Clinic) -> None:
    clinic.reconfigure((HIDDEN, ""), (r"\noverlay unique\n(unique_uri.*\n)+", "\n"))
    before = contents(clinic)
    clinic.finds("D19", "error", "piactlIdentifier can be given twice", 1)
    assert contents(clinic) == before


# ---- for people


def test_a_failing_check_says_what_it_means_and_what_to_do(clinic: Clinic, capsys: Any) -> None:
    clinic.remove(f"ou=waiting,{clinic.sandbox.state}")
    assert run(["--config", str(clinic.sandbox.config), "doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("D15"))
    assert lines[index].startswith("D15  error    base entries: ou=waiting,")
    assert lines[index + 1].strip() == CHECKS["D15"].meaning
    assert lines[index + 2].strip().startswith("-> ")


def test_checks_are_numbered_in_order_and_have_a_meaning() -> None:
    assert list(CHECKS) == sorted(CHECKS)
    for check in CHECKS.values():
        assert check.severity.value in WORKED
        assert check.meaning.endswith(".")
