// Loads and evaluates the draft head. Sums run along rows that lie side by side, so that they are vectors.
#include "hyt/draft_head.h"

#include <algorithm>

namespace hyt {
namespace {

// (rows) of (columns) -> (columns) of (rows)
std::vector<float> transposed(const float* values, size_t rows, size_t columns) {
    std::vector<float> out(rows * columns);
    for (size_t row = 0; row < rows; ++row) {
        for (size_t column = 0; column < columns; ++column)
            out[column * rows + row] = values[row * columns + column];
    }
    return out;
}

// to += factor * x
void add(float* to, const float* x, float factor, size_t n) {
    for (size_t i = 0; i < n; ++i) to[i] += factor * x[i];
}

}  // namespace

DraftHead::DraftHead(const GgufFile& file, int64_t hidden, int64_t units, int64_t choices, int64_t tokens)
    : hidden_(static_cast<size_t>(hidden)),
      units_(static_cast<size_t>(units)),
      choices_(static_cast<size_t>(choices)),
      tokens_(static_cast<size_t>(tokens)),
      up_(transposed(file.floats("draft.up.weight", {hidden, units}).data(), units_, hidden_)),
      up_bias_(file.floats("draft.up.bias", {units})),
      first_(file.floats("draft.first.weight", {units, choices})),
      down_bias_(file.floats("draft.down.bias", {(tokens - 1) * choices})),
      z_(units_),
      scores_(choices_) {
    const std::vector<float> down = file.floats("draft.down.weight", {units, (tokens - 1) * choices});
    for (size_t i = 0; i + 1 < tokens_; ++i) {
        const std::vector<float> one = transposed(down.data() + i * choices_ * units_, choices_, units_);
        down_.insert(down_.end(), one.begin(), one.end());
    }
}

void DraftHead::guess(const float* state, size_t first, int32_t* indices) {
    for (size_t unit = 0; unit < units_; ++unit) z_[unit] = up_bias_[unit] + first_[first * units_ + unit];
    for (size_t i = 0; i < hidden_; ++i) add(z_.data(), up_.data() + i * units_, state[i], units_);
    for (size_t i = 1; i < tokens_; ++i) {
        std::copy_n(down_bias_.data() + (i - 1) * choices_, choices_, scores_.data());
        const float* rows = down_.data() + (i - 1) * choices_ * units_;
        for (size_t unit = 0; unit < units_; ++unit) {
            if (z_[unit] > 0) add(scores_.data(), rows + unit * choices_, z_[unit], choices_);
        }
        indices[i] = static_cast<int32_t>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin());
    }
}

}  // namespace hyt
