"""A first-party tracking gateway: what happens to an event, from the page to the collector.

::

    browser --HTTP--> web.ingest -> decode -> screen -> claim -> [ledger.bind] -> decide -> [spool.append] -> reply
                                    (pure)    (pure)    (pure)     first wins     (pure)       durable
                                                                                                  |
                                                   collector <-- [delivery.client] <-- forwarder <-'

1. **decode** (`gateway.events.wire`) turns a request's head and body into events; what can't be read is *malformed*.
2. **screen** (`gateway.events.screening`) asks whether the property is ours; what isn't is *dropped*.
3. **claim** (`gateway.events.identity`) finds every place that names a customer, normalises and hashes the addresses,
   and says which customer id (CID) the anonymous id (UID) claims to belong to.
4. **bind** (`gateway.ledger`) is the only place where a CID comes to be. The first one wins, for ever.
5. **decide** (`gateway.events.pipeline`) makes the event that will be forwarded, or the quarantine entry, and the reply.
6. **append** (`gateway.spool`) makes it durable. Only then does the success answer leave.
7. **forward** (`gateway.delivery`) posts it to the collector, in order for each UID, until it is delivered.

The promises, in the order they win when they pull apart: an acknowledged event is never lost; a CID never changes;
raw identity goes only where the policy sends it; every event has exactly one outcome; the site is never slowed.
"""

__version__ = "0.1.0"
