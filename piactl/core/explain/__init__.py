"""Explains decisions of the rules, with the functions that make them.

`question` has the case and the answer; `why_state`, `why_service` and `why_login` answer one question each.
Import from these modules: a command then loads only the one it needs.
"""
