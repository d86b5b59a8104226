// Loads the decoder and runs its graphs; decoder_graph.cpp builds them.
#include "hyt/decoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

#include "hyt/error.h"

namespace hyt {
namespace {

// Of time_steps(): a few rounds of passes, or fewer where they take long.
constexpr int kTimedRounds = 20, kLeastTimedRounds = 2;
constexpr double kTimedSeconds = 0.3;

}  // namespace

Decoder::Decoder(Backend& backend, Workspace& workspace, const GgufFile& file, const DecoderShape& shape,
                 ggml_tensor* image_tokens)
    : backend_(backend),
      workspace_(workspace),
      params_(read_decoder_params(file)),
      shape_(shape),
      attention_{params_.head_dim,          params_.heads, params_.kv_heads, params_.attention_scale,
                 params_.attention_softcap, params_.causal},
      // Where only the action rows are computed they are cut out.
      weights_(backend, file, params_,
               backend.cuts().action_rows ? shape.action_ids : std::vector<int32_t>{}),
      cache_(backend, params_, shape.cells, shape.kv_type, shape.slots),
      image_tokens_(image_tokens),
      positions_(static_cast<size_t>(shape.cells)),
      rows_(static_cast<size_t>(shape.cells)),
      mask_(static_cast<size_t>(shape.cells)) {
    if (shape.cells > params_.context) {
        throw Error("context", "at most " + std::to_string(params_.context) + " positions",
                    std::to_string(shape.cells));
    }
    // The reference applies no window inside a bidirectional prefix, so a window that would cut one is not
    // defined.
    if (params_.even_layers_slide && params_.window < shape.max_prefix) {
        throw Error("sliding window", "at least the longest prefix, " + std::to_string(shape.max_prefix),
                    std::to_string(params_.window));
    }
    // Nor is one that would cut a chunk, whose rows see in both directions.
    if (shape.action_head && params_.even_layers_slide && params_.window < shape.cells) {
        throw Error("sliding window",
                    "at least all positions of a continuous policy, " + std::to_string(shape.cells),
                    std::to_string(params_.window));
    }
    std::iota(positions_.begin(), positions_.end(), 0);
    if (can_fuse()) fused_.emplace(backend.strips(), params_, shape.cells);
}

void Decoder::place_graphs(int64_t action_rows) {
    if (backend_.foreign() && !weights_.action_head && !shape_.action_ids.empty())
        all_logits_.resize(static_cast<size_t>(params_.vocabulary * action_rows));
    std::unique_ptr<Prefill> largest = build_prefill(shape_.max_prefix);
    workspace_.reserve(largest->graph);
    const int slots = graphs_adapt() ? 1 : shape_.slots;
    for (int slot = 0; slot < slots; ++slot) {
        for (const Head head : {Head::action, Head::vocabulary, Head::none}) {
            const int64_t most = most_rows(static_cast<Slot>(slot), head, action_rows);
            const int64_t least = graphs_adapt() ? std::max<int64_t>(most, 1) : 1;
            for (int64_t rows = least; rows <= most; ++rows) {
                std::unique_ptr<Step>& step = steps_[slot][static_cast<int>(head)][rows];
                step = build_step(static_cast<Slot>(slot), head, rows);
                workspace_.reserve(step->graph);
            }
        }
        if (!shape_.action_head) continue;
        chunks_[slot] = build_chunk(static_cast<Slot>(slot));
        workspace_.reserve(chunks_[slot]->graph);
    }
    for (auto& slot : steps_) {
        for (auto& head : slot)
            for (auto& [rows, step] : head) workspace_.place(step->graph);
    }
    for (auto& chunk : chunks_)
        if (chunk) workspace_.place(chunk->graph);
    if (!graphs_adapt()) return;
    workspace_.place(largest->graph);
    prefills_[shape_.max_prefix] = std::move(largest);
}

int64_t Decoder::most_rows(Slot slot, Head head, int64_t action_rows) const {
    if (head == Head::vocabulary) return 1;
    if (head == Head::action) return shape_.action_ids.empty() ? 0 : action_rows;
    // A held thought is read in the live slot, the last token of a thought in its own.
    if (shape_.slots < kSlots || slot == Slot::scratch) return 0;
    return graphs_adapt() ? kReadRows : 1;
}

void Decoder::prepare_prefill(int64_t length) {
    if (length < 1 || length > shape_.max_prefix) {
        throw Error("prefix", "1 to " + std::to_string(shape_.max_prefix) + " positions",
                    std::to_string(length));
    }
    if (graphs_adapt()) return;
    std::unique_ptr<Prefill>& prefill = prefills_[length];
    if (prefill) return;
    prefill = build_prefill(length);
    workspace_.place(prefill->graph);
}

const Decoder::Prefill& Decoder::prefill_for(int64_t length) const {
    if (!graphs_adapt()) return *prefills_.at(length);
    const Prefill& prefill = *prefills_.at(shape_.max_prefix);
    prefill.graph.set_columns(length);
    return prefill;
}

const Decoder::Step& Decoder::step_for(Slot slot, Head head, int64_t count) const {
    const auto& graphs = steps_[graphs_of(slot)][static_cast<size_t>(head)];
    if (!graphs_adapt()) return *graphs.at(count);
    const Step& step = *graphs.rbegin()->second;
    step.graph.set_columns(count);
    cache_.move_views(step.cached, slot);
    return step;
}

void Decoder::prefill(Slot slot, const int32_t* ids, int64_t length, const int64_t* image_rows) {
    prepare_prefill(length);
    const Prefill& p = prefill_for(length);
    const auto count = static_cast<size_t>(length);
    ggml_backend_tensor_set(p.ids, ids, 0, count * sizeof(int32_t));
    ggml_backend_tensor_set(p.positions, positions_.data(), 0, count * sizeof(int32_t));
    std::iota(rows_.begin(), rows_.begin() + length, cache_.first_row(slot));
    ggml_backend_tensor_set(p.cells, rows_.data(), 0, count * sizeof(int64_t));
    if (p.image_rows) {
        ggml_backend_tensor_set(p.image_rows, image_rows, 0,
                                static_cast<size_t>(shape_.image_tokens) * sizeof(int64_t));
    }
    backend_.compute(p.graph.nodes(), "prefill");
    cache_.set_length(slot, length);
}

// Says that the query of a row sees cells [first, last). Nothing where no layer of the graph attends with it:
// it has no memory then.
void Decoder::write_visible(ggml_tensor* visible, int64_t row, int64_t first, int64_t last) {
    if (!visible || !visible->buffer) return;
    const auto offset = static_cast<size_t>(row) * visible->nb[1];
    if (visible->type == GGML_TYPE_I32) {
        const int32_t range[2] = {static_cast<int32_t>(first), static_cast<int32_t>(last)};
        ggml_backend_tensor_set(visible, range, offset, sizeof range);
        return;
    }
    for (int64_t i = 0; i < shape_.cells; ++i) {
        mask_[static_cast<size_t>(i)] =
            i >= first && i < last ? 0.0f : -std::numeric_limits<float>::infinity();
    }
    ggml_backend_tensor_set(visible, mask_.data(), offset, mask_.size() * sizeof(float));
}

// Throws Error unless `token` can be fed and a sequence may have `last` positions.
void Decoder::check_fed(int32_t token, int64_t last) const {
    if (last > cache_.cells()) {
        throw Error("sequence", "at most " + std::to_string(cache_.cells()) + " positions",
                    std::to_string(last));
    }
    if (token < 0 || token >= params_.vocabulary) {
        throw Error("token id", "0 to " + std::to_string(params_.vocabulary - 1), std::to_string(token));
    }
}

void Decoder::step(Slot slot, Head head, int32_t token, float* logits, float* state) {
    steps(slot, head, &token, 1, logits, state);
}

void Decoder::steps(Slot slot, Head head, const int32_t* tokens, int64_t count, float* logits, float* state) {
    const int64_t first = cache_.length(slot), last = first + count;
    for (int64_t i = 0; i < count; ++i) check_fed(tokens[i], last);
    const Step& s = step_for(slot, head, count);
    const auto rows = static_cast<size_t>(count);
    ggml_backend_tensor_set(s.ids, tokens, 0, rows * sizeof(int32_t));
    ggml_backend_tensor_set(s.positions, positions_.data() + first, 0, rows * sizeof(int32_t));
    std::iota(rows_.begin(), rows_.begin() + count, cache_.first_row(slot) + first);
    ggml_backend_tensor_set(s.cells, rows_.data(), 0, rows * sizeof(int64_t));
    for (int64_t i = 0; i < count; ++i) {
        const int64_t seen = first + i + 1;
        write_visible(s.visible, i, 0, seen);
        write_visible(s.visible_in_window, i, std::max<int64_t>(0, seen - params_.window), seen);
    }
    const char* phase = slot == Slot::live && head == Head::none ? "held thought"
                        : head != Head::action                   ? "thought token"
                        : count > 1                              ? "action tokens"
                                                                 : "action token";
    backend_.compute(s.graph.nodes(), phase);
    cache_.set_length(slot, last);
    ++passes_[static_cast<size_t>(head)];

    if (head == Head::none) return;
    if (state) ggml_backend_tensor_get(s.states, state, 0, s.states->nb[1]);  // the first row's
    read_logits(s, head, logits);
    const int64_t values = logit_count(head) * count;
    if (params_.final_softcap > 0) {
        const float cap = params_.final_softcap;
        for (int64_t i = 0; i < values; ++i) logits[i] = cap * std::tanh(logits[i] / cap);
    }
}

void Decoder::read_logits(const Step& step, Head head, float* logits) {
    if (head == Head::vocabulary || all_logits_.empty()) {
        ggml_backend_tensor_get(step.logits, logits, 0, ggml_nbytes(step.logits));
        return;
    }
    ggml_backend_tensor_get(step.logits, all_logits_.data(), 0, ggml_nbytes(step.logits));
    for (int64_t row = 0; row < step.logits->ne[1]; ++row) {
        const float* from = all_logits_.data() + row * params_.vocabulary;
        for (const int32_t id : shape_.action_ids) *logits++ = from[id];
    }
}

void Decoder::read(Slot slot, const int32_t* tokens, int64_t count) {
    const int64_t most = most_rows(slot, Head::none, 0);
    while (count > 0) {
        const int64_t rows = std::min(count, most);
        steps(slot, Head::none, tokens, rows, nullptr);
        tokens += rows;
        count -= rows;
    }
}

std::vector<double> Decoder::time_steps(Slot slot, int64_t most) {
    using Clock = std::chrono::steady_clock;
    const std::vector<int32_t> tokens(static_cast<size_t>(most), 0);
    std::vector<float> logits(static_cast<size_t>(logit_count(Head::action) * most));
    const int64_t passes = passes_[static_cast<size_t>(Head::action)];
    std::vector<double> shortest(static_cast<size_t>(most), std::numeric_limits<double>::max());
    // In turn, so that a machine whose speed changes is as fast for all.
    double all = 0;
    for (int i = 0; i < kTimedRounds && (i < kLeastTimedRounds || all < kTimedSeconds); ++i) {
        for (int64_t rows = 1; rows <= most; ++rows) {
            cache_.set_length(slot, shape_.max_prefix);
            const auto start = Clock::now();
            steps(slot, Head::action, tokens.data(), rows, logits.data());
            const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
            double& least = shortest[static_cast<size_t>(rows) - 1];
            least = std::min(least, seconds);
            all += seconds;
        }
    }
    // More rows are never less work: where they were seen to take less, the machine was slower before.
    for (size_t rows = shortest.size() - 1; rows > 0; --rows)
        shortest[rows - 1] = std::min(shortest[rows - 1], shortest[rows]);
    cache_.set_length(slot, 0);
    passes_[static_cast<size_t>(Head::action)] = passes;
    return shortest;
}

int64_t Decoder::logit_count(Head head) const {
    if (head == Head::vocabulary) return params_.vocabulary;
    return static_cast<int64_t>(shape_.action_ids.size());
}

}  // namespace hyt
