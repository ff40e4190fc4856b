"""Carries tables into kernels and out of them."""
