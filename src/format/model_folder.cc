#include "format/model_folder.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "core/file.h"
#include "core/suggest.h"
#include "format/confined_path.h"

namespace octavo::format {
namespace {

using core::Json;
using tensor::TensorView;

constexpr char kSingleName[] = "model.safetensors";
constexpr char kIndexName[] = "model.safetensors.index.json";
constexpr core::JsonLimits kConfigLimits{.max_bytes = size_t{16} << 20};
constexpr core::JsonLimits kIndexLimits{.max_bytes = size_t{64} << 20};

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

core::Result<Json> ReadConfig(const std::string& folder) {
  if (!core::FolderExists(folder)) {
    return core::NotFound(fmt::format(
        "{}: {}", core::PrintablePath(folder),
        core::FileExists(folder)
            ? "is a file, expected a Hugging Face model folder; 'octavo pull' makes one of a GGUF "
              "file"
            : "no such folder"));
  }
  if (!core::FileExists(core::JoinPath(folder, "config.json"))) {
    return core::NotFound(core::PrintablePath(folder) +
                          ": has no config.json, so it is no Hugging Face model folder; fetch all "
                          "files of the model");
  }
  OCTAVO_TRY(const std::string path, ConfinedPath(folder, "config.json"));
  OCTAVO_TRY(Json config, core::ReadJsonFile(path, kConfigLimits));
  if (!config.is_object())
    return core::Invalid(core::PrintablePath(path) + ": expected a JSON object");
  return config;
}

// Why a folder has no safetensors: what is there in their place, and what to do about it.
core::Error NoWeights(const std::string& folder) {
  const auto names = core::ListFolder(folder);
  for (const std::string& name : names.ok() ? names.value() : std::vector<std::string>()) {
    for (const std::string_view ending : {".bin", ".pt", ".pth", ".pkl", ".ckpt"}) {
      if (!EndsWith(name, ending)) continue;
      return core::Unsupported(fmt::format(
          "{}: '{}' is a pickle file, which can run code when it is read, so octavo never reads "
          "one; convert it with transformers' save_pretrained(safe_serialization=True)",
          core::PrintablePath(folder), core::Printable(name)));
    }
    if (EndsWith(name, ".gguf")) {
      return core::Unsupported(fmt::format(
          "{}: its weights are in '{}'; run 'octavo pull' on that file and use the folder it makes",
          core::PrintablePath(folder), core::Printable(name)));
    }
  }
  return core::NotFound(fmt::format("{}: has neither {} nor {}; fetch all files of the model",
                                    core::PrintablePath(folder), kSingleName, kIndexName));
}

// Opens each shard that the index names, in the order of their names, and checks that index and
// shards agree about every tensor.
core::Result<std::vector<SafetensorsFile>> OpenShards(const std::string& folder) {
  OCTAVO_TRY(const std::string path, ConfinedPath(folder, kIndexName));
  OCTAVO_TRY(const Json index, core::ReadJsonFile(path, kIndexLimits));
  OCTAVO_TRY(const auto placed, ParseShardIndex(index).Context(core::PrintablePath(path)));
  std::set<std::string_view> names;
  for (const auto& [tensor, shard] : placed) names.insert(shard);
  if (core::FileExists(core::JoinPath(folder, kSingleName)) && names.count(kSingleName) == 0) {
    return core::Invalid(fmt::format("{}: has both {} and {}, which does not name it; remove one",
                                     core::PrintablePath(folder), kSingleName, kIndexName));
  }
  std::vector<SafetensorsFile> shards;
  size_t found = 0;
  for (const std::string_view name : names) {
    OCTAVO_TRY(const std::string shard_path, ConfinedPath(folder, name));
    OCTAVO_TRY(SafetensorsFile shard, SafetensorsFile::Open(shard_path));
    for (const auto& [tensor, view] : shard.tensors()) {
      const auto place = placed.find(tensor);
      if (place == placed.end() || place->second != name) {
        return core::Invalid(fmt::format(
            "{}: holds tensor '{}', which {} {}; fetch the files of one revision again",
            core::PrintablePath(shard_path), core::Printable(tensor), kIndexName,
            place == placed.end() ? "does not list"
                                  : fmt::format("places in '{}'", core::Printable(place->second))));
      }
      ++found;
    }
    shards.push_back(std::move(shard));
  }
  if (found == placed.size()) return shards;
  for (const auto& [tensor, shard_name] : placed) {
    const bool present =
        std::any_of(shards.begin(), shards.end(),
                    [&name = tensor](const auto& shard) { return shard.Find(name) != nullptr; });
    if (present) continue;
    return core::Invalid(fmt::format(
        "{}: places tensor '{}' in '{}', which does not hold it; fetch the files of "
        "one revision again",
        core::PrintablePath(path), core::Printable(tensor), core::Printable(shard_name)));
  }
  OCTAVO_CHECK(false);
}

core::Result<std::vector<SafetensorsFile>> OpenWeights(const std::string& folder) {
  if (core::FileExists(core::JoinPath(folder, kIndexName))) return OpenShards(folder);
  if (!core::FileExists(core::JoinPath(folder, kSingleName))) return NoWeights(folder);
  OCTAVO_TRY(const std::string path, ConfinedPath(folder, kSingleName));
  OCTAVO_TRY(SafetensorsFile file, SafetensorsFile::Open(path));
  std::vector<SafetensorsFile> files;
  files.push_back(std::move(file));
  return files;
}

}  // namespace

core::Result<std::map<std::string, std::string, std::less<>>> ParseShardIndex(const Json& index) {
  const Json* map = core::Find(index, "weight_map");
  if (map == nullptr || !map->is_object()) {
    return core::Invalid("field 'weight_map' must be an object of tensor names and file names");
  }
  std::map<std::string, std::string, std::less<>> placed;
  for (const auto& [name, shard] : map->get_ref<const Json::object_t&>()) {
    if (!shard.is_string() || !EndsWith(shard.get_ref<const std::string&>(), ".safetensors")) {
      return core::Invalid(fmt::format("'weight_map': tensor '{}' must be in a .safetensors file",
                                       core::Printable(name)));
    }
    placed.emplace(name, shard.get<std::string>());
  }
  return placed;
}

core::Result<ModelFolder> ModelFolder::Open(const std::string& path) {
  ModelFolder folder;
  folder.path_ = path;
  OCTAVO_TRY(folder.config_, ReadConfig(path));
  OCTAVO_TRY(folder.shards_, OpenWeights(path));
  for (const SafetensorsFile& shard : folder.shards_) {
    for (const auto& [name, view] : shard.tensors()) {
      folder.names_.push_back(name);
      folder.index_.emplace(name, &view);
      folder.weights_bytes_ += static_cast<int64_t>(view.bytes.size());
    }
  }
  return folder;
}

const TensorView* ModelFolder::FindTensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : found->second;
}

core::Result<TensorView> ModelFolder::GetTensor(std::string_view name) const {
  if (const TensorView* view = FindTensor(name)) return *view;
  const std::vector<std::string_view> known(names_.begin(), names_.end());
  return core::NotFound(fmt::format("{}: has no tensor '{}'{}", core::PrintablePath(path_),
                                    core::Printable(name), core::DidYouMean(name, known)));
}

const SafetensorsFile* ModelFolder::ShardOf(const TensorView& view) const {
  for (const SafetensorsFile& shard : shards_) {
    const core::ByteSpan all = shard.file().bytes();
    if (view.bytes.data() >= all.data() && view.bytes.data() < all.data() + all.size())
      return &shard;
  }
  return nullptr;
}

void ModelFolder::DropPages(const TensorView& view) const {
  if (const SafetensorsFile* shard = ShardOf(view)) shard->file().DropPages(view.bytes);
}

const core::MappedFile& ModelFolder::FileOf(const TensorView& view) const {
  const SafetensorsFile* shard = ShardOf(view);
  OCTAVO_CHECK(shard != nullptr);
  return shard->file();
}

std::vector<std::string> CompanionFiles(const std::string& folder) {
  constexpr std::array<std::string_view, 11> kNames = {"tokenizer.json",
                                                       "tokenizer_config.json",
                                                       "special_tokens_map.json",
                                                       "added_tokens.json",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "tokenizer.model",
                                                       "chat_template.jinja",
                                                       "chat_template.json",
                                                       "generation_config.json",
                                                       "README.md"};
  constexpr std::array<std::string_view, 3> kPrefixes = {"LICENSE", "NOTICE", "USE_POLICY"};
  const auto names = core::ListFolder(folder);
  std::vector<std::string> out;
  for (const std::string& name : names.ok() ? names.value() : std::vector<std::string>()) {
    const bool known =
        std::find(kNames.begin(), kNames.end(), name) != kNames.end() ||
        std::any_of(kPrefixes.begin(), kPrefixes.end(), [&](std::string_view prefix) {
          return name.compare(0, prefix.size(), prefix) == 0;
        });
    if (known && ConfinedPath(folder, name).ok()) out.push_back(name);
  }
  return out;
}

}  // namespace octavo::format
