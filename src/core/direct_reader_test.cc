#include "core/direct_reader.h"

#include <string>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/random.h"
#include "core/temp_folder.h"

namespace octavo::core {
namespace {

std::string RandomBytes(size_t size) {
  Random random(7);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Below(256));
  return bytes;
}

// All pieces of the part, each of the size that was asked for.
std::string ReadPart(DirectReader& reader, const MappedFile& file, size_t offset, size_t size,
                     size_t piece_bytes) {
  EXPECT_TRUE(reader.Begin(file, file.bytes().subspan(offset, size), piece_bytes).ok());
  std::string all;
  for (;;) {
    const Result<ByteSpan> piece = reader.Next();
    if (!piece.ok()) {
      ADD_FAILURE() << piece.error().message();
      return all;
    }
    if (piece.value().empty()) return all;
    EXPECT_EQ(piece.value().size(), std::min(piece_bytes, size - all.size()));
    all += AsText(piece.value());
  }
}

TEST(DirectReader, GivesEveryPartOfAFile) {
  const TempFolder folder;
  const std::string content = RandomBytes(300'001);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", content).ok());
  const MappedFile file = MappedFile::Open(folder / "f").value();
  DirectReader reader;
  struct Part {
    size_t offset, size, piece;
  };
  for (const Part& part : {Part{0, content.size(), 100'000}, Part{0, content.size(), 4096},
                           Part{1, 300'000, 4097}, Part{4095, 2, 1}, Part{4096, 4096, 4096},
                           Part{123'456, 100'000, 1000}, Part{300'000, 1, 10}, Part{7, 0, 10}}) {
    EXPECT_EQ(ReadPart(reader, file, part.offset, part.size, part.piece),
              content.substr(part.offset, part.size))
        << part.offset << " " << part.size << " " << part.piece;
  }
}

TEST(DirectReader, APartMayBeLeftForOneOfAnotherFile) {
  const TempFolder folder;
  const std::string content = RandomBytes(100'000);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", content).ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "g", content.substr(50'000)).ok());
  const MappedFile f = MappedFile::Open(folder / "f").value();
  const MappedFile g = MappedFile::Open(folder / "g").value();
  DirectReader reader;
  ASSERT_TRUE(reader.Begin(f, f.bytes(), 5000).ok());
  EXPECT_EQ(AsText(reader.Next().value()), content.substr(0, 5000));
  EXPECT_EQ(ReadPart(reader, g, 10, 40'000, 5000), content.substr(50'010, 40'000));
  EXPECT_EQ(ReadPart(reader, f, 5000, 20'000, 7000), content.substr(5000, 20'000));
  // Dropped in the middle by the end of the reader.
  ASSERT_TRUE(reader.Begin(f, f.bytes(), 5000).ok());
}

TEST(DirectReader, ReadsTheFileThatWasMappedWhateverIsUnderItsName) {
  const TempFolder folder;
  const std::string content = RandomBytes(50'000);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", content).ok());
  const MappedFile file = MappedFile::Open(folder / "f").value();
  ASSERT_TRUE(WriteFileAtomic(folder / "f", std::string(50'000, 'x')).ok());
  DirectReader reader;
  EXPECT_EQ(ReadPart(reader, file, 0, content.size(), 8192), content);
}

TEST(DirectReader, AFileThatHasBecomeShorterIsAnError) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "f", std::string(100'000, 'x')).ok());
  const MappedFile file = MappedFile::Open(folder / "f").value();
  ASSERT_EQ(::truncate((folder / "f").c_str(), 60'000), 0);
  DirectReader reader;
  ASSERT_TRUE(reader.Begin(file, file.bytes(), 50'000).ok());
  EXPECT_TRUE(reader.Next().ok());
  const Result<ByteSpan> piece = reader.Next();
  ASSERT_FALSE(piece.ok());
  EXPECT_NE(piece.error().message().find("shorter"), std::string::npos) << piece.error().message();
}

// There is no disk to go to.
TEST(DirectReader, ReadsWhatLiesInMemory) {
  const int fd = ::memfd_create("octavo-test", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  const std::string content = RandomBytes(20'000);
  ASSERT_EQ(::write(fd, content.data(), content.size()), 20'000);
  const MappedFile file = MappedFile::Open("/proc/self/fd/" + std::to_string(fd)).value();
  ::close(fd);
  DirectReader reader;
  EXPECT_EQ(ReadPart(reader, file, 100, 19'000, 4096), content.substr(100, 19'000));
}

}  // namespace
}  // namespace octavo::core
