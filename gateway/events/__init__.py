"""The pure core: decides the fate of every event without a clock, randomness or I/O.

Time and fresh ids arrive as a `Stamp`; what the ledger knows arrives as `Binding`s. Bad input is a value here, never an
exception, and nothing in this package imports another room of the house but the settings' types.
"""
