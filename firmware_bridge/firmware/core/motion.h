// Motion: turns queued chunks into one setpoint per axis and tick, and knows how to end that.
#ifndef HYT_MOTION_H
#define HYT_MOTION_H

#include <stdbool.h>
#include <stdint.h>

#include "axis.h"
#include "chunk_queue.h"
#include "path.h"
#include "protocol_constants.h"

struct hyt_motion {
    struct hyt_axis_config config[HYT_MAX_AXES];
    struct hyt_axis axes[HYT_MAX_AXES];
    struct hyt_path_origin origin[HYT_MAX_AXES];  // where the path of the running chunk began
    struct hyt_chunk_queue queue;
    uint8_t axis_count;
    bool braking;          // the path was cut: come to rest before holding
    bool empty_counts;     // a chunk has run since arming, so an empty queue is an underrun
    uint32_t empty_since;  // tick at which the queue ran empty; valid if empty_counts
};

// Sets all axes to rest at their initial setpoints with an empty queue. Cannot fail on a config that
// hyt_firmware_init accepts.
void hyt_motion_init(struct hyt_motion* motion, const struct hyt_axis_config* axes, uint8_t axis_count,
                     uint32_t tick_hz);

// Moves every axis one tick, to the tick `tick`: along the running chunk, else to its last point, else to
// rest. Returns how many axes a limit kept off their path.
uint8_t hyt_motion_run(struct hyt_motion* motion, uint32_t tick);

// Throws the queue away; hyt_motion_run then brings the axes to rest. Returns how many chunks were thrown
// away.
uint8_t hyt_motion_cut(struct hyt_motion* motion, uint32_t tick);

// Slows all axes down by one tick; returns whether all are at rest.
bool hyt_motion_brake(struct hyt_motion* motion);

// Stops all axes at once, whatever their acceleration limits.
void hyt_motion_freeze(struct hyt_motion* motion);

// Forgets the past of the queue: an empty queue is no underrun until a chunk has run.
void hyt_motion_arm(struct hyt_motion* motion);

// Ticks for which the queue has been empty after a chunk; 0 while it is not.
uint32_t hyt_motion_empty_ticks(const struct hyt_motion* motion, uint32_t tick);

#endif
