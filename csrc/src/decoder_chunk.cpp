// A whole chunk of a continuous policy in one pass: one token and the action slots behind it (parallel
// decoding, OpenVLA-OFT, Kim et al. 2025).
//
// The token is the last that the policy reads: the modality tag, or the end of its thought. It and the slots
// see all cells before them and each other, so every row sees the same range.
#include <numeric>

#include "hyt/decoder.h"
#include "hyt/error.h"
#include "hyt/ops.h"

namespace hyt {

std::unique_ptr<Decoder::Chunk> Decoder::build_chunk(Slot slot) {
    const ActionHead& head = *shape_.action_head;
    const int64_t slots = head.params().slots(), rows = slots + 1;
    auto chunk = std::make_unique<Chunk>(node_count() + head.node_count());
    const Graph& graph = chunk->graph;
    ggml_context* c = graph.context();
    chunk->id = graph_input(graph, GGML_TYPE_I32, 1);
    chunk->positions = graph_input(graph, GGML_TYPE_I32, rows);
    chunk->cells = graph_input(graph, GGML_TYPE_I64, rows);
    chunk->visible = visible_input(graph, rows, true);

    ggml_tensor* fed = ggml_scale(c, head.slots(), params_.embedding_scale);
    ggml_tensor* x = ggml_concat(c, embed(graph, chunk->id), fed, 1);  // (hidden, rows)
    if (fused_) {
        const auto attend = [&](int64_t i, const Heads& heads) {
            return attend_slot(graph, chunk->cached, slot, i, heads(0, params_.query_width()),
                               chunk->visible);
        };
        x = chunk->states = fused_layers(graph, x, {chunk->positions, chunk->cells, false}, attend);
    } else {
        for (int64_t i = 0; i < params_.layers; ++i) {
            const DecoderLayer& layer = weights_.layers[static_cast<size_t>(i)];
            const Projections p =
                project(graph, layer, norm(graph, x, layer.attention_norm), chunk->positions);
            store(graph, i, p, chunk->cells);
            ggml_tensor* attended = attend_slot(graph, chunk->cached, slot, i, p.query, chunk->visible);
            x = finish_layer(graph, layer, x, attended);
        }
        x = chunk->states = norm(graph, x, weights_.output_norm);
    }
    ggml_set_output(chunk->states);
    x = ggml_view_2d(c, x, params_.hidden, slots, x->nb[1], x->nb[1]);  // without the token's row
    chunk->values = head.build(graph, x);
    ggml_set_output(chunk->values);
    graph.expand(chunk->values);
    return chunk;
}

void Decoder::chunk(Slot slot, int32_t token, float* values, float* state) {
    const Chunk& chunk = *chunks_[graphs_of(slot)];
    if (graphs_adapt()) cache_.move_views(chunk.cached, slot);
    const int64_t first = cache_.length(slot), rows = chunk.cells->ne[0], last = first + rows;
    check_fed(token, last);
    ggml_backend_tensor_set(chunk.id, &token, 0, sizeof token);
    ggml_backend_tensor_set(chunk.positions, positions_.data() + first, 0,
                            static_cast<size_t>(rows) * sizeof(int32_t));
    std::iota(rows_.begin(), rows_.begin() + rows, cache_.first_row(slot) + first);
    ggml_backend_tensor_set(chunk.cells, rows_.data(), 0, static_cast<size_t>(rows) * sizeof(int64_t));
    for (int64_t row = 0; row < chunk.visible->ne[1]; ++row) write_visible(chunk.visible, row, 0, last);
    backend_.compute(chunk.graph.nodes(), "action chunk");
    ++chunk_passes_;
    ggml_backend_tensor_get(chunk.values, values, 0, ggml_nbytes(chunk.values));
    if (state) ggml_backend_tensor_get(chunk.states, state, 0, chunk.states->nb[1]);  // the token's row
}

}  // namespace hyt
