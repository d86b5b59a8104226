// Random tiny models as GGUF files, written with ggml's own writer, for tests that need no reference.
#pragma once

#include <string>

#include "hyt/session.h"

namespace hyt::test {

// Writes language.gguf, vision.gguf and head.gguf into `directory` and gives the configuration of a session
// over them: 2 images, 24 action ids of a vocabulary of 64, a gate. `quantized` stores matrices as q4_0 and
// the embedding as q8_0.
SessionConfig write_model(const std::string& directory, bool quantized);

// Writes into head.gguf an action head too, and gives the configuration of a continuous policy over the same
// model: 3 steps of 5 dimensions.
SessionConfig write_continuous_model(const std::string& directory, bool quantized);

// A prefix of both images and `text` tokens.
std::vector<int32_t> layout(int text);

// Two images of the right size, filled from `seed`.
struct Images {
    explicit Images(unsigned seed);
    std::vector<ImageView> views() const;
    std::vector<uint8_t> pixels[2];
};

}  // namespace hyt::test
