"""How the picture of a life looks: colours for light and dark, and patterns, so that no colour has to be told
from another for the meaning."""

from __future__ import annotations

from piactl.core.chronicle import Shade

CLASSES = {
    Shade.COUNTS: "post",
    Shade.LEAVE: "leave",
    Shade.UNCOUNTED: "faint",
    Shade.ENDING: "stop",
    Shade.ACTIVE: "active",
    Shade.ON_LEAVE: "leave",
    Shade.GRACE: "grace",
    Shade.ANTICIPATED: "soon",
    Shade.DEACTIVATED: "closed",
    Shade.ARCHIVED: "gone",
    Shade.LOGIN: "login",
    Shade.LOCK: "stop",
    Shade.HELD: "held",
    Shade.KEPT: "kept",
    Shade.HANDOVER: "handover",
    Shade.IN_GRACE: "grace",
    Shade.GRANTED: "granted",
    Shade.WAITING: "faint",
    Shade.DENIED: "denied",
    Shade.GRANT: "granted",
    Shade.DENIAL: "denied",
    Shade.PIN: "hand",
}
"""The class of each shade in the picture."""

MEANING = {
    Shade.HELD: "held",
    Shade.KEPT: "kept over a delay",
    Shade.HANDOVER: "after a mutation",
    Shade.IN_GRACE: "through the grace",
    Shade.GRANTED: "by a grant",
    Shade.WAITING: "not yet: a delay runs",
    Shade.DENIED: "denied",
    Shade.LEAVE: "on leave",
    Shade.UNCOUNTED: "does not count",
    Shade.ENDING: "ends all posts",
    Shade.LOCK: "locked",
}
"""What is explained below the picture; the rest says it itself."""

PATTERNS = (
    '<pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="p-back" width="6" height="6"/><rect class="p-line" width="3" height="6"/></pattern>'
    '<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse">'
    '<rect class="p-back" width="5" height="5"/><circle class="p-line" cx="2.5" cy="2.5" r="1.4"/></pattern>'
    '<pattern id="cross" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="p-no" width="7" height="7"/><rect class="p-noline" width="2" height="7"/></pattern>'
)

_LIGHT = """
.paper{fill:#fff}.title{fill:#182230}.sub,.key{fill:#5a6778}.group{fill:#44546a}.label{fill:#253143}
.rule{stroke:#d9e0e8}.month{stroke:#eef2f6}.year{stroke:#b9c4d1}.yearword{fill:#253143}.monthword{fill:#6b7889}
.post{fill:#4a6fa5}.leave{fill:#a9a0d8}.active,.login{fill:#2f9e68}.grace{fill:#f0b54a}.soon{fill:#a8d5f2}
.closed{fill:#c3cbd5}.gone{fill:#8c97a5}.held{fill:#2f6fde}.kept{fill:url(#dots)}.handover{fill:url(#stripes)}
.granted{fill:#12958f}.denied,.stop{fill:url(#cross)}.hand{fill:#b06ac4}
.faint{fill:#f6f8fa;stroke:#7f8c9d}.p-back{fill:#cfe0fb}.p-line{fill:#2f6fde}.p-no{fill:#fbdcd9}.p-noline{fill:#cf3d33}
.word{fill:#fff}.w-grace,.w-soon,.w-closed,.w-leave{fill:#182230}.w-gone{fill:#fff}
.today{stroke:#d6336c}.flag{fill:#d6336c}.flagword{fill:#fff}
"""
_DARK = """
.paper{fill:#141a22}.title{fill:#eef2f7}.sub,.key{fill:#9fadbd}.group{fill:#b4c1d0}.label{fill:#dbe3ec}
.rule{stroke:#2b3644}.month{stroke:#1e2732}.year{stroke:#44546a}.yearword{fill:#dbe3ec}.monthword{fill:#8b99aa}
.post{fill:#7fa3d8}.leave{fill:#8f86c9}.active,.login{fill:#3fb57c}.grace{fill:#d99a2b}.soon{fill:#5d9cc4}
.closed{fill:#556272}.gone{fill:#3a4553}.held{fill:#5b94f5}.granted{fill:#2fb5ae}.hand{fill:#c08ad1}
.faint{fill:#1b232d;stroke:#77869a}.p-back{fill:#233a5e}.p-line{fill:#6aa0f8}.p-no{fill:#4a2422}.p-noline{fill:#f0685e}
.word,.w-grace,.w-soon,.w-leave{fill:#0c1118}.w-closed,.w-gone{fill:#eef2f7}
.today{stroke:#f06595}.flag{fill:#f06595}.flagword{fill:#12161c}
"""
STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:12px}"
    ".title{font-size:20px;font-weight:600}.group{font-size:12px;font-weight:700;letter-spacing:.04em}"
    ".sub,.key,.monthword{font-size:11px}.yearword{font-size:12px;font-weight:600}.word{font-size:10px}"
    ".flagword{font-size:10px;font-weight:600}.today{stroke-width:1.5}"
    ".faint{stroke-dasharray:3 2}.rule,.month,.year{stroke-width:1}"
    f"{_LIGHT}@media (prefers-color-scheme:dark){{{_DARK}}}"
)
