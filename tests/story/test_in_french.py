"""`language: fr`: every word that people read is French; what programs read stays as it is."""

from __future__ import annotations

import re

import pytest

from tests.directory.spoiling_proxy import BIND, SEARCH, wire

from .academy import Academy, prepared
from .feeds import THUILLIER, row

DAYS = [f"2026-09-{day:02}" for day in range(5, 25)]
LATER = "2027-01-31"
CLAIRE, IDA, NOEL = "claire.dubreuil", "ida.roy", "noel.verdelot"
PEOPLE = (
    row(courriel_prive="claire@example.org"),
    row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1985-03-02", fin="2026-09-30"),
    row(matricule="2001", prenom="Noel", nom_famille="Verdelot", date_naissance="1979-01-02"),
)
WRONG = row(
    matricule="2002", prenom="Zoé", nom_famille="Morin", debut="31/02/2026", date_naissance="1990-01-02"
)
WHY = ("--reason", "Claire a perdu son téléphone")
ENGLISH = re.compile(
    r"\b(the|is|are|was|of|and|or|not|no|until|since|from|by|at|to|with|has|have|its|as|on|in|an|this|that|it|"
    r"account|accounts|entry|feed|night|held|reason|changed|nothing|day|days|row|rows|people|person)\b"
)
COMMAND = re.compile(
    r"piactl( [a-z]+){1,2}( \S+)?( --.*)?|--[a-z-]+( \S+)?|\(?policy\.yaml:[^)]*\)?|\[[^\]]*\]"
)


def english_in(text: str) -> list[str]:
    """The lines that have an English word outside commands and places in files."""
    return [line for line in text.splitlines() if ENGLISH.search(COMMAND.sub("", line))]


@prepared
def begun(academy: Academy) -> Academy:
    """An academy in French with three accounts, a lock, an exception and a foreign value."""
    config = academy.sandbox.config
    config.write_text(f"{config.read_text()}language: fr\n", encoding="utf-8")
    academy.allow_up_to(5, "drift", "loosening", "revoke", "deactivate", "lock", "rename")
    academy.night(DAYS[0], academy.feed(*PEOPLE, day=DAYS[0]))
    assert academy.run("account", "lock", CLAIRE, *WHY, "--as-of", DAYS[0]).code == 0
    grant = ("exception", "grant", IDA, "--service", "siecle", "--uai", THUILLIER, "--until", DAYS[9])
    assert academy.run(*grant, *WHY, "--as-of", DAYS[0]).code == 0
    academy.change(NOEL, pwdEndTime=["20260901000000Z"], mail=["autre@ac-amiens.fr"])
    return academy


COMMANDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("account", "show", CLAIRE), "actif, VERROUILLÉ le 06/09/2026"),
    (("account", "show", NOEL), "CHANGÉ PAR UN AUTRE PROGRAMME"),
    (("account", "list", "-o", "table"), "actif"),
    (("account", "find", "verdelo", "-o", "table"), "Noel Verdelot"),
    (("why", CLAIRE), "motif"),
    (("why", CLAIRE, "login"), "NON"),
    (("why", CLAIRE, "messagerie"), "OUI"),
    (("why", IDA, "siecle"), "exception"),
    (("why", NOEL, "login"), "autre programme"),
    (("account", "timeline", IDA), "connexion"),
    (("status",), "exécutions"),
    (("drift", "list", "-o", "table"), "par"),
    (("exception", "list", "-o", "table"), THUILLIER),
    (("forecast", "-o", "table"), "comptes"),
    (("forecast", "--list", "-o", "table"), "actif -> grâce"),
    (("forecast", "--leavers", "30", "-o", "table"), "Roy"),
    (("runs", "list", "-o", "table"), "terminée"),
    (("runs", "show", "last", "-o", "table"), "terminée"),
    (("account", "history", IDA, "-o", "table"), "piactlException"),
    (("account", "close", IDA, "--until", DAYS[9], *WHY, "--dry-run"), "serait appliqué"),
    (("account", "lock", IDA, CLAIRE, *WHY, "--dry-run"), "verrouillé"),
    (("account", "extend", IDA, "--until", "2026-10-15", *WHY, "--dry-run"), IDA),
)
"""Commands, and a word of what they print."""


def test_command_output_is_french(begun: Academy) -> None:
    for command, has in COMMANDS:
        today = () if command[0] == "runs" or "history" in command else ("--as-of", DAYS[1])
        ran = begun.run(*command, *today)
        assert ran.code == 0, ran.err
        assert has in ran.out, command
        assert english_in(ran.out + ran.err) == [], command


def test_output_page_and_rejects_of_a_night_are_french(begun: Academy) -> None:
    """The summary, the page and the `rejet` column are French; records and plan are as in English."""
    page = begun.folder / "nuit.html"
    feed = begun.feed(*PEOPLE[:2], WRONG, day=DAYS[1])
    ran = begun.run("nightly", feed, "--as-of", DAYS[1], "--html", page)
    assert ran.code == 0, ran.err
    assert "terminée" in ran.out
    assert english_in(ran.out + ran.err) == []
    text = page.read_text(encoding="utf-8")
    assert '<html lang="fr">' in text
    body = re.sub("<style>.*</style>|<meta[^>]*>|<[^>]*>", "\n", text, flags=re.DOTALL)
    assert english_in(body.replace("\nheld\n", "")) == []  # the name of a guard, which people type
    assert (
        english_in(begun.run("plan", begun.feed(*PEOPLE, WRONG, day=DAYS[2]), "--as-of", DAYS[2]).out) == []
    )
    (rejects,) = (begun.sandbox.folder / "state" / "rejects").glob("*.csv")
    reason = rejects.read_text(encoding="utf-8").splitlines()[1].rsplit(";", 1)[-1]
    assert reason.startswith("debut: ")
    assert reason.endswith(" [bad-date]")
    assert english_in(reason.replace("bad-date", "")) == []


def test_rehearsals_guards_policies_and_scores_are_french(begun: Academy) -> None:
    """Messages and tables of rehearsals, guards, policies and the score of feeds are French."""
    feeds, out = begun.folder / "feeds", begun.folder / "out"
    feeds.mkdir()
    (feeds / f"hr-{DAYS[0]}.csv").write_bytes(begun.feed(*PEOPLE, WRONG, day=DAYS[0]).read_bytes())
    (feeds / "lisez-moi.txt").write_text("bonjour")
    rehearse = ("rehearse", "--feeds", feeds, "--days", f"{DAYS[0]}..{DAYS[2]}", "--out", out)
    policy = begun.sandbox.folder / "policy.yaml"
    for words, code, has in (
        ((*rehearse, "-o", "table"), 0, "3 nuits répétées"),
        ((*rehearse[:2], begun.folder / "x", *rehearse[3:-1], begun.folder / "y"), 2, "pas un dossier ;"),
        (rehearse, 2, "n'est pas vide ; nommer un nouveau dossier"),
        (("guards", "suggest", out, "-o", "table"), 0, "3 nuits ordinaires"),
        (("guards", "suggest", "--except", DAYS[0]), 2, "aucune nuit ordinaire"),
        (("policy", "diff", policy, policy), 0, ""),
        (("feed", "score", "--as-of", DAYS[1], "-o", "table"), 0, "validité"),
        (("feed", "score", "--source", "x"), 2, "aucune source"),
    ):
        ran = begun.run(*words)
        assert (ran.code, has in ran.out + ran.err) == (code, True), ran
        assert english_in((ran.out + ran.err).replace(str(begun.folder), "")) == []


@pytest.mark.parametrize("reason", ["none", "active", "May", "row or until; the {x} is not {0}"])
def test_what_somebody_typed_is_never_translated(begun: Academy, reason: str) -> None:
    """A reason may be a word or have words of the catalogue; a person may be called like a word, too."""
    why = ("--reason", reason)
    deny = ("exception", "deny", NOEL, "--service", "iprof", "--until", LATER)
    assert begun.run(*deny, *why).code == 0
    assert begun.run("account", "rename", IDA, "--usage-name", "Row", "--until", LATER, *why).code == 0
    lists = (("exception", "list"), ("override", "list"), ("account", "history", NOEL))
    for words in lists:
        assert f" {reason}\n" in begun.run(*words, "-o", "table").out.replace("  ", " "), words
    assert f": {reason}" in begun.run("account", "show", NOEL).out
    assert f"motif : {reason}" in begun.run("account", "export", NOEL).out
    assert "Row" in begun.run("account", "list", "-o", "table", "--columns", "uid,display_name").out


def test_a_plan_of_one_language_is_read_in_the_other(begun: Academy) -> None:
    """The sentences of what is stored keep their forms."""
    config = begun.sandbox.config
    french = config.read_text(encoding="utf-8")
    rows = [line.removesuffix(";") + f";{DAYS[6]}" for line in PEOPLE[:1]]
    feed = begun.feed(*rows, *PEOPLE[1:], day=DAYS[1])
    plan = begun.folder / "plan.json"
    config.write_text(french.replace("language: fr", "language: en"), encoding="utf-8")
    assert begun.run("plan", feed, "--as-of", DAYS[1], "--out", plan).code in (0, 3)
    assert begun.run("nightly", feed, "--as-of", DAYS[1]).code in (0, 5)
    english = [
        begun.run("plan", "show", plan, "--all").out,
        begun.run("account", "history", CLAIRE, "-o", "table").out,
    ]
    config.write_text(french, encoding="utf-8")
    shown = [
        begun.run("plan", "show", plan, "--all").out,
        begun.run("account", "history", CLAIRE, "-o", "table").out,
    ]
    assert "changed in the HR data" in english[0]
    assert [text for text in shown if english_in(text)] == []
    assert "changé dans les données RH" in shown[0]
    export = begun.run("account", "export", CLAIRE).out
    assert "motif : changé dans les données RH" in export
    assert "forms" not in export


def test_machine_formats_are_the_same_in_french(begun: Academy) -> None:
    commands = (
        ("account", "show", CLAIRE, "-o", "json"),
        ("account", "list", "-o", "csv"),
        ("why", CLAIRE, "-o", "json"),
        ("why", CLAIRE, "login", "-o", "tsv"),
        ("drift", "list", "-o", "ndjson"),
        ("status", "-o", "json"),
        ("account", "lock", IDA, *WHY, "--dry-run", "-o", "json"),
    )
    french = [begun.run(*words, "--as-of", DAYS[1]).out for words in commands]
    config = begun.sandbox.config
    config.write_text(config.read_text().replace("language: fr", "language: en"), encoding="utf-8")
    assert [begun.run(*words, "--as-of", DAYS[1]).out for words in commands] == french


def test_the_environment_decides_where_the_configuration_does_not(
    begun: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = begun.sandbox.config
    config.write_text(config.read_text().replace("language: fr\n", ""), encoding="utf-8")
    show = ("account", "show", CLAIRE, "--as-of", DAYS[1])
    assert "active, LOCKED" in begun.run(*show).out
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, "fr_FR.UTF-8")
        assert "actif, VERROUILLÉ" in begun.run(*show).out
        monkeypatch.setenv(name, "en_GB.UTF-8" if name != "LANG" else "C")
        assert "active, LOCKED" in begun.run(*show).out
        monkeypatch.delenv(name)


def test_help_and_usage_errors_are_french(begun: Academy) -> None:
    assert "Verrouiller des comptes aussitôt" in begun.run("account", "lock", "--help").out
    assert "Commande inconnue" in begun.run("compte").err
    assert "--compare demande des comptes" in begun.run("doctor", CLAIRE).err
    completed = begun.spawn("--complete", "account", "lo", LANG="C.UTF-8").out
    assert completed == "lock\tVerrouiller des comptes aussitôt.\n"
    begun.edit("piactl.yaml", "directory:", "wrong:")
    assert "Verrouiller des comptes aussitôt" in begun.run("account", "lock", "--help").out
    begun.edit("piactl.yaml", "language: fr", "langue: fr")
    assert "Lock accounts at once" in begun.run("account", "lock", "--help").out


def test_mistakes_in_files_are_french(begun: Academy) -> None:
    """What is wrong with settings, policy and register, under a French locale or with `language: fr`."""
    for file, before, after, has in (
        ("policy.yaml", "\naccounts:", "\nacounts:", "clé acounts inconnue ; s'agit-il de accounts ?"),
        ("policy.yaml", "version: 1", "version: 2", "version : attendu : `version: 1` ; trouvé : 2"),
        ("policy.yaml", "version: 1", "version: 1\n  x: y", "ce n'est pas du YAML ici"),
        ("establishments.csv", "uai", "uia", "la colonne uai manque ; écrire l'en-tête ainsi"),
    ):
        begun.edit(file, before, after)
        ran = begun.run("plan")
        assert (ran.code, has in ran.out + ran.err) == (10, True), (after, ran)
        begun.edit(file, after, before)


@pytest.mark.parametrize(
    ("server", "has"),
    [
        ("ldap://127.0.0.1:1", "connexion refusée : le serveur est-il en marche ?"),
        ("ldaps://nulle.part.invalid", "aucune adresse trouvée pour nulle.part.invalid"),
        ("ldapi://%2Fnulle%2Fpart", "fichier ou dossier inexistant"),
        ("http://127.0.0.1", "n'est pas une adresse comme"),
    ],
)
def test_errors_of_connections_are_french(begun: Academy, server: str, has: str) -> None:
    config = begun.sandbox.config
    text = re.sub(r"servers: \[.*\]", f'servers: ["{server}"]', config.read_text(encoding="utf-8"))
    config.write_text(text, encoding="utf-8")
    for command in (("account", "list"), ("doctor",)):
        ran = begun.run(*command)
        assert ran.code in (8, 10), ran
        assert has in ran.out + ran.err, ran
        assert english_in(ran.out + ran.err) == [], ran


def test_a_server_that_ends_in_the_middle_and_a_wrong_password_are_said_in_french(begun: Academy) -> None:
    """Whatever the server does to the first or the second request, the bind included."""
    secret = begun.sandbox.folder / "secrets" / "reader"
    config = begun.sandbox.config
    settings = config.read_text(encoding="utf-8")
    for tag, fault, has in (
        (BIND, "reset after", "connexion rompue par le serveur"),
        (SEARCH, "half-close", "lire la racine du serveur : le serveur a fermé la connexion"),
        (SEARCH, "disconnection notice", "le serveur a mis fin à la session : unavailable (52)"),
        (SEARCH, "unavailable", "Réessayer plus tard, ou regarder le journal du serveur"),
    ):
        with wire(begun.sandbox.folder / "slapd" / "ldapi", tag, fault, times=99) as proxy:
            config.write_text(re.sub(r"servers: \[.*\]", f'servers: ["{proxy.uri}"]', settings))
            ran = begun.run("account", "list")
        assert (ran.code, has in ran.err) == (8, True), ran
        assert english_in(ran.err.replace("going down", "").replace("says the proxy", "")) == [], ran
    config.write_text(settings, encoding="utf-8")
    secret.write_text("faux\n", encoding="utf-8")
    ran = begun.run("account", "list")
    assert (ran.code, "refusée : invalidCredentials (49). Vérifier le DN" in ran.err) == (8, True), ran


def test_what_yaml_cannot_read_is_said_in_french(begun: Academy) -> None:
    config = begun.sandbox.config
    for line, has in (
        ("x: [1, 2", "un guillemet ou un crochet n'est pas fermé"),
        ("toto\ny: 1", "il manque un `:` : une clé s'écrit `clé: valeur`"),
        ("x: - a", "un `-` n'est pas permis ici"),
        (r'x: "\q"', "une barre oblique inverse entre guillemets doubles"),
        ("%TAG x", "l'analyseur dit \"did not find expected '!'\""),
    ):
        draft = begun.folder / "brouillon.yaml"
        draft.write_text(f"{config.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
        ran = begun.spawn("--config", str(draft), "status", LANG="C.UTF-8")
        assert (ran.code, has in ran.err) == (10, True), ran


def test_a_reason_is_shown_as_it_was_typed(begun: Academy) -> None:
    """Also one that is a day, which would be 24/12/2026 anywhere else."""
    begun.run("account", "lock", IDA, "--reason", "2026-12-24", "--as-of", DAYS[0])
    for command in (("account", "show", IDA), ("why", IDA, "login"), ("exception", "list", "-o", "table")):
        assert "24/12/2026" not in begun.run(*command, "--as-of", DAYS[0]).out, command
    assert "2026-12-24" in begun.run("account", "show", IDA, "--as-of", DAYS[0]).out


def test_mistakes_in_settings_are_french_under_a_french_locale(
    begun: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    begun.edit("piactl.yaml", "directory:", "directoy:")
    ran = begun.run("account", "show", CLAIRE)
    assert (ran.code, "clé directoy inconnue ; s'agit-il de directory ?" in ran.err) == (10, True), ran
