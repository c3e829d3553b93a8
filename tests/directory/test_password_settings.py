"""What the server does with passwords in clear, activation passwords outside the portal, and weak ones."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import (
    LDAPConfidentialityRequiredResult,
    LDAPConstraintViolationResult,
    LDAPInsufficientAccessRightsResult,
    LDAPInvalidCredentialsResult,
    LDAPOperationResult,
)

from piactl.core.credentials.passwords import FEWEST, Owner, password_problems
from piactl.directory.store.base_digest import MANAGED
from piactl.sandbox.folder import POLICIES, identity_dn
from piactl.shipped_files import slapd_folder

from .test_server_settings import FRESH, PASSWORD, account, as_nightly

PORTAL, ELSEWHERE = "127.0.0.1", "127.0.0.2"
REPLACE = ldap3.MODIFY_REPLACE


@contextmanager
def over_tcp(sandbox: Any, source: str, dn: str, password: str) -> Iterator[ldap3.Connection]:
    """A simple bind without TLS from that address of this host."""
    connection = ldap3.Connection(
        ldap3.Server(sandbox.tcp_uri, get_info=ldap3.NONE),
        user=dn,
        password=password,
        source_address=source,
        raise_exceptions=True,
        receive_timeout=10,
    )
    try:
        connection.bind()
        yield connection
    finally:
        connection.unbind()


def give(sandbox: Any, dn: str, password: str, **values: str) -> None:
    with sandbox.connect("desk") as desk:
        desk.modify(dn, {k: [(REPLACE, [v])] for k, v in {"userPassword": password, **values}.items()})


def test_a_password_in_clear_is_refused_before_it_is_checked(sandbox: Any) -> None:
    dn = account(sandbox, "a")
    give(sandbox, dn, PASSWORD)
    for password in (PASSWORD, "wrong"):
        with (
            pytest.raises(LDAPConfidentialityRequiredResult),
            over_tcp(sandbox, PORTAL, dn, password),
        ):
            pass
    assert "pwdFailureTime" not in sandbox.entry(dn)
    assert sandbox.accepts(dn, PASSWORD)


# ---- activation passwords


@pytest.fixture
def in_clear(sandbox: Any) -> Callable[..., Any]:
    """Restarts the server without `security`, so that TCP works without TLS, and with other settings."""

    def restarted(*changes: tuple[str, str]) -> Any:
        sandbox.stop()
        settings = sandbox.folder / "slapd" / "slapd.conf"
        text = settings.read_text()
        for old, new in (("security simple_bind=128\n", ""), *changes):
            assert old in text
            text = text.replace(old, new)
        settings.write_text(text)
        (port,) = [uri for uri in sandbox.start().uris if uri.startswith("ldap://")]
        return type(sandbox)(**{**vars_of(sandbox), "tcp_uri": port})

    return restarted


def vars_of(sandbox: Any) -> dict[str, Any]:
    return {name: getattr(sandbox, name) for name in sandbox.__dataclass_fields__}


@pytest.mark.parametrize("protected", [False, True])
def test_an_activation_password_works_at_the_portal_only(
    in_clear: Callable[..., Any], protected: bool
) -> None:
    """The portal is 127.0.0.1; other applications come from 127.0.0.2 and from the socket."""
    server = in_clear(('by peername.path="', 'by peername.path="/nowhere'))
    dn = account(server, "a", **({"piactlProtected": "TRUE"} if protected else {}))
    reset = {"pwdReset": "TRUE", "pwdPolicySubentry": f"cn=activation,{POLICIES}"}
    if protected:
        with server.connect("administrator") as administrator:
            administrator.modify(
                dn, {k: [(REPLACE, [v])] for k, v in {"userPassword": FRESH, **reset}.items()}
            )
    else:
        give(server, dn, FRESH, **reset)
    with pytest.raises(LDAPInvalidCredentialsResult), over_tcp(server, ELSEWHERE, dn, FRESH):
        pass
    assert not server.accepts(dn, FRESH)
    # an application that searches as its own identity and then binds as the user on the same connection
    reader = (server.folder / "secrets" / "reader").read_text().strip()
    with (
        over_tcp(server, ELSEWHERE, identity_dn("reader"), reader) as application,
        pytest.raises(LDAPInvalidCredentialsResult),
    ):
        application.rebind(user=dn, password=FRESH)
    time.sleep(2.05)  # they count as wrong passwords, which delay the next log in
    with over_tcp(server, PORTAL, dn, FRESH) as owner:
        with pytest.raises(LDAPInsufficientAccessRightsResult):
            owner.search(server.accounts, "(uid=a)")
        assert owner.extend.standard.modify_password(dn, FRESH, PASSWORD)
    assert "pwdReset" not in server.entry(dn)
    for source in (PORTAL, ELSEWHERE):
        with over_tcp(server, source, dn, PASSWORD) as owner:
            assert owner.bound
    assert server.accepts(dn, PASSWORD)


def test_an_activation_password_works_over_the_socket_of_the_portal(in_clear: Callable[..., Any]) -> None:
    server = in_clear(("by peername.ip=127.0.0.1", "by peername.ip=192.0.2.10"))
    dn = account(server, "a")
    give(server, dn, FRESH, pwdReset="TRUE")
    with pytest.raises(LDAPInvalidCredentialsResult), over_tcp(server, PORTAL, dn, FRESH):
        pass
    assert server.accepts(dn, FRESH)


# ---- quality


OWNER = Owner([("claire.exemple", "the identifier")])
REFUSED = (
    "aaaaaaaaaaaa",
    "AAAAaaaaAAAA",
    "abcdabcdabcd",
    "1212 1212 1212",
    "claire.exemple",
    "xx-Claire.Exemple-22",
    "claire.exemple@example.org",
    "trop court",
)
"""The server and `password check` refuse these."""
BOTH_ACCEPT = (
    "quatre chats gris et lents",
    "correct horse battery",
    "7hfk-9cmp-2rtw-x4hk-3pmc",
    "des étés brûlés à Noël",
    "Zut! 42 rhinocéros",
)
CHECK_ALONE = ("Motdepasse2026", "azertyuiop12", "Professeur2026!", "motdepasse motdepasse", "20E9517171QQQ")
"""Only `password check` refuses these: ppm without cracklib knows no common words, no rows of keys, no NUMEN,
and no dates."""


@pytest.mark.parametrize("policy", ["default", "activation", "protected"])
def test_the_server_enforces_part_of_the_rules_of_password_check(sandbox: Any, policy: str) -> None:
    minimum = 16 if policy == "protected" else 12
    dn = account(sandbox, "claire.exemple", pwdPolicySubentry=f"cn={policy},{POLICIES}")
    for password in (*REFUSED, *BOTH_ACCEPT, *CHECK_ALONE):
        good = not password_problems(password, minimum, OWNER)
        accepted = accepts(sandbox, dn, password)
        expected = (password not in REFUSED and len(password) >= minimum, password in BOTH_ACCEPT)
        assert (accepted, good) == expected, password


def accepts(sandbox: Any, dn: str, password: str) -> bool:
    try:
        give(sandbox, dn, password)
    except LDAPConstraintViolationResult:
        return False
    return True


def test_the_settings_of_ppm_count_different_characters(sandbox: Any) -> None:
    """One class per character and one point per class: the minimum is that of `password check`."""
    text = (slapd_folder() / "tree.ldif.in").read_text(encoding="utf-8")
    arguments = set(re.findall(r"^pwdCheckModuleArg:: (\S+)$", text, re.MULTILINE))
    (argument,) = arguments
    lines = [line.split() for line in base64.b64decode(argument).decode().splitlines()]
    values = {words[0]: words[1:] for words in lines}
    assert len(values) == len(lines) < 50, "ppm reads no more"
    assert values["minQuality"] == [str(FEWEST)]
    classes = [words for name, words in values.items() if name.startswith("class-")]
    assert all(words[1:] == ["0", "1", "0"] for words in classes)
    characters = "".join(words[0] for words in classes)
    assert len(characters) == len(set(characters))
    assert {words[0] for words in classes if words[0][0].isalnum()} == {
        *(letter + letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"),
        *"0123456789",
    }
    # these names replace ppm's own classes, which would otherwise give points too
    assert {"class-upperCase", "class-lowerCase", "class-digit", "class-special"} <= values.keys()


# ---- what no setting of the server forbids


def test_an_owner_can_delete_their_own_password(sandbox: Any) -> None:
    """Who may replace a value may also delete it; pwdSafeModify would refuse the help desk too."""
    dn = account(sandbox, "a")
    give(sandbox, dn, PASSWORD)
    with sandbox.bind(dn, PASSWORD) as owner:
        owner.modify(dn, {"userPassword": [(ldap3.MODIFY_DELETE, [])]})
    assert "userPassword" not in sandbox.entry(dn)
    with sandbox.root() as root:
        root.modify(f"cn=default,{POLICIES}", {"pwdSafeModify": [(REPLACE, ["TRUE"])]})
    with pytest.raises(LDAPOperationResult) as refused:
        give(sandbox, dn, FRESH)
    assert "Must supply old password" in refused.value.message


# ---- answers that tell too much


def answers(do: Callable[[], Any]) -> int:
    """The result code of the request."""
    try:
        do()
    except LDAPOperationResult as refused:
        return int(refused.result)
    return 0


def test_a_refused_comparison_does_not_end_the_server(
    make_sandbox: Callable[..., Any],
) -> None:
    """slapd 2.6 ends with an assertion at the request after a comparison that the rights refuse."""
    sandbox = make_sandbox(accesslog=True)
    dn = account(sandbox, "a")
    tree = ("o=gouv,c=fr", sandbox.accounts, dn, sandbox.state, identity_dn("desk"), "cn=accesslog")
    for _ in range(3):
        for entry in (*tree, "cn=config", "cn=monitor"):
            with sandbox.bind("", "") as anybody:
                answers(partial(anybody.compare, entry, "hasSubordinates", "FALSE"))
                answers(partial(anybody.search, entry, "(objectClass=*)"))
    assert sandbox.entry(dn)


def test_nobody_learns_from_the_answers_whether_a_guess_is_right(sandbox: Any) -> None:
    """ppolicy compares passwords before the rights are looked at; the overlay constraint answers first."""
    places = {uid: account(sandbox, uid, **values) for uid, values in PEOPLE.items()}
    codes = {"pwdPolicySubentry": [(REPLACE, [f"cn=activation,{POLICIES}"])]}
    with sandbox.connect("administrator") as administrator:
        for uid, dn in places.items():
            if uid != "bare":
                administrator.modify(dn, {"userPassword": [(REPLACE, [PASSWORD])], **codes})
    with sandbox.bind(places["other"], PASSWORD) as other, ExitStack() as stack:
        strangers = {
            who: stack.enter_context(sandbox.connect(who)) for who in ("reader", "nightly", "approver")
        }
        strangers |= {"another person": other}
        desk = stack.enter_context(sandbox.connect("desk"))
        for uid in ("a", "guarded", "bare"):
            asking = strangers | ({"desk": desk} if uid == "guarded" else {})
            for who, stranger in asking.items():
                said = {kind: {answers(partial(form, stranger, places[uid], guess)) for guess in GUESSES}
                        for kind, form in FORMS.items()}  # fmt: skip
                assert all(len(codes) == 1 and codes <= {16, 19, 32, 50} for codes in said.values()), (
                    uid,
                    who,
                    said,
                )
        for form in FORMS.values():
            seen = {answers(partial(form, other, places[uid], FRESH)) for uid in ("a", "bare")}
            assert len(seen) == 1  # who has a password
    for uid in ("a", "guarded"):
        assert sandbox.accepts(places[uid], PASSWORD)


PEOPLE: dict[str, dict[str, str]] = {"a": {}, "guarded": {"piactlProtected": "TRUE"}, "bare": {}, "other": {}}
GUESSES = (PASSWORD, "another guess of mine")
FORMS: dict[str, Callable[[ldap3.Connection, str, str], Any]] = {
    "replace": lambda by, dn, guess: by.modify(dn, {"userPassword": [(REPLACE, [guess])]}),
    "add": lambda by, dn, guess: by.modify(dn, {"userPassword": [(ldap3.MODIFY_ADD, [guess])]}),
    "delete": lambda by, dn, guess: by.modify(dn, {"userPassword": [(ldap3.MODIFY_DELETE, [guess])]}),
    "delete and add": lambda by, dn, guess: by.modify(
        dn, {"userPassword": [(ldap3.MODIFY_DELETE, [guess]), (ldap3.MODIFY_ADD, [FRESH])]}
    ),
    "delete all and add": lambda by, dn, guess: by.modify(
        dn, {"userPassword": [(ldap3.MODIFY_DELETE, []), (ldap3.MODIFY_ADD, [guess])]}
    ),
    "compare": lambda by, dn, guess: by.compare(dn, "userPassword", guess),
}


def test_no_password_or_managed_value_is_stored_under_an_attribute_option(sandbox: Any) -> None:
    """slapd would store `userPassword;lang-fr` as it comes: in clear, and past every rule for passwords."""
    dn = account(sandbox, "a")
    give(sandbox, dn, PASSWORD)
    with (
        sandbox.bind(dn, PASSWORD) as owner,
        sandbox.connect("desk") as desk,
        as_nightly(sandbox) as nightly,
        sandbox.connect("administrator") as administrator,
    ):
        everybody = {"owner": owner, "desk": desk, "nightly": nightly, "administrator": administrator}
        for name in (*MANAGED, "userPassword", "oathSecret", "piactlSealed", "piactlData", "objectClass"):
            for who, connection in everybody.items():
                said = {
                    answers(
                        partial(connection.modify, dn, {f"{name};lang-fr": [(ldap3.MODIFY_ADD, [value])]})
                    )
                    for value in ("x", "1", "TRUE", "20260101000000Z", "oathTOTPUser", dn)
                }
                refused = {17} if name.startswith("pwd") else {50}  # of operational attributes there are none
                assert refused <= said <= refused | {21}, (who, name, said)  # 21: not of its syntax
        assert not [name for name in sandbox.entry(dn) if ";" in name]
        # what was stored earlier can be deleted
        with sandbox.root() as root:
            root.modify(dn, {"userPassword;lang-fr": [(ldap3.MODIFY_ADD, ["in clear"])]})
        administrator.modify(dn, {"userPassword;lang-fr": [(ldap3.MODIFY_DELETE, [])]})
    assert sandbox.accepts(dn, PASSWORD)
