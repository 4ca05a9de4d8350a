"""Names of attention heads, shared by every room."""

Head = tuple[int, int]  # (layer, query head)
Pair = tuple[Head, Head]  # (student head, teacher head)
