// Keys and values of every layer, in slots: each slot is one sequence that can be forked and rolled back.
//
// Cell i of a slot holds position i of its sequence, so a slot's content is its first length(slot) cells.
// Rolling back shortens; forking copies the cells of one slot to another.
#pragma once

#include <ggml-cpp.h>

#include <cstdint>
#include <vector>

#include "hyt/backend.h"
#include "hyt/hparams.h"

namespace hyt {

// The thought's stands last: a policy without thoughts has none.
enum class Slot { live = 0, scratch = 1, thought = 2 };
constexpr int kSlots = 3;

class KvCache {
  public:
    // `cells` positions in each of the first `slots` slots. `type` is GGML_TYPE_F32 or GGML_TYPE_F16.
    KvCache(const Backend& backend, const DecoderParams& params, int64_t cells, ggml_type type, int slots);

    int64_t cells() const { return cells_; }
    int slots() const { return count_; }
    size_t bytes() const { return ggml_backend_buffer_get_size(buffer_.get()); }

    int64_t length(Slot slot) const { return lengths_[static_cast<size_t>(slot)]; }
    // Positions beyond `length` are forgotten; a longer length says that cells up to it were written.
    void set_length(Slot slot, int64_t length);
    // `to` becomes a copy of `from`.
    void fork(Slot from, Slot to);

    // (kv_width, cells of all slots): rows to write; a slot's cell i is row first_row(slot) + i.
    ggml_tensor* keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
    ggml_tensor* values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }
    int64_t first_row(Slot slot) const { return static_cast<int64_t>(slot) * cells_; }

    // Lets a graph's views of one slot's cells, (head_dim, kv_heads, cells), show another's.
    void move_views(const std::vector<ggml_tensor*>& views, Slot slot) const;

  private:
    ggml_context_ptr context_;
    ggml_backend_buffer_ptr buffer_;
    int64_t cells_;
    int count_;  // of slots
    std::vector<ggml_tensor*> keys_;
    std::vector<ggml_tensor*> values_;
    std::vector<ggml_tensor*> slots_;  // (kv_width, cells) views: layer, then keys and values, then slot
    int64_t lengths_[kSlots] = {};
};

}  // namespace hyt
