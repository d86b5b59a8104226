// The gate: says from the prefix how probable it is that thinking would better the action.
//
// It reads the decoder's output at an act's tag (hidden values behind the output norm), which act computes
// anyway:
//
//     probability = sigmoid(down . relu(up state + up_bias) + down_bias)
//
// head.gguf holds it as float32: gate.up.weight (hidden, units), gate.up.bias (units), gate.down.weight
// (units), gate.down.bias (1). What its training did to the state (standardising) and to the result
// (calibration) is already in these weights.
#pragma once

#include <cstdint>
#include <vector>

#include "hyt/gguf_file.h"

namespace hyt {

class Gate {
  public:
    // Throws Error when a tensor is missing, of another shape or type, or not finite.
    Gate(const GgufFile& file, int64_t hidden, int64_t units);

    // state (hidden). Allocates nothing. Sums are in double and in order, so the same state gives the same
    // bits. The result stays inside (0, 1): a threshold of 0 is always reached, one of 1 never.
    float probability(const float* state) const;

  private:
    std::vector<float> up_, up_bias_, down_;  // (units rows of hidden), (units), (units)
    float down_bias_;
};

}  // namespace hyt
