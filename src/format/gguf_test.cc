#include "format/gguf.h"

#include <limits>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"
#include "format/gguf_builder.h"
#include "format/safetensors.h"

namespace octavo::format {
namespace {

const std::string kPlainTypes = OCTAVO_TESTDATA "/format/types.gguf";

std::string GgufError(std::string_view file) {
  const auto parsed = GgufFile::Parse(core::AsBytes(file));
  return parsed.ok() ? "parsed" : parsed.error().message();
}

void ExpectError(const GgufBuilder& builder, const std::string& part, size_t alignment = 32) {
  const std::string error = GgufError(builder.Build(alignment));
  EXPECT_NE(error.find(part), std::string::npos) << "got: " << error << "\nexpected: " << part;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

GgufBuilder OneTensor(const std::string& name = "a") {
  return GgufBuilder().F32Tensor(name, {2}, {1, 2});
}

TEST(Gguf, ValuesOfEveryTypeEqualTheReference) {
  const auto opened = GgufFile::Open(kPlainTypes);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const auto expected = SafetensorsFile::Open(OCTAVO_TESTDATA "/format/types_expected.safetensors");
  ASSERT_TRUE(expected.ok()) << expected.error().message();
  ASSERT_EQ(opened.value().tensors().size(), 6U);
  for (const GgufTensor& tensor : opened.value().tensors()) {
    const tensor::TensorView* want = expected.value().Find(tensor.name);
    ASSERT_NE(want, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, want->shape) << tensor.name;
    std::vector<float> want_values(192);
    tensor::ConvertToFloat(want->dtype, want->bytes, want_values);
    std::vector<float> values(192);
    GgufDequantize(tensor, 0, values);
    EXPECT_EQ(values, want_values) << tensor.name;
    // A piece from the middle is the same piece.
    std::vector<float> piece(64);
    GgufDequantize(tensor, 96, piece);
    EXPECT_EQ(piece, std::vector<float>(want_values.begin() + 96, want_values.begin() + 160));
  }
}

TEST(Gguf, MetadataOfEveryTypeIsRead) {
  const auto opened = GgufFile::Open(kPlainTypes);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const GgufFile& file = opened.value();
  EXPECT_EQ(file.GetString("general.architecture").value(), "llama");
  EXPECT_EQ(file.GetInt("test.u8").value(), 255);
  EXPECT_EQ(file.GetInt("test.i8").value(), -128);
  EXPECT_EQ(file.GetInt("test.u16").value(), 65535);
  EXPECT_EQ(file.GetInt("test.i16").value(), -32768);
  EXPECT_EQ(file.GetInt("test.u32").value(), 4294967295);
  EXPECT_EQ(file.GetInt("test.i32").value(), -2147483648LL);
  EXPECT_EQ(file.GetInt("test.u64").value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(file.GetInt("test.i64").value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(file.GetDouble("test.f32").value(), static_cast<double>(1e-5F));
  EXPECT_EQ(file.GetDouble("test.f64").value(), -1e300);
  EXPECT_EQ(std::get<bool>(*file.FindValue("test.bool")), true);
  EXPECT_EQ(file.GetString("test.string").value(), "h\u00e9 \u20ac");
  EXPECT_EQ(file.GetStrings("test.strings").value(), (std::vector<std::string>{"a", "", "\u00df"}));
  EXPECT_EQ(*file.FindValue("test.ints"), GgufValue(GgufArray(std::vector<int64_t>{1, -2, 3})));
  EXPECT_EQ(*file.FindValue("test.floats"), GgufValue(GgufArray(std::vector<double>{0.5, -1.5})));
  EXPECT_EQ(*file.FindValue("test.bools"), GgufValue(GgufArray(std::vector<bool>{true, false})));
}

TEST(Gguf, ErrorsOfTypedAccessNameTheKey) {
  const auto opened = GgufFile::Open(kPlainTypes);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.value().GetInt("no.such").error().message(),
            "metadata key 'no.such' is missing, expected an integer");
  EXPECT_EQ(opened.value().GetInt("test.string").error().message(),
            "metadata key 'test.string' is not an integer");
  EXPECT_EQ(opened.value().GetStrings("test.ints").error().message(),
            "metadata key 'test.ints' is not a list of strings");
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  for (const char* text : {"", "GGU", "GGML....", "PK\x03\x04...."}) {
    EXPECT_EQ(GgufError(text), "does not start with 'GGUF'; this is no GGUF file");
  }
  EXPECT_EQ(GgufError(OneTensor().Build()), "parsed");
  ExpectError(OneTensor().Version(2), "GGUF version 2, octavo reads version 3");
  ExpectError(OneTensor().Version(4), "GGUF version 4");
  ExpectError(OneTensor().Version(0x03000000), "big-endian");
}

TEST(Gguf, RefusesHostileMetadata) {
  using B = GgufBuilder;
  const uint64_t huge = uint64_t{1} << 63;
  ExpectError(OneTensor().Counts(huge, 0), "at most 1048576");
  ExpectError(OneTensor().Counts(0, ~uint64_t{0}), "at most 1048576");
  ExpectError(OneTensor().Counts(1 << 20, 0), "tensor ''");
  ExpectError(OneTensor().U32("a", 1).U32("a", 1), "metadata key 'a' appears twice");
  ExpectError(OneTensor().U32("", 1), "metadata key ''");
  ExpectError(OneTensor().U32(std::string_view("a\0b", 3), 1), "metadata key 'a\\x00b'");
  ExpectError(OneTensor().U32(std::string(70000, 'k'), 1), "must be 1 to 65535 bytes");
  ExpectError(OneTensor().Key("a", B::Raw(uint32_t{13})), "metadata key 'a': value type 13");
  ExpectError(OneTensor().Key("a", B::Raw(uint32_t{10}) + B::Raw(huge)), "more than 2^63-1");
  ExpectError(OneTensor().Key("a", B::Raw(uint32_t{7}) + B::Raw(uint8_t{2})), "boolean 2");
  ExpectError(OneTensor().Key("a", B::Raw(uint32_t{8}) + B::Raw(~uint64_t{0})), "truncated");
  const auto list = [](uint32_t type, uint64_t count) {
    return B::Raw(uint32_t{9}) + B::Raw(type) + B::Raw(count);
  };
  ExpectError(OneTensor().Key("a", list(8, ~uint64_t{0})), "truncated");
  ExpectError(OneTensor().Key("a", list(10, uint64_t{1} << 61)), "truncated");
  ExpectError(OneTensor().Key("a", list(9, 1) + list(0, 0)), "a list of lists");
  ExpectError(OneTensor().Key("a", list(0, 9 << 20) + std::string(9 << 20, 'x')),
              "more than 8388608 list elements");
  for (const uint32_t alignment : {0U, 1U, 12U, 48U, 131072U, 0x80000000U, ~0U}) {
    ExpectError(OneTensor().U32("general.alignment", alignment), "expected a power of two");
  }
  ExpectError(OneTensor().String("general.alignment", "32"),
              "'general.alignment' is not an integer");
  EXPECT_EQ(GgufError(OneTensor().U32("general.alignment", 65536).Build(65536)), "parsed");
}

TEST(Gguf, RefusesHostileTensors) {
  ExpectError(OneTensor().F32Tensor("a", {1}, {1}), "tensor 'a' appears twice");
  ExpectError(GgufBuilder().F32Tensor("z", {0}, {}).F32Tensor("z", {0}, {}), "'z' appears twice");
  ExpectError(OneTensor(""), "tensor ''");
  ExpectError(OneTensor(std::string("a\0", 2)), "tensor 'a\\x00'");
  ExpectError(OneTensor("\xFF"), "1 to 64 bytes of text");
  ExpectError(OneTensor(std::string(65, 'n')), "1 to 64 bytes of text");
  EXPECT_EQ(GgufError(OneTensor(std::string(64, 'n')).Build()), "parsed");
  ExpectError(OneTensor().ClaimShape({1, 1, 1, 1, 2}), "5 dimensions");
  ExpectError(OneTensor().ClaimShape({-1}), "more than 2^63-1");
  const int64_t huge = int64_t{1} << 62;
  ExpectError(OneTensor().ClaimShape({huge, huge}), "more elements than any file");
  ExpectError(OneTensor().ClaimShape({huge}), "more elements than any file");
  ExpectError(OneTensor().ClaimShape({int64_t{1} << 40}), "tensor 'a': takes");
  ExpectError(OneTensor().ClaimShape({3}), "which has 8; the file is truncated");
  ExpectError(OneTensor().ClaimOffset(32), "begins at byte 32 of the data, expected 0");
  ExpectError(OneTensor().ClaimOffset(~uint64_t{0} - 7), "expected 0");
  ExpectError(OneTensor().F32Tensor("b", {1}, {1}).ClaimOffset(0), "tensor 'b': begins at byte 0");
  ExpectError(OneTensor().F32Tensor("b", {1}, {1}).ClaimOffset(64), "expected 32");
  ExpectError(OneTensor().ClaimType(10), "tensor 'a': type Q2_K; octavo reads");
  ExpectError(OneTensor().ClaimType(4), "type number 4");
  ExpectError(OneTensor().ClaimType(8), "rows of 2 elements are no multiple of the 32");
  ExpectError(OneTensor().ClaimType(2).ClaimShape({}), "rows of 1 elements");
  EXPECT_NE(GgufError(OneTensor().Build() + std::string(64, '\0')).find("bytes follow the last"),
            std::string::npos);
}

TEST(Gguf, EveryTruncationIsAnError) {
  const std::string file = core::ReadFile(kPlainTypes).value();
  const auto parsed = GgufFile::Parse(core::AsBytes(std::string_view(file)));
  ASSERT_TRUE(parsed.ok());
  // What follows the last tensor is padding, and some writers leave it out.
  const core::ByteSpan last = parsed.value().tensors().back().bytes;
  const auto end = static_cast<size_t>(core::AsText(last).data() + last.size() - file.data());
  EXPECT_EQ(GgufError(std::string_view(file).substr(0, end)), "parsed");
  for (size_t length = 0; length < end; ++length) {
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_NE(GgufError({cut.data(), cut.size()}), "parsed") << length;
  }
}

TEST(Gguf, AnyHeaderByteMayBeWrong) {
  const std::string file = core::ReadFile(kPlainTypes).value();
  const auto parsed = GgufFile::Parse(core::AsBytes(std::string_view(file)));
  ASSERT_TRUE(parsed.ok());
  const auto* data = reinterpret_cast<const char*>(parsed.value().tensors()[0].bytes.data());
  core::Random random(3);
  for (size_t i = 0; i < static_cast<size_t>(data - file.data()); ++i) {
    for (int trial = 0; trial < 8; ++trial) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(random.Next());
      EXPECT_EQ(GgufError(damaged).find('\n'), std::string::npos);
    }
  }
}

TEST(Gguf, RandomCutsOfALargeFileAreErrors) {
  GgufBuilder builder;
  for (int i = 0; i < 200; ++i) {
    builder.F32Tensor("t" + std::to_string(i), {1000}, std::vector<float>(1000));
  }
  const std::string file = builder.Build();
  ASSERT_EQ(GgufError(file), "parsed");
  core::Random random(4);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_NE(GgufError(std::string_view(file).substr(0, random.Below(file.size()))), "parsed");
  }
}

TEST(Gguf, ErrorsNameTheFile) {
  const core::TempFolder temp;
  const std::string path = temp / "broken.gguf";
  ASSERT_TRUE(core::WriteFileAtomic(path, "GGUF").ok());
  const auto file = GgufFile::Open(path);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().message().rfind(path + ": byte 4: ", 0), 0U) << file.error().message();
}

}  // namespace
}  // namespace octavo::format
