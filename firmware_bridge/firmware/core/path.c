// Paths: see path.h.
#include "path.h"

static int64_t magnitude(int64_t value) {
    return value < 0 ? -value : value;
}

// value * weight / 2^30, truncated; |value| < 2^62, weight at most 2^30. A product of 64 bits would not hold
// it.
static int64_t scaled(int64_t value, uint32_t weight) {
    const uint64_t size = (uint64_t)magnitude(value);
    const uint64_t product = (((size >> 32) * weight) << 2) + (((size & UINT32_MAX) * weight) >> 30);
    return value < 0 ? -(int64_t)product : (int64_t)product;
}

// `slope` as far as a step of `secant` can start or end with it and stay monotone.
static int64_t monotone(int64_t slope, int64_t secant) {
    const int64_t most = 3 * magnitude(secant);
    if ((slope < 0) != (secant < 0)) return 0;
    if (magnitude(slope) <= most) return slope;
    return slope < 0 ? -most : most;
}

// Slope at the knot between two steps.
static int64_t slope_between(int64_t before, int64_t after) {
    return monotone(monotone((before + after) / 2, before), after);
}

// Position of the path at knot `index`, which 0 is the origin, and step i ends at knot i + 1.
static int64_t knot(const struct hyt_chunk* chunk, uint8_t axis, uint8_t axis_count,
                    const struct hyt_path_origin* origin, uint32_t index) {
    if (index == 0) return origin->position;
    return (int64_t)chunk->points[(index - 1) * axis_count + axis] * HYT_FIXED_ONE;
}

// The cubic from 0 to `secant` with the slopes `first` and `last`, in units of a step, at k of n ticks.
static int64_t hermite(int64_t secant, int64_t first, int64_t last, uint32_t k, uint32_t n) {
    const uint64_t u = ((uint64_t)k << 30) / n;  // below 2^30, as k < n
    const uint64_t uu = (u * u) >> 30;
    const uint64_t uuu = (uu * u) >> 30;
    const int64_t risen = scaled(secant, (uint32_t)(3 * uu - 2 * uuu)) +
                          scaled(first, (uint32_t)(uuu + u - 2 * uu)) - scaled(last, (uint32_t)(uu - uuu));
    // Monotone but for rounding, which must not leave the step's range.
    if (secant < 0) return risen < secant ? secant : risen > 0 ? 0 : risen;
    return risen > secant ? secant : risen < 0 ? 0 : risen;
}

int64_t hyt_path_target(const struct hyt_chunk* chunk, uint8_t axis, uint8_t axis_count,
                        uint8_t interpolation, const struct hyt_path_origin* origin, uint32_t tick) {
    const uint32_t before = tick - chunk->start_tick - 1;
    const uint32_t step = before / chunk->step_ticks;
    const uint32_t k = before % chunk->step_ticks + 1;
    const int64_t to = knot(chunk, axis, axis_count, origin, step + 1);
    if (interpolation == HYT_INTERPOLATION_HOLD || k == chunk->step_ticks) return to;
    const int64_t from = knot(chunk, axis, axis_count, origin, step);
    const int64_t secant = to - from;
    // At most 2^45 * 2^16: no overflow.
    if (interpolation == HYT_INTERPOLATION_LINEAR) return from + secant * (int64_t)k / chunk->step_ticks;
    const int64_t first = step == 0
                              ? monotone(origin->pace * chunk->step_ticks, secant)
                              : slope_between(from - knot(chunk, axis, axis_count, origin, step - 1), secant);
    const int64_t last = step + 1 == chunk->steps
                             ? secant
                             : slope_between(secant, knot(chunk, axis, axis_count, origin, step + 2) - to);
    return from + hermite(secant, first, last, k, chunk->step_ticks);
}
