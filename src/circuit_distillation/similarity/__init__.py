"""Similarity of two sets of activations: HSIC, CKA and the Procrustes alternative."""
