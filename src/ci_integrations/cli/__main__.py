"""`python -m ci_integrations.cli`, for where the console script is not on the PATH."""

from ci_integrations.cli import main

main()
