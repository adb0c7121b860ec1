// An artifact that breaks its promise, for tests.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "format/safetensors.h"

namespace octavo::workflow {

// Puts the floats of `base` back into one layer of `artifact`, with config.json and the hashes of
// octavo.json made to fit: only the scheme that octavo.json promises for the layer tells.
inline void PutFloatsBack(const std::string& base, const std::string& artifact,
                          const std::string& layer) {
  const auto floats = format::ModelFolder::Open(base);
  ASSERT_TRUE(floats.ok()) << floats.error().message();
  const auto codes = format::ModelFolder::Open(artifact);
  ASSERT_TRUE(codes.ok()) << codes.error().message();
  std::vector<format::TensorPlan> plan;
  std::vector<tensor::TensorView> views;
  const auto add = [&](const std::string& name, const tensor::TensorView& view) {
    plan.push_back({name, view.dtype, view.shape});
    views.push_back(view);
  };
  for (const std::string& name : codes.value().tensor_names()) {
    if (!name.starts_with(layer + ".")) add(name, *codes.value().FindTensor(name));
  }
  ASSERT_LT(plan.size(), codes.value().tensor_names().size()) << layer;
  add(layer + ".weight", floats.value().GetTensor(layer + ".weight").value());
  const std::string path = core::JoinPath(artifact, "model.safetensors");
  auto writer = format::SafetensorsWriter::Create(path, plan);
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  for (const tensor::TensorView& view : views) ASSERT_TRUE(writer.value().Append(view.bytes).ok());
  ASSERT_TRUE(writer.value().Commit().ok());

  core::Json config = codes.value().config();
  config["quantization_config"]["ignore"].push_back(layer);
  ASSERT_TRUE(
      core::WriteFileAtomic(core::JoinPath(artifact, "config.json"), core::DumpJson(config)).ok());
  core::Json details = format::ReadManifest(artifact).value().details;
  ASSERT_TRUE(format::WriteManifest(artifact, "artifact", std::move(details)).ok());
}

}  // namespace octavo::workflow
