// The firmware's state, timers and ticks: see firmware.h.
#include "firmware.h"

#include <string.h>

#include "firmware_internal.h"

static enum hyt_config_error check_axis(const struct hyt_axis_config* axis) {
    if (axis->low > axis->high || axis->initial < axis->low || axis->initial > axis->high) {
        return HYT_CONFIG_AXIS_RANGE;
    }
    if (axis->max_velocity < 0 || axis->max_acceleration < 0) return HYT_CONFIG_AXIS_LIMIT;
    if (axis->interpolation > HYT_INTERPOLATION_CUBIC) return HYT_CONFIG_AXIS_INTERPOLATION;
    return HYT_CONFIG_OK;
}

enum hyt_config_error hyt_firmware_init(struct hyt_firmware* firmware, const struct hyt_config* config,
                                        const struct hyt_hal* hal, uint8_t* axis) {
    *axis = 0;
    if (config->tick_hz < 1 || config->tick_hz > 100000) return HYT_CONFIG_TICK_HZ;
    if (config->link_timeout_ticks < 1 || config->link_timeout_ticks > HYT_MAX_LEAD_TICKS) {
        return HYT_CONFIG_LINK_TIMEOUT;
    }
    if (config->stop_action > HYT_STOP_ACTION_RELEASE) return HYT_CONFIG_STOP_ACTION;
    if (config->axis_count < 1 || config->axis_count > HYT_MAX_AXES) return HYT_CONFIG_AXIS_COUNT;
    for (; *axis < config->axis_count; ++*axis) {
        const enum hyt_config_error error = check_axis(&config->axes[*axis]);
        if (error != HYT_CONFIG_OK) return error;
    }
    memset(firmware, 0, sizeof *firmware);
    firmware->config = *config;
    firmware->hal = *hal;
    firmware->tick = config->start_tick;
    hyt_motion_init(&firmware->motion, config->axes, config->axis_count, config->tick_hz);
    firmware->config.axes = firmware->motion.config;
    return HYT_CONFIG_OK;
}

static void enter(struct hyt_firmware* firmware, uint8_t state) {
    firmware->state = state;
    firmware->announce = true;
}

static void end_of_stop(struct hyt_firmware* firmware) {
    enter(firmware, firmware->trip == HYT_TRIP_NONE ? HYT_STATE_DISARMED : HYT_STATE_STOPPED);
}

static void stop_motion(struct hyt_firmware* firmware) {
    firmware->counters[HYT_COUNT_CHUNKS_FLUSHED] += hyt_motion_cut(&firmware->motion, firmware->tick);
    if (firmware->config.stop_action == HYT_STOP_ACTION_DECELERATE) {
        enter(firmware, HYT_STATE_STOPPING);
        return;
    }
    hyt_motion_freeze(&firmware->motion);
    if (firmware->config.stop_action == HYT_STOP_ACTION_RELEASE) firmware->enabled = false;
    end_of_stop(firmware);
}

void hyt_trip(struct hyt_firmware* firmware, uint8_t trip) {
    firmware->latched_session = firmware->session.id;
    if (firmware->trip != HYT_TRIP_NONE) return;
    firmware->trip = trip;
    firmware->trip_tick = firmware->tick;
    if (firmware->state == HYT_STATE_ARMED) {
        stop_motion(firmware);
    } else if (firmware->state == HYT_STATE_DISARMED) {
        end_of_stop(firmware);
    }
}

void hyt_disarm(struct hyt_firmware* firmware) {
    stop_motion(firmware);
}

static void check_timers(struct hyt_firmware* firmware) {
    const struct hyt_config* config = &firmware->config;
    if (firmware->hal.emergency_stop(firmware->hal.context)) {
        hyt_trip(firmware, HYT_TRIP_EMERGENCY_STOP);
    } else if (firmware->tick - firmware->session.heard_tick >= config->link_timeout_ticks) {
        hyt_trip(firmware, HYT_TRIP_LINK_SILENCE);
    } else if (config->underrun_timeout_ticks > 0 &&
               hyt_motion_empty_ticks(&firmware->motion, firmware->tick) >= config->underrun_timeout_ticks) {
        hyt_trip(firmware, HYT_TRIP_UNDERRUN);
    }
}

static void put_out(struct hyt_firmware* firmware) {
    int32_t setpoints[HYT_MAX_AXES];
    const uint8_t axes = firmware->motion.axis_count;
    for (uint8_t i = 0; i < axes; ++i) setpoints[i] = hyt_axis_setpoint(&firmware->motion.axes[i]);
    firmware->hal.output(firmware->hal.context, setpoints, axes, firmware->enabled);
}

static void run_tick(struct hyt_firmware* firmware) {
    ++firmware->tick;
    if (firmware->state == HYT_STATE_ARMED) check_timers(firmware);
    if (firmware->state == HYT_STATE_ARMED) {
        firmware->counters[HYT_COUNT_LIMITED_TICKS] += hyt_motion_run(&firmware->motion, firmware->tick);
    } else if (firmware->state == HYT_STATE_STOPPING) {
        if (hyt_motion_brake(&firmware->motion)) end_of_stop(firmware);
    }
    put_out(firmware);
}

// Whether the schedule asks for telemetry now; what a stall made late is sent once.
static bool telemetry_is_due(struct hyt_firmware* firmware) {
    const uint32_t period = firmware->telemetry_period;
    const uint32_t late = firmware->tick - firmware->telemetry_tick;
    if (period == 0 || late > UINT32_MAX / 2) return false;
    firmware->telemetry_tick += (late / period + 1) * period;
    return true;
}

void hyt_firmware_tick(struct hyt_firmware* firmware, uint32_t due) {
    if (due == 0) return;
    const uint32_t lost = due - 1;
    firmware->counters[HYT_COUNT_LOST_TICKS] += lost;
    if (lost > firmware->config.stall_limit_ticks) {
        firmware->tick += lost;
        if (firmware->state == HYT_STATE_ARMED) hyt_trip(firmware, HYT_TRIP_TICK_STALL);
        due = 1;
    }
    for (; due > 0; --due) run_tick(firmware);
    if (firmware->announce || telemetry_is_due(firmware)) {
        hyt_send_telemetry(firmware, firmware->session.id, 0);
    }
}

void hyt_firmware_lost(struct hyt_firmware* firmware, uint32_t bytes) {
    firmware->counters[HYT_COUNT_RECEIVE_ERRORS] += bytes;
}

void hyt_firmware_receive(struct hyt_firmware* firmware, const uint8_t* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        struct hyt_frame frame;
        switch (hyt_receive_byte(&firmware->receiver, bytes[i], &frame)) {
            case HYT_RECEIVE_NOTHING:
                continue;
            case HYT_RECEIVE_BAD_FRAMING:
                ++firmware->counters[HYT_COUNT_BAD_FRAMING];
                continue;
            case HYT_RECEIVE_BAD_CRC:
                ++firmware->counters[HYT_COUNT_BAD_CRC];
                continue;
            case HYT_RECEIVE_FRAME:
                hyt_dispatch(firmware, &frame);
                if (firmware->announce) hyt_send_telemetry(firmware, firmware->session.id, 0);
        }
    }
}
