// SHA-256 (FIPS 180-4) of bytes, files and folders: the names by which artifacts, prompts and
// evaluations are known.
#pragma once

#include <memory>
#include <string>

#include "core/bytes.h"
#include "core/result.h"

namespace octavo::core {

// Hashes as bytes come. Hex() ends it.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void Update(ByteSpan bytes);
  void Update(std::string_view text) { Update(AsBytes(text)); }
  // 64 lower-case hex digits.
  std::string Hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string Sha256Hex(std::string_view text);
// Streams the file; errors start with its path.
Result<std::string> Sha256File(const std::string& path);

}  // namespace octavo::core
