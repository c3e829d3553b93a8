"""docs/guards.md is true: its tables are those of the shipped policy and of the code."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

from piactl.config.read_policy import read_policy
from piactl.core.model.guard_limits import Guard, Limit
from piactl.core.model.settings import SourceLimits
from piactl.core.plan.check_feed_limits import LIMIT_CODES
from piactl.core.plan.check_guards import guards_on
from tests.bench import proof_guards

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "guards.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, without the header."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in lines[1:]]


def spoken(limit: Limit) -> str:
    return f"{limit.max}, {limit.share * 100:g} %"


def overall(guard: Guard) -> Limit:
    assert guard.overall is not None
    return guard.overall


def test_the_guards_are_those_of_the_shipped_policy() -> None:
    policy = read_policy(TOP / "examples" / "policy.yaml")
    rentree, graces = policy.periods
    table = {row[0].strip("`"): row[1:] for row in rows("Guards")}
    assert {*table} == {*policy.guards} - {"adopt", "unlock", "group"}
    for kind, (numbers, *limits, period) in table.items():
        limit = overall(policy.guards[kind])
        assert numbers == spoken(limit), kind
        among = [limit.among(n).max for n in (450, 5_000, 36_000)]
        shares = [int(limit.share * n) for n in (450, 5_000, 36_000)]
        assert limits == [str(max(both)) for both in zip(among, shares, strict=True)], kind
        assert limit.scales, kind
        in_rentree = overall({**policy.guards, **rentree.guards}[kind])
        assert period.split(" (")[0] == spoken(in_rentree), kind
        later = graces.guards.get(kind) == rentree.guards.get(kind, limit)
        assert period.endswith("(to 31 December)") == later, kind
    assert (rentree.first, rentree.last, graces.last) == ((8, 20), (9, 30), (12, 31))


def test_a_policy_without_guards_has_those_of_the_shipped_policy(tmp_path: Path) -> None:
    """On each day of the year, for every kind and scope."""
    text = (TOP / "examples" / "policy.yaml").read_text(encoding="utf-8")
    without, count = re.subn(r"^guards:\n(?:  .*\n)+", "", text, flags=re.MULTILINE)
    assert (count, "floor: " in without) == (1, False)
    file = tmp_path / "policy.yaml"
    file.write_text(without, encoding="utf-8")
    shipped, built_in = read_policy(TOP / "examples" / "policy.yaml"), read_policy(file)
    assert (built_in.own_guards, shipped.own_guards) == (False, True)
    assert (built_in.guards, built_in.window) == (shipped.guards, shipped.window)
    first = date(2028, 1, 1)
    for day in (first + timedelta(days=number) for number in range(366)):
        assert guards_on(built_in, day) == guards_on(shipped, day), day


def test_the_guards_on_proofs_match_the_simulated_days() -> None:
    *drawn, _, last_line = proof_guards.table()
    assert last_line == "0 days were stopped."
    for cell in re.findall(r"(\d+) of (\d+)", "".join(drawn)):
        most, limit = map(int, cell)
        assert limit >= 1.3 * most, cell


def test_the_documented_limits_of_a_source_are_the_defaults() -> None:
    usual = SourceLimits()
    limits = rows("Limits of a source")
    for names, _, numbers in limits:
        share, floor = re.findall(r"`([a-z_]+)`", names)
        assert numbers == f"{getattr(usual, share) * 100:g} %, {getattr(usual, floor)}"
    assert len(limits) == len([name for name in SourceLimits.__slots__ if name.endswith("_share")])
    named = {code for code in LIMIT_CODES if f"`{code}`" in PAGE}
    assert named == {*LIMIT_CODES} - {"older", "undone", "missing-delta", "doubled-delta", "order-unknown"}
