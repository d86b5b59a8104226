// Python's view of a session.
#include "hyt/session.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bind.h"
#include "hyt/error.h"

namespace py = pybind11;
using Ids = py::array_t<int32_t, py::array::c_style | py::array::forcecast>;

namespace hyt::bind {
namespace {

std::vector<int32_t> id_list(const Ids& ids, const char* subject) {
    if (ids.ndim() != 1) throw Error(subject, "1 dimension", std::to_string(ids.ndim()));
    return {ids.data(), ids.data() + ids.size()};
}

// Views into the arrays, which the caller keeps alive. Nothing is converted: a float image would be another
// image.
std::vector<ImageView> image_views(const py::list& images) {
    std::vector<ImageView> views;
    for (const py::handle& image : images) {
        if (!py::isinstance<py::array_t<uint8_t>>(image))
            throw Error("image", "a uint8 array", "another type");
        const auto array = py::reinterpret_borrow<py::array>(image);
        if (array.ndim() != 3 || array.shape(2) != 3 || !(array.flags() & py::array::c_style)) {
            throw Error("image", "a contiguous array (height, width, 3)",
                        std::to_string(array.ndim()) + " dimensions");
        }
        views.push_back({static_cast<const uint8_t*>(array.data()), array.shape(0), array.shape(1)});
    }
    return views;
}

template <typename T>
py::array_t<T> to_array(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::dict to_dict(const Timings& t) {
    py::dict out;
    out["vision"] = t.vision;
    out["prefill"] = t.prefill;
    out["decode"] = t.decode;
    out["total"] = t.total;
    return out;
}

py::dict to_dict(const SessionInfo& info) {
    py::dict out;
    out["architecture"] = info.decoder.architecture;
    out["layers"] = info.decoder.layers;
    out["hidden"] = info.decoder.hidden;
    out["heads"] = info.decoder.heads;
    out["kv_heads"] = info.decoder.kv_heads;
    out["head_dim"] = info.decoder.head_dim;
    out["feed_forward"] = info.decoder.feed_forward;
    out["vocabulary"] = info.decoder.vocabulary;
    out["attention_scale"] = info.decoder.attention_scale;
    if (info.vision) {
        out["image_size"] = info.vision->image_size;
        out["patch_size"] = info.vision->towers[0].patch_size;
        out["vision_layers"] = info.vision->towers[0].layers;
        out["vision_hidden"] = info.vision->towers[0].hidden;
        out["image_mean"] = info.vision->towers[0].mean;
        out["image_std"] = info.vision->towers[0].deviation;
    }
    out["image_tokens"] = info.image_tokens;
    out["max_prefix"] = info.max_prefix;
    out["cells"] = info.cells;
    out["weights_bytes"] = info.weight_bytes;
    out["kv_bytes"] = info.kv_bytes;
    out["workspace_bytes"] = info.workspace_bytes;
    out["action_passes"] = info.action_passes;
    out["vocabulary_passes"] = info.vocabulary_passes;
    out["reading_passes"] = info.reading_passes;
    out["chunk_passes"] = info.chunk_passes;
    py::dict speculation;
    speculation["passes"] = info.speculation.passes;
    speculation["drafted"] = info.speculation.drafted;
    speculation["accepted"] = info.speculation.accepted;
    speculation["now"] = info.speculating;
    speculation["pass_seconds"] = info.pass_seconds;
    speculation["exact"] = info.rows_are_exact;
    out["speculation"] = speculation;
    out["threads"] = info.threads;
    out["backend"] = info.backend;
    out["device"] = info.device;
    py::list without;
    for (const NamedCut& cut : named_cuts())
        if (!(info.cuts.*cut.on)) without.append(cut.name);
    out["without"] = without;
    return out;
}

// What a call gave.
struct PyAct {
    py::array_t<int32_t> tokens;
    py::array_t<float> probabilities, values;
    std::optional<float> think_probability;
    py::dict timings;
};
struct PyThink {
    py::array_t<int32_t> tokens;
    bool finished;
    py::dict timings;
};

// Runs `call` without the GIL.
template <typename Call>
PyAct act_result(const Call& call) {
    ActResult result;
    {
        const py::gil_scoped_release unlocked;
        call(result);
    }
    return {to_array(result.tokens), to_array(result.probabilities), to_array(result.values),
            result.think_probability, to_dict(result.timings)};
}

PyThink think(Session& session, std::optional<double> until, std::optional<int64_t> max_steps) {
    using Clock = std::chrono::steady_clock;
    std::optional<Clock::time_point> deadline;
    // steady_clock and time.monotonic are both CLOCK_MONOTONIC. A far deadline is none: it would overflow the
    // clock.
    if (until && *until < 1e9) {
        deadline = Clock::time_point(
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*until)));
    }
    ThinkResult result;
    {
        const py::gil_scoped_release unlocked;
        session.think(deadline, max_steps, result);
    }
    return {to_array(result.tokens), result.finished, to_dict(result.timings)};
}

void observe(Session& session, const py::list& images, const Ids& layout) {
    const std::vector<ImageView> views = image_views(images);
    const std::vector<int32_t> ids = id_list(layout, "layout");
    const py::gil_scoped_release unlocked;
    session.observe(views, ids);
}

py::array_t<float> logits(Session& session, const Ids& layout, const std::optional<py::list>& images,
                          const Ids& tokens) {
    const std::vector<ImageView> views = images ? image_views(*images) : std::vector<ImageView>{};
    const std::vector<int32_t> ids = id_list(layout, "layout"), fed = id_list(tokens, "tokens");
    std::vector<float> values;
    {
        const py::gil_scoped_release unlocked;
        values = session.logits(ids, images ? &views : nullptr, fed);
    }
    const auto rows = static_cast<py::ssize_t>(fed.size());
    return to_array(values).reshape({rows, static_cast<py::ssize_t>(values.size()) / rows});
}

// Calls `function(name, input)`, the input float32 (rows, columns); what it raises ends the session's call.
void watch(Session& session, const py::object& function) {
    Watcher watcher;
    if (!function.is_none()) {
        // The last copy may go where the GIL is not held.
        const auto release = [](py::object* held) {
            const py::gil_scoped_acquire locked;
            delete held;
        };
        const std::shared_ptr<py::object> held(new py::object(function), release);
        watcher = [held](const std::string& matrix, const ggml_tensor* input) {
            const py::gil_scoped_acquire locked;
            const py::ssize_t rows = input->ne[1] * input->ne[2] * input->ne[3], columns = input->ne[0];
            py::array_t<float> values({rows, columns});
            for (py::ssize_t row = 0; row < rows; ++row) {
                ggml_backend_tensor_get(input, values.mutable_data(row),
                                        static_cast<size_t>(row) * input->nb[1],
                                        static_cast<size_t>(columns) * sizeof(float));
            }
            (*held)(matrix, values);
        };
    }
    const py::gil_scoped_release unlocked;
    session.watch(std::move(watcher));
}

std::unique_ptr<Session> make_session(SessionConfig config) {
    const py::gil_scoped_release unlocked;
    return std::make_unique<Session>(config);
}

}  // namespace

void add_session(py::module_& module) {
    py::class_<PyAct>(module, "ActResult")
        .def_readonly("tokens", &PyAct::tokens)
        .def_readonly("probabilities", &PyAct::probabilities)
        .def_readonly("values", &PyAct::values)
        .def_readonly("think_probability", &PyAct::think_probability)
        .def_readonly("timings", &PyAct::timings);
    module.def("cuts", [] {
        std::vector<std::string> names;
        for (const NamedCut& cut : named_cuts()) names.emplace_back(cut.name);
        return names;
    });
    py::class_<PyThink>(module, "ThinkResult")
        .def_readonly("tokens", &PyThink::tokens)
        .def_readonly("finished", &PyThink::finished)
        .def_readonly("timings", &PyThink::timings);
    py::class_<Session>(module, "Session")
        .def(py::init([](std::string language, std::string vision, int threads, int64_t image_count,
                         int64_t max_text_tokens, int64_t max_thought_tokens, int64_t action_tokens,
                         std::vector<int32_t> action_token_ids, std::vector<int32_t> thought_suppressed_ids,
                         int32_t thought_end_id, int64_t vocab_size, std::string kv_type,
                         std::string activations, bool own_kernels, std::string head, int64_t action_steps,
                         int64_t action_dimensions, int64_t gate_units, bool mapped_weights,
                         const std::vector<std::string>& without, int64_t draft_units, std::string speculate,
                         int64_t speculation_rows, std::string device, bool foreign) {
                 return make_session({std::move(language),
                                      std::move(vision),
                                      threads,
                                      image_count,
                                      max_text_tokens,
                                      max_thought_tokens,
                                      action_tokens,
                                      std::move(action_token_ids),
                                      std::move(thought_suppressed_ids),
                                      thought_end_id,
                                      vocab_size,
                                      std::move(kv_type),
                                      std::move(activations),
                                      own_kernels,
                                      cuts_without(without),
                                      std::move(head),
                                      action_steps,
                                      action_dimensions,
                                      gate_units,
                                      draft_units,
                                      mapped_weights,
                                      std::move(speculate),
                                      speculation_rows,
                                      std::move(device),
                                      foreign});
             }),
             py::arg("language"), py::arg("vision"), py::kw_only(), py::arg("threads") = 0,
             py::arg("image_count"), py::arg("max_text_tokens"), py::arg("max_thought_tokens"),
             py::arg("action_tokens"), py::arg("action_token_ids"), py::arg("thought_suppressed_ids"),
             py::arg("thought_end_id"), py::arg("vocab_size") = 0, py::arg("kv_type") = "f32",
             py::arg("activations") = "int8", py::arg("own_kernels") = true, py::arg("head") = "",
             py::arg("action_steps") = 0, py::arg("action_dimensions") = 0, py::arg("gate_units") = 0,
             py::arg("mapped_weights") = false, py::arg("without") = std::vector<std::string>{},
             py::arg("draft_units") = 0, py::arg("speculate") = "off",
             py::arg("speculation_rows") = kMostRows, py::arg("device") = "cpu", py::arg("foreign") = false)
        .def("observe", &observe, py::arg("images"), py::arg("layout"))
        .def(
            "act", [](Session& s, int32_t tag) { return act_result([&](ActResult& r) { s.act(tag, r); }); },
            py::arg("tag"))
        .def(
            "suppose", [](Session& s, const Ids& tokens) { s.suppose(id_list(tokens, "guessed tokens")); },
            py::arg("tokens"))
        .def("act_state", [](Session& s) { return to_array(s.act_state()); })
        .def("think_begin", &Session::think_begin, py::arg("tag"), py::call_guard<py::gil_scoped_release>())
        .def("think", &think, py::arg("until") = py::none(), py::arg("max_steps") = py::none())
        .def("act_after_thought",
             [](Session& s) { return act_result([&](ActResult& r) { s.act_after_thought(r); }); })
        .def(
            "act_with_thought",
            [](Session& s, int32_t tag, const Ids& thought) {
                const std::vector<int32_t> ids = id_list(thought, "thought");
                return act_result([&](ActResult& r) { s.act_with_thought(tag, ids, r); });
            },
            py::arg("tag"), py::arg("thought"))
        .def(
            "follow",
            [](Session& s, const Ids& layout, int32_t tag) {
                const std::vector<int32_t> ids = id_list(layout, "layout");
                return act_result([&](ActResult& r) { s.follow(ids, tag, r); });
            },
            py::arg("layout"), py::arg("tag"))
        .def("logits", &logits, py::arg("layout"), py::arg("images"), py::arg("tokens"))
        .def("watch", &watch, py::arg("function"))
        .def("profile", &Session::profile, py::arg("on"))
        .def("profiled", &Session::profiled)
        .def("info", [](Session& s) { return to_dict(s.info()); });
}

}  // namespace hyt::bind
