"""Results, tables, significance, figures, page: pure functions of stored predictions and histories."""
