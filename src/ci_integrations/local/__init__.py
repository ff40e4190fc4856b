"""The sandbox on this machine: an E2B-compatible server, and the isolated processes behind it.

`launcher` starts the server, once per process, when it is first needed. Only `_core/service.py`, `cli/` and `testing/`
import this package. It imports the package's ground modules and `charts/extractor`, whose source runs in the kernels.
"""
