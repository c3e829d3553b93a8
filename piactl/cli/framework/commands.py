"""The table of commands, so that only the requested one is loaded.

A new command needs one line here: its words, its module in piactl.cli.commands, its function, and a summary
of at most sixty characters. A new noun also needs a line in NOUNS. The docstring of the function is its help,
and ends with an example.
"""

from __future__ import annotations

from collections.abc import Mapping

NOUNS: Mapping[str, str] = {
    "runs": "List and show runs, and rewind the day of the last run.",
    "feed": "Check HR feeds, and write their rejected rows to a file.",
    "account": "Show, create, rename, lock and close accounts.",
    "assignment": "Add, end and move assignments by hand.",
    "exception": "Grant or deny one service to one account until a date.",
    "override": "List and end changes by hand to the HR data.",
    "match": "List and decide cases: whose account is it?",
    "drift": "Show and decide what other programs changed on accounts.",
    "service": "Show the services of the policy and who gets them.",
    "profile": "Show the profiles of the policy and what they give.",
    "password": "Issue activation passwords, lift blocks, check passwords.",
    "otp": "Enrol, verify, suspend and show one-time-code devices.",
    "key": "List, add and retire digest keys.",
    "journal": "Show, verify, export and prune the journal of this host.",
    "guards": "Compare the limits of guards with ordinary nights.",
    "policy": "Compare and test policies before they are live.",
    "sandbox": "Run a private directory for trials.",
}

COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "init": ("init_and_sandbox", "init", "Write a first configuration to edit."),
    "plan": ("plan", "plan", "Show what would change, and why."),
    "apply": ("plan", "apply", "Apply exactly this plan, entry by entry."),
    "approve": ("approve", "approve", "Approve a plan, as a second person."),
    "reject": ("approve", "reject", "Reject a plan and its feeds, as a second person."),
    "nightly": ("nightly", "nightly", "Read the feeds, plan, check the guards and apply, in one run."),
    "undo": ("undo", "undo", "Undo a run, account by account."),
    "adopt": ("adopt", "adopt", "Take over existing entries of the directory as accounts."),
    "recover": ("recover", "recover", "Show runs that the directory lacks, and accept the loss."),
    "status": ("runs_and_status", "status", "Show the last runs, what waits, and what comes next."),
    "doctor": ("doctor", "doctor", "Check everything that piactl relies on."),
    "forecast": ("forecast", "forecast", "Show what dates alone will change, day by day."),
    "rehearse": ("rehearse", "rehearse", "Rehearse the nights of a period, before they are live."),
    "why": ("why", "why", "Explain a state, a right or a refused log in."),
    "runs list": ("runs_and_status", "list_", "List the runs, the latest first."),
    "runs show": ("runs_and_status", "show", "Show the command and the outcome of one run."),
    "runs rewind": ("runs_and_status", "rewind", "Set the day of the last run back after a wrong clock."),
    "feed check": ("feed", "check", "Report everything that is wrong with a feed."),
    "feed rejects": ("feed", "rejects", "Write the rejected rows of a feed to a file, with reasons."),
    "feed score": ("feed", "score", "Show how good the feeds of the last months were."),
    "account list": ("account", "list_", "List the accounts, by uid."),
    "account find": ("account", "find", "Find accounts by the names of people."),
    "account show": ("account", "show", "Show accounts on any day."),
    "account create": ("account_edit", "create", "Create an account for a person who is not in the HR data."),
    "account rename": ("account_edit", "rename", "Change the usage name of a person; the address follows."),
    "account lock": ("account_edit", "lock", "Lock accounts at once."),
    "account unlock": ("account_edit", "unlock", "Lift an administrator's lock."),
    "account close": ("account_edit", "close", "Close accounts: end all their assignments."),
    "account reopen": ("account_edit", "reopen", "Reopen closed accounts."),
    "account extend": ("account_edit", "extend", "Extend accounts to a later day."),
    "account rekey": ("account_edit", "rekey", "Give a person another matricule of HR."),
    "account merge": ("account_edit", "merge", "Merge two accounts of one person."),
    "account split": ("account_edit", "split", "Split an account that two people share."),
    "account timeline": ("account_history", "timeline", "Draw the life of an account over time."),
    "account history": ("account_history", "history", "Show the changes of an account: when, who, why."),
    "account export": ("account_history", "export", "Show all that is stored about one person."),
    "assignment add": ("assignment", "add", "Add an assignment to accounts."),
    "assignment end": ("assignment", "end_", "End an assignment on a day."),
    "assignment move": ("assignment", "move", "Move accounts to another establishment."),
    "exception grant": (
        "exception_and_override",
        "grant",
        "Give accounts a service that the policy does not give.",
    ),
    "exception deny": ("exception_and_override", "deny", "Deny accounts a service that the policy gives."),
    "exception end": ("exception_and_override", "end_exceptions", "End exceptions before their day."),
    "exception list": (
        "exception_and_override",
        "list_exceptions",
        "List the exceptions that have not ended.",
    ),
    "override list": ("exception_and_override", "list_overrides", "List the overrides that have not ended."),
    "override end": ("exception_and_override", "end_overrides", "End overrides before their day."),
    "match list": ("match_and_drift", "list_cases", "List the open cases, by age."),
    "match show": (
        "match_and_drift",
        "show_case",
        "Show a case, its evidence and what each answer would do.",
    ),
    "match same": ("match_and_drift", "same", "Decide that the feed row and the account are one person."),
    "match different": ("match_and_drift", "different", "Decide that they are two people."),
    "match wrong-row": ("match_and_drift", "wrong_row", "Decide that the feed row is wrong."),
    "match forget": ("match_and_drift", "forget", "Take back the decision of a case."),
    "drift list": ("match_and_drift", "list_drift", "List what other programs changed on accounts."),
    "drift show": ("match_and_drift", "show_drift", "Show what other programs changed on accounts."),
    "drift revert": ("match_and_drift", "revert", "Put back what other programs changed."),
    "drift adopt": ("match_and_drift", "adopt", "Adopt the addresses that other programs gave accounts."),
    "drift override": ("match_and_drift", "override", "Keep what other programs changed until a day."),
    "policy diff": ("policy", "diff", "Show whom another policy touches, and why."),
    "policy test": ("policy", "check_cases", "Test the policy with cases of your own."),
    "guards suggest": ("guards", "suggest", "Show the limits beside what ordinary nights counted."),
    "service list": ("policy", "list_services", "List the services of the policy."),
    "service show": ("policy", "show_service", "Show the delays of one service and who gets it."),
    "profile list": ("policy", "list_profiles", "List the profiles in the order they are tried."),
    "profile show": ("policy", "show_profile", "Show whom one profile fits and what it gives."),
    "password activate": ("password", "activate", "Give accounts a password for the first log in."),
    "password reset": ("password", "reset", "Give an activation password after a proof of identity."),
    "password approve": (
        "approve",
        "approve_password",
        "Approve an activation password, as a second person.",
    ),
    "password requests": ("approve", "requests", "List what waits for a second person, or withdraw it."),
    "password unblock": ("password", "unblock", "Lift a block by wrong passwords."),
    "password check": ("password", "check", "Report everything that is wrong with a new password."),
    "otp enroll": ("otp", "enroll", "Create a device and show it once as a QR code."),
    "otp verify": ("otp", "verify", "Put a new device in force with one of its codes."),
    "otp check": ("otp", "check", "Check a code of the device in force, for a portal."),
    "otp approve": ("approve", "approve_device", "Approve another device, as a second person."),
    "otp show": ("otp", "show", "Show devices: in force, last use, clock."),
    "otp suspend": ("otp", "suspend", "Suspend a lost device; logging in is refused."),
    "otp resume": ("otp", "resume", "Put a suspended device in force again."),
    "otp remove": ("otp", "remove", "Remove devices; the password alone is enough again."),
    "otp resync": ("otp", "resync", "Resynchronise a device whose clock is wrong."),
    "key list": ("key", "list_", "List the digest keys, and how many entries need each."),
    "key add": ("key", "add", "Create a digest key and make it the current one."),
    "key retire": ("key", "retire", "Remove a digest key that is no longer needed."),
    "journal show": ("journal", "show", "Show changes with their author and outcome."),
    "journal verify": ("journal", "verify", "Verify that no line was edited, removed, reordered or cut."),
    "journal export": ("journal", "export", "Print the lines of a period as they are."),
    "journal prune": ("journal", "prune", "Remove the oldest files of the journal."),
    "journal begin": ("journal", "begin", "Begin a new journal after its lines were lost."),
    "journal close": ("journal", "close", "Close the journals that other Unix users had."),
    "events": ("events", "events", "Show what became of accounts, for other programs."),
    "completion": ("completion", "completion", "Print the completion script for a shell."),
    "sandbox start": ("init_and_sandbox", "start", "Start the sandbox; create it if it does not exist."),
    "sandbox stop": ("init_and_sandbox", "stop", "Stop the sandbox; its data stay."),
    "sandbox status": ("init_and_sandbox", "status", "Show whether the sandbox runs, and where."),
}


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
