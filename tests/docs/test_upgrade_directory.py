"""docs/upgrade-directory.md: its commands bring a directory of version 0.2.0 up to date, and repair one."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ldap3
import pytest
from ldap3.core.exceptions import LDAPConstraintViolationResult

from tests.directory.config_server import config_server, mapped_to_root, shipped_files
from tests.outside import CONSUMERS, GROUPS, HAS_SYSLOG, POLICIES, STATE, STRUCTURES, identity_dn, run

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "upgrade-directory.md").read_text(encoding="utf-8")
CONSUMERS_PAGE = (TOP / "docs" / "consumers.md").read_text(encoding="utf-8")
PASSWORD, CODE, OWN = "correct horse battery", "a code of twenty letters", "quatre chats gris et lents"


def blocks(text: str) -> list[str]:
    """The blocks of commands, without what they are indented by."""
    return [
        re.sub(rf"(?m)^{indent}", "", block)
        for indent, block in re.findall(r"(?ms)^( *)```\n(.*?)^ *```$", text)
    ]


def section(heading: str, page: str = PAGE) -> str:
    """The commands of a section, one after the other."""
    [text] = [part for part in page.split("\n## ") if part.startswith(heading)]
    return "\n".join(blocks(text))


FILES, MISFITS, BY_CONFIG, BY_CONF, START, ENTRIES = blocks(PAGE.split("\n## ")[0])


# ---- what version 0.2.0 set up


def without(text: str, *patterns: tuple[str, str]) -> str:
    for pattern, former in patterns:
        text, count = re.subn(pattern, former, text, flags=re.MULTILINE)
        assert count, pattern
    return text


def former_config(text: str) -> str:
    """Settings without some that 0.2.0 did not have."""
    return without(
        text,
        (r"^(olcAccess:|access) to .*;lang-.*\n(  by .*\n)+", ""),
        (r"^(olcAccess:|access) to attrs=hasSubordinates by \* compare\n", ""),
        (r"^(olcAccess:|access) to .*\n  by dn\.exact=\"[^\"]*piactl-approver,[^\"]*\" .*\n(  by .*\n)+", ""),
        (r"^(olcConstraintAttribute:|constraint_attribute) (?!userPassword count).*\n", ""),
        (r"^(olcDbIndex:|index) (uidNumber eq|eduPersonEntitlement.*|piactlProtected eq)\n", ""),
        (r"^(olcUniqueURI:|unique_uri) .*\?uidNumber\?.*\n", ""),
        (r"^(olcDynListAttrSet:|dynlist-attrset) .*\n", ""),
    )


def former_tree(tree: str) -> str:
    new = (GROUPS, STRUCTURES, CONSUMERS, f"ou=approvals,{STATE}", identity_dn("approver"))
    for dn in new:
        tree = without(tree, (rf"^dn: {re.escape(dn)}\n(.+\n)+(\n|$)", ""))
    return without(
        tree, (r"^pwdMinDelay.*\n(pwdM.*\n)+pwdFailureCountInterval: 3600\n", "pwdMaxFailure: 5\n")
    )


# ---- the servers


class Standing:
    """A directory with two accounts: one that has a password, and a protected one."""

    def __init__(self, sandbox: Any, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self.sandbox, self.server, self._capsys = sandbox, server, capsys
        self.account = f"uid=claire.exemple,{sandbox.accounts}"
        text = sandbox.config.read_text(encoding="utf-8")
        text = text.replace("  identities:", f"  groups: {GROUPS}\n  identities:")
        sandbox.config.write_text(text.replace(sandbox.uri, server.uri), encoding="utf-8")
        for uid, further_values in (("claire.exemple", {}), ("paul.garde", {"piactlProtected": "TRUE"})):
            values = {
                "objectClass": ["inetOrgPerson", "eduPerson", "supannPerson", "piactlAccount"],
                "cn": "Claire Exemple",
                "sn": "Exemple",
                "mail": f"{uid}@example.org",
                "piactlState": "active",
                "piactlIdentifier": [uid, f"{uid}@example.org"],
                "piactlMatriculeDigest": "{k1}00",
                **further_values,
            }
            with server.connect("administrator") as administrator:
                administrator.add(f"uid={uid},{sandbox.accounts}", attributes=values)
        self.code(PASSWORD)

    def code(self, code: str) -> None:
        values = {"userPassword": code, "pwdReset": "TRUE", "pwdPolicySubentry": f"cn=activation,{POLICIES}"}
        with self.server.connect("desk") as desk:
            desk.modify(self.account, {k: [(ldap3.MODIFY_REPLACE, [v])] for k, v in values.items()})

    def errors(self) -> set[str]:
        """The checks of doctor that find an error."""
        run(["--config", str(self.sandbox.config), "doctor", "-o", "json"])
        seen = self._capsys.readouterr()
        assert seen.out, seen.err
        return {finding["id"] for finding in json.loads(seen.out) if finding["result"] == "error"}

    def is_sound(self) -> None:
        """Checks that doctor is satisfied, and that an activation password cannot replace itself."""
        assert self.errors() == set()
        self.code(CODE)
        with self.server.bind(self.account, CODE) as owner:
            with pytest.raises(LDAPConstraintViolationResult):
                owner.extend.standard.modify_password(self.account, CODE, CODE)
            assert owner.extend.standard.modify_password(self.account, CODE, OWN)
        with self.server.bind(self.account, OWN) as owner:
            owner.search("ou=education,o=gouv,c=fr", "(uid=*)", attributes=["uid"])
            assert [entry["dn"] for entry in owner.response] == [self.account]
        assert self.server.accepts(self.account, OWN)

    def types(self, script: str, tools: str = "") -> str:
        """What the commands print in one shell. `tools` are options of slapd's tools."""
        folder = self.sandbox.folder
        for written, here in {
            "examples/new-directory": ":",
            "/root/directory": str(folder / "directory"),
            "/etc/ldap/slapd.conf": str(folder / "slapd" / "slapd.conf"),
            "/etc/ldap/slapd.d": str(folder / "olc" / "slapd.d"),
            "/var/lib/ldap/accesslog": str(folder / "olc" / "log"),
            "/etc/piactl/secrets": str(folder / "secrets"),
            "ldapi:///": self.server.uri,
        }.items():
            script = script.replace(written, here)
        stubs = "chown() { :; }\n" + "".join(
            f'{tool}() {{ command {tool} {tools} "$@"; }}\n' for tool in ("slapcat", "slapindex")
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{stubs}{script}"],
            cwd=TOP,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_upgraded(self, host: Any, settings: str, tools: str) -> None:
        """Types the steps of the page; `host` stops and starts the server."""
        names = FILES.split("examples/new-directory")[0]
        self.types(FILES, tools)
        assert self.types(f"{names}\n{MISFITS}") == ""
        host.stop()
        before, _, after = START.partition("systemctl start slapd\n")
        self.types(f"{names}\n{settings.replace('systemctl stop slapd', '')}\n{before}", tools)
        host.start()
        self.types(f"{names}\n{after if settings == BY_CONFIG else ''}\n{ENTRIES}")
        self.is_sound()


@pytest.fixture(autouse=True)
def syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this host one that has syslog."""
    monkeypatch.setattr(HAS_SYSLOG, lambda: True)


def test_a_directory_is_upgraded_by_cn_config(sandbox: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with config_server(sandbox, lambda text: mapped_to_root(former_config(text)), former_tree) as server:
        standing = Standing(sandbox, sandbox.at(server.uri), capsys)
        assert standing.errors() == {"D12", "D23", "D51", "D64", "D69", "D70"}
        shipped_files(sandbox, sandbox.folder / "directory", server.settings)
        standing.is_upgraded(server, BY_CONFIG, f"-F {server.folder}/slapd.d")
        activation = standing.server.entry(f"cn=activation,{POLICIES}")
        assert ("pwdMaxFailure" in activation, activation["pwdMaxDelay"]) == (False, [b"300"])


def test_a_directory_is_upgraded_by_slapd_conf(make_sandbox: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox = make_sandbox(accesslog=True)
    conf = sandbox.folder / "slapd" / "slapd.conf"
    settings = conf.read_text(encoding="utf-8")
    sandbox.stop()
    conf.write_text(former_config(settings), encoding="utf-8")
    sandbox.start()
    standing = Standing(sandbox, sandbox, capsys)
    assert standing.errors() == {"D23", "D69", "D70"}
    with sandbox.root() as root:
        root.delete(f"ou=approvals,{STATE}")
        root.delete(identity_dn("approver"))
    files = sandbox.folder / "directory"
    shipped_files(sandbox, files)
    (files / "slapd.conf").write_text(settings, encoding="utf-8")
    standing.is_upgraded(sandbox, BY_CONF, f"-f {conf}")


# ---- repairs


@pytest.mark.parametrize(("missing", "id_"), [("default", "D17"), ("activation", "D30")])
def test_a_policy_is_put_back(
    make_sandbox: Any, capsys: pytest.CaptureFixture[str], missing: str, id_: str
) -> None:
    sandbox = make_sandbox(accesslog=True)
    standing = Standing(sandbox, sandbox, capsys)
    with sandbox.root() as root:
        root.delete(f"cn={missing},{POLICIES}")
    assert id_ in standing.errors()
    back = section("A password policy is missing")
    assert back.count("missing=default") == 1
    standing.types(back.replace("missing=default", f"missing={missing}"))
    standing.is_sound()


def test_a_new_password_of_an_identity(make_sandbox: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox = make_sandbox(accesslog=True)
    standing = Standing(sandbox, sandbox, capsys)
    before = (sandbox.folder / "secrets" / "reader").read_text()
    standing.types(section("A new password for a service identity"))
    assert (sandbox.folder / "secrets" / "reader").read_text() != before
    standing.is_sound()


# ---- groups that list their members

DEFINED, EMPTIED, DELETED = blocks(PAGE.split("\n## Groups that list their members")[1].split("\n## ")[0])


def with_listing_groups(standing: Standing) -> None:
    """Gives the directory a group of the policy and one of nobody, both with a member who has left."""
    sandbox = standing.sandbox
    for name, label, asked in (
        ("service:iprof", "I-Prof", "eduPersonEntitlement=urn:mace:ac-amiens.fr:service:iprof"),
        ("x", "Équipe", "uid=x"),
    ):
        url = f"ldap:///{quote(sandbox.accounts, safe='=,')}??sub?(&(objectClass=piactlAccount)({asked}))"
        values = {"description": label, "labeledURI": url, "owner": sandbox.state}
        member = [f"uid=has.left,{sandbox.accounts}", sandbox.state]
        classes = ["groupOfNames", "labeledURIObject"]
        sandbox.add(f"cn={name},{GROUPS}", {"objectClass": classes, **values, "member": member})
    assert standing.errors() == {"D64"}


def test_groups_that_list_their_members_become_definitions(
    make_sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = make_sandbox(accesslog=True)
    standing = Standing(sandbox, sandbox, capsys)
    with_listing_groups(standing)
    standing.types(DEFINED)
    groups = sandbox.entries(GROUPS, "(!(objectClass=organizationalUnit))")
    assert groups.keys() == {f"cn=service:iprof,{GROUPS}", f"cn=x,{GROUPS}"}
    assert groups[f"cn=x,{GROUPS}"]["description"] == ["Équipe".encode()]
    assert {values["objectClass"][0] for values in groups.values()} == {b"groupOfURLs"}
    assert standing.errors() == set()
    # the first night finds what it would have made
    policy = sandbox.folder / "policy.yaml"
    policy.write_text(
        policy.read_text(encoding="utf-8") + "\ngroups: {services: [iprof]}\n", encoding="utf-8"
    )
    assert run(["--config", str(sandbox.config), "nightly"]) == 0
    kept = groups[f"cn=service:iprof,{GROUPS}"]
    assert sandbox.entries(GROUPS, "(objectClass=groupOfURLs)") == {f"cn=service:iprof,{GROUPS}": kept}


def test_groups_that_list_their_members_are_emptied_and_named_without_dynlist(
    make_sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = make_sandbox(accesslog=True)
    sandbox.stop()
    conf = sandbox.folder / "slapd" / "slapd.conf"
    text = without(conf.read_text(encoding="utf-8"), (r"^overlay dynlist\ndynlist-attrset .*\n", ""))
    conf.write_text(text, encoding="utf-8")
    sandbox.start()
    standing = Standing(sandbox, sandbox, capsys)
    config = sandbox.config.read_text(encoding="utf-8")
    sandbox.config.write_text(config.replace(f"  groups: {GROUPS}\n", ""), encoding="utf-8")
    with_listing_groups(standing)
    functions = DEFINED.partition("listing cn ")[0]
    said = standing.types(f"{functions}\n{EMPTIED}")
    assert said.splitlines()[-2:] == [f"cn=service:iprof,{GROUPS}", f"cn=x,{GROUPS}"]
    for entry in sandbox.entries(GROUPS, "(objectClass=groupOfNames)").values():
        assert entry["member"] == [sandbox.state.encode()]
    assert standing.errors() == {"D64"}
    standing.types(f"{functions}\n{DELETED}")
    assert standing.errors() == set()


def test_an_application_is_added(sandbox: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It is added with a hash, which the policy of people would refuse, and reads what the page says."""
    standing = Standing(sandbox, sandbox, capsys)
    secret = sandbox.folder / "portail.password"
    standing.types(section("Add an application", CONSUMERS_PAGE).replace("$name.password", str(secret)))
    with sandbox.bind(f"cn=portail,{CONSUMERS}", secret.read_text()) as application:
        application.search("ou=education,o=gouv,c=fr", "(uid=claire.exemple)", attributes=["*"])
        (entry,) = application.response
        assert entry["raw_attributes"].keys() == {"uid", "cn", "mail"}
