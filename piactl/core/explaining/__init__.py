"""Why the rules give what they give: answers made with the deciding functions, for people to read."""

from piactl.core.explaining.answer import Answer, Remedy, Rule
from piactl.core.explaining.case import Case
from piactl.core.explaining.rights import right_answers
from piactl.core.explaining.states import state_answer

__all__ = ["Answer", "Case", "Remedy", "Rule", "right_answers", "state_answer"]
