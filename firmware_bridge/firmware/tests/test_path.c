// Paths between points: exact at the points, on the line or the cubic between them, never outside a step's
// range.
#include <math.h>

#include "check.h"
#include "path.h"

static int64_t target(const struct hyt_chunk* chunk, uint8_t interpolation,
                      const struct hyt_path_origin* origin, uint32_t k) {
    return hyt_path_target(chunk, 0, 1, interpolation, origin, chunk->start_tick + k);
}

static void targets_lie_on_the_line_and_end_on_the_points(void) {
    struct hyt_chunk chunk = {.start_tick = UINT32_MAX - 1, .step_ticks = 4, .steps = 2};
    chunk.points[0] = 8;
    chunk.points[1] = INT32_MIN;
    const int64_t one = HYT_FIXED_ONE;
    const struct hyt_path_origin rest = {0, 0};
    for (uint32_t k = 1; k <= 4; ++k) {
        const uint32_t tick = chunk.start_tick + k;
        CHECK(hyt_path_target(&chunk, 0, 1, HYT_INTERPOLATION_LINEAR, &rest, tick) == 2 * (int64_t)k * one);
        CHECK(hyt_path_target(&chunk, 0, 1, HYT_INTERPOLATION_HOLD, &rest, tick) == 8 * one);
        CHECK(hyt_path_target(&chunk, 0, 1, HYT_INTERPOLATION_HOLD, &rest, tick + 4) == INT32_MIN * one);
    }
    CHECK(hyt_path_target(&chunk, 0, 1, HYT_INTERPOLATION_LINEAR, &rest, chunk.start_tick + 8) ==
          INT32_MIN * one);
    // The longest step and the largest distance do not overflow.
    chunk = (struct hyt_chunk){.step_ticks = UINT16_MAX, .steps = 1, .points = {INT32_MAX}};
    const struct hyt_path_origin origin = {INT32_MIN * one, 0};
    CHECK(hyt_path_target(&chunk, 0, 1, HYT_INTERPOLATION_LINEAR, &origin, UINT16_MAX) == INT32_MAX * one);
}

// The same cubic in floating point, from the definition in path.h.
static double bounded(double slope, double secant) {
    if ((slope < 0) != (secant < 0)) return 0;
    return fabs(slope) <= 3 * fabs(secant) ? slope : copysign(3 * fabs(secant), slope);
}

static double reference(const struct hyt_chunk* chunk, const struct hyt_path_origin* origin, uint32_t step,
                        double u) {
    double knots[4] = {0};  // the step's own are 1 and 2
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t index = step + i;  // knot index + 1
        if (index == 1) knots[i] = (double)origin->position;
        if (index >= 2 && index <= chunk->steps + 1u)
            knots[i] = (double)chunk->points[index - 2] * HYT_FIXED_ONE;
    }
    const double secant = knots[2] - knots[1];
    const double before = knots[1] - knots[0];
    const double after = knots[3] - knots[2];
    double first = bounded((double)origin->pace * chunk->step_ticks, secant);
    double last = secant;
    if (step > 0) first = bounded(bounded((before + secant) / 2, before), secant);
    if (step + 1u < chunk->steps) last = bounded(bounded((secant + after) / 2, secant), after);
    return knots[1] + secant * u * u * (3 - 2 * u) + first * u * (1 - u) * (1 - u) - last * u * u * (1 - u);
}

static void cubics_are_those_of_the_definition_and_stay_between_their_points(void) {
    static struct hyt_chunk chunk;
    for (int round = 0; round < 3000; ++round) {
        const int32_t reach = 1 << (10 + round % 21);
        chunk.start_tick = random_u32();
        chunk.step_ticks = (uint16_t)random_between(1, round % 7 == 0 ? UINT16_MAX : 300);
        chunk.steps = (uint16_t)random_between(1, 5);
        for (uint32_t i = 0; i < chunk.steps; ++i) chunk.points[i] = random_between(-reach, reach);
        const struct hyt_path_origin origin = {(int64_t)random_between(-reach, reach) * HYT_FIXED_ONE,
                                               (int64_t)random_between(-reach, reach) * (1 + round % 50)};
        int64_t from = origin.position;
        for (uint32_t step = 0; step < chunk.steps; ++step) {
            const int64_t to = (int64_t)chunk.points[step] * HYT_FIXED_ONE;
            int64_t last = from;
            const uint32_t stride = 1 + chunk.step_ticks / 100u;
            for (uint32_t k = stride; k <= chunk.step_ticks; k += stride) {
                const int64_t here =
                    target(&chunk, HYT_INTERPOLATION_CUBIC, &origin, step * chunk.step_ticks + k);
                CHECK(to >= from ? here >= from && here <= to : here <= from && here >= to);
                const double expected = reference(&chunk, &origin, step, (double)k / chunk.step_ticks);
                // Weights have 30 bits: a micro-unit, or a part in 10^8 of the distance.
                CHECK(fabs((double)here - expected) <= HYT_FIXED_ONE + 1e-8 * fabs((double)(to - from)));
                last = here;
            }
            CHECK(to >= from ? last <= to : last >= to);
            CHECK(target(&chunk, HYT_INTERPOLATION_CUBIC, &origin, (step + 1) * chunk.step_ticks) == to);
            from = to;
        }
    }
}

static void a_cubic_through_points_on_a_line_is_that_line(void) {
    struct hyt_chunk chunk = {.step_ticks = 100, .steps = 3, .points = {1000, 2000, 3000}};
    const struct hyt_path_origin origin = {0, 10 * HYT_FIXED_ONE};
    for (uint32_t k = 1; k <= 300; ++k) {
        const int64_t off =
            target(&chunk, HYT_INTERPOLATION_CUBIC, &origin, k) - 10 * (int64_t)k * HYT_FIXED_ONE;
        CHECK(off >= -8 && off <= 8);
    }
}

static void the_speed_of_a_cubic_does_not_jump_at_its_knots_and_a_lines_does(void) {
    struct hyt_chunk chunk = {.step_ticks = 200, .steps = 3, .points = {100000, 400000, 450000}};
    const struct hyt_path_origin rest = {0, 0};
    int64_t worst[3] = {0};
    for (uint8_t kind = HYT_INTERPOLATION_LINEAR; kind <= HYT_INTERPOLATION_CUBIC; ++kind) {
        for (uint32_t k = 2; k < 600; ++k) {
            const int64_t jump = target(&chunk, kind, &rest, k + 1) - 2 * target(&chunk, kind, &rest, k) +
                                 target(&chunk, kind, &rest, k - 1);
            if (llabs(jump) > worst[kind]) worst[kind] = llabs(jump);
        }
    }
    CHECK(worst[HYT_INTERPOLATION_LINEAR] > 20 * worst[HYT_INTERPOLATION_CUBIC]);
}

int main(void) {
    targets_lie_on_the_line_and_end_on_the_points();
    cubics_are_those_of_the_definition_and_stay_between_their_points();
    a_cubic_through_points_on_a_line_is_that_line();
    the_speed_of_a_cubic_does_not_jump_at_its_knots_and_a_lines_does();
    return 0;
}
