"""What an event costs: the gateway beside nginx in the same run, and the steps of the gateway by themselves.

Run it with ``python -m benchmarks``. Absolute figures belong to the machine and the hour; the ratios are what is compared.
"""
