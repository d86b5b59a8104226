// The draft head: guesses the rest of an action from what its first pass left.
//
// It reads the decoder's output at the tag (hidden values behind the output norm, as the gate does) and the
// first token of the action, and gives the likeliest of `choices` for every later position:
//
//     z = relu(up state + first[token 0] + up_bias)          (units)
//     token i = argmax of down[i - 1] z + down_bias[i - 1]   (choices), i = 1 to tokens - 1
//
// head.gguf holds it as float32: draft.up.weight (hidden, units), draft.up.bias (units), draft.first.weight
// (units, choices), draft.down.weight (units, (tokens - 1) * choices), draft.down.bias ((tokens - 1) *
// choices). A guess is checked before it is used, so it changes no action.
#pragma once

#include <cstdint>
#include <vector>

#include "hyt/gguf_file.h"

namespace hyt {

class DraftHead {
  public:
    // Of actions of `tokens` of `choices` tokens. Throws Error when a tensor is missing, of another shape or
    // type, or not finite.
    DraftHead(const GgufFile& file, int64_t hidden, int64_t units, int64_t choices, int64_t tokens);

    // state (hidden), the index of the first token among the choices -> indices of the others, (tokens), of
    // which the first is left as it is. Allocates nothing.
    void guess(const float* state, size_t first, int32_t* indices);

  private:
    size_t hidden_, units_, choices_, tokens_;
    std::vector<float> up_;                // (hidden) rows of (units)
    std::vector<float> up_bias_, first_;   // (units), (choices) rows of (units)
    std::vector<float> down_, down_bias_;  // (tokens - 1, units) rows of (choices)
    std::vector<float> z_, scores_;        // scratch: (units), (choices)
};

}  // namespace hyt
