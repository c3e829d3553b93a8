"""Telling other systems of a lock: sessions that are open there go on until they are ended there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence

from piactl.flows.site import Site


def call_lock_hook(site: Site, uids: Sequence[str], say: Callable[[str], None]) -> bool:
    """Calls the configured command once, with a JSON object on its stdin: {"event": "lock", "uids": [...]}.

    Without one it says that open sessions go on. False where the command failed; the lock stands all the
    same.
    """
    command = site.settings.lock_hook
    if not command:
        say(
            "sessions that are open elsewhere go on: end them there, or name a command in hooks.lock "
            "that does"
        )
        return True
    text = json.dumps({"event": "lock", "uids": list(uids)}) + "\n"
    try:
        done = subprocess.run(
            list(command),
            input=text,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=site.settings.hook_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"did not end within {site.settings.hook_seconds} seconds"
    except OSError as error:
        why = f"could not be started: {error.strerror}"
    else:
        if done.returncode == 0:
            return True
        why = f"ended with exit code {done.returncode}"
    say(f"locked, but the hook {command[0]} {why}: sessions may go on; end them by hand")
    return False
