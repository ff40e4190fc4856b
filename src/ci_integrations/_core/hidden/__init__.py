"""Holds what runs inside the kernel in hidden cells. `shipping.py` brings whole packages of ours there."""
