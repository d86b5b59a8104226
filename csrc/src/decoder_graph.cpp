// Builds the decoder's graphs: Gemma 1 and 2, Llama, Qwen 2 and 3, as transformers' models of these names.
#include "hyt/decoder.h"
#include "hyt/ops.h"
#include "hyt/product.h"

namespace hyt {
namespace {

constexpr size_t kNodesPerLayer = 64, kFusedNodesPerLayer = 24;
constexpr size_t kNodesBeside = 32;

// Rows [first, first + rows) of every column.
ggml_tensor* row_range(ggml_context* c, ggml_tensor* x, int64_t first, int64_t rows) {
    return ggml_view_2d(c, x, rows, x->ne[1], x->nb[1], static_cast<size_t>(first) * x->nb[0]);
}

// Elements [first, first + count) of a vector.
ggml_tensor* part(ggml_context* c, ggml_tensor* x, int64_t first, int64_t count) {
    return ggml_view_1d(c, x, count, static_cast<size_t>(first) * x->nb[0]);
}

// (width, n), rows of a wider tensor perhaps -> (head_dim, width / head_dim, n), without a copy.
ggml_tensor* as_heads(ggml_context* c, ggml_tensor* x, int64_t head_dim) {
    return ggml_view_3d(c, x, head_dim, x->ne[0] / head_dim, x->ne[1],
                        static_cast<size_t>(head_dim) * x->nb[0], x->nb[1], 0);
}

}  // namespace

// Nodes of any graph of the decoder at most, without an action head.
size_t Decoder::node_count() const {
    return static_cast<size_t>(params_.layers) * (fused_ ? kFusedNodesPerLayer : kNodesPerLayer) +
           kNodesBeside;
}

// Which cells `queries` see, `alike` or each its own: an input, written by write_visible().
ggml_tensor* Decoder::visible_input(const Graph& graph, int64_t queries, bool alike) const {
    if (backend_.cuts().own_attention) return graph_input(graph, GGML_TYPE_I32, 2, alike ? 1 : queries);
    return graph_input(graph, GGML_TYPE_F32, shape_.cells, queries);
}

// All cells of a slot, (head_dim, kv_heads, cells), of a layer's keys or values.
ggml_tensor* Decoder::cached(const Graph& graph, ggml_tensor* all, Slot slot) const {
    const size_t offset = static_cast<size_t>(cache_.first_row(slot)) * all->nb[1];
    return ggml_view_3d(graph.context(), all, params_.head_dim, params_.kv_heads, shape_.cells,
                        static_cast<size_t>(params_.head_dim) * all->nb[0], all->nb[1], offset);
}

// Attention of `query` over what is visible of a slot, which it sees through two more of `views`.
ggml_tensor* Decoder::attend_slot(const Graph& graph, std::vector<ggml_tensor*>& views, Slot slot,
                                  int64_t layer, ggml_tensor* query, ggml_tensor* visible) const {
    ggml_tensor* keys = cached(graph, cache_.keys(layer), slot);
    ggml_tensor* values = cached(graph, cache_.values(layer), slot);
    views.insert(views.end(), {keys, values});
    return ops::attention(graph.context(), backend_, query, keys, values, visible, attention_);
}

ggml_tensor* Decoder::embed(const Graph& graph, ggml_tensor* ids) const {
    ggml_context* c = graph.context();
    ggml_tensor* x = ggml_get_rows(c, weights_.embedding, ids);
    return params_.embedding_scale == 1.0f ? x : ggml_scale(c, x, params_.embedding_scale);
}

ggml_tensor* Decoder::norm(const Graph& graph, ggml_tensor* x, ggml_tensor* weight) const {
    ggml_context* c = graph.context();
    return ggml_mul(c, ggml_rms_norm(c, x, params_.rms_epsilon), weight);
}

// Queries, keys (both rotated to their positions) and values of the normed input x (hidden, n).
Decoder::Projections Decoder::project(const Graph& graph, const DecoderLayer& layer, ggml_tensor* x,
                                      ggml_tensor* positions) const {
    ggml_context* c = graph.context();
    const int64_t query = params_.query_width(), kv = params_.kv_width();
    ggml_tensor *q, *k, *v;
    if (layer.qkv) {
        ggml_tensor* all = ops::matmul(c, backend_, layer.qkv, x);
        if (layer.qkv_bias) all = ggml_add(c, all, layer.qkv_bias);
        q = row_range(c, all, 0, query);
        k = row_range(c, all, query, kv);
        v = row_range(c, all, query + kv, kv);
    } else {
        q = ops::matmul(c, backend_, layer.query, x);
        k = ops::matmul(c, backend_, layer.key, x);
        v = ops::matmul(c, backend_, layer.value, x);
        if (layer.qkv_bias) {
            q = ggml_add(c, q, part(c, layer.qkv_bias, 0, query));
            k = ggml_add(c, k, part(c, layer.qkv_bias, query, kv));
            v = ggml_add(c, v, part(c, layer.qkv_bias, query + kv, kv));
        }
    }
    const auto rotated = [&](ggml_tensor* t, ggml_tensor* weight) {
        t = as_heads(c, t, params_.head_dim);
        if (weight) t = norm(graph, t, weight);
        return ggml_rope_ext(c, t, positions, weights_.rope_divisors, static_cast<int>(params_.head_dim),
                             params_.rotates_pairs ? GGML_ROPE_TYPE_NORMAL : GGML_ROPE_TYPE_NEOX, 0,
                             params_.rope_base, params_.rope_scale, 0.0f, 1.0f, 0.0f, 0.0f);
    };
    return {rotated(q, layer.query_norm), rotated(k, layer.key_norm), as_heads(c, v, params_.head_dim)};
}

// Writes keys and values to the cache rows `cells` (n).
void Decoder::store(const Graph& graph, int64_t layer, const Projections& p, ggml_tensor* cells) const {
    ggml_context* c = graph.context();
    const auto flat = [&](ggml_tensor* t) {
        return ggml_view_2d(c, t, t->ne[0] * t->ne[1], t->ne[2], t->nb[2], 0);
    };
    graph.expand(ggml_set_rows(c, cache_.keys(layer), flat(p.key), cells));
    graph.expand(ggml_set_rows(c, cache_.values(layer), flat(p.value), cells));
}

// Everything of a layer behind attention; attended (query_width, n), x (hidden, n) -> (hidden, n).
ggml_tensor* Decoder::finish_layer(const Graph& graph, const DecoderLayer& layer, ggml_tensor* x,
                                   ggml_tensor* attended) const {
    ggml_context* c = graph.context();
    ggml_tensor* h = ops::matmul(c, backend_, layer.out, attended);
    if (layer.post_attention_norm) h = norm(graph, h, layer.post_attention_norm);
    x = ggml_add(c, h, x);
    h = norm(graph, x, layer.feed_forward_norm);
    ggml_tensor *gate, *up;
    if (layer.gate_up) {
        ggml_tensor* both = ops::matmul(c, backend_, layer.gate_up, h);
        gate = row_range(c, both, 0, params_.feed_forward);
        up = row_range(c, both, params_.feed_forward, params_.feed_forward);
    } else {
        gate = ops::matmul(c, backend_, layer.gate, h);
        up = ops::matmul(c, backend_, layer.up, h);
    }
    h = ops::matmul(c, backend_, layer.down, ops::gated(c, backend_, params_.activation, gate, up));
    if (layer.post_feed_forward_norm) h = norm(graph, h, layer.post_feed_forward_norm);
    return ggml_add(c, h, x);
}

// The head's rows of the output matrix times the normed states (hidden, n); all rows where the host picks
// them.
ggml_tensor* Decoder::logits(const Graph& graph, Head head, ggml_tensor* state) const {
    ggml_context* c = graph.context();
    ggml_tensor* action = head == Head::action ? weights_.action_head : nullptr;
    ggml_tensor* rows = action ? action : weights_.output;
    ggml_tensor* all = fused_ && !in_strips(rows) ? ops::plain_product(c, rows, state)
                                                  : ops::matmul(c, backend_, rows, state);
    if (head == Head::vocabulary || action || backend_.foreign()) return all;
    return ops::picked(c, all, shape_.action_ids);
}

std::unique_ptr<Decoder::Prefill> Decoder::build_prefill(int64_t length) {
    auto prefill = std::make_unique<Prefill>(node_count());
    const Graph& graph = prefill->graph;
    ggml_context* c = graph.context();
    prefill->ids = graph_input(graph, GGML_TYPE_I32, length);
    prefill->positions = graph_input(graph, GGML_TYPE_I32, length);
    prefill->cells = graph_input(graph, GGML_TYPE_I64, length);
    prefill->image_rows = image_tokens_ ? graph_input(graph, GGML_TYPE_I64, shape_.image_tokens) : nullptr;
    if (fused_) {
        build_fused(graph, *prefill);
        if (graphs_adapt())
            prefill->graph.vary_columns(length, {prefill->ids, prefill->positions, prefill->cells});
        return prefill;
    }
    ggml_tensor* x = embed(graph, prefill->ids);  // (hidden, n)
    if (image_tokens_) x = ggml_set_rows(c, x, image_tokens_, prefill->image_rows);
    for (int64_t i = 0; i < params_.layers; ++i) {
        const DecoderLayer& layer = weights_.layers[static_cast<size_t>(i)];
        const Projections p = project(graph, layer, norm(graph, x, layer.attention_norm), prefill->positions);
        store(graph, i, p, prefill->cells);
        // Of the last layer only keys and values are ever read: no step continues from the prefix' own
        // outputs.
        if (backend_.cuts().last_layer && i + 1 == params_.layers) break;
        ggml_tensor* attended = ops::attention(c, backend_, p.query, p.key, p.value, nullptr, attention_);
        x = finish_layer(graph, layer, x, attended);
    }
    if (!backend_.cuts().last_layer) graph.expand(x);
    return prefill;
}

std::unique_ptr<Decoder::Step> Decoder::build_step(Slot slot, Head head, int64_t rows) {
    auto step = std::make_unique<Step>(node_count());
    const Graph& graph = step->graph;
    const bool windowed = params_.even_layers_slide && params_.window < shape_.cells;
    step->ids = graph_input(graph, GGML_TYPE_I32, rows);
    step->positions = graph_input(graph, GGML_TYPE_I32, rows);
    step->cells = graph_input(graph, GGML_TYPE_I64, rows);
    step->visible = visible_input(graph, rows, false);
    step->visible_in_window = windowed ? visible_input(graph, rows, false) : nullptr;

    if (fused_) {
        build_fused(graph, *step, slot, head);
        if (graphs_adapt())
            step->graph.vary_columns(
                rows, {step->ids, step->positions, step->cells, step->visible, step->visible_in_window});
        return step;
    }
    ggml_tensor* x = embed(graph, step->ids);
    for (int64_t i = 0; i < params_.layers; ++i) {
        const DecoderLayer& layer = weights_.layers[static_cast<size_t>(i)];
        const Projections p = project(graph, layer, norm(graph, x, layer.attention_norm), step->positions);
        store(graph, i, p, step->cells);
        // As in a prefill, where nothing reads what comes behind.
        if (head == Head::none && backend_.cuts().last_layer && i + 1 == params_.layers) return step;
        ggml_tensor* visible = windowed && params_.slides(i) ? step->visible_in_window : step->visible;
        ggml_tensor* attended = attend_slot(graph, step->cached, slot, i, p.query, visible);
        x = finish_layer(graph, layer, x, attended);
    }
    if (head == Head::none) {
        graph.expand(x);
        return step;
    }
    step->states = norm(graph, x, weights_.output_norm);
    ggml_set_output(step->states);
    step->logits = logits(graph, head, step->states);
    ggml_set_output(step->logits);
    graph.expand(step->logits);
    return step;
}

}  // namespace hyt
