// A calibration folder: the token ids that a model is observed on, what was observed, and where
// they came from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/observer.h"
#include "core/json.h"
#include "core/result.h"

namespace octavo::compress {

inline constexpr char kCalibrationName[] = "calibration.json";
inline constexpr char kTokensName[] = "tokens.safetensors";

// The folder holds
//   tokens.safetensors  `tokens` I32 [total], `offsets` I64 [samples + 1] into it, `places` I64
//                       [samples]
//   ranges.safetensors  what observers saw, where the model was run (compress/ranges.h)
//   calibration.json    the summary: sources by name and SHA-256, seed, context, counts, and the
//                       SHA-256 of the other files; nothing of what the prompts say
// Files are readable by their owner only, because prompts are private.
struct Calibration {
  // Token ids of each sample: at least one and at most `context`, all below the vocabulary's size.
  std::vector<std::vector<int32_t>> samples;
  // The place of each in the whole sample, ascending: 0, 1, 2, ..., but for a shard, which has
  // every n-th.
  std::vector<int64_t> places;
  // Of the input of each linear layer; empty where the model was not run.
  std::vector<InputRanges> ranges;
  core::Json summary;  // calibration.json
  // SHA-256 of calibration.json: the name of all that is in the folder. Set by reading and writing.
  std::string digest;

  int64_t tokens() const;
};

// Reads and checks a folder; the SHA-256 of each file must be that of calibration.json. Errors name
// file and field. A shard is refused unless `allow_shard`.
core::Result<Calibration> ReadCalibration(const std::string& folder, bool allow_shard = false);

// Writes the folder, which appears whole or not at all, completes `calibration.summary` (counts of
// what is in `samples`, `files`) and sets its digest. An existing folder is replaced only if it is
// empty or holds a calibration.json.
core::Status WriteCalibration(const std::string& folder, Calibration& calibration);

// One calibration from all the shards of it, in any order, with the bytes that an unsharded run
// would have written. Errors name the shard that is missing, given twice, or made from something
// else.
core::Result<Calibration> MergeCalibrations(const std::vector<std::string>& folders);

}  // namespace octavo::compress
