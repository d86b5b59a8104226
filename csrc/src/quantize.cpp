// Quantisation through ggml_quantize_chunk and the type traits' to_float.
#include "hyt/quantize.h"

#include <ggml.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "hyt/error.h"

namespace hyt {
namespace {

// ggml writes the K types as "q4_K"; our names are lower case throughout.
std::string type_name(ggml_type type) {
    std::string name = ggml_type_name(type);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return name;
}

ggml_type find_type(const std::string& name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        if (is_weight_type(type) && name == type_name(type)) return type;
    }
    throw Error("quantisation type", "one of quantization_types()", "'" + name + "'");
}

ggml_type checked_type(const std::string& name, int64_t rows, int64_t columns) {
    const ggml_type type = find_type(name);
    const int64_t block = ggml_blck_size(type);
    if (rows < 1 || columns < 1 || columns % block != 0) {
        throw Error("matrix to quantise as " + name,
                    "at least one row and columns divisible by " + std::to_string(block),
                    "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")");
    }
    // Beyond this, sizes in bytes could wrap around.
    if (rows > (int64_t{1} << 40) / columns) {
        throw Error("matrix to quantise as " + name, "at most 2^40 elements",
                    "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")");
    }
    return type;
}

}  // namespace

// ggml can write it from float and read it back, and it is not Q8_1 or Q8_K, which hold activations only.
bool is_weight_type(ggml_type type) {
    if (type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16) return true;
    const ggml_type_traits* traits = ggml_get_type_traits(type);
    return traits->is_quantized && traits->to_float && traits->from_float_ref && type != GGML_TYPE_Q8_1 &&
           type != GGML_TYPE_Q8_K;
}

std::vector<std::string> quantization_types() {
    std::vector<std::string> names;
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        if (is_weight_type(type)) names.push_back(type_name(type));
    }
    return names;
}

int64_t quantization_block(const std::string& type) {
    return ggml_blck_size(find_type(type));
}

size_t quantized_size(const std::string& type, int64_t rows, int64_t columns) {
    return ggml_row_size(checked_type(type, rows, columns), columns) * static_cast<size_t>(rows);
}

void quantize(const std::string& type, const float* values, int64_t rows, int64_t columns,
              const float* importance, uint8_t* out) {
    const ggml_type target = checked_type(type, rows, columns);
    for (int64_t i = 0; i < rows * columns; ++i) {
        if (!std::isfinite(values[i])) {
            throw Error("matrix to quantise as " + type, "finite values", std::to_string(values[i]));
        }
    }
    for (int64_t i = 0; importance && i < columns; ++i) {
        if (!std::isfinite(importance[i]) || importance[i] < 0) {
            throw Error("importance", "finite values of at least 0", std::to_string(importance[i]));
        }
    }
    if (!importance && ggml_quantize_requires_imatrix(target)) {
        throw Error("quantisation type " + type, "an importance for each column", "none");
    }
    ggml_quantize_chunk(target, values, out, 0, rows, columns, importance);
}

void dequantize(const std::string& type, const uint8_t* bytes, int64_t rows, int64_t columns, float* out) {
    const ggml_type source = checked_type(type, rows, columns);
    if (source == GGML_TYPE_F32) {
        std::copy_n(reinterpret_cast<const float*>(bytes), rows * columns, out);
    } else {
        ggml_get_type_traits(source)->to_float(bytes, out, rows * columns);
    }
}

}  // namespace hyt
