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
REGIMES = ("n16", "n32", "n64", "n128", "n256", "lesion")  # sizes of training data
SEARCHED = ("n64", "n256")  # of these the search chooses settings
