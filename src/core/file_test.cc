#include "core/file.h"

#include <csignal>
#include <filesystem>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/temp_folder.h"

namespace octavo::core {
namespace {

TEST(File, WriteThenReadGivesTheSameBytes) {
  const TempFolder folder;
  const std::string content("a\0b\n\xFF", 5);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", content).ok());
  EXPECT_EQ(ReadFile(folder / "f").value(), content);
  EXPECT_EQ(FileSize(folder / "f").value(), 5u);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "new", 0600).ok());
  EXPECT_EQ(ReadFile(folder / "f").value(), "new");
  struct stat info {};
  ASSERT_EQ(::stat((folder / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"f"});
}

TEST(File, ReadRefusesWhatIsTooLargeOrMissing) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "12345").ok());
  EXPECT_EQ(ReadFile(folder / "f", 5).value(), "12345");
  EXPECT_EQ(ReadFile(folder / "f", 4).error().code(), ErrorCode::kExhausted);
  // Endless, and its size says 0.
  EXPECT_EQ(ReadFile("/dev/zero", 1 << 20).error().code(), ErrorCode::kExhausted);
  EXPECT_EQ(ReadFile(folder / "none").error().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(ReadFile(folder.path()).ok());
  EXPECT_FALSE(ReadFile(std::string("a\0b", 3)).ok());
}

TEST(File, MapShowsTheBytesAndSurvivesReplacement) {
  const TempFolder folder;
  const std::string content(100'000, 'm');
  ASSERT_TRUE(WriteFileAtomic(folder / "f", content).ok());
  Result<MappedFile> opened = MappedFile::Open(folder / "f");
  ASSERT_TRUE(opened.ok());
  MappedFile map = std::move(opened).value();
  map.ReadAround(false);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "short").ok());
  map.DropPages(map.bytes().subspan(10, 50'000));
  EXPECT_EQ(AsText(map.bytes()), content);
  const MappedFile moved = std::move(map);
  EXPECT_EQ(AsText(moved.bytes()), content);
}

TEST(File, MapTellsWhatTheCacheHolds) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "f", std::string(100'000, 'c')).ok());
  const MappedFile file = MappedFile::Open(folder / "f").value();
  EXPECT_LE(file.CachedBytes(), 100'000U);
  uint64_t sum = 0;
  for (const std::byte byte : file.bytes()) sum += static_cast<uint64_t>(byte);
  EXPECT_GT(sum, 0U);
  EXPECT_EQ(file.CachedBytes(), 100'000U);
}

TEST(File, MapOfWhatIsNoFileIsAnError) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "empty", "").ok());
  EXPECT_TRUE(MappedFile::Open(folder / "empty").value().bytes().empty());
  EXPECT_FALSE(MappedFile::Open(folder.path()).ok());
  EXPECT_FALSE(MappedFile::Open("/dev/zero").ok());
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(MappedFile::Open(folder / "fifo").ok());
}

TEST(AtomicFile, NothingAppearsWithoutCommit) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "old").ok());
  {
    Result<AtomicFile> file = AtomicFile::Create(folder / "f");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file.value().Append(AsBytes("new")).ok());
    EXPECT_EQ(file.value().size_bytes(), 3u);
    EXPECT_EQ(ReadFile(folder / "f").value(), "old");
    AtomicFile moved = std::move(file).value();
  }
  EXPECT_EQ(ReadFile(folder / "f").value(), "old");
  EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"f"});
}

TEST(AtomicFile, ImpossibleTargetsAreErrors) {
  const TempFolder folder;
  EXPECT_FALSE(WriteFileAtomic(folder.path(), "x").ok());
  EXPECT_FALSE(WriteFileAtomic("", "x").ok());
  EXPECT_FALSE(WriteFileAtomic(folder / "..", "x").ok());
  EXPECT_EQ(WriteFileAtomic(folder / "none/f", "x").error().code(), ErrorCode::kNotFound);
}

// Stands in for a full disk: the kernel refuses to let any file of the child grow beyond 64 kB.
TEST(AtomicFile, FullDiskLeavesTheOldFileAndNoPartial) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "old").ok());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{65'536, 65'536};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    const Status status = WriteFileAtomic(folder / "f", std::string(1'000'000, 'x'));
    const bool right = !status.ok() && status.error().code() == ErrorCode::kExhausted &&
                       status.error().message().rfind(folder / "f: cannot write: ", 0) == 0 &&
                       status.error().message().find("ulimit -f") != std::string::npos;
    ::_exit(right ? 0 : 1);
  }
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 0) << state;
  EXPECT_EQ(ReadFile(folder / "f").value(), "old");
  EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"f"});
}

// Runs `work` in a child that dies without running any destructor, as kill -9 does.
template <typename Work>
void RunAndDie(const Work& work) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    work();
    ::kill(::getpid(), SIGKILL);
  }
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, 0), child);
  ASSERT_TRUE(WIFSIGNALED(state));
}

TEST(AtomicFile, LeftoversOfTheKilledGoAndWorkInProgressStays) {
  const TempFolder folder;
  Result<AtomicFile> in_progress = AtomicFile::Create(folder / "f");
  ASSERT_TRUE(in_progress.ok());
  RunAndDie([&] {
    AtomicFile file = AtomicFile::Create(folder / "f").value();
    static_cast<void>(file.Append(AsBytes("partial")).ok());
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_EQ(ListFolder(folder.path()).value().size(), 2u);
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "b").ok());
  EXPECT_EQ(ListFolder(folder.path()).value().size(), 2u);
  ASSERT_TRUE(in_progress.value().Append(AsBytes("a")).ok());
  ASSERT_TRUE(in_progress.value().Commit().ok());
  EXPECT_EQ(ReadFile(folder / "f").value(), "a");
  EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"f"});
}

TEST(AtomicDirectory, AppearsWholeAndReplacesWhole) {
  const TempFolder folder;
  for (const std::string content : {"first", "second"}) {
    Result<AtomicDirectory> out = AtomicDirectory::Create(folder / "model/");
    ASSERT_TRUE(out.ok()) << out.error().message();
    const std::string staging = out.value().staging();
    EXPECT_EQ(BaseName(staging)[0], '.');
    ASSERT_TRUE(MakeFolders(JoinPath(staging, "sub")).ok());
    ASSERT_TRUE(WriteFileAtomic(JoinPath(staging, "sub/f"), content).ok());
    ASSERT_TRUE(WriteFileAtomic(JoinPath(staging, content), content).ok());
    ASSERT_TRUE(out.value().Commit().ok());
    EXPECT_EQ(ReadFile(folder / "model/sub/f").value(), content);
    EXPECT_EQ(ListFolder(folder / "model").value(), (std::vector<std::string>{content, "sub"}));
    EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"model"});
  }
}

TEST(AtomicDirectory, WithoutCommitTheOldOneStays) {
  const TempFolder folder;
  ASSERT_TRUE(MakeFolders(folder / "model").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "model/f", "old").ok());
  {
    Result<AtomicDirectory> out = AtomicDirectory::Create(folder / "model");
    ASSERT_TRUE(out.ok());
    ASSERT_TRUE(WriteFileAtomic(JoinPath(out.value().staging(), "f"), "new").ok());
  }
  EXPECT_EQ(ReadFile(folder / "model/f").value(), "old");
  EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"model"});
}

TEST(AtomicDirectory, LeftoversOfTheKilledGoAndWorkInProgressStays) {
  const TempFolder folder;
  Result<AtomicDirectory> in_progress = AtomicDirectory::Create(folder / "model");
  ASSERT_TRUE(in_progress.ok());
  RunAndDie([&] {
    const AtomicDirectory out = AtomicDirectory::Create(folder / "model").value();
    static_cast<void>(WriteFileAtomic(JoinPath(out.staging(), "f"), "x").ok());
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_EQ(ListFolder(folder.path()).value().size(), 2u);
  ASSERT_TRUE(AtomicDirectory::Create(folder / "model").value().Commit().ok());
  EXPECT_TRUE(FolderExists(in_progress.value().staging()));
  ASSERT_TRUE(in_progress.value().Commit().ok());
  EXPECT_EQ(ListFolder(folder.path()).value(), std::vector<std::string>{"model"});
}

TEST(AtomicDirectory, FileInTheWayIsAnError) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "f", "x").ok());
  EXPECT_FALSE(AtomicDirectory::Create(folder / "f").ok());
  EXPECT_FALSE(AtomicDirectory::Create("/").ok());
  EXPECT_EQ(ReadFile(folder / "f").value(), "x");
}

TEST(File, FoldersListCopyAndGo) {
  const TempFolder folder;
  ASSERT_TRUE(MakeFolders(folder / "a/b/c").ok());
  ASSERT_TRUE(MakeFolders(folder / "a/b/c").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "a/x", std::string(3'000'000, 'y')).ok());
  ASSERT_TRUE(CopyFileAtomic(folder / "a/x", folder / "a/w").ok());
  EXPECT_EQ(ReadFile(folder / "a/w").value(), ReadFile(folder / "a/x").value());
  EXPECT_EQ(ListFolder(folder / "a").value(), (std::vector<std::string>{"b", "w", "x"}));
  EXPECT_TRUE(FolderExists(folder / "a/b"));
  EXPECT_FALSE(FileExists(folder / "a/b"));
  EXPECT_FALSE(CopyFileAtomic(folder / "none", folder / "z").ok());
  EXPECT_FALSE(ListFolder(folder / "none").ok());
  EXPECT_FALSE(MakeFolders(folder / "a/x/y").ok());
  ASSERT_TRUE(RemoveAll(folder / "a").ok());
  ASSERT_TRUE(RemoveAll(folder / "a").ok());
  EXPECT_TRUE(ListFolder(folder.path()).value().empty());
}

TEST(File, PathsAreJoinedAndTakenApart) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(BaseName("/a/b.txt"), "b.txt");
  EXPECT_EQ(BaseName("a/b/"), "b");
  EXPECT_EQ(BaseName("b"), "b");
  EXPECT_EQ(ParentFolder("/a/b"), "/a");
  EXPECT_EQ(ParentFolder("a/b/"), "a");
  EXPECT_EQ(ParentFolder("b"), ".");
  EXPECT_EQ(ParentFolder("/b"), "/");
}

}  // namespace
}  // namespace octavo::core
