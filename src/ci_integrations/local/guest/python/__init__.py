"""The Python kernel of a sandbox: IPython's shell in a forked child."""
