"""The table of commands, so that only the requested one is loaded.

A new command needs one line here: its words, its module in piactl.cli.commands, its function, a summary of
at most sixty characters, and the roles that have it. A new noun also needs a line in NOUNS. The docstring of
the function is its help, and ends with an example.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from piactl.host.roles_of_caller import Role

_ROOT = (Role.ROOT,)
_ADMINISTRATOR = (Role.ADMINISTRATOR,)
_APPROVER = (Role.APPROVER,)
_DESK = (Role.DESK, Role.ADMINISTRATOR)
_BOTH = (Role.ADMINISTRATOR, Role.APPROVER)
_READING = (Role.DESK, Role.ADMINISTRATOR, Role.APPROVER)
_PORTAL = (Role.DESK, Role.ADMINISTRATOR, Role.PORTAL)
_NIGHTS = (Role.ADMINISTRATOR, Role.SERVICE)
EVERYBODY = tuple(Role)


class Command(NamedTuple):
    """A line of the table. `roles` are those that have the command on a host; root has each."""

    module: str
    function: str
    summary: str
    roles: tuple[Role, ...] = ()


WITHOUT_HOST = ("init", "sandbox", "completion")
"""The first words of commands that need no host of piactl, so everybody runs them as themselves."""


NOUNS: Mapping[str, str] = {
    "runs": "List and show runs, and rewind the day of the last run.",
    "feed": "Check HR feeds, and write their rejected rows to a file.",
    "account": "Show, create, rename, lock and close accounts.",
    "assignment": "Add, end and move assignments by hand; list those that end.",
    "exception": "Grant or deny one service to one account until a date.",
    "override": "List and end changes by hand to the HR data.",
    "match": "List and decide cases: whose account is it?",
    "drift": "Show and decide what other programs changed on accounts.",
    "establishment": "Find establishments of the register and their UAI.",
    "service": "Show the services of the policy and who gets them.",
    "profile": "Show the profiles of the policy and what they give.",
    "password": "Issue activation passwords, lift blocks, check passwords.",
    "otp": "Enrol, verify, suspend and show one-time-code devices.",
    "key": "List, add and retire digest keys.",
    "journal": "Show, verify, export and prune the journal of this host.",
    "guards": "Compare the limits of guards with ordinary nights.",
    "policy": "Check, compare and test policies before they are live.",
    "sandbox": "Run a private directory for trials.",
}

GROUPS: Mapping[str, str] = {
    "Every day:": "nightly plan apply undo status doctor why account exception match password otp",
    "More about people and feeds:": "assignment override drift feed runs forecast establishment",
    "As a second person:": "approve reject",
    "Policy and trials:": "policy service profile guards rehearse sandbox",
    "Set up, restore and audit:": "init adopt recover roles key journal events completion",
}
"""The first words of the commands by what people do, as the help shows them."""

COMMANDS: Mapping[str, Command] = {
    "init": Command("init", "init", "Write a first configuration to edit.", _ROOT),
    "plan": Command("plan", "plan", "Show what would change, and why.", (*_BOTH, Role.SERVICE)),
    "apply": Command("plan", "apply", "Apply exactly this plan, entry by entry.", _ADMINISTRATOR),
    "approve": Command("approve", "approve", "Approve a plan, as a second person.", _APPROVER),
    "reject": Command("approve", "reject", "Reject a plan and its feeds, as a second person.", _APPROVER),
    "nightly": Command(
        "nightly", "nightly", "Read the feeds, plan, check the guards and apply, in one run.", _NIGHTS
    ),
    "undo": Command("undo", "undo", "Undo a run, account by account.", _ADMINISTRATOR),
    "adopt": Command(
        "adopt", "adopt", "Take over existing entries of the directory as accounts.", _ADMINISTRATOR
    ),
    "recover": Command(
        "recover", "recover", "Show runs that the directory lacks, and accept the loss.", _ADMINISTRATOR
    ),
    "status": Command("status", "status", "Show the last runs, what waits, and what comes next.", _READING),
    "doctor": Command("doctor", "doctor", "Check everything that piactl relies on.", _ADMINISTRATOR),
    "roles": Command("roles", "roles", "Show who you are for piactl, and what you may do.", EVERYBODY),
    "forecast": Command(
        "forecast", "forecast", "Show what dates alone will change, day by day.", _ADMINISTRATOR
    ),
    "rehearse": Command(
        "rehearse", "rehearse", "Rehearse the nights of a period, before they are live.", _ADMINISTRATOR
    ),
    "why": Command("why", "why", "Explain a state, a right or a refused log in.", _READING),
    "runs list": Command("runs", "list_", "List the runs, the latest first.", _BOTH),
    "runs show": Command("runs", "show", "Show the command and the outcome of one run.", _BOTH),
    "runs rewind": Command(
        "runs", "rewind", "Set the day of the last run back after a wrong clock.", _ADMINISTRATOR
    ),
    "feed check": Command("feed", "check", "Report everything that is wrong with a feed.", _ADMINISTRATOR),
    "feed rejects": Command(
        "feed", "rejects", "Write the rejected rows of a feed to a file, with reasons.", _ADMINISTRATOR
    ),
    "feed score": Command(
        "feed", "score", "Show how good the feeds of the last months were.", _ADMINISTRATOR
    ),
    "account list": Command("account", "list_", "List the accounts, by uid.", _DESK),
    "account find": Command(
        "account_find", "find", "Find accounts by what somebody says of a person.", _DESK
    ),
    "account show": Command("account", "show", "Show accounts on any day.", _READING),
    "account create": Command(
        "account_edit", "create", "Create an account for a person who is not in the HR data.", _ADMINISTRATOR
    ),
    "account rename": Command(
        "account_edit", "rename", "Change the usage name of a person; the address follows.", _ADMINISTRATOR
    ),
    "account lock": Command("account_edit", "lock", "Lock accounts at once.", _ADMINISTRATOR),
    "account unlock": Command("account_edit", "unlock", "Lift an administrator's lock.", _ADMINISTRATOR),
    "account close": Command(
        "account_edit", "close", "Close accounts: end all their assignments.", _ADMINISTRATOR
    ),
    "account reopen": Command("account_edit", "reopen", "Reopen closed accounts.", _ADMINISTRATOR),
    "account extend": Command("account_edit", "extend", "Extend accounts to a later day.", _ADMINISTRATOR),
    "account rekey": Command(
        "account_edit", "rekey", "Give a person another matricule of HR.", _ADMINISTRATOR
    ),
    "account merge": Command("account_edit", "merge", "Merge two accounts of one person.", _ADMINISTRATOR),
    "account split": Command(
        "account_edit", "split", "Split an account that two people share.", _ADMINISTRATOR
    ),
    "account timeline": Command(
        "account_history", "timeline", "Draw the life of an account over time.", _DESK
    ),
    "account history": Command(
        "account_history", "history", "Show the changes of an account: when, who, why.", _DESK
    ),
    "account export": Command(
        "account_export", "export", "Show all that is stored about one person.", _ADMINISTRATOR
    ),
    "assignment add": Command("assignment", "add", "Add an assignment to accounts.", _ADMINISTRATOR),
    "assignment end": Command("assignment", "end_", "End an assignment on a day.", _ADMINISTRATOR),
    "assignment move": Command(
        "assignment", "move", "Move accounts to another establishment.", _ADMINISTRATOR
    ),
    "assignment list": Command(
        "assignment", "list_", "List the assignments that end, by establishment.", _DESK
    ),
    "exception grant": Command(
        "exception",
        "grant",
        "Give accounts a service that the policy does not give.",
        _ADMINISTRATOR,
    ),
    "exception deny": Command(
        "exception", "deny", "Deny accounts a service that the policy gives.", _ADMINISTRATOR
    ),
    "exception end": Command(
        "exception", "end_exceptions", "End exceptions before their day.", _ADMINISTRATOR
    ),
    "exception list": Command(
        "exception",
        "list_exceptions",
        "List the exceptions that have not ended.",
        _ADMINISTRATOR,
    ),
    "override list": Command(
        "exception", "list_overrides", "List the overrides that have not ended.", _ADMINISTRATOR
    ),
    "override end": Command("exception", "end_overrides", "End overrides before their day.", _ADMINISTRATOR),
    "match list": Command("match", "list_cases", "List the open cases, by age.", _ADMINISTRATOR),
    "match show": Command(
        "match",
        "show_case",
        "Show a case, its evidence and what each answer would do.",
        _ADMINISTRATOR,
    ),
    "match same": Command(
        "match", "same", "Decide that the feed row and the account are one person.", _ADMINISTRATOR
    ),
    "match different": Command("match", "different", "Decide that they are two people.", _ADMINISTRATOR),
    "match wrong-row": Command("match", "wrong_row", "Decide that the feed row is wrong.", _ADMINISTRATOR),
    "match forget": Command("match", "forget", "Take back the decision of a case.", _ADMINISTRATOR),
    "drift list": Command(
        "drift", "list_drift", "List what other programs changed on accounts.", _ADMINISTRATOR
    ),
    "drift show": Command(
        "drift", "show_drift", "Show what other programs changed on accounts.", _ADMINISTRATOR
    ),
    "drift revert": Command("drift", "revert", "Put back what other programs changed.", _ADMINISTRATOR),
    "drift adopt": Command(
        "drift", "adopt", "Adopt the addresses that other programs gave accounts.", _ADMINISTRATOR
    ),
    "drift override": Command(
        "drift", "override", "Keep what other programs changed until a day.", _ADMINISTRATOR
    ),
    "policy check": Command(
        "doctor", "check", "Check the files of a configuration, without a server.", _ADMINISTRATOR
    ),
    "policy diff": Command("policy", "diff", "Show whom another policy touches, and why.", _ADMINISTRATOR),
    "policy test": Command(
        "policy", "check_cases", "Test the policy with cases of your own.", _ADMINISTRATOR
    ),
    "guards suggest": Command(
        "guards", "suggest", "Show the limits beside what ordinary nights counted.", _ADMINISTRATOR
    ),
    "establishment list": Command("establishment", "list_", "List establishments, to find a UAI.", _READING),
    "service list": Command("policy", "list_services", "List the services of the policy.", _ADMINISTRATOR),
    "service show": Command(
        "policy", "show_service", "Show the delays of one service and who gets it.", _ADMINISTRATOR
    ),
    "profile list": Command(
        "policy", "list_profiles", "List the profiles in the order they are tried.", _ADMINISTRATOR
    ),
    "profile show": Command(
        "policy", "show_profile", "Show whom one profile fits and what it gives.", _ADMINISTRATOR
    ),
    "password activate": Command(
        "password", "activate", "Give accounts a password for the first log in.", _DESK
    ),
    "password reset": Command(
        "password", "reset", "Give an activation password after a proof of identity.", _DESK
    ),
    "password approve": Command(
        "approve", "approve_password", "Approve an activation password, as a second person.", _DESK
    ),
    "password requests": Command(
        "approve", "requests", "List what waits for a second person, or withdraw it.", _DESK
    ),
    "password unblock": Command("password", "unblock", "Lift a block by wrong passwords.", _DESK),
    "password check": Command(
        "password", "check", "Report everything that is wrong with a new password.", _PORTAL
    ),
    "otp enroll": Command("otp", "enroll", "Create a device and show it once as a QR code.", _DESK),
    "otp verify": Command("otp", "verify", "Put a new device in force with one of its codes.", _DESK),
    "otp check": Command("otp", "check", "Check a code of the device in force, for a portal.", _PORTAL),
    "otp approve": Command("approve", "approve_device", "Approve another device, as a second person.", _DESK),
    "otp show": Command("otp", "show", "Show devices: in force, last use, clock.", _DESK),
    "otp suspend": Command("otp", "suspend", "Suspend a lost device; logging in is refused.", _DESK),
    "otp resume": Command("otp", "resume", "Put a suspended device in force again.", _DESK),
    "otp remove": Command("otp", "remove", "Remove devices; the password alone is enough again.", _DESK),
    "otp resync": Command("otp", "resync", "Resynchronise a device whose clock is wrong.", _DESK),
    "key list": Command("key", "list_", "List the digest keys, and how many entries need each.", _ROOT),
    "key add": Command("key", "add", "Create a digest key and make it the current one.", _ROOT),
    "key retire": Command("key", "retire", "Remove a digest key that is no longer needed.", _ROOT),
    "journal show": Command("journal", "show", "Show changes with their author and outcome.", _ADMINISTRATOR),
    "journal verify": Command(
        "journal", "verify", "Verify that no line was edited, removed, reordered or cut.", _ADMINISTRATOR
    ),
    "journal export": Command(
        "journal", "export", "Print the lines of a period as they are.", _ADMINISTRATOR
    ),
    "journal prune": Command("journal", "prune", "Remove the oldest files of the journal.", _ROOT),
    "journal begin": Command("journal", "begin", "Begin a new journal after its lines were lost.", _ROOT),
    "journal close": Command("journal", "close", "Close the journals that other Unix users had.", _ROOT),
    "events": Command("events", "events", "Show what became of accounts, for other programs.", _NIGHTS),
    "completion": Command("completion", "completion", "Print the completion script for a shell.", EVERYBODY),
    "sandbox start": Command("sandbox", "start", "Start the sandbox; create it if it does not exist.", _ROOT),
    "sandbox stop": Command("sandbox", "stop", "Stop the sandbox; its data stay.", _ROOT),
    "sandbox status": Command("sandbox", "status", "Show whether the sandbox runs, and where.", _ROOT),
}


def asked_form(arguments: Sequence[str]) -> str:
    """The form that `-o` asks for, "" if none does, also in words that cannot be parsed."""
    form = ""
    for word, after in zip(arguments, [*arguments[1:], ""], strict=True):
        option = _OUTPUT.fullmatch(word)
        if option:
            form = (option[1] or after).removeprefix("=")
    return form


_OUTPUT = re.compile("(?:--output=|-y?o)(.+)|--output|-y?o")


def asked(arguments: list[str]) -> tuple[str, str]:
    """The first two words of the command in the arguments, without options; "" if there is none."""
    words: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--config" and not words:
            skip = True
        elif not argument.startswith("-") or argument == "-":
            words.append(argument)
            if len(words) == 2 or words[0] not in NOUNS:
                break
    return (words[0] if words else "", words[1] if len(words) > 1 else "")
