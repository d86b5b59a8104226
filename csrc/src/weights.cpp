// Declares, allocates and fills weights.
#include "hyt/weights.h"

#include <algorithm>

#include "hyt/error.h"
#include "hyt/huge_pages.h"
#include "hyt/quantize.h"
#include "hyt/strips.h"
#include "quiet_log.h"

namespace hyt {
namespace {

// What ggml leaves to a backend's own use marks a matrix in strips.
int strips_mark;

}  // namespace

bool in_strips(const ggml_tensor* matrix) {
    return matrix->extra == &strips_mark;
}

Weights::Weights(const Backend& backend, const GgufFile& file) : backend_(backend), file_(file) {}

ggml_tensor* Weights::declare(ggml_type type, int64_t columns, int64_t rows, const Use& use,
                              std::vector<Piece> pieces, const std::string& name) {
    const ggml_type held = backend_.matrix_type(type, columns, rows, use.multiplied, use.looked_up);
    // A tensor in no buffer yet, to ask where it should lie.
    ggml_tensor probe{};
    probe.type = held;
    probe.ne[0] = columns;
    probe.ne[1] = rows;
    const bool mapped = stays(use.may_stay, pieces);
    const bool strips =
        use.repacked && !mapped && backend_.strips() && type == GGML_TYPE_Q4_0 && rows % kStripRows == 0;
    ggml_backend_buffer_type_t where =
        use.repacked && !strips ? backend_.matrix_buffer_type(&probe) : backend_.buffer_type();
    ggml_context& owner = context(mapped ? nullptr : where);
    ggml_tensor* tensor = rows == 0 ? ggml_new_tensor_1d(&owner, held, columns)
                                    : ggml_new_tensor_2d(&owner, held, columns, rows);
    ggml_set_name(tensor, name.c_str());
    if (strips) tensor->extra = &strips_mark;
    declared_.push_back({tensor, type, std::move(pieces), use.may_stay});
    return tensor;
}

ggml_context& Weights::context(ggml_backend_buffer_type_t where) {
    ggml_context_ptr& context = contexts_[where];
    if (!context) {
        // Each tensor of the file is declared at most once, beside the action head's rows.
        const ggml_init_params params{(file_.tensor_count() + 4) * ggml_tensor_overhead(), nullptr, true};
        context.reset(ggml_init(params));
    }
    return *context;
}

// Stacked matrices lie in one piece where the file has them one behind the other without padding in between.
bool Weights::stays(bool may_stay, const std::vector<Piece>& pieces) const {
    if (!may_stay || !file_.lasting()) return false;
    for (size_t i = 1; i < pieces.size(); ++i) {
        if (pieces[i].data != pieces[i - 1].data + pieces[i - 1].bytes) return false;
    }
    return true;
}

const GgufTensor& Weights::weight(const std::string& name, const std::vector<int64_t>& shape) const {
    const GgufTensor& found = file_.tensor(name, shape);
    if (!is_weight_type(found.type) || !ggml_get_type_traits_cpu(found.type)->vec_dot) {
        throw Error(file_.path() + ": tensor " + name, "a weight type", ggml_type_name(found.type));
    }
    return found;
}

const GgufTensor& Weights::float_weight(const std::string& name, const std::vector<int64_t>& shape) const {
    const GgufTensor& found = file_.tensor(name, shape);
    if (found.type != GGML_TYPE_F32) {
        throw Error(file_.path() + ": tensor " + name, "type f32", ggml_type_name(found.type));
    }
    return found;
}

ggml_tensor* Weights::vector(const std::vector<std::string>& names, const std::vector<int64_t>& lengths) {
    std::vector<Piece> pieces;
    int64_t total = 0;
    for (size_t i = 0; i < names.size(); ++i) {
        const GgufTensor& found = float_weight(names[i], {lengths[i]});
        pieces.push_back({found.data, found.bytes});
        total += lengths[i];
    }
    return declare(GGML_TYPE_F32, total, 0, {}, std::move(pieces), names[0]);
}

ggml_tensor* Weights::matrix(const std::string& name, int64_t columns, int64_t rows) {
    return stacked_matrix({name}, columns, {rows});
}

// Beside our kernels, what is not in strips lies plain: a single column is read at the speed of memory either
// way.
ggml_tensor* Weights::head_matrix(const std::string& name, int64_t columns, int64_t rows) {
    const GgufTensor& found = weight(name, {columns, rows});
    const Use use{true, false, strips_or_ggml(found.type, rows), true};
    return declare(found.type, columns, rows, use, {{found.data, found.bytes}}, name);
}

bool Weights::strips_or_ggml(ggml_type type, int64_t rows) const {
    return !backend_.strips() || (type == GGML_TYPE_Q4_0 && rows % kStripRows == 0);
}

ggml_tensor* Weights::stacked_matrix(const std::vector<std::string>& names, int64_t columns,
                                     const std::vector<int64_t>& rows) {
    std::vector<Piece> pieces;
    int64_t total = 0;
    const ggml_type type = weight(names[0], {columns, rows[0]}).type;
    for (size_t i = 0; i < names.size(); ++i) {
        const GgufTensor& found = weight(names[i], {columns, rows[i]});
        if (found.type != type) return nullptr;
        pieces.push_back({found.data, found.bytes});
        total += rows[i];
    }
    return declare(type, columns, total, {true, false, true, true}, std::move(pieces), names[0]);
}

ggml_tensor* Weights::table(const std::string& name, int64_t columns, int64_t rows, bool multiplied) {
    const GgufTensor& found = weight(name, {columns, rows});
    const Use use{multiplied, true, false, true};
    return declare(found.type, columns, rows, use, {{found.data, found.bytes}}, name);
}

ggml_tensor* Weights::array(const std::string& name, const std::vector<int64_t>& shape, int64_t columns,
                            int64_t rows) {
    const GgufTensor& found = float_weight(name, shape);
    return declare(found.type, columns, rows, {}, {{found.data, found.bytes}}, name);
}

ggml_tensor* Weights::chosen_rows(const std::string& name, int64_t columns, int64_t rows,
                                  const std::vector<int32_t>& ids) {
    const GgufTensor& found = weight(name, {columns, rows});
    const size_t row_bytes = ggml_row_size(found.type, columns);
    std::vector<Piece> pieces;
    for (const int32_t id : ids) {
        if (id < 0 || id >= rows) {
            throw Error("action token id", "0 to " + std::to_string(rows - 1), std::to_string(id));
        }
        pieces.push_back({found.data + static_cast<size_t>(id) * row_bytes, row_bytes});
    }
    const auto count = static_cast<int64_t>(ids.size());
    const Use use{true, false, strips_or_ggml(found.type, count), false};
    return declare(found.type, columns, count, use, std::move(pieces), name + ".chosen");
}

void Weights::load() {
    const QuietLog quiet;
    for (auto& [where, context] : contexts_) {
        if (!where) {
            // ggml takes a pointer to what it may write to; weights it only reads.
            auto* begin = const_cast<uint8_t*>(file_.begin());
            mapped_.reset(ggml_backend_cpu_buffer_from_ptr(begin, file_.size()));
            if (!mapped_) throw Error(file_.path() + ": weights", "a buffer over the file", "a failure");
            ggml_backend_buffer_set_usage(mapped_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
            continue;
        }
        ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors_from_buft(context.get(), where));
        backend_.check_memory(buffer != nullptr, file_.path() + ": weights", "memory for them");
        ask_for_huge_pages(buffer.get());
        ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        buffers_.push_back(std::move(buffer));
    }
    std::vector<uint8_t> joined;
    for (const Declared& d : declared_) {
        if (stays(d.may_stay, d.pieces)) {
            ggml_backend_tensor_alloc(mapped_.get(), d.tensor, const_cast<uint8_t*>(d.pieces[0].data));
            continue;
        }
        if (in_strips(d.tensor)) {
            pack(d);
            continue;
        }
        if (d.type != d.tensor->type) {
            expand(d);
            continue;
        }
        if (d.pieces.size() == 1) {
            ggml_backend_tensor_set(d.tensor, d.pieces[0].data, 0, d.pieces[0].bytes);
            file_.release(d.pieces[0].data, d.pieces[0].bytes);
            continue;
        }
        // The repacked layout is made from a whole tensor, so pieces are joined first.
        joined.clear();
        for (const Piece& piece : d.pieces) {
            joined.insert(joined.end(), piece.data, piece.data + piece.bytes);
            file_.release(piece.data, piece.bytes);
        }
        ggml_backend_tensor_set(d.tensor, joined.data(), 0, joined.size());
    }
    declared_.clear();
}

void Weights::pack(const Declared& d) const {
    int64_t row = 0;
    for (const Piece& piece : d.pieces) {
        const auto rows = static_cast<int64_t>(piece.bytes / d.tensor->nb[1]);
        pack_strips(piece.data, d.tensor->ne[0], row, rows, static_cast<uint8_t*>(d.tensor->data));
        row += rows;
        file_.release(piece.data, piece.bytes);
    }
}

// From the file's type to float32, a few rows at a time.
void Weights::expand(const Declared& d) const {
    constexpr int64_t kRows = 64;
    const int64_t columns = d.tensor->ne[0];
    const size_t row_bytes = ggml_row_size(d.type, columns);
    const auto to_float = ggml_get_type_traits(d.type)->to_float;
    std::vector<float> values(static_cast<size_t>(kRows * columns));
    size_t offset = 0;
    for (const Piece& piece : d.pieces) {
        const auto rows = static_cast<int64_t>(piece.bytes / row_bytes);
        for (int64_t row = 0; row < rows; row += kRows) {
            const int64_t count = std::min(kRows, rows - row) * columns;
            to_float(piece.data + static_cast<size_t>(row) * row_bytes, values.data(), count);
            const size_t bytes = static_cast<size_t>(count) * sizeof(float);
            ggml_backend_tensor_set(d.tensor, values.data(), offset, bytes);
            offset += bytes;
        }
        file_.release(piece.data, piece.bytes);
    }
}

size_t Weights::bytes() const {
    size_t total = 0;
    for (const ggml_backend_buffer_ptr& buffer : buffers_)
        total += ggml_backend_buffer_get_size(buffer.get());
    return total;
}

}  // namespace hyt
