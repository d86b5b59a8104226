// One vision transformer: SigLIP, CLIP or DINOv2, as its parameters say.
#pragma once

#include <cstdint>
#include <vector>

#include "hyt/graph.h"
#include "hyt/hparams.h"
#include "hyt/ops.h"
#include "hyt/patches.h"
#include "hyt/weights.h"

namespace hyt {

class VisionTower {
  public:
    // Declares its weights. Throws Error when a tensor is missing or of another shape.
    VisionTower(const Backend& backend, Weights& weights, const TowerParams& params, int64_t image_count);

    const TowerParams& params() const { return params_; }
    static size_t node_count(const TowerParams& params);

    // Adds the tower to the graph: its features (hidden, patches * images), class token and registers left
    // out. The tower must stay where it is while the graph lives.
    ggml_tensor* build(const Graph& graph);

    // The graph's next run reads `images[i]`, uint8 RGB (image_size, image_size, 3).
    void show(const uint8_t* const* images);

  private:
    struct Layer {
        ggml_tensor *norm1, *norm1_bias, *norm2, *norm2_bias;  // (hidden)
        ggml_tensor *qkv, *qkv_bias;                           // (hidden, 3 hidden), (3 hidden)
        ggml_tensor *out, *out_bias;                           // (hidden, hidden), (hidden)
        ggml_tensor *up, *up_bias;                             // (hidden, feed_forward), (feed_forward)
        ggml_tensor *down, *down_bias;                         // (feed_forward, hidden), (hidden)
        ggml_tensor *scale1, *scale2;                          // (hidden) or null
    };

    Layer declare_layer(Weights& weights, int64_t index) const;
    ggml_tensor* embed(const Graph& graph);
    ggml_tensor* attention(ggml_context* c, const Layer& layer, ggml_tensor* x) const;

    const Backend& backend_;
    TowerParams params_;
    int64_t image_count_;
    int64_t sequence_;  // tokens of one image: class token, registers, patches
    ops::AttentionShape attention_;
    ggml_tensor *patch_weight_, *patch_bias_, *positions_;
    ggml_tensor *class_token_, *registers_;  // (hidden), (registers * hidden), or null
    ggml_tensor *pre_norm_, *pre_norm_bias_, *post_norm_, *post_norm_bias_;
    std::vector<Layer> layers_;
    Patches patches_;
    ggml_tensor* input_ = nullptr;   // (patch_values, patches * images); null where an operator cuts them out
    std::vector<float> host_input_;  // the same, before it is handed to the backend
};

}  // namespace hyt
