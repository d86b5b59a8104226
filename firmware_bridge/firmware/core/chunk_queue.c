// The queue of action chunks: see chunk_queue.h.
#include "chunk_queue.h"

#include "bytes.h"

// Signed distance from tick `from` to tick `to`, right across the wrap for less than 2^31 ticks.
static int32_t ticks_between(uint32_t from, uint32_t to) {
    return (int32_t)(to - from);
}

static struct hyt_chunk* slot(struct hyt_chunk_queue* queue, uint8_t index) {
    return &queue->slots[(queue->first + index) % HYT_CHUNK_SLOTS];
}

uint8_t hyt_chunk_queue_credit(const struct hyt_chunk_queue* queue) {
    return (uint8_t)(HYT_CHUNK_SLOTS - queue->count);
}

uint8_t hyt_chunk_queue_flush(struct hyt_chunk_queue* queue) {
    const uint8_t flushed = queue->count;
    queue->count = 0;
    return flushed;
}

uint32_t hyt_chunk_duration(const struct hyt_chunk* chunk) {
    return (uint32_t)chunk->step_ticks * chunk->steps;
}

static uint8_t check_time(struct hyt_chunk_queue* queue, uint32_t start, uint32_t tick, int32_t* detail) {
    const int32_t lead = ticks_between(tick, start);
    if (lead < 0) {
        *detail = lead == INT32_MIN ? INT32_MAX : -lead;
        return HYT_RESULT_LATE;
    }
    if (lead > HYT_MAX_LEAD_TICKS) {
        *detail = lead;
        return HYT_RESULT_TOO_EARLY;
    }
    if (queue->count > 0) {
        const struct hyt_chunk* last = slot(queue, (uint8_t)(queue->count - 1));
        const int32_t overlap = ticks_between(start, last->start_tick + hyt_chunk_duration(last));
        if (overlap > 0) {
            *detail = overlap;
            return HYT_RESULT_OVERLAP;
        }
    }
    return HYT_RESULT_OK;
}

uint8_t hyt_chunk_queue_push(struct hyt_chunk_queue* queue, const uint8_t* payload, size_t size,
                             const struct hyt_axis_config* axes, uint8_t axis_count, uint32_t tick,
                             int32_t* detail) {
    if (size < HYT_CHUNK_SIZE) return HYT_RESULT_BAD_SHAPE;
    const uint32_t start = hyt_get_u32(payload + HYT_CHUNK_AT_START_TICK);
    const uint16_t step_ticks = hyt_get_u16(payload + HYT_CHUNK_AT_STEP_TICKS);
    const uint16_t steps = hyt_get_u16(payload + HYT_CHUNK_AT_STEPS);
    const uint32_t points = (uint32_t)steps * axis_count;
    if (payload[HYT_CHUNK_AT_AXES] != axis_count || step_ticks == 0 || steps == 0 ||
        points > HYT_MAX_POINTS || size != HYT_CHUNK_SIZE + 4 * (size_t)points) {
        return HYT_RESULT_BAD_SHAPE;
    }
    const uint8_t result = check_time(queue, start, tick, detail);
    if (result != HYT_RESULT_OK) return result;
    if (queue->count == HYT_CHUNK_SLOTS) return HYT_RESULT_QUEUE_FULL;

    struct hyt_chunk* chunk = slot(queue, queue->count);
    for (uint32_t i = 0; i < points; ++i) {
        const int32_t point = hyt_get_i32(payload + HYT_CHUNK_SIZE + 4 * i);
        const struct hyt_axis_config* axis = &axes[i % axis_count];
        if (point < axis->low || point > axis->high) {
            *detail = (int32_t)i;
            return HYT_RESULT_POSITION_LIMIT;
        }
        chunk->points[i] = point;
    }
    chunk->start_tick = start;
    chunk->step_ticks = step_ticks;
    chunk->steps = steps;
    ++queue->count;
    return HYT_RESULT_OK;
}

const struct hyt_chunk* hyt_chunk_queue_running(const struct hyt_chunk_queue* queue, uint32_t tick) {
    if (queue->count == 0) return NULL;
    const struct hyt_chunk* chunk = &queue->slots[queue->first];
    const int32_t elapsed = ticks_between(chunk->start_tick, tick);
    return elapsed > 0 && (uint32_t)elapsed <= hyt_chunk_duration(chunk) ? chunk : NULL;
}

bool hyt_chunk_queue_retire(struct hyt_chunk_queue* queue, uint32_t tick) {
    if (queue->count == 0) return false;
    const struct hyt_chunk* chunk = &queue->slots[queue->first];
    if (ticks_between(chunk->start_tick + hyt_chunk_duration(chunk), tick) < 0) return false;
    queue->first = (uint8_t)((queue->first + 1) % HYT_CHUNK_SLOTS);
    --queue->count;
    return true;
}
