"""Similarity of two sets of activations: HSIC, CKA and the Procrustes alternative."""

from typing import Literal

Estimator = Literal["biased", "unbiased"]  # of HSIC; biased is eq. 1
