"""Allocates uidNumbers: one for each person, never given twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from piactl.core.model.policy import PosixSettings
from piactl.phrase import Phrase


class Numbers:
    """The numbers in use, now or before, by accounts, archived accounts and unmanaged entries.

    `read` returns each with its owner: the uid of an account, or the DN of another entry. It is called when
    the first number is asked for. `gone` returns whether a number belonged to an account other than `uid`
    whose entry no longer exists. `lacking` are the uids of accounts that have no number because none is left,
    `shared` the numbers that two entries have, by uid of the account.
    """

    def __init__(
        self,
        settings: PosixSettings,
        read: Callable[[], Iterable[tuple[int, str]]],
        gone: Callable[[int, str], bool] = lambda _number, _uid: False,
    ) -> None:
        self.settings = settings
        self._read, self._gone = read, gone
        self._owners: dict[int, str] | None = None
        self._doubled: set[int] = set()
        self._taken: dict[str, int] = {}
        self._full = False
        self.lacking: set[str] = set()
        self.shared: dict[str, int] = {}

    @property
    def none_left(self) -> str:
        return Phrase(
            "no uidNumber is left from {first} to {last}: raise accounts.posix.last of the policy",
            first=self.settings.first,
            last=self.settings.last,
        )

    def remarks(self) -> Iterator[str]:
        """The remarks of a plan about accounts that have no number, or share it with another entry."""
        if self.lacking:
            yield Phrase("WARNING: accounts without a uidNumber: {number}", number=len(self.lacking))
            yield Phrase("WARNING: {warning}", warning=self.none_left)
        for uid, number in sorted(self.shared.items()):
            yield (
                Phrase(
                    "WARNING: {uid} has uidNumber {number}, which another entry has too: remove it from "
                    "one of them; until then it is not kept for the account",
                    uid=uid,
                    number=number,
                )
            )

    def number_for(self, uid: str, on_entry: str = "", dn: str = "", *, there: bool = False) -> int | None:
        """The number of an account that has none in its ledger: the one on its entry, None if another entry
        has or had it (noted in `shared`); if its entry has none, a free one, None if none is left. `dn` is an
        entry that piactl does not manage yet. An account that is `there` and gets no free number is noted in
        `lacking`."""
        if on_entry:
            if self.is_of(int(on_entry), dn or uid):
                return int(on_entry)
            self.shared[uid] = int(on_entry)
            return None
        number = self.take(uid)
        if number is None and there:
            self.lacking.add(uid)
        return number

    def take(self, uid: str) -> int | None:
        """Takes and returns a free number for the account `uid`; None if none is left.

        The search begins at a digest of the uid, which belongs to the person for ever: if a directory is
        restored from an older copy, accounts that are created again get the numbers that they had.
        """
        owners = self._known()
        if uid in self._taken or self._full:
            return self._taken.get(uid)
        first, size = self.settings.first, self.settings.last - self.settings.first + 1
        start = int.from_bytes(blake2b(uid.lower().encode(), digest_size=8).digest(), "big") % size
        for step in range(size):
            number = first + (start + step) % size
            if number not in owners and not self._gone(number, uid):
                owners[number] = uid
                self._taken[uid] = number
                return number
        self._full = True
        return None

    def is_of(self, number: int, owner: str) -> bool:
        """Whether this entry is the only one that has or had a number."""
        only = self._known().get(number) == owner and number not in self._doubled
        return only and not self._gone(number, owner)

    def _known(self) -> dict[int, str]:
        if self._owners is None:
            self._owners = {}
            for number, owner in self._read():
                if self._owners.setdefault(number, owner) != owner:
                    self._doubled.add(number)
        return self._owners
