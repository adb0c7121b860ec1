#include "core/hash.h"

#include <vector>

#include <fcntl.h>
#include <openssl/evp.h>

#include "core/posix.h"

namespace octavo::core {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    // Only a missing library or exhausted memory can fail here.
    OCTAVO_CHECK(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1);
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Update(ByteSpan bytes) {
  OCTAVO_CHECK(state_ != nullptr);
  OCTAVO_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::Hex() {
  OCTAVO_CHECK(state_ != nullptr);
  unsigned char digest[32];
  OCTAVO_CHECK(EVP_DigestFinal_ex(state_->context, digest, nullptr) == 1);
  state_.reset();
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string Sha256Hex(std::string_view text) {
  Sha256 hash;
  hash.Update(text);
  return hash.Hex();
}

Result<std::string> Sha256File(const std::string& path) {
  OCTAVO_TRY(const Fd fd, OpenFd(path, O_RDONLY));
  std::vector<std::byte> buffer(size_t{1} << 20);
  Sha256 hash;
  for (;;) {
    OCTAVO_TRY(const size_t count, ReadSome(fd, path, buffer));
    if (count == 0) return hash.Hex();
    hash.Update(ByteSpan(buffer).first(count));
  }
}

}  // namespace octavo::core
