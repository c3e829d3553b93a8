"""Answers of `why`: the reasons that the rules gave, and what may be done.

`question` defines questions and answers; `answers` and `login_causes` answer, `remedies` are what may be
done. Import from these modules: a command then loads only the one it needs.
"""
