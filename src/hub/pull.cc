#include "hub/pull.h"

#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "core/file.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "hub/sources.h"

namespace octavo::hub {
namespace {

enum class SourceKind { kFolder, kGguf };

// What a file that is no GGUF seems to be, from its first bytes.
std::string_view Guess(std::string_view begin) {
  if (begin.substr(0, 4) == "PK\x03\x04" || begin.substr(0, 1) == "\x80") return "a PyTorch pickle";
  if (begin.size() > 8 && begin[8] == '{') return "a lone safetensors file";
  return "of a kind that octavo does not know";
}

core::Result<SourceKind> FindKind(const std::string& source) {
  if (core::FolderExists(source)) return SourceKind::kFolder;
  if (source.substr(0, 3) == "hf:") {
    return core::Unsupported(
        core::PrintablePath(source) +
        ": this version does not download; fetch the files of the model and pull "
        "the folder that holds them");
  }
  if (!core::FileExists(source)) {
    return core::NotFound(core::PrintablePath(source) +
                          ": no such file or folder; expected a Hugging Face folder or a .gguf "
                          "file");
  }
  OCTAVO_TRY(const core::MappedFile file, core::MappedFile::Open(source));
  const std::string_view text = core::AsText(file.bytes());
  if (text.substr(0, 4) == "GGUF") return SourceKind::kGguf;
  return core::Unsupported(
      fmt::format("{}: is {}; expected a Hugging Face folder with safetensors, or a GGUF file",
                  core::PrintablePath(source), Guess(text)));
}

}  // namespace

std::string_view TorchName(tensor::DType dtype) {
  if (dtype == tensor::DType::kF32) return "float32";
  return dtype == tensor::DType::kF16 ? "float16" : "bfloat16";
}

std::string DTypeOption(const PullOptions& options) {
  return options.dtype ? std::string(tensor::DTypeName(*options.dtype)) : "as-stored";
}

core::Result<PullSummary> Pull(const std::string& source, const std::string& out_dir,
                               const PullOptions& options, core::Progress& progress,
                               const core::CancelToken& cancel) {
  OCTAVO_TRY(const SourceKind kind, FindKind(source));
  std::error_code ignored;
  if (std::filesystem::equivalent(source, out_dir, ignored)) {
    return core::Usage(core::PrintablePath(out_dir) +
                       ": is the source itself; name another folder for --out");
  }
  OCTAVO_TRY(core::AtomicDirectory out, format::CreateOutputFolder(out_dir));
  const auto pull = kind == SourceKind::kGguf ? PullGguf : PullFolder;
  OCTAVO_TRY(Origin origin, pull(source, out.staging(), options, progress, cancel));
  OCTAVO_TRY(const format::Manifest manifest,
             format::WriteManifest(out.staging(), origin.kind, std::move(origin.details)));
  // What is published opens.
  OCTAVO_TRY(const format::ModelFolder folder, format::ModelFolder::Open(out.staging()));
  OCTAVO_RETURN_IF_ERROR(out.Commit());
  return PullSummary{format::ContentDigest(manifest),
                     static_cast<int64_t>(folder.tensor_names().size()), folder.weights_bytes()};
}

}  // namespace octavo::hub
