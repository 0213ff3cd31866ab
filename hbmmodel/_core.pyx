"""The binding of the C core: validate, one C call without the GIL, check the code, wrap.

It owns marshalling only: numpy arrays and plain dicts in and out.  It must not know files, traces or units other than
the core's own (ticks of half a CK, bytes).
"""
from libc.stdlib cimport calloc, free
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from hbmmodel._chbm cimport *

import numpy as np

from hbmmodel.commands import COMMAND_DTYPE
from hbmmodel.errors import BY_CODE, HbmArgumentError, HbmBusyError, HbmInternalError

MAX_DIMS = 8
cdef enum:
    POLL_MS = 50


cdef int raise_for(int code, str detail) except -1:
    """Raises the exception class of a C error code."""
    message = hbm_strerror(code).decode()
    if detail:
        message = f"{message}: {detail}"
    raise BY_CODE.get(code, HbmInternalError)(message)


cdef int raise_of_run(int code) except -1:
    """The same for what runs a system: there a policy fails only in one way."""
    return raise_for(code, "" if code != HBM_ERR_BAD_POLICY else
                     "requests wait and the device only refreshes; lengthen tREFI, or shorten tRFC or tRREFD")


def device_fields():
    """Names of the device's numbers, in the core's order."""
    return [hbm_device_field_name(i).decode() for i in range(hbm_device_n_fields())]


def counter_names():
    """Names of the counters of a pseudo-channel."""
    return [hbm_counter_name(i).decode() for i in range(hbm_n_counters())]


def bank_counter_names():
    """Names of the counters of a bank."""
    return [hbm_bank_counter_name(i).decode() for i in range(hbm_n_bank_counters())]


def class_counter_names():
    """Names of the counters of a class of traffic."""
    return [hbm_class_counter_name(i).decode() for i in range(hbm_n_class_counters())]


def histogram_edges():
    """Lower edges of the latency histogram's buckets and one past the last, in ticks."""
    return np.array([hbm_histogram_lower_edge(i) for i in range(hbm_histogram_n_buckets() + 1)], dtype=np.int64)


def policies():
    """The policies as the core describes them: kind -> list of {name, doc, parameters}."""
    found = {}
    i = 0
    while hbm_policy_info(i) != NULL:
        info = hbm_policy_info(i)
        found.setdefault(info.kind.decode(), []).append(
            {"name": info.name.decode(), "doc": info.text.decode(), "parameters": info.parameters.decode()}
        )
        i += 1
    return found


cdef int32_t policy_number(str kind, object name) except -1:
    names = [entry["name"] for entry in policies()[kind]]
    if name not in names:
        raise HbmArgumentError(f"{kind} is {name!r}; choose one of {', '.join(names)}")
    return names.index(name)


cdef int fill_policy(dict policy, int64_t host_ticks, int64_t window, bint skip, bint log, int64_t epoch_ticks,
                     hbm_policy_t *out) except -1:
    memset(out, 0, sizeof(hbm_policy_t))
    out.scheduler = policy_number("scheduler", policy["scheduler"])
    out.page = policy_number("page_policy", policy["page_policy"])
    out.refresh = policy_number("refresh", policy["refresh"])
    out.cap = policy["cap"]
    out.timeout_ticks = policy["timeout_ticks"]
    out.postpone = policy["postpone"]
    out.pull_in = policy["pull_in"]
    out.refresh_scale = policy["refresh_scale"]
    out.read_queue = policy["read_queue"]
    out.write_queue = policy["write_queue"]
    out.write_high = policy["write_high"]
    out.write_low = policy["write_low"]
    out.window = <int32_t>min(window, 1 << 30)
    out.host_ticks = host_ticks
    out.skip = skip
    out.log_commands = log
    out.epoch_ticks = epoch_ticks
    out.power = policy_number("power", policy.get("power", "never"))
    out.power_down_ticks = policy.get("power_down_ticks", 0)
    out.self_refresh_ticks = policy.get("self_refresh_ticks", 0)
    return 0


cdef class CoreDevice:
    """A device as the core holds it, from ``Device.ticks()``."""

    cdef hbm_device_t *ptr
    cdef readonly dict ticks

    def __cinit__(self, dict ticks not None):
        cdef int32_t bad = -1
        cdef int code
        cdef int64_t[::1] view
        names = device_fields()
        missing = [name for name in names if name not in ticks]
        if missing:
            raise HbmArgumentError(f"device lacks the value {missing[0]}")
        values = np.array([ticks[name] for name in names], dtype=np.int64)
        view = values
        code = hbm_device_create(&view[0], <int32_t>len(names), &self.ptr, &bad)
        if code != 0:
            raise_for(code, "" if bad < 0 else
                      f"{names[bad]} = {ticks[names[bad]]} ({hbm_device_field_text(bad).decode()})")
        self.ticks = dict(ticks)

    def least_refresh_interval(self, bint per_bank):
        """Ticks between two REFpb (or REFab) that leave time for one row between two refreshes of its bank."""
        return hbm_device_least_refresh_interval(self.ptr, per_bank)

    def __dealloc__(self):
        hbm_device_free(self.ptr)


cdef class CoreMap:
    """An address map: pieces (field, radix, multiplier) from the low end, XOR terms (target, source, shift, mask)."""

    cdef hbm_map_t *ptr
    cdef readonly CoreDevice device
    cdef readonly int stacks

    def __cinit__(self, CoreDevice device not None, int stacks, pieces, xors=()):
        cdef hbm_piece_t[64] piece
        cdef hbm_xor_t[32] term
        cdef int code
        cdef int n = 0
        cdef int m = 0
        if len(pieces) > 64 or len(xors) > 32:
            raise HbmArgumentError("an address map holds at most 64 pieces and 32 XOR terms")
        for piece[n].field, piece[n].radix, piece[n].multiplier in pieces:
            n += 1
        for term[m].target, term[m].source, term[m].shift, term[m].mask in xors:
            m += 1
        code = hbm_map_create(device.ptr, stacks, piece, n, term, m, &self.ptr)
        if code != 0:
            raise_for(code, "")
        self.device = device
        self.stacks = stacks

    def __dealloc__(self):
        hbm_map_free(self.ptr)

    @property
    def capacity_bytes(self):
        """Bytes that the map covers."""
        return hbm_map_capacity_bytes(self.ptr)

    def decode(self, const uint64_t[::1] address not None, bint wrap=False):
        """Coordinates (n, 8) int32 of n byte addresses; IndexError names the first that is outside."""
        cdef int64_t n = address.shape[0]
        cdef int64_t bad = -1
        cdef int32_t[:, ::1] view
        cdef int code
        out = np.zeros((n, 8), dtype=np.int32)
        view = out
        if n == 0:
            return out
        with nogil:
            code = hbm_map_decode(self.ptr, &address[0], n, wrap, &view[0, 0], &bad)
        if code != 0:
            raise_for(code, f"address {address[bad]:#x} (entry {bad}) is not below the capacity "
                            f"{self.capacity_bytes:#x}")
        return out

    def encode(self, const int32_t[:, ::1] coordinates not None):
        """Byte addresses of n rows of coordinates."""
        cdef int64_t n = coordinates.shape[0]
        cdef int64_t bad = -1
        cdef uint64_t[::1] view
        cdef int code
        if coordinates.shape[1] != 8:
            raise HbmArgumentError("coordinates must have 8 columns")
        out = np.zeros(n, dtype=np.uint64)
        view = out
        if n == 0:
            return out
        with nogil:
            code = hbm_map_encode(self.ptr, &coordinates[0, 0], n, &view[0], &bad)
        if code != 0:
            raise_for(code, f"coordinates {list(np.asarray(coordinates[bad]))} (entry {bad}) are outside the device")
        return out


cdef struct poll_t:
    int64_t at_ms
    PyObject *raised  # owned: what a signal handler raised


cdef int poll_signals(void *context) noexcept nogil:
    """Runs Python's signal handlers, at most every POLL_MS, since that takes the GIL."""
    cdef poll_t *poll = <poll_t *>context
    cdef timespec now
    cdef int64_t now_ms
    clock_gettime(CLOCK_MONOTONIC, &now)
    now_ms = <int64_t>now.tv_sec * 1000 + now.tv_nsec // 1000000
    if now_ms - poll.at_ms < POLL_MS:
        return 0
    poll.at_ms = now_ms
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            Py_INCREF(error)
            poll.raised = <PyObject *>error
            return 1
    return 0


cdef class CoreSystem:
    """All channels of a system.  One object belongs to one thread at a time; a second one gets HbmBusyError."""

    cdef hbm_system_t *ptr
    cdef readonly CoreMap map
    cdef bint busy
    cdef readonly int classes
    cdef poll_t poll

    def __cinit__(self, CoreMap map not None, dict policy not None, *, int64_t host_ticks, int64_t window,
                  int threads, bint command_log, int64_t epoch_ticks, bint skip=True, int64_t log_from_tick=0,
                  int64_t log_to_tick=0):
        cdef hbm_policy_t filled
        cdef int code
        fill_policy(policy, host_ticks, window, skip, command_log, epoch_ticks, &filled)
        filled.log_from_tick = log_from_tick
        filled.log_to_tick = log_to_tick
        code = hbm_system_create(map.device.ptr, map.ptr, &filled, threads, &self.ptr)
        if code != 0:
            raise_for(code, "")
        self.map = map
        hbm_system_set_poll(self.ptr, poll_signals, &self.poll)

    def __dealloc__(self):
        hbm_system_free(self.ptr)

    cdef int leave(self) except -1:
        """After every call that takes long: free for the next one; raises what a signal handler raised."""
        self.busy = False
        if self.poll.raised != NULL:
            error = <object>self.poll.raised
            self.poll.raised = NULL
            Py_DECREF(error)
            raise error from None
        return 0

    cdef int idle(self) except -1:
        if self.busy:
            raise HbmBusyError("this system is running in another thread; make one system per thread")
        return 0

    cdef int enter(self) except -1:
        self.idle()
        self.busy = True
        return 0

    def set_l2(self, int64_t size_bytes, int64_t line_bytes, int32_t ways):
        """Put an on-chip filter before the stacks; before the first input."""
        cdef int code
        self.idle()
        code = hbm_system_set_l2(self.ptr, size_bytes, line_bytes, ways)
        if code != 0:
            raise_for(code, f"l2 of {size_bytes} bytes, lines of {line_bytes} bytes, {ways} ways")

    def set_classes(self, int n, quotas=None, int64_t slack_ticks=2):
        """Tell n classes of traffic apart; before the first input.

        quotas: None, or per class (reserved_gap_256, cap_gap_256, priority, read_entries, write_entries)."""
        cdef hbm_quota_t[8] table
        cdef hbm_quota_t *given = NULL
        cdef int code
        cdef int i
        self.idle()
        if not 1 <= n <= 8 or (quotas is not None and len(quotas) != n):
            raise HbmArgumentError(f"{n} classes of traffic; there may be 1 to 8, with a quota each or none")
        if quotas is not None:
            for i in range(n):
                (table[i].reserved_gap_256, table[i].cap_gap_256, table[i].priority, table[i].read_entries,
                 table[i].write_entries) = quotas[i]
            given = table
        code = hbm_system_set_classes(self.ptr, n, given, slack_ticks)
        if code != 0:
            raise_for(code, f"{n} classes of traffic, quotas {quotas}, slack {slack_ticks}")
        self.classes = n

    def set_class(self, int traffic_class):
        """The class of operations submitted from now on."""
        cdef int code
        self.idle()
        code = hbm_system_set_class(self.ptr, traffic_class)
        if code != 0:
            raise_for(code, f"class {traffic_class}")

    def l2_counts(self):
        """hits, misses and writebacks of the filter, in bursts."""
        cdef int64_t[3] counts
        self.idle()
        hbm_system_l2_counts(self.ptr, counts)
        return {"hits": counts[0], "misses": counts[1], "writebacks": counts[2]}

    def requests(self, const uint64_t[::1] address not None, const uint8_t[::1] is_write not None,
                 const int64_t[::1] tick, bint wrap, int64_t first_record=0, bint run=True):
        """Feed a block of single-burst requests and run until all are accepted; without `run` they wait."""
        cdef int64_t n = address.shape[0]
        cdef int64_t bad = -1
        cdef int code
        cdef const int64_t *ticks = NULL
        if is_write.shape[0] != n or (tick is not None and tick.shape[0] != n):
            raise HbmArgumentError("address, is_write and tick differ in length")
        if n == 0:
            return
        if tick is not None:
            ticks = &tick[0]
        self.enter()
        try:
            with nogil:
                if run:
                    code = hbm_system_requests(self.ptr, &address[0], &is_write[0], ticks, n, wrap, &bad)
                else:
                    code = hbm_system_offer(self.ptr, &address[0], &is_write[0], ticks, n, wrap, &bad)
        finally:
            self.leave()
        if code != 0:
            if bad < 0:
                raise_of_run(code)
            raise_for(code,
                      f"record {first_record + bad}: address {address[bad]:#x} is not below the capacity "
                      f"{self.map.capacity_bytes:#x}; check the trace's base or pass wrap=True")

    def submit(self, list accesses not None, int32_t operation, int64_t start, int32_t tile_bursts, bint wrap):
        """Put an operation in flight; False when that has to wait for an end.

        accesses: tuples (base, run_bytes, dims, row_offsets or None, is_write).  Raises with the index of the offending
        access in the exception's ``args[1]``."""
        cdef int32_t n = <int32_t>len(accesses)
        cdef int32_t bad = -1
        cdef int code = 0
        cdef bint room = False
        cdef const int64_t[::1] offsets
        cdef hbm_access_t *list_of = NULL
        keep = []
        self.enter()
        try:
            list_of = <hbm_access_t *>calloc(max(n, 1), sizeof(hbm_access_t))
            if list_of == NULL:
                raise_for(-1, "")
            for i in range(n):
                base, run_bytes, dims, row_offsets, is_write = accesses[i]
                if len(dims) > MAX_DIMS:
                    raise HbmArgumentError(f"access {i} has {len(dims)} strided dimensions; at most {MAX_DIMS}")
                list_of[i].base = base
                list_of[i].run_bytes = run_bytes
                list_of[i].n_dims = <int32_t>len(dims)
                for k, (count, stride) in enumerate(dims):
                    list_of[i].count[k] = count
                    list_of[i].stride[k] = stride
                if row_offsets is not None:
                    if len(row_offsets) == 0:
                        raise HbmArgumentError(f"access {i} has no rows")
                    offsets = row_offsets
                    keep.append(row_offsets)
                    list_of[i].offsets = &offsets[0]
                    list_of[i].n_offsets = offsets.shape[0]
                list_of[i].is_write = is_write
            with nogil:
                room = hbm_system_has_room(self.ptr, list_of, n, operation)
                if room:
                    code = hbm_system_submit(self.ptr, list_of, n, operation, start, tile_bursts, wrap, &bad)
            if code != 0 and bad < 0:
                raise_for(code, "")
            if code != 0:
                message = hbm_strerror(code).decode()
                raise BY_CODE.get(code, HbmInternalError)(message, bad)
        finally:
            free(list_of)
            self.leave()
        return room

    def next_end(self):
        """Run until it is certain which operation in flight ends first: (its number, the tick).

        The number is -1 when none ends before the border."""
        cdef int32_t operation = -1
        cdef int64_t end = 0
        cdef int code
        self.enter()
        try:
            with nogil:
                code = hbm_system_next_end(self.ptr, &operation, &end)
        finally:
            self.leave()
        if code != 0:
            raise_of_run(code)
        return operation, end

    def next_start(self):
        """The first tick at which an operation may start that depends on the last end."""
        return hbm_system_next_start(self.ptr)

    def accept(self):
        """Run until everything in flight is accepted."""
        cdef int code
        self.enter()
        try:
            with nogil:
                code = hbm_system_accept(self.ptr)
        finally:
            self.leave()
        if code != 0:
            raise_of_run(code)

    def forget(self):
        """What is in flight is no more waited for; it still has to be run."""
        self.idle()
        code = hbm_system_forget(self.ptr)
        if code != 0:
            raise_for(code, "")

    def set_border(self, int64_t tick):
        """No channel goes past this even tick until the border is moved on."""
        self.idle()
        code = hbm_system_set_border(self.ptr, tick)
        if code != 0:
            raise_for(code, f"border {tick}")

    def run_to_border(self):
        """Run what is offered up to the border: (channels with input left, channels that are at the border)."""
        cdef int32_t busy = 0
        cdef int32_t ahead = 0
        cdef int code
        self.enter()
        try:
            with nogil:
                code = hbm_system_run_to_border(self.ptr, &busy, &ahead)
        finally:
            self.leave()
        if code != 0:
            raise_of_run(code)
        return busy, ahead

    def stand_at_border(self):
        """Bring the channels without input to the border too; then counters and conditions are those of that tick."""
        cdef int code
        self.enter()
        try:
            with nogil:
                code = hbm_system_stand_at_border(self.ptr)
        finally:
            self.leave()
        if code != 0:
            raise_of_run(code)

    def set_conditions(self, int32_t stack, int32_t refresh_scale, int64_t gap_256):
        """Refresh rate and pace of a stack from now on, at a border or before the first input."""
        self.idle()
        code = hbm_system_set_conditions(self.ptr, stack, refresh_scale, gap_256)
        if code != 0:
            raise_for(code, f"stack {stack}: {refresh_scale} times the refreshes, a burst per {gap_256} / 256 ticks")

    def operations(self, int32_t n):
        """Table of the first n operations: dict of int64 arrays."""
        cdef int code
        self.idle()
        names = ("end_tick", "bursts_read", "bursts_written", "row_hits", "row_misses", "row_conflicts")
        dtype = np.dtype([(name, np.int64) for name in names])
        out = np.zeros(n, dtype=dtype)
        cdef char[::1] raw
        if n > 0:
            raw = out.view(np.int8).view("b")
            code = hbm_system_operations(self.ptr, 0, n, <hbm_operation_result_t *><void *>&raw[0])
            if code != 0:
                raise_for(code, "")
        return {name: np.ascontiguousarray(out[name]) for name in dtype.names}

    def finish(self):
        """Empty all queues, bring every channel to the common end; returns the end tick."""
        cdef int64_t end = 0
        cdef int code
        self.enter()
        try:
            with nogil:
                code = hbm_system_finish(self.ptr, &end)
        finally:
            self.leave()
        if code != 0:
            raise_of_run(code)
        return end

    def counters(self):
        """Counters by name: int64 arrays over pseudo-channels."""
        cdef int64_t[:, ::1] view
        self.idle()
        names = counter_names()
        table = np.zeros((hbm_system_n_pseudo_channels(self.ptr), len(names)), dtype=np.int64)
        view = table
        hbm_system_counters(self.ptr, &view[0, 0])
        return {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(names)}

    def class_counters(self):
        """Counters by name: int64 arrays (pseudo-channels, classes)."""
        cdef int64_t[:, :, ::1] view
        self.idle()
        names = class_counter_names()
        table = np.zeros((hbm_system_n_pseudo_channels(self.ptr), max(self.classes, 1), len(names)), dtype=np.int64)
        view = table
        hbm_system_class_counters(self.ptr, &view[0, 0, 0])
        return {name: np.ascontiguousarray(table[:, :, i]) for i, name in enumerate(names)}

    def bank_counters(self):
        """Counters by name: int64 arrays (pseudo-channels, banks), after `finish` or at a border."""
        cdef int64_t[:, :, ::1] view
        self.idle()
        names = bank_counter_names()
        n = hbm_system_n_pseudo_channels(self.ptr)
        ticks = self.map.device.ticks
        banks = ticks["sids"] * ticks["bank_groups"] * ticks["banks_per_group"]
        table = np.zeros((n, banks, len(names)), dtype=np.int64)
        view = table
        hbm_system_bank_counters(self.ptr, &view[0, 0, 0])
        return {name: np.ascontiguousarray(table[:, :, i]) for i, name in enumerate(names)}

    def histogram(self):
        """Read latencies: uint64 counts per bucket of `histogram_edges`."""
        cdef uint64_t[::1] view
        self.idle()
        out = np.zeros(hbm_histogram_n_buckets(), dtype=np.uint64)
        view = out
        hbm_system_histogram(self.ptr, &view[0])
        return out

    def class_histograms(self):
        """Read latencies by class: uint64 counts (classes, buckets), which add up to `histogram`."""
        cdef uint64_t[:, ::1] view
        self.idle()
        out = np.zeros((max(self.classes, 1), hbm_histogram_n_buckets()), dtype=np.uint64)
        view = out
        hbm_system_class_histograms(self.ptr, &view[0, 0])
        return out

    def epochs(self):
        """Time series: dict epoch_ticks, bytes_read, bytes_written, n_act, n_ref, ticks_ of every power state."""
        cdef int64_t epoch_ticks = 0
        cdef int64_t n
        cdef int64_t[:, ::1] view
        cdef int64_t[:, ::1] states_view
        self.idle()
        n = hbm_system_epochs(self.ptr, &epoch_ticks)
        table = np.zeros((4, max(n, 1)), dtype=np.int64)
        view = table
        code = hbm_system_epoch_table(self.ptr, n, &view[0, 0])
        if code != 0:
            raise_for(code, "")
        states = np.zeros((5, max(n, 1)), dtype=np.int64)
        states_view = states
        code = hbm_system_epoch_states(self.ptr, n, &states_view[0, 0])
        if code != 0:
            raise_for(code, "")
        rows = {name: table[i, :n].copy() for i, name in enumerate(("bytes_read", "bytes_written", "n_act", "n_ref"))}
        rows.update({name: states[i, :n].copy() for i, name in enumerate(counter_names()[-5:])})
        return {"epoch_ticks": epoch_ticks, **rows}

    def commands(self):
        """The command log, ordered by stack, channel, tick."""
        cdef int64_t n
        self.idle()
        n = hbm_system_n_commands(self.ptr)
        return read_commands(n, self.ptr, NULL)


include "_core_log.pxi"
include "_core_channel.pxi"
include "_core_thermal.pxi"
