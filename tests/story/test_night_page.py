"""The night as a page: what happened, in one private file."""

from __future__ import annotations

import base64
import re
import socket
import stat
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from piactl.ask.status import night_view
from piactl.cli.framework.configuration import open_configuration
from piactl.core.plan.change import Change, Kind
from piactl.planning.signed_plan_file import read_kept_plan
from piactl.report.night_page import night_page

from .academy import Academy, prepared
from .feeds import THUILLIER, row

DRIVER = Path("/usr/bin/chromedriver")
DAYS = ("2026-09-05", "2026-09-06", "2026-09-07")


class Page(HTMLParser):
    """Collects the headings, the cells by row, and the attributes that load or run anything."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.labels: list[str] = []
        self.loads: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.text = text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        names = [name for name, _ in attrs]
        self.loads += [f"{tag} {name}" for name in names if name in ("src", "href") or name.startswith("on")]
        self.loads += [tag] if tag in ("script", "iframe", "object", "link", "img") else []
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@prepared
def staffed(academy: Academy) -> Academy:
    rows = [
        row(matricule=str(1001 + n), prenom=name, nom_famille="Verdelot", date_naissance=f"198{n}-03-04")
        for n, name in enumerate(["Claire", "Ida", "Noel"])
    ]
    academy.night(DAYS[0], academy.feed(*rows, day=DAYS[0]))
    return academy


def second_night(academy: Academy, *options: object, code: int = 0) -> Path:
    """Runs a second night in which Ida's post ends soon, Noel is another person, and a row is wrong."""
    ida = {"matricule": "1002", "prenom": "Ida", "nom_famille": "Verdelot", "date_naissance": "1981-03-04"}
    rows = [
        row(prenom="Claire", nom_famille="Verdelot", date_naissance="1980-03-04"),
        row(**ida, fin="2026-09-10"),
        row(matricule="1003", prenom="<b>Zoé</b>", nom_famille="Roussel", date_naissance="1982-03-04"),
        row(matricule="1004", prenom="Léo", nom_famille="Petit", debut="31/02/2026"),
    ]
    page = academy.folder / "night.html"
    academy.night(DAYS[1], academy.feed(*rows, day=DAYS[1]), "--html", page, *options, code=code)
    return page


def test_a_night_as_a_page(staffed: Academy) -> None:
    file = second_night(staffed)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    page = Page(file.read_text("utf-8"))
    assert page.loads == []
    assert "default-src 'none'" in page.text
    assert "<b>Zo" not in page.text
    assert 'class="verdict waits"' in page.text, "somebody is held"
    parts = {"Guards", "Changes", "By establishment", "Held: left unchanged", "Rows rejected", "Record"}
    assert parts <= {*page.headings}
    assert "Done: 1 account changed." in page.text
    assert any(row[:1] == [THUILLIER] and row[1] == "Lycée Louis Thuillier" for row in page.rows)
    hold_rows = [row for row in page.rows if "noel.verdelot" in row]
    assert [row[0] for row in hold_rows] == ["0"], page.rows
    assert any(label.startswith("update: 1 of at most ") for label in page.labels), page.labels
    codes = [row for row in page.rows if len(row) == 3 and row[1] == "1" and ".csv:" in row[0]]
    assert codes, page.rows
    assert [row for row in page.rows if row[0] == "hr"] == [
        ["hr", "rows of accounts that changed", "1"], ["hr", "rows without a change", "1"],
        ["hr", "rejected rows", "2"],
    ]  # fmt: skip
    run = staffed.run("runs", "list", "-o", "json").json[0]
    assert ["run", run["run"]] in page.rows
    assert any(row[0] == "journal" and run["journal"]["hash"] in row[1] for row in page.rows)
    assert len([row for row in page.rows if row[0] == "2026-09-11"]) == 1  # the day after Ida's last day

    shown = staffed.run("runs", "show", "last", "-o", "html")
    assert shown.code == 0, shown.err
    again = Page(shown.out)
    assert again.headings == page.headings
    assert "2026-09-11" not in again.text, "the coming days are those of this host's clock now"
    new = [row for row in again.rows if row not in page.rows]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", row[0]) or row[0] == "day" for row in new), new

    staffed.night(DAYS[2], "--html", file)
    assert "Done: nothing to change." in file.read_text("utf-8")


def test_values_of_other_programs_are_text(staffed: Academy) -> None:
    """Only a night that leaves nothing to look at is green."""
    title = 'Cheffe <script>a()</script> & \u202e"x" \\ {{ 1 }}'
    staffed.change("claire.verdelot", title=[title], displayName=[title])
    page = staffed.folder / "night.html"
    staffed.night(DAYS[1], "--html", page)
    text = page.read_text("utf-8")
    assert 'class="verdict good"' in text
    assert "&lt;script&gt;a()&lt;/script&gt; &amp; \\u202e&#34;x&#34; \\ {{ 1 }}" in text
    assert "<script" not in text


def test_a_page_without_names(staffed: Academy) -> None:
    file = second_night(staffed, "--public")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    text = file.read_text("utf-8")
    for word in (
        "verdelot",
        "Verdelot",
        "Roussel",
        "Ida",
        THUILLIER,
        "Louis Thuillier",
        socket.gethostname(),
    ):
        assert word not in text, word
    assert "update: 1 of at most " in text
    shown = staffed.run("runs", "show", "last", "-o", "html", "--public").out
    assert "verdelot" not in shown


def test_a_night_that_a_guard_stops(staffed: Academy) -> None:
    staffed.edit("policy.yaml", "  held:       {floor: 25, share: 0.05}", "  held:       {max: 0, share: 0}")
    page = Page(second_night(staffed, code=4).read_text("utf-8"))
    assert "Refused: nothing was written." in page.text
    assert "Stopped, above the limit: held (2, 0 are allowed)." in page.text
    assert "held: 2 of at most 0" in page.labels


@pytest.mark.parametrize("text", ["", "matricule;nom\n"])
def test_a_night_whose_feed_is_refused(staffed: Academy, text: str) -> None:
    page, feed = staffed.folder / "night.html", staffed.folder / "rh-bad-2026-09-06.csv"
    feed.write_text(text)
    staffed.night(DAYS[1], feed, "--html", page, code=6)
    shown = Page(page.read_text("utf-8"))
    assert "verdict bad" in shown.text
    assert "Refused: nothing was written." in shown.text
    assert "feed refused" in shown.text


def full_page(academy: Academy, page: Path) -> None:
    """The page of the night with approvals of two people, groups, and an application without approval."""
    configuration = open_configuration(academy.sandbox.config)
    record = academy.run("runs", "show", "last", "-o", "json").json
    ready = read_kept_plan(configuration.settings, configuration.keys, record)
    assert ready is not None
    assert ready.plan.drift
    name = "cn=tous-les-enseignants-du-second-degre"
    group = Change(
        Kind.GROUP, name, None, None, {"members": "(profile=enseignant)"}, "policy.yaml:160", date(2026, 9, 6)
    )
    plan = replace(
        ready.plan, changes=(*ready.plan.changes, group), cases={"open": 2, "soon": 1, "overdue": 0}
    )
    plan = replace(plan, summary={**ready.plan.summary, "group": 1})
    people = {"approved_by": ["bruno.delattre-montgolfier", "chloe.vandenbrouck"], "break_glass": "astreinte"}
    view = night_view(
        {**record, **people}, replace(ready, plan=plan), configuration.policy, configuration.register, {}, []
    )
    text = night_page(view)
    for words in (
        "approved by bruno",
        "without the approval",
        "2 cases are undecided",
        name,
        "Changed by another",
    ):
        assert words in text, words
    page.write_text(text, encoding="utf-8")


@pytest.mark.long
def test_in_a_browser(staffed: Academy) -> None:
    """Nothing is too wide, nor on a telephone too small; the browser refuses nothing; it can be printed."""
    if not DRIVER.exists():
        pytest.skip("chromium is not installed: apt install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By

    options = webdriver.ChromeOptions()
    for word in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={staffed.folder / 'browser'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    staffed.change(
        "claire.verdelot", title=["Inspectrice"], eduPersonEntitlement=["urn:mace:fr:other:" + 60 * "x"]
    )
    page = second_night(staffed)
    full_page(staffed, page)
    with webdriver.Chrome(options, Service(str(DRIVER))) as browser:
        for width in (1280, 360):
            screen = {"width": width, "height": 780, "deviceScaleFactor": 2, "mobile": width == 360}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get(page.as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        headings = browser.find_elements(By.TAG_NAME, "h2")
        assert len(headings) >= 6
        assert all(heading.is_displayed() for heading in headings)
        bars = browser.find_elements(By.CSS_SELECTOR, ".bar i")
        assert any(bar.size["width"] > 1 and bar.size["height"] > 5 for bar in bars)
        size = "return parseFloat(getComputedStyle(document.querySelector('td')).fontSize)"
        assert browser.execute_script(size) >= 14
        printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
        assert base64.b64decode(printed).startswith(b"%PDF")
        assert [entry["message"] for entry in browser.get_log("browser")] == []


def test_wrong_options_and_an_unwritable_page_are_reported(staffed: Academy) -> None:
    for words in (["nightly", "--public"], ["runs", "show", "last", "--public"]):
        ran = staffed.run(*words)
        assert (ran.code, "--public needs" in ran.err) == (2, True), ran.err
    assert staffed.run("runs", "show", "nosuch", "-o", "html").code == 9
    # a page that cannot be written does not end a night
    ran = staffed.night(DAYS[1], "--html", staffed.folder / "no" / "night.html")
    assert "the page could not be written" in ran.err
