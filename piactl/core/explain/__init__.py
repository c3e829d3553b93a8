"""Explains decisions of the rules, with the functions that make them.

`question` defines questions and answers; `why_state`, `why_service` and `why_login` answer one kind each.
Import from these modules: a command then loads only the one it needs.
"""
