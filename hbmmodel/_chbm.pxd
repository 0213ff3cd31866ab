# Declarations of csrc/hbm.h, the only `cdef extern from` of the package.  Nothing is defined here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "hbm.h" nogil:
    int HBM_ERR_BAD_POLICY
    ctypedef struct hbm_device_t:
        pass
    ctypedef struct hbm_map_t:
        pass
    ctypedef struct hbm_system_t:
        pass
    ctypedef struct hbm_channel_run_t:
        pass

    ctypedef struct hbm_piece_t:
        int32_t field
        int32_t radix
        int32_t multiplier

    ctypedef struct hbm_xor_t:
        int32_t target
        int32_t source
        int32_t shift
        int32_t mask

    ctypedef struct hbm_policy_info_t:
        const char *kind
        const char *name
        const char *text
        const char *parameters

    ctypedef struct hbm_policy_t:
        int32_t scheduler
        int32_t page
        int32_t refresh
        int32_t cap
        int64_t timeout_ticks
        int64_t postpone
        int64_t pull_in
        int32_t refresh_scale
        int32_t read_queue
        int32_t write_queue
        int32_t write_high
        int32_t write_low
        int32_t window
        int64_t host_ticks
        bint skip
        bint log_commands
        int64_t epoch_ticks
        int32_t power
        int64_t power_down_ticks
        int64_t self_refresh_ticks
        int64_t log_from_tick
        int64_t log_to_tick

    ctypedef struct hbm_command_t:
        int64_t tick
        uint16_t stack
        uint16_t channel
        uint8_t pseudo_channel
        uint8_t command
        uint8_t sid
        uint8_t bank_group
        uint8_t bank
        uint32_t row
        uint16_t column

    ctypedef struct hbm_access_t:
        int64_t base
        int64_t run_bytes
        int32_t n_dims
        int64_t[8] count
        int64_t[8] stride
        const int64_t *offsets
        int64_t n_offsets
        bint is_write

    ctypedef struct hbm_quota_t:
        int64_t reserved_gap_256
        int64_t cap_gap_256
        int32_t priority
        int32_t read_entries
        int32_t write_entries

    ctypedef struct hbm_operation_result_t:
        int64_t end_tick
        int64_t bursts_read
        int64_t bursts_written
        int64_t row_hits
        int64_t row_misses
        int64_t row_conflicts

    ctypedef struct hbm_channel_input_t:
        const int64_t *arrival
        const uint8_t *is_write
        const int32_t *bank
        const int32_t *row
        const int32_t *column
        int64_t n
        int64_t *accept
        int64_t *done
        uint8_t *forwarded

    ctypedef struct hbm_thermal_t:
        pass

    ctypedef struct hbm_thermal_network_t:
        int32_t layers
        int32_t sources
        int64_t modes
        const double *conductance
        const double *capacity
        const double *sheet
        const double *eigenvalue
        const int32_t *source_layer

    const char *hbm_strerror(int code)
    int32_t hbm_device_n_fields()
    const char *hbm_device_field_name(int32_t i)
    const char *hbm_device_field_text(int32_t i)
    int hbm_device_create(const int64_t *values, int32_t n, hbm_device_t **out, int32_t *bad_field)
    void hbm_device_free(hbm_device_t *self)
    int64_t hbm_device_least_refresh_interval(const hbm_device_t *self, bint per_bank)

    int hbm_map_create(const hbm_device_t *device, int32_t stacks, const hbm_piece_t *pieces, int32_t n_pieces,
                       const hbm_xor_t *xors, int32_t n_xors, hbm_map_t **out)
    void hbm_map_free(hbm_map_t *self)
    uint64_t hbm_map_capacity_bytes(const hbm_map_t *self)
    int hbm_map_decode(const hbm_map_t *self, const uint64_t *address, int64_t n, bint wrap, int32_t *coordinates,
                       int64_t *bad)
    int hbm_map_encode(const hbm_map_t *self, const int32_t *coordinates, int64_t n, uint64_t *address, int64_t *bad)

    const hbm_policy_info_t *hbm_policy_info(int32_t i)

    int hbm_system_create(const hbm_device_t *device, const hbm_map_t *map, const hbm_policy_t *policy,
                          int32_t threads, hbm_system_t **out)
    void hbm_system_free(hbm_system_t *self)
    ctypedef int (*hbm_poll_fn)(void *context) noexcept nogil
    void hbm_system_set_poll(hbm_system_t *self, hbm_poll_fn poll, void *context)
    int hbm_system_set_l2(hbm_system_t *self, int64_t size_bytes, int64_t line_bytes, int32_t ways)
    void hbm_system_l2_counts(const hbm_system_t *self, int64_t *out)
    int hbm_system_set_classes(hbm_system_t *self, int32_t n, const hbm_quota_t *quotas, int64_t slack_ticks)
    int hbm_system_set_class(hbm_system_t *self, int32_t traffic_class)
    int hbm_system_requests(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write,
                            const int64_t *tick, int64_t n, bint wrap, int64_t *bad)
    int hbm_system_offer(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write,
                         const int64_t *tick, int64_t n, bint wrap, int64_t *bad)
    int hbm_system_set_border(hbm_system_t *self, int64_t tick)
    int hbm_system_run_to_border(hbm_system_t *self, int32_t *busy, int32_t *ahead)
    int hbm_system_stand_at_border(hbm_system_t *self)
    int hbm_system_set_conditions(hbm_system_t *self, int32_t stack, int32_t refresh_scale, int64_t gap_256)
    int hbm_system_forget(hbm_system_t *self)
    int hbm_system_submit(hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int32_t operation,
                          int64_t start, int32_t tile_bursts, bint wrap, int32_t *bad)
    bint hbm_system_has_room(const hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int32_t operation)
    int64_t hbm_system_next_start(const hbm_system_t *self)
    int hbm_system_next_end(hbm_system_t *self, int32_t *operation, int64_t *end_tick)
    int hbm_system_accept(hbm_system_t *self)
    int hbm_system_operations(const hbm_system_t *self, int32_t first, int32_t n, hbm_operation_result_t *out)
    int hbm_system_finish(hbm_system_t *self, int64_t *end_tick)
    int32_t hbm_system_n_pseudo_channels(const hbm_system_t *self)
    int32_t hbm_n_counters()
    const char *hbm_counter_name(int32_t i)
    void hbm_system_counters(const hbm_system_t *self, int64_t *out)
    int32_t hbm_n_class_counters()
    const char *hbm_class_counter_name(int32_t i)
    void hbm_system_class_counters(const hbm_system_t *self, int64_t *out)
    int32_t hbm_n_bank_counters()
    const char *hbm_bank_counter_name(int32_t i)
    void hbm_system_bank_counters(const hbm_system_t *self, int64_t *out)
    int32_t hbm_histogram_n_buckets()
    int64_t hbm_histogram_lower_edge(int32_t bucket)
    void hbm_system_histogram(const hbm_system_t *self, uint64_t *out)
    void hbm_system_class_histograms(const hbm_system_t *self, uint64_t *out)
    int64_t hbm_system_epochs(const hbm_system_t *self, int64_t *epoch_ticks)
    int hbm_system_epoch_table(hbm_system_t *self, int64_t n, int64_t *out)
    int hbm_system_epoch_states(hbm_system_t *self, int64_t n, int64_t *out)
    int64_t hbm_system_n_commands(const hbm_system_t *self)
    void hbm_system_commands(const hbm_system_t *self, int64_t first, int64_t n, hbm_command_t *out)

    int hbm_channel_run_create(const hbm_device_t *device, const hbm_policy_t *policy,
                               const hbm_channel_input_t *inputs, hbm_channel_run_t **out)
    int hbm_channel_run_execute(hbm_channel_run_t *self, int64_t *end_tick)
    void hbm_channel_run_counters(const hbm_channel_run_t *self, int64_t *out)
    int64_t hbm_channel_run_n_commands(const hbm_channel_run_t *self)
    void hbm_channel_run_commands(const hbm_channel_run_t *self, hbm_command_t *out)
    void hbm_channel_run_free(hbm_channel_run_t *self)

    int hbm_thermal_create(const hbm_thermal_network_t *network, double dt_s, hbm_thermal_t **out)
    void hbm_thermal_free(hbm_thermal_t *self)
    int hbm_thermal_step(const hbm_thermal_t *self, int64_t steps, const double *power, double *state)
