// The path of an axis through the points of a chunk: hold, linear or cubic, in integer arithmetic.
//
// Whatever the points, a path never leaves the range that a step's two ends span, so a path between points
// within an axis' limits is within them.
#ifndef HYT_PATH_H
#define HYT_PATH_H

#include <stdint.h>

#include "chunk_queue.h"

// Where the path of an axis stood when its chunk began.
struct hyt_path_origin {
    int64_t position;  // fixed
    int64_t pace;      // fixed/tick: how far the path had moved in the tick before
};

// Where the path of one axis is at `tick` of a running chunk, in fixed point.
//   hold    the point of the step.
//   linear  from + (to - from) * k / step_ticks, truncated to 1/4096 micro-unit.
//   cubic   the Hermite cubic from knot to knot. Its slope at an inner knot is the mean of the two steps'
//   slopes, at
//           most 3 times the flatter one's, and 0 where they point apart (Fritsch and Carlson, 1980: this
//           keeps every step monotone); at the first knot that of `origin` under the same bounds; at the last
//           knot that of the last step.
// Linear and cubic are exact at the end of every step. At most 4 divisions, no loop.
int64_t hyt_path_target(const struct hyt_chunk* chunk, uint8_t axis, uint8_t axis_count,
                        uint8_t interpolation, const struct hyt_path_origin* origin, uint32_t tick);

#endif
