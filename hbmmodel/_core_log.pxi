# Part of _core.pyx: command logs, from the C struct to the packed dtype of the package.

cdef object read_commands(int64_t n, hbm_system_t *system, hbm_channel_run_t *run):
    """Copies a log in blocks through the C struct into the packed dtype of the package."""
    cdef hbm_command_t *block
    cdef int64_t first = 0
    cdef int64_t m
    cdef int64_t step = 1 << 16 if run == NULL else n
    cdef char[::1] raw
    out = np.zeros(n, dtype=COMMAND_DTYPE)
    if n == 0:
        return out
    size = sizeof(hbm_command_t)
    padded = np.dtype({
        "names": list(COMMAND_DTYPE.names),
        "formats": ["<i8", "<u2", "<u2", "u1", "u1", "u1", "u1", "u1", "<u4", "<u2"],
        "offsets": [0, 8, 10, 12, 13, 14, 15, 16, 20, 24],
        "itemsize": size,
    })
    buffer = np.zeros(min(step, n), dtype=padded)
    raw = buffer.view(np.int8).view("b")
    block = <hbm_command_t *><void *>&raw[0]
    while first < n:
        m = min(step, n - first)
        if run != NULL:
            hbm_channel_run_commands(run, block)
        else:
            hbm_system_commands(system, first, m, block)
        for name in COMMAND_DTYPE.names:
            out[name][first:first + m] = buffer[name][:m]
        first += m
    return out
