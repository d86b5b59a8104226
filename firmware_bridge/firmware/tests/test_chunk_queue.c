// The queue refuses what is late, early, overlapping, too long or out of range, and counts ticks across their
// wrap.
#include <string.h>

#include "bytes.h"
#include "check.h"
#include "chunk_queue.h"

static const struct hyt_axis_config axes[2] = {{.name = "x", .low = -100, .high = 100},
                                               {.name = "y", .low = 0, .high = 50}};

static uint8_t payload[HYT_CHUNK_SIZE + 4 * HYT_MAX_POINTS + 4];

static uint8_t push(struct hyt_chunk_queue* queue, uint32_t start, uint16_t step_ticks, uint16_t steps,
                    uint32_t now, int32_t* detail) {
    hyt_put_u32(payload + HYT_CHUNK_AT_START_TICK, start);
    hyt_put_u16(payload + HYT_CHUNK_AT_STEP_TICKS, step_ticks);
    hyt_put_u16(payload + HYT_CHUNK_AT_STEPS, steps);
    payload[HYT_CHUNK_AT_AXES] = 2;
    *detail = 0;
    const size_t size =
        HYT_CHUNK_SIZE + 8 * (size_t)(steps > HYT_MAX_POINTS / 2 ? HYT_MAX_POINTS / 2 : steps);
    return hyt_chunk_queue_push(queue, payload, size, axes, 2, now, detail);
}

static void chunks_run_one_after_another_across_the_wrap(void) {
    static struct hyt_chunk_queue queue;
    int32_t detail;
    const uint32_t start = UINT32_MAX - 4;
    CHECK(push(&queue, start, 5, 2, start - 3, &detail) == HYT_RESULT_OK);
    CHECK(push(&queue, start + 10, 5, 1, start, &detail) == HYT_RESULT_OK);
    CHECK(hyt_chunk_queue_credit(&queue) == HYT_CHUNK_SLOTS - 2);
    CHECK(hyt_chunk_queue_running(&queue, start) == NULL);
    for (uint32_t tick = 1; tick <= 10; ++tick) {
        CHECK(hyt_chunk_queue_running(&queue, start + tick) != NULL);
        CHECK(hyt_chunk_queue_retire(&queue, start + tick) == (tick == 10));
    }
    CHECK(hyt_chunk_queue_running(&queue, start + 11)->start_tick == start + 10);
}

static void what_does_not_fit_in_time_is_refused_with_the_ticks_it_is_off(void) {
    static struct hyt_chunk_queue queue;
    int32_t detail;
    CHECK(push(&queue, 99, 1, 1, 100, &detail) == HYT_RESULT_LATE && detail == 1);
    CHECK(push(&queue, 100 - 0x80000000u, 1, 1, 100, &detail) == HYT_RESULT_LATE && detail == INT32_MAX);
    CHECK(push(&queue, 101 + HYT_MAX_LEAD_TICKS, 1, 1, 100, &detail) == HYT_RESULT_TOO_EARLY);
    CHECK(detail == HYT_MAX_LEAD_TICKS + 1);
    CHECK(push(&queue, 100, 5, 4, 100, &detail) == HYT_RESULT_OK);
    CHECK(push(&queue, 117, 5, 4, 100, &detail) == HYT_RESULT_OVERLAP && detail == 3);
    for (uint32_t i = 1; i < HYT_CHUNK_SLOTS; ++i) {
        CHECK(push(&queue, 100 + 20 * i, 5, 4, 100, &detail) == HYT_RESULT_OK);
    }
    CHECK(push(&queue, 100 + 20 * HYT_CHUNK_SLOTS, 5, 4, 100, &detail) == HYT_RESULT_QUEUE_FULL);
    CHECK(hyt_chunk_queue_flush(&queue) == HYT_CHUNK_SLOTS);
    CHECK(hyt_chunk_queue_credit(&queue) == HYT_CHUNK_SLOTS);
}

static void what_has_not_the_right_shape_is_refused(void) {
    static struct hyt_chunk_queue queue;
    int32_t detail = 0;
    CHECK(push(&queue, 0, 0, 1, 0, &detail) == HYT_RESULT_BAD_SHAPE);
    CHECK(push(&queue, 0, 1, 0, 0, &detail) == HYT_RESULT_BAD_SHAPE);
    CHECK(push(&queue, 0, 1, HYT_MAX_POINTS / 2 + 1, 0, &detail) == HYT_RESULT_BAD_SHAPE);
    CHECK(push(&queue, 0, 1, UINT16_MAX, 0, &detail) == HYT_RESULT_BAD_SHAPE);
    CHECK(push(&queue, 0, 1, HYT_MAX_POINTS / 2, 0, &detail) == HYT_RESULT_OK);
    for (size_t size = 0; size < HYT_CHUNK_SIZE + 8; ++size) {
        hyt_put_u16(payload + HYT_CHUNK_AT_STEPS, 1);
        CHECK(hyt_chunk_queue_push(&queue, payload, size, axes, 2, 0, &detail) == HYT_RESULT_BAD_SHAPE);
    }
}

static void a_point_outside_its_axis_is_refused_by_index(void) {
    static struct hyt_chunk_queue queue;
    int32_t detail;
    hyt_put_u32(payload + HYT_CHUNK_SIZE + 4 * 3, 51);
    CHECK(push(&queue, 0, 1, 2, 0, &detail) == HYT_RESULT_POSITION_LIMIT && detail == 3);
    hyt_put_u32(payload + HYT_CHUNK_SIZE + 4 * 3, 50);
    CHECK(push(&queue, 0, 1, 2, 0, &detail) == HYT_RESULT_OK);
}

int main(void) {
    chunks_run_one_after_another_across_the_wrap();
    what_does_not_fit_in_time_is_refused_with_the_ticks_it_is_off();
    what_has_not_the_right_shape_is_refused();
    a_point_outside_its_axis_is_refused_by_index();
    return 0;
}
