"""Loads the tables of a query engine, describes them, and gives every program fresh ones, in the sandbox's kernel.

It runs where this library is not installed: standard library, NumPy and pandas only. `../shipping.py` brings it there.
"""

from .loading import prepare

__all__ = ["prepare"]
