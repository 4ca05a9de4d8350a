"""Every arm for both students, and the predictions of every model of the tables."""
