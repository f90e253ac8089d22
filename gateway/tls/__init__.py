"""TLS on the public port: a certificate and its key from files, and the next ones without a restart.

What always holds: a pair that can't be used takes the place of none that can; connections that are there are not touched by a new pair, and
none is refused for it; no key leaves the memory of the process, and no message has a word of one.
"""
