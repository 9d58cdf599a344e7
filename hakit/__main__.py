"""`python -m hakit`."""

from hakit.cli.main import main

main()
