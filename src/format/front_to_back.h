// Reading the weights of a folder once, from front to back: fetched ahead of their use, hashed as
// they pass, given back behind it.
#pragma once

#include <cstddef>
#include <vector>

#include "core/hash.h"
#include "core/lane.h"
#include "core/result.h"
#include "format/manifest.h"
#include "format/model_folder.h"

namespace octavo::format {

// Hashes on a thread of its own. For one thread to call; the folder must outlive it.
class FrontToBack {
 public:
  explicit FrontToBack(const ModelFolder& folder);

  // These weights of the folder will be used now: has the system read them and on behind them.
  void Approach(const tensor::TensorView& view);
  // They are not needed any more for now. Weights may pass out of order or again, but files are
  // hashed from front to back: what lies before the weights is hashed with them, and nothing twice.
  void Pass(const tensor::TensorView& view);
  // The hashes of all weight files; reads what never passed. Nothing may pass afterwards.
  FileHashes Finish();

 private:
  struct File {
    const core::MappedFile* map;
    size_t fetched = 0;  // bytes from the front
    size_t passed = 0;
    core::Sha256 hash;  // of the hashing thread
  };
  File& FileOf(const tensor::TensorView& view);
  void PassTo(File& file, size_t end);

  std::vector<File> files_;
  core::Lane hashing_;
};

}  // namespace octavo::format
