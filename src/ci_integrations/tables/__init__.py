"""Reads data files as tables, in the sandbox, by what they hold. Imports the ground alone.

`reader/` runs in the kernel: a file of any known kind -> tables with what was seen of them. `_core/hidden/shipping.py`
brings it there, `options.py` checks on the host what a developer says of files, and what their kinds need to be read.
"""
