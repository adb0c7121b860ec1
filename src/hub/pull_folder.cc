// A Hugging Face folder as it is, or with its float weights in another type.
#include <algorithm>

#include <fmt/format.h>

#include "core/file.h"
#include "format/confined_path.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "hub/convert.h"
#include "hub/sources.h"
#include "text/tokenizer.h"

namespace octavo::hub {
namespace {

using core::Json;
using format::ModelFolder;
using format::SafetensorsFile;

constexpr char kIndexName[] = "model.safetensors.index.json";
constexpr size_t kCopyBytes = size_t{4} << 20;

core::Status Copy(const std::string& source, const std::string& staging, const std::string& name,
                  core::Progress& progress, const core::CancelToken& cancel) {
  OCTAVO_TRY(const std::string path, format::ConfinedPath(source, name));
  OCTAVO_TRY(const core::MappedFile file, core::MappedFile::Open(path));
  OCTAVO_TRY(core::AtomicFile out, core::AtomicFile::Create(core::JoinPath(staging, name)));
  for (core::ByteSpan rest = file.bytes(); !rest.empty();) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    const core::ByteSpan piece = rest.first(std::min(rest.size(), kCopyBytes));
    OCTAVO_RETURN_IF_ERROR(out.Append(piece));
    file.DropPages(piece);
    progress.Advance(static_cast<int64_t>(piece.size()));
    rest = rest.subspan(piece.size());
  }
  return out.Commit();
}

core::Status ConvertTensor(const std::string& name, const tensor::TensorView& view,
                           tensor::DType dtype, FloatAppender& out,
                           const core::CancelToken& cancel) {
  const auto width = static_cast<int64_t>(tensor::DTypeSize(view.dtype));
  std::vector<float> piece;
  for (int64_t first = 0; first < view.elements(); first += kPieceElements) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    piece.resize(static_cast<size_t>(std::min(kPieceElements, view.elements() - first)));
    tensor::ConvertToFloat(view.dtype,
                           view.bytes.subspan(static_cast<size_t>(first * width),
                                              piece.size() * static_cast<size_t>(width)),
                           piece);
    OCTAVO_RETURN_IF_ERROR(out.Append(name, first, piece, dtype));
  }
  return {};
}

core::Status ConvertShard(const SafetensorsFile& shard, const std::string& path,
                          tensor::DType dtype, core::Progress& progress,
                          const core::CancelToken& cancel) {
  std::vector<format::TensorPlan> plan;
  for (const auto& [name, view] : shard.tensors()) {
    if (!tensor::IsFloat(view.dtype)) {
      return core::Unsupported(fmt::format(
          "{}: tensor '{}' is {}; --dtype converts float weights only", core::PrintablePath(path),
          core::Printable(name), tensor::DTypeName(view.dtype)));
    }
    plan.push_back({name, dtype, view.shape});
  }
  OCTAVO_TRY(format::SafetensorsWriter writer,
             format::SafetensorsWriter::Create(path, std::move(plan)));
  FloatAppender out(writer);
  for (const auto& [name, view] : shard.tensors()) {
    OCTAVO_RETURN_IF_ERROR(ConvertTensor(name, view, dtype, out, cancel));
    shard.file().DropPages(view.bytes);
    progress.Advance(static_cast<int64_t>(view.bytes.size()));
  }
  OCTAVO_TRY(const std::string hash, writer.Commit());
  static_cast<void>(hash);
  return {};
}

// Writes the weights in `dtype`, shard by shard, and the two JSON files that speak of their type.
core::Status Convert(const ModelFolder& folder, const std::string& staging, tensor::DType dtype,
                     core::Progress& progress, const core::CancelToken& cancel) {
  if (core::Find(folder.config(), "quantization_config") != nullptr) {
    return core::Usage(folder.path() +
                       ": is quantized, so --dtype does not apply; pull it without, or its base");
  }
  progress.Begin("converting", folder.weights_bytes(), "bytes");
  for (const SafetensorsFile& shard : folder.shards()) {
    const std::string name = core::BaseName(shard.file().path());
    OCTAVO_RETURN_IF_ERROR(
        ConvertShard(shard, core::JoinPath(staging, name), dtype, progress, cancel));
  }
  progress.End();
  Json config = folder.config();
  const bool new_spelling = config.contains("dtype");
  config[new_spelling ? "dtype" : "torch_dtype"] = TorchName(dtype);
  OCTAVO_RETURN_IF_ERROR(
      core::WriteFileAtomic(core::JoinPath(staging, "config.json"), core::DumpJson(config)));
  if (!core::FileExists(core::JoinPath(folder.path(), kIndexName))) return {};
  OCTAVO_TRY(const std::string index_path, format::ConfinedPath(folder.path(), kIndexName));
  OCTAVO_TRY(Json index, core::ReadJsonFile(index_path));
  int64_t bytes = 0;
  for (const SafetensorsFile& shard : folder.shards()) {
    for (const auto& [name, view] : shard.tensors()) {
      bytes += view.elements() * static_cast<int64_t>(tensor::DTypeSize(dtype));
    }
  }
  index["metadata"] = {{"total_size", bytes}};
  return core::WriteFileAtomic(core::JoinPath(staging, kIndexName), core::DumpJson(index));
}

// The tokenizer loads, and all its ids have a row of the embedding.
core::Status CheckTokenizer(const ModelFolder& folder) {
  if (!core::FileExists(core::JoinPath(folder.path(), "tokenizer.json"))) {
    return core::NotFound(core::PrintablePath(folder.path()) +
                          ": has no tokenizer.json; fetch it too, or make it with transformers' "
                          "AutoTokenizer.from_pretrained(...).save_pretrained(...)");
  }
  const tensor::TensorView* embedding = folder.FindTensor("model.embed_tokens.weight");
  const bool known = embedding != nullptr && !embedding->shape.empty();
  const auto usable = text::Tokenizer::Load(folder.path(), known ? embedding->shape.front() : 0);
  if (!usable.ok()) return usable.error();
  return {};
}

// Names of the files that hold the model itself, beside its companions.
std::vector<std::string> ModelFiles(const ModelFolder& folder) {
  std::vector<std::string> names = {"config.json"};
  for (const SafetensorsFile& shard : folder.shards()) {
    names.push_back(core::BaseName(shard.file().path()));
  }
  if (core::FileExists(core::JoinPath(folder.path(), kIndexName))) names.emplace_back(kIndexName);
  return names;
}

core::Status CopyAll(const std::string& source, const std::string& staging,
                     const std::vector<std::string>& names, core::Progress& progress,
                     const core::CancelToken& cancel) {
  int64_t bytes = 0;
  for (const std::string& name : names) {
    OCTAVO_TRY(const uint64_t size, core::FileSize(core::JoinPath(source, name)));
    bytes += static_cast<int64_t>(size);
  }
  progress.Begin("copying", bytes, "bytes");
  for (const std::string& name : names) {
    OCTAVO_RETURN_IF_ERROR(Copy(source, staging, name, progress, cancel));
  }
  progress.End();
  return {};
}

}  // namespace

core::Result<Origin> PullFolder(const std::string& source, const std::string& staging,
                                const PullOptions& options, core::Progress& progress,
                                const core::CancelToken& cancel) {
  OCTAVO_TRY(const ModelFolder folder, ModelFolder::Open(source));
  OCTAVO_RETURN_IF_ERROR(CheckTokenizer(folder));
  // What the source's own octavo.json says holds for a copy of it, once its hashes are verified.
  OCTAVO_TRY(const std::string digest, format::FolderDigest(source));
  const bool has_manifest = core::FileExists(core::JoinPath(source, format::kManifestName));
  std::vector<std::string> names = format::CompanionFiles(source);
  Origin origin;
  if (!options.dtype && has_manifest) {
    OCTAVO_TRY(const format::Manifest manifest, format::ReadManifest(source));
    origin = {manifest.kind, manifest.details};
    names.clear();
    for (const auto& [name, hash] : manifest.files) names.push_back(name);
  } else {
    origin.details = {{"source", {{"format", "folder"}, {"digest", digest}}},
                      {"revision", nullptr},
                      {"dtype", DTypeOption(options)}};
  }
  if (options.dtype) {
    OCTAVO_RETURN_IF_ERROR(Convert(folder, staging, *options.dtype, progress, cancel));
  } else if (!has_manifest) {
    const auto weights = ModelFiles(folder);
    names.insert(names.end(), weights.begin(), weights.end());
  }
  OCTAVO_RETURN_IF_ERROR(CopyAll(source, staging, names, progress, cancel));
  return origin;
}

}  // namespace octavo::hub
