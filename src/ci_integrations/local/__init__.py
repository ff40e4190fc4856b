"""The sandbox on this machine: an E2B-compatible server, and the isolated processes behind it.

`launcher` starts the server, once per process, when it is first needed; only `_backend.py`, `cli/` and `testing/` come
in here. Nothing in this room imports what is above it, but for the source of `charts/extractor`.
"""
