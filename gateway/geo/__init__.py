"""Where an address is: databases in the MaxMind DB format, the user's or the one that comes with the gateway, read from memory.

`database` opens one, `places` reads its records, `shipped` is the one that comes along, `keeper` goes with the user's file.
"""
