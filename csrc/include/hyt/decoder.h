// The transformer decoder: graphs for a prefill, for tokens that are fed one by one or a few a pass and, for
// a continuous policy, for a whole chunk; over one KV cache. Where their operators are all ours one graph of
// a kind serves every cache slot and any number of tokens; ggml's need one of each.
//
// A prefill sees its whole prefix in both directions (prefix-LM) or only what stands before (causal), as the
// model was trained; each step sees the prefix and the steps before it. A chunk's rows see all of that and
// each other in both directions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "hyt/action_head.h"
#include "hyt/decoder_weights.h"
#include "hyt/fused.h"
#include "hyt/graph.h"
#include "hyt/hparams.h"
#include "hyt/kv_cache.h"
#include "hyt/ops.h"

namespace hyt {

// What a step computes behind the last layer: logits, or nothing where only keys and values are wanted.
enum class Head { action = 0, vocabulary = 1, none = 2 };
constexpr int kHeads = 3;

// Tokens in the largest pass of Decoder::read(): a power of two.
constexpr int64_t kReadRows = 8;

struct DecoderShape {
    int64_t image_tokens;  // in every prefix, 0 for none
    int64_t max_prefix;    // positions, image tokens included
    int64_t cells;         // positions of a slot: prefix and steps
    int slots;             // kSlots, or one less of a policy without thoughts
    ggml_type kv_type;
    std::vector<int32_t> action_ids;  // empty for a continuous policy: Head::action is not there then
    const ActionHead* action_head;    // null for action tokens; outlives the decoder
};

class Decoder {
  public:
    // `image_tokens` (hidden, shape.image_tokens) is read by every prefill; null when there are none.
    Decoder(Backend& backend, Workspace& workspace, const GgufFile& file, const DecoderShape& shape,
            ggml_tensor* image_tokens);

    const DecoderParams& params() const { return params_; }
    KvCache& cache() { return cache_; }
    size_t weight_bytes() const { return weights_.bytes(); }

    // Reserves the workspace for the largest prefill and places the step graphs, those of Head::action for 1
    // to `action_rows` tokens; once, after other graphs reserved.
    void place_graphs(int64_t action_rows);

    // Makes sure that there is a graph for prefixes of this length; allocates where one has to be built.
    void prepare_prefill(int64_t length);

    // Fills the slot's first `length` cells. ids (length): token ids, any id where an image token stands;
    // image_rows (shape.image_tokens): the position of each image token.
    void prefill(Slot slot, const int32_t* ids, int64_t length, const int64_t* image_rows);

    // Feeds one token at the slot's end and leaves its logits (soft-capped) in `logits`:
    // (action ids) for Head::action, (vocabulary) for Head::vocabulary. `state`, when given, receives what
    // the head read: (hidden), behind the output norm.
    void step(Slot slot, Head head, int32_t token, float* logits, float* state = nullptr);

    // Feeds `count` tokens in one pass, as many as there is a graph for, each seeing those before it: logits
    // (rows of the head, count), `state` of the first token. Where rows_are_exact(), the bits of as many
    // calls of step().
    void steps(Slot slot, Head head, const int32_t* tokens, int64_t count, float* logits,
               float* state = nullptr);
    // Feeds tokens whose logits nobody reads, in as few passes as leave the bits of one by one.
    void read(Slot slot, const int32_t* tokens, int64_t count);
    // Not with ggml's products, which may sum one column and several in other orders.
    bool rows_are_exact() const { return graphs_adapt(); }

    // Seconds of passes of 1 to `most` tokens for Head::action behind the longest prefix: the shortest of a
    // few each, none longer than one of more tokens. The slot's content is lost.
    std::vector<double> time_steps(Slot slot, int64_t most);

    // Feeds one token and the action slots behind it, and leaves what the action head makes of them in
    // `values` (steps * dimensions); `state` as in step(), of the token. The slot's length stays as it was.
    void chunk(Slot slot, int32_t token, float* values, float* state = nullptr);

    int64_t logit_count(Head head) const;
    int64_t passes(Head head) const { return passes_[static_cast<size_t>(head)]; }
    int64_t chunk_passes() const { return chunk_passes_; }

  private:
    struct Projections {
        ggml_tensor *query, *key, *value;  // (head_dim, heads or kv_heads, n)
    };
    struct Prefill {
        explicit Prefill(size_t nodes) : graph(nodes) {}
        Graph graph;
        ggml_tensor *ids, *positions;     // (n) int32
        ggml_tensor *cells, *image_rows;  // (n) int64, (image tokens) int64
    };
    struct Step {
        explicit Step(size_t nodes) : graph(nodes) {}
        Graph graph;
        ggml_tensor *ids, *positions, *cells;      // (n): int32, int32, int64
        ggml_tensor *visible, *visible_in_window;  // see ops::attention
        ggml_tensor *states, *logits;              // (hidden, n), (head's rows, n)
        std::vector<ggml_tensor*> cached;          // views of the slot
    };
    struct Chunk {
        explicit Chunk(size_t nodes) : graph(nodes) {}
        Graph graph;
        ggml_tensor *id, *positions, *cells;  // (1) int32, (1 + slots) int32, (1 + slots) int64
        ggml_tensor* visible;                 // see ops::attention
        ggml_tensor *states, *values;         // (hidden, 1 + slots), (dimensions, steps)
        std::vector<ggml_tensor*> cached;     // views of the slot
    };

    std::unique_ptr<Prefill> build_prefill(int64_t length);
    std::unique_ptr<Step> build_step(Slot slot, Head head, int64_t rows);
    std::unique_ptr<Chunk> build_chunk(Slot slot);
    // Whether the decoder's part of every graph is of our operators.
    bool graphs_adapt() const { return fused_.has_value() && backend_.cuts().own_attention; }
    // Of tokens fed in one pass at most; 0: no graphs of this head in this slot.
    int64_t most_rows(Slot slot, Head head, int64_t action_rows) const;
    // Where the graphs for a slot are kept.
    size_t graphs_of(Slot slot) const { return graphs_adapt() ? 0 : static_cast<size_t>(slot); }
    // The graph for as many columns, over this slot.
    const Prefill& prefill_for(int64_t length) const;
    const Step& step_for(Slot slot, Head head, int64_t count) const;
    void check_fed(int32_t token, int64_t last) const;
    size_t node_count() const;
    ggml_tensor* visible_input(const Graph& graph, int64_t queries, bool alike) const;
    ggml_tensor* cached(const Graph& graph, ggml_tensor* all, Slot slot) const;
    ggml_tensor* embed(const Graph& graph, ggml_tensor* ids) const;
    ggml_tensor* norm(const Graph& graph, ggml_tensor* x, ggml_tensor* weight) const;
    Projections project(const Graph& graph, const DecoderLayer& layer, ggml_tensor* x,
                        ggml_tensor* positions) const;
    ggml_tensor* finish_layer(const Graph& graph, const DecoderLayer& layer, ggml_tensor* x,
                              ggml_tensor* attended) const;
    ggml_tensor* logits(const Graph& graph, Head head, ggml_tensor* state) const;
    void store(const Graph& graph, int64_t layer, const Projections& p, ggml_tensor* cells) const;
    ggml_tensor* attend_slot(const Graph& graph, std::vector<ggml_tensor*>& views, Slot slot, int64_t layer,
                             ggml_tensor* query, ggml_tensor* visible) const;

    // The same graphs from fused operators (decoder_fused.cpp), where all matrices of the layers lie in
    // strips.
    struct FusedInputs {
        ggml_tensor *positions, *cells;  // (n)
        bool cache_only;                 // of the last layer only keys and values are wanted
    };
    // Makes (head_dim, rows / head_dim, n) of rows [first, first + rows) of queries, keys and values.
    using Heads = std::function<ggml_tensor*(int64_t first, int64_t rows)>;
    using Attend = std::function<ggml_tensor*(int64_t layer, const Heads& heads)>;
    bool can_fuse() const;
    ggml_tensor* fused_layers(const Graph& graph, ggml_tensor* x, const FusedInputs& in,
                              const Attend& attend) const;
    void build_fused(const Graph& graph, Prefill& prefill) const;
    void build_fused(const Graph& graph, Step& step, Slot slot, Head head) const;

    void write_visible(ggml_tensor* visible, int64_t row, int64_t first, int64_t last);
    void read_logits(const Step& step, Head head, float* logits);

    Backend& backend_;
    Workspace& workspace_;
    DecoderParams params_;
    DecoderShape shape_;
    ops::AttentionShape attention_;
    DecoderWeights weights_;
    KvCache cache_;
    std::optional<fused::Context> fused_;  // empty: graphs are composed from ggml's operators and ops.h
    ggml_tensor* image_tokens_;
    std::map<int64_t, std::unique_ptr<Prefill>> prefills_;            // by length (at most)
    std::map<int64_t, std::unique_ptr<Step>> steps_[kSlots][kHeads];  // by tokens fed (at most)
    std::unique_ptr<Chunk> chunks_[kSlots];
    std::vector<int32_t> positions_;  // 0, 1, 2, ...
    std::vector<int64_t> rows_;       // scratch for the cells that are written
    std::vector<float> mask_;         // scratch for one query's mask
    std::vector<float>
        all_logits_;  // scratch where the host picks an action's rows: the device has no such operator
    int64_t passes_[kHeads] = {};
    int64_t chunk_passes_ = 0;
};

}  // namespace hyt
