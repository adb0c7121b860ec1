// What other loaders of compressed-tensors folders cannot do with a folder, said before it is
// shipped.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "format/compressed_tensors.h"

namespace octavo::format {

// One sentence for each loader and reason, none when all of them run the folder. As found in vLLM
// 0.32 (model_executor/kernels/linear) and transformers 5. layers: the schemes of the linear
// modules of a model, those of 16 bits may be left out; online_rotation: the runtime has to rotate
// activations.
std::vector<std::string> LoaderNotes(const std::vector<LayerScheme>& layers, bool online_rotation);
// The same of an artifact, from what its octavo.json and config.json say.
core::Result<std::vector<std::string>> ArtifactLoaderNotes(const std::string& folder);

}  // namespace octavo::format
