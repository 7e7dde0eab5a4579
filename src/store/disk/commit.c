/* Purges on their way to the journals: one call, a part for each device; it is answered when the last one is durable. */
#include "store/disk/disk_own.h"

#include "base/log.h"
#include "store/storage_ops.h"

#include <stdlib.h>

#define SEQS_RESERVED (1u << 20)

struct disk_commit_part {
    struct list link; /* in device->commits, under its mutex */
    struct disk_commit *commit;
};

struct disk_commit {
    struct store_pending pending;
    struct purge_entry entry;
    struct purge_log *purges;
    struct store_purge *purge; /* NULL: nobody waits any more; op.loop's thread alone */
    struct loop *loop;         /* NULL: nobody waits */
    struct mail mail;
    _Atomic unsigned left;
    _Atomic bool has_failed;
    struct disk_commit_part parts[DISK_DEVICES_MAX];
};

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void commit_mailed(struct mail *mail)
{
    struct disk_commit *commit = container_of(mail, struct disk_commit, mail);
    struct store_purge *purge = commit->purge;

    if (purge != NULL) {
        purge->durable = !atomic_load(&commit->has_failed);
        storage_complete(&purge->op);
    }
    free(commit);
}

static void part_done(struct disk_commit *commit, bool is_durable)
{
    if (!is_durable)
        atomic_store(&commit->has_failed, true);
    if (atomic_fetch_sub(&commit->left, 1) > 1)
        return;
    purge_log_settled(commit->purges, commit->entry.seq, !atomic_load(&commit->has_failed));
    if (commit->loop == NULL) {
        free(commit);
        return;
    }
    commit->mail.run = commit_mailed;
    loop_post(commit->loop, &commit->mail);
}

static void commit_cancel(struct store_pending *pending)
{
    container_of(pending, struct disk_commit, pending)->purge = NULL;
}

/* ---- asking for it ---------------------------------------------------------------------------------------------- */

/* A device that is out of use keeps nothing that a purge could miss. */
static bool part_submit(struct disk_device *device, struct disk_commit_part *part)
{
    bool is_taken;

    pthread_mutex_lock(&device->mutex);
    is_taken = !device->commits_closed;
    if (is_taken)
        list_push_back(&device->commits, &part->link);
    pthread_mutex_unlock(&device->mutex);
    if (is_taken)
        disk_keeper_wake(device);
    return is_taken;
}

enum store_status disk_purge(struct disk *disk, struct store_purge *purge)
{
    struct disk_commit *commit = calloc(1, sizeof(*commit));
    unsigned taken = 0;

    atomic_fetch_add_explicit(&disk->purge_attempts, 1, memory_order_relaxed);
    purge->durable = false;
    if (commit == NULL)
        return STORE_DONE;
    commit->entry = (struct purge_entry){.seq = purge->seq,
                                         .wall_ms = os_wall_ms(),
                                         .matched = purge->matched,
                                         .label = purge->kind == STORE_LABEL_TENANT ? 0 : purge->label.hash,
                                         .tenant = purge->tenant,
                                         .kind = (uint8_t)purge->kind,
                                         .soft = purge->soft};
    commit->purges = disk->purges;
    commit->purge = purge;
    commit->loop = purge->op.loop;
    commit->pending.cancel = commit_cancel;
    purge->op.tier = &commit->pending;
    atomic_init(&commit->left, 1); /* this call's own */
    for (unsigned i = 0; i < disk->device_count; i++) {
        list_init(&commit->parts[i].link);
        commit->parts[i].commit = commit;
        atomic_fetch_add(&commit->left, 1);
        if (part_submit(&disk->devices[i], &commit->parts[i]))
            taken++;
        else
            atomic_fetch_sub(&commit->left, 1);
    }
    if (taken == 0) {
        free(commit);
        return STORE_DONE;
    }
    part_done(commit, !atomic_load(&disk->is_off));
    return STORE_PENDING;
}

/* ---- the keeper's side ------------------------------------------------------------------------------------------ */

/* The purge acts, but is not durable: what lies on the disks could come back after a restart, so nothing of them is served
 * until then. */
static void journal_failed(struct disk_device *device, err e)
{
    struct disk *disk = device->disk;

    disk_failed(device, DISK_ERROR_JOURNAL, "writing the purge journal", e);
    if (!atomic_exchange(&disk->is_off, true))
        disk_note_add(disk,
                      "%s: a purge could not be written to the journal (%s): the disk tier is off until WARP is started again; purge again then",
                      device->path, err_text(e));
}

/* Tenants whose purges no longer fit the journal lose everything: that fits. */
static bool journal_escalate(struct disk_device *device, const struct purge_entry *entry)
{
    struct purge_entry all = {.wall_ms = os_wall_ms(), .tenant = entry->tenant, .kind = STORE_LABEL_TENANT}; /* hard: a soft one would leave hard ones where they are */

    all.seq = purge_log_append(device->disk->purges, &all, NULL, NULL);
    log_warn("%s: the purge journal is full: everything of tenant %u is purged instead", device->path, (unsigned)entry->tenant);
    if (!journal_append(device->journal, &all))
        return false;
    purge_log_settled(device->disk->purges, all.seq, true); /* with the purge that it stands for */
    return true;
}

err disk_journal_flush(struct disk_device *device)
{
    uint64_t at[2];

    while (journal_has_work(device->journal)) {
        while (journal_next_write(device->journal, device->scratch, at))
            for (unsigned half = 0; half < 2; half++)
                TRY(disk_write_now(device, device->scratch, DISK_BLOCK, device->super.journal_at + at[half], DISK_CAUSE_JOURNAL));
        TRY(os_file_now(&device->file, OS_FILE_SYNC, NULL, 0, 0));
        journal_written(device->journal);
    }
    return ERR_OK;
}

/* After a restart new sequences must be above any that was given out, also where its purge was never written. */
void disk_journal_reserve(struct disk_device *device)
{
    uint64_t seq = purge_log_seq(device->disk->purges);

    if (seq + SEQS_RESERVED / 2 > journal_reserved(device->journal))
        journal_reserve(device->journal, seq + SEQS_RESERVED);
}

static err commits_write(struct disk_device *device, struct list *parts)
{
    if (atomic_load(&device->disk->is_off))
        return ERR(CLOSED);
    if (atomic_load(&device->is_offline)) /* else it could come back with what is purged now */
        return (atomic_load(&device->disk->out_now) >> device->number & 1) ? ERR_OK : ERR(CLOSED);
    LIST_FOREACH(parts, it)
    {
        struct disk_commit *commit = container_of(it, struct disk_commit_part, link)->commit;
        if (!journal_append(device->journal, &commit->entry) && !journal_escalate(device, &commit->entry))
            return ERR(LIMIT);
    }
    disk_journal_reserve(device);
    return disk_journal_flush(device);
}

void disk_commit_step(struct disk_device *device)
{
    struct list parts = LIST_INIT(parts), *link;

    journal_forget(device->journal, atomic_load(&device->disk->forget_seq));
    pthread_mutex_lock(&device->mutex);
    list_splice_back(&parts, &device->commits);
    pthread_mutex_unlock(&device->mutex);
    if (list_is_empty(&parts))
        return;
    err e = commits_write(device, &parts);
    if (!err_is_ok(e) && !atomic_load(&device->disk->is_off))
        journal_failed(device, e);
    while ((link = list_pop_front(&parts)) != NULL)
        part_done(container_of(link, struct disk_commit_part, link)->commit, err_is_ok(e));
}

void disk_commits_fail(struct disk_device *device)
{
    struct list parts = LIST_INIT(parts), *link;

    pthread_mutex_lock(&device->mutex);
    device->commits_closed = true;
    list_splice_back(&parts, &device->commits);
    pthread_mutex_unlock(&device->mutex);
    while ((link = list_pop_front(&parts)) != NULL)
        part_done(container_of(link, struct disk_commit_part, link)->commit, false);
}
