"""The memory of events that came before: a table of fingerprints in one file, which all workers map into their memory.

What always holds:

- it is bounded: 16 bytes for each of `duplicates.max_entries`, all of it allocated when it is made, since a page that the full disk has no room for would end
  the process;
- it survives the end of every process, `kill -9` too: the pages are the kernel's. After a power cut the last half minute may be missing: then what comes again is delivered
  again, which is what happens without this table;
- nothing is written before the event is durable, so an entry never stands for an event that is not there;
- no lock: a bucket is one line of the processor's cache, written at once. Two workers that write to one bucket in the same moment may lose one entry: that event, sent
  again, is delivered again.

The file: a header of 4,096 bytes (`gateway.duplicates.file`), then buckets of 64 bytes. A bucket is eight words, big-endian, the youngest first; 0 is an empty one::

    seconds 3   tag of the key 3   check 2     bytes; check 0: the key came with different checks

The upper half of a key says which bucket, its lowest 24 bits are the tag. `seconds` is Unix time modulo 2^24 (194 days). A new entry comes first and moves
the others on: a full bucket gives up its oldest. There are
two words for each of `max_entries`, so that this is rare below the bound: at the bound 0.8 % of the entries are given up before their time.

How often an event that never came is taken for one that did: a new key meets one of eight tags, and the check agrees as well: 8 / (2^24 · (2^16 - 1)) = 7 · 10^-12 for each
event when all buckets are full; `python -m benchmarks.duplicates` measures its two factors.
"""
