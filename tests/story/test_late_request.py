"""A request that a proxy held while its run gave up, and delivers while the next run writes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.directory.spoiling_proxy import BIND, MODIFY, Wire, operation

from .academy import Academy
from .feeds import row

DAY, NEXT, LATER = "2026-09-07", "2026-09-08", "2026-09-09"
WORDS = ", which was read back as not made, was made later"
IDA = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Rollin"}

LEO = {"matricule": "2001", "prenom": "Leo", "nom_famille": "Morel"}


class Holding(Wire):
    """It holds the first change of `held` and then refuses everything, until `free`. What it held comes to
    the server just before the first change of `trigger`."""

    def __init__(self, target: Path, held: bytes, trigger: bytes) -> None:
        self.holds, self.late = True, list[bytes]()
        self._of, self._trigger, self._bind = held, trigger, b""
        super().__init__(target)

    def free(self) -> None:
        self.holds = False

    def _request(self, message: bytes, client: Any, server: Any, spoiled: Any) -> None:
        _, tag = operation(message)
        if tag == BIND and self.holds and not self.late:
            self._bind = message
        if self.holds and (self.late or (tag == MODIFY and self._of in message)):
            self.late = self.late or [message]
            raise ConnectionResetError
        if tag == MODIFY and self._trigger in message and self.late:
            self._deliver()
        super()._request(message, client, server, spoiled)

    def _deliver(self) -> None:
        late, self.late = self.late, []
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._target))
            for message in (self._bind, *late):
                connection.sendall(message)
                assert connection.recv(65536)


@pytest.fixture
def held(make_academy: Callable[..., Academy]) -> Iterator[tuple[Academy, Holding]]:
    """Claire's writes are held, and come with those of Ida."""
    academy = make_academy()
    academy.night(DAY, academy.feed(row(), row(**IDA), row(**LEO), day=DAY))
    proxy = Holding(academy.sandbox.socket, b"uid=claire.dubreuil,", b"uid=ida.rollin,")
    academy.edit("piactl.yaml", f"{academy.sandbox.uri}", proxy.uri)
    yield academy, proxy
    proxy.close()


@pytest.mark.parametrize("again", [False, True])
def test_a_night_says_that_a_write_it_had_settled_came_late(
    held: tuple[Academy, Holding], *, again: bool
) -> None:
    academy, proxy = held
    false = academy.feed(row(fonction="DIR"), row(**IDA), row(**LEO), day=NEXT)
    assert academy.spawn("nightly", false, "--as-of", NEXT).code == 8
    proxy.free()
    people = [row(), row(**IDA, civilite="MME"), row(**LEO)]
    words = WORDS
    if again:  # the same feed, so the writes of this run are those of the run before
        academy.night(LATER, academy.feed(row(fonction="DIR"), row(**IDA), row(**LEO), day=LATER))
        assert words not in academy.said[-1]
        return
    ran = academy.night(LATER, academy.feed(*people, day=LATER), code=5)
    assert "0 had been made" in ran.err
    (problem,) = ran.json["problems"]
    assert problem["uid"] == "claire.dubreuil"
    assert words in problem["message"]
    assert "DIR" in str(academy.show("claire.dubreuil", LATER))
    academy.night(LATER, academy.feed(*people, day=LATER))
    assert academy.run("journal", "verify").code == 0


@pytest.mark.parametrize("comes_with", ["night", "command"])
def test_what_a_one_off_command_settled_is_looked_at_again(
    held: tuple[Academy, Holding], comes_with: str
) -> None:
    academy, proxy = held
    false = academy.feed(row(fonction="DIR"), row(**IDA), row(**LEO), day=NEXT)
    assert academy.spawn("nightly", false, "--as-of", NEXT).code == 8
    proxy.free()
    why = ("--reason", "stolen", "--yes", "--as-of", LATER)
    ran = academy.run("account", "lock", "leo.morel", *why)
    assert (ran.code, "0 had been made" in ran.err) == (0, True), ran
    people = [row(), row(**IDA, civilite="MME"), row(**LEO)]
    if comes_with == "command":
        enroll = ("otp", "enroll", "leo.morel", "--uri-file", academy.folder / "device")
        for words in (("account", "lock", "ida.rollin", *why), enroll):  # the second one finds it there
            ran = academy.run(*words)
            said = "claire.dubreuil: a write of run" in ran.err and WORDS in ran.err
            assert (ran.code, said) == (5, True), ran
    ran = academy.night(LATER, academy.feed(*people, day=LATER), code=5)
    (problem,) = ran.json["problems"]
    assert problem["uid"] == "claire.dubreuil"
    assert WORDS in problem["message"]
    academy.night(LATER, academy.feed(*people, day=LATER))
    assert academy.run("journal", "verify").code == 0
