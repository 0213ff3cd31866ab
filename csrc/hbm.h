/* hbm.h - the public C API of hbmmodel's core, the only header outsiders include.
 *
 * Conventions.  Functions that can fail return 0 or a negative code (hbm_strerror).  Objects are created by *_create and
 * released by *_free, which accepts NULL.  Outputs come last.  Times are ticks of half a CK unless a name says otherwise.
 * Addresses are bytes.  One object belongs to one thread at a time; nothing is global, nothing is printed. */
#ifndef HBM_H
#define HBM_H

#include <stdbool.h>
#include <stdint.h>

#ifndef HBM_API
#if defined(__GNUC__)
#define HBM_API __attribute__((visibility("default")))
#define HBM_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define HBM_API
#define HBM_WARN_UNUSED
#endif
#endif

enum {
    HBM_OK = 0,
#define HBM_ERROR(NAME, CODE, MESSAGE) HBM_ERR_##NAME = CODE,
#include "errors.def"
#undef HBM_ERROR
};

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
enum hbm_command {
    HBM_CMD_ACT = 0,
    HBM_CMD_PREPB = 1,
    HBM_CMD_PREAB = 2,
    HBM_CMD_RD = 3,
    HBM_CMD_WR = 4,
    HBM_CMD_RDA = 5,
    HBM_CMD_WRA = 6,
    HBM_CMD_REFAB = 7,
    HBM_CMD_REFPB = 8,
    HBM_CMD_RFMAB = 9,
    HBM_CMD_RFMPB = 10,
    HBM_CMD_PDE = 11, /* power-down and self-refresh: of the whole channel */
    HBM_CMD_PDX = 12,
    HBM_CMD_SRE = 13,
    HBM_CMD_SRX = 14
};

enum hbm_field {
    HBM_STACK = 0,
    HBM_CHANNEL = 1,
    HBM_PSEUDO_CHANNEL = 2,
    HBM_SID = 3,
    HBM_BANK_GROUP = 4,
    HBM_BANK = 5,
    HBM_ROW = 6,
    HBM_COLUMN = 7
};

/* ---- errors ---- */
HBM_API const char *hbm_strerror(int code);
HBM_API const char *hbm_error_name(int code);
HBM_API int hbm_error_count(void);

/* ---- this build: what compiled it, and which SIMD it uses on this machine ("avx512", "avx2" or "plain") ---- */
HBM_API const char *hbm_build(void);
HBM_API const char *hbm_simd(void);

/* ---- device: values in the order of hbm_device_field_name(0..n-1) ---- */
typedef struct hbm_device hbm_device_t;
HBM_API int32_t hbm_device_n_fields(void);
HBM_API const char *hbm_device_field_name(int32_t i);
HBM_API const char *hbm_device_field_text(int32_t i);
/* On HBM_ERR_BAD_DEVICE *bad_field is the index of the offending value. */
HBM_API int hbm_device_create(const int64_t *values, int32_t n, hbm_device_t **out, int32_t *bad_field);
HBM_API void hbm_device_free(hbm_device_t *self);
/* Ticks from one REFpb (per_bank) or REFab to the next that refresh takes at least, and one row that is opened, used and
 * closed between two refreshes of its bank. */
HBM_API int64_t hbm_device_least_refresh_interval(const hbm_device_t *self, bool per_bank);

/* ---- probe: the timing tables by themselves; the caller owns the clock ---- */
typedef struct hbm_probe hbm_probe_t;
HBM_API int hbm_probe_create(const hbm_device_t *device, hbm_probe_t **out);
HBM_API void hbm_probe_free(hbm_probe_t *self);
/* buses: also wait for the command buses and for the clock edge that the command needs. */
HBM_API int hbm_probe_earliest(const hbm_probe_t *self, int32_t pc, int32_t command, int32_t bank, bool buses,
                               int64_t *tick);
HBM_API int hbm_probe_issue(hbm_probe_t *self, int32_t pc, int32_t command, int32_t bank, int64_t tick);

/* ---- address map: pieces from the low end of (address / burst_bytes); field += digit * multiplier ---- */
typedef struct {
    int32_t field;
    int32_t radix;
    int32_t multiplier;
} hbm_piece_t;

/* target ^= (source >> shift) & mask, after all digits are in place. */
typedef struct {
    int32_t target;
    int32_t source;
    int32_t shift;
    int32_t mask;
} hbm_xor_t;

typedef struct hbm_map hbm_map_t;
HBM_API int hbm_map_create(const hbm_device_t *device, int32_t stacks, const hbm_piece_t *pieces, int32_t n_pieces,
                           const hbm_xor_t *xors, int32_t n_xors, hbm_map_t **out);
HBM_API void hbm_map_free(hbm_map_t *self);
HBM_API uint64_t hbm_map_capacity_bytes(const hbm_map_t *self);
/* coordinates: n rows of 8 (enum hbm_field).  On HBM_ERR_ADDRESS *bad is the index of the first bad entry. */
HBM_API int hbm_map_decode(const hbm_map_t *self, const uint64_t *address, int64_t n, bool wrap, int32_t *coordinates,
                           int64_t *bad);
HBM_API int hbm_map_encode(const hbm_map_t *self, const int32_t *coordinates, int64_t n, uint64_t *address,
                           int64_t *bad);

/* ---- policies: described by the core itself ---- */
typedef struct {
    const char *kind;
    const char *name;
    const char *text;
    const char *parameters;
} hbm_policy_info_t;
/* NULL past the last. */
HBM_API const hbm_policy_info_t *hbm_policy_info(int32_t i);

typedef struct {
    int32_t scheduler; /* order within its kind in hbm_policy_info */
    int32_t page;
    int32_t refresh;
    int32_t cap;
    int64_t timeout_ticks;
    int64_t postpone;
    int64_t pull_in;
    int32_t refresh_scale; /* tREFI is divided by 1, 2 or 4 */
    int32_t read_queue;
    int32_t write_queue;
    int32_t write_high;
    int32_t write_low;
    int32_t window;       /* bursts outstanding per pseudo-channel; 0 = no limit */
    int64_t host_ticks;   /* host path, there and back */
    bool skip;            /* false: visit every tick (slow; for proving that skipping changes nothing) */
    bool log_commands;
    int64_t epoch_ticks;  /* of the time series; doubled when a run outgrows its table */
    int32_t power;        /* as scheduler, page and refresh */
    int64_t power_down_ticks;   /* idle time before power-down */
    int64_t self_refresh_ticks; /* and before self-refresh */
    int64_t log_from_tick; /* log_commands: only commands at log_from_tick <= tick < log_to_tick; */
    int64_t log_to_tick;   /* 0: to the end */
} hbm_policy_t;

/* ---- system: all channels of all stacks ---- */
typedef struct {
    int64_t tick;
    uint16_t stack;
    uint16_t channel;
    uint8_t pseudo_channel;
    uint8_t command;
    uint8_t sid;
    uint8_t bank_group;
    uint8_t bank;
    uint32_t row;
    uint16_t column;
} hbm_command_t;

/* Byte runs: base + offsets[i] (n_offsets > 0) or base + sum k_j * stride_j, each run_bytes long. */
typedef struct {
    int64_t base;
    int64_t run_bytes;
    int32_t n_dims;
    int64_t count[8];
    int64_t stride[8];
    const int64_t *offsets;
    int64_t n_offsets;
    bool is_write;
} hbm_access_t;

typedef struct {
    int64_t end_tick;      /* last data back at the controller, or last write accepted */
    int64_t bursts_read;
    int64_t bursts_written;
    int64_t row_hits;
    int64_t row_misses;
    int64_t row_conflicts;
} hbm_operation_result_t;

/* Part of a class of traffic in the data bus of every pseudo-channel; docs/model/quotas.md is the contract. */
typedef struct {
    int64_t reserved_gap_256; /* below its reserved share: less than a burst per so many 1/256 ticks; 0: none reserved */
    int64_t cap_gap_256;      /* no more than a burst per so many; 0: no cap */
    int32_t priority;         /* the higher goes first */
    int32_t read_entries;     /* of the read queue, at most; 1 at least */
    int32_t write_entries;
} hbm_quota_t;

typedef struct hbm_system hbm_system_t;
HBM_API int hbm_system_create(const hbm_device_t *device, const hbm_map_t *map, const hbm_policy_t *policy,
                              int32_t threads, hbm_system_t **out);
HBM_API void hbm_system_free(hbm_system_t *self);
/* poll(context) returns nonzero to stop; the calling thread calls it again and again while the functions below work.  They
 * then return HBM_ERR_INTERRUPTED, and the system takes no more input. */
typedef int (*hbm_poll_fn)(void *context);
HBM_API void hbm_system_set_poll(hbm_system_t *self, hbm_poll_fn poll, void *context);
/* Puts an on-chip filter before the stacks, for operations; before the first input. */
HBM_API int hbm_system_set_l2(hbm_system_t *self, int64_t size_bytes, int64_t line_bytes, int32_t ways);
/* hits, misses, write-backs, in bursts. */
HBM_API void hbm_system_l2_counts(const hbm_system_t *self, int64_t *out);
/* n (1 to 8) classes of traffic; before the first input.  quotas NULL: they are only counted.  What a class left unused in the
 * last slack_ticks (2 at least) it may make up for. */
HBM_API int hbm_system_set_classes(hbm_system_t *self, int32_t n, const hbm_quota_t *quotas, int64_t slack_ticks);
/* The class of operations submitted from now on; 0 at first.  Requests are always of class 0. */
HBM_API int hbm_system_set_class(hbm_system_t *self, int32_t traffic_class);
/* A block of single-burst requests in order; tick NULL: offered as early as accepted.  On HBM_ERR_ADDRESS *bad is the
 * index of the request outside the stacks, on HBM_ERR_BAD_ARGUMENT that of one whose tick is 2^60 or more, or -1.  Requests wait behind the bursts of operations in flight, and are
 * not taken before hbm_system_next_start. */
HBM_API int hbm_system_requests(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write,
                                const int64_t *tick, int64_t n, bool wrap, int64_t *bad);
/* The same without running: they wait behind what was offered before. */
HBM_API int hbm_system_offer(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write, const int64_t *tick,
                             int64_t n, bool wrap, int64_t *bad);
/* ---- borders: even ticks that no channel goes past, later ones each time ---- */
HBM_API int hbm_system_set_border(hbm_system_t *self, int64_t tick);
/* Runs what was offered or submitted up to the border, or until it is accepted.  busy: channels that have input left; ahead:
 * channels that have come to the border. */
HBM_API int hbm_system_run_to_border(hbm_system_t *self, int32_t *busy, int32_t *ahead);
/* Brings the channels without input to the border too.  Then counters are those up to it (of the derived ones only those of
 * time), and conditions may be set. */
HBM_API int hbm_system_stand_at_border(hbm_system_t *self);
/* How a stack runs from now on, at a border or before the first input: tREFI is divided by refresh_scale (1, 2, 4), from the
 * next refresh due on; a burst is taken in each pseudo-channel no sooner than gap_256 / 256 ticks after the one before. */
HBM_API int hbm_system_set_conditions(hbm_system_t *self, int32_t stack, int32_t refresh_scale, int64_t gap_256);

/* An operation whose bursts are offered from tick `start`, the operands of all operations in flight taking turns of
 * tile_bursts bursts in every pseudo-channel (0: one operand after the other).  It is in flight until its end is reported or
 * all is accepted; it starts no sooner than hbm_system_next_start.  Needs room.  Submit in rising order of the starts: else it
 * depends on how far the channels have come when the one that starts sooner is let in.  On HBM_ERR_ADDRESS *bad is the index of
 * the access that leaves the stacks. */
HBM_API int hbm_system_submit(hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int32_t operation,
                              int64_t start, int32_t tile_bursts, bool wrap, int32_t *bad);
/* The first tick at which something may start that depends on the last end reported: host_ticks (2 at least) after it, on an
 * even tick; 0 before the first. */
HBM_API int64_t hbm_system_next_start(const hbm_system_t *self);
/* False: wait for an end: one whose number is the same modulo 64 is in flight, or too many byte runs are. */
HBM_API bool hbm_system_has_room(const hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int32_t operation);
/* Runs until it is certain which operation in flight ends first, and when: the last of its reads is back, the last of its
 * writes accepted.  Ends come in order of time, then of number.  operation -1: none before the border, at which those
 * channels now stand that have anything to do. */
HBM_API int hbm_system_next_end(hbm_system_t *self, int32_t *operation, int64_t *end_tick);
/* Runs until everything in flight is accepted, and forgets that it was in flight. */
HBM_API int hbm_system_accept(hbm_system_t *self);
/* The latter alone. */
HBM_API int hbm_system_forget(hbm_system_t *self);
/* Results of operations [first, first + n). */
HBM_API int hbm_system_operations(const hbm_system_t *self, int32_t first, int32_t n, hbm_operation_result_t *out);
/* Empties all queues and brings every channel to the common end: the latest completion, or the last border they stood at, if
 * that is later.  No more input after this. */
HBM_API int hbm_system_finish(hbm_system_t *self, int64_t *end_tick);
HBM_API int32_t hbm_system_n_pseudo_channels(const hbm_system_t *self);
HBM_API int32_t hbm_n_counters(void);
HBM_API const char *hbm_counter_name(int32_t i);
/* n_pseudo_channels rows of hbm_n_counters(). */
HBM_API void hbm_system_counters(const hbm_system_t *self, int64_t *out);
HBM_API int32_t hbm_n_class_counters(void);
HBM_API const char *hbm_class_counter_name(int32_t i);
/* n_pseudo_channels * classes rows of hbm_n_class_counters(); nothing without classes. */
HBM_API void hbm_system_class_counters(const hbm_system_t *self, int64_t *out);
HBM_API int32_t hbm_n_bank_counters(void);
HBM_API const char *hbm_bank_counter_name(int32_t i);
/* n_pseudo_channels * banks rows of hbm_n_bank_counters(), after hbm_system_finish or at a border. */
HBM_API void hbm_system_bank_counters(const hbm_system_t *self, int64_t *out);
HBM_API int32_t hbm_histogram_n_buckets(void);
HBM_API int64_t hbm_histogram_lower_edge(int32_t bucket);
HBM_API void hbm_system_histogram(const hbm_system_t *self, uint64_t *out);
/* classes rows of hbm_histogram_n_buckets(), which add up to that of all reads; nothing without classes. */
HBM_API void hbm_system_class_histograms(const hbm_system_t *self, uint64_t *out);
HBM_API int64_t hbm_system_epochs(const hbm_system_t *self, int64_t *epoch_ticks);
/* 4 rows (bytes read, bytes written, ACT, REF) of n epochs. */
HBM_API int hbm_system_epoch_table(hbm_system_t *self, int64_t n, int64_t *out);
/* 5 rows of n epochs: ticks of all pseudo-channels in active standby, precharged standby, active power-down, precharged
 * power-down, self-refresh; complete after hbm_system_finish. */
HBM_API int hbm_system_epoch_states(hbm_system_t *self, int64_t n, int64_t *out);
HBM_API int64_t hbm_system_n_commands(const hbm_system_t *self);
/* Copies commands [first, first + n) of the log ordered by stack, channel, tick. */
HBM_API void hbm_system_commands(const hbm_system_t *self, int64_t first, int64_t n, hbm_command_t *out);

/* ---- one channel by itself, with explicit coordinates: for tests and co-design of controllers ---- */
typedef struct {
    const int64_t *arrival; /* -1: as early as accepted */
    const uint8_t *is_write;
    const int32_t *bank;
    const int32_t *row;
    const int32_t *column;
    int64_t n;
    int64_t *accept;    /* out, each n long */
    int64_t *done;
    uint8_t *forwarded;
} hbm_channel_input_t;

typedef struct hbm_channel_run hbm_channel_run_t;
HBM_API int hbm_channel_run_create(const hbm_device_t *device, const hbm_policy_t *policy,
                                   const hbm_channel_input_t *inputs, hbm_channel_run_t **out);
HBM_API int hbm_channel_run_execute(hbm_channel_run_t *self, int64_t *end_tick);
HBM_API void hbm_channel_run_counters(const hbm_channel_run_t *self, int64_t *out);
HBM_API int64_t hbm_channel_run_n_commands(const hbm_channel_run_t *self);
HBM_API void hbm_channel_run_commands(const hbm_channel_run_t *self, hbm_command_t *out);
HBM_API void hbm_channel_run_free(hbm_channel_run_t *self);

/* ---- policy set of Ramulator 2.1, for cross-validation ---- */
enum hbm_r21_scheduler { HBM_R21_FRFCFS = 0, HBM_R21_FRFCFS_ROW_HIT = 1 };
enum hbm_r21_refresh { HBM_R21_REFRESH_NONE = 0, HBM_R21_REFRESH_AB = 1, HBM_R21_REFRESH_PB = 2 };
/* Rules of our timing tables that the simulator lacks; each can be switched off for a comparison. */
enum hbm_r21_relaxation {
    HBM_R21_REFPB_OUTSIDE_FAW = 1,
    HBM_R21_ACT_REFPB_SHORT = 2
};
/* NULL, NULL and 0 past the last. */
HBM_API const char *hbm_r21_relaxation_name(int32_t i);
HBM_API const char *hbm_r21_relaxation_text(int32_t i);
HBM_API int32_t hbm_r21_relaxation_flag(int32_t i);

typedef struct {
    int32_t scheduler;   /* enum hbm_r21_scheduler */
    int32_t refresh;     /* enum hbm_r21_refresh */
    int32_t relaxations; /* sum of enum hbm_r21_relaxation; 0: our tables as they are */
    int32_t read_buffer;
    int32_t write_buffer;
    bool skip;           /* false: visit every tick (slow; for proving that skipping changes nothing) */
} hbm_r21_policy_t;

/* One in-order stream to one channel; arrays n long.  bank: flat within the pseudo-channel. */
typedef struct {
    const uint64_t *address;
    const uint8_t *is_write;
    const int64_t *tick; /* earliest tick at which the request may be offered */
    const int32_t *pc;
    const int32_t *bank;
    const int32_t *row;
    int64_t n;
} hbm_r21_requests_t;

typedef struct {
    int64_t tick;
    int64_t request; /* index of the request that it serves; -1: maintenance */
    int32_t pc;
    int32_t command;
    int32_t bank;
} hbm_r21_command_t;

typedef struct {
    int64_t cycles; /* ticks until all requests are complete */
    int64_t row_hits;
    int64_t row_misses;
    int64_t row_conflicts;
    int64_t num_read_reqs;
    int64_t num_write_reqs;
    int64_t num_maintenance_reqs;
    int64_t num_read_reqs_served;
    int64_t num_write_reqs_served;
    int64_t num_read_reqs_forwarded;
    int64_t num_write_reqs_coalesced;
    int64_t read_latency; /* sum over all reads, as the simulator stamps them */
    int64_t queue_len;    /* sum over all ticks */
    int64_t n_commands;
} hbm_r21_result_t;

/* accept, done: n ticks each.  commands: NULL or room for `capacity` of them; result->n_commands counts all.  On error
 * the outputs are undefined. */
HBM_API int hbm_r21_run(const hbm_device_t *device, const hbm_r21_policy_t *policy, const hbm_r21_requests_t *requests,
                        int64_t *accept, int64_t *done, hbm_r21_command_t *commands, int64_t capacity,
                        hbm_r21_result_t *result);
/* ---- temperature of a stack of layers, per lateral mode; csrc/thermal.c has the equation ---- */
typedef struct {
    int32_t layers;
    int32_t sources;
    int64_t modes;
    const double *conductance;   /* [layers + 1] W/K of a cell: top to ambient, between layers, bottom to ambient */
    const double *capacity;      /* [layers] J/K of a cell */
    const double *sheet;         /* [layers] W/K: conductivity times thickness */
    const double *eigenvalue;    /* [modes] of the lateral operator of sheet conductance 1 */
    const int32_t *source_layer; /* [sources] different layers */
} hbm_thermal_network_t;

typedef struct hbm_thermal hbm_thermal_t;
/* Factorises for backward-Euler steps of dt_s; 0: for the steady state, which one "step" from any state then gives. */
HBM_API int hbm_thermal_create(const hbm_thermal_network_t *network, double dt_s, hbm_thermal_t **out);
HBM_API void hbm_thermal_free(hbm_thermal_t *self);
/* power: [sources][modes] W; state: [layers][modes] K above the ambient, in and out.  Any number of threads may step
 * different states with one factorisation. */
HBM_API int hbm_thermal_step(const hbm_thermal_t *self, int64_t steps, const double *power, double *state);
/* cffi: end */

#ifdef __cplusplus
}
#endif

#endif
