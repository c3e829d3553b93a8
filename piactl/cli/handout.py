"""Handing out codes: to a terminal or a new file, and never one that was not set or that nobody can read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from piactl.cli import acting
from piactl.cli.acting import Manner
from piactl.cli.context import put, reading, say, writing
from piactl.cli.stopping import stop_on_signals
from piactl.errors import Exit, PiactlError, UsageError

if TYPE_CHECKING:
    from piactl.directory.port import Writer
    from piactl.flows.activating import Coded, Given
    from piactl.flows.handingout import CodeFile
    from piactl.flows.running import Order
    from piactl.flows.site import Site

Check = Callable[["Writer"], None]
"""The check of an identity; raises where it is not proved."""


def need_a_way(manner: Manner, to: str | None) -> None:
    """Raises UsageError where a code could reach nobody, or somebody it is not meant for."""
    if manner.dry_run or to:
        return
    if manner.output is not None:
        raise UsageError("printed results never hold a code: with -o add --to FILE")
    if not sys.stdout.isatty():
        raise UsageError(
            "a code is shown on a terminal or written to a new file, never to a pipe: add --to FILE"
        )


def hand_out(
    names: Sequence[str],
    manner: Manner,
    site: Site,
    order: Order,
    to: str | None,
    private_mail: bool,
    check: Check | None = None,
) -> int:
    """Prepares, asks, sets the codes, shows them; the exit code."""
    from piactl.flows.activating import give_codes, prepare_codes
    from piactl.flows.administering import Preparation

    need_a_way(manner, to)

    def prepared(reader: Any) -> tuple[list[Coded], Preparation]:
        coded = prepare_codes(reader, site, names, order, _now(), manner.identity)
        return coded, Preparation(tuple(one.prepared for one in coded))

    if manner.dry_run:
        with reading(site) as reader:
            return acting.finish(site, prepared(reader)[1], manner, acting.foretold)
    with writing(site, manner.identity) as writer:
        coded, preparation = prepared(writer)
        if not preparation.writes:
            return acting.finish(site, preparation, manner, acting.foretold)
        if not acting.agreed(site, preparation, manner):
            say("nothing was changed")
            return int(Exit.FAILED)
        # only what is under way is ended in good order; whoever is asked may leave at once
        with stop_on_signals() as stop:
            file = _code_file(to, private_mail)
            try:
                if check is not None:
                    check(writer)
                if file is not None:
                    file.promise(_rows(site, coded, None))
                given = give_codes(site, writer, order, coded, now=_now, say=say, stop=stop)
            except PiactlError:  # with no code set
                if file is not None:
                    file.drop()
                raise
    lost = _kept(file, _rows(site, coded, given))
    code = acting.finish(site, preparation, manner, given.became, run=order.run)
    if lost is None:
        _tell(site, coded, given, to)
    error = given.error or lost
    if error is not None:
        raise error
    return code


def _code_file(to: str | None, private_mail: bool) -> CodeFile | None:
    from piactl.flows.handingout import CodeFile

    return CodeFile(to, private_mail=private_mail) if to else None


def _kept(file: CodeFile | None, rows: Sequence[dict[str, str]]) -> PiactlError | None:
    try:
        if file is not None:
            file.keep(rows)
    except PiactlError as error:
        return error
    return None


def _rows(site: Site, coded: Sequence[Coded], given: Given | None) -> list[dict[str, str]]:
    """The rows of the file: of all codes, or, once given, of those that were set or may have been."""
    from piactl.flows.attempting import shown_time

    rows = []
    for one in coded:
        outcome = given.became(one.prepared)[0] if given is not None else ""
        if one.code is None or one.account is None or one.ends is None:
            continue
        if given is not None and outcome not in ("applied", "in doubt"):
            continue
        rows.append(
            {
                "uid": one.account.uid,
                "address": one.account.address or "",
                "display_name": one.account.display_name,
                "private_mail": _private_mail(site, one),
                "code": one.code.reveal(),
                "valid_until": shown_time(one.ends, site),
                "outcome": outcome,
            }
        )
    return rows


def _private_mail(site: Site, one: Coded) -> str:
    """Nothing for an address that leads to the mailbox which the code is to open."""
    account = one.account
    mail = account.private_mail if account is not None else ""
    return "" if mail.casefold().endswith(f"@{site.policy.domain.casefold()}") else mail


def _tell(site: Site, coded: Sequence[Coded], given: Given, to: str | None) -> None:
    """Shows the codes where no file has them, and says what follows."""
    from piactl.report.codetext import code_text

    rows = _rows(site, coded, given)
    if not rows:
        return
    if to is None:
        put(
            code_text(row["uid"], row["display_name"], row["address"], row["code"], row["valid_until"])
            for row in rows
        )
        say("shown this once: read it out or hand it over, then clear the screen")
    else:
        say(f"the codes are in {to}, mode 0600; delete it once they are handed over")
    say("applications that still log in with an old password stop; sessions that are open go on to their end")


def _now() -> datetime:
    from piactl.clock import utc_now

    return utc_now()
