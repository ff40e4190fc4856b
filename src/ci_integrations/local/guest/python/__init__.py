"""The Python kernel of a sandbox runs IPython's shell in a forked child."""
