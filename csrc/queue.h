/* The waiting requests of one pseudo-channel in one direction: a fixed pool and, per bank, two lists in order of age:
 * *hits* of the open row and *others*.  A closed bank has only others.  Must not know time or timing.
 *
 * Keys are age << 6 | bank, so the oldest entry of many banks is one minimum that also names its bank. */
#ifndef HBM_QUEUE_H
#define HBM_QUEUE_H

#include "core.h"

#define HBM_MAX_QUEUE 1024

typedef struct {
    int64_t key;
    hbm_tick_t since; /* latency counts from here */
    int32_t row;
    int32_t tag;      /* operation (from 1; 0: none), or index of a request in a channel run */
    uint16_t column;
    uint16_t next;
    uint8_t counted;  /* its first command was charged as hit, miss or conflict */
    uint8_t traffic_class; /* set where classes are counted */
} hbm_entry_t;

typedef struct {
    uint16_t head;
    uint16_t tail;
} hbm_list_t;

typedef struct {
    int32_t count;
    int32_t capacity;
    uint16_t free;
    uint64_t hit_banks;   /* banks with hits */
    uint64_t other_banks; /* banks with others */
    uint64_t alike;       /* banks where two others may want the same row; see hbm_queue_note */
    int64_t hit_key[HBM_MAX_BANKS];   /* key of the oldest, HBM_NEVER when none */
    int64_t other_key[HBM_MAX_BANKS];
    hbm_list_t hits[HBM_MAX_BANKS];
    hbm_list_t others[HBM_MAX_BANKS];
    uint64_t rows[HBM_MAX_BANKS]; /* bit row % 64 of the others */
    hbm_entry_t *entry;
} hbm_queue_t;

int hbm_queue_init(hbm_queue_t *self, int32_t capacity);
void hbm_queue_free(hbm_queue_t *self);
/* The bank's row closed: its hits become others again, by age. */
void hbm_queue_close_row(hbm_queue_t *self, int bank);
/* The bank opened `row`: the others that want it become hits. */
void hbm_queue_open_row(hbm_queue_t *self, int bank, int32_t row);
/* The same where `row` is that of the oldest of the others, of which there is one. */
HBM_INLINE void hbm_queue_open_first(hbm_queue_t *self, int bank);
/* Key of the oldest entry, HBM_NEVER when empty. */
int64_t hbm_queue_oldest(const hbm_queue_t *self);
/* Entries that carry this tag. */
int32_t hbm_queue_count_tag(const hbm_queue_t *self, int32_t tag);
/* True when a waiting entry wants exactly this burst. */
bool hbm_queue_holds(const hbm_queue_t *self, int bank, int32_t row, int32_t column);

HBM_INLINE bool hbm_queue_full(const hbm_queue_t *self) { return self->count >= self->capacity; }

/* One more among the bank's others wants this row.  Where rows are used once, this spares the walk through the others that looks
 * for more of the row that opens: bits of entries that are gone may linger until the last has gone. */
HBM_INLINE void hbm_queue_note(hbm_queue_t *self, int bank, int32_t row)
{
    const uint64_t bit = UINT64_C(1) << (row & 63);

    self->alike |= (uint64_t)((self->rows[bank] & bit) != 0) << bank;
    self->rows[bank] |= bit;
}

/* A new request, in no list. */
HBM_INLINE void hbm_entry_set(hbm_entry_t *e, int bank, int64_t age, int32_t row, int32_t column)
{
    e->key = (age << 6) | bank;
    e->row = row;
    e->column = (uint16_t)column;
    e->counted = 0;
    e->next = HBM_NIL;
}

/* An entry taken from the pool; the caller links it. */
HBM_INLINE hbm_entry_t *hbm_queue_take(hbm_queue_t *self, int bank, int64_t age, int32_t row, int32_t column)
{
    hbm_entry_t *e = &self->entry[self->free];

    self->free = e->next;
    self->count++;
    hbm_entry_set(e, bank, age, row, column);
    return e;
}

/* Push to a list of `bank` that is not empty: no key and no set changes. */
HBM_INLINE hbm_entry_t *hbm_queue_append(hbm_queue_t *self, hbm_list_t *list, int bank, int64_t age, int32_t row,
                                         int32_t column)
{
    const uint16_t slot = self->free;
    hbm_entry_t *e = hbm_queue_take(self, bank, age, row, column);

    self->entry[list->tail].next = slot;
    list->tail = slot;
    return e;
}

/* Push to a list of `bank` that is empty. */
HBM_INLINE hbm_entry_t *hbm_queue_push_first(hbm_queue_t *self, bool hit, int bank, int64_t age, int32_t row,
                                             int32_t column)
{
    const uint16_t slot = self->free;
    hbm_entry_t *e = hbm_queue_take(self, bank, age, row, column);
    hbm_list_t *list = hit ? &self->hits[bank] : &self->others[bank];

    list->head = list->tail = slot;
    if (!hit) {
        self->rows[bank] = UINT64_C(1) << (row & 63);
        self->alike &= ~hbm_bit(bank);
    }
    *(hit ? &self->hit_key[bank] : &self->other_key[bank]) = e->key;
    *(hit ? &self->hit_banks : &self->other_banks) |= hbm_bit(bank);
    return e;
}

HBM_INLINE hbm_entry_t *hbm_queue_first_hit(hbm_queue_t *self, int bank)
{
    return &self->entry[self->hits[bank].head];
}
HBM_INLINE hbm_entry_t *hbm_queue_first_other(hbm_queue_t *self, int bank)
{
    return &self->entry[self->others[bank].head];
}

/* A slot that is in no list goes back to the pool. */
HBM_INLINE void hbm_queue_give(hbm_queue_t *self, uint16_t slot)
{
    self->entry[slot].next = self->free;
    self->free = slot;
    self->count--;
}

/* Takes the bank's oldest hit out of its list; its slot. */
HBM_INLINE uint16_t hbm_queue_unlink_hit(hbm_queue_t *self, int bank)
{
    const uint16_t slot = self->hits[bank].head, next = self->entry[slot].next;

    self->hits[bank].head = next;
    if (next == HBM_NIL) {
        self->hit_banks &= ~hbm_bit(bank);
        self->hit_key[bank] = HBM_NEVER;
    } else {
        self->hit_key[bank] = self->entry[next].key;
    }
    return slot;
}

/* Removes it; the entry stays readable until the next push. */
HBM_INLINE void hbm_queue_pop_hit(hbm_queue_t *self, int bank)
{
    hbm_queue_give(self, hbm_queue_unlink_hit(self, bank));
}

HBM_INLINE void hbm_queue_open_first(hbm_queue_t *self, int bank)
{
    const uint64_t bit = hbm_bit(bank);
    const uint16_t slot = self->others[bank].head;
    hbm_entry_t *e = &self->entry[slot];
    const uint16_t next = e->next;
    const int64_t last = -(int64_t)(next == HBM_NIL); /* all ones or zero, because a branch is hard to predict */
    const int64_t key = self->entry[next ^ ((next ^ slot) & last)].key;

    if (self->alike & bit) {
        hbm_queue_open_row(self, bank, e->row);
        return;
    }
    e->next = HBM_NIL;
    self->hits[bank] = (hbm_list_t){slot, slot};
    self->hit_key[bank] = e->key;
    self->hit_banks |= bit;
    self->others[bank].head = next;
    self->other_key[bank] = key | (last & HBM_NEVER);
    self->other_banks ^= bit & (uint64_t)last;
}

/* True when the oldest hit is the bank's only one. */
HBM_INLINE bool hbm_queue_last_hit(const hbm_queue_t *self, int bank)
{
    return self->entry[self->hits[bank].head].next == HBM_NIL;
}

HBM_INLINE uint64_t hbm_queue_banks(const hbm_queue_t *self) { return self->hit_banks | self->other_banks; }

#endif
