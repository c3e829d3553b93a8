"""What a night does after its changes: it deletes old records, puts accounts under the right password
policy, and moves the feeds that were applied.

The changes do not depend on it, and failures are reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from piactl.core.model.policy import Approvals
from piactl.core.plan.write import Write
from piactl.directory.store.password_state import policy_writes
from piactl.directory.store.rare_entries import RareEntries, read_rare_entries
from piactl.directory.store.record_entries import APPROVALS, ATTEMPTS, REQUESTS
from piactl.edits.account_store import AccountStore
from piactl.edits.merge_split_rekey import finish_merges
from piactl.errors import DirectoryRefused, Exit, system_words
from piactl.feed.open_feed import digest_of_feed
from piactl.helpdesk.attempt_limits import forget_old_attempts
from piactl.helpdesk.second_person import forget_old_requests
from piactl.phrase import Phrase, counted
from piactl.runs.apply_plan import Housekeeping, write_beside
from piactl.runs.approvals import forget_old_approvals
from piactl.runs.run import Run


def housekeeping(approvals: Approvals, keep_days: int, rare: RareEntries) -> tuple[Housekeeping, ...]:
    """The steps, in order. Rejections of plans are kept for `keep_days` days. Password policies are looked
    for where the run found one that goes: it has written accounts since."""
    return (
        *((("", correct_policies),) if rare.odd_policies else ()),
        (ATTEMPTS, forget_old_attempts),
        (REQUESTS, forget_old_requests),
        (APPROVALS, partial(forget_old_approvals, rules=approvals, keep_days=keep_days)),
    )


def after_merges(run: Run, store: AccountStore) -> RareEntries:
    """The rare entries, once the merges that a crash cut short are finished. Called before the plan is
    made, which sees both accounts."""
    accounts = store.reader, store.directory, store.encoding, run.settings.password
    rare = read_rare_entries(*accounts)
    if rare.merging:
        finish_merges(run, store, rare.merging)
        rare = read_rare_entries(*accounts)
    return rare


def correct_policies(run: Run) -> int:
    """Takes accounts whose owner has chosen a password out of the policy of activation passwords, and removes
    password policies that the configuration does not name; returns how many accounts it changed.

    Under the former, wrong passwords delay a log in instead of a block: a directory that refuses the change
    does not stop the night. Under a policy that does not exist slapd counts neither ends nor wrong passwords.
    Names each account with a foreign one, because only somebody with the administrator's rights, or none at
    all, puts it there.
    """
    others, released = list[Write](), list[Write]()
    for uid, write, foreign in policy_writes(run.writer, run.settings.directory, run.settings.password):
        if foreign:
            run.say(
                Phrase(
                    "{uid}: names a foreign password policy, {policy}, which this run removes. Find out who "
                    "set it.",
                    uid=uid,
                    policy=foreign,
                )
            )
            reason = Phrase("its password policy {policy} is none of the configuration", policy=foreign)
            others.append(write.with_reason(uid, ("password",), reason))
        else:
            reason = Phrase("its owner has replaced the activation password")
            released.append(write.with_reason(uid, ("password",), reason))
    return _written(run, others, Phrase("under a foreign password policy")) + _written(
        run, released, Phrase("under the policy of activation passwords")
    )


def _written(run: Run, writes: Sequence[Write], where: str) -> int:
    """Makes the writes and returns how many were made; reports the accounts that stay `where` they are."""
    try:
        done = write_beside(run, writes)
    except DirectoryRefused as refused:
        accounts = counted(len(writes), "account stay", "accounts stay")
        run.say(Phrase("{accounts} {where}: {why}", accounts=accounts, where=where, why=str(refused)))
        return 0
    for uid, outcome, message in done.problems:
        run.say(
            Phrase(
                "{uid}: still {where}: {outcome}: {message}",
                uid=uid,
                where=where,
                outcome=outcome,
                message=message,
            )
        )
    return len(writes) - len(done.problems)


def move_applied_feeds(read: Sequence[tuple[str, Path]], folder: Path, say: Callable[[str], None]) -> int:
    """Moves the applied feeds, and each .md5 beside one, to `folder`. One that is not as it was read stays;
    a file of the same name there is numbered. `say` gets what could not be moved. Returns the exit code."""
    code = Exit.DONE
    for digest, path in read:
        if digest_of_feed(path) != digest:
            say(Phrase("{path}: was changed after it was read, and stays", path=path))
            continue
        moved = folder / path.name
        free = (folder / f"{path.name}.~{number}~" for number in count(1))
        try:
            if os.path.lexists(moved):
                moved.rename(next(name for name in free if not os.path.lexists(name)))
            path.rename(moved)
        except OSError as error:
            say(
                Phrase(
                    "{path}: was applied, and cannot be moved to {folder} ({reason}): move it yourself",
                    path=path,
                    folder=folder,
                    reason=system_words(error),
                )
            )
            code = Exit.PARTLY
    return int(code)
