"""Serves one session of a code interpreter. May import `results` and the ground; `service.py` alone starts `local/`.

The modules are the floors of a house, and none imports one above it (`tests/core/test_floors.py`):

    how a step is done      flow threads locks output live_cell faces
    what is known           variables service failures policy options conversation exit uploads state
    what is said and done   notices client identity hidden kernels furnish lifecycle repair tables workspace placing
    put together            cells engine handle
"""
