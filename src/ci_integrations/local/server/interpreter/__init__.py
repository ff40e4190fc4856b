"""The code interpreter's routes: cells and contexts, as E2B's server in the sandbox has them."""
