/* Purges on their way to the journals: one call, a part for each device; it is answered when the last one is durable. */
#include "store/disk/disk_own.h"

#include "base/log.h"
#include "store/storage_ops.h"

#include <stdio.h>
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
                                         .wall_ms = purge->wall_ms,
                                         .matched = purge->matched,
                                         .label = purge->kind == STORE_LABEL_TENANT ? 0 : purge->label.hash,
                                         .tenant = purge->tenant,
                                         .kind = (uint8_t)purge->kind,
                                         .soft = purge->soft,
                                         .matched_is_exact = purge->matched_is_exact};
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

/* The purge acts, but no device has it: what lies on them could come back after a restart, so nothing of them is served
 * until then. */
static void journals_failed(struct disk_device *device, err e)
{
    struct disk *disk = device->disk;

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

/* ERR_MEMORY: nothing was done. */
MUST_USE static err commits_write(struct disk_device *device, struct list *parts)
{
    unsigned count = 0;

    LIST_FOREACH(parts, it)
        count += 2; /* its tenant's, if that is what it comes to */
    TRY(journal_expect(device->journal, count));
    LIST_FOREACH(parts, it)
    {
        struct disk_commit *commit = container_of(it, struct disk_commit_part, link)->commit;
        if (!journal_append(device->journal, &commit->entry) && !journal_escalate(device, &commit->entry))
            return ERR(LIMIT);
    }
    disk_journal_reserve(device);
    return disk_journal_flush(device);
}

static void parts_take(struct disk_device *device, struct list *parts)
{
    pthread_mutex_lock(&device->mutex);
    list_splice_back(parts, &device->commits);
    pthread_mutex_unlock(&device->mutex);
}

static void parts_give_back(struct disk_device *device, struct list *parts)
{
    pthread_mutex_lock(&device->mutex);
    list_splice_back(&device->commits, parts);
    pthread_mutex_unlock(&device->mutex);
}

static void parts_done(struct list *parts, bool is_durable)
{
    struct list *link;

    while ((link = list_pop_front(parts)) != NULL)
        part_done(container_of(link, struct disk_commit_part, link)->commit, is_durable);
}

/* Of a device that is out of use. It needs no purge once another one has on record that it is not to be trusted when it comes
 * back; until then they wait. */
static void commits_of_the_lost(struct disk_device *device)
{
    struct disk *disk = device->disk;
    bool is_told = (atomic_load(&disk->out_now) >> device->number & 1) != 0;
    struct list parts = LIST_INIT(parts);

    if (!is_told && disk_is_in_use(disk))
        return;
    parts_take(device, &parts);
    if (list_is_empty(&parts))
        return;
    if (!disk_is_in_use(disk))
        journals_failed(device, ERR(CLOSED));
    parts_done(&parts, is_told && !atomic_load(&disk->is_off));
}

/* The device alone is lost, where there is another one to say so. */
static void journal_failed(struct disk_device *device, struct list *parts, err e)
{
    char why[256];

    disk_count(device->disk, DISK_ERROR_JOURNAL);
    snprintf(why, sizeof(why), "cannot write its purge journal (%s)", err_text(e));
    disk_device_out(device, why);
    if (!disk_is_in_use(device->disk)) {
        journals_failed(device, e);
        parts_done(parts, false);
        return;
    }
    parts_give_back(device, parts);
}

void disk_commit_step(struct disk_device *device)
{
    struct list parts = LIST_INIT(parts);

    if (atomic_load(&device->is_offline)) {
        commits_of_the_lost(device);
        return;
    }
    journal_forget(device->journal, atomic_load(&device->disk->forget_seq));
    parts_take(device, &parts);
    if (list_is_empty(&parts))
        return;
    if (atomic_load(&device->disk->is_off)) {
        parts_done(&parts, false);
        return;
    }
    err e = commits_write(device, &parts);
    if (err_is_ok(e)) {
        parts_done(&parts, true);
    } else if (e.code == ERR_MEMORY) {
        disk_memory_short(device, "writing purges to the journal");
        parts_give_back(device, &parts); /* again with the next tick */
    } else {
        journal_failed(device, &parts, e);
    }
}

void disk_commits_fail(struct disk_device *device)
{
    struct list parts = LIST_INIT(parts);

    pthread_mutex_lock(&device->mutex);
    device->commits_closed = true;
    list_splice_back(&parts, &device->commits);
    pthread_mutex_unlock(&device->mutex);
    parts_done(&parts, false);
}
