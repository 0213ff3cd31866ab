/* Resolution and listing of policies, and the page and power policies themselves (they are only flags). */
#include "policy.h"

const hbm_page_policy_t *hbm_page_policy(int32_t i)
{
    static const hbm_page_policy_t table[] = {
        {{"page_policy", "open", "a row stays open until another row of its bank or a refresh needs it closed", ""},
         false, false, false},
        {{"page_policy", "closed", "the last waiting hit of a row carries an auto-precharge (RDA, WRA)", ""},
         true, true, true},
        {{"page_policy", "timeout", "a row without waiting hits is precharged after a time without use", "timeout_ns"},
         false, true, false},
    };
    return i >= 0 && (size_t)i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

const hbm_power_policy_t *hbm_power_policy(int32_t i)
{
    static const hbm_power_policy_t table[] = {
        {{"power", "never", "the channel is always up", ""}, false, false, false},
        {{"power", "power_down_idle", "power-down after an idle time; wakes for requests and for refreshes that must not wait",
          "power_down_after_ns"},
         true, false, false},
        {{"power", "self_refresh_idle", "power-down after an idle time, self-refresh after a longer one",
          "power_down_after_ns, self_refresh_after_ns"},
         true, true, false},
        {{"power", "aggressive", "power-down as soon as the channel is idle, self-refresh after an idle time",
          "self_refresh_after_ns"},
         true, true, true},
    };
    return i >= 0 && (size_t)i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

const hbm_policy_info_t *hbm_policy_info(int32_t i)
{
    int32_t n = 0;

    for (int32_t k = 0; hbm_scheduler(k) != NULL; k++, n++) {
        if (n == i) {
            return &hbm_scheduler(k)->info;
        }
    }
    for (int32_t k = 0; hbm_page_policy(k) != NULL; k++, n++) {
        if (n == i) {
            return &hbm_page_policy(k)->info;
        }
    }
    for (int32_t k = 0; hbm_refresh_policy(k) != NULL; k++, n++) {
        if (n == i) {
            return &hbm_refresh_policy(k)->info;
        }
    }
    for (int32_t k = 0; hbm_power_policy(k) != NULL; k++, n++) {
        if (n == i) {
            return &hbm_power_policy(k)->info;
        }
    }
    return NULL;
}

bool hbm_policies_refresh_fits(const hbm_policies_t *self, const hbm_device_t *device, int32_t scale)
{
    const int64_t interval = (self->refresh->per_bank ? device->REFIpb : device->REFI) / scale;

    return !self->refresh->active || interval >= hbm_device_least_refresh_interval(device, self->refresh->per_bank);
}

int hbm_policies_init(hbm_policies_t *self, const hbm_policy_t *config, const hbm_device_t *device)
{
    self->config = *config;
    self->scheduler = hbm_scheduler(config->scheduler);
    self->page = hbm_page_policy(config->page);
    self->refresh = hbm_refresh_policy(config->refresh);
    self->power = hbm_power_policy(config->power);
    if (self->scheduler == NULL || self->page == NULL || self->refresh == NULL || self->power == NULL) {
        return HBM_ERR_BAD_POLICY;
    }
    if (config->read_queue < 1 || config->read_queue > HBM_MAX_QUEUE || config->write_queue < 1 ||
        config->write_queue > HBM_MAX_QUEUE || config->write_low < 0 || config->write_high <= config->write_low ||
        config->write_high > config->write_queue || config->cap < 1 || config->timeout_ticks < 0 ||
        config->timeout_ticks > HBM_NEVER / 4 || config->window < 0 || config->host_ticks < 0 ||
        config->host_ticks > (1 << 24) || config->epoch_ticks < 2 || config->pull_in < 0 || config->postpone < 0) {
        return HBM_ERR_BAD_POLICY;
    }
    if (config->log_from_tick < 0 || (config->log_to_tick != 0 && config->log_to_tick <= config->log_from_tick)) {
        return HBM_ERR_BAD_POLICY;
    }
    if (config->refresh_scale != 1 && config->refresh_scale != 2 && config->refresh_scale != 4) {
        return HBM_ERR_BAD_POLICY;
    }
    if (!self->refresh->active && device->RAAIMT > 0) {
        return HBM_ERR_BAD_POLICY; /* a device that needs RFM stops accepting ACT without it */
    }
    if (self->refresh->active) {
        /* Between two refreshes of a bank lie at most postpone_max + 1 intervals; the order within a set takes one. */
        const int64_t most = self->refresh->per_bank ? (device->postpone_max - 1) * device->banks : device->postpone_max;
        if (config->postpone > most || config->pull_in > most - config->postpone ||
            !hbm_policies_refresh_fits(self, device, config->refresh_scale)) {
            return HBM_ERR_BAD_POLICY; /* too late for some bank, or no time left between refreshes */
        }
    }
    if (config->power_down_ticks < 0 || config->power_down_ticks > HBM_NEVER / 4 || config->self_refresh_ticks < 0 ||
        config->self_refresh_ticks > HBM_NEVER / 4) {
        return HBM_ERR_BAD_POLICY;
    }
    if (self->power->power_down && (device->XP < 2 || device->XS < 2 || hbm_max(device->CPDED, device->PDmin) < 2)) {
        return HBM_ERR_BAD_POLICY; /* a device without power states */
    }
    self->revisit_rows = self->scheduler->hits != NULL || self->scheduler->others != NULL || self->page->closes;
    self->power_down_after = self->power->immediate ? 0 : config->power_down_ticks;
    self->page_timeout = self->page->immediate ? 0 : config->timeout_ticks;
    return 0;
}
