"""Carries tables into a sandbox and out of it as they are. Imports the ground alone.

`codec/` runs on both sides: tables -> a file of bounded, unpickled parts -> tables. `_core/hidden/shipping.py` brings
the codec into a kernel, `files.py` makes and reads the files on the host, `_core/tables/carrier.py` calls the sandbox.
"""
