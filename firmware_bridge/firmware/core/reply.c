// Messages out: fills and sends each answer of the firmware.
#include <string.h>

#include "bytes.h"
#include "firmware_internal.h"

static void send(struct hyt_firmware* firmware, uint8_t type, uint32_t session, size_t payload_size) {
    const struct hyt_frame frame = {
        .version = HYT_PROTOCOL_VERSION,
        .type = type,
        .session = session,
        .sequence = ++firmware->frames_sent,
        .acknowledgement = firmware->session.executed,
        .tick = firmware->tick,
        .payload = firmware->payload,
        .payload_size = payload_size,
    };
    const size_t size = hyt_frame_encode(&frame, firmware->work, firmware->encoded);
    if (!firmware->hal.transmit(firmware->hal.context, firmware->encoded, size)) {
        ++firmware->counters[HYT_COUNT_FRAMES_UNSENT];
    }
}

void hyt_send_refuse(struct hyt_firmware* firmware, uint32_t session) {
    hyt_put_u32(firmware->payload + HYT_REFUSE_AT_SCHEMA, HYT_SCHEMA_HASH);
    send(firmware, HYT_REFUSE, session, HYT_REFUSE_SIZE);
}

void hyt_send_welcome(struct hyt_firmware* firmware) {
    const struct hyt_config* config = &firmware->config;
    uint8_t* payload = firmware->payload;
    hyt_put_u32(payload + HYT_WELCOME_AT_TICK_HZ, config->tick_hz);
    hyt_put_u32(payload + HYT_WELCOME_AT_LINK_TIMEOUT_TICKS, config->link_timeout_ticks);
    hyt_put_u32(payload + HYT_WELCOME_AT_UNDERRUN_TIMEOUT_TICKS, config->underrun_timeout_ticks);
    hyt_put_u32(payload + HYT_WELCOME_AT_STALL_LIMIT_TICKS, config->stall_limit_ticks);
    hyt_put_u16(payload + HYT_WELCOME_AT_MAX_POINTS, HYT_MAX_POINTS);
    payload[HYT_WELCOME_AT_AXES] = config->axis_count;
    payload[HYT_WELCOME_AT_SLOTS] = HYT_CHUNK_SLOTS;
    payload[HYT_WELCOME_AT_WINDOW] = HYT_WINDOW;
    payload[HYT_WELCOME_AT_STOP_ACTION] = config->stop_action;
    payload[HYT_WELCOME_AT_FLAGS] = config->welcome_flags;
    memcpy(payload + HYT_WELCOME_AT_PORT, config->port, sizeof config->port);
    send(firmware, HYT_WELCOME, firmware->session.id, HYT_WELCOME_SIZE);
}

void hyt_send_axis(struct hyt_firmware* firmware, uint8_t index) {
    const struct hyt_axis_config* axis = &firmware->motion.config[index];
    uint8_t* payload = firmware->payload;
    payload[HYT_AXIS_AT_INDEX] = index;
    payload[HYT_AXIS_AT_INTERPOLATION] = axis->interpolation;
    hyt_put_u32(payload + HYT_AXIS_AT_LOW, (uint32_t)axis->low);
    hyt_put_u32(payload + HYT_AXIS_AT_HIGH, (uint32_t)axis->high);
    hyt_put_u32(payload + HYT_AXIS_AT_MAX_VELOCITY, (uint32_t)axis->max_velocity);
    hyt_put_u32(payload + HYT_AXIS_AT_MAX_ACCELERATION, (uint32_t)axis->max_acceleration);
    memcpy(payload + HYT_AXIS_AT_NAME, axis->name, sizeof axis->name);
    memcpy(payload + HYT_AXIS_AT_UNIT, axis->unit, sizeof axis->unit);
    send(firmware, HYT_AXIS, firmware->session.id, HYT_AXIS_SIZE);
}

static uint8_t telemetry_flags(const struct hyt_firmware* firmware, bool measured) {
    const bool running = hyt_chunk_queue_running(&firmware->motion.queue, firmware->tick + 1) != NULL;
    return (uint8_t)((firmware->enabled ? HYT_TELEMETRY_FLAG_ENABLED : 0) |
                     (firmware->hal.emergency_stop(firmware->hal.context) ? HYT_TELEMETRY_FLAG_EMERGENCY_STOP
                                                                          : 0) |
                     (running ? HYT_TELEMETRY_FLAG_RUNNING : 0) |
                     (measured ? HYT_TELEMETRY_FLAG_MEASURED : 0));
}

void hyt_send_telemetry(struct hyt_firmware* firmware, uint32_t session, uint32_t echo) {
    uint8_t* payload = firmware->payload;
    const uint8_t axes = firmware->motion.axis_count;
    int32_t positions[HYT_MAX_AXES];
    for (uint8_t i = 0; i < axes; ++i) {
        positions[i] = hyt_axis_setpoint(&firmware->motion.axes[i]);
        hyt_put_u32(payload + HYT_TELEMETRY_SIZE + 4 * i, (uint32_t)positions[i]);
    }
    const bool measured = firmware->hal.measure(firmware->hal.context, positions, axes);
    for (uint8_t i = 0; i < axes; ++i) {
        hyt_put_u32(payload + HYT_TELEMETRY_SIZE + 4 * (axes + i), (uint32_t)positions[i]);
    }
    hyt_put_u32(payload + HYT_TELEMETRY_AT_ECHO, echo);
    hyt_put_u32(payload + HYT_TELEMETRY_AT_TRIP_TICK, firmware->trip_tick);
    payload[HYT_TELEMETRY_AT_STATE] = firmware->state;
    payload[HYT_TELEMETRY_AT_TRIP] = firmware->trip;
    payload[HYT_TELEMETRY_AT_FLAGS] = telemetry_flags(firmware, measured);
    payload[HYT_TELEMETRY_AT_CREDIT] = hyt_chunk_queue_credit(&firmware->motion.queue);
    for (uint8_t i = 0; i < HYT_COUNTERS; ++i) {
        hyt_put_u32(payload + HYT_TELEMETRY_AT_COUNTERS + 4 * i, firmware->counters[i]);
    }
    if (session == firmware->session.id) firmware->announce = false;
    send(firmware, HYT_TELEMETRY, session, (size_t)(HYT_TELEMETRY_SIZE + 8 * axes));
}

void hyt_send_result(struct hyt_firmware* firmware, uint32_t session, const struct hyt_answer* answer) {
    uint8_t* payload = firmware->payload;
    hyt_put_u16(payload + HYT_RESULT_AT_SEQUENCE, answer->sequence);
    payload[HYT_RESULT_AT_TYPE] = answer->type;
    payload[HYT_RESULT_AT_RESULT] = answer->result;
    payload[HYT_RESULT_AT_CREDIT] = hyt_chunk_queue_credit(&firmware->motion.queue);
    hyt_put_u32(payload + HYT_RESULT_AT_DETAIL, (uint32_t)answer->detail);
    send(firmware, HYT_RESULT, session, HYT_RESULT_SIZE);
}
