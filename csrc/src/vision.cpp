// Builds and runs the SigLIP graph (Zhai et al. 2023; transformers' SiglipVisionTransformer without its
// pooling head).
#include "hyt/vision.h"

#include <cmath>

#include "hyt/error.h"
#include "hyt/ops.h"

namespace hyt {
namespace {

constexpr size_t kNodesPerLayer = 40;
constexpr size_t kNodesBeside = 40;

// LayerNorm with weight and bias.
ggml_tensor* norm(ggml_context* context, ggml_tensor* x, ggml_tensor* weight, ggml_tensor* bias,
                  float epsilon) {
    return ggml_add(context, ggml_mul(context, ggml_norm(context, x, epsilon), weight), bias);
}

ggml_tensor* linear(ggml_context* context, ggml_tensor* weight, ggml_tensor* bias, ggml_tensor* x) {
    return ggml_add(context, ggml_mul_mat(context, weight, x), bias);
}

}  // namespace

VisionEncoder::VisionEncoder(Backend& backend, const GgufFile& file, int64_t image_count)
    : backend_(backend),
      params_(read_vision_params(file)),
      image_count_(image_count),
      attention_{params_.head_dim(), params_.heads, params_.heads,
                 1.0f / std::sqrt(static_cast<float>(params_.head_dim())), 0.0f},
      weights_(backend, file),
      graph_(static_cast<size_t>(params_.layers) * kNodesPerLayer + kNodesBeside) {
    declare_weights();
    weights_.load();

    output_context_.reset(ggml_init({ggml_tensor_overhead(), nullptr, true}));
    tokens_ = ggml_new_tensor_2d(output_context_.get(), GGML_TYPE_F32, params_.projection,
                                 params_.patches() * image_count);
    output_buffer_.reset(
        ggml_backend_alloc_ctx_tensors_from_buft(output_context_.get(), backend.buffer_type()));
    if (!output_buffer_) throw Error("image tokens", "memory for them", "an allocation failure");
    ggml_backend_buffer_clear(output_buffer_.get(), 0);

    host_patches_.resize(static_cast<size_t>(params_.patch_values() * params_.patches() * image_count));
    for (size_t c = 0; c < 3; ++c) {
        for (size_t byte = 0; byte < 256; ++byte) {
            normalised_[c][byte] =
                (static_cast<float>(byte) / 255.0f - params_.mean[c]) / params_.deviation[c];
        }
    }
    build();
}

void VisionEncoder::declare_weights() {
    const int64_t hidden = params_.hidden, wide = params_.feed_forward, patch = params_.patch_size;
    patch_weight_ =
        weights_.array("v.patch_embd.weight", {patch, patch, 3, hidden}, params_.patch_values(), hidden);
    patch_bias_ = weights_.vector({"v.patch_embd.bias"}, {hidden});
    positions_ =
        weights_.array("v.position_embd.weight", {hidden, params_.patches()}, hidden, params_.patches());
    for (int64_t i = 0; i < params_.layers; ++i) {
        const std::string p = "v.blk." + std::to_string(i) + ".";
        Layer layer{};
        layer.norm1 = weights_.vector({p + "ln1.weight"}, {hidden});
        layer.norm1_bias = weights_.vector({p + "ln1.bias"}, {hidden});
        layer.norm2 = weights_.vector({p + "ln2.weight"}, {hidden});
        layer.norm2_bias = weights_.vector({p + "ln2.bias"}, {hidden});
        layer.qkv = weights_.stacked_matrix({p + "attn_q.weight", p + "attn_k.weight", p + "attn_v.weight"},
                                            hidden, {hidden, hidden, hidden});
        if (!layer.qkv) throw Error(p + "attn_q, attn_k and attn_v", "one type", "different types");
        layer.qkv_bias = weights_.vector({p + "attn_q.bias", p + "attn_k.bias", p + "attn_v.bias"},
                                         {hidden, hidden, hidden});
        layer.out = weights_.matrix(p + "attn_out.weight", hidden, hidden);
        layer.out_bias = weights_.vector({p + "attn_out.bias"}, {hidden});
        layer.up = weights_.matrix(p + "ffn_up.weight", hidden, wide);
        layer.up_bias = weights_.vector({p + "ffn_up.bias"}, {wide});
        layer.down = weights_.matrix(p + "ffn_down.weight", wide, hidden);
        layer.down_bias = weights_.vector({p + "ffn_down.bias"}, {hidden});
        layers_.push_back(layer);
    }
    post_norm_ = weights_.vector({"v.post_ln.weight"}, {hidden});
    post_norm_bias_ = weights_.vector({"v.post_ln.bias"}, {hidden});
    projector_ = weights_.matrix("mm.0.weight", hidden, params_.projection);
    projector_bias_ = weights_.vector({"mm.0.bias"}, {params_.projection});
}

void VisionEncoder::build() {
    ggml_context* c = graph_.context();
    const int64_t hidden = params_.hidden, patches = params_.patches();
    patches_ = graph_input(graph_, GGML_TYPE_F32, params_.patch_values(), patches * image_count_);
    ggml_tensor* x = linear(c, patch_weight_, patch_bias_, patches_);  // (hidden, patches * images)
    x = ggml_add(c, ggml_reshape_3d(c, x, hidden, patches, image_count_), positions_);
    x = ggml_reshape_2d(c, x, hidden, patches * image_count_);
    for (const Layer& layer : layers_) {
        ggml_tensor* h = attention(layer, norm(c, x, layer.norm1, layer.norm1_bias, params_.norm_epsilon));
        x = ggml_add(c, x, linear(c, layer.out, layer.out_bias, h));
        h = norm(c, x, layer.norm2, layer.norm2_bias, params_.norm_epsilon);
        h = ops::gelu_of_sum(c, backend_, ggml_mul_mat(c, layer.up, h), layer.up_bias);
        x = ggml_add(c, x, linear(c, layer.down, layer.down_bias, h));
    }
    x = norm(c, x, post_norm_, post_norm_bias_, params_.norm_epsilon);
    graph_.expand(ggml_cpy(c, linear(c, projector_, projector_bias_, x), tokens_));
}

// Every patch sees every patch of its own image. x: (hidden, patches * images).
ggml_tensor* VisionEncoder::attention(const Layer& layer, ggml_tensor* x) {
    ggml_context* c = graph_.context();
    ggml_tensor* qkv = linear(c, layer.qkv, layer.qkv_bias, x);  // (3 hidden, patches * images)
    const int64_t head_dim = attention_.head_dim;
    ggml_tensor* parts[3];
    for (size_t i = 0; i < 3; ++i) {
        parts[i] = ggml_view_4d(c, qkv, head_dim, params_.heads, params_.patches(), image_count_,
                                static_cast<size_t>(head_dim) * sizeof(float), qkv->nb[1],
                                static_cast<size_t>(params_.patches()) * qkv->nb[1],
                                i * static_cast<size_t>(params_.hidden) * sizeof(float));
    }
    return ops::attention(c, backend_, parts[0], parts[1], parts[2], nullptr, attention_);
}

// Patches in reading order, each as the convolution's weights lie: channel, row, column.
void VisionEncoder::write_patches(const uint8_t* image, float* out) const {
    const int64_t size = params_.image_size, patch = params_.patch_size, side = params_.patches_per_side();
    for (int64_t py = 0; py < side; ++py) {
        for (int64_t px = 0; px < side; ++px) {
            for (size_t c = 0; c < 3; ++c) {
                for (int64_t y = 0; y < patch; ++y) {
                    const uint8_t* pixel = image + ((py * patch + y) * size + px * patch) * 3;
                    for (int64_t x = 0; x < patch; ++x)
                        *out++ = normalised_[c][pixel[3 * x + static_cast<int64_t>(c)]];
                }
            }
        }
    }
}

void VisionEncoder::encode(const uint8_t* const* images) {
    const int64_t values = params_.patch_values() * params_.patches();
    for (int64_t i = 0; i < image_count_; ++i) write_patches(images[i], host_patches_.data() + i * values);
    ggml_backend_tensor_set(patches_, host_patches_.data(), 0, host_patches_.size() * sizeof(float));
    backend_.compute(graph_.nodes());
}

}  // namespace hyt
