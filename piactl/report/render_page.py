"""Pages from the templates of this package, which escape every value."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from piactl.report.escaping import shown
from piactl.translation import translate, translate_word, used


class Typed(str):
    """Words of the page itself, such as classes of CSS: the same in every language."""


@pass_context  # without it, constants of a template would not be translated
def _for_html(_: Context, value: object) -> object:
    """A value in the language of people, without what a reader cannot see."""
    if isinstance(value, Markup):
        return value
    text = shown(value if isinstance(value, Typed) else translate(translate_word(str(value))))
    return "".join(c for c in text if ord(c) & 0xFFFE != 0xFFFE)  # which no XML may have


def _for_markdown(value: object) -> str:
    """A value without HTML, links and images. Not every reader of Markdown knows an escape of `<`."""
    text = shown(str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("\\", "\\\\").replace("[", "\\[")


@cache
def _environment(*, autoescape: bool, finalize: Callable[..., object]) -> Environment:
    return Environment(  # nosec B701
        autoescape=autoescape,  # noqa: S701 - off for Markdown alone, which `finalize` escapes
        finalize=finalize,
        loader=PackageLoader("piactl.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def html_page(template: str, **values: Any) -> str:
    """A page of HTML in the language of people; each value is escaped."""
    environment = _environment(autoescape=True, finalize=_for_html)
    return environment.get_template(template).render(values, language=used())


def markdown_page(template: str, **values: Any) -> str:
    """A page of Markdown; each value is escaped for Markdown."""
    environment = _environment(autoescape=False, finalize=_for_markdown)
    return environment.get_template(template).render(values)
