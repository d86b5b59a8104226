// Vision towers and their projector: images to the decoder's image tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "hyt/gguf_file.h"
#include "hyt/graph.h"
#include "hyt/hparams.h"
#include "hyt/vision_tower.h"
#include "hyt/weights.h"

namespace hyt {

class VisionEncoder {
  public:
    // For `image_count` images a call. Throws Error when a tensor is missing or of another shape.
    VisionEncoder(Backend& backend, const GgufFile& file, int64_t image_count);

    const VisionParams& params() const { return params_; }
    size_t weight_bytes() const { return weights_.bytes(); }
    const Graph& graph() const { return graph_; }
    int64_t image_count() const { return image_count_; }

    // (projection, patches * images): image tokens of the latest encode(), unscaled, image after image.
    ggml_tensor* tokens() const { return tokens_; }
    int64_t token_count() const { return tokens_->ne[1]; }

    // `images[i]` points at uint8 RGB (image_size, image_size, 3). The graph must have been placed.
    void encode(const uint8_t* const* images);

  private:
    struct Map {
        ggml_tensor *weight, *bias;  // (in, out), (out)
    };

    void declare_projector();
    void build();

    Backend& backend_;
    VisionParams params_;
    int64_t image_count_;
    Weights weights_;
    std::vector<VisionTower> towers_;
    std::vector<Map> projector_;
    ggml_context_ptr output_context_;
    ggml_backend_buffer_ptr output_buffer_;
    ggml_tensor* tokens_;
    Graph graph_;
};

}  // namespace hyt
