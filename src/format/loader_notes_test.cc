#include "format/loader_notes.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "format/manifest.h"

namespace octavo::format {
namespace {

std::string Notes(const std::vector<const char*>& schemes, bool online_rotation = false) {
  std::vector<LayerScheme> layers;
  for (const char* name : schemes) layers.push_back({"layer", tensor::ParseScheme(name).value()});
  std::string all;
  for (const std::string& note : LoaderNotes(layers, online_rotation)) all += note + "\n";
  return all;
}

TEST(LoaderNotes, NameWhatALoaderCannotDo) {
  EXPECT_NE(Notes({"w8a16"}).find("w8a16: vLLM on CPU"), std::string::npos);
  EXPECT_NE(Notes({"w8a8"}).find("w8a8: vLLM has no int8 kernel for Blackwell"), std::string::npos);
  EXPECT_NE(Notes({"w8a8-static"}).find("Blackwell"), std::string::npos);
  EXPECT_NE(Notes({"w4a8-g32"}).find("Arm CPUs only"), std::string::npos);
  EXPECT_NE(Notes({"w8a16-tensor"}).find("refuses one scale"), std::string::npos);
  EXPECT_EQ(Notes({"w4a16-g32", "16"}), "");
}

TEST(LoaderNotes, SayEachThingOnce) {
  const std::string notes = Notes({"w8a8", "w8a16", "w8a8", "16"});
  EXPECT_EQ(std::count(notes.begin(), notes.end(), '\n'), 2) << notes;
}

TEST(LoaderNotes, OnlineRotationIsOctavosAlone) {
  const std::string notes = Notes({"w8a8"}, true);
  EXPECT_NE(notes.find("quant_method 'octavo'"), std::string::npos);
  EXPECT_EQ(notes.find("Blackwell"), std::string::npos) << "refused anyway";
}

TEST(LoaderNotes, AnArtifactsAreReadFromIt) {
  const core::TempFolder temp;
  const auto write = [&](const char* method) {
    const core::Json config = {{"quantization_config", {{"quant_method", method}}}};
    ASSERT_TRUE(core::WriteFileAtomic(temp / "config.json", core::DumpJson(config)).ok());
    ASSERT_TRUE(WriteManifest(temp.path(), "artifact", {{"layers", {{"a", "w8a16"}}}}).ok());
  };
  write("compressed-tensors");
  const auto notes = ArtifactLoaderNotes(temp.path());
  ASSERT_TRUE(notes.ok()) << notes.error().message();
  ASSERT_EQ(notes.value().size(), 1U);
  EXPECT_NE(notes.value()[0].find("w8a16: vLLM on CPU"), std::string::npos);
  write("octavo");
  EXPECT_NE(ArtifactLoaderNotes(temp.path()).value()[0].find("online rotation"), std::string::npos);
  ASSERT_TRUE(WriteManifest(temp.path(), "artifact", core::Json::object()).ok());
  EXPECT_FALSE(ArtifactLoaderNotes(temp.path()).ok());
}

}  // namespace
}  // namespace octavo::format
