// Decodes an action: the plain greedy loop, and the same with guesses checked several a pass.
#include <algorithm>
#include <cmath>
#include <limits>

#include "hyt/error.h"
#include "hyt/session.h"

namespace hyt {
namespace {

// Where passes of several rows are not bit by bit passes of one, a choice whose two largest logits are nearer
// than this is no choice: the action is decoded again by the plain loop. Chosen by judgement, far above
// rounding of sums: ggml's CPU products gave the same probabilities bit by bit in 262 such passes of the
// shipped policy; no GPU's have been seen.
constexpr float kLeastMargin = 0.25f;

size_t largest(const float* values, size_t count) {
    return static_cast<size_t>(std::max_element(values, values + count) - values);
}

// Softmax's value at `index`, which is the largest.
float probability(const float* logits, size_t count, size_t index) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(logits[i] - logits[index]));
    return static_cast<float>(1 / sum);
}

// Whether another logit than the largest comes nearer to it than kLeastMargin.
bool close(const float* logits, size_t count, size_t index) {
    for (size_t i = 0; i < count; ++i) {
        if (i != index && !(logits[index] - logits[i] >= kLeastMargin)) return true;
    }
    return false;
}

}  // namespace

// Builds the graphs and, where speculation is to decide for itself, takes the time of their passes.
void Session::start_speculation() {
    Speculate how = speculate_from(config_.speculate);
    // What decides by time must not change a bit.
    if (how == Speculate::automatic && !decoder_->rows_are_exact()) how = Speculate::off;
    const int64_t rows =
        how == Speculate::off ? 1 : std::clamp(config_.action_tokens, int64_t{1}, config_.speculation_rows);
    if (how != Speculate::off && config_.draft_units > 0) {
        draft_head_.emplace(GgufFile(config_.head), decoder_->params().hidden, config_.draft_units,
                            static_cast<int64_t>(config_.action_token_ids.size()), config_.action_tokens);
        draft_state_.resize(static_cast<size_t>(decoder_->params().hidden));
    }
    if (how == Speculate::draft && !draft_head_)
        throw Error("speculate", "auto, off or last for a policy without a draft head", "draft");
    speculation_.emplace(how, config_.action_tokens, rows, draft_head_.has_value());
    fed_.resize(static_cast<size_t>(rows));
    action_logits_.resize(config_.action_token_ids.size() * static_cast<size_t>(rows));
    decoder_->place_graphs(rows);
    if (how != Speculate::automatic || rows == 1) return;
    speculation_->set_costs(decoder_->time_steps(Slot::scratch, rows), draft_head_ ? time_draft() : 0);
}

double Session::time_draft() {
    std::vector<int32_t> guesses(static_cast<size_t>(config_.action_tokens));
    double shortest = std::numeric_limits<double>::max();
    for (int i = 0; i < 5; ++i) {
        const auto start = Clock::now();
        draft_head_->guess(draft_state_.data(), 0, guesses.data());
        shortest = std::min(shortest, seconds_since(start));
    }
    return shortest;
}

// Guesses what follows the first token of an action.
void Session::draft(const float* state, int32_t first) {
    const std::vector<int32_t>& ids = config_.action_token_ids;
    int32_t* guesses = speculation_->head_guesses();
    const auto index = std::find(ids.begin(), ids.end(), first) - ids.begin();
    draft_head_->guess(state, static_cast<size_t>(index), guesses);
    for (size_t i = 1; i < static_cast<size_t>(config_.action_tokens); ++i)
        guesses[i] = ids[static_cast<size_t>(guesses[i])];
}

void Session::decide(Slot slot, int32_t first, double vision, double prefill, ActResult& result,
                     float* state) {
    const auto start = Clock::now();
    result.think_probability.reset();
    if (action_head_) {
        decode_chunk(slot, first, result, state);
    } else {
        decode_actions(slot, first, result, state);
    }
    const double decode = seconds_since(start);
    result.timings = {vision, prefill, decode, vision + prefill + decode};
}

void Session::decode_chunk(Slot slot, int32_t first, ActResult& result, float* state) {
    result.values.resize(static_cast<size_t>(action_head_->params().slots()));
    decoder_->chunk(slot, first, result.values.data(), state);
    for (const float value : result.values) {
        if (!std::isfinite(value)) throw Error("action", "finite values", "NaN or infinity");
    }
}

void Session::decode_actions(Slot slot, int32_t first, ActResult& result, float* state) {
    result.tokens.resize(static_cast<size_t>(config_.action_tokens));
    result.probabilities.resize(static_cast<size_t>(config_.action_tokens));
    const int64_t length = decoder_->cache().length(slot);
    speculation_->begin();
    if (!state && speculation_->wants_head()) state = draft_state_.data();
    int32_t token = first;
    bool as_guessed = true, plain = false;
    for (int64_t said = 0; said < config_.action_tokens;) {
        const int64_t rows = plain ? 1 : speculation_->rows(said, as_guessed);
        const int32_t* guesses = speculation_->guesses() + said;
        fed_[0] = token;
        std::copy(guesses, guesses + rows - 1, fed_.begin() + 1);
        decoder_->steps(slot, Head::action, fed_.data(), rows, action_logits_.data(),
                        said == 0 ? state : nullptr);
        const int64_t right = read_rows(rows, said, result);
        if (right < 0) {
            // Too close to call: once more, from the start.
            plain = true;
            token = first;
            said = 0;
            decoder_->cache().set_length(slot, length);
            continue;
        }
        if (rows > 1) speculation_->count(rows - 1, right);
        if (said == 0 && speculation_->wants_head()) draft(state, result.tokens[0]);
        said += right + 1;
        token = result.tokens[static_cast<size_t>(said) - 1];
        as_guessed = token == speculation_->guesses()[said - 1];
        decoder_->cache().set_length(slot, length + said);
    }
    // Roll back: the slot is as it was, so the same call gives the same tokens.
    decoder_->cache().set_length(slot, length);
    speculation_->end(result.tokens);
}

// Reads the tokens from `said` on out of the rows of a pass, up to the first that was not fed as the next
// row: how many were, or -1 where a choice is too close to take from several rows.
int64_t Session::read_rows(int64_t rows, int64_t said, ActResult& result) const {
    const size_t count = config_.action_token_ids.size();
    for (int64_t row = 0;; ++row) {
        const float* logits = action_logits_.data() + static_cast<size_t>(row) * count;
        const size_t choice = largest(logits, count), at = static_cast<size_t>(said + row);
        if (rows > 1 && !decoder_->rows_are_exact() && close(logits, count, choice)) return -1;
        result.tokens[at] = config_.action_token_ids[choice];
        result.probabilities[at] = probability(logits, count, choice);
        if (row + 1 == rows || result.tokens[at] != fed_[static_cast<size_t>(row) + 1]) return row;
    }
}

void Session::suppose(const std::vector<int32_t>& tokens) {
    const std::lock_guard lock(mutex_);
    check_ids(tokens, "guessed token");
    speculation_->suppose(tokens);
}

}  // namespace hyt
