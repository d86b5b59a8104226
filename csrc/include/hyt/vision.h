// SigLIP vision transformer and linear projector: images to the decoder's image tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "hyt/gguf_file.h"
#include "hyt/graph.h"
#include "hyt/hparams.h"
#include "hyt/ops.h"
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
    struct Layer {
        ggml_tensor *norm1, *norm1_bias, *norm2, *norm2_bias;  // (hidden)
        ggml_tensor *qkv, *qkv_bias;                           // (hidden, 3 hidden), (3 hidden)
        ggml_tensor *out, *out_bias;                           // (hidden, hidden), (hidden)
        ggml_tensor *up, *up_bias;                             // (hidden, feed_forward), (feed_forward)
        ggml_tensor *down, *down_bias;                         // (feed_forward, hidden), (hidden)
    };

    void declare_weights();
    void build();
    ggml_tensor* attention(const Layer& layer, ggml_tensor* x);
    void write_patches(const uint8_t* image, float* out) const;

    Backend& backend_;
    VisionParams params_;
    int64_t image_count_;
    ops::AttentionShape attention_;
    Weights weights_;
    ggml_tensor *patch_weight_, *patch_bias_, *positions_, *post_norm_, *post_norm_bias_, *projector_,
        *projector_bias_;
    std::vector<Layer> layers_;
    ggml_context_ptr output_context_;
    ggml_backend_buffer_ptr output_buffer_;
    ggml_tensor* tokens_;
    Graph graph_;
    ggml_tensor* patches_;                              // (patch_values, patches * images)
    std::vector<float> host_patches_;                   // the same, before it is handed to the backend
    std::array<std::array<float, 256>, 3> normalised_;  // value of each byte in each channel
};

}  // namespace hyt
