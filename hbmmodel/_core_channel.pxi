# One channel by itself, on explicit coordinates; part of _core.pyx.


def run_channel(dict ticks not None, dict policy not None, arrival, is_write, bank, row, column, int64_t host_ticks=0,
                int64_t window=0, bint skip=True, bint command_log=True):
    """Run one channel on explicit coordinates: one array per pseudo-channel for each input.

    Returns
    -------
    dict
        ``commands`` (structured: tick, pseudo_channel, command, bank (flat), row, column), ``accept``, ``done``,
        ``forwarded`` (lists of arrays), ``counters`` (name -> list per pseudo-channel), ``end_tick``.
    """
    cdef CoreDevice device = CoreDevice(ticks)
    cdef hbm_policy_t filled
    cdef hbm_channel_input_t[2] inputs
    cdef hbm_channel_run_t *run = NULL
    cdef int64_t end = 0
    cdef int code
    cdef const int64_t[::1] a
    cdef const uint8_t[::1] w
    cdef const int32_t[::1] b
    cdef const int32_t[::1] r
    cdef const int32_t[::1] c
    cdef int64_t[::1] out_accept
    cdef int64_t[::1] out_done
    cdef uint8_t[::1] out_forwarded
    cdef int64_t[:, ::1] table
    n_pc = ticks["pseudo_channels"]
    if len(arrival) != n_pc:
        raise HbmArgumentError(f"one input per pseudo-channel is needed: {n_pc}, got {len(arrival)}")
    fill_policy(policy, host_ticks, window, skip, command_log, 1 << 40, &filled)
    keep = []
    accept, done, forwarded = [], [], []
    memset(inputs, 0, sizeof(inputs))
    for p in range(n_pc):
        n = len(arrival[p])
        if any(len(x[p]) != n for x in (is_write, bank, row, column)):
            raise HbmArgumentError(f"inputs of pseudo-channel {p} differ in length")
        # one spare element, so that an empty input still has an address
        arrays = [np.append(np.asarray(x[p], dtype=t), t(0)) for x, t in
                  ((arrival, np.int64), (is_write, np.uint8), (bank, np.int32), (row, np.int32), (column, np.int32))]
        outs = [np.full(n + 1, -1, dtype=np.int64), np.full(n + 1, -1, dtype=np.int64), np.zeros(n + 1, dtype=np.uint8)]
        keep += arrays + outs
        a, w, b, r, c = arrays
        out_accept, out_done, out_forwarded = outs
        inputs[p].arrival = &a[0]
        inputs[p].is_write = &w[0]
        inputs[p].bank = &b[0]
        inputs[p].row = &r[0]
        inputs[p].column = &c[0]
        inputs[p].n = n
        inputs[p].accept = &out_accept[0]
        inputs[p].done = &out_done[0]
        inputs[p].forwarded = &out_forwarded[0]
        accept.append(outs[0][:n])
        done.append(outs[1][:n])
        forwarded.append(outs[2][:n])
    code = hbm_channel_run_create(device.ptr, &filled, inputs, &run)
    if code != 0:
        raise_for(code, "")
    try:
        with nogil:
            code = hbm_channel_run_execute(run, &end)
        if code != 0:
            raise_of_run(code)
        names = counter_names()
        counters = np.zeros((2, len(names)), dtype=np.int64)
        table = counters
        hbm_channel_run_counters(run, &table[0, 0])
        log = read_commands(hbm_channel_run_n_commands(run), NULL, run)
    finally:
        hbm_channel_run_free(run)
    dtype = np.dtype([("tick", np.int64), ("pseudo_channel", np.int32), ("command", np.int32), ("bank", np.int32),
                      ("row", np.int64), ("column", np.int32)])
    commands = np.zeros(len(log), dtype=dtype)
    for name in ("tick", "pseudo_channel", "command", "row", "column"):
        commands[name] = log[name]
    commands["bank"] = ((log["sid"].astype(np.int32) * ticks["bank_groups"] + log["bank_group"])
                        * ticks["banks_per_group"] + log["bank"])
    return {
        "commands": commands,
        "accept": accept,
        "done": done,
        "forwarded": forwarded,
        "counters": {name: [int(counters[p, i]) for p in range(n_pc)] for i, name in enumerate(names)},
        "end_tick": end,
    }
