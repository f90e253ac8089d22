"""The archive: a copy of what was delivered, for as many days as `archive.days` says, to be sent again when a collector has lost it.

It is a convenience, not a promise: delivery never waits for it, a crash may cost its last moments, and on a full disk it stops. What it
does promise is about people: it holds events as the policy left them, for its owner's eyes alone, never longer than it was told to, and it
forgets whom the ledger forgets.

`lines` is the format of an event, `frames` that of a file, `folder` the files and the lock beside them, `writer` what one process adds,
`keeper` the thread that does so, `reading` what a replay reads, `erasure` what a person's right takes out.
"""
