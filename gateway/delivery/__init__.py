"""From the spool to the collector: every accepted event, in its user's order, until its fate is final.

`forwarder` is the only part that retries; `client` sends one event and reports; `retry` knows when to try again and when to
leave the collector alone; `erasures` knows whose events nobody may have any more; `contract` holds what they promise each other and the rest of the gateway.
"""
