"""Holds what runs inside the kernel as a hidden cell of its own. `kernels.py` sends it as text."""
