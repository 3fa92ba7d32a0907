// Hashes of the audit log, and of the one that was kept when it was begun anew.
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "state/audit_log.h"
#include "state/audit_record.h"

namespace crossfade::state {

namespace {

using Json = nlohmann::json;

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    good_ = context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  }
  void Add(std::string_view bytes) {
    good_ = good_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
  }
  // In hex.
  std::string End() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (!good_ || EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1) {
      return "";
    }
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text.push_back(kDigits[digest[i] >> 4]);
      text.push_back(kDigits[digest[i] & 15]);
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  bool good_ = false;
};

// Nothing: it is not there.
Result<std::optional<std::string>> Sha256OfFile(const std::string& path) {
  const AuditFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    return errno == ENOENT ? Result<std::optional<std::string>>(std::nullopt) : AuditUnusable(path, "open", errno);
  }
  Digest digest;
  std::string block(kAuditBlock, '\0');
  for (;;) {
    const ssize_t n = ::read(file.fd(), block.data(), block.size());
    if (n < 0 && errno != EINTR) {
      return AuditUnusable(path, "read", errno);
    }
    if (n == 0) {
      return digest.End();
    }
    digest.Add(std::string_view(block).substr(0, n < 0 ? 0 : static_cast<size_t>(n)));
  }
}

}  // namespace

std::string Sha256(std::string_view bytes) {
  Digest digest;
  digest.Add(bytes);
  return digest.End();
}

Result<std::optional<std::string>> JudgeKeptAudit(const std::string& path, const AuditBeginning& beginning) {
  const Json said = Json::parse(beginning.said, nullptr, false);
  const auto text = [&](const char* name) {
    return said.is_object() && said.contains(name) && said[name].is_string() ? said[name].get<std::string>() : "";
  };
  // Beside the log, wherever the state directory stands by now.
  const std::string name = std::filesystem::path(text("kept_as")).filename().string();
  const std::string hash = text("sha256");
  if (name.empty() || hash.empty()) {
    return std::optional(fmt::format("record {} does not name the log that it replaces", beginning.first.seq));
  }
  const std::string kept = (std::filesystem::path(path).parent_path() / name).string();
  CROSSFADE_ASSIGN(const std::optional<std::string> found, Sha256OfFile(kept));
  if (!found) {
    return std::optional(
        fmt::format("{} is gone: the log that record {} replaces was kept there", kept, beginning.first.seq));
  }
  return *found == hash
             ? std::nullopt
             : std::optional(fmt::format("{} was changed after record {} replaced it", kept, beginning.first.seq));
}

}  // namespace crossfade::state
