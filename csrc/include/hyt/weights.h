// Weights: declared one by one against a GGUF file, then allocated and filled at once.
//
// A declaration checks presence, shape and type (float32 for norms and biases, a type that ggml multiplies
// for matrices) and gives the tensor that graphs may name at once; its data is there after load(). Nothing is
// allocated for a file that fails a check.
#pragma once

#include <ggml-cpp.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hyt/backend.h"
#include "hyt/gguf_file.h"

namespace hyt {

// Whether a loaded matrix lies in strips (strips.h): then only our own products read it.
bool in_strips(const ggml_tensor* matrix);

class Weights {
  public:
    Weights(const Backend& backend, const GgufFile& file);

    // float32 (length): norms and biases. Several names are laid one after the other.
    ggml_tensor* vector(const std::vector<std::string>& names, const std::vector<int64_t>& lengths);

    // (columns, rows): left side of a product, in the fastest layout.
    ggml_tensor* matrix(const std::string& name, int64_t columns, int64_t rows);

    // As matrix(), of a matrix that is multiplied with single columns only.
    ggml_tensor* head_matrix(const std::string& name, int64_t columns, int64_t rows);

    // As matrix(), the rows of several tensors one below the other: one product instead of several. All must
    // have one type, or the result is null and nothing is declared.
    ggml_tensor* stacked_matrix(const std::vector<std::string>& names, int64_t columns,
                                const std::vector<int64_t>& rows);

    // (columns, rows) in plain layout: rows can be looked up. `multiplied`: also the left side of a product.
    ggml_tensor* table(const std::string& name, int64_t columns, int64_t rows, bool multiplied);

    // float32 in plain layout, of the file's shape `shape`, as (columns, rows) over the same elements.
    ggml_tensor* array(const std::string& name, const std::vector<int64_t>& shape, int64_t columns,
                       int64_t rows);

    // (columns, ids.size()): the chosen rows of a matrix for products with single columns.
    ggml_tensor* chosen_rows(const std::string& name, int64_t columns, int64_t rows,
                             const std::vector<int32_t>& ids);

    // Allocates the buffers and copies the data; the file may be closed afterwards, unless it is a lasting
    // one: large matrices that lie in one piece then stay in it.
    void load();

    // In buffers of our own.
    size_t bytes() const;

  private:
    struct Piece {
        const uint8_t* data;
        size_t bytes;
    };
    struct Declared {
        ggml_tensor* tensor;
        ggml_type type;  // in the file
        std::vector<Piece> pieces;
        bool may_stay;
    };

    const GgufTensor& weight(const std::string& name, const std::vector<int64_t>& shape) const;
    const GgufTensor& float_weight(const std::string& name, const std::vector<int64_t>& shape) const;
    // What a weight is for.
    struct Use {
        bool multiplied = false, looked_up = false;
        bool repacked = false;  // in the fastest layout for products, which has no rows to look up
        bool may_stay = false;  // in the file
    };
    ggml_tensor* declare(ggml_type type, int64_t columns, int64_t rows, const Use& use,
                         std::vector<Piece> pieces, const std::string& name);

    bool strips_or_ggml(ggml_type type, int64_t rows) const;
    void pack(const Declared& declared) const;
    void expand(const Declared& declared) const;
    ggml_context& context(ggml_backend_buffer_type_t where);
    bool stays(bool may_stay, const std::vector<Piece>& pieces) const;

    const Backend& backend_;
    const GgufFile& file_;
    std::map<ggml_backend_buffer_type_t, ggml_context_ptr> contexts_;  // null: what stays in the file
    std::vector<Declared> declared_;
    std::vector<ggml_backend_buffer_ptr> buffers_;
    ggml_backend_buffer_ptr mapped_;  // over a lasting file
};

}  // namespace hyt
