"""What the shipped schemas and settings make a server do; both their forms say the same."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import (
    LDAPConstraintViolationResult,
    LDAPEntryAlreadyExistsResult,
    LDAPInsufficientAccessRightsResult,
    LDAPNoSuchObjectResult,
    LDAPOperationResult,
)

from piactl.sandbox import render, render_slapd_conf
from piactl.sandbox.folder import IDENTITIES, tree_settings
from piactl.shipped_files import schemas_folder
from tests.directory.config_server import config_server, settings_for
from tests.directory.test_acl_matrix import hold_lock

PASSWORD = "correct horse battery"
FRESH = "another long passphrase"


def as_nightly(server: Any) -> ldap3.Connection:
    """A connection as the nightly identity, which holds the run lock."""
    with server.root() as root, suppress(LDAPEntryAlreadyExistsResult):
        hold_lock(root, server.state)
    return server.connect("nightly")


def account(sandbox: Any, uid: str, **attributes: Any) -> str:
    """Adds a managed account as root; returns its DN."""
    dn = f"uid={uid},{sandbox.accounts}"
    sandbox.add(dn, values(uid, **attributes))
    return dn


def values(uid: str, **attributes: Any) -> dict[str, Any]:
    return {
        "objectClass": ["inetOrgPerson", "eduPerson", "supannPerson", "piactlAccount"],
        "cn": "Claire Exemple",
        "sn": "Exemple",
        "mail": f"{uid}@example.org",
        "piactlState": "active",
        "piactlIdentifier": [uid, f"{uid}@example.org"],
        "piactlMatriculeDigest": "{k1}00",
        **attributes,
    }


# ---- both forms


def squeezed(text: str) -> str:
    return " ".join(text.split()).replace('"', "")


DIRECTIVES = {
    "pidfile": "olcPidFile",
    "argsfile": "olcArgsFile",
    "modulepath": "olcModulePath",
    "moduleload": "olcModuleLoad",
    "sizelimit": "olcSizeLimit",
    "timelimit": "olcTimeLimit",
    "password-hash": "olcPasswordHash",
    "rootdn": "olcRootDN",
    "suffix": "olcSuffix",
    "directory": "olcDbDirectory",
    "maxsize": "olcDbMaxSize",
    "limits": "olcLimits",
    "index": "olcDbIndex",
    "access": "olcAccess",
    "add_content_acl": "olcAddContentAcl",
    "unique_uri": "olcUniqueURI",
    "constraint_attribute": "olcConstraintAttribute",
    "ppolicy_default": "olcPPolicyDefault",
    "ppolicy_hash_cleartext": "olcPPolicyHashCleartext",
    "ppolicy_check_module": "olcPPolicyCheckModule",
    "localSSF": "olcLocalSSF",
    "security": "olcSecurity",
    "dynlist-attrset": "olcDynListAttrSet",
    "logdb": "olcAccessLogDB",
    "logops": "olcAccessLogOps",
    "logsuccess": "olcAccessLogSuccess",
    "logpurge": "olcAccessLogPurge",
    "syncprov-checkpoint": "olcSpCheckpoint",
}
GLOBAL = {"olcPidFile", "olcArgsFile", "olcModulePath", "olcModuleLoad", "olcSizeLimit", "olcTimeLimit"}
GLOBAL |= {"olcPasswordHash", "include", "olcLocalSSF", "olcSecurity"}


def from_conf(text: str) -> dict[str, list[tuple[str, str]]]:
    """slapd.conf as {database or overlay: [(attribute, value)]}, in order."""
    sections: dict[str, list[tuple[str, str]]] = {"": []}
    where = suffixed = ""
    logical = re.sub(r"\n[ \t]+", " ", "\n".join(n for n in text.splitlines() if not n.startswith("#")))
    for line in filter(None, map(str.strip, logical.splitlines())):
        name, _, value = line.partition(" ")
        if name == "database":
            where = suffixed = value
            sections.setdefault(where, [])
        elif name == "overlay":
            where = f"{suffixed}/{value}"
            sections[where] = []
        elif name == "include":
            sections[""].append(("include", Path(squeezed(value)).stem))
        else:
            attribute = DIRECTIVES[name]
            value = "TRUE" if value in ("", "on") else squeezed(value)
            sections["" if attribute in GLOBAL else where].append((attribute, value))
    return sections


def from_ldif(text: str) -> dict[str, list[tuple[str, str]]]:
    """cn=config in LDIF, in the form of `from_conf`."""
    sections: dict[str, list[tuple[str, str]]] = {"": []}
    text = "\n".join(n for n in text.splitlines() if not n.startswith("#")).replace("\n ", "")
    for record in re.split(r"\n\n+", text.strip()):
        lines = [line.partition(": ")[::2] for line in record.splitlines()]
        if lines[0][0] == "include":
            sections[""].append(("include", Path(lines[0][1]).stem))
            continue
        parts = re.findall(r"olc(?:Database|Overlay)=(?:\{-?\d+\})?(\w+)", lines[0][1])
        where = "/".join(reversed(parts))
        sections.setdefault("" if where == "frontend" else where, [])
        for attribute, value in lines[1:]:
            if attribute.startswith("olc") and attribute not in ("olcDatabase", "olcOverlay"):
                sections["" if attribute in GLOBAL else where].append((attribute, squeezed(value)))
    return sections


def test_slapd_conf_and_cn_config_have_the_same_settings(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, schemas_folder() / "ldap")
    conf = from_conf(render_slapd_conf(settings))
    ldif = from_ldif(render("config.ldif.in", settings))
    assert len(conf["mdb"]) > 30
    assert Counter(conf.pop("")) == Counter(ldif.pop(""))
    assert conf == ldif  # in the same order, which matters for rules


def test_slapd_conf_and_cn_config_have_the_same_access_log(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, schemas_folder() / "ldap")
    log, overlay = (render(f"accesslog-{part}.conf.in", settings) for part in ("database", "overlay"))
    conf = from_conf(f"{log}\n{overlay}")
    ldif = from_ldif(render("accesslog.ldif.in", settings))
    assert len(conf["mdb"]) > 5
    assert conf == ldif


def subschema(connection: ldap3.Connection) -> dict[str, set[str]]:
    kinds = ["attributeTypes", "objectClasses"]
    connection.search("cn=Subschema", "(objectClass=*)", ldap3.BASE, attributes=kinds)
    definitions = connection.response[0]["raw_attributes"]
    # OpenLDAP's own dyngroup.ldif lacks a blank in a description
    return {
        kind: {squeezed(v.decode()).replace("theentry", "the entry") for v in definitions[kind]}
        for kind in kinds
    }


def test_both_forms_of_the_schemas_define_the_same_attributes_and_classes(sandbox: Any) -> None:
    with sandbox.root() as root:
        conf = subschema(root)
    with config_server(sandbox) as server:
        with sandbox.at(server.uri).root() as root:
            ldif = subschema(root)
        own = {v for kind in conf.values() for v in kind if re.search(r"piactl|supann|eduPerson", v)}
        assert len(own) == 4 + 14 + 23 + 6
        for kind in conf:
            assert conf[kind] == ldif[kind]


def test_a_server_from_cn_config_holds_the_same_rights_and_takes_the_access_log(sandbox: Any) -> None:
    with config_server(sandbox) as server:
        other = sandbox.at(server.uri)
        dn = f"uid=a,{sandbox.accounts}"
        with as_nightly(other) as nightly:
            with pytest.raises(LDAPConstraintViolationResult):
                nightly.add(dn, attributes=values("a", userPassword=FRESH))
            nightly.add(dn, attributes=values("a"))
        change = server.folder / "accesslog.ldif"
        change.write_text(render("accesslog.ldif.in", server.settings))
        command = ["ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", server.uri, "-f", change]
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        with other.connect("desk") as desk:
            desk.modify(dn, {"userPassword": [(ldap3.MODIFY_REPLACE, [FRESH])]})
        with other.connect("administrator") as administrator:
            assert logged(administrator, dn)


# ---- what the schemas allow


def test_accounts_that_are_due_are_found_by_an_ordered_search(sandbox: Any) -> None:
    for number, due in enumerate(("20260831", "20260901", "20261001", "20991231")):
        account(sandbox, f"a{number}", piactlNextDue=due)
    with as_nightly(sandbox) as connection:
        connection.search(sandbox.accounts, "(piactlNextDue<=20260901)", attributes=["uid"])
        assert sorted(e["raw_attributes"]["uid"][0] for e in connection.response) == [b"a0", b"a1"]


def test_a_record_of_some_megabytes_is_compared_byte_by_byte(sandbox: Any) -> None:
    dn = f"cn=big,ou=runs,{sandbox.state}"
    data = b'{"a":  "' + b"x" * 3_000_000 + b'"}'
    with as_nightly(sandbox) as connection:
        connection.add(dn, attributes={"objectClass": "piactlRecord", "piactlData": data})
        # deletion by value: the value must be equal to the stored one, to the byte
        swap = {
            "piactlData": [(ldap3.MODIFY_DELETE, [data.replace(b":  ", b": ")]), (ldap3.MODIFY_ADD, [b"{}"])]
        }
        with pytest.raises(LDAPOperationResult) as refused:
            connection.modify(dn, swap)
        assert refused.value.result == 16
        connection.modify(dn, {"piactlData": [(ldap3.MODIFY_DELETE, [data]), (ldap3.MODIFY_ADD, [b"{}"])]})
    assert sandbox.entry(dn)["piactlData"] == [b"{}"]


# ---- what the overlays do


@pytest.mark.parametrize("attribute", ["piactlIdentifier", "mail"])
def test_two_writers_at_once_cannot_give_out_the_same_identifier(sandbox: Any, attribute: str) -> None:
    both = Barrier(2)
    results: list[int] = []

    def give(who: str) -> None:
        with as_nightly(sandbox) as connection:
            for round_ in range(25):
                identifiers = {"piactlIdentifier": [f"{who}{round_}"], "mail": [f"{who}{round_}@example.org"]}
                identifiers[attribute] = [*identifiers[attribute], f"shared{round_}@example.org"]
                both.wait(20)
                try:
                    connection.add(
                        f"uid={who}{round_},{sandbox.accounts}", attributes=values("x") | identifiers
                    )
                    results.append(0)
                except LDAPConstraintViolationResult as refused:
                    results.append(refused.result)

    threads = [Thread(target=give, args=(who,)) for who in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(results) == {0: 25, 19: 25}


def test_an_unmanaged_entry_cannot_take_the_address_of_an_account(sandbox: Any) -> None:
    account(sandbox, "a")
    entry = {"objectClass": "inetOrgPerson", "cn": "U", "sn": "U", "mail": "A@example.org"}
    with sandbox.connect("administrator") as connection, pytest.raises(LDAPConstraintViolationResult):
        connection.add(f"uid=u,{sandbox.accounts}", attributes=entry)


def test_no_identity_reads_or_searches_the_password_history(sandbox: Any) -> None:
    dn = account(sandbox, "a")
    with sandbox.root() as root:
        history = {"pwdInHistory": [(ldap3.MODIFY_REPLACE, ["2"])]}
        root.modify(f"cn=default,{tree_settings()['policies']}", history)
    with sandbox.connect("desk") as desk:
        for password in (PASSWORD, FRESH):
            desk.modify(dn, {"userPassword": [(ldap3.MODIFY_REPLACE, [password])]})
    assert sandbox.entry(dn)["pwdHistory"]
    for identity in (name for name in IDENTITIES if name != "approver"):  # the approver reads no accounts
        with sandbox.connect(identity) as connection:
            connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=["*", "+"])
            assert b"a" in connection.response[0]["raw_attributes"]["uid"]
            assert "pwdHistory" not in connection.response[0]["raw_attributes"]
            connection.search(dn, "(pwdHistory=*)", ldap3.BASE)
            assert not connection.response


def test_a_service_identity_is_never_locked_out(sandbox: Any) -> None:
    dn = tree_settings()["nightly"]
    for _ in range(12):
        assert not sandbox.accepts(dn, "wrong")
    with as_nightly(sandbox) as connection:
        assert connection.bound


def test_the_size_limit_does_not_cut_a_search_by_nightly(sandbox: Any) -> None:
    assert "\nsizelimit 500\n" in (sandbox.folder / "slapd" / "slapd.conf").read_text()
    with as_nightly(sandbox) as nightly:
        for number in range(520):
            record = {"objectClass": "piactlRecord"}
            nightly.add(f"cn=r{number},ou=waiting,{sandbox.state}", attributes=record)
        nightly.search(f"ou=waiting,{sandbox.state}", "(cn=r*)", attributes=["1.1"])
        assert len(nightly.response) == 520


# ---- the access log


def logged(connection: ldap3.Connection, dn: str) -> list[dict[str, list[bytes]]]:
    connection.search("cn=accesslog", f"(&(reqDN={dn})(objectClass=auditWriteObject))", attributes=["*"])
    return [dict(e["raw_attributes"]) for e in connection.response]


def test_the_access_log_shows_who_did_what_and_no_secret(make_sandbox: Callable[..., Any]) -> None:
    sandbox = make_sandbox(accesslog=True)
    dn = f"uid=a,{sandbox.accounts}"
    with as_nightly(sandbox) as nightly:
        nightly.add(dn, attributes=values("a"))
    with sandbox.connect("desk") as desk:
        replacements = {"userPassword": FRESH, "pwdReset": "TRUE"}
        desk.modify(dn, {k: [(ldap3.MODIFY_REPLACE, [v])] for k, v in replacements.items()})
        secret = b"\xff\x00\n canary of a key"
        device = {"objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"], "oathSecret": secret}
        parameters = {
            "oathOTPLength": 6,
            "oathHMACAlgorithm": "1.2.840.113549.2.7",
            "oathTOTPTimeStepPeriod": 30,
        }
        desk.add(f"cn=otp,{dn}", attributes={**device, **parameters, "oathTOTPParams": f"cn=otp,{dn}"})
    with sandbox.root() as root:
        assert any(v.startswith(b"userPassword:") for e in logged(root, dn) for v in e.get("reqMod", []))
        assert b"oathSecret:+ " + secret in logged(root, f"cn=otp,{dn}")[0]["reqMod"]
    with sandbox.connect("administrator") as administrator:
        entries = logged(administrator, dn)
        devices = logged(administrator, f"cn=otp,{dn}")
    assert [e["reqType"] for e in entries] == [[b"add"], [b"modify"]]
    assert entries[1]["reqAuthzID"] == [tree_settings()["desk"].encode()]
    modifications = [v for e in entries for v in e["reqMod"]]
    assert b"pwdReset:= TRUE" in modifications
    assert not any(b"password" in v.lower() for v in modifications)
    assert b"cn:+ otp" in devices[0]["reqMod"]
    assert not any(b"canary" in v for v in devices[0]["reqMod"])
    # nightly sees who wrote which entry, and no value but the name of a device
    with sandbox.connect("desk") as desk:
        desk.modify(
            dn, {"piactlDevice": [(ldap3.MODIFY_REPLACE, ["otp"])], "pwdReset": [(ldap3.MODIFY_REPLACE, [])]}
        )
    with sandbox.connect("nightly") as nightly:
        entries = [*logged(nightly, dn), *logged(nightly, f"cn=otp,{dn}")]
    assert [e["reqType"] for e in entries] == [[b"add"], [b"modify"], [b"modify"], [b"add"]]
    assert entries[1]["reqAuthzID"] == [tree_settings()["desk"].encode()]
    assert [v for e in entries for v in e.get("reqMod", [])] == [b"piactlDevice:= otp"]
    assert {name for e in entries for name in e if e[name]} == {
        *("objectClass", "reqStart", "reqType", "reqDN", "reqAuthzID", "reqResult", "reqMod"),
    }
    for identity in ("reader", "desk"):
        with sandbox.connect(identity) as connection, pytest.raises(LDAPNoSuchObjectResult):
            logged(connection, dn)


def test_what_the_help_desk_can_write_is_small(sandbox: Any) -> None:
    """piactl reads it whole. Runs, which the help desk cannot write, have larger records."""
    record = {"objectClass": "piactlRecord"}
    claire = account(sandbox, "claire.exemple")
    device = f"cn=x,{claire}"
    token = {"objectClass": ["piactlRecord", "oathTOTPToken"], "oathSecret": b"1"}
    state, many = sandbox.state, 300_000
    with sandbox.connect("desk") as desk:
        for dn, values in (
            (f"cn=r,ou=requests,{state}", {**record, "piactlData": b"x" * many}),
            (f"cn=r,ou=attempts,{state}", {**record, "piactlData": b"x" * many}),
            (f"cn=r,ou=requests,{state}", {**record, "description": "x" * 5000}),
            (f"cn=r,ou=requests,{state}", {**record, "cn": ["r", "other"]}),
            (f"cn=r,ou=requests,{state}", {**record, "piactlData;lang-fr": b"x" * many}),
            (device, {**token, "piactlData": b"x" * many}),
            (device, {**token, "oathSecret": b"x" * 5000}),
        ):
            with pytest.raises((LDAPConstraintViolationResult, LDAPInsufficientAccessRightsResult)):
                desk.add(dn, attributes=values)
        for dn in (f"cn=r,ou=requests,{state}", f"cn=r,ou=attempts,{state}"):
            desk.add(dn, attributes={**record, "piactlData": b"x" * 200_000})
        desk.add(device, attributes={**token, "piactlData": b"{}"})
        for dn, name, change in (
            (device, "piactlData", (ldap3.MODIFY_REPLACE, [b"x" * many])),
            (f"cn=r,ou=attempts,{state}", "piactlData", (ldap3.MODIFY_REPLACE, [b"x" * many])),
            (f"cn=r,ou=attempts,{state}", "cn", (ldap3.MODIFY_ADD, ["x" * 5000])),
        ):
            with pytest.raises(LDAPConstraintViolationResult):
                desk.modify(dn, {name: [change]})
    with as_nightly(sandbox) as nightly:
        nightly.add(f"cn=r,ou=runs,{state}", attributes={**record, "piactlData": b"x" * 1_000_000})
