#!/usr/bin/env python3
"""Makes HR feeds of invented people: three nights with a story, a year of nights, or a rentrée.

The same arguments give the same bytes, on every platform and Python.

    python examples/make_feeds.py --people 2000 --seed 1 --today 2026-11-24 --out feeds
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from invented.feeds import september_nights, story_nights, write_feeds  # noqa: E402
from invented.national import NAMES, write_set, write_sts  # noqa: E402
from invented.story import Cast  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if options.september:
        nights, cast = september_nights(options.today), None
    else:
        nights = story_nights(
            options.today, ordinary_nights=options.nights, share=options.change, rentree=options.rentree
        )
        cast = Cast(nights[0].day, nights[1].effective, options.today)
    for each in write_feeds(options.out, options.people, options.seed, nights, cast):
        print(f"{each.path}: {each.night.kind}, {each.people} people, {each.rows} rows")
        register = options.out / "establishments.csv"
        for form in options.forms:
            set_inputs = each.path, options.out / form, each.night.day, register
            print(f"{write_sts(*set_inputs) if form == 'sts' else write_set(form, *set_inputs)}: as {form}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--people", type=_people, default=2000, help="how many, the cast of the story included"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=date.fromisoformat, required=True, help="the date of the third night")
    parser.add_argument("--out", type=Path, required=True, help="the folder that is written")
    parser.add_argument("--rentree", type=date.fromisoformat, help="the day the mutations of night 2 begin")
    parser.add_argument("--nights", type=int, default=0, help="so many further ordinary nights after today")
    parser.add_argument(
        "--change", type=float, default=0.003, help="share of people changed in an ordinary night"
    )
    parser.add_argument(
        "--september", action="store_true", help="only a first load and the feed of 1 September"
    )
    parser.add_argument(
        "--as",
        dest="forms",
        action="append",
        default=[],
        choices=[*NAMES, "sts"],
        help="each night as a national feed, too, in a folder of this name; may be repeated",
    )
    options = parser.parse_args(arguments)
    if options.nights > 900:
        parser.error("--nights: at most 900 feeds are written at once")
    if options.rentree and not 2 <= (options.today - options.rentree).days <= 28:
        parser.error("--rentree: from 28 to 2 days before --today, or the story has no room")
    return options


def _people(text: str) -> int:
    number = int(text)
    if number < 60:
        raise argparse.ArgumentTypeError("at least 60: two dozen of them are the cast")
    return number


if __name__ == "__main__":
    sys.exit(main())
