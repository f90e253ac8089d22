"""`python -m gateway` is `tracking-gateway`."""

from gateway.cli import main

main()
