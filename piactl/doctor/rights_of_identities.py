"""Checks of the rights of the identities, with requests that cannot change anything.

A nightly identity has its rights only while it holds the run lock, so doctor takes the lock for the trial if
no run holds it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from piactl.core.credentials.credential_state import NEVER_VALID
from piactl.core.model.account import State
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.state_between_runs import ServerIdentity
from piactl.core.plan.write import Values
from piactl.directory import filters
from piactl.directory.dn import same_dn
from piactl.directory.open import open_writer
from piactl.directory.store.account_entries import UUID
from piactl.directory.store.password_state import LOCKED, generalized
from piactl.directory.store.record_entries import (
    APPROVALS,
    ATTEMPTS,
    DATA,
    LOCK_CLASS,
    LOCK_WRITER,
    REQUESTS,
    RUNS,
    SOURCES,
    WAITING,
    Places,
    UnreadableRecords,
)
from piactl.directory.store.state_records import LAST_RUN
from piactl.doctor.facts import UPGRADE_PAGE, CheckResult, error, fine, skipped, warning, worst
from piactl.doctor.servers import UNPROTECTED, Server
from piactl.errors import PiactlError
from piactl.host.caller import process_began, this_place
from piactl.host.secret_files import identity_password
from piactl.phrase import Phrase, counted, joined
from piactl.runs.known_server import written_elsewhere
from piactl.runs.run_lock import TRIAL, TRIAL_SECONDS, LockHolder, RunLock

_EVERYBODY = re.compile(r'by\s+set(\.\w+)?="this/-1/piactlProtected & \[TRUE\]"\s+read', re.IGNORECASE)
_RIGHTS = Phrase("Compare the access rules with slapd/slapd.conf.in; their order matters.")


@dataclass(frozen=True, slots=True)
class Trial:
    """A change that one identity may or must not make to one kind of entry: delete from `deleted`, add
    `added`, replace the attributes in `replaced`."""

    identity: str
    entry: str
    may: bool
    words: str
    deleted: str
    added: Values = field(default_factory=dict)
    replaced: Values = field(default_factory=dict)


_PASSWORD = {"userPassword": (b"a rehearsal that cannot succeed",)}
_OPTION = {"userPassword;lang-fr": (b"a rehearsal that cannot succeed",)}
_SECOND = b"aB3!" + b"a rehearsal that no entry meets"
_MARK = {"piactlProtected": (b"TRUE",)}
_RESET = {"pwdReset": (b"TRUE",)}

TRIALS = (
    Trial("reader", "account", False, Phrase("change an account"), "displayName"),
    Trial("reader", RUNS, False, Phrase("change records"), "description"),
    Trial("nightly", "account", True, Phrase("change an account"), "displayName"),
    Trial("nightly", "account", True, Phrase("suspend a device"), "oathTOTPToken"),
    Trial(
        "nightly",
        "account",
        True,
        Phrase("remove the policy of activation passwords from an account"),
        "pwdPolicySubentry",
    ),
    Trial("nightly", "account", False, Phrase("set a password"), "displayName", replaced=_PASSWORD),
    Trial("nightly", "account", False, Phrase("mark an account as protected"), "displayName", _MARK),
    Trial("nightly", "protected", False, Phrase("change a protected account"), "displayName"),
    Trial("nightly", "suffix", False, Phrase("change entries that are not piactl's"), "description"),
    *(
        Trial("nightly", place, True, Phrase("write below ou={place}", place=place), "description")
        for place in (RUNS, SOURCES, WAITING)
    ),
    Trial("desk", "account", True, Phrase("reset a password"), "oathTOTPToken", replaced=_PASSWORD),
    Trial("desk", "account", True, Phrase("ask for a new password"), "oathTOTPToken", _RESET),
    Trial("desk", "account", False, Phrase("store a password in clear"), "oathTOTPToken", replaced=_OPTION),
    Trial("desk", "account", False, Phrase("change an account"), "displayName"),
    Trial("desk", "account", False, Phrase("write the digest of an account"), "piactlDigest"),
    Trial("desk", "protected", False, Phrase("reset a protected account"), "oathTOTPToken"),
    Trial("desk", RUNS, False, Phrase("change records"), "description"),
    *(
        Trial(who, ATTEMPTS, False, Phrase("write other than counts below ou=attempts"), "description")
        for who in ("reader", "desk")
    ),
    Trial("desk", REQUESTS, False, Phrase("change a request"), "piactlData"),
    *(
        Trial(who, APPROVALS, False, Phrase("change an approval"), "piactlData")
        for who in ("reader", "nightly", "desk", "administrator", "approver")
    ),
    Trial("administrator", "account", True, Phrase("change an account"), "displayName"),
    Trial("administrator", "account", True, Phrase("mark an account as protected"), "displayName", _MARK),
    Trial("administrator", "protected", True, Phrase("change a protected account"), "displayName"),
    Trial("administrator", RUNS, True, Phrase("write records"), "description"),
)


def _trials(server: Server) -> Iterator[Trial]:
    """All trials: also that nobody puts an account under another policy, because slapd applies none if the
    policy does not exist; and that no identity changes the password of an identity."""
    yield from TRIALS
    policies: list[tuple[str, str]] = [
        (f"cn=doctor,{server.settings.suffix}", Phrase("a policy that does not exist"))
    ]
    policies += [(server.passwords.policy, Phrase("the default policy"))] if server.passwords.policy else []
    for dn, name in policies:
        for who, deleted in (("desk", "oathTOTPToken"), ("nightly", "displayName")):
            yield Trial(
                who, "account", False, Phrase("put an account under {name}", name=name), deleted, _under(dn)
            )
    if codes := server.passwords.activation_policy:
        yield Trial(
            "desk",
            "account",
            True,
            Phrase("put an account under {name}", name=codes),
            "oathTOTPToken",
            _under(codes),
        )
    for name in server.with_password():
        for who in server.settings.identities:
            yield Trial(
                who,
                f"{name}'s own",
                False,
                Phrase("change the password of {name}", name=name),
                "userPassword",
            )


def _under(policy: str) -> Values:
    return {"pwdPolicySubentry": (policy.encode(),)}


def rights(server: Server) -> CheckResult:
    """D23. Kinds of entry that do not exist yet are named in the finding."""
    trials = list(_trials(server))
    # a nightly identity has its rights only while it holds the run lock
    with _run_lock(server) if "nightly" in server.probes else nullcontext("") as no_lock:
        tried, answers = _tried(server, trials, nightly=not no_lock)
    wrong = [*_in_settings(server), *tried, *_readable_passwords(server)]
    if not answers and not wrong:
        return skipped(Phrase("the server's answers do not show the rights"))
    lacking = {trial.entry for trial in trials if trial.identity in server.probes} - server.places.keys()
    good: str = Phrase("{answers} tried, all as expected", answers=answers)
    if lacking:
        names = [*map(Phrase, sorted(lacking))]
        places = joined(names, "{first} and no {second}")
        good = Phrase("{good} (not tried: there is no {places} entry yet)", good=good, places=places)
    if no_lock:
        good = Phrase("{good} (nightly not tried: {no_lock})", good=good, no_lock=no_lock)
    if server.config is None:
        good = Phrase("{good} (add_content_acl is unknown: cn=config is not readable)", good=good)
    return worst(wrong, [], joined([_RIGHTS, UPGRADE_PAGE], "{first} {second}"), good)


def one_password(server: Server) -> CheckResult:
    """D34. Tried as the desk, which may set passwords, on an account that has one: the overlay must refuse a
    second one. slapd asks it before it checks the rights and the assertion that no entry meets.

    An account with pwdChangedTime has a password, unless it was removed (`_with_password`); an account that
    was loaded with its password may lack it.
    """
    desk = server.probes.get("desk")
    if desk is None:
        return skipped(Phrase("not tried: desk cannot bind"))
    with_password = server.account(filters.all_of(UNPROTECTED, _with_password(server.settings)))
    account = with_password or server.account(UNPROTECTED)
    if account is None:
        return skipped(Phrase("not tried: there is no account yet"))
    advice = Phrase(
        "Add the overlay constraint with `constraint_attribute userPassword count 1`, restricted to "
        "accounts (olcConstraintAttribute). {upgrade_page}",
        upgrade_page=UPGRADE_PAGE,
    )
    takes = desk.takes_second(account, "userPassword", _SECOND)
    if takes is None:
        words = Phrase("unknown: the server refuses for another reason before it counts passwords")
        return skipped(words, advice)
    if takes and with_password is None:
        return skipped(Phrase("not tried: no account is known to have a password"))
    if takes:
        return error(Phrase("the server accepts a second password (tried on an account)"), advice)
    return fine(Phrase("a second one is refused (tried on an account)"))


def _with_password(settings: DirectorySettings) -> str:
    """The filter of accounts that have a password: pwdChangedTime stays when an archival, or a lock that says
    `--compromised`, removes it."""
    state, lock = (settings.attributes.get(name, name) for name in ("piactlState", "piactlLock"))
    removed = (
        filters.equals(state, State.ARCHIVED.value),
        filters.present(lock),
        filters.equals(LOCKED, generalized(NEVER_VALID)),
    )
    return filters.all_of(filters.present("pwdChangedTime"), filters.none_of(*removed))


def guesses(server: Server) -> CheckResult:
    """D70. Tried with a made-up password on an account that has one."""
    account = server.account(_with_password(server.settings))
    if account is None:
        return skipped(Phrase("not tried: no account is known to have a password"))
    tells = server.first.tells_guess(account)
    if tells is None:
        return skipped(Phrase("the server's answer does not show it"))
    advice = Phrase(
        "Put the overlay constraint after ppolicy, with the two rules that say who may send a password."
    )
    if tells:
        words = Phrase(
            "the server says that a guess of somebody else's password is wrong (tried on an account)"
        )
        return error(words, joined([advice, UPGRADE_PAGE], "{first} {second}"))
    return fine(Phrase("the answer is the same for every guess (tried on an account)"))


def _tried(server: Server, trials: Iterable[Trial], *, nightly: bool = True) -> tuple[list[str], int]:
    """The wrong answers, and the number of answers. Left out are trials of an identity that cannot bind, of
    the `nightly` one if so asked, and of a kind of entry that does not exist."""
    wrong: list[str] = []
    answers = 0
    for trial in trials:
        dn = server.places.get(trial.entry)
        if dn is None or trial.identity not in server.probes or (trial.identity == "nightly" and not nightly):
            continue
        answer = server.probes[trial.identity].may_change(dn, trial.deleted, trial.added, trial.replaced)
        answers += answer is not None
        if answer is (not trial.may):
            form = Phrase("{identity} cannot {do}") if trial.may else Phrase("{identity} can {do}")
            wrong.append(Phrase(form, identity=trial.identity, do=trial.words))
    return wrong, answers


@contextmanager
def _run_lock(server: Server) -> Iterator[str]:
    """Holds the run lock as the nightly identity; yields why it cannot, "" if it can.

    Only on the first server: two locks on two servers would collide in the replication.
    """
    if _holds_lock(server):
        yield ""
        return
    if server.uri != server.settings.servers[0]:
        yield Phrase("the run lock is only taken on the first server")
        return
    if server.first.entry(Places(server.settings.state).lock, ["cn"]) is not None:
        yield Phrase("another run holds the run lock")
        return
    with ExitStack() as stack:
        try:
            settings = replace(server.settings, servers=(server.uri,))
            writer = stack.enter_context(open_writer(settings, "nightly", identity_password))
            host = socket.gethostname()
            holder = LockHolder(TRIAL, host, os.getpid(), process_began(os.getpid()), TRIAL, this_place())
            lock = RunLock(writer, settings.state, holder, TRIAL_SECONDS, server.now)
            lock.acquire(None)
            server.lock_csn = lock.stamp().csn
            stack.callback(lock.release)
        except PiactlError:
            yield Phrase("the run lock cannot be taken")
            return
        yield ""


def _holds_lock(server: Server) -> bool:
    entry = server.first.entry(Places(server.settings.state).lock, [LOCK_WRITER])
    return entry is not None and same_dn(entry.text(LOCK_WRITER), server.probes["nightly"].who())


def run_lock(server: Server) -> CheckResult:
    """D39. Tried: without the run lock the nightly identity must change no account and no record."""
    advice = Phrase(
        "Upgrade the schema and the access rules (by group). {upgrade_page}", upgrade_page=UPGRADE_PAGE
    )
    if not any(probe.schema_meets(filters.with_class(LOCK_CLASS)) for probe in server.probes.values()):
        words = Phrase(
            "the server lacks piactlRunLock: a run that lost its lock while it was stopped can still write"
        )
        return error(words, advice)
    if "nightly" not in server.probes:
        return skipped(Phrase("not tried: nightly cannot bind"))
    trials = [
        Trial("nightly", place, False, Phrase("{do} without the run lock", do=words), deleted)
        for place, words, deleted in (
            ("account", Phrase("change an account"), "displayName"),
            (RUNS, Phrase("write below ou={place}", place=RUNS), "description"),
            (SOURCES, Phrase("write below ou={place}", place=SOURCES), "description"),
            (WAITING, Phrase("write below ou={place}", place=WAITING), "description"),
        )
    ]
    if _holds_lock(server):
        return skipped(Phrase("not tried: a run of this host holds the run lock"))
    wrong, answers = _tried(server, trials)
    if wrong and _holds_lock(server):
        return skipped(Phrase("not tried: a run of this host took the run lock meanwhile"))
    if not answers:
        return skipped(Phrase("the server's answers do not show the rights"))
    good = Phrase(
        "{changes} tried without the run lock, all refused", changes=counted(answers, "change", "changes")
    )
    return worst(wrong, [], advice, good)


def _in_settings(server: Server) -> list[str]:
    """What the settings of the server let identities do. Access rules and some rules of ppolicy do not
    restrict the rootdn."""
    config = server.config
    if config is None:
        return []
    root = config.database.text("olcRootDN")
    names = ((name, server.settings.identities[name].dn) for name in server.probes)
    wrong: list[str] = [
        Phrase("{name} is the rootdn of the server, which no access rule restricts", name=name)
        for name, dn in names
        if root and dn and same_dn(dn, root)
    ]
    frontend = (entry for entry in config.entries if "frontend" in entry.text("olcDatabase"))
    if all(entry.text("olcAddContentAcl") != "TRUE" for entry in (config.database, *frontend)):
        wrong.append(Phrase("add_content_acl is off: who may add an account may also set its password"))
    # a rule of an earlier version
    if any(_EVERYBODY.search(text) for text in config.ordered("olcAccess")):
        wrong.append(Phrase("everybody can see the devices of protected accounts, without their secrets"))
    return wrong


def _readable_passwords(server: Server) -> list[str]:
    """Password hashes that an identity can read, on the entries of identities and on one account."""
    wrong: list[str] = []
    names = [identity.dn for identity in server.settings.identities.values() if identity.dn]
    if account := server.account(UNPROTECTED):
        names.append(account)
    for who, probe in server.probes.items():
        for dn in names:
            entry = probe.entry(dn, ["userPassword"])
            if entry is not None and entry.values.get("userPassword"):
                wrong.append(Phrase("{who} can read the password hash of {dn}", who=who, dn=dn))
                break
    return wrong


def written_server(server: Server) -> CheckResult:
    """D72. What the server is shows in the write of the run lock that another check made (D23)."""
    if server.uri != server.settings.servers[0]:
        return fine(Phrase("piactl does not write here"))
    places = Places(server.settings.state)
    entry, tree = server.first.entry(places.last_run, [DATA]), server.first.entry(places.state, [UUID])
    last = UnreadableRecords().read(entry.dn, entry.first(DATA), LAST_RUN) if entry else None
    if last is None:
        return fine(Phrase("no run has written yet"))
    advice = Phrase("docs/hosts.md (Several servers).")
    if server.lock_csn:
        now = ServerIdentity.of(server.lock_csn, tree.text(UUID) if tree else "")
        if why := now.other_than(last.server):
            return error(
                Phrase("it is not the server that run {run} wrote to: {why}", run=last.run, why=why),
                "piactl recover",
            )
        if len(server.settings.servers) > 1 and not now.number:
            return error(Phrase("it has no serverID"), Phrase("Give each server a serverID of its own."))
    elsewhere = written_elsewhere(last.server, server.csns, last)
    if elsewhere:
        numbers = ", ".join(f"serverID {int(number, 16)}" for number in elsewhere)
        return warning(
            Phrase("{numbers} was written to since the last night", numbers=numbers),
            Phrase("Find out by whom: {advice}", advice=advice),
        )
    return fine(Phrase("the server that run {run} wrote to", run=last.run))
