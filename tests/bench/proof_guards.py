"""The guards on proofs over ten simulated years: `python tests/bench/proof_guards.py` prints what they
count at most, beside the limits. The rates are assumptions; the draws are always the same."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random

from piactl.config.read_policy import read_policy
from piactl.core.plan.check_guards import guards_on

POLICY = Path(__file__).parents[2] / "examples" / "policy.yaml"
POPULATIONS = (450, 5_000, 36_000)
KINDS = (
    *("identity", "password", "password_operator", "password_day"),
    *("device", "device_operator", "device_day"),
)
YEARS, FIRST = 10, date(2026, 1, 1)
WORKING_DAYS = 260

FORGOTTEN = 0.4
"""Activation passwords for forgotten passwords, per year and account; five times as many on 1 to 15
September, and more than twice as many on a Monday as on another day."""
ARRIVALS, ARRIVALS_OF_RENTREE, FIRST_BATCH = 0.03, 0.12, 0.6
"""New accounts per year, made in one command each Monday; those of the rentrée, 60 % of them made in one
command on 25 August and the others in one on each working day until 15 September."""
WITH_DEVICE, REPLACED = 0.25, 0.4
"""The share of accounts with a device, and how often per year each is replaced or removed, by one command
each; three times as often in the first weeks of September and January."""
PROOFS, CAMPAIGN, CORRECTED = 0.045, 0.006, 0.1
"""Changes of NUMEN or private address per year and account; those of a campaign of HR, per account in one
night of March; the share of the rentrée's arrivals whose data are corrected in September."""
PER_OPERATOR = 3_000
"""Accounts per operator; there are at least two operators, and one of them makes all batches."""


def drawn(random: Random, mean: float) -> int:
    """A random number of events with that mean (Poisson)."""
    if mean > 50:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    product, number = random.random(), 0
    while product > math.exp(-mean):
        product *= random.random()
        number += 1
    return number


def days_of(accounts: int, random: Random) -> Iterator[tuple[date, Counter[str]]]:
    """Each day of the years, with the counts of its largest command, operator and night."""
    operators = max(2, accounts // PER_OPERATOR)
    arrivals = accounts * ARRIVALS_OF_RENTREE
    for number in range(365 * YEARS):
        day = FIRST + timedelta(days=number % 365)
        place = (day.month, day.day)
        if day.weekday() > 4:
            yield day, Counter()
            continue
        monday = 2 if day.weekday() == 0 else 5 / 6
        calls = FORGOTTEN / WORKING_DAYS * monday * (5 if (9, 1) <= place <= (9, 15) else 1)
        batch = 0
        if place == (8, 25):
            batch = round(arrivals * FIRST_BATCH)
        elif (8, 26) <= place <= (9, 15):
            batch = drawn(random, arrivals * (1 - FIRST_BATCH) / 15)
        elif day.weekday() == 0:
            batch = drawn(random, accounts * ARRIVALS / 52)
        after_holidays = 3 if (1, 4) <= place <= (1, 10) or (9, 1) <= place <= (9, 10) else 1
        devices = WITH_DEVICE * REPLACED / WORKING_DAYS * monday * after_holidays
        proofs = accounts * PROOFS / WORKING_DAYS
        proofs += arrivals * CORRECTED / 22 if day.month == 9 else 0
        proofs += accounts * CAMPAIGN if place == (3, 10) else 0
        by = [drawn(random, accounts * calls / operators) for _ in range(operators)]
        by[0] += batch
        replaced = [drawn(random, accounts * devices / operators) for _ in range(operators)]
        yield (
            day,
            Counter(
                identity=drawn(random, proofs),
                password=max(batch, 1),
                password_operator=max(by),
                password_day=sum(by),
                device=1,
                device_operator=max(replaced),
                device_day=sum(replaced),
            ),
        )


def table() -> list[str]:
    """A row for each kind: the highest count of a day and the limit, at ordinary times and in the rentrée."""
    policy = read_policy(POLICY)
    most: dict[tuple[str, int, bool], tuple[int, int]] = {}
    stopped = 0
    for accounts in POPULATIONS:
        for day, counts in days_of(accounts, Random(accounts)):
            guards, rentree = guards_on(policy, day), (8, 20) <= (day.month, day.day) <= (9, 30)
            for kind in KINDS:
                overall = guards[kind][1].overall
                assert overall is not None
                limit = max(overall.among(accounts).max, int(overall.share * accounts))
                stopped += counts[kind] > limit
                highest = most.get((kind, accounts, rentree), (0, 0))[0]
                most[kind, accounts, rentree] = max(highest, counts[kind]), limit
    rows = []
    for kind in KINDS:
        cells = [most[kind, n, rentree] for rentree in (False, True) for n in POPULATIONS]
        rows.append(f"| `{kind}` | " + " | ".join(f"{highest} of {limit}" for highest, limit in cells) + " |")
    return [*rows, "", f"{stopped} days were stopped."]


if __name__ == "__main__":
    print("\n".join(table()))
