"""Checks of the rights of the four identities, tried with requests that cannot change anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from piactl.core.settings import DirectorySettings
from piactl.directory import filters
from piactl.directory.accounts import IN_ACCOUNTS
from piactl.directory.names import same_dn
from piactl.directory.port import Values
from piactl.directory.records import RUNS, SOURCES, WAITING, Places
from piactl.directory.serverconfig import ServerConfig
from piactl.flows.examining.checks import Finding, error, fine, skipped, worst
from piactl.flows.examining.servers import Server

_RIGHTS = "See the rights in schemas/ldap/slapd.conf.in; their order counts."


@dataclass(frozen=True, slots=True)
class Trial:
    """What one identity may, or must not: delete from `deleted` and add `added`, on one kind of entry."""

    identity: str
    entry: str
    may: bool
    words: str
    deleted: str
    added: tuple[tuple[str, bytes], ...] = ()


_PASSWORD = (("userPassword", b"a rehearsal that cannot succeed"),)
_MARK = (("piactlProtected", b"TRUE"),)
_RESET = (("pwdReset", b"TRUE"),)

TRIALS = (
    Trial("reader", "account", False, "change an account", "displayName"),
    Trial("reader", RUNS, False, "change records", "description"),
    Trial("nightly", "account", True, "change an account", "displayName"),
    Trial("nightly", "account", True, "suspend a device", "oathTOTPToken"),
    Trial("nightly", "account", True, "end the policy of codes for an account", "pwdPolicySubentry"),
    Trial("nightly", "account", False, "set a password", "displayName", _PASSWORD),
    Trial("nightly", "account", False, "mark an account as protected", "displayName", _MARK),
    Trial("nightly", "protected", False, "change a protected account", "displayName"),
    Trial("nightly", "suffix", False, "change entries that are not piactl's", "description"),
    *(
        Trial("nightly", place, True, f"write below ou={place}", "description")
        for place in (RUNS, SOURCES, WAITING)
    ),
    Trial("desk", "account", True, "reset a password", "oathTOTPToken", _PASSWORD),
    Trial("desk", "account", True, "ask for a new password", "oathTOTPToken", _RESET),
    Trial("desk", "account", False, "change an account", "displayName"),
    Trial("desk", "protected", False, "reset a protected account", "oathTOTPToken"),
    Trial("desk", RUNS, False, "change records", "description"),
    Trial("administrator", "account", True, "change an account", "displayName"),
    Trial("administrator", "account", True, "mark an account as protected", "displayName", _MARK),
    Trial("administrator", "protected", True, "change a protected account", "displayName"),
    Trial("administrator", RUNS, True, "write records", "description"),
)


def rights(server: Server) -> Finding:
    """D23. Kinds of entry that are not there are not tried, and said."""
    places = _places(server)
    wrong, tried, lacking = _root(server), 0, set()
    for trial in TRIALS:
        dn = places.get(trial.entry)
        if trial.identity not in server.asking:
            continue
        if dn is None:
            lacking.add(trial.entry)
            continue
        added: Values = {name: (value,) for name, value in trial.added}
        answer = server.asking[trial.identity].may_change(dn, trial.deleted, added)
        tried += answer is not None
        if answer is not None and answer != trial.may:
            wrong.append(f"{trial.identity} {'cannot' if trial.may else 'can'} {trial.words}")
    wrong += _readable_passwords(server)
    if not tried and not wrong:
        return skipped("D23", "the server's answers do not tell", server.uri)
    good = f"{tried} tried, all as they should be"
    if lacking:
        good += f" (not tried: there is no {' and no '.join(sorted(lacking))} entry yet)"
    return worst("D23", wrong, [], _RIGHTS, good, server.uri)


def _places(server: Server) -> dict[str, str | None]:
    """An entry of each kind, by its DN."""
    settings = server.settings
    mark = filters.equals("piactlProtected", "TRUE")
    found: dict[str, str | None] = {"suffix": settings.suffix}
    found["account"] = _any(server, filters.all_of(IN_ACCOUNTS, filters.none_of(mark)))
    found["protected"] = _any(server, filters.all_of(IN_ACCOUNTS, mark))
    for name in (RUNS, SOURCES, WAITING):
        dn = Places(settings.state).folder(name)
        found[name] = dn if server.first.entry(dn, ["ou"]) else None
    return found


def _any(server: Server, query: str) -> str | None:
    entry = server.first.sample(server.settings.accounts, query)
    return entry.dn if entry else None


def _root(server: Server) -> list[str]:
    """Identities that are the rootdn: rights and some rules of ppolicy do not hold for it."""
    config = server.config
    if config is None or not config.root:
        return []
    return [
        f"{name} is the rootdn of the server, for which no rights hold"
        for name in server.asking
        if _is_root(config, server.settings, name)
    ]


def _is_root(config: ServerConfig, settings: DirectorySettings, name: str) -> bool:
    return bool(settings.identities[name].dn) and same_dn(settings.identities[name].dn, config.root)


def _readable_passwords(server: Server) -> list[str]:
    """Hashes that an identity can read: its own entry and an account are looked at."""
    found = []
    names = [identity.dn for identity in server.settings.identities.values() if identity.dn]
    with_password = server.first.sample(server.settings.accounts, IN_ACCOUNTS)
    if with_password is not None:
        names.append(with_password.dn)
    for who, questions in server.asking.items():
        for dn in names:
            entry = questions.entry(dn, ["userPassword"])
            if entry is not None and entry.values.get("userPassword"):
                found.append(f"{who} can read the password hash of {dn}")
                break
    return found


def rights_on_adds(server: Server) -> Finding:
    """D22. The setting, where it can be seen. Nothing is tried: on a database that is still empty, a
    rehearsed add (no-op control) leaves back-mdb 2.6.10 with attribute numbers that it never wrote."""
    advice = "Set `add_content_acl on` (olcAddContentAcl: TRUE) on the database."
    config = server.config
    if config is None:
        words = "cannot be told: cn=config may not be read"
        return skipped("D22", words, server.uri, "let the reader read olcAddContentAcl in cn=config")
    if not config.checks_adds:
        return error("D22", "add_content_acl is off", advice, server.uri)
    return fine("D22", "add_content_acl is on", server.uri)


RIGHTS: Mapping[str, Callable[[Server], Finding]] = {"D22": rights_on_adds, "D23": rights}
