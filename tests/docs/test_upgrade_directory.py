"""docs/upgrade-directory.md: its commands bring a directory with the former settings up to date."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import ldap3
import pytest
from ldap3.core.exceptions import LDAPConstraintViolationResult, LDAPNoSuchObjectResult

from tests.directory.config_server import ConfigServer, config_server
from tests.outside import CONSUMERS, GROUPS, HAS_SYSLOG, POLICIES, STATE, STRUCTURES, identity_dn, run

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "upgrade-directory.md").read_text(encoding="utf-8")
CONSUMERS_PAGE = (TOP / "docs" / "consumers.md").read_text(encoding="utf-8")
CHANGED = ("D12", "D16", "D23", "D30", "D34", "D39", "D51", "D64", "D69", "D70")
OWNER = f"gidNumber={os.getgid()}+uidNumber={os.getuid()}"
PASSWORD, FRESH = "correct horse battery", "another long passphrase"
CODE, OWN = "a code of twenty letters", "quatre chats gris et lents"
STUBS = """
systemctl() { :; }
chown() { :; }
slapcat() { command slapcat -F "$FOLDER/slapd.d" "$@"; }
"""
"""Replaces what only a whole host has: the service manager, users and folders."""


def commands(heading: str) -> str:
    """The commands of a section, one after the other."""
    sections = PAGE.split("\n## ")
    (section,) = [section for section in sections if section.startswith(heading)]
    return "\n".join(re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


def pasted(script: str, folder: Path, uri: str = "") -> str:
    """What the commands print in one shell; the user of the test replaces root."""
    script = script.replace("gidNumber=0+uidNumber=0", OWNER).replace("ldapi:///", uri)
    script = script.replace("rules.ldif", str(folder / "rules.ldif"))
    socket = unquote(uri.removeprefix("ldapi://")) or str(folder / "slapd" / "ldapi")
    script = script.replace("portal_socket=/var/run/slapd/ldapi", f"portal_socket={socket}")
    script = script.replace("/etc/piactl/secrets", str(folder / "secrets"))
    script = script.replace("/var/lib/ldap/accesslog", str(folder / "slapd-log"))
    approver = folder / "secrets" / "approver"  # as on the page: slappasswd would take in a line end
    approver.write_text(approver.read_text(encoding="utf-8").strip(), encoding="utf-8")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{STUBS}\n{script}"],
        cwd=TOP,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin", "FOLDER": str(folder / "olc")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- the former settings


def without(text: str, *patterns: tuple[str, str]) -> str:
    for pattern, former in patterns:
        text, count = re.subn(pattern, former, text, flags=re.MULTILINE)
        assert count == 1, pattern
    return text


RULES = (
    (r"(?:^(?:olcAccess:|access) to .*\(!\(pwdReset=TRUE\)\)\) attrs=.*\n(?:  by .*\n)+){2}", ""),
    (r"^(olcDbIndex:|index) piactlMatricule,piactlMergedInto,piactlOverride pres\n", ""),
    (
        r"^(olcAccess:|access) to dn\.subtree=\S+ attrs=userPassword\n(  by anonymous auth\n)  by \* none\n",
        "",
    ),
    (r"^(olcAccess:|access) to .* attrs=pwdPolicySubentry val\..*\n(  by .*\n)+", ""),
    (r'( attrs=pwdPolicySubentry\n.*\n  by dn\.exact="cn=piactl-desk.*") =zrscd$', r"\1 write"),
    (r"^(olcAccess:|access) to .* filter=\(pwdReset=TRUE\) .*\n(  by .*\n)+", ""),
    (r"^(olcLocalSSF:|localSSF) 128\n", ""),
    (r"^(olcSecurity:|security) simple_bind=128\n", ""),
    (r"^(olcPPolicyCheckModule:|ppolicy_check_module) ppm.so\n", ""),
    (r"^(olcDbIndex:|index) piactlIdentityDigest,supannMailPrive eq\n", ""),
    (r"^(olcDbIndex:|index) eduPersonEntitlement,supannEntiteAffectation,piactlProfile eq\n", ""),
    (r"^(olcDbIndex:|index) piactlProtected eq\n", ""),
    (r"^(olcDbIndex:|index) pwdPolicySubentry eq,pres\n", r"\1 pwdPolicySubentry eq\n"),
    (r"^(olcDbIndex:|index) piactlProofChanged pres\n", ""),
    (r"^(olcModuleLoad:|moduleload) dynlist\n", ""),
    (r"^(include: file:/)?(include )?\S+dyngroup\.\S+\n\n?", ""),
    (r"^(include: file:/)?(include )?\S+nis\.\S+\n\n?", ""),
    (r"^(olcDbIndex:|index) uidNumber eq\n", ""),
    (r"^(olcUniqueURI:|unique_uri) .*\?uidNumber\?.*\n", ""),
    (r"^(olcAccess:|access) to attrs=hasSubordinates by \* compare\n", ""),
    (r"^(olcAccess:|access) to attrs=userPassword;lang-.*\n(  by .*\n)+", ""),
    (r"^(olcAccess:|access) to .* attrs=uid;lang-.*\n(  by .*\n)+", ""),
    (r"^(olcAccess:|access) to .* attrs=objectClass;lang-,cn;lang-.*\n(  by .*\n)+", ""),
    (r"^(olcAccess:|access) to .* attrs=cn val=\"suspended\" .*\n", ""),
    (r" attrs=oathTOTPToken,piactlDevice$", " attrs=oathTOTPToken,piactlDevice,piactlDigest"),
    (r"^(olcAccess:|access) to attrs=entry\n(  by .*\n)+", ""),
    (r'^  by dn\S+ (set\.exact="this/-1/.* read\n)  by dn\S+ set\.exact="this/-1/.* read\n', r"  by \1"),
)


def without_fence(text: str) -> str:
    """The rules before they trusted the holder of the run lock."""
    places = r'dn\.exact="(cn=lock,[^"]*"|ou=piactl,[^"]*" attrs=children)'
    text, rules = re.subn(rf"(?m)^(olcAccess:|access) to {places}.*\n(  by .*\n)+", "", text)
    assert rules == 4
    group = r'by group/piactlRunLock/piactlWriter\.exact="[^"]*" (\S+)\n'
    nightly = f'by dn.exact="{identity_dn("nightly")}"'
    text, trusted = re.subn(
        rf'{group}(  by dn\.subtree="cn=piactl-nightly,[^"]*" read\n)?', rf"{nightly} \1\n", text
    )
    assert trusted > 10
    return text.replace('dn.subtree="cn=piactl-nightly,', 'dn.exact="cn=piactl-nightly,')


def without_requests(text: str) -> str:
    """The rules before the directory took requests, and restricted what counts hold."""
    text, rules = re.subn(
        r'(?m)^(olcAccess:|access) to \S+"ou=attempts,\S+( attrs=objectClass.*)?\n(  by .*\n)+', "", text
    )
    assert rules == 2
    text, rules = re.subn(r'(to dn\.children="ou=attempts,\S+) attrs=entry,cn,piactlData\n', r"\1\n", text)
    assert rules == 1
    text, rules = re.subn(r'(?m)^(olcAccess:|access) to dn\.\S+="ou=requests,.*\n(  by .*\n)+', "", text)
    assert rules == 3
    return text


def without_approvals(text: str) -> str:
    """The rules before plans were approved by another person."""
    text, rules = re.subn(
        r'(?m)^(olcAccess:|access) to .*\n  by dn\.exact="[^"]*piactl-approver,[^"]*" .*\n(  by .*\n)+',
        "",
        text,
    )
    assert rules == 7
    return text


def without_applications(text: str) -> str:
    """The rules before applications and the owners of accounts had rules of their own."""
    text, rules = re.subn(
        r'(?m)^(olcAccess:|access) to .*\n  by (dn\.children="ou=consumers,.*|self read)\n  by \* break\n',
        "",
        text,
    )
    assert rules == 7
    bases = ("groupes", "structures")
    return without(
        text, *((rf'^(olcAccess:|access) to dn\.subtree="ou={base},.*\n(  by .*\n)+', "") for base in bases)
    )


def former_schema(text: str) -> str:
    """piactl.schema or piactl.ldif without the run lock, the days of proofs and several matricules."""
    names = "Attribute:(1[789]|2[0-3])|ObjectClass:3"
    before = rf"(?m)^(# The access rules trust.*\n)?\S+ \( piactl({names}) (.*\n)([ \t]+.*\n)*"
    text, count = re.subn(before, "", text)
    assert count == 8
    return without(
        text,
        (r" \$ piactlProofChanged \$ piactlNumenVerifier[^)]*\)", " )"),
        (r"('piactlMatriculeDigest'\n(?:[ \t]+.*\n){2}[ \t]+SYNTAX \S+) \)", r"\1 SINGLE-VALUE )"),
    )


def former_eduperson(text: str) -> str:
    """eduperson.schema or eduperson.ldif in which rights cannot be searched by substring."""
    return without(text, (r"caseExactMatch SUBSTR caseExactSubstringsMatch", "caseExactMatch"))


def former_supann(text: str) -> str:
    """supann.schema or supann.ldif without the attributes and the class of the second layout."""
    names = "Attribute:(4|6|7|14|16)|ObjectClass:3"
    text, count = re.subn(rf"(?m)^\S+ \( supann({names}) (.*\n)([ \t]+.*\n)*", "", text)
    assert count == 6
    return without(text, (r" \$ supannCivilite \$\s+supannEtablissement \)", " )"))


FORMER_SCHEMAS = (("piactl", former_schema), ("eduperson", former_eduperson), ("supann", former_supann))


def former_config(config: str) -> str:
    """config.ldif as it was; the user of the test replaces root."""
    former = without(
        without_applications(without_requests(without_fence(without_approvals(config)))),
        *RULES,
        (r"^olcModuleLoad: constraint\n", ""),
        (r"^dn: olcOverlay=\{3\}constraint,.*\n(.+\n)+\n", ""),
        (r"^dn: olcOverlay=\{4\}dynlist,.*\n(.+\n)+", ""),
    )
    for name, change in FORMER_SCHEMAS:
        own = re.search(rf"include: file://(\S+/){name}.ldif\n", former)
        assert own is not None
        schema = change(Path(f"{own[1]}{name}.ldif").read_text(encoding="utf-8"))
        former = former.replace(own[0], schema)
    return former.replace("gidNumber=0+uidNumber=0", OWNER)


def former_conf(conf: str) -> str:
    patterns = (r"^moduleload constraint\n", r"^overlay constraint\n(constraint_attribute .*\n)+")
    patterns = (*patterns, r"^overlay dynlist\ndynlist-attrset .*\n")
    return without(
        without_applications(without_requests(without_fence(without_approvals(conf)))),
        *RULES,
        *((pattern, "") for pattern in patterns),
    )


def former_tree(tree: str) -> str:
    tree = without(
        tree,
        (r"^pwdInHistory: 1\n", ""),
        (r"^pwdMinDelay.*\n(pwdM.*\n)+pwdFailureCountInterval: 3600\n", "pwdMaxFailure: 5\n"),
        (r"^dn: cn=protected,.*\n(.+\n)+\n", ""),
        (r"^dn: ou=requests,.*\n(.+\n)+\n", ""),
        (r"^dn: ou=consumers,.*\n(.+\n)+\n", ""),
        (r"^dn: ou=groupes,.*\n(.+\n)+\n", ""),
        (r"^dn: ou=structures,.*\n(.+\n)+\n", ""),
        (r"^dn: ou=approvals,.*\n(.+\n)+\n", ""),
        (r"^dn: cn=piactl-approver,.*\n(.+\n)+(\n|$)", ""),
    )
    tree += f"\ndn: ou=overrides,{STATE}\nobjectClass: organizationalUnit\nou: overrides\n"
    return re.sub(r"(?m)^(objectClass: pwdPolicyChecker|pwdUseCheckModule|pwdCheckModuleArg).*\n", "", tree)


# ---- the servers


class Standing:
    """A directory with the former settings and one account that has a password."""

    def __init__(self, sandbox: Any, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self.sandbox, self.server, self._capsys = sandbox, server, capsys
        self.account = f"uid=claire.exemple,{sandbox.accounts}"
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

    def doctor(self) -> tuple[int, dict[str, str]]:
        """The exit code, and the result of each check."""
        code = run(["--config", str(self.sandbox.config), "doctor", "-o", "json"])
        seen = self._capsys.readouterr()
        assert seen.out, seen.err
        results = json.loads(seen.out)
        return code, {finding["id"]: finding["result"] for finding in results}

    def piactl(self, *words: str) -> int:
        code = run(["--config", str(self.sandbox.config), *words])
        self._capsys.readouterr()
        return code

    def errors(self) -> set[str]:
        return {id_ for id_, result in self.doctor()[1].items() if result == "error"}

    def is_brought_over(self) -> None:
        """Checks that doctor is satisfied, and that an activation password cannot replace itself."""
        code, results = self.doctor()
        expected = {**dict.fromkeys((*CHANGED, "D17", "D20", "D44"), "ok"), "D43": "warning"}
        assert (code, {id_: results[id_] for id_ in expected}) == (0, expected), self.errors()
        assert self.piactl("password", "unblock", "paul.garde", "--administrator", "--reason", "upgrade") == 0
        assert self.doctor()[1]["D43"] == "ok"
        self.code(CODE)
        with self.server.bind(self.account, CODE) as owner:
            with pytest.raises(LDAPConstraintViolationResult):
                owner.extend.standard.modify_password(self.account, CODE, CODE)
            assert owner.extend.standard.modify_password(self.account, CODE, OWN)
        with self.server.bind(self.account, OWN) as owner:
            owner.search("ou=education,o=gouv,c=fr", "(uid=*)", attributes=["uid"])
            assert [entry["dn"] for entry in owner.response] == [self.account]
        assert self.server.accepts(self.account, OWN)


@pytest.fixture(autouse=True)
def syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this host one that has syslog."""
    monkeypatch.setattr(HAS_SYSLOG, lambda: True)


@pytest.fixture
def config(sandbox: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[Standing, ConfigServer]]:
    with config_server(sandbox, former_config, former_tree) as server:
        text = sandbox.config.read_text(encoding="utf-8")
        assert text.count(sandbox.uri) == 1
        text = text.replace("  identities:", f"  groups: {GROUPS}\n  identities:")
        sandbox.config.write_text(text.replace(sandbox.uri, server.uri), encoding="utf-8")
        yield Standing(sandbox, sandbox.at(server.uri), capsys), server


@pytest.fixture
def conf(sandbox: Any, capsys: pytest.CaptureFixture[str]) -> Standing:
    sandbox.stop()
    path = sandbox.folder / "slapd" / "slapd.conf"
    path.write_text(former_conf(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, change in FORMER_SCHEMAS:
        schema = path.parent / "schema" / f"{name}.schema"
        schema.write_text(change(schema.read_text(encoding="utf-8")), encoding="utf-8")
    text = sandbox.config.read_text(encoding="utf-8")
    text = text.replace("  identities:", f"  groups: {GROUPS}\n  identities:")
    sandbox.config.write_text(text, encoding="utf-8")
    sandbox.start()
    with sandbox.root() as root:
        ppm: dict[str, Any] = {
            n: [(ldap3.MODIFY_DELETE, [])] for n in ("pwdUseCheckModule", "pwdCheckModuleArg")
        }
        ppm["objectClass"] = [(ldap3.MODIFY_DELETE, ["pwdPolicyChecker"])]
        root.modify(f"cn=default,{POLICIES}", ppm)
        root.modify(f"cn=activation,{POLICIES}", ppm | {"pwdInHistory": [(ldap3.MODIFY_DELETE, [])]})
        root.delete(f"cn=protected,{POLICIES}")
        root.delete(f"ou=requests,{sandbox.state}")
        root.delete(CONSUMERS)
        root.delete(GROUPS)
        root.delete(STRUCTURES)
        root.delete(f"ou=approvals,{sandbox.state}")
        root.delete(identity_dn("approver"))
    return Standing(sandbox, sandbox, capsys)


NAMES = commands("1. Names")
CONF = "\nconf=/etc/ldap/slapd.conf\n"
LOCK_BY_CONFIG, LOCK_BY_CONF = commands("5. The run lock").split(CONF)
PASSWORDS_BY_CONFIG, PASSWORDS_BY_CONF, _ = re.split(
    r"\n(?=conf=/etc/ldap/slapd.conf portal=|ldapsearch -LLL)", commands("6. Passwords")
)
PROOFS_BY_CONFIG, PROOFS_BY_CONF = re.split(r"\n(?=sed -i)", commands("7. Attributes of accounts"))
LOCK_BY_CONFIG += "\n" + PROOFS_BY_CONFIG
REQUESTS, REQUESTS_BY_CONFIG, REQUESTS_BY_CONF = re.split(
    f'(?<=requests" ""\n}}\n)|{CONF}', commands("8. Counts and requests")
)
APPLICATIONS, APPLICATIONS_BY_CONFIG, APPLICATIONS_BY_CONF = re.split(
    f'(?<=groupes" ""\n}}\n)|{CONF}', commands("9. Applications and groups")
)
APPROVALS, APPROVALS_BY_CONFIG, APPROVALS_BY_CONF = re.split(
    f'(?<=services,\\$policies"\n}}\n)|{CONF}',
    re.sub(r"(?s)^.*?(?=approval_rules\(\))", "", commands("10. Approvals")),
)
SUPANN, SUPANN_BY_CONFIG, SUPANN_BY_CONF = re.split(
    f'(?<=structures"\n}}\n)|{CONF}', commands("11. SUPANN and eduPerson")
)
QUIET_BY_CONFIG, QUIET_BY_CONF = commands("12. Nights with nothing to do").split(CONF)
UNIX, UNIX_BY_CONFIG, UNIX_BY_CONF = re.split(
    f'(?<=services/"\n}}\n)|{CONF}', commands("13. Unix hosts").partition("\n")[2]
)
GUESSES, GUESSES_BY_CONFIG, GUESSES_BY_CONF = re.split(
    f"(?<=done\n}}\n)|{CONF}",
    commands("14. Guesses, comparisons and attribute options").partition("\n\n")[2],
)
LOG, LOG_BY_CONFIG, LOG_BY_CONF = re.split(
    f'(?<=slapd/\\$1"\n}}\n)|{CONF}', commands("15. Digests and the access log")
)
SEARCHES, SEARCHES_BY_CONFIG, SEARCHES_BY_CONF = re.split(
    f'(?<=1\\|"\n}}\n)|{CONF}', commands("17. Searches from above")
)
ADD_APPLICATION = CONSUMERS_PAGE.split("\n## Add an application\n")[1].split("```\n")[1].rstrip("`")
BY_CONFIG = (
    f"{NAMES}\n{commands('3. Servers configured by cn=config')}\n{LOCK_BY_CONFIG}\n{PASSWORDS_BY_CONFIG}\n"
    f"{REQUESTS}{REQUESTS_BY_CONFIG}\n{APPLICATIONS}{APPLICATIONS_BY_CONFIG}\n{APPROVALS}{APPROVALS_BY_CONFIG}"
    f"\n{SUPANN}{SUPANN_BY_CONFIG}\n{QUIET_BY_CONFIG}\n{UNIX}{UNIX_BY_CONFIG}\n{GUESSES}{GUESSES_BY_CONFIG}"
    f"\n{LOG}{LOG_BY_CONFIG}\n{SEARCHES}{SEARCHES_BY_CONFIG}"
)


def test_a_directory_is_upgraded_by_cn_config(config: tuple[Standing, ConfigServer]) -> None:
    standing, server = config
    folder = standing.sandbox.folder
    assert standing.errors() == set(CHANGED)
    with standing.server.connect("desk") as desk:
        desk.modify(standing.account, {"userPassword": [(ldap3.MODIFY_ADD, [FRESH])]})
    twice = f"{NAMES}\n{commands('2. Accounts')}"
    assert pasted(twice, folder, server.uri) == f"dn: {standing.account}\n"
    standing.code(FRESH)
    assert pasted(twice, folder, server.uri) == ""
    pasted(BY_CONFIG, folder, server.uri)
    standing.is_brought_over()
    unused = f"ou=overrides,{standing.sandbox.state}"
    with standing.server.connect("administrator") as administrator:
        assert administrator.search(unused, "(objectClass=*)", ldap3.BASE)
        functions = BY_CONFIG[BY_CONFIG.index("open_to_root() {") : BY_CONFIG.index('open_to_root "')]
        find = next(line for line in BY_CONFIG.splitlines() if line.startswith("database="))
        pasted(f"{NAMES}\n{find}\n{functions}\n{commands('An entry without use')}", folder, server.uri)
        with pytest.raises(LDAPNoSuchObjectResult):
            administrator.search(unused, "(objectClass=*)", ldap3.BASE)
    assert standing.errors() == set()
    # root on the host has no more rights than before
    with pytest.raises(AssertionError, match="Insufficient access"):
        pasted(
            f"{NAMES}\nldapmodify -Q -Y EXTERNAL <<END\ndn: cn=activation,$policies\n"
            "changetype: modify\nreplace: pwdInHistory\npwdInHistory: 2\nEND\n",
            folder,
            server.uri,
        )


@pytest.mark.parametrize(("missing", "id_"), [("default", "D17"), ("activation", "D30")])
def test_a_policy_is_put_back_by_cn_config(
    config: tuple[Standing, ConfigServer], missing: str, id_: str
) -> None:
    standing, server = config
    folder = standing.sandbox.folder
    pasted(
        f'{BY_CONFIG}\nopen_to_root "$policies"\nldapdelete -Q -Y EXTERNAL "cn={missing},$policies"\n'
        "close_to_root\n",
        folder,
        server.uri,
    )
    assert id_ in standing.errors()
    functions = BY_CONFIG[BY_CONFIG.index("open_to_root() {") : BY_CONFIG.index('open_to_root "')]
    find = next(line for line in BY_CONFIG.splitlines() if line.startswith("database="))
    back = commands("A password policy is missing").partition("\nmissing=default\nsystemctl")[0]
    back = back.replace("missing=default", f"missing={missing}")
    pasted(f"{NAMES}\n{find}\n{functions}\n{back}", folder, server.uri)
    standing.is_brought_over()


def test_a_new_password_of_an_identity_by_cn_config(config: tuple[Standing, ConfigServer]) -> None:
    standing, server = config
    folder = standing.sandbox.folder
    before = (folder / "secrets" / "reader").read_text()
    pasted(f"{BY_CONFIG}\n{commands('A new password for a service identity')}", folder, server.uri)
    assert (folder / "secrets" / "reader").read_text() != before
    standing.is_brought_over()


def test_an_application_is_added_by_cn_config(config: tuple[Standing, ConfigServer]) -> None:
    """It is added with a hash, which the policy of people would refuse, and reads what the page says."""
    standing, server = config
    folder = standing.sandbox.folder
    secret = folder / "portail.password"
    add = ADD_APPLICATION.replace("$name.password", str(secret))
    pasted(f"{BY_CONFIG}\n{add}", folder, server.uri)
    with standing.server.bind(f"cn=portail,{CONSUMERS}", secret.read_text()) as application:
        application.search("ou=education,o=gouv,c=fr", "(uid=claire.exemple)", attributes=["*"])
        (entry,) = application.response
        assert entry["raw_attributes"].keys() == {"uid", "cn", "mail"}


def by_conf(standing: Standing, script: str) -> None:
    """Runs the commands; the sandbox stops and starts slapd."""
    conf = standing.sandbox.folder / "slapd" / "slapd.conf"
    standing.sandbox.stop()
    pasted(f"{NAMES}\n{script}".replace("/etc/ldap/slapd.conf", str(conf)), standing.sandbox.folder)
    standing.sandbox.start()


def test_a_directory_is_upgraded_by_slapd_conf(conf: Standing) -> None:
    assert conf.errors() == {*CHANGED, "D44"}
    script = commands("4. Servers configured by slapd.conf")
    script = (
        f"{script}\n{LOCK_BY_CONF}\n{PASSWORDS_BY_CONF}\n{PROOFS_BY_CONF}\n{REQUESTS}{CONF}{REQUESTS_BY_CONF}"
    )
    script = f"{script}\n{APPLICATIONS}{CONF}{APPLICATIONS_BY_CONF}\n{APPROVALS}{CONF}{APPROVALS_BY_CONF}"
    script = f"{script}\n{SUPANN}{CONF}{SUPANN_BY_CONF}{CONF}{QUIET_BY_CONF}\n{UNIX}{CONF}{UNIX_BY_CONF}"
    script = f"{script}\n{GUESSES}{CONF}{GUESSES_BY_CONF}"
    script = f"{script}\n{LOG}{CONF}{LOG_BY_CONF}\n{SEARCHES}{CONF}{SEARCHES_BY_CONF}"
    for file in (
        "rules.conf",
        "overlay.conf",
        "reset.conf",
        "requests.conf",
        "applications.conf",
        "approvals.conf",
        "structures.conf",
        "unix.conf",
        "guesses.conf",
        "sets.conf",
        "log.conf",
        "searches.conf",
    ):
        script = re.sub(rf"(?<![-\w/]){re.escape(file)}(?!\.)", str(conf.sandbox.folder / file), script)
    by_conf(conf, script)
    conf.is_brought_over()


@pytest.mark.parametrize(("missing", "id_"), [("default", "D17"), ("activation", "D30")])
def test_a_policy_is_put_back_by_slapd_conf(
    make_sandbox: Any, capsys: pytest.CaptureFixture[str], missing: str, id_: str
) -> None:
    sandbox = make_sandbox(accesslog=True)
    standing = Standing(sandbox, sandbox, capsys)
    with sandbox.root() as root:
        root.delete(f"cn={missing},{POLICIES}")
    assert id_ in standing.errors()
    back = commands("A password policy is missing").partition("\nclose_to_root\n")[2]
    assert back.count("missing=default") == 1
    by_conf(standing, "conf=/etc/ldap/slapd.conf\n" + back.replace("missing=default", f"missing={missing}"))
    standing.is_brought_over()


# ---- groups that list their members

DEFINED, EMPTIED, DELETED = re.split(
    r"(?m)^(?=static_groups 1\.1 \| (?:awk|sed -n 's/\^dn: //p' \| as))", commands("16. Groups that list")
)


def with_listing_groups(standing: Standing) -> None:
    """Gives the directory what an earlier version kept: a group of the policy and one of nobody, both with a
    member who has left."""
    sandbox = standing.sandbox
    for name, asked in (
        ("service:iprof", "eduPersonEntitlement=urn:mace:ac-amiens.fr:service:iprof"),
        ("x", "uid=x"),
    ):
        where = quote(sandbox.accounts, safe="=,")
        url = f"ldap:///{where}??sub?(&(objectClass=piactlAccount)({asked}))"
        label = "I-Prof" if name != "x" else "Équipe"
        values = {"description": label, "labeledURI": url, "owner": sandbox.state}
        classes = ["groupOfNames", "labeledURIObject"]
        member = ["uid=claire.exemple," + sandbox.accounts, sandbox.state]
        sandbox.add(f"cn={name},{GROUPS}", {"objectClass": classes, **values, "member": member})
    assert standing.errors() == {"D64"}


def test_groups_that_list_their_members_become_definitions(
    make_sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = make_sandbox(accesslog=True)
    standing = Standing(sandbox, sandbox, capsys)
    settings = sandbox.config.read_text(encoding="utf-8")
    sandbox.config.write_text(
        settings.replace("  identities:", f"  groups: {GROUPS}\n  identities:"), encoding="utf-8"
    )
    with_listing_groups(standing)
    pasted(f"{NAMES}\n{DEFINED}", sandbox.folder, sandbox.uri)
    groups = sandbox.entries(GROUPS, "(!(objectClass=organizationalUnit))")
    assert groups.keys() == {f"cn=service:iprof,{GROUPS}", f"cn=x,{GROUPS}"}
    assert groups[f"cn=x,{GROUPS}"]["description"] == ["Équipe".encode()]
    for values in groups.values():
        assert values["objectClass"] == [b"groupOfURLs"]
        assert values["memberURL"][0].startswith(b"ldap:///ou=personnels")
        assert values["owner"] == [sandbox.state.encode()]
        assert "member" not in values
    assert standing.errors() == set()
    # the first night finds what it would have made
    policy = sandbox.folder / "policy.yaml"
    policy.write_text(
        policy.read_text(encoding="utf-8") + "\ngroups: {services: [iprof]}\n", encoding="utf-8"
    )
    kept = groups[f"cn=service:iprof,{GROUPS}"]
    assert standing.piactl("nightly") == 0
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
    with_listing_groups(standing)
    script = DEFINED.partition("static_groups cn ")[0]
    said = pasted(f"{NAMES}\n{script}\n{EMPTIED}", sandbox.folder, sandbox.uri)
    assert said.splitlines()[-2:] == [f"cn=service:iprof,{GROUPS}", f"cn=x,{GROUPS}"]
    for entry in sandbox.entries(GROUPS, "(objectClass=groupOfNames)").values():
        assert entry["member"] == [sandbox.state.encode()]
    assert standing.errors() == {"D64"}
    pasted(f"{NAMES}\n{script}\n{DELETED}", sandbox.folder, sandbox.uri)
    assert standing.errors() == set()
