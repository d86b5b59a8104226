// Names the cuts.
#include "hyt/cuts.h"

#include <algorithm>

#include "hyt/error.h"

namespace hyt {

const std::vector<NamedCut>& named_cuts() {
    static const std::vector<NamedCut> cuts = {
        {"strips", &Cuts::strips},
        {"fused", &Cuts::fused},
        {"own_attention", &Cuts::own_attention},
        {"own_activations", &Cuts::own_activations},
        {"own_norms", &Cuts::own_norms},
        {"piecewise", &Cuts::piecewise},
        {"own_threads", &Cuts::own_threads},
        {"action_rows", &Cuts::action_rows},
        {"last_layer", &Cuts::last_layer},
        {"read_ahead", &Cuts::read_ahead},
        {"one_pass", &Cuts::one_pass},
    };
    return cuts;
}

Cuts cuts_without(const std::vector<std::string>& names) {
    Cuts cuts;
    const std::vector<NamedCut>& known = named_cuts();
    for (const std::string& name : names) {
        const auto found =
            std::find_if(known.begin(), known.end(), [&](const NamedCut& cut) { return name == cut.name; });
        if (found == known.end()) {
            std::string all;
            for (const NamedCut& cut : known) all += (all.empty() ? "" : ", ") + std::string(cut.name);
            throw Error("cut to leave out", "one of " + all, "'" + name + "'");
        }
        cuts.*found->on = false;
    }
    return cuts;
}

Cuts plain_path(Cuts cuts) {
    cuts.strips = cuts.fused = false;
    cuts.own_attention = cuts.own_activations = cuts.own_norms = cuts.own_threads = false;
    return cuts;
}

}  // namespace hyt
