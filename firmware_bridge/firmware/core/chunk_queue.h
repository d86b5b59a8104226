// The queue of action chunks: setpoints with start ticks, in order, without overlap. Ticks wrap at 2^32.
#ifndef HYT_CHUNK_QUEUE_H
#define HYT_CHUNK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axis.h"
#include "protocol_constants.h"

struct hyt_chunk {
    uint32_t start_tick;             // motion begins from the setpoint of this tick
    uint16_t step_ticks;             // >= 1
    uint16_t steps;                  // >= 1
    int32_t points[HYT_MAX_POINTS];  // (steps, axes) micro-units, the setpoint at the end of each step
};

// All zeros is an empty queue.
struct hyt_chunk_queue {
    struct hyt_chunk slots[HYT_CHUNK_SLOTS];
    uint8_t first;  // slot of the oldest chunk
    uint8_t count;
};

// Number of free slots.
uint8_t hyt_chunk_queue_credit(const struct hyt_chunk_queue* queue);

// Empties the queue and returns how many chunks were thrown away.
uint8_t hyt_chunk_queue_flush(struct hyt_chunk_queue* queue);

// Checks the payload of a CHUNK against the axes, the queue and the tick now, and queues it.
// Returns HYT_RESULT_OK, or HYT_RESULT_BAD_SHAPE, _QUEUE_FULL, _LATE, _TOO_EARLY, _OVERLAP or _POSITION_LIMIT
// with *detail as PROTOCOL.md says; the queue is then unchanged.
uint8_t hyt_chunk_queue_push(struct hyt_chunk_queue* queue, const uint8_t* payload, size_t size,
                             const struct hyt_axis_config* axes, uint8_t axis_count, uint32_t tick,
                             int32_t* detail);

// The oldest chunk if it is running at `tick`, that is if start_tick < tick <= end; otherwise NULL.
const struct hyt_chunk* hyt_chunk_queue_running(const struct hyt_chunk_queue* queue, uint32_t tick);

// Drops the oldest chunk if `tick` is its last or later; returns whether it did.
bool hyt_chunk_queue_retire(struct hyt_chunk_queue* queue, uint32_t tick);

// Ticks from the start to the end of a chunk.
uint32_t hyt_chunk_duration(const struct hyt_chunk* chunk);

#endif
