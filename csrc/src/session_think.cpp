// Thoughts: written a token at a time and stopped at any, and read again before an action.
#include <algorithm>

#include "hyt/error.h"
#include "hyt/session.h"

namespace hyt {
namespace {

// Of the slowest step's time, at each call of think.
constexpr double kSlowestStepKept = 0.9;

}  // namespace

void Session::think_begin(int32_t tag) {
    const std::lock_guard lock(mutex_);
    check_tag(tag);
    if (config_.max_thought_tokens == 0) throw Error("session", "a policy with thoughts", "one without");
    fill_observed();
    decoder_->cache().fork(Slot::live, Slot::thought);
    thought_open_ = true;
    thought_next_ = tag;
    thought_.tokens.clear();
    thought_.finished = false;
}

int32_t Session::choose_thought() const {
    int32_t best = config_.thought_end_id;
    for (size_t id = 0; id < vocabulary_logits_.size(); ++id) {
        if (suppressed_[id]) continue;
        const float logit = vocabulary_logits_[id], top = vocabulary_logits_[static_cast<size_t>(best)];
        if (logit > top || (logit == top && static_cast<int32_t>(id) < best)) best = static_cast<int32_t>(id);
    }
    return best;
}

void Session::think_step() {
    if (static_cast<int64_t>(thought_.tokens.size()) == config_.max_thought_tokens) {
        // The end is forced whatever the model says next.
        decoder_->read(Slot::thought, &thought_next_, 1);
        thought_next_ = config_.thought_end_id;
    } else {
        decoder_->step(Slot::thought, Head::vocabulary, thought_next_, vocabulary_logits_.data());
        thought_next_ = choose_thought();
    }
    thought_.finished = thought_next_ == config_.thought_end_id;
    if (!thought_.finished) thought_.tokens.push_back(thought_next_);
}

void Session::think(std::optional<Clock::time_point> until, std::optional<int64_t> max_steps,
                    ThinkResult& result) {
    const std::lock_guard lock(mutex_);
    if (!thought_open_) throw Error("session", "think_begin first", "no open thought");
    const auto start = Clock::now();
    // Forgotten bit by bit, call by call: a step that was held up once must not keep a thought from going on.
    slowest_step_ *= kSlowestStepKept;
    for (int64_t steps = 0; !thought_.finished && (!max_steps || steps < *max_steps); ++steps) {
        const auto step_start = Clock::now();
        // A step that would pass the deadline is not begun; the slowest lately says how long one takes.
        const auto expected =
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(slowest_step_));
        if (until && step_start + expected >= *until) break;
        think_step();
        slowest_step_ = std::max(slowest_step_, seconds_since(step_start));
    }
    const double decode = seconds_since(start);
    thought_.timings = {0, 0, decode, decode};
    result = thought_;
}

void Session::act_after_thought(ActResult& result) {
    const std::lock_guard lock(mutex_);
    if (!thought_open_ || !thought_.finished) {
        throw Error("session", "a finished thought", thought_open_ ? "one that goes on" : "no open thought");
    }
    decide(Slot::thought, config_.thought_end_id, 0, 0, result);
}

void Session::act_with_thought(int32_t tag, const std::vector<int32_t>& thought, ActResult& result) {
    const std::lock_guard lock(mutex_);
    check_tag(tag);
    check_ids(thought, "thought token");
    check_range("thought tokens", static_cast<int64_t>(thought.size()), 0, config_.max_thought_tokens);
    fill_observed();
    const auto start = Clock::now();
    KvCache& cache = decoder_->cache();
    const int64_t length = cache.length(Slot::live);
    held_.assign(1, tag);
    held_.insert(held_.end(), thought.begin(), thought.end());
    decoder_->read(Slot::live, held_.data(), static_cast<int64_t>(held_.size()));
    const double reading = seconds_since(start);
    decide(Slot::live, config_.thought_end_id, vision_seconds_, prefix_.seconds, result);
    result.timings.decode += reading;
    result.timings.total += reading;
    cache.set_length(Slot::live, length);
}

}  // namespace hyt
