// A folder of its own for a test's files, gone when the test is over.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace hyt::test {

class Folder {
  public:
    Folder() : path_((std::filesystem::temp_directory_path() / "hyt_XXXXXX").string()) {
        if (!mkdtemp(path_.data())) std::abort();
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace hyt::test
