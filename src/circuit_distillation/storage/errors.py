"""The text of an error, in a form that is fit for a log."""

from __future__ import annotations

import re


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type if it has none; without secrets."""
    return without_secrets((str(error).splitlines() or [type(error).__name__])[0])


def without_secrets(text: str) -> str:
    """Addresses without the user and password that they may hold."""
    return re.sub(r"//[^/\s]*@", "//", text)
