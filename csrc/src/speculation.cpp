// Learns how often guesses are right, and plans by that and by what passes cost.
#include "hyt/speculation.h"

#include <algorithm>

#include "hyt/error.h"

namespace hyt {
namespace {

constexpr double kLearned = 1.0 / 16;   // of each action, in how often guesses are right
constexpr double kWorthwhile = 0.97;    // of the plain loop's time at most, or it is left alone
constexpr int64_t kHeadTriedEvery = 8;  // actions, where the head is not in use

}  // namespace

Speculate speculate_from(const std::string& name) {
    if (name == "off") return Speculate::off;
    if (name == "auto") return Speculate::automatic;
    if (name == "last") return Speculate::last;
    if (name == "draft") return Speculate::draft;
    throw Error("speculate", "auto, off, last or draft", "'" + name + "'");
}

Speculation::Speculation(Speculate how, int64_t tokens, int64_t most_rows, bool has_head)
    : how_(tokens > 1 && most_rows > 1 ? how : Speculate::off),
      tokens_(tokens),
      most_rows_(most_rows),
      has_head_(has_head),
      expected_(static_cast<size_t>(tokens) + 1) {
    for (Source* source : {&last_, &head_}) {
        source->tokens.resize(static_cast<size_t>(tokens));
        source->right.resize(static_cast<size_t>(tokens));
        source->rows.assign(static_cast<size_t>(tokens), {1, 1});
    }
    if (how_ == Speculate::off) return;
    head_.first = 1;
    head_.right[0] = {1, 1};  // there is nothing to be wrong
    if (how_ == Speculate::draft) source_ = &head_;
    on_ = how_ == Speculate::last || how_ == Speculate::draft;
}

void Speculation::set_costs(std::vector<double> passes, double head) {
    costs_ = std::move(passes);
    head_cost_ = head;
}

void Speculation::suppose(const std::vector<int32_t>& tokens) {
    if (static_cast<int64_t>(tokens.size()) != tokens_) {
        throw Error("guessed tokens", std::to_string(tokens_), std::to_string(tokens.size()));
    }
    std::copy(tokens.begin(), tokens.end(), last_.tokens.begin());
    last_.ready = true;
}

void Speculation::begin() {
    head_.ready = false;
    wants_head_ = false;
    if (how_ == Speculate::off) return;
    const bool tried = how_ == Speculate::automatic && !costs_.empty() && actions_ % kHeadTriedEvery == 0;
    wants_head_ = has_head_ && ((on_ && source_ == &head_) || tried);
    ++actions_;
}

int32_t* Speculation::head_guesses() {
    head_.ready = true;
    return head_.tokens.data();
}

int64_t Speculation::rows(int64_t said, bool as_guessed) const {
    if (!on_ || !source_->ready) return 1;
    if (how_ == Speculate::automatic) return source_->rows[static_cast<size_t>(said)][as_guessed];
    return std::min(most_rows_, tokens_ - said);
}

void Speculation::count(int64_t drafted, int64_t accepted) {
    ++counts_.passes;
    counts_.drafted += drafted;
    counts_.accepted += accepted;
}

const char* Speculation::now() const {
    return !on_ ? "off" : source_ == &last_ ? "last" : "draft";
}

void Speculation::end(const std::vector<int32_t>& tokens) {
    if (how_ == Speculate::off) return;
    const bool learns = how_ == Speculate::automatic && !costs_.empty();
    if (learns && last_.ready) learn(last_, tokens);
    if (learns && head_.ready) learn(head_, tokens);
    std::copy(tokens.begin(), tokens.end(), last_.tokens.begin());
    last_.ready = true;
    if (learns) choose();
}

void Speculation::learn(Source& source, const std::vector<int32_t>& tokens) {
    bool before = true;
    for (auto i = static_cast<size_t>(source.first); i < tokens.size(); ++i) {
        const bool right = source.tokens[i] == tokens[i];
        double& rate = source.right[i][before];
        rate += kLearned * ((right ? 1.0 : 0.0) - rate);
        before = right;
    }
}

// From the last position to the first: the number of rows with the least expected time until the action is
// whole.
void Speculation::plan(Source& source) {
    expected_[static_cast<size_t>(tokens_)] = {0, 0};
    for (int64_t at = tokens_ - 1; at >= 0; --at) {
        for (const size_t before : {0, 1}) {
            // `reached`: the chance that all guesses of a pass up to here are right; `wrong`: what it costs
            // on average to go on behind the first that is not.
            double reached = 1, wrong = 0, best = 0;
            size_t known = before;
            int64_t choice = 0;
            const int64_t most = at < source.first ? 1 : std::min(most_rows_, tokens_ - at);
            for (int64_t rows = 1; rows <= most; ++rows) {
                const auto last = static_cast<size_t>(at + rows - 1);
                const double right = source.right[last][known];
                const std::array<double, 2>& behind = expected_[last + 1];
                const double seconds = costs_[static_cast<size_t>(rows) - 1] + wrong +
                                       reached * (right * behind[1] + (1 - right) * behind[0]);
                if (choice == 0 || seconds < best) {
                    best = seconds;
                    choice = rows;
                }
                wrong += reached * (1 - right) * behind[0];
                reached *= right;
                known = 1;
            }
            source.rows[static_cast<size_t>(at)][before] = choice;
            expected_[static_cast<size_t>(at)][before] = best;
        }
    }
    source.seconds = expected_[0][1];
}

void Speculation::choose() {
    plan(last_);
    source_ = &last_;
    if (has_head_) {
        plan(head_);
        head_.seconds += head_cost_;
        if (head_.seconds < last_.seconds) source_ = &head_;
    }
    on_ = source_->seconds < kWorthwhile * costs_[0] * static_cast<double>(tokens_);
}

}  // namespace hyt
