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
from piactl.doctor.facts import CheckOutcome, CheckResult
from piactl.phrase import Phrase


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
        Check("D01", Phrase("configuration"), _E, _HOST, this_host.configuration,
          Phrase("Without a valid configuration no command works.")),
        Check("D02", Phrase("policy"), _E, _HOST, this_host.policy,
          Phrase("The policy decides who gets what; probable mistakes in it are listed here.")),
        Check("D03", Phrase("establishments"), _E, _HOST, this_host.register,
          Phrase("Profiles match on the register; without it no plan can be made.")),
        Check("D04", Phrase("digest keys"), _E, _HOST, this_host.keys,
          Phrase("Without the keys, nobody is recognised by matricule or NUMEN.")),
        Check("D05", Phrase("password files"), _E, _HOST, this_host.passwords,
          Phrase("Anyone who can read a password file can bind as that identity.")),
        Check("D06", Phrase("state folder"), _E, _HOST, this_host.state_folder,
          Phrase("Plans and rejected rows are stored there; a run fails without it.")),
        Check("D08", Phrase("journal file"), _E, _CONTENT, journal.file,
          Phrase("Without the journal, runs stop before the first write.")),
        Check("D09", Phrase("journal chain"), _E, _CONTENT, journal.chain,
          Phrase("A line was edited, removed or reordered: the journal cannot be trusted.")),
        Check("D11", Phrase("server answers"), _E, _SERVER, servers.answers,
          Phrase("A server that cannot be reached securely cannot be used, not even for failover.")),
        Check("D12", Phrase("identities"), _E, _SERVER, servers.identities,
          Phrase("Commands that bind as a missing or refused identity fail.")),
        Check("D14", Phrase("takes writes"), _E, _SERVER, servers.takes_writes,
          Phrase("A read-only server or a consumer refuses every change.")),
        Check("D15", Phrase("base entries"), _E, _CONTENT, records.bases,
          Phrase("Runs read and write below these entries, and stop if one is missing.")),
        Check("D16", Phrase("schema"), _E, _SERVER, server_settings.schema,
          Phrase("The server refuses entries with unknown attributes.")),
        Check("D17", Phrase("password policy"), _E, _SERVER, server_settings.password_policy,
          Phrase("Without ppolicy and its default policy, the starts, ends and locks of accounts have no "
                 "effect.")),
        Check("D18", Phrase("one-time codes"), _E, _SERVER, server_settings.one_time_codes,
          Phrase("Without the otp overlay, slapd accepts a password without a one-time code.")),
        Check("D19", Phrase("unique names"), _E, _SERVER, server_settings.unique_names,
          Phrase("Two administrators working at once can give the same address to two people.")),
        Check("D20", Phrase("indexes"), _W, _SERVER, server_settings.indexes,
          Phrase("Without indexes, searches read the whole database, and adds with `unique` are six times "
                 "slower.")),
        Check("D23", Phrase("rights of identities"), _E, _SERVER, rights.rights,
          Phrase("Each identity needs the rights for its tasks, and no others.")),
        Check("D24", Phrase("checkpoint"), _E, _SERVER, server_settings.checkpoint,
          Phrase("If a provider is killed, its peer can permanently lose acknowledged writes.")),
        Check("D26", Phrase("clock"), _E, _SERVER, server_settings.clock,
          Phrase("Lock expiry, one-time codes and start dates depend on clocks that agree.")),
        Check("D27", Phrase("keys that entries need"), _E, _CONTENT, records.needed_keys,
          Phrase("People whose digest was made with a lost key are not recognised.")),
        Check("D30", Phrase("policy of activation passwords"), _E, _CONTENT, records.activation_policy,
          Phrase("Activation passwords must expire, and must be changed at the first login.")),
        Check("D32", Phrase("protected accounts"), _E, _CONTENT, records.protected,
          Phrase("The help desk must not be able to change protected accounts.")),
        Check("D34", Phrase("one password"), _E, _SERVER, rights.one_password,
          Phrase("A second password on an account also logs in.")),
        Check("D37", Phrase("piactl's own records"), _W, _CONTENT, records.unreadable,
          Phrase("Commands ignore the records that they cannot read.")),
        Check("D38", Phrase("closures"), _W, _SERVER, server_settings.closures,
          Phrase("If only the password policy refuses closed and locked accounts, a fault in it opens "
                 "them.")),
        Check("D39", Phrase("run lock"), _E, _SERVER, rights.run_lock,
          Phrase("A run that was stopped, and whose lock another host took over, must not write when it "
                 "continues.")),
        Check("D40", Phrase("runs in the directory"), _E, _CONTENT, journal.runs,
          Phrase("A restored directory lacks changes, and a journal without lines proves none: no run "
                 "writes.")),
        Check("D43", Phrase("password policies of accounts"), _E, _CONTENT, records.password_policies,
          Phrase("Under a foreign policy an account may log in after its end; wrong passwords can block a "
                 "protected one.")),
        Check("D44", Phrase("passwords in clear"), _E, _SERVER, server_settings.passwords_in_clear,
          Phrase("A server that takes passwords in clear over TCP lets anybody on the way read them.")),
        Check("D47", Phrase("canaries"), _E, _CONTENT, records.canaries,
          Phrase("An account that must be refused can log in: others like it can, too.")),
        Check("D50", Phrase("heads of the journal in syslog"), _E, _CONTENT, journal.syslog,
          Phrase("Without syslog, a journal that is made anew is not noticed.")),
        Check("D51", Phrase("writes without the journal"), _E, _CONTENT, journal.writes,
          Phrase("Somebody may have used the password of an identity without piactl.")),
        Check("D53", Phrase("rules of sudo and groups"), _E, _HOST, this_host.sudo,
          Phrase("Whoever runs another program as piactl's user, or fills its groups, has the passwords.")),
        Check("D55", Phrase("drift"), _E, _CONTENT, changed_accounts.drift,
          Phrase("Another program changed accounts; the first to see is what gives access.")),
        Check("D56", Phrase("entries that are gone"), _E, _CONTENT, changed_accounts.gone,
          Phrase("People whose entry is gone are held until somebody decides.")),
        Check("D57", Phrase("names and matricules"), _E, _CONTENT, changed_accounts.names,
          Phrase("A name or matricule of two accounts lets one person act, or get mail, for the other.")),
        Check("D59", Phrase("open cases"), _E, _CONTENT, records.cases,
          Phrase("A newcomer without a decision has no account; a row without one is not applied.")),
        Check("D64", Phrase("groups"), _E, _SERVER, server_settings.groups,
          Phrase("Groups are empty, or somebody who left stays in one.")),
        Check("D65", Phrase("approvals"), _E, _CONTENT, records.approvals,
          Phrase("A plan that needs another person cannot be approved, or by nobody else.")),
        Check("D68", Phrase("numbers for Unix hosts"), _E, _CONTENT, records.numbers,
          Phrase("Two people with one number share files on Unix hosts.")),
        Check("D69", Phrase("comparisons"), _E, _SERVER, server_settings.comparisons,
          Phrase("One comparison, even an anonymous one, can end slapd 2.6.")),
        Check("D70", Phrase("guesses of passwords"), _E, _SERVER, rights.guesses,
          Phrase("Anybody with an account can try the passwords of others, and nothing counts it.")),
        Check("D71", Phrase("replication"), _E, _SERVER, servers.replication,
          Phrase("With plain syncrepl, a password that its owner changes elsewhere at that moment undoes a "
                 "lock.")),
        Check("D72", Phrase("server that is written to"), _E, _SERVER, rights.written_server,
          Phrase("Two servers that are written to give one address to two people, and undo locks.")),
        Check("D73", Phrase("version of the server"), _E, _SERVER, servers.version,
          Phrase("The shipped settings do not load in OpenLDAP 2.5, and one rename fails there in every "
                 "night.")),
    )
}  # fmt: skip
