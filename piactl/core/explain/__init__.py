"""Why the rules give what they give: answers made with the deciding functions, for people to read.

`case` holds the account and the day, `states`, `rights` and `logins` one question each; they are imported
from there, so that a command loads the one that it asks.
"""
