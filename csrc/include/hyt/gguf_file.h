// A GGUF file, mapped for reading and checked as a whole before anything in it is used.
//
// Layout, little endian (the format's own description is in ggml's gguf.h):
//   1. magic "GGUF", version uint32 (2 or 3), tensor count int64, key count int64
//   2. each key: name, value type int32, value; an array is element type int32, count uint64, elements
//   3. each tensor: name, dimension count uint32, each extent int64 (fastest first), type int32, offset
//   uint64
//   4. tensor data, aligned to general.alignment (32 when the key is absent)
// Strings are a uint64 length and their bytes. ggml's own reader aborts the process on some damaged files, so
// this one reads the format itself: every length is held against the bytes that are left before anything is
// allocated.
#pragma once

#include <ggml.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hyt {

struct GgufTensor {
    ggml_type type;
    int dimensions;                 // 1 to 4
    std::array<int64_t, 4> extent;  // fastest first, 1 beyond `dimensions`
    const uint8_t* data;            // inside the mapping
    size_t bytes;
};

class GgufFile {
  public:
    // Throws Error when the file cannot be opened or is not a sound GGUF file. `lasting` promises that it
    // stays open as long as its weights are used, which may then stay in it.
    explicit GgufFile(const std::string& path, bool lasting = false);
    ~GgufFile();
    GgufFile(const GgufFile&) = delete;
    GgufFile& operator=(const GgufFile&) = delete;

    const std::string& path() const { return path_; }
    size_t tensor_count() const { return tensors_.size(); }
    bool lasting() const { return lasting_; }
    // The whole mapping.
    const uint8_t* begin() const { return mapping_; }
    size_t size() const { return size_; }

    // The value of a key. Throws Error when it is missing, of another type, not finite, or outside [low,
    // high].
    int64_t integer(const std::string& key, int64_t low, int64_t high) const;
    double number(const std::string& key) const;
    double number(const std::string& key, double fallback) const;  // `fallback` when the key is missing
    std::string text(const std::string& key) const;
    std::vector<double> numbers(const std::string& key, size_t count) const;
    bool has(const std::string& key) const { return values_.count(key) != 0; }

    bool has_tensor(const std::string& name) const { return tensors_.count(name) != 0; }

    // The tensor of that name and exactly that shape (fastest first, without trailing ones). Throws Error
    // otherwise.
    const GgufTensor& tensor(const std::string& name, const std::vector<int64_t>& shape) const;

    // Its values; throws Error likewise, and where it is not of finite float32.
    std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) const;

    // Takes the whole pages of these bytes of the mapping out of this process's memory, where they would
    // count a second time beside their copy; reading them again fetches them from the file.
    void release(const uint8_t* data, size_t bytes) const;

  private:
    struct Value {
        bool is_text = false;
        bool is_integer = false;
        bool is_array = false;
        std::string text;
        std::vector<double> numbers;  // one for a scalar
        int64_t integer = 0;
    };
    class Reader;

    const Value& value(const std::string& key) const;
    void parse();
    void parse_value(Reader& reader, const std::string& key);
    void parse_tensors(Reader& reader, uint64_t count);

    std::string path_;
    bool lasting_;
    const uint8_t* mapping_ = nullptr;
    size_t size_ = 0;
    std::map<std::string, Value> values_;
    std::map<std::string, GgufTensor> tensors_;
};

}  // namespace hyt
