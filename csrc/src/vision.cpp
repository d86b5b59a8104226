// Builds and runs the vision graph: towers side by side, then the projector.
#include "hyt/vision.h"

#include "hyt/ops.h"
#include "hyt/product.h"
#include "layers.h"

namespace hyt {
namespace {

size_t node_count(const VisionParams& params) {
    size_t nodes = 8 * params.projector.size() + 8;
    for (const TowerParams& tower : params.towers) nodes += VisionTower::node_count(tower);
    return nodes;
}

}  // namespace

VisionEncoder::VisionEncoder(Backend& backend, const GgufFile& file, int64_t image_count)
    : backend_(backend),
      params_(read_vision_params(file)),
      image_count_(image_count),
      weights_(backend, file),
      graph_(node_count(params_)) {
    towers_.reserve(params_.towers.size());
    for (const TowerParams& tower : params_.towers)
        towers_.emplace_back(backend, weights_, tower, image_count);
    declare_projector();
    weights_.load();

    output_context_.reset(ggml_init({ggml_tensor_overhead(), nullptr, true}));
    tokens_ = ggml_new_tensor_2d(output_context_.get(), GGML_TYPE_F32, params_.projection(),
                                 params_.patches() * image_count);
    output_buffer_.reset(
        ggml_backend_alloc_ctx_tensors_from_buft(output_context_.get(), backend.buffer_type()));
    backend.check_memory(output_buffer_ != nullptr, "image tokens", "memory for them");
    ggml_backend_buffer_clear(output_buffer_.get(), 0);
    build();
}

// Maps are named as in LLaVA's nn.Sequential: the activations in between have the odd numbers.
void VisionEncoder::declare_projector() {
    int64_t in = 0;
    for (const TowerParams& tower : params_.towers) in += tower.hidden;
    for (size_t i = 0; i < params_.projector.size(); ++i) {
        const std::string p = "mm." + std::to_string(2 * i) + ".";
        const int64_t out = params_.projector[i];
        projector_.push_back({weights_.matrix(p + "weight", in, out), weights_.vector({p + "bias"}, {out})});
        in = out;
    }
}

void VisionEncoder::build() {
    ggml_context* c = graph_.context();
    ggml_tensor* x = nullptr;  // (hidden of all towers, patches * images)
    for (VisionTower& tower : towers_) {
        ggml_tensor* features = tower.build(graph_);
        x = x ? ggml_concat(c, x, features, 0) : features;
    }
    for (size_t i = 0; i + 1 < projector_.size(); ++i) {
        x = ops::activated_sum(c, backend_, Activation::gelu_erf,
                               ops::matmul(c, backend_, projector_[i].weight, x), projector_[i].bias);
    }
    x = linear(c, backend_, projector_.back().weight, projector_.back().bias, x);
    graph_.expand(ops::copy(c, backend_, x, tokens_));
}

void VisionEncoder::encode(const uint8_t* const* images) {
    for (VisionTower& tower : towers_) tower.show(images);
    backend_.compute(graph_.nodes(), "vision");
}

}  // namespace hyt
