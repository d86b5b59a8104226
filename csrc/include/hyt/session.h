// A session: one policy's model, its caches and the three ways it answers: act, think, follow.
//
//     observe -> act                       action tokens, or a continuous chunk, at once
//             -> think_begin, think ..., act_after_thought
//             -> follow                    another prefix from the same images
//
// act and think share one prefill. An open thought has a cache slot of its own: act, follow and later
// observations leave it as it is. Every choice is the largest logit (the lower index on a tie). After the
// first of its kind no call allocates, from observe to the tokens (graphs that run in ggml do, and a new one
// for each length of a prefix). A session may be called from several threads; calls wait for each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hyt/decoder.h"
#include "hyt/draft_head.h"
#include "hyt/gate.h"
#include "hyt/speculation.h"
#include "hyt/vision.h"

namespace hyt {

struct SessionConfig {
    std::string language;                         // path of language.gguf
    std::string vision;                           // path of vision.gguf; not read when there are no images
    int threads = 0;                              // 0: all physical cores but one, at most 8
    int64_t image_count = 1;                      // images of an observation
    int64_t max_text_tokens = 0;                  // prefix positions that are not image tokens
    int64_t max_thought_tokens = 0;               // a thought's tokens, its end not counted; 0: no thoughts
    int64_t action_tokens = 0;                    // tokens of one action chunk; 0 of a continuous policy
    std::vector<int32_t> action_token_ids;        // the output rows of actions; none likewise
    std::vector<int32_t> thought_suppressed_ids;  // never chosen in a thought
    int32_t thought_end_id = 0;
    int64_t vocab_size = 0;            // ids at and beyond it are padding; 0: the embedding's rows
    std::string kv_type = "f32";       // or "f16"
    std::string activations = "int8";  // or "float32": what quantised weights are multiplied with
    bool own_kernels = true;           // false: ggml's operators only
    Cuts cuts;                         // what makes it fast
    std::string head;  // path of head.gguf; read for a continuous policy, a gate or a draft head
    int64_t action_steps = 0, action_dimensions = 0;  // of a continuous chunk; 0: action tokens
    int64_t gate_units = 0;                           // hidden units of the gate; 0: no gate
    int64_t draft_units = 0;                          // and of the draft head
    // Large matrices stay in the files, which the system reads and drops as memory allows: little memory, a
    // slower layout. The files must not change meanwhile.
    bool mapped_weights = false;
    // How action tokens are guessed, to be checked several a pass: off, last (the last action's), draft (the
    // draft head's) or auto: where measured passes and the share of right guesses say that it pays. No token
    // and no probability depends on it; where matrices are ggml's to multiply, that holds of tokens and auto
    // is off.
    std::string speculate = "off";
    int64_t speculation_rows = kMostRows;  // of a pass at most
    // "cpu", another ggml backend ("cuda", "vulkan") for its first device, or a device's name ("CUDA0"). What
    // is not the CPU computes with ggml's operators alone.
    std::string device = "cpu";
    bool foreign = false;  // compute on the CPU as on any other device, for tests

    bool continuous() const { return action_steps > 0; }
};

// Seconds. An action's `vision` and `prefill` are what its observation took, however often it is acted on;
// behind a thought they are zero. `total` is their sum.
struct Timings {
    double vision = 0, prefill = 0, decode = 0, total = 0;
};

struct ActResult {
    std::vector<int32_t> tokens;       // (action_tokens)
    std::vector<float> probabilities;  // (action_tokens), softmax over the action rows
    std::vector<float> values;  // (action_steps * action_dimensions) of a continuous policy, else empty
    std::optional<float> think_probability;  // the gate's; of act, when there is a gate
    Timings timings;
};

struct ThinkResult {
    std::vector<int32_t> tokens;  // of the thought so far, without its end token
    bool finished = false;
    Timings timings;  // of this call
};

struct SessionInfo {
    DecoderParams decoder;
    std::optional<VisionParams> vision;
    int64_t image_tokens, max_prefix, cells;
    size_t weight_bytes, kv_bytes, workspace_bytes;
    // Passes since the start: decode steps through each output matrix, those through none, whole chunks of a
    // continuous policy.
    int64_t action_passes, vocabulary_passes, reading_passes, chunk_passes;
    Speculation::Counts speculation;
    std::string speculating;           // what the next action will do: off, last or draft
    std::vector<double> pass_seconds;  // of 1, 2, ... rows, where they decide
    bool rows_are_exact;               // a pass of several rows has the bits of as many of one
    int threads;
    std::string backend, device;  // with what it computes in words, and ggml's name alone
    Cuts cuts;
};

// One uint8 RGB image (height, width, 3), rows contiguous.
struct ImageView {
    const uint8_t* pixels;
    int64_t height, width;
};

class Session {
  public:
    explicit Session(const SessionConfig& config);

    // Encodes the images and notes the layout: token ids, and -1 - i where the tokens of image i stand.
    void observe(const std::vector<ImageView>& images, const std::vector<int32_t>& layout);

    // Action tokens, or a continuous chunk, behind `tag`. A result that is used again keeps its memory.
    void act(int32_t tag, ActResult& result);

    // Opens a thought on the current observation; a thought that was open is dropped.
    void think_begin(int32_t tag);

    // Goes on thinking until the thought ends, `max_steps` tokens were decoded or another step would pass
    // `until`. A result that is used again keeps its memory.
    void think(std::optional<std::chrono::steady_clock::time_point> until, std::optional<int64_t> max_steps,
               ThinkResult& result);

    // The action behind the finished thought and its end token; may be called again.
    void act_after_thought(ActResult& result);

    // The action behind a thought that is given: its tokens without the end, read again with the current
    // observation. Its reading counts as decoding.
    void act_with_thought(int32_t tag, const std::vector<int32_t>& thought, ActResult& result);

    // The decoder's output at the tag of the latest act, (hidden) behind the output norm: what a gate judges.
    // Empty before the first act.
    std::vector<float> act_state();

    // The next action is guessed to be these tokens (action_tokens), in place of the last action's; only its
    // time depends on them.
    void suppose(const std::vector<int32_t>& tokens);

    // The action behind another prefix over the same images.
    void follow(const std::vector<int32_t>& layout, int32_t tag, ActResult& result);

    // For tests of parity: full-vocabulary logits (tokens.size(), vocabulary) at each of `tokens`, fed one by
    // one behind the prefix. Leaves the observation and the thought as they are. Without images the
    // observation's are used.
    std::vector<float> logits(const std::vector<int32_t>& layout, const std::vector<ImageView>* images,
                              const std::vector<int32_t>& tokens);

    // For calibration: `watcher` is told of every product with a weight matrix, null ends that. With our own
    // kernels some products are part of larger operators, and INT4 products are refused; without them
    // (own_kernels false) all are told of.
    void watch(Watcher watcher);

    // As Backend::profile() and profiled(): seconds by "phase: operator" since the latest profile(true).
    void profile(bool on);
    std::map<std::string, double> profiled();

    SessionInfo info();

  private:
    using Clock = std::chrono::steady_clock;

    struct Prefix {
        std::vector<int32_t> ids;         // (length), 0 where an image token stands
        std::vector<int64_t> image_rows;  // (image tokens)
        bool filled = false;
        double seconds = 0;  // that filling took
    };

    void check_config() const;
    void check_ids(const std::vector<int32_t>& ids, const char* subject) const;
    void check_tag(int32_t tag) const;
    void check_images(const std::vector<ImageView>& images) const;
    void encode(const std::vector<ImageView>& images);
    void read_layout(const std::vector<int32_t>& layout, Prefix& prefix) const;
    void fill(Prefix& prefix, Slot slot);
    void fill_observed();
    void load_action_head();
    void start_speculation();
    // `state`, when given, receives the decoder's output (hidden) at the position of `first`.
    void decide(Slot slot, int32_t first, double vision, double prefill, ActResult& result,
                float* state = nullptr);
    void decode_actions(Slot slot, int32_t first, ActResult& result, float* state);
    void draft(const float* state, int32_t first);
    double time_draft();
    int64_t read_rows(int64_t rows, int64_t said, ActResult& result) const;
    void decode_chunk(Slot slot, int32_t first, ActResult& result, float* state);
    void think_step();
    int32_t choose_thought() const;
    static double seconds_since(Clock::time_point start);

    SessionConfig config_;
    std::mutex mutex_;
    Backend backend_;
    Workspace workspace_;
    std::unique_ptr<GgufFile> vision_file_, language_file_;  // null once all weights are copied
    std::unique_ptr<VisionEncoder> vision_;                  // null without images
    std::unique_ptr<ActionHead> action_head_;                // null with action tokens
    std::unique_ptr<Decoder> decoder_;
    std::optional<Gate> gate_;
    std::optional<DraftHead> draft_head_;
    std::optional<Speculation> speculation_;

    bool observed_ = false;
    Prefix prefix_;
    Prefix next_prefix_, followed_prefix_;  // kept for their memory
    std::vector<const uint8_t*> pixels_;    // likewise
    double vision_seconds_ = 0;
    bool acted_ = false;
    std::vector<float> act_state_;  // (hidden)

    bool thought_open_ = false;
    int32_t thought_next_ = 0;         // token to feed next
    double slowest_step_ = 0;          // seconds, of the steps lately
    std::vector<uint8_t> suppressed_;  // (vocabulary), 1: never chosen in a thought
    std::vector<int32_t> fed_;         // (rows of a pass at most)
    std::vector<float> draft_state_;   // (hidden), of an action whose state nobody asked for
    std::vector<float> action_logits_, vocabulary_logits_;
    ThinkResult thought_;
    std::vector<int32_t> held_;  // tag and thought that are read again
};

}  // namespace hyt
