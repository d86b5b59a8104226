// The speed-ups that are a choice when a session is made: each can be left out alone, to be measured and
// tested.
#pragma once

#include <string>
#include <vector>

namespace hyt {

struct Cuts {
    bool strips = true;           // INT4 matrices in strips, multiplied by kernels of our own (strips.h)
    bool fused = true;            // fused operators where all matrices of the layers lie in strips (fused.h)
    bool own_attention = true;    // attention in one operator
    bool own_activations = true;  // GELU and gates, where no fused operator holds them
    bool own_norms = true;        // norms, sums, patches and copies of vision (columns.h)
    bool piecewise = true;        // the wide layer of a feed-forward in pieces, where there are many columns
    bool own_threads = true;      // graphs of our operators alone run on threads of our own (team.h)
    bool action_rows = true;      // an action's tokens need only their own rows of the output matrix
    bool last_layer = true;       // of a prefill's last layer only keys and values
    bool read_ahead = true;       // a product of a few columns asks memory for its weights ahead of time
    bool one_pass = true;         // a few columns read the matrix once, from its first block to its last
};

struct NamedCut {
    const char* name;
    bool Cuts::* on;
};
const std::vector<NamedCut>& named_cuts();

// All but the named ones. Throws Error for a name that none has.
Cuts cuts_without(const std::vector<std::string>& names);

// `cuts` without those that put operators of ours in place of ggml's.
Cuts plain_path(Cuts cuts);

}  // namespace hyt
