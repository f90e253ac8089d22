"""A spool of segment files of our own: durable before the answer leaves, one write and one sync for many clients.

Constraints
    A payload is acknowledged to its client only when it would survive a power cut. Appending is the hot path of the whole
    product. One process owns a directory, one event loop makes all calls. What is on disk after a crash is whatever subset
    of the unsynced writes the disk chose; what was synced may still rot.

Durability
    A group is synced before its clients are told (`is_synced`, setting `spool.durability = "fsync"`). With `"os"` it is only written to
    the kernel: `kill -9` of the gateway, or its crash, loses nothing then either, but a power cut or a crash of the system takes what
    the kernel had not written by itself, as a rule what came in the last 30 seconds (`vm.dirty_expire_centisecs`), and an error of
    the disk while the kernel writes is not noticed. What a power cut took is counted in `damaged`, as far as a later segment or the
    cursor had noted it. Everything else is as durable as ever: opening never refuses, order is kept, no position comes twice.

Room
    `max_bytes` bounds what waits (`room`). At the bound a spool refuses, or drops the oldest records (`dropping`), as was chosen where
    it was opened. That the *disk* is full before the bound is reached is another thing: then it refuses in both cases, since what would
    be dropped need not be what fills it, and takes again by itself when there is space (`trouble` says what the disk lacks).

Files of a directory
    ============================ ============================================================================
    `lock`                       held with `flock` by the one owner
    `000000000007.segment`       records, in the byte layout of `gateway.spool.layout`; the number rises, for ever
    `cursor`                     the journal of acknowledged positions (`gateway.spool.cursor`)
    `*.tmp`                      a file that is being made; deleted at the next opening
    `000000000005.unreadable`    a segment without readable head and records, set aside for a person; nothing waits for it
    ============================ ============================================================================

Positions
    A position is the segment's number times 2^24 plus the record's index in it. Each opening, and each failed group, goes on
    in a segment with a number that no file ever had, and the file with the highest number is not deleted before a higher one
    is durable. So a position is never used twice, whatever a crash tore off.

Operations
    *append*       joins the group that goes next; `call_soon` submits it, later under load (`commit`)
    *group*        head and records in one write, one `fdatasync`, on the writer's thread; then it counts as durable
    *roll*         a group that does not fit goes to the next segment, which was made ahead: zeros really written and synced,
                   so that a group's sync writes no metadata. The first group of a segment is written together with its head,
                   which carries *fences*: how many records of the earlier segments count
    *read*         from memory while the reader keeps up, in stretches of the files when it lags (`reader`, `outlet`)
    *acknowledge*  settles a bit in the segment's bitmap; the journal follows within `flush_seconds`
    *discard*      a segment whose records are all settled, and that takes no more groups, is deleted
    *drop*         settles the oldest records of a full spool and hands them over; the journal follows as for acknowledgements
    *overwrite*    what was delivered does not wait until the segment is full. A minute (`idle_roll_seconds`) after its first
                   record, as soon as nothing in it waits, the spool goes on in the segment made ahead, and the old file is
                   taken from its name, overwritten with zeros, and given the next number: a blank segment (`ageing`,
                   `keeper.recycle`). That writes as many bytes as were used, not a whole segment. Closing deletes instead
    *recover*      at opening: heads, fences and the cursor; only a segment without a fence is scanned (`recovery`)

What a crash leaves behind
    ============================ ============================================================================
    while a segment is made      a `.tmp` file, or a blank segment: deleted, or used as the next one
    before or in a group's write nothing, or some of its records: a scan ignores the rest. Nobody was told yes
    after the write, before sync the same; after `kill -9` without a power cut usually all of it
    after the sync               the group, whether or not its clients were told
    while rolling                the old segment has no fence yet, so it is scanned
    in a write of the cursor     an entry that can't be read: those records come again
    before the cursor's rename   the old journal: the same
    before a discard is durable  the segment is there again and the cursor settles it, or its records come again
    while one is overwritten     the same until its new name `.tmp` is durable; zeros are written only then, to a file that
                                 the next opening deletes; at last a blank segment
    ============================ ============================================================================
    So nothing acknowledged to a client is lost: its group was synced before, and its segment is deleted only after every
    record in it was acknowledged by the reader, or dropped and told so. What was acknowledged or dropped in the last `flush_seconds`, or while the
    background thread was still busy with the flush or the segment before, comes again.

An append that failed
    Its payloads are never given by this process, nor after a restart once any later append has succeeded: then its segment
    is fenced (a head holds the newest 200 fences). Only when the process ends before that may they be found and delivered.

Damage
    Every record has its own CRC, every segment two heads; when both are gone, its records tell what it takes to read them
    (`salvage`). A record that can't be read is skipped, counted in `damaged` and
    reported; the scan goes on at the next readable one. Because indices are dense, the count is exact. Missing records that
    may belong to the last, unfinished write are reported as that and not counted.
"""
