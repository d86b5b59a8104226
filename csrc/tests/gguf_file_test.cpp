// Damaged GGUF files end in hyt::Error, never in a crash or a large allocation: cut at every length, then
// every byte of the metadata changed in turn. Built with sanitizers, this is the reader's fuzz test
// (HYT_SANITIZE).
#include "hyt/gguf_file.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "check.h"
#include "hyt/error.h"
#include "model_file.h"

namespace {

using Bytes = std::vector<char>;

Bytes read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

void write(const std::string& path, const Bytes& bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// True when a session could be made of the files; any exception but hyt::Error ends the test.
bool loads(const hyt::SessionConfig& config) {
    try {
        hyt::Session session(config);
        return true;
    } catch (const hyt::Error& error) {
        const std::string line = error.what();
        CHECK(!line.empty() && line.find('\n') == std::string::npos);
        return false;
    }
}

// Where tensor data begins: the file's largest power-of-two-aligned offset behind the last tensor's name.
size_t metadata_size(const Bytes& bytes, const std::string& last_tensor) {
    const std::string text(bytes.data(), bytes.size());
    return text.rfind(last_tensor) + last_tensor.size() + 64;
}

void check_cuts(const hyt::SessionConfig& config, const std::string& path, size_t metadata) {
    const Bytes whole = read(path);
    for (size_t size = 0; size < whole.size(); size += size < metadata ? 37 : 4096) {
        write(path, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
        CHECK(!loads(config));
    }
    write(path, whole);
}

void check_changed_bytes(const hyt::SessionConfig& config, const std::string& path, size_t metadata) {
    Bytes bytes = read(path);
    int refused = 0;
    for (size_t i = 0; i < metadata; ++i) {
        const char kept = bytes[i];
        // Small counts become huge ones, signs turn, names differ.
        bytes[i] = static_cast<char>(kept ^ (i % 2 ? 0xff : 0x40));
        write(path, bytes);
        refused += !loads(config);
        bytes[i] = kept;
    }
    write(path, bytes);
    CHECK(refused > static_cast<int>(metadata) / 2);
}

void check_keys(const std::string& path) {
    const hyt::GgufFile file(path);
    CHECK(file.integer("gemma2.block_count", 1, 10) == 3);
    CHECK(file.text("general.architecture") == "gemma2");
    for (const char* key : {"missing", "general.architecture", "gemma2.block_count"}) {
        bool thrown = false;
        try {
            file.integer(key, 100, 200);
        } catch (const hyt::Error&) {
            thrown = true;
        }
        CHECK(thrown);
    }
    CHECK(file.tensor("output_norm.weight", {64}).bytes == 256);
}

}  // namespace

int main() {
    char directory[] = "/tmp/hyt_gguf_XXXXXX";
    if (!mkdtemp(directory)) return 1;
    hyt::SessionConfig config = hyt::test::write_model(directory, true);
    config.threads = 1;
    CHECK(loads(config));
    check_keys(config.language);
    for (const std::string& path : {config.language, config.vision}) {
        const size_t metadata =
            metadata_size(read(path), path == config.vision ? "mm.0.bias" : "blk.2.ffn_down.weight");
        check_cuts(config, path, metadata);
        check_changed_bytes(config, path, metadata);
    }
    CHECK(loads(config));
    // All of it fits in a little memory, whatever a damaged count promised.
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    CHECK(usage.ru_maxrss < 512 * 1024);
    std::filesystem::remove_all(directory);
    return hyt::test::failures;
}
