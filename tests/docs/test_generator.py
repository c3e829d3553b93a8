"""The generator of invented people does what it promises, and the example files work as they are."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.config.read_policy import policy_warnings, read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.names import local_part
from piactl.feed.read_feed import read_feed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TODAY = date(2026, 11, 24)
# The digest of all files for 2,000 people: it changes only if the generator changes.
DIGEST = "b47503729c460641080a7ed9691a6daf2da7e756fb2d85b1d910b7d03797ac41"

People = dict[str, list[dict[str, str]]]


def make(folder: Path, *options: str, python: str = sys.executable) -> Path:
    command = [python, "-B", str(EXAMPLES / "make_feeds.py"), "--out", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def read(path: Path) -> People:
    """The rows of a feed by matricule, after a check of its trailer."""
    people: People = {}
    for row in csv.DictReader(checked_lines(path), delimiter=";", strict=True):
        people.setdefault(row["matricule"], []).append(row)
    return people


def checked_lines(path: Path) -> list[str]:
    """The header and the rows of a feed, after a check of its trailer."""
    *lines, trailer = path.read_text(encoding="utf-8").splitlines()
    assert trailer == f"#FIN;rows={len(lines) - 1};date={path.stem[-10:]}"
    return lines


def digest(folder: Path) -> str:
    hasher = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        hasher.update(path.name.encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def local(row: dict[str, str]) -> str:
    return local_part(row["prenom"], row["nom_usage"], row["nom_famille"])


def day(text: str) -> date:
    return date(int(text[6:]), int(text[3:5]), int(text[:2]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ("--people", "2000", "--seed", "1", "--today", str(TODAY))
    return make(tmp_path_factory.mktemp("feeds"), *options)


@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_same_seed_same_bytes(tmp_path: Path, python: str) -> None:
    interpreter = shutil.which(python)
    if (
        interpreter is None
        or subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{python} is not here")
    options = ("--people", "2000", "--seed", "1", "--today", str(TODAY))
    assert digest(make(tmp_path, *options, python=interpreter)) == DIGEST


class Story:
    """The three nights of a small population and what cast.json says about them."""

    def __init__(self, folder: Path, today: date) -> None:
        make(folder, "--people", "300", "--today", str(today))
        cast = json.loads((folder / "cast.json").read_text(encoding="utf-8"))
        self.today = today
        self.first, self.second, self.third = (read(folder / night["file"]) for night in cast["nights"])
        self.dates = [date.fromisoformat(night["date"]) for night in cast["nights"]]
        self.rentree = date.fromisoformat(cast["rentree"])
        self.people = cast["people"]

    def when(self, role: str, name: str) -> date:
        return date.fromisoformat(self.people[role]["dates"][name])

    def posts(self, night: People, role: str) -> list[tuple[str, date, date | None, str]]:
        """(uai, start, end, position) of each row of somebody."""
        rows = night.get(self.people[role]["matricule"], [])
        return [(r["uai"], day(r["debut"]), day(r["fin"]) if r["fin"] else None, r["position"]) for r in rows]


@pytest.fixture(scope="module", params=["2026-11-24", "2026-09-04", "2028-02-29", "2027-01-01"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"), date.fromisoformat(request.param))


def test_the_rentree_is_near_today_or_on_1_september(story: Story) -> None:
    september = story.today.month == 9
    assert story.rentree == (date(2026, 9, 1) if september else story.today - timedelta(days=3))
    assert story.dates[0] < story.rentree <= story.dates[1] < story.dates[2] == story.today


def test_movers_are_seen_before_during_and_after_their_delay(story: Story) -> None:
    policy = read_policy(EXAMPLES / "policy.yaml")
    delay = timedelta(days=policy.services["iprof"].mutation_delay)
    assert story.when("mover", "iprof_from") == story.rentree + delay
    assert story.rentree <= story.dates[1] < story.rentree + delay <= story.today
    assert [post[2] for post in story.posts(story.first, "mover")] == [None]
    old, new = story.posts(story.second, "mover")
    assert old[0] != new[0]
    assert (old[2], new[1], new[2]) == (story.rentree - timedelta(days=1), story.rentree, None)
    handover = timedelta(days=policy.services["siecle"].handover)
    end = story.when("head_mover", "old_end")
    assert story.when("head_mover", "old_siecle_until") == end + handover
    assert story.posts(story.second, "head_mover")[0][2] == end


def test_leavers_are_in_grace_or_just_out(story: Story) -> None:
    policy = read_policy(EXAMPLES / "policy.yaml")
    grace = timedelta(days=policy.grace[-1].days)
    end = story.when("leaver_in_grace", "end")
    assert story.posts(story.third, "leaver_in_grace")[0][2] == end
    assert end < story.today <= end + grace == story.when("leaver_in_grace", "grace_until")
    end = story.when("leaver_out", "end")
    assert story.posts(story.first, "leaver_out")[0][2] == end >= story.dates[0]
    assert end + grace == story.when("leaver_out", "grace_until") == story.today - timedelta(days=1)
    end = story.when("returner", "end")
    assert [post[2] for post in story.posts(story.second, "returner")] == [end]
    assert end >= story.dates[0]
    assert story.when("returner", "grace_until") == end + grace < story.today
    assert story.posts(story.third, "returner")[-1][1:3] == (story.today, None)


def test_the_cast_has_a_change_of_name_and_homonyms(story: Story) -> None:
    bride = story.people["bride"]
    assert [story.first[bride["matricule"]][0]["nom_usage"]] == [""]
    assert story.second[bride["matricule"]][0]["nom_usage"] == "Bernard"
    assert (bride["uid"], bride["address"]) == ("julie.petit", "julie.bernard@ac-amiens.fr")
    homonyms = story.people["homonyms"]
    assert [homonym["uid"] for homonym in homonyms] == ["marie.martin", "marie.martin1", "marie.martin2"]
    assert [homonym["matricule"] in story.first for homonym in homonyms] == [True, False, False]
    alike = {m for m, rows in story.third.items() if local(rows[0]) == "marie.martin"}
    assert alike == {homonym["matricule"] for homonym in homonyms} <= set(story.second)
    other = story.people["other_julie"]
    assert other["uid"] == "julie.petit1"
    assert other["matricule"] not in story.second
    assert local(story.third[other["matricule"]][0]) == "julie.petit"


def test_posts_arrivals_and_leaves(story: Story) -> None:
    assert story.posts(story.second, "retiree")[-1][1:] == (story.rentree, None, "retraite")
    assert story.posts(story.second, "on_leave")[-1][3] == "conge_parental"
    assert story.posts(story.second, "on_leave")[-1][2] == story.when("on_leave", "leave_until")
    assert story.posts(story.third, "suspended")[-1][1:] == (story.today, None, "suspension")
    assert len({post[0] for post in story.posts(story.first, "two_posts")}) == 2
    assert story.posts(story.first, "newcomer") == []
    assert story.posts(story.second, "newcomer")[0][1] == story.rentree
    ahead = story.posts(story.second, "anticipated")[0][1] - story.today
    assert timedelta() < ahead <= timedelta(days=read_policy(EXAMPLES / "policy.yaml").open_before)


def test_nobody_else_has_a_name_of_the_cast(story: Story) -> None:
    alone = {role: person for role, person in story.people.items() if role not in {"homonyms", "other_julie"}}
    assert len(alone) >= 15
    for role, person in alone.items():
        uid = "julie.bernard" if role == "bride" else person["uid"]
        alike = [m for m, rows in story.third.items() if local(rows[0]) == uid]
        assert alike == [person["matricule"]], role


def test_the_example_files_can_be_used() -> None:
    settings = read_settings(EXAMPLES / "piactl.yaml")
    assert set(settings.directory.identities) == {"reader", "nightly", "desk", "administrator", "approver"}
    assert set(settings.sources) == {"agape", "epp", "renoirh", "assed"}
    assert all(source.full for source in settings.sources.values())
    policy = read_policy(EXAMPLES / "policy.yaml")
    assert policy_warnings(policy) == []
    for raw in settings.sources["renoirh"].values["position"].values():
        assert policy.position(raw)
    register = read_register(EXAMPLES / "establishments.csv")
    assert len(register) == 160


def test_a_small_generated_register_is_the_start_of_the_example(folder: Path) -> None:
    generated = (folder / "establishments.csv").read_text(encoding="utf-8").splitlines()
    shipped = (EXAMPLES / "establishments.csv").read_text(encoding="utf-8").splitlines()
    assert len(generated) == 2000 * 2235 // 36000 + 1
    assert shipped[: len(generated)] == generated


def test_the_night_is_hardened_by_systemd() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    unit = EXAMPLES / "systemd" / "piactl-nightly.service"
    command = [analyze, "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_systemd_finds_nothing_wrong_in_the_units() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    units = sorted(str(unit) for unit in (EXAMPLES / "systemd").iterdir())
    assert len(units) == 3
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_configuration_units_and_folders_have_the_same_paths() -> None:
    settings = read_settings(EXAMPLES / "piactl.yaml")
    unit = (EXAMPLES / "systemd" / "piactl-nightly.service").read_text(encoding="utf-8")
    folders = (EXAMPLES / "tmpfiles" / "piactl.conf").read_text(encoding="utf-8")
    made = {line.split()[1] for line in folders.splitlines() if line.startswith("d ")}
    named = [settings.state_folder, settings.plans_folder, str(Path(settings.metrics_file).parent)]
    named += [str(Path(settings.journal_file).parent), "/etc/piactl", "/etc/piactl/secrets"]
    assert {*named, "/srv/piactl", "/srv/piactl/applied"} == made
    for setting in ("StateDirectory=piactl", "LogsDirectory=piactl", "BindPaths=/srv/piactl", "User=piactl"):
        assert f"\n{setting}\n" in unit
    [hidden] = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("InaccessiblePaths=")]
    passwords = {Path(one.password_file).name: name for name, one in settings.directory.identities.items()}
    assert {*passwords} == {*passwords.values()} == {"reader", "nightly", "desk", "administrator", "approver"}
    assert {path.rpartition("/")[2] for path in hidden.split()} == {*passwords} - {"reader", "nightly"}


def test_logrotate_has_the_journal_and_no_unsafe_option() -> None:
    text = (EXAMPLES / "logrotate" / "piactl").read_text(encoding="utf-8")
    words = {word for line in text.splitlines() if not line.startswith("#") for word in line.split()}
    assert read_settings(EXAMPLES / "piactl.yaml").journal_file in words
    assert "nocopytruncate" in words
    assert "compresscmd gzip\n    uncompresscmd gunzip\n    compressext .gz\n" in text, (
        "not those of logrotate.conf"
    )
    assert not words & {"copytruncate", "olddir", "extension"}


@pytest.fixture(scope="module")
def national(tmp_path_factory: pytest.TempPathFactory) -> Path:
    forms = [word for form in ("aaf", "aaf1d", "gpei", "sts") for word in ("--as", form)]
    folder = tmp_path_factory.mktemp("national")
    return make(folder, "--people", "300", "--today", str(TODAY), *forms)


@pytest.mark.parametrize(("form", "degree"), [("aaf", "2D"), ("aaf1d", "1D"), ("gpei", "2D")])
def test_national_sets_hold_the_same_people_as_the_csv_feed(national: Path, form: str, degree: str) -> None:
    """Each set is read whole, and has exactly the people who by its CSV file have posts in that degree."""
    perimeter = {"academie": "020", "degre": degree} if form != "gpei" else {"secteurs": "PU,PR"}
    source = SourceSettings(form, format=form, perimeter=perimeter)
    register = read_register(national / "establishments.csv")

    def named(person: Person) -> str:
        """GPEI has no name at birth."""
        return (person.usage_name or person.family_name) if form == "gpei" else person.family_name

    sets = sorted((national / form).iterdir())
    assert len(sets) == 3
    for path, night in zip(sets, sorted(national.glob("rh-night*.csv")), strict=True):
        feed = read_feed(path, source)
        assert feed.rejections == ()
        day = date.fromisoformat(night.stem[-10:])
        assert feed.facts.date == day
        posts = Counter(
            (person.given_name, named(person), post.uai, post.function)
            for person in read_feed(night, SourceSettings("hr", trailer=True)).people.values()
            for post in {(a.uai, a.function): a for a in person.assignments if a.covers(day)}.values()
            if register[post.uai].degree == degree
        )
        assert sum(posts.values()) > 50
        assert posts == Counter(
            (person.given_name, named(person), post.uai, post.function)
            for person in feed.people.values()
            for post in person.assignments
        )


def test_sts_files_hold_the_staff_of_each_establishment(national: Path) -> None:
    source = SourceSettings("sts", format="sts", supplement=True, creates=False)
    register = read_register(national / "establishments.csv")
    night = sorted(national.glob("rh-night*.csv"))[-1]
    day = date.fromisoformat(night.stem[-10:])
    feeds = [read_feed(path, source) for path in sorted((national / "sts" / str(day)).iterdir())]
    assert len(feeds) > 1
    assert all(feed.rejections == () and len(feed.written.uais) == 1 for feed in feeds if feed.written)
    posts = {
        (person.given_name, person.family_name, person.birth_date, post.uai)
        for person in read_feed(night, SourceSettings("hr", trailer=True)).people.values()
        for post in person.assignments
        if post.covers(day) and post.function in ("ENS", "DIR", "EDU") and register[post.uai].degree == "2D"
    }
    assert posts == {
        (person.given_name, person.family_name, person.birth_date, post.uai)
        for feed in feeds
        for person in feed.people.values()
        for post in person.assignments
    }
    assert len(posts) > 50
