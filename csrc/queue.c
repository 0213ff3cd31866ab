/* The rarer operations of a request queue; see queue.h. */
#include "queue.h"

#include <stdlib.h>

int hbm_queue_init(hbm_queue_t *self, int32_t capacity)
{
    self->count = 0;
    self->capacity = capacity;
    self->hit_banks = self->other_banks = self->alike = 0;
    for (int b = 0; b < HBM_MAX_BANKS; b++) {
        self->hit_key[b] = self->other_key[b] = HBM_NEVER;
        self->hits[b].head = self->others[b].head = HBM_NIL;
        self->hits[b].tail = self->others[b].tail = HBM_NIL;
    }
    self->entry = calloc((size_t)capacity, sizeof *self->entry);
    if (self->entry == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < capacity; i++) {
        self->entry[i].next = i + 1 < capacity ? (uint16_t)(i + 1) : HBM_NIL;
    }
    self->free = 0;
    return 0;
}

void hbm_queue_free(hbm_queue_t *self)
{
    free(self->entry);
    self->entry = NULL;
}

static void list_append(hbm_queue_t *self, hbm_list_t *list, uint16_t slot)
{
    self->entry[slot].next = HBM_NIL;
    if (list->head == HBM_NIL) {
        list->head = slot;
    } else {
        self->entry[list->tail].next = slot;
    }
    list->tail = slot;
}

static void set_heads(hbm_queue_t *self, int bank)
{
    const uint64_t bit = hbm_bit(bank);
    const uint16_t hit = self->hits[bank].head, other = self->others[bank].head;

    self->hit_key[bank] = hit == HBM_NIL ? HBM_NEVER : self->entry[hit].key;
    self->other_key[bank] = other == HBM_NIL ? HBM_NEVER : self->entry[other].key;
    self->hit_banks = hit == HBM_NIL ? self->hit_banks & ~bit : self->hit_banks | bit;
    self->other_banks = other == HBM_NIL ? self->other_banks & ~bit : self->other_banks | bit;
}

/* Notes the rows of all others anew. */
static void note_others(hbm_queue_t *self, int bank)
{
    self->rows[bank] = 0;
    self->alike &= ~hbm_bit(bank);
    for (uint16_t slot = self->others[bank].head; slot != HBM_NIL; slot = self->entry[slot].next) {
        hbm_queue_note(self, bank, self->entry[slot].row);
    }
}

void hbm_queue_close_row(hbm_queue_t *self, int bank)
{
    uint16_t a = self->hits[bank].head, b = self->others[bank].head;

    if (a == HBM_NIL) {
        return;
    }
    self->hits[bank].head = self->others[bank].head = HBM_NIL;
    while (a != HBM_NIL || b != HBM_NIL) {
        const bool take_a = b == HBM_NIL || (a != HBM_NIL && self->entry[a].key < self->entry[b].key);
        const uint16_t slot = take_a ? a : b;
        const uint16_t next = self->entry[slot].next;
        a = take_a ? next : a;
        b = take_a ? b : next;
        list_append(self, &self->others[bank], slot);
    }
    note_others(self, bank);
    set_heads(self, bank);
}

void hbm_queue_open_row(hbm_queue_t *self, int bank, int32_t row)
{
    const uint16_t first = self->others[bank].head;
    uint16_t slot = first, last = HBM_NIL;

    /* Most often those that want the row are the oldest, and the rest stays as it is. */
    while (slot != HBM_NIL && self->entry[slot].row == row) {
        last = slot;
        slot = self->entry[slot].next;
    }
    self->others[bank].head = slot;
    if (last != HBM_NIL) {
        self->hits[bank] = (hbm_list_t){first, last};
        self->entry[last].next = HBM_NIL;
    }
    for (uint16_t kept = slot; slot != HBM_NIL;) {
        hbm_entry_t *e = &self->entry[slot];
        const uint16_t next = e->next;
        if (e->row == row) {
            self->entry[kept].next = next;
            self->others[bank].tail = self->others[bank].tail == slot ? kept : self->others[bank].tail;
            list_append(self, &self->hits[bank], slot);
        } else {
            kept = slot;
        }
        slot = next;
    }
    note_others(self, bank);
    set_heads(self, bank);
}

int64_t hbm_queue_oldest(const hbm_queue_t *self)
{
    int64_t oldest = HBM_NEVER;
    for (uint64_t m = hbm_queue_banks(self); m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        oldest = hbm_min(oldest, hbm_min(self->hit_key[b], self->other_key[b]));
    }
    return oldest;
}

static int32_t list_count_tag(const hbm_queue_t *self, uint16_t slot, int32_t tag)
{
    int32_t n = 0;
    for (; slot != HBM_NIL; slot = self->entry[slot].next) {
        n += self->entry[slot].tag == tag;
    }
    return n;
}

int32_t hbm_queue_count_tag(const hbm_queue_t *self, int32_t tag)
{
    int32_t n = 0;
    for (uint64_t m = hbm_queue_banks(self); m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        n += list_count_tag(self, self->hits[b].head, tag) + list_count_tag(self, self->others[b].head, tag);
    }
    return n;
}

static bool list_holds(const hbm_queue_t *self, uint16_t slot, int32_t row, int32_t column)
{
    for (; slot != HBM_NIL; slot = self->entry[slot].next) {
        if (self->entry[slot].row == row && self->entry[slot].column == column) {
            return true;
        }
    }
    return false;
}

bool hbm_queue_holds(const hbm_queue_t *self, int bank, int32_t row, int32_t column)
{
    return list_holds(self, self->hits[bank].head, row, column) ||
           list_holds(self, self->others[bank].head, row, column);
}
