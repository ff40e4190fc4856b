"""Reads matplotlib's figures inside the kernel. Standard library only; never raises into the user's cell."""
