// Messages in: what each frame of the host does. Who is heard and in which order is decided here, once.
#include "bytes.h"
#include "firmware_internal.h"

static void count(struct hyt_firmware* firmware, enum hyt_counter counter) {
    ++firmware->counters[counter];
}

static uint8_t arm(struct hyt_firmware* firmware, int32_t* detail) {
    if (firmware->state == HYT_STATE_ARMED) return HYT_RESULT_OK;
    if (firmware->trip != HYT_TRIP_NONE && firmware->latched_session == firmware->session.id) {
        *detail = firmware->trip;
        return HYT_RESULT_LATCHED;
    }
    if (firmware->state == HYT_STATE_STOPPING) return HYT_RESULT_NOT_AT_REST;
    if (firmware->hal.emergency_stop(firmware->hal.context)) return HYT_RESULT_EMERGENCY_STOP;
    firmware->state = HYT_STATE_ARMED;
    firmware->trip = HYT_TRIP_NONE;
    firmware->enabled = true;
    firmware->must_restart = false;
    firmware->announce = true;
    hyt_motion_arm(&firmware->motion);
    return HYT_RESULT_OK;
}

static uint8_t queue_chunk(struct hyt_firmware* firmware, const struct hyt_frame* frame, int32_t* detail) {
    const bool restart = frame->payload_size >= HYT_CHUNK_SIZE &&
                         (frame->payload[HYT_CHUNK_AT_FLAGS] & HYT_CHUNK_FLAG_RESTART) != 0;
    if (firmware->must_restart && !restart) return HYT_RESULT_FLUSHED;
    const struct hyt_motion* motion = &firmware->motion;
    return hyt_chunk_queue_push(&firmware->motion.queue, frame->payload, frame->payload_size, motion->config,
                                motion->axis_count, firmware->tick, detail);
}

static uint8_t chunk(struct hyt_firmware* firmware, const struct hyt_frame* frame, int32_t* detail) {
    if (firmware->state != HYT_STATE_ARMED) {
        count(firmware, HYT_COUNT_CHUNKS_REJECTED);
        if (firmware->trip == HYT_TRIP_NONE) return HYT_RESULT_NOT_ARMED;
        *detail = firmware->trip;
        return HYT_RESULT_LATCHED;
    }
    const uint8_t result = queue_chunk(firmware, frame, detail);
    if (result == HYT_RESULT_OK) {
        firmware->must_restart = false;
        count(firmware, HYT_COUNT_CHUNKS_ACCEPTED);
    } else {
        // The chunks behind this one were planned on top of it: nothing of the old plan is run on.
        firmware->must_restart = true;
        count(firmware, HYT_COUNT_CHUNKS_REJECTED);
        firmware->counters[HYT_COUNT_CHUNKS_FLUSHED] += hyt_motion_cut(&firmware->motion, firmware->tick);
    }
    return result;
}

static uint8_t execute(struct hyt_firmware* firmware, const struct hyt_frame* frame, int32_t* detail) {
    switch (frame->type) {
        case HYT_ARM:
            if (frame->payload_size != HYT_ARM_SIZE) return HYT_RESULT_BAD_SHAPE;
            return arm(firmware, detail);
        case HYT_DISARM:
            if (frame->payload_size != HYT_DISARM_SIZE) return HYT_RESULT_BAD_SHAPE;
            if (firmware->state == HYT_STATE_ARMED) hyt_disarm(firmware);
            return HYT_RESULT_OK;
        case HYT_CHUNK:
            return chunk(firmware, frame, detail);
        default:
            return HYT_RESULT_UNKNOWN_COMMAND;
    }
}

// How long ago the sender had last heard the firmware, in ticks. A tick that is still to come is very old.
static uint32_t age(const struct hyt_firmware* firmware, const struct hyt_frame* frame) {
    return firmware->tick - frame->tick;
}

static void command(struct hyt_firmware* firmware, const struct hyt_frame* frame, bool fresh) {
    const struct hyt_answer* before = NULL;
    switch (hyt_session_order(&firmware->session, frame->sequence, &before)) {
        case HYT_ORDER_AHEAD:
            count(firmware, HYT_COUNT_OUT_OF_ORDER);
            return;
        case HYT_ORDER_REPEAT:
            count(firmware, HYT_COUNT_DUPLICATES);
            hyt_send_result(firmware, firmware->session.id, before);
            return;
        case HYT_ORDER_NEXT:
            break;
    }
    if (!fresh) {
        const struct hyt_answer stale = {frame->sequence, frame->type, HYT_RESULT_STALE,
                                         (int32_t)(age(firmware, frame) & INT32_MAX)};
        hyt_send_result(firmware, firmware->session.id, &stale);
        return;
    }
    struct hyt_answer answer = {.sequence = frame->sequence, .type = frame->type, .result = 0, .detail = 0};
    answer.result = execute(firmware, frame, &answer.detail);
    if (answer.result != HYT_RESULT_OK && frame->type != HYT_CHUNK) {
        count(firmware, HYT_COUNT_COMMANDS_REFUSED);
    }
    hyt_session_remember(&firmware->session, &answer);
    hyt_send_result(firmware, firmware->session.id, &answer);
}

static void refuse_session(struct hyt_firmware* firmware, const struct hyt_frame* frame) {
    const struct hyt_answer answer = {frame->sequence, frame->type, HYT_RESULT_OLD_SESSION, 0};
    count(firmware, HYT_COUNT_OLD_SESSION);
    hyt_send_result(firmware, frame->session, &answer);
}

static void hello(struct hyt_firmware* firmware, const struct hyt_frame* frame) {
    if (frame->payload_size < HYT_HELLO_SIZE || frame->session == 0) {
        count(firmware, HYT_COUNT_BAD_MESSAGE);
        return;
    }
    if (frame->version != HYT_PROTOCOL_VERSION ||
        hyt_get_u32(frame->payload + HYT_HELLO_AT_SCHEMA) != HYT_SCHEMA_HASH) {
        count(firmware, HYT_COUNT_REFUSED_HELLOS);
        hyt_send_refuse(firmware, frame->session);
        return;
    }
    if (hyt_session_ended(&firmware->session, frame->session)) {
        refuse_session(firmware, frame);
        return;
    }
    if (frame->session != firmware->session.id) {
        // Tripped in the session that ends, so that the new one may arm.
        if (firmware->state == HYT_STATE_ARMED) hyt_trip(firmware, HYT_TRIP_NEW_SESSION);
        hyt_session_open(&firmware->session, frame->session, firmware->tick);
        firmware->telemetry_period = 0;
    }
    hyt_send_welcome(firmware);
}

static void stop(struct hyt_firmware* firmware, const struct hyt_frame* frame) {
    if (frame->payload_size != HYT_STOP_SIZE) {
        count(firmware, HYT_COUNT_BAD_MESSAGE);
        return;
    }
    hyt_trip(firmware, HYT_TRIP_STOP_FRAME);
    hyt_send_telemetry(firmware, frame->session, hyt_get_u32(frame->payload + HYT_STOP_AT_ECHO));
}

static void query(struct hyt_firmware* firmware, const struct hyt_frame* frame) {
    if (frame->type == HYT_PING && frame->payload_size == HYT_PING_SIZE) {
        hyt_send_telemetry(firmware, frame->session, hyt_get_u32(frame->payload + HYT_PING_AT_ECHO));
    } else if (frame->type == HYT_SUBSCRIBE && frame->payload_size == HYT_SUBSCRIBE_SIZE &&
               hyt_get_u32(frame->payload + HYT_SUBSCRIBE_AT_PERIOD_TICKS) <= HYT_MAX_LEAD_TICKS) {
        firmware->telemetry_period = hyt_get_u32(frame->payload + HYT_SUBSCRIBE_AT_PERIOD_TICKS);
        firmware->telemetry_tick = firmware->tick + firmware->telemetry_period;
        hyt_send_telemetry(firmware, frame->session, hyt_get_u32(frame->payload + HYT_SUBSCRIBE_AT_ECHO));
    } else if (frame->type == HYT_DESCRIBE && frame->payload_size == HYT_DESCRIBE_SIZE &&
               frame->payload[HYT_DESCRIBE_AT_INDEX] < firmware->motion.axis_count) {
        hyt_send_axis(firmware, frame->payload[HYT_DESCRIBE_AT_INDEX]);
    } else {
        count(firmware, HYT_COUNT_BAD_MESSAGE);
    }
}

void hyt_dispatch(struct hyt_firmware* firmware, const struct hyt_frame* frame) {
    if (frame->type == HYT_HELLO) {
        hello(firmware, frame);
        return;
    }
    if (frame->version != HYT_PROTOCOL_VERSION) {
        count(firmware, HYT_COUNT_BAD_VERSION);
        return;
    }
    // Before the session is looked at: stopping is right whoever asks for it.
    if (frame->type == HYT_STOP) {
        stop(firmware, frame);
        return;
    }
    if (frame->session != firmware->session.id || frame->session == 0) {
        refuse_session(firmware, frame);
        return;
    }
    count(firmware, HYT_COUNT_FRAMES);
    // A wire that holds frames back must not keep the arm moving with the words of a host that is gone.
    const bool fresh = age(firmware, frame) <= HYT_STALE_TIMEOUTS * firmware->config.link_timeout_ticks;
    if (fresh) {
        firmware->session.heard_tick = firmware->tick;
    } else {
        count(firmware, HYT_COUNT_STALE);
    }
    if (frame->type >= HYT_FIRST_COMMAND) {
        command(firmware, frame, fresh);
    } else {
        query(firmware, frame);
    }
}
