// Reads and checks a GGUF file from a memory mapping.
#include "hyt/gguf_file.h"

#include <fcntl.h>
#include <gguf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "hyt/error.h"

namespace hyt {
namespace {

// Arrays longer than this (a tokenizer's word list) are stepped over: no key of ours is longer.
constexpr uint64_t kLongestKeptArray = 64;
constexpr uint64_t kLongestName = 1024;
constexpr int64_t kLargestExtent = int64_t{1} << 40;

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string out = "(";
    for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
    return out + ")";
}

// Bytes of one element, 0 for what has no fixed size.
size_t element_size(int32_t type) {
    switch (type) {
        case GGUF_TYPE_UINT8:
        case GGUF_TYPE_INT8:
        case GGUF_TYPE_BOOL:
            return 1;
        case GGUF_TYPE_UINT16:
        case GGUF_TYPE_INT16:
            return 2;
        case GGUF_TYPE_UINT32:
        case GGUF_TYPE_INT32:
        case GGUF_TYPE_FLOAT32:
            return 4;
        case GGUF_TYPE_UINT64:
        case GGUF_TYPE_INT64:
        case GGUF_TYPE_FLOAT64:
            return 8;
        default:
            return 0;
    }
}

}  // namespace

// A cursor that never passes the end of the mapping.
class GgufFile::Reader {
  public:
    Reader(const std::string& path, const uint8_t* data, size_t size)
        : path_(path), data_(data), size_(size) {}

    size_t position() const { return position_; }
    size_t left() const { return size_ - position_; }

    const uint8_t* take(uint64_t count, const char* what) {
        if (count > left()) {
            throw Error(path_ + ": " + what, std::to_string(count) + " more bytes",
                        std::to_string(left()) + " to the end");
        }
        const uint8_t* at = data_ + position_;
        position_ += count;
        return at;
    }

    template <typename T>
    T read(const char* what) {
        T out;
        std::memcpy(&out, take(sizeof out, what), sizeof out);
        return out;
    }

    std::string read_text(const char* what, uint64_t longest) {
        const auto length = read<uint64_t>(what);
        if (length > longest || length > left()) {
            throw Error(
                path_ + ": " + what,
                "a string of at most " + std::to_string(std::min<uint64_t>(longest, left())) + " bytes",
                std::to_string(length) + " bytes");
        }
        const auto* bytes = reinterpret_cast<const char*>(take(length, what));
        return std::string(bytes, length);
    }

    // A number of the given type as double; `integer` receives it exactly when it is an integer that int64
    // holds.
    double read_number(int32_t type, int64_t& integer) {
        const char* what = "a key's value";
        switch (type) {
            case GGUF_TYPE_UINT8:
                return static_cast<double>(integer = read<uint8_t>(what));
            case GGUF_TYPE_INT8:
                return static_cast<double>(integer = read<int8_t>(what));
            case GGUF_TYPE_BOOL:
                return static_cast<double>(integer = read<uint8_t>(what) != 0);
            case GGUF_TYPE_UINT16:
                return static_cast<double>(integer = read<uint16_t>(what));
            case GGUF_TYPE_INT16:
                return static_cast<double>(integer = read<int16_t>(what));
            case GGUF_TYPE_UINT32:
                return static_cast<double>(integer = read<uint32_t>(what));
            case GGUF_TYPE_INT32:
                return static_cast<double>(integer = read<int32_t>(what));
            case GGUF_TYPE_INT64:
                return static_cast<double>(integer = read<int64_t>(what));
            case GGUF_TYPE_UINT64: {
                const auto wide = read<uint64_t>(what);
                integer = wide > INT64_MAX ? INT64_MAX : static_cast<int64_t>(wide);
                return static_cast<double>(wide);
            }
            case GGUF_TYPE_FLOAT32:
                return read<float>(what);
            default:
                return read<double>(what);
        }
    }

  private:
    const std::string& path_;
    const uint8_t* data_;
    size_t size_;
    size_t position_ = 0;
};

GgufFile::GgufFile(const std::string& path, bool lasting) : path_(path), lasting_(lasting) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw Error(path, "a readable GGUF file", std::strerror(errno));
    struct stat status{};
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < 24) {
        ::close(file);
        throw Error(path, "a GGUF file", "no regular file of at least 24 bytes");
    }
    size_ = static_cast<size_t>(status.st_size);
    void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    const int problem = errno;
    ::close(file);
    if (mapping == MAP_FAILED) throw Error(path, "a file that can be mapped", std::strerror(problem));
    mapping_ = static_cast<const uint8_t*>(mapping);
    try {
        parse();
    } catch (...) {
        ::munmap(mapping, size_);
        throw;
    }
}

GgufFile::~GgufFile() {
    ::munmap(const_cast<uint8_t*>(mapping_), size_);
}

void GgufFile::release(const uint8_t* data, size_t bytes) const {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t begin = (static_cast<size_t>(data - mapping_) + page - 1) / page * page;
    const size_t end = (static_cast<size_t>(data - mapping_) + bytes) / page * page;
    // It is advice: pages that stay cost memory and change nothing.
    if (begin < end) ::madvise(const_cast<uint8_t*>(mapping_) + begin, end - begin, MADV_DONTNEED);
}

void GgufFile::parse() {
    Reader reader(path_, mapping_, size_);
    if (std::memcmp(reader.take(4, "magic"), GGUF_MAGIC, 4) != 0)
        throw Error(path_, "magic 'GGUF'", "another file");
    const auto version = reader.read<uint32_t>("version");
    if (version != 2 && version != 3) throw Error(path_ + ": version", "2 or 3", std::to_string(version));
    const auto tensor_count = reader.read<uint64_t>("tensor count");
    const auto key_count = reader.read<uint64_t>("key count");
    // The smallest key takes 13 bytes and the smallest tensor 32: no count may promise more than the file can
    // hold.
    if (key_count > size_ / 13 || tensor_count > size_ / 32) {
        throw Error(path_ + ": counts", "keys and tensors that fit in " + std::to_string(size_) + " bytes",
                    std::to_string(key_count) + " keys and " + std::to_string(tensor_count) + " tensors");
    }
    for (uint64_t i = 0; i < key_count; ++i) {
        const std::string key = reader.read_text("a key's name", kLongestName);
        if (key.empty() || values_.count(key)) throw Error(path_ + ": key", "a new name", "'" + key + "'");
        parse_value(reader, key);
    }
    parse_tensors(reader, tensor_count);
}

void GgufFile::parse_value(Reader& reader, const std::string& key) {
    auto type = reader.read<int32_t>("a value's type");
    Value value;
    uint64_t count = 1;
    if (type == GGUF_TYPE_ARRAY) {
        value.is_array = true;
        type = reader.read<int32_t>("an array's type");
        count = reader.read<uint64_t>("an array's length");
    }
    const size_t size = element_size(type);
    if (type == GGUF_TYPE_STRING) {
        value.is_text = true;
        for (uint64_t i = 0; i < count; ++i) {
            std::string text = reader.read_text("a key's value", std::numeric_limits<uint64_t>::max());
            if (!value.is_array) value.text = std::move(text);
        }
    } else if (size == 0) {
        throw Error(path_ + ": key " + key, "a value type of GGUF", std::to_string(type));
    } else if (count > kLongestKeptArray) {
        if (count > reader.left())
            throw Error(path_ + ": key " + key, "an array inside the file", std::to_string(count));
        reader.take(count * size, "an array");
    } else {
        value.is_integer = type != GGUF_TYPE_FLOAT32 && type != GGUF_TYPE_FLOAT64;
        for (uint64_t i = 0; i < count; ++i) value.numbers.push_back(reader.read_number(type, value.integer));
    }
    values_.emplace(key, std::move(value));
}

void GgufFile::parse_tensors(Reader& reader, uint64_t count) {
    struct Entry {
        std::string name;
        GgufTensor tensor;
        uint64_t offset;
    };
    std::vector<Entry> entries;
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; ++i) {
        Entry entry{reader.read_text("a tensor's name", kLongestName), {}, 0};
        const std::string subject = path_ + ": tensor " + entry.name;
        const auto dimensions = reader.read<uint32_t>("a tensor's dimension count");
        if (dimensions < 1 || dimensions > 4)
            throw Error(subject, "1 to 4 dimensions", std::to_string(dimensions));
        entry.tensor.dimensions = static_cast<int>(dimensions);
        entry.tensor.extent = {1, 1, 1, 1};
        int64_t elements = 1;
        for (uint32_t d = 0; d < dimensions; ++d) {
            const auto extent = reader.read<int64_t>("a tensor's extent");
            if (extent < 1 || extent > kLargestExtent || elements > kLargestExtent / extent) {
                throw Error(subject, "extents whose product is 1 to 2^40", std::to_string(extent));
            }
            entry.tensor.extent[d] = extent;
            elements *= extent;
        }
        const auto type = reader.read<int32_t>("a tensor's type");
        if (type < 0 || type >= GGML_TYPE_COUNT || ggml_blck_size(static_cast<ggml_type>(type)) < 1) {
            throw Error(subject, "a type of ggml", std::to_string(type));
        }
        entry.tensor.type = static_cast<ggml_type>(type);
        const int64_t block = ggml_blck_size(entry.tensor.type);
        if (entry.tensor.extent[0] % block != 0) {
            throw Error(subject, "rows divisible by " + std::to_string(block),
                        std::to_string(entry.tensor.extent[0]));
        }
        entry.tensor.bytes = static_cast<size_t>(elements / block) * ggml_type_size(entry.tensor.type);
        entry.offset = reader.read<uint64_t>("a tensor's offset");
        total += entry.tensor.bytes;
        entries.push_back(std::move(entry));
    }
    const uint64_t alignment = has(GGUF_KEY_GENERAL_ALIGNMENT)
                                   ? integer(GGUF_KEY_GENERAL_ALIGNMENT, 8, 1 << 20)
                                   : GGUF_DEFAULT_ALIGNMENT;
    if ((alignment & (alignment - 1)) != 0)
        throw Error(path_ + ": alignment", "a power of 2", std::to_string(alignment));
    const uint64_t start = (reader.position() + alignment - 1) / alignment * alignment;
    const uint64_t room = start < size_ ? size_ - start : 0;
    // Tensors that share bytes could ask for more memory than the file holds.
    if (total > room) {
        throw Error(path_ + ": tensor data", std::to_string(total) + " bytes",
                    std::to_string(room) + " in the file");
    }
    for (Entry& entry : entries) {
        if (entry.offset > room || entry.tensor.bytes > room - entry.offset ||
            entry.offset % alignment != 0) {
            throw Error(path_ + ": tensor " + entry.name, "aligned data inside the file",
                        "offset " + std::to_string(entry.offset) + " of " + std::to_string(room));
        }
        entry.tensor.data = mapping_ + start + entry.offset;
        if (!tensors_.emplace(entry.name, entry.tensor).second) {
            throw Error(path_ + ": tensor " + entry.name, "one of that name", "two");
        }
    }
}

const GgufFile::Value& GgufFile::value(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) throw Error(path_ + ": key " + key, "a value", "no such key");
    return found->second;
}

int64_t GgufFile::integer(const std::string& key, int64_t low, int64_t high) const {
    const Value& v = value(key);
    const bool fits = v.is_integer && !v.is_array && v.integer >= low && v.integer <= high;
    if (!fits) {
        throw Error(path_ + ": key " + key,
                    "an integer from " + std::to_string(low) + " to " + std::to_string(high),
                    v.is_integer && !v.is_array ? std::to_string(v.integer) : "another type");
    }
    return v.integer;
}

double GgufFile::number(const std::string& key) const {
    return numbers(key, 1)[0];
}

double GgufFile::number(const std::string& key, double fallback) const {
    return has(key) ? number(key) : fallback;
}

std::vector<double> GgufFile::numbers(const std::string& key, size_t count) const {
    const Value& v = value(key);
    bool sound = v.numbers.size() == count;
    for (const double number : v.numbers) sound = sound && std::isfinite(number);
    if (!sound) {
        throw Error(path_ + ": key " + key, std::to_string(count) + " finite numbers",
                    std::to_string(v.numbers.size()) + (v.numbers.size() == count ? ", not all finite" : ""));
    }
    return v.numbers;
}

std::string GgufFile::text(const std::string& key) const {
    const Value& v = value(key);
    if (!v.is_text || v.is_array) throw Error(path_ + ": key " + key, "a string", "another type");
    return v.text;
}

const GgufTensor& GgufFile::tensor(const std::string& name, const std::vector<int64_t>& shape) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw Error(path_ + ": tensor " + name, shape_text(shape), "no such tensor");
    const GgufTensor& tensor = found->second;
    std::vector<int64_t> wanted = shape;
    wanted.resize(4, 1);
    if (!std::equal(wanted.begin(), wanted.end(), tensor.extent.begin())) {
        const std::vector<int64_t> received(tensor.extent.begin(), tensor.extent.begin() + tensor.dimensions);
        throw Error(path_ + ": tensor " + name, shape_text(shape), shape_text(received));
    }
    return tensor;
}

std::vector<float> GgufFile::floats(const std::string& name, const std::vector<int64_t>& shape) const {
    const GgufTensor& found = tensor(name, shape);
    const std::string subject = path_ + ": tensor " + name;
    if (found.type != GGML_TYPE_F32) throw Error(subject, "type f32", ggml_type_name(found.type));
    const auto* values = reinterpret_cast<const float*>(found.data);
    std::vector<float> out(values, values + found.bytes / sizeof(float));
    if (!std::all_of(out.begin(), out.end(), [](float value) { return std::isfinite(value); })) {
        throw Error(subject, "finite weights", "NaN or infinity");
    }
    return out;
}

}  // namespace hyt
