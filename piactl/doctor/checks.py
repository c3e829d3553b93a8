"""The checks of `doctor`, in one table. A number never changes its meaning and is never used again: a new
check takes the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from piactl.doctor import changes_of_others as changed_accounts
from piactl.doctor import journal_of_host as journal
from piactl.doctor import records_of_directory as records
from piactl.doctor import rights_of_identities as rights
from piactl.doctor import server_settings, servers, this_host
from piactl.doctor.findings import CheckOutcome, CheckResult


class Reads(StrEnum):
    """What a check reads, and so what it is given: the Content of this host, of the directory and of
    the journal, or each Server in turn."""

    HOST = "this host"
    SERVER = "each server"
    CONTENT = "the directory and the journal"


@dataclass(frozen=True, slots=True)
class Check:
    """`severity` is the worst result of the check. `meaning` says what a failure leads to."""

    id: str
    title: str
    severity: CheckOutcome
    reads: Reads
    examine: Callable[[Any], CheckResult]
    meaning: str

    def finding(self, result: CheckResult, where: str = "") -> dict[str, str]:
        """What the check found, as `-o json` prints it; `where` is the URI of a server, "" for this host or
        for all servers."""
        return {
            "id": self.id,
            "title": self.title,
            "where": where,
            "result": result.outcome.value,
            "severity": self.severity.value,
            "found": result.found,
            "meaning": self.meaning,
            "advice": result.advice,
        }


_E, _W = CheckOutcome.ERROR, CheckOutcome.WARNING
_HOST, _SERVER, _CONTENT = Reads.HOST, Reads.SERVER, Reads.CONTENT

CHECKS: dict[str, Check] = {
    check.id: check
    for check in (
        Check("D01", "configuration", _E, _HOST, this_host.configuration,
          "Without a valid configuration no command works."),
        Check("D02", "policy", _E, _HOST, this_host.policy,
          "The policy decides who gets what; probable mistakes in it are listed here."),
        Check("D03", "establishments", _E, _HOST, this_host.register,
          "Profiles match on the register; without it no plan can be made."),
        Check("D04", "digest keys", _E, _HOST, this_host.keys,
          "Without the keys, nobody is recognised by matricule or NUMEN."),
        Check("D05", "password files", _E, _HOST, this_host.passwords,
          "Anyone who can read a password file can bind as that identity."),
        Check("D06", "state folder", _E, _HOST, this_host.state_folder,
          "Plans and rejected rows are stored there; a run fails without it."),
        Check("D08", "journal file", _E, _CONTENT, journal.file,
          "Without the journal, runs stop before the first write."),
        Check("D09", "journal chain", _E, _CONTENT, journal.chain,
          "A line was edited, removed or reordered: the journal cannot be trusted."),
        Check("D11", "server answers", _E, _SERVER, servers.answers,
          "A server that cannot be reached securely cannot be used, not even for failover."),
        Check("D12", "identities", _E, _SERVER, servers.identities,
          "Commands that bind as a missing or refused identity fail."),
        Check("D14", "takes writes", _E, _SERVER, servers.takes_writes,
          "A read-only server or a consumer refuses every change."),
        Check("D15", "base entries", _E, _CONTENT, records.bases,
          "Runs read and write below these entries, and stop if one is missing."),
        Check("D16", "schema", _E, _SERVER, server_settings.schema,
          "The server refuses entries with unknown attributes."),
        Check("D17", "password policy", _E, _SERVER, server_settings.password_policy,
          "Without ppolicy and its default policy, the starts, ends and locks of accounts have no effect."),
        Check("D18", "one-time codes", _E, _SERVER, server_settings.one_time_codes,
          "Without the otp overlay, slapd accepts a password without a one-time code."),
        Check("D19", "unique names", _E, _SERVER, server_settings.unique_names,
          "Two administrators working at once can give the same address to two people."),
        Check("D20", "indexes", _W, _SERVER, server_settings.indexes,
          "Without indexes, searches read the whole database, and adds with `unique` are six times slower."),
        Check("D23", "rights of identities", _E, _SERVER, rights.rights,
          "Each identity needs the rights for its tasks, and no others."),
        Check("D24", "checkpoint", _E, _SERVER, server_settings.checkpoint,
          "If a provider is killed, its peer can permanently lose acknowledged writes."),
        Check("D26", "clock", _E, _SERVER, server_settings.clock,
          "Lock expiry, one-time codes and start dates depend on clocks that agree."),
        Check("D27", "keys that entries need", _E, _CONTENT, records.needed_keys,
          "People whose digest was made with a lost key are not recognised."),
        Check("D30", "policy of activation passwords", _E, _CONTENT, records.activation_policy,
          "Activation passwords must expire, and must be changed at the first login."),
        Check("D32", "protected accounts", _E, _CONTENT, records.protected,
          "The help desk must not be able to change protected accounts."),
        Check("D34", "one password", _E, _SERVER, rights.one_password,
          "A second password on an account also logs in."),
        Check("D37", "piactl's own records", _W, _CONTENT, records.unreadable,
          "Commands ignore the records that they cannot read."),
        Check("D38", "closures", _W, _SERVER, server_settings.closures,
          "If only the password policy refuses closed and locked accounts, a fault in it opens them."),
        Check("D39", "run lock", _E, _SERVER, rights.run_lock,
          "A run that was stopped, and whose lock another host took over, must not write when it continues."),
        Check("D40", "runs in the directory", _E, _CONTENT, journal.runs,
          "A restored directory lacks changes, and a journal without lines proves none: no run writes."),
        Check("D43", "password policies of accounts", _E, _CONTENT, records.password_policies,
          "Under a foreign policy an account may log in after its end; wrong passwords can block a protected "
          "one."),
        Check("D44", "passwords in clear", _E, _SERVER, server_settings.passwords_in_clear,
          "A server that takes passwords in clear over TCP lets anybody on the way read them."),
        Check("D47", "canaries", _E, _CONTENT, records.canaries,
          "An account that must be refused can log in: others like it can, too."),
        Check("D50", "heads of the journal in syslog", _E, _CONTENT, journal.syslog,
          "Without syslog, a journal that is made anew is not noticed."),
        Check("D51", "writes without the journal", _E, _CONTENT, journal.writes,
          "Somebody may have used the password of an identity without piactl."),
        Check("D53", "rules of sudo and groups", _E, _HOST, this_host.sudo,
          "Whoever runs another program as piactl's user, or fills its groups, has the passwords."),
        Check("D55", "drift", _E, _CONTENT, changed_accounts.drift,
          "Another program changed accounts; the first to see is what gives access."),
        Check("D56", "entries that are gone", _E, _CONTENT, changed_accounts.gone,
          "People whose entry is gone are held until somebody decides."),
        Check("D57", "names and matricules", _E, _CONTENT, changed_accounts.names,
          "A name or matricule of two accounts lets one person act, or get mail, for the other."),
        Check("D59", "open cases", _E, _CONTENT, records.cases,
          "A newcomer without a decision has no account; a row without one is not applied."),
        Check("D64", "groups", _E, _SERVER, server_settings.groups,
          "Groups are empty, or somebody who left stays in one."),
        Check("D65", "approvals", _E, _CONTENT, records.approvals,
          "A plan that needs another person cannot be approved, or by nobody else."),
        Check("D68", "numbers for Unix hosts", _E, _CONTENT, records.numbers,
          "Two people with one number share files on Unix hosts."),
        Check("D69", "comparisons", _E, _SERVER, server_settings.comparisons,
          "One comparison, even an anonymous one, can end slapd 2.6."),
        Check("D70", "guesses of passwords", _E, _SERVER, rights.guesses,
          "Anybody with an account can try the passwords of others, and nothing counts it."),
        Check("D71", "replication", _E, _SERVER, servers.replication,
          "With plain syncrepl, a password that its owner changes elsewhere at that moment undoes a lock."),
        Check("D72", "server that is written to", _E, _SERVER, rights.written_server,
          "Two servers that are written to give one address to two people, and undo locks."),
        Check("D73", "version of the server", _E, _SERVER, servers.version,
          "The shipped settings do not load in OpenLDAP 2.5, and one rename fails there in every night."),
    )
}  # fmt: skip
