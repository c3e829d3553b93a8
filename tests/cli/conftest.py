"""The academies of the stories, for the command itself."""

from tests.story.conftest import academy, make_academy

__all__ = ["academy", "make_academy"]
