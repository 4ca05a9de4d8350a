"""The study over seeds: what one of its runs is, and the reading of all of them."""
