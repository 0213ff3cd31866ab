/* The schedulers.  Each says which entries may be served; that the oldest legal one goes first is common to all and
 * lives in channel.c. */
#include "policy.h"

static uint64_t capped_hits(const hbm_pc_t *pc, const hbm_policies_t *policies, int direction)
{
    const hbm_queue_t *q = &pc->queue[direction];
    uint64_t admitted = q->hit_banks;

    for (uint64_t m = q->hit_banks & q->other_banks; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        if (q->other_key[b] < q->hit_key[b] && pc->columns_since_act[b] >= policies->config.cap) {
            admitted &= ~hbm_bit(b);
        }
    }
    return admitted;
}

static uint64_t oldest_hit(const hbm_pc_t *pc, const hbm_policies_t *policies, int direction)
{
    const hbm_queue_t *q = &pc->queue[direction];
    const int64_t oldest = hbm_queue_oldest(q);
    const int b = (int)(oldest & 63);

    (void)policies;
    return oldest != HBM_NEVER && q->hit_key[b] == oldest ? hbm_bit(b) : 0;
}

static uint64_t oldest_other(const hbm_pc_t *pc, const hbm_policies_t *policies, int direction)
{
    const hbm_queue_t *q = &pc->queue[direction];
    const int64_t oldest = hbm_queue_oldest(q);
    const int b = (int)(oldest & 63);

    (void)policies;
    return oldest != HBM_NEVER && q->other_key[b] == oldest ? hbm_bit(b) : 0;
}

const hbm_scheduler_t *hbm_scheduler(int32_t i)
{
    static const hbm_scheduler_t table[] = {
        {{"scheduler", "frfcfs", "first ready, first come: the oldest legal column command, the oldest legal ACT or PREpb",
          ""},
         NULL, NULL},
        {{"scheduler", "frfcfs_cap",
          "frfcfs, but after `cap` column commands of an activation an older request for another row goes first", "cap"},
         capped_hits, NULL},
        {{"scheduler", "fcfs", "strictly in order of arrival, per pseudo-channel and direction", ""},
         oldest_hit, oldest_other},
    };
    return i >= 0 && (size_t)i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}
