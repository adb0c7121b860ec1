// The journal of a run that goes block by block: each finished block is a file, and the hidden
// states that the next one reads are another, so a killed run goes on where it stopped and ends in
// the same bytes.
#pragma once

#include <cstdint>
#include <string>

#include "compress/quantized_block.h"
#include "core/json.h"
#include "core/posix.h"
#include "core/result.h"
#include "engine/hidden_states.h"

namespace octavo::compress {

// A hidden folder beside the artifact that is being made. One process at a time; not thread-safe.
class BlockStore {
 public:
  // The folder that runs for `out_dir` use.
  static std::string FolderFor(const std::string& out_dir);
  // Opens it, or begins it anew where it holds another job: `job` is everything that the result
  // depends on. An Error where another process is at it.
  static core::Result<BlockStore> Open(const std::string& out_dir, const core::Json& job);

  const std::string& folder() const { return folder_; }
  // How many blocks are finished.
  int64_t finished() const { return finished_; }
  std::string BlockPath(int64_t layer) const;
  core::Json Report(int64_t layer) const;
  // The states that block finished() reads, where some were saved.
  core::Status LoadStates(engine::HiddenStates& states) const;
  // Block finished() is done; `next`: what the following block reads, nullptr: nothing does.
  // Durable when it returns.
  core::Status Commit(const QuantizedBlock& block, const engine::HiddenStates* next);
  // After the artifact is published.
  core::Status Remove();

 private:
  BlockStore(std::string folder, core::Fd lock)
      : folder_(std::move(folder)), lock_(std::move(lock)) {}
  std::string StatesPath(int64_t layer) const;
  std::string ReportPath(int64_t layer) const;
  std::string folder_;
  core::Fd lock_;
  int64_t finished_ = 0;
};

}  // namespace octavo::compress
