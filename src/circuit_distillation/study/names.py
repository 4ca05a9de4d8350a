"""Names that the pipelines of the study and its parameters share."""

SWEEPS = (
    "cka_weight",
    "estimator",
    "batch",
    "rows",
    "matching",
    "student_form",
    "number_of_heads",
    "random_heads",
    "scarce_data",
)
