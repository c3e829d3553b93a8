"""Every command by its words: where it is and what it is for, known without loading it.

A new command is one line here: its words, its module in piactl.cli.commands, its function there, and what
it does in at most some sixty characters. A new noun has a line in NOUNS as well. Only the command that is
asked for is loaded; its own help is the docstring of its function.
"""

from __future__ import annotations

from collections.abc import Mapping

NOUNS: Mapping[str, str] = {
    "runs": "The runs that wrote, and what became of them.",
    "feed": "HR feeds: check a file, write out its rejected rows.",
    "account": "Accounts: show, make, rename, lock, close, follow them.",
    "assignment": "Assignments by hand: added, ended, moved.",
    "exception": "Dated grants and denials of one service to one account.",
    "override": "Changes by hand that hold against HR until their day.",
    "service": "Services of the policy: what they are, who gets them.",
    "profile": "Profiles of the policy: whom they fit, what they give.",
    "password": "Activation passwords, resets, blocks, the rules.",
    "otp": "One-time-code devices: enrol, verify, suspend, show.",
    "key": "Keys of the digests: list, add, retire.",
    "journal": "The journal of changes on this host, provable.",
    "sandbox": "A private slapd with schema, policy and configuration.",
}

COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "init": ("init", "init", "Write a first configuration to edit."),
    "plan": ("plan", "plan", "Show what would change, and why."),
    "apply": ("plan", "apply", "Apply exactly this plan, entry by entry."),
    "nightly": ("nightly", "nightly", "Read the feeds, plan, check the guards and apply, in one run."),
    "undo": ("undo", "undo", "Put back what a run changed, account by account."),
    "adopt": ("adopt", "adopt", "Take over existing entries of the directory as accounts."),
    "recover": ("recover", "recover", "Show the runs that the directory lacks, and accept that."),
    "doctor": ("doctor", "doctor", "Check everything that piactl relies on."),
    "forecast": ("forecast", "forecast", "Show what dates alone will change, day by day."),
    "why": ("why", "why", "Explain a state, a right or a refused log in."),
    "runs list": ("runs", "list_", "List the runs, the latest first."),
    "runs show": ("runs", "show", "Show one run: its command and its outcome."),
    "runs rewind": ("runs", "rewind", "Set the day of the last run back after a wrong clock."),
    "feed check": ("feed", "check", "Report everything that is wrong with a feed."),
    "feed rejects": ("feed", "rejects", "Write the rejected rows of a feed to a file, with reasons."),
    "account list": ("account", "list_", "List the accounts, by uid."),
    "account show": ("account", "show", "Show accounts as of any day."),
    "account create": ("account_edit", "create", "Create an account for a person who is not in the HR data."),
    "account rename": ("account_edit", "rename", "Give a person another usage name; the address follows."),
    "account lock": ("account_edit", "lock", "Lock accounts at once."),
    "account unlock": ("account_edit", "unlock", "Lift an administrator's lock."),
    "account close": ("account_edit", "close", "Close accounts: all their assignments end."),
    "account reopen": ("account_edit", "reopen", "Open closed accounts again."),
    "account timeline": ("account_timeline", "timeline", "Draw the life of an account over time."),
    "account history": (
        "account_history",
        "history",
        "Show the changes of an account: when, who, why.",
    ),
    "assignment add": ("assignment", "add", "Give accounts one more assignment."),
    "assignment end": ("assignment", "end_", "End an assignment on a day."),
    "assignment move": ("assignment", "move", "Move accounts: one assignment ends, another starts."),
    "exception grant": ("exception", "grant", "Give accounts a service that the policy does not give."),
    "exception deny": ("exception", "deny", "Deny accounts a service that the policy gives."),
    "exception end": ("exception", "end_", "End exceptions before their day."),
    "exception list": ("exception", "list_", "List the exceptions that have not ended."),
    "override list": ("override", "list_", "List the overrides in force."),
    "override end": ("override", "end_", "End overrides before their day."),
    "service list": ("policy", "list_services", "List the services of the policy."),
    "service show": ("policy", "show_service", "Show one service: its delays, who gets it."),
    "profile list": ("policy", "list_profiles", "List the profiles in the order they are tried."),
    "profile show": ("policy", "show_profile", "Show one profile: whom it fits, what it gives."),
    "password activate": ("password", "activate", "Give accounts a password for the first log in."),
    "password reset": ("password", "reset", "Give an activation password after a proof of identity."),
    "password unblock": ("password", "unblock", "Lift a block by wrong passwords."),
    "password check": ("password", "check", "Report everything that is wrong with a new password."),
    "otp enroll": ("otp", "enroll", "Make a new device, shown once as a QR code."),
    "otp verify": ("otp", "verify", "Put a new device in force, with a code of it."),
    "otp show": ("otp", "show", "Show devices: in force, last use, clock."),
    "otp suspend": ("otp", "suspend", "Suspend a lost device: logging in is refused."),
    "otp resume": ("otp", "resume", "Give a suspended device back."),
    "otp remove": ("otp", "remove", "Take devices away: back to the password alone."),
    "otp resync": ("otp", "resync", "Resynchronise a device whose clock is wrong."),
    "key list": ("key", "list_", "List the keys of the digests, and what needs each."),
    "key add": ("key", "add", "Make a new key the current one."),
    "key retire": ("key", "retire", "Remove a key that nothing needs any more."),
    "journal show": ("journal", "show", "Show what was changed, by whom, with what outcome."),
    "journal verify": ("journal", "verify", "Prove that no line was edited, removed, reordered or cut."),
    "journal export": ("journal", "export", "Export a period to a file that proves itself."),
    "journal prune": ("journal", "prune", "Remove the oldest lines, with a provable cut."),
    "journal begin": ("journal", "begin", "Begin a journal anew whose lines are missing."),
    "completion": ("completion", "completion", "Print the completion of commands for your shell."),
    "sandbox start": ("sandbox", "start", "Start it, making what is missing."),
    "sandbox stop": ("sandbox", "stop", "Stop the process that start started; the data stay."),
    "sandbox status": ("sandbox", "status", "Show whether it runs, and where."),
}


def asked(arguments: list[str]) -> tuple[str, str]:
    """The first two words of the command that the arguments name, options left out; "" where none is."""
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
