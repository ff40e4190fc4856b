"""`ci-integrations doctor`: checks this machine and one sandbox."""
