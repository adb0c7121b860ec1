#include "compress/block_store.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include "core/file.h"
#include "core/staging.h"

namespace octavo::compress {
namespace {

constexpr char kJobFile[] = "job.json";

bool HoldsJob(const std::string& folder, const core::Json& job) {
  const std::string path = core::JoinPath(folder, kJobFile);
  if (!core::FileExists(path)) return false;
  const auto read = core::ReadJsonFile(path);
  return read.ok() && read.value() == job;
}

}  // namespace

std::string BlockStore::FolderFor(const std::string& out_dir) {
  return core::KeptBeside(out_dir, "blocks");
}

core::Result<BlockStore> BlockStore::Open(const std::string& out_dir, const core::Json& job) {
  const std::string folder = FolderFor(out_dir);
  OCTAVO_RETURN_IF_ERROR(core::MakeFolders(folder));
  OCTAVO_TRY(core::Fd lock, core::OpenFd(folder, O_RDONLY | O_DIRECTORY));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return core::ErrnoError(folder, "lock", errno);
    return core::Invalid(out_dir +
                         ": another octavo is making it; wait for it or give another --out");
  }
  BlockStore store(folder, std::move(lock));
  if (!HoldsJob(folder, job)) {
    OCTAVO_TRY(const std::vector<std::string> names, core::ListFolder(folder));
    for (const std::string& name : names)
      OCTAVO_RETURN_IF_ERROR(core::RemoveAll(core::JoinPath(folder, name)));
    OCTAVO_RETURN_IF_ERROR(
        core::WriteFileAtomic(core::JoinPath(folder, kJobFile), core::DumpJson(job), 0600));
  }
  while (core::FileExists(store.BlockPath(store.finished_))) ++store.finished_;
  return store;
}

std::string BlockStore::BlockPath(int64_t layer) const {
  return core::JoinPath(folder_, fmt::format("block-{:05}.safetensors", layer));
}

std::string BlockStore::StatesPath(int64_t layer) const {
  return core::JoinPath(folder_, fmt::format("states-{:05}", layer));
}

std::string BlockStore::ReportPath(int64_t layer) const {
  return core::JoinPath(folder_, fmt::format("report-{:05}.json", layer));
}

core::Json BlockStore::Report(int64_t layer) const {
  const auto read = core::ReadJsonFile(ReportPath(layer));
  return read.ok() ? read.value() : core::Json();
}

core::Status BlockStore::LoadStates(engine::HiddenStates& states) const {
  return states.Load(StatesPath(finished_));
}

core::Status BlockStore::Commit(const QuantizedBlock& block, const engine::HiddenStates* next) {
  // The block's own file says that it is finished, so it comes last.
  if (next != nullptr) OCTAVO_RETURN_IF_ERROR(next->Save(StatesPath(finished_ + 1)));
  OCTAVO_RETURN_IF_ERROR(
      core::WriteFileAtomic(ReportPath(finished_), core::DumpJson(block.report)));
  OCTAVO_RETURN_IF_ERROR(WriteBlockFile(block, BlockPath(finished_)));
  OCTAVO_RETURN_IF_ERROR(core::RemoveAll(StatesPath(finished_)));
  ++finished_;
  return {};
}

core::Status BlockStore::Remove() {
  return core::RemoveAll(folder_);
}

}  // namespace octavo::compress
