#include "format/safetensors.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"

namespace octavo::format {
namespace {

using tensor::DType;
using tensor::Shape;
using tensor::TensorView;

const std::string kEveryDType = OCTAVO_TESTDATA "/format/types.safetensors";

// A file of this header and `data_bytes` zeros behind it.
std::string FileOf(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  return file + header + std::string(data_bytes, '\0');
}

std::string Entry(const std::string& name, const std::string& shape, int begin, int end,
                  const std::string& dtype = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string SafetensorsError(std::string_view file) {
  const auto table = SafetensorsFile::Parse(core::AsBytes(file));
  return table.ok() ? "parsed" : table.error().message();
}

void ExpectError(const std::string& file, const std::string& part) {
  const std::string error = SafetensorsError(file);
  EXPECT_NE(error.find(part), std::string::npos) << "got: " << error << "\nexpected: " << part;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

template <typename T>
void ExpectCounts(const SafetensorsFile& file, const char* name, DType dtype, int sign) {
  const TensorView* view = file.Find(name);
  ASSERT_NE(view, nullptr) << name;
  EXPECT_EQ(view->dtype, dtype) << name;
  EXPECT_EQ(view->shape, (Shape{2, 3})) << name;
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(core::LoadLittle<T>(view->bytes, i * sizeof(T)),
              static_cast<T>(sign * static_cast<int>(i)))
        << name;
  }
}

TEST(Safetensors, ReadsWhatTheReferenceWrote) {
  const auto opened = SafetensorsFile::Open(kEveryDType);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const SafetensorsFile& file = opened.value();
  EXPECT_EQ(file.tensors().size(), 9U);
  ExpectCounts<float>(file, "f32", DType::kF32, 1);
  ExpectCounts<int8_t>(file, "i8", DType::kI8, -1);
  ExpectCounts<int32_t>(file, "i32", DType::kI32, -1);
  ExpectCounts<int64_t>(file, "i64", DType::kI64, -1);
  ExpectCounts<uint8_t>(file, "u8", DType::kU8, 1);
  for (const char* name : {"f16", "bf16"}) {
    const TensorView* view = file.Find(name);
    ASSERT_NE(view, nullptr);
    std::vector<float> values(6);
    tensor::ConvertToFloat(view->dtype, view->bytes, values);
    EXPECT_EQ(values, (std::vector<float>{0, 1, 2, 3, 4, 5})) << name;
  }
  EXPECT_EQ(file.Find("scalar")->shape, Shape{});
  EXPECT_EQ(core::LoadLittle<float>(file.Find("scalar")->bytes, 0), 0.5F);
  EXPECT_EQ(file.Find("empty")->shape, (Shape{0, 4}));
  EXPECT_EQ(file.Find("missing"), nullptr);
}

TEST(Safetensors, ReadsBackWhatTheWriterWrote) {
  const core::TempFolder temp;
  const std::string path = temp / "a.safetensors";
  auto writer = SafetensorsWriter::Create(
      path, {{"b", DType::kI8, {3}}, {"a.\"q\"", DType::kF32, {}}, {"none", DType::kF16, {0}}});
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  EXPECT_FALSE(core::FileExists(path));
  const int8_t codes[] = {1, -2, 3};
  const float value = 2.5F;
  ASSERT_TRUE(writer.value().Append(std::as_bytes(std::span(codes))).ok());
  ASSERT_TRUE(writer.value().Append(std::as_bytes(std::span(&value, 1)).first(1)).ok());
  ASSERT_TRUE(writer.value().Append(std::as_bytes(std::span(&value, 1)).subspan(1)).ok());
  const auto hash = writer.value().Commit();
  ASSERT_TRUE(hash.ok()) << hash.error().message();
  EXPECT_EQ(hash.value(), core::Sha256File(path).value());

  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.error().message();
  ASSERT_EQ(file.value().tensors().size(), 3U);
  EXPECT_EQ(file.value().tensors()[0].first, "b");
  EXPECT_EQ(core::LoadLittle<float>(file.value().Find("a.\"q\"")->bytes, 0), 2.5F);
  const auto* data = file.value().Find("b")->bytes.data();
  EXPECT_EQ((data - file.value().file().bytes().data()) % 8, 0);
}

TEST(Safetensors, WriterLeavesNothingWithoutItsLastByte) {
  const core::TempFolder temp;
  {
    auto writer = SafetensorsWriter::Create(temp / "a.safetensors", {{"a", DType::kU8, {2}}});
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer.value().Append(core::AsBytes(std::string_view("x"))).ok());
    EXPECT_FALSE(writer.value().Commit().ok());
  }
  EXPECT_TRUE(core::ListFolder(temp.path()).value().empty());
}

TEST(Safetensors, WriterRefusesPlansThatNoFileCanHold) {
  const core::TempFolder temp;
  const int64_t huge = int64_t{1} << 62;
  const std::vector<std::vector<TensorPlan>> plans = {
      {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}},
      {{"__metadata__", DType::kU8, {1}}},
      {{"a", DType::kF32, {huge, huge}}},
      {{"a", DType::kU8, {-1}}}};
  for (const auto& plan : plans) {
    EXPECT_FALSE(SafetensorsWriter::Create(temp / "a.safetensors", plan).ok());
  }
}

TEST(Safetensors, RefusesHostileHeadersByName) {
  EXPECT_EQ(SafetensorsError(FileOf("{" + Entry("a", "[2]", 0, 8) + "}  ", 8)), "parsed");
  EXPECT_EQ(SafetensorsError(FileOf("{}", 0)), "parsed");
  const std::string other_begin = R"("dtype":"F32","shape":[1],"data_offsets":)";
  const struct {
    std::string header;
    size_t data;
    const char* error;
  } cases[] = {
      {"", 0, "no JSON object"},
      {"[]", 0, "no JSON object"},
      {" {}", 0, "no JSON object"},
      {"{}\n", 0, "no JSON object"},
      {"{\"a\":}", 0, "header"},
      {"{" + Entry("a", "[1]", 0, 4) + "," + Entry("a", "[1]", 4, 8) + "}", 8, "'a' appears twice"},
      {"{" + Entry("a", "[0]", 0, 0) + "," + Entry("a", "[0]", 0, 0) + "}", 0, "'a' appears twice"},
      {"{" + Entry("a", "[0]", 0, 0) + "," + Entry("\\u0061", "[0]", 0, 0) + "}", 0,
       "appears twice"},
      {"{" + Entry("a", "[1]", 0, 4) + "," + Entry("b", "[1]", 2, 6) + "}", 6, "tensor 'b' begins"},
      {"{" + Entry("a", "[1]", 0, 4) + "," + Entry("b", "[1]", 0, 4) + "}", 4, "tensor 'b' begins"},
      {"{" + Entry("a", "[1]", 0, 4) + "," + Entry("b", "[1]", 6, 10) + "}", 10, "expected 4"},
      {"{" + Entry("a", "[1]", 4, 8) + "}", 8, "expected 0"},
      {"{" + Entry("a", "[1]", 0, 4) + "}", 3, "only 3 are there"},
      {"{" + Entry("a", "[1]", 0, 4) + "}", 5, "1 bytes follow"},
      {"{}", 1, "1 bytes follow"},
      {"{" + Entry("a", "[2]", 0, 4) + "}", 4, "takes 8 bytes"},
      {"{" + Entry("a", "[1]", 4, 0) + "}", 4, "begin <= end"},
      {"{" + Entry("a", "[18446744073709551616]", 0, 4) + "}", 4, "does not fit"},
      {"{" + Entry("a", "[18446744073709551615]", 0, 4) + "}", 4, "'shape'"},
      {"{" + Entry("a", "[9223372036854775807,9223372036854775807]", 0, 4) + "}", 4, "2^64"},
      {"{" + Entry("a", "[4611686018427387904]", 0, 0) + "}", 0, "takes"},
      {"{" + Entry("a", "[-1]", 0, 4) + "}", 4, "'shape'"},
      {"{" + Entry("a", "[1.0]", 0, 4) + "}", 4, "'shape'"},
      {"{" + Entry("a", "7", 0, 4) + "}", 4, "'shape'"},
      {"{" + Entry("a", "[1]", 0, 8, "F64") + "}", 8, "type 'F64'"},
      {"{" + Entry("a", "[1]", 0, 1, "F8_E4M3") + "}", 1, "tensor 'a': type 'F8_E4M3'"},
      {"{" + Entry("", "[0]", 0, 0) + "}", 0, "name is empty"},
      {"{" + Entry("a\\u0000b", "[0]", 0, 0) + "}", 0, "control bytes"},
      {"{" + Entry("a\\nb", "[0]", 0, 0) + "}", 0, "control bytes"},
      {"{" + Entry("a\xFF", "[0]", 0, 0) + "}", 0, "header"},
      {"{\"a\":7}", 0, "tensor 'a'"},
      {"{\"a\":{" + other_begin + "[0,4,8]}}", 4, "'data_offsets'"},
      {"{\"a\":{" + other_begin + "[0,4],\"more\":1}}", 4, "'more'"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "'data_offsets'"},
      {R"({"__metadata__":7})", 0, "'__metadata__'"},
      {R"({"__metadata__":{"a":1}})", 0, "'__metadata__': field 'a'"},
      {"{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", 0, "nested deeper"},
  };
  for (const auto& c : cases) ExpectError(FileOf(c.header, c.data), c.error);
}

TEST(Safetensors, RefusesLengthsBeyondTheFileAndBeyondReason) {
  std::string file = FileOf("{}", 0);
  ExpectError("", "only 0 bytes");
  ExpectError(file.substr(0, 7), "only 7 bytes");
  file[0] = 3;
  ExpectError(file, "more than the 2 bytes that follow");
  for (size_t i = 0; i < 8; ++i) file[i] = '\xFF';
  ExpectError(file, "not a safetensors file");
  ExpectError("GGUF....................", "not a safetensors file");
}

TEST(Safetensors, RefusesHeadersThatWouldFillTheMemory) {
  std::string header = "{\"a\":[0";
  for (int i = 0; i < 9 << 20; ++i) header += ",0";
  ExpectError(FileOf(header + "]}", 0), "split the file into shards");
}

TEST(Safetensors, ErrorsNameTheFile) {
  const core::TempFolder temp;
  const std::string path = temp / "broken.safetensors";
  ASSERT_TRUE(core::WriteFileAtomic(path, FileOf("{}", 1)).ok());
  const auto file = SafetensorsFile::Open(path);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().message(),
            path + ": 1 bytes follow the last tensor; the file is damaged, fetch it again");
  EXPECT_FALSE(SafetensorsFile::Open(temp / "none").ok());
  EXPECT_FALSE(SafetensorsFile::Open(temp.path()).ok());
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string file = core::ReadFile(kEveryDType).value();
  ASSERT_EQ(SafetensorsError(file), "parsed");
  for (size_t length = 0; length < file.size(); ++length) {
    // A buffer of its own, so that the sanitizer sees a read behind its end.
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_NE(SafetensorsError({cut.data(), cut.size()}), "parsed") << length;
  }
}

TEST(Safetensors, AnyHeaderByteMayBeWrong) {
  const std::string file = core::ReadFile(kEveryDType).value();
  const auto header_bytes =
      8 + core::LoadLittle<uint64_t>(core::AsBytes(std::string_view(file)), 0);
  core::Random random(1);
  for (size_t i = 0; i < header_bytes; ++i) {
    for (int trial = 0; trial < 8; ++trial) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(random.Next());
      EXPECT_EQ(SafetensorsError(damaged).find('\n'), std::string::npos);
    }
  }
}

TEST(Safetensors, RandomCutsOfALargeFileAreErrors) {
  const core::TempFolder temp;
  const std::string path = temp / "large.safetensors";
  std::vector<TensorPlan> plan;
  for (int i = 0; i < 40; ++i) plan.push_back({"t" + std::to_string(i), DType::kF16, {7500}});
  auto writer = SafetensorsWriter::Create(path, plan);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer.value().Append(std::vector<std::byte>(600000)).ok());
  ASSERT_TRUE(writer.value().Commit().ok());
  const std::string file = core::ReadFile(path).value();
  ASSERT_EQ(SafetensorsError(file), "parsed");
  core::Random random(2);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_NE(SafetensorsError(std::string_view(file).substr(0, random.Below(file.size()))),
              "parsed");
  }
}

}  // namespace
}  // namespace octavo::format
