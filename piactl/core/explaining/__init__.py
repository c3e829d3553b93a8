"""Why the rules give what they give: answers made with the deciding functions, for people to read."""

from piactl.core.explaining.answer import Answer, Cause, Effect, Remedy, Rule
from piactl.core.explaining.case import Case
from piactl.core.explaining.logins import Circumstances, entry_differs, login_answer
from piactl.core.explaining.rights import right_answer, right_answers
from piactl.core.explaining.states import state_answer

__all__ = [
    "Answer",
    "Case",
    "Cause",
    "Circumstances",
    "Effect",
    "Remedy",
    "Rule",
    "entry_differs",
    "login_answer",
    "right_answer",
    "right_answers",
    "state_answer",
]
