// Motion: see motion.h.
#include "motion.h"

void hyt_motion_init(struct hyt_motion* motion, const struct hyt_axis_config* axes, uint8_t axis_count,
                     uint32_t tick_hz) {
    motion->axis_count = axis_count;
    for (uint8_t i = 0; i < axis_count; ++i) {
        motion->config[i] = axes[i];
        hyt_axis_init(&motion->axes[i], &axes[i], tick_hz);
    }
    hyt_chunk_queue_flush(&motion->queue);
    motion->braking = false;
    hyt_motion_arm(motion);
}

static uint8_t follow(struct hyt_motion* motion, const struct hyt_chunk* chunk, uint32_t tick) {
    uint8_t limited = 0;
    for (uint8_t i = 0; i < motion->axis_count; ++i) {
        struct hyt_axis* axis = &motion->axes[i];
        int64_t target = axis->target;
        if (chunk != NULL) {
            if (tick == chunk->start_tick + 1) {
                motion->origin[i] = (struct hyt_path_origin){axis->target, axis->pace};
            }
            target = hyt_path_target(chunk, i, motion->axis_count, motion->config[i].interpolation,
                                     &motion->origin[i], tick);
        }
        if (hyt_axis_follow(axis, target)) ++limited;
    }
    return limited;
}

uint8_t hyt_motion_run(struct hyt_motion* motion, uint32_t tick) {
    const struct hyt_chunk* chunk = hyt_chunk_queue_running(&motion->queue, tick);
    if (chunk == NULL && motion->braking) {
        motion->braking = !hyt_motion_brake(motion);
        return 0;
    }
    motion->braking = false;
    const uint8_t limited = follow(motion, chunk, tick);
    if (hyt_chunk_queue_retire(&motion->queue, tick)) {
        motion->empty_counts = true;
        motion->empty_since = tick;
    }
    return limited;
}

uint8_t hyt_motion_cut(struct hyt_motion* motion, uint32_t tick) {
    const uint8_t flushed = hyt_chunk_queue_flush(&motion->queue);
    if (flushed > 0) {
        motion->braking = true;
        motion->empty_counts = true;
        motion->empty_since = tick;
    }
    return flushed;
}

bool hyt_motion_brake(struct hyt_motion* motion) {
    bool at_rest = true;
    for (uint8_t i = 0; i < motion->axis_count; ++i) {
        hyt_axis_brake(&motion->axes[i]);
        at_rest = at_rest && motion->axes[i].velocity == 0;
    }
    return at_rest;
}

void hyt_motion_freeze(struct hyt_motion* motion) {
    for (uint8_t i = 0; i < motion->axis_count; ++i) hyt_axis_freeze(&motion->axes[i]);
    motion->braking = false;
}

void hyt_motion_arm(struct hyt_motion* motion) {
    motion->empty_counts = false;
    motion->empty_since = 0;
}

uint32_t hyt_motion_empty_ticks(const struct hyt_motion* motion, uint32_t tick) {
    return motion->empty_counts && motion->queue.count == 0 ? tick - motion->empty_since : 0;
}
