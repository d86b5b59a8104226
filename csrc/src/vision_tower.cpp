// Builds and feeds a vision transformer (transformers' SiglipVisionModel, CLIPVisionModel and Dinov2Model,
// timm's VisionTransformer), without a pooling head.
#include "hyt/vision_tower.h"

#include <cmath>

#include "hyt/error.h"
#include "hyt/product.h"
#include "layers.h"

namespace hyt {
namespace {

constexpr size_t kNodesPerLayer = 44;
constexpr size_t kNodesBeside = 48;

}  // namespace

size_t VisionTower::node_count(const TowerParams& params) {
    return static_cast<size_t>(params.layers) * kNodesPerLayer + kNodesBeside;
}

VisionTower::VisionTower(const Backend& backend, Weights& weights, const TowerParams& params,
                         int64_t image_count)
    : backend_(backend),
      params_(params),
      image_count_(image_count),
      sequence_(params.prefix() + params.patches()),
      attention_{params.head_dim(),
                 params.heads,
                 params.heads,
                 1.0f / std::sqrt(static_cast<float>(params.head_dim())),
                 0.0f,
                 false},
      patches_(params_) {
    const int64_t hidden = params.hidden, patch = params.patch_size;
    const int64_t positions = params.patches() + (params.class_position ? 1 : 0);
    const std::string& p = params.tensors;
    const auto vector = [&](bool there, const std::string& name, int64_t length) {
        return there ? weights.vector({p + name}, {length}) : nullptr;
    };
    patch_weight_ =
        weights.array(p + "patch_embd.weight", {patch, patch, 3, hidden}, params.patch_values(), hidden);
    patch_bias_ = vector(params.patch_bias, "patch_embd.bias", hidden);
    positions_ = weights.array(p + "position_embd.weight", {hidden, positions}, hidden, positions);
    class_token_ = vector(params.class_token, "class_embd", hidden);
    registers_ = vector(params.registers > 0, "register_embd", params.registers * hidden);
    pre_norm_ = vector(params.pre_norm, "pre_ln.weight", hidden);
    pre_norm_bias_ = vector(params.pre_norm, "pre_ln.bias", hidden);
    for (int64_t i = 0; i < params.layers; ++i) layers_.push_back(declare_layer(weights, i));
    post_norm_ = vector(params.post_norm, "post_ln.weight", hidden);
    post_norm_bias_ = vector(params.post_norm, "post_ln.bias", hidden);
}

VisionTower::Layer VisionTower::declare_layer(Weights& weights, int64_t index) const {
    const int64_t hidden = params_.hidden, wide = params_.feed_forward;
    const std::string p = params_.tensors + "blk." + std::to_string(index) + ".";
    Layer layer{};
    layer.norm1 = weights.vector({p + "ln1.weight"}, {hidden});
    layer.norm1_bias = weights.vector({p + "ln1.bias"}, {hidden});
    layer.norm2 = weights.vector({p + "ln2.weight"}, {hidden});
    layer.norm2_bias = weights.vector({p + "ln2.bias"}, {hidden});
    layer.qkv = weights.stacked_matrix({p + "attn_q.weight", p + "attn_k.weight", p + "attn_v.weight"},
                                       hidden, {hidden, hidden, hidden});
    if (!layer.qkv) throw Error(p + "attn_q, attn_k and attn_v", "one type", "different types");
    layer.qkv_bias =
        weights.vector({p + "attn_q.bias", p + "attn_k.bias", p + "attn_v.bias"}, {hidden, hidden, hidden});
    layer.out = weights.matrix(p + "attn_out.weight", hidden, hidden);
    layer.out_bias = weights.vector({p + "attn_out.bias"}, {hidden});
    layer.up = weights.matrix(p + "ffn_up.weight", hidden, wide);
    layer.up_bias = weights.vector({p + "ffn_up.bias"}, {wide});
    layer.down = weights.matrix(p + "ffn_down.weight", wide, hidden);
    layer.down_bias = weights.vector({p + "ffn_down.bias"}, {hidden});
    if (params_.layer_scale) {
        layer.scale1 = weights.vector({p + "ls1.weight"}, {hidden});
        layer.scale2 = weights.vector({p + "ls2.weight"}, {hidden});
    }
    return layer;
}

// Patches with their positions, behind class token and registers: (hidden, sequence * images).
ggml_tensor* VisionTower::embed(const Graph& graph) {
    ggml_context* c = graph.context();
    const int64_t hidden = params_.hidden, patches = params_.patches(), all = patches * image_count_;
    ggml_tensor* x = nullptr;
    if (backend_.cuts().own_norms) {
        x = ops::patch_product(c, backend_, patch_weight_, patches_, all, patch_bias_);
    } else {
        input_ = graph_input(graph, GGML_TYPE_F32, params_.patch_values(), all);
        host_input_.resize(static_cast<size_t>(ggml_nelements(input_)));
        x = ggml_mul_mat(c, patch_weight_, input_);
        if (patch_bias_) x = ggml_add(c, x, patch_bias_);
    }
    const size_t first = params_.class_position ? positions_->nb[1] : 0;
    ggml_tensor* positions = ggml_view_2d(c, positions_, hidden, patches, positions_->nb[1], first);
    x = ops::sum(c, backend_, x, positions);  // (hidden, patches * images)
    ggml_tensor* prefix = nullptr;            // (hidden, prefix)
    if (class_token_) {
        prefix = ggml_reshape_2d(c, class_token_, hidden, 1);
        if (params_.class_position) {
            prefix = ggml_add(c, prefix, ggml_view_2d(c, positions_, hidden, 1, positions_->nb[1], 0));
        }
    }
    if (registers_) {
        ggml_tensor* registers = ggml_reshape_2d(c, registers_, hidden, params_.registers);
        prefix = prefix ? ggml_concat(c, prefix, registers, 1) : registers;
    }
    if (!prefix) return x;
    x = ggml_reshape_3d(c, x, hidden, patches, image_count_);
    x = ggml_concat(c, ggml_repeat_4d(c, prefix, hidden, params_.prefix(), image_count_, 1), x, 1);
    return ggml_reshape_2d(c, x, hidden, sequence_ * image_count_);
}

ggml_tensor* VisionTower::build(const Graph& graph) {
    ggml_context* c = graph.context();
    const int64_t hidden = params_.hidden, patches = params_.patches();
    const float* epsilon = &params_.norm_epsilon;
    ggml_tensor* x = embed(graph);
    if (pre_norm_) x = ops::layer_norm(c, backend_, x, pre_norm_, pre_norm_bias_, epsilon);
    for (const Layer& layer : layers_) {
        ggml_tensor* h =
            attention(c, layer, ops::layer_norm(c, backend_, x, layer.norm1, layer.norm1_bias, epsilon));
        h = linear(c, backend_, layer.out, layer.out_bias, h);
        x = ops::sum(c, backend_, x, layer.scale1 ? ggml_mul(c, h, layer.scale1) : h);
        h = ops::layer_norm(c, backend_, x, layer.norm2, layer.norm2_bias, epsilon);
        h = two_layers(c, backend_, params_.activation, layer.up, layer.up_bias, layer.down, layer.down_bias,
                       h);
        x = ops::sum(c, backend_, x, layer.scale2 ? ggml_mul(c, h, layer.scale2) : h);
    }
    if (sequence_ > patches) {
        const auto skipped = static_cast<size_t>(params_.prefix()) * x->nb[1];
        x = ggml_view_3d(c, x, hidden, patches, image_count_, x->nb[1],
                         static_cast<size_t>(sequence_) * x->nb[1], skipped);
        x = ggml_reshape_2d(c, ggml_cont(c, x), hidden, patches * image_count_);
    }
    return post_norm_ ? ops::layer_norm(c, backend_, x, post_norm_, post_norm_bias_, epsilon) : x;
}

// Every token sees every token of its own image. x: (hidden, sequence * images).
ggml_tensor* VisionTower::attention(ggml_context* c, const Layer& layer, ggml_tensor* x) const {
    ggml_tensor* qkv = linear(c, backend_, layer.qkv, layer.qkv_bias, x);  // (3 hidden, sequence * images)
    const int64_t head_dim = attention_.head_dim;
    ggml_tensor* parts[3];
    for (size_t i = 0; i < 3; ++i) {
        parts[i] = ggml_view_4d(c, qkv, head_dim, params_.heads, sequence_, image_count_,
                                static_cast<size_t>(head_dim) * sizeof(float), qkv->nb[1],
                                static_cast<size_t>(sequence_) * qkv->nb[1],
                                i * static_cast<size_t>(params_.hidden) * sizeof(float));
    }
    return ops::attention(c, backend_, parts[0], parts[1], parts[2], nullptr, attention_);
}

void VisionTower::show(const uint8_t* const* images) {
    patches_.set(images);
    if (!input_) return;
    for (int64_t i = 0; i < input_->ne[1]; ++i) patches_.write(i, host_input_.data() + i * input_->ne[0]);
    ggml_backend_tensor_set(input_, host_input_.data(), 0, host_input_.size() * sizeof(float));
}

}  // namespace hyt
