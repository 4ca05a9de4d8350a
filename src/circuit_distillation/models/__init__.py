"""Models: the mini family, loading, attention heads under GQA, reading and writing head outputs."""
