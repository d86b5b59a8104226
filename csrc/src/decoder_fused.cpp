// Builds the decoder's graphs from fused operators; the same sums as decoder_graph.cpp's, in another order
// here and there.
#include "hyt/decoder.h"
#include "hyt/ops.h"
#include "hyt/product.h"

namespace hyt {
namespace {

// Rows [first, first + rows) of a matrix in strips; both are multiples of 16, so the strips begin where rows
// would.
ggml_tensor* strip_rows(ggml_context* c, ggml_tensor* matrix, int64_t first, int64_t rows) {
    if (rows == matrix->ne[1]) return matrix;
    return ggml_view_2d(c, matrix, matrix->ne[0], rows, matrix->nb[1],
                        static_cast<size_t>(first) * matrix->nb[1]);
}

// What a profile counts the operator under.
ggml_tensor* named(ggml_tensor* node, const char* name) {
    return ggml_set_name(node, name);
}

}  // namespace

bool Decoder::can_fuse() const {
    if (!backend_.cuts().fused || !backend_.strips() || params_.kv_width() % kStripRows != 0 ||
        params_.query_width() % kStripRows != 0)
        return false;
    for (const DecoderLayer& layer : weights_.layers) {
        if (!layer.qkv || !layer.gate_up) return false;
        for (const ggml_tensor* matrix : {layer.qkv, layer.out, layer.gate_up, layer.down}) {
            if (!in_strips(matrix)) return false;
        }
    }
    return true;
}

// All layers and the output norm over x (hidden, n), which is changed in place: (hidden, n), or null where
// only the cache is wanted. `attend` gives attention's output (query_width, n) of a layer.
ggml_tensor* Decoder::fused_layers(const Graph& graph, ggml_tensor* x, const FusedInputs& in,
                                   const Attend& attend) const {
    ggml_context* c = graph.context();
    const fused::Context& context = *fused_;
    const StripKernels& kernels = *context.kernels;
    const int64_t n = x->ne[1], dim = params_.head_dim, query = params_.query_width(),
                  kv = params_.kv_width();
    ggml_tensor* h = fused::normed(c, context, x, weights_.layers[0].attention_norm);
    for (int64_t i = 0; i < params_.layers; ++i) {
        const DecoderLayer& layer = weights_.layers[static_cast<size_t>(i)];
        const bool last = i + 1 == params_.layers, cache_only = last && in.cache_only;
        const int64_t skipped = cache_only ? query : 0, width = query + 2 * kv - skipped;
        ggml_tensor* bias = layer.qkv_bias;
        if (bias && skipped > 0)
            bias = ggml_view_1d(c, bias, width, static_cast<size_t>(skipped) * bias->nb[0]);
        h = named(ops::product(c, kernels, strip_rows(c, layer.qkv, skipped, width), h, bias),
                  "queries, keys, values");
        h = fused::turned_stored(c, context, h, in.positions, in.cells, cache_.keys(i), cache_.values(i),
                                 layer.query_norm, layer.key_norm);
        graph.expand(h);  // attention may read the cache by itself: it is written first
        if (cache_only) return nullptr;
        const auto heads = [&](int64_t first, int64_t count) {
            const size_t head_bytes = static_cast<size_t>(dim) * sizeof(float);
            return ggml_view_3d(c, h, dim, count / dim, n, head_bytes, h->nb[1],
                                static_cast<size_t>(first) * sizeof(float));
        };
        h = attend(i, heads);
        h = named(ops::product(c, kernels, layer.out, ops::quantised(c, kernels, h)), "attention output");
        h = fused::added_normed(c, context, x, h, layer.post_attention_norm, layer.feed_forward_norm, false);
        if (backend_.cuts().piecewise && n > kReadRows) {  // a few tokens read weights better in one go
            h = ops::activated_product(c, backend_, params_.activation, true, layer.gate_up, h, nullptr);
            h = named(h, "gate and up");
        } else {
            h = named(ops::product(c, kernels, layer.gate_up, h), "gate and up");
            h = fused::gated(c, context, h);
        }
        h = named(ops::product(c, kernels, layer.down, h), "down");
        ggml_tensor* next =
            last ? weights_.output_norm : weights_.layers[static_cast<size_t>(i) + 1].attention_norm;
        h = fused::added_normed(c, context, x, h, layer.post_feed_forward_norm, next, last);
    }
    return h;
}

void Decoder::build_fused(const Graph& graph, Prefill& prefill) const {
    ggml_context* c = graph.context();
    ggml_tensor* x =
        fused::embedded(c, *fused_, weights_.embedding, prefill.ids, image_tokens_, prefill.image_rows);
    const FusedInputs inputs{prefill.positions, prefill.cells, backend_.cuts().last_layer};
    const int64_t query = params_.query_width(), kv = params_.kv_width();
    x = fused_layers(graph, x, inputs, [&](int64_t, const Heads& heads) {
        return ops::attention(c, backend_, heads(0, query), heads(query, kv), heads(query + kv, kv), nullptr,
                              attention_);
    });
    if (x) graph.expand(x);
}

void Decoder::build_fused(const Graph& graph, Step& step, Slot slot, Head head) const {
    ggml_context* c = graph.context();
    ggml_tensor* x = fused::embedded(c, *fused_, weights_.embedding, step.ids, nullptr, nullptr);
    const auto attend = [&](int64_t i, const Heads& heads) {
        const bool windowed = step.visible_in_window && params_.slides(i);
        return attend_slot(graph, step.cached, slot, i, heads(0, params_.query_width()),
                           windowed ? step.visible_in_window : step.visible);
    };
    const bool cache_only = head == Head::none && backend_.cuts().last_layer;
    step.states = fused_layers(graph, x, {step.positions, step.cells, cache_only}, attend);
    if (cache_only) return;
    ggml_set_output(step.states);
    if (head == Head::none) {
        graph.expand(step.states);
        return;
    }
    step.logits = logits(graph, head, step.states);
    ggml_set_output(step.logits);
    graph.expand(step.logits);
}

}  // namespace hyt
