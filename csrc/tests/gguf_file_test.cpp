// Damaged GGUF files end in hyt::Error, never in a crash or a large allocation: cut at every length, then
// every byte of the metadata changed in turn. Built with sanitizers, this is the reader's fuzz test
// (HYT_SANITIZE).
#include "hyt/gguf_file.h"

#include <sys/resource.h>

#include <fstream>

#include "check.h"
#include "folder.h"
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
        // What loads must also compute.
        static const hyt::test::Images images(7);
        hyt::ActResult result;
        hyt::ThinkResult thought;
        session.observe(images.views(), hyt::test::layout(3));
        session.act(3, result);
        session.think_begin(2);
        session.think({}, 1, thought);
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

// Every type of ggml in turn for a tensor, whose type stands behind its name, dimension count and extents.
void check_types(const hyt::SessionConfig& config, const std::string& path,
                 const std::vector<std::string>& tensors) {
    const Bytes whole = read(path);
    for (const std::string& name : tensors) {
        Bytes bytes = whole;
        const size_t count = std::string(bytes.data(), bytes.size()).find(name) + name.size();
        const size_t type = count + 4 + 8 * static_cast<size_t>(bytes[count]);
        for (int value = 0; value <= GGML_TYPE_COUNT; ++value) {
            bytes[type] = static_cast<char>(value);
            write(path, bytes);
            loads(config);
        }
    }
    write(path, whole);
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
    const hyt::test::Folder folder;
    hyt::SessionConfig config = hyt::test::write_model(folder.path(), true);
    config.threads = 1;
    CHECK(loads(config));
    check_keys(config.language);
    for (const std::string& path : {config.language, config.vision}) {
        const size_t metadata =
            metadata_size(read(path), path == config.vision ? "mm.0.bias" : "blk.2.ffn_down.weight");
        check_cuts(config, path, metadata);
        check_changed_bytes(config, path, metadata);
    }
    check_types(config, config.language,
                {"token_embd.weight", "output_norm.weight", "blk.1.attn_q.weight", "blk.1.attn_output.weight",
                 "blk.1.ffn_down.weight"});
    check_types(config, config.vision,
                {"v.patch_embd.weight", "v.patch_embd.bias", "v.position_embd.weight",
                 "v.blk.0.attn_q.weight", "mm.0.weight"});
    CHECK(loads(config));
    // All of it fits in a little memory, whatever a damaged count promised.
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    CHECK(usage.ru_maxrss < 512 * 1024);
    return hyt::test::failures;
}
