"""Equations 3 to 5: student heads onto teacher heads."""
