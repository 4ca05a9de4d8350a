"""At which tokens heads are compared: the rows of Gram matrices, the queries of attention rows."""

from __future__ import annotations

# Name of a choice -> the role whose token is taken; None: every token.
ROWS = {"last": "last", "answer": "answer_object", "all": None, "acting": None}
ACTING = "acting"  # of every token those where the pair's student head acts (circuits/acting.py)
