# The binding of csrc/thermal.c, a part of _core.pyx.

cdef class CoreThermal:
    """Factorised heat equations of all lateral modes for steps of dt_s seconds; 0: for the steady state."""

    cdef hbm_thermal_t *ptr
    cdef readonly int layers
    cdef readonly int sources
    cdef readonly int64_t modes

    def __cinit__(self, const double[::1] conductance not None, const double[::1] capacity not None,
                  const double[::1] sheet not None, const double[::1] eigenvalue not None,
                  const int32_t[::1] source_layer not None, double dt_s):
        cdef hbm_thermal_network_t network
        cdef int code
        if capacity.shape[0] < 1 or eigenvalue.shape[0] < 1 or source_layer.shape[0] < 1:
            raise HbmArgumentError("a thermal network needs at least one layer, one mode and one source")
        if sheet.shape[0] != capacity.shape[0] or conductance.shape[0] != capacity.shape[0] + 1:
            raise HbmArgumentError("a thermal network needs one capacity and sheet per layer, and one conductance more")
        network.layers = <int32_t>capacity.shape[0]
        network.sources = <int32_t>source_layer.shape[0]
        network.modes = eigenvalue.shape[0]
        network.conductance = &conductance[0]
        network.capacity = &capacity[0]
        network.sheet = &sheet[0]
        network.eigenvalue = &eigenvalue[0]
        network.source_layer = &source_layer[0]
        with nogil:
            code = hbm_thermal_create(&network, dt_s, &self.ptr)
        if code != 0:
            raise_for(code, "the thermal network")
        self.layers = network.layers
        self.sources = network.sources
        self.modes = network.modes

    def __dealloc__(self):
        hbm_thermal_free(self.ptr)

    def step(self, double[:, ::1] state not None, const double[:, ::1] power not None, int64_t steps=1):
        """Moves the state on by a number of steps, in place."""
        cdef int code
        if state.shape[0] != self.layers or state.shape[1] != self.modes:
            raise HbmArgumentError(f"state has the shape {state.shape[0]} x {state.shape[1]}, not "
                                   f"{self.layers} x {self.modes}")
        if power.shape[0] != self.sources or power.shape[1] != self.modes:
            raise HbmArgumentError(f"power has the shape {power.shape[0]} x {power.shape[1]}, not "
                                   f"{self.sources} x {self.modes}")
        with nogil:
            code = hbm_thermal_step(self.ptr, steps, &power[0, 0], &state[0, 0])
        if code != 0:
            raise_for(code, f"{steps} steps")
