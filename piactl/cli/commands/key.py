"""`key add|list|retire`: manages the digest keys."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.account_command import Manner, begin
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import DryRun, Output, Reason
from piactl.cli.framework.output import put, say, show_rows
from piactl.core.acts import ActRefused
from piactl.edits.carry_out_batch import carry_out
from piactl.errors import Exit, PiactlError
from piactl.helpdesk.key_rotation import (
    WHAT,
    Need,
    check_retirable,
    key_needs,
    prepare_reseals,
    refuse_needed,
)
from piactl.host.secret_files import add_key, drop_key, read_keys
from piactl.journal import in_doubt
from piactl.phrase import Phrase, counted
from piactl.runs.begin_run import begin_run
from piactl.runs.run_checks import announce_key

COLUMNS = (
    "key", "current", "here", "matricules", "archived", "numens", "births", "waiting", "devices",
    "attempts", "bases",
)  # fmt: skip


def list_(output: Output = None) -> int:
    """List the digest keys, the current one first, and how many entries need each.

    The column `here` says whether the key file of this host has the key. Without a key that entries need,
    this host cannot recognise the people of those entries.

    Example: piactl key list
    """
    configuration = this_configuration()
    keys = configuration.keys
    with reading(configuration) as reader:
        needs = key_needs(reader, configuration.settings.directory, configuration.unreadable)
    rows = [
        {
            "key": key or "(none)",
            "current": key == keys.current,
            "here": key in keys.keys,
            **{kind: needs.get(key, Need()).counts[kind] for kind in WHAT},
        }
        for key in dict.fromkeys([*keys.keys, *sorted(needs)])
    ]
    show_rows(rows, COLUMNS, output)
    lacking = [row["key"] for row in rows if not row["here"]]
    if lacking:
        say(
            Phrase(
                "the key file of this host, {keys_file}, lacks {names}: restore the lines from a copy or "
                "from another host",
                keys_file=configuration.settings.keys_file,
                names=", ".join(map(str, lacking)),
            )
        )
    return int(Exit.FAILED if lacking else Exit.DONE)


def add(
    name: Annotated[
        str, typer.Option("--id", help="The id of the new key; the next number by default.")
    ] = "",
    reason: Reason = "",
) -> int:
    """Create a digest key, make it the current one, and print its id. The older keys still verify.

    The key is added to the key file of this host. Copy the file to every other host before its next run: a
    host without the new key refuses to write. Digests move to the new key when feeds repeat their values.

    Example: piactl key add --reason "yearly rotation"
    """
    command = begin(Manner(reason, recorded=False))
    configuration = command.configuration
    path = configuration.settings.keys_file
    with command.writing() as writer:
        # refuse before any change: a host that lacks the current key must not add another
        with begin_run(command.run(), writer, locked=False) as run:
            fresh = add_key(path, name.strip())
            run.journal.note(Phrase("digest key {fresh} was made the current one", fresh=fresh))
        try:
            announce_key(writer, configuration.settings.directory.state, read_keys(path))
        except PiactlError as error:
            say(
                Phrase(
                    "key {fresh} is in {path}, but the directory cannot announce it to the other hosts: "
                    "{error}",
                    fresh=fresh,
                    path=path,
                    error=str(error),
                )
            )
    say(
        Phrase(
            "key {fresh} is the current one. Copy {path} to every other host now, and keep a copy elsewhere",
            fresh=fresh,
            path=path,
        )
    )
    say(Phrase("digests move to it with the next night that has a feed; see: piactl key list"))
    put([f"{fresh}\n"])
    return int(Exit.DONE)


def retire(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The id of a key that is not the current one.")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> int:
    """Remove a digest key from the key file if nothing needs it any more.

    Sealed secrets of devices move to the current key first. The command refuses, with numbers, while
    digests need the key. The digests of archived accounts never move to another key.

    Example: piactl key retire k0 --reason "rotated last year"
    """
    command = begin(Manner(reason, dry_run, recorded=False))
    configuration, retiring = command.configuration, command.run()
    settings, keys, unreadable = configuration.settings, configuration.keys, configuration.unreadable
    check_retirable(keys, key)
    with command.writing() as writer:
        needs = key_needs(writer, settings.directory, unreadable).get(key)
        sealed = needs.counts.pop("devices", 0) if needs else 0
        refuse_needed(key, needs, unreadable)
        if in_doubt(settings.journal_file):
            raise ActRefused(
                Phrase(
                    "key {key} stays: an earlier run left writes in doubt, and this key is needed to "
                    "check them.\n"
                    "Run piactl nightly, which reads them back, then try again",
                    key=key,
                )
            )
        if dry_run:
            secrets = counted(sealed, "sealed secret", "sealed secrets")
            gone = Phrase("key {key} would be removed from {file}", key=key, file=settings.keys_file)
            both = Phrase("{secrets} would move to {current}", secrets=secrets, current=keys.current)
            say(Phrase("{first}, and {second}", first=both, second=gone) if sealed else gone)
            return int(Exit.DONE)
        batch = prepare_reseals(configuration.accounts(writer), key, command.author.reason)
        moved = carry_out(writer, batch, retiring, lambda: "")
        if moved.error is not None:
            raise moved.error
        refuse_needed(key, key_needs(writer, settings.directory, unreadable).get(key), unreadable)
        with begin_run(retiring, writer, locked=False) as run:
            drop_key(settings.keys_file, key)
            run.journal.note(Phrase("digest key {key} was retired", key=key))
    say(
        Phrase(
            "key {key} was removed from {keys_file}. Remove it on the other hosts too; keep it in the "
            "copy as long as a backup of the directory may have to be restored",
            key=key,
            keys_file=settings.keys_file,
        )
    )
    put([f"{key}\n"])
    return int(Exit.DONE)
