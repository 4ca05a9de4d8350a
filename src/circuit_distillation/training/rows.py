"""Which tokens of a prompt are rows of the Gram matrices."""

from __future__ import annotations

# Name of a choice -> the role whose token is taken; None: every token.
ROWS = {"last": "last", "answer": "answer_object", "all": None}
