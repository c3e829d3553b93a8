"""A host of version 0.2.0, which has three Unix users, is brought over as docs/administration.md says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside import Exit
from tests.story.academy import Academy

from .conditions import CLAIRE, IDA, NUMEN, WHY, load
from .unix_host import Host, unix_host

pytestmark = pytest.mark.long

PAGE = (Path(__file__).parents[2] / "docs" / "administration.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("### A host with three Unix users\n")[2]
BLOCKS = [
    re.sub(r"^   ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"```\n(.*?) *```", SECTION, re.DOTALL)
]
USERS = {"nightly": "piactl", "desk": "piactl-desk", "administrator": "piactl-admin"}
OLD = """
gpasswd -d {people} >/dev/null 2>&1 || true
for group in piactl-desk piactl-admin piactl-approver piactl-portal; do groupdel $group; done
groupadd -r piactl-config; gpasswd -a piactl piactl-config
rm -rf /etc/piactl/secrets /var/log/piactl/* /var/lib/piactl/*
chown root:piactl-config /etc/piactl /etc/piactl/*.*
install -d -m 0711 -o root -g root /etc/piactl/secrets
for user in piactl piactl-desk piactl-admin; do
    [ $user = piactl ] || useradd -r -d /var/lib/$user -s /usr/sbin/nologin -G piactl-config $user
    for folder in /etc/piactl/secrets/$user /var/log/$user /var/lib/$user /var/lib/$user/plans; do
        install -d -m 0700 -o $user -g $user $folder; done
done
put() {{ for name in $2; do
    install -o $1 -g $1 -m 600 {folder}/secrets/$name /etc/piactl/secrets/$1/; done; }}
put piactl "reader keys nightly"; put piactl-desk "reader keys desk"
put piactl-admin "reader keys administrator"
echo 'ope ALL = (piactl-desk) NOPASSWD: /usr/bin/piactl password *' > /etc/sudoers.d/piactl
"""


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    """A host as 0.2.0 leaves it, with a journal of each user."""
    load(academy)
    with unix_host(academy) as host:
        folder = academy.sandbox.folder
        host.root(OLD.format(folder=folder, people="ope piactl-desk"))
        text = (folder / "piactl.yaml").read_text("utf-8")
        text = re.sub(r" +approver: .*\n", "", text)
        text = text.replace("secrets/reader", '"secrets/{user}/reader"')
        for name, user in USERS.items():
            text = text.replace(f"secrets/{name}}}", f"secrets/{user}/{name}, user: {user}}}")
        text = text.replace("secrets/piactl/nightly, user", "credential:nightly, user")
        text = text.replace("keys: secrets/keys", "keys: secrets/{user}/keys")
        text = text.replace("journal: journal/piactl.jsonl", "journal: /var/log/{user}/journal.jsonl")
        text = text.replace("state_folder: state", "state_folder: /var/lib/{user}")
        host.root(f"cat > /etc/piactl/piactl.yaml <<'END'\n{text}\nEND")
        acts = {
            "piactl": "nightly /srv/piactl/feeds/hr.csv",
            "piactl-desk": f"password activate {CLAIRE} --numen-file - --out /var/lib/piactl-desk/out",
            "piactl-admin": f"account lock {IDA} --reason before --yes",
        }
        for user, act in acts.items():
            # each user with a configuration of its own, as this version reads it
            own = re.sub(r", user: [a-z-]+", "", text).replace("{user}", user)
            own = own.replace("credential:nightly", "secrets/piactl/nightly")
            host.root(
                f"""cat > /etc/piactl/own-{user}.yaml <<'END'\n{own}\nEND
                echo {NUMEN} | runuser -u {user} -- piactl --config /etc/piactl/own-{user}.yaml {act}
                rm /etc/piactl/own-{user}.yaml"""
            )
        host.root("runuser -u piactl-admin -- touch /var/lib/piactl-admin/plans/kept.json")
        yield host


def test_a_host_with_three_users_is_brought_over(host: Host) -> None:
    assert len(BLOCKS) == 6
    people = "gpasswd -a ope piactl-desk; gpasswd -a anne piactl-admin; gpasswd -a vera piactl-approver\n"
    said = ""
    for block in BLOCKS:
        script = re.sub(r"gpasswd -a PERSON .*\n", people, block).replace("piactl doctor ", "true ")
        said += host.root(f"systemctl() {{ :; }}; cd /opt/source\n{script}")
    assert "journal intact" in said
    assert all(f"{user}: closed" in said for user in ("piactl-desk", "piactl-admin")), said
    assert host.root("getent passwd | grep -c ^piactl") == "1\n"
    assert host.root("ls /etc/piactl/secrets") == "administrator\ndesk\nkeys\nnightly\nreader\n"
    assert host.root("find /etc/piactl /var/log/piactl /var/lib/piactl -nouser -o -nogroup") == ""
    assert host.root("ls -d /var/log/piactl* /var/lib/piactl*").split() == [
        *("/var/lib/piactl", "/var/lib/piactl-metrics", "/var/log/piactl"),
    ]
    assert host.root("ls /var/lib/piactl/plans") == "kept.json\n"
    configuration = host.root("cat /etc/piactl/piactl.yaml")
    assert not re.search(r"\{user\}|user:|credential:|secrets/piactl", configuration)

    findings = json.loads(host.root("piactl doctor -o json || true"))
    errors = {f["id"]: f["found"] for f in findings if f["result"] == "error"}
    assert errors.keys() - {"D50", "D51"} == {"D53"}, "the rule with SETENV of the tests"
    done = host.types("anne", "piactl", "account", "unlock", IDA, *WHY, "--yes")
    assert done.returncode == Exit.DONE, done
    assert host.types("ope", "piactl", "otp", "show", CLAIRE).returncode == Exit.DONE
    night = host.service("piactl", "nightly", "/srv/piactl/feeds/hr.csv")
    assert night.returncode == Exit.DONE, night
    shown = host.types("anne", "piactl", "journal", "show", "-o", "json")
    assert {line["user"] for line in json.loads(shown.stdout)} >= {"piactl", "piactl-admin", "piactl-desk"}
    history = json.loads(host.types("anne", "piactl", "account", "history", IDA, "-o", "json").stdout)
    assert [row["reason"] for row in history if row["reason"] in ("before", WHY[1])] == ["before", WHY[1]]
    verified = host.types("anne", "piactl", "journal", "verify")
    assert (verified.returncode, "journal intact" in verified.stdout) == (Exit.DONE, True), verified
