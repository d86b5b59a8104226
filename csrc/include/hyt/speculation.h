// Speculation: which tokens of an action are guessed before they are decoded, and how many of them one pass
// checks.
//
// Tokens never depend on it: a pass of several rows says of every guess what the plain loop would have said,
// and what lies behind the first wrong one is thrown away. Only time does. Guesses come from the last action
// of the session (each action is one for the next), or from the policy's draft head.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace hyt {

// A pass of more rows than these costs about as much more as they are more.
constexpr int64_t kMostRows = 8;

enum class Speculate { off, automatic, last, draft };
// "auto", "off", "last" or "draft"; throws Error for another.
Speculate speculate_from(const std::string& name);

class Speculation {
  public:
    // Of actions of `tokens` tokens, with passes of up to `most_rows` rows.
    Speculation(Speculate how, int64_t tokens, int64_t most_rows, bool has_head);

    // Seconds that passes of 1, 2, ... rows take, and the draft head: what `automatic` decides by.
    void set_costs(std::vector<double> passes, double head);
    const std::vector<double>& costs() const { return costs_; }

    // The next action is guessed to be these tokens, whatever the last one was.
    void suppose(const std::vector<int32_t>& tokens);

    // An action begins. Then wants_head() says whether to fill head_guesses() behind its first token.
    void begin();
    bool wants_head() const { return wants_head_; }
    int32_t* head_guesses();  // (tokens), of which the first is not used

    // Rows of the next pass, at least 1: the token last said (or the tag) and the guesses that follow it;
    // `said` tokens are known, the last of them as it was guessed or not.
    int64_t rows(int64_t said, bool as_guessed) const;
    // (tokens): of the source in use.
    const int32_t* guesses() const { return source_->tokens.data(); }

    // The action was these tokens.
    void end(const std::vector<int32_t>& tokens);

    // Passes that checked guesses, the guesses and those of them that were right, since the start.
    struct Counts {
        int64_t passes = 0, drafted = 0, accepted = 0;
    };
    void count(int64_t drafted, int64_t accepted);
    const Counts& counts() const { return counts_; }
    // What the next action would do: "off", "last" or "draft".
    const char* now() const;

  private:
    struct Source {
        int64_t first = 0;  // guess that there is
        bool ready = false;
        std::vector<int32_t> tokens;
        // By position and whether the guess before it was right: how often this one is, lately; and what
        // follows from that.
        std::vector<std::array<double, 2>> right;
        std::vector<std::array<int64_t, 2>> rows;
        double seconds = 0;  // expected, of an action
    };
    void learn(Source& source, const std::vector<int32_t>& tokens);
    void plan(Source& source);
    void choose();

    Speculate how_;
    int64_t tokens_, most_rows_;
    bool has_head_;
    Source last_, head_;
    Source* source_ = &last_;
    bool on_ = false, wants_head_ = false;
    int64_t actions_ = 0;
    std::vector<double> costs_;
    double head_cost_ = 0;
    std::vector<std::array<double, 2>> expected_;  // scratch of plan(): seconds from a position on
    Counts counts_;
};

}  // namespace hyt
