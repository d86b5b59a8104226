// Loads and evaluates the gate.
#include "hyt/gate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hyt {
Gate::Gate(const GgufFile& file, int64_t hidden, int64_t units)
    : up_(file.floats("gate.up.weight", {hidden, units})),
      up_bias_(file.floats("gate.up.bias", {units})),
      down_(file.floats("gate.down.weight", {units})),
      down_bias_(file.floats("gate.down.bias", {1})[0]) {}

float Gate::probability(const float* state) const {
    const size_t hidden = up_.size() / down_.size();
    double logit = down_bias_;
    for (size_t unit = 0; unit < down_.size(); ++unit) {
        const float* row = up_.data() + unit * hidden;
        double sum = up_bias_[unit];
        for (size_t i = 0; i < hidden; ++i) sum += static_cast<double>(row[i]) * state[i];
        logit += down_[unit] * std::max(sum, 0.0);
    }
    const auto probability = static_cast<float>(1.0 / (1.0 + std::exp(-logit)));
    return std::clamp(probability, std::numeric_limits<float>::min(), std::nextafter(1.0f, 0.0f));
}

}  // namespace hyt
