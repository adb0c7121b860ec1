// The only file that includes sqlite3.h.
#include "registry/database.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/check.h"

namespace octavo::registry {
namespace {

using core::Error;
using core::Result;
using core::Status;

constexpr int kBusyTimeoutMs = 30'000;

// What a failed call means for the user; `code` is a result code of SQLite, extended or not.
Error DatabaseError(const std::string& path, int code, std::string_view detail) {
  const std::string place = core::PrintablePath(path);
  const std::string what = core::Printable(detail, 300);
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return core::Invalid(fmt::format(
          "{}: the registry is damaged ({}): restore it from a backup, or move it away to start an "
          "empty one; the artifacts beside it stay valid",
          place, what));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return core::IoError(fmt::format(
          "{}: another process kept the registry locked for {} s: try again when it is done", place,
          kBusyTimeoutMs / 1000));
    case SQLITE_FULL:
      return core::Exhausted(fmt::format("{}: the disk is full: make room and run again", place));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return core::IoError(fmt::format(
          "{}: cannot be opened for writing ({}): check the permissions of the file and its folder",
          place, what));
    default:
      return core::IoError(fmt::format("{}: {}", place, what));
  }
}

Error DatabaseError(sqlite3* database) {
  const char* path = sqlite3_db_filename(database, "main");
  return DatabaseError(path == nullptr ? "registry" : path, sqlite3_extended_errcode(database),
                       sqlite3_errmsg(database));
}

}  // namespace

struct Statement::Handle {
  sqlite3_stmt* statement = nullptr;
  int parameters = 0;      // bound so far
  int failed = SQLITE_OK;  // the first bind that failed
  ~Handle() { sqlite3_finalize(statement); }
};

Statement::Statement(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Statement::Statement(Statement&&) noexcept = default;
Statement& Statement::operator=(Statement&&) noexcept = default;
Statement::~Statement() = default;

Statement& Statement::Bind(std::string_view text) {
  const int code = sqlite3_bind_text64(handle_->statement, ++handle_->parameters, text.data(),
                                       text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (handle_->failed == SQLITE_OK) handle_->failed = code;
  return *this;
}

Statement& Statement::Bind(int64_t value) {
  const int code = sqlite3_bind_int64(handle_->statement, ++handle_->parameters, value);
  if (handle_->failed == SQLITE_OK) handle_->failed = code;
  return *this;
}

Statement& Statement::BindNull() {
  ++handle_->parameters;  // a parameter that is not bound is NULL
  return *this;
}

Result<bool> Statement::Step() {
  sqlite3* const database = sqlite3_db_handle(handle_->statement);
  if (handle_->failed != SQLITE_OK) {
    return DatabaseError("registry", handle_->failed, sqlite3_errstr(handle_->failed));
  }
  const int code = sqlite3_step(handle_->statement);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return DatabaseError(database);
}

Status Statement::Run() {
  OCTAVO_TRY(const bool row, Step());
  OCTAVO_CHECK(!row);
  return {};
}

std::string Statement::Text(int column) const {
  return OptionalText(column).value_or("");
}

int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(handle_->statement, column);
}

std::optional<std::string> Statement::OptionalText(int column) const {
  const unsigned char* text = sqlite3_column_text(handle_->statement, column);
  if (text == nullptr) return std::nullopt;
  const auto bytes = static_cast<size_t>(sqlite3_column_bytes(handle_->statement, column));
  return std::string(reinterpret_cast<const char*>(text), bytes);
}

std::optional<int64_t> Statement::OptionalInt(int column) const {
  if (sqlite3_column_type(handle_->statement, column) == SQLITE_NULL) return std::nullopt;
  return Int(column);
}

struct Database::Handle {
  sqlite3* database = nullptr;
  ~Handle() { sqlite3_close(database); }
};

Database::Database(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Result<Database> Database::Open(const std::string& path) {
  // SQLite would create the file for everybody to read; its log and index take over the mode.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return DatabaseError(path, SQLITE_CANTOPEN, std::strerror(errno));
  ::close(fd);

  auto handle = std::make_unique<Handle>();
  const int code = sqlite3_open_v2(path.c_str(), &handle->database,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) return DatabaseError(path, code, sqlite3_errstr(code));
  sqlite3_busy_timeout(handle->database, kBusyTimeoutMs);
  // A file from elsewhere can neither change its schema under us nor run functions from it.
  sqlite3_db_config(handle->database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle->database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  Database database(std::move(handle));
  OCTAVO_RETURN_IF_ERROR(database.Execute(
      "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON"));
  OCTAVO_TRY(Statement check, database.Prepare("PRAGMA quick_check(1)"));
  OCTAVO_TRY(const bool row, check.Step());
  if (!row || check.Text(0) != "ok") return DatabaseError(path, SQLITE_CORRUPT, check.Text(0));
  return database;
}

bool Database::HasWriteAheadLog(const std::string& path) {
  // Bytes 18 and 19 of the header, the versions that writers and readers need: 2 with a
  // write-ahead log (SQLite, "Database File Format", section 1.3.3).
  char versions[2] = {};
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t bytes = ::pread(fd, versions, sizeof(versions), 18);
  ::close(fd);
  return bytes == sizeof(versions) && versions[0] == 2 && versions[1] == 2;
}

Status Database::UseWriteAheadLog() {
  OCTAVO_TRY(Statement statement, Prepare("PRAGMA journal_mode=WAL"));
  OCTAVO_TRY(const bool row, statement.Step());
  if (row && statement.Text(0) == "wal") return {};
  return core::Unsupported(
      "the registry needs a file system with shared memory maps: point OCTAVO_HOME at a local "
      "disk");
}

Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_->database, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return DatabaseError(handle_->database);
  return {};
}

Result<Statement> Database::Prepare(std::string_view sql) {
  auto handle = std::make_unique<Statement::Handle>();
  const int code = sqlite3_prepare_v2(handle_->database, sql.data(), static_cast<int>(sql.size()),
                                      &handle->statement, nullptr);
  if (code != SQLITE_OK) return DatabaseError(handle_->database);
  return Statement(std::move(handle));
}

Result<Transaction> Transaction::Begin(Database& database) {
  // IMMEDIATE takes the write lock now, so that nothing read inside can be overtaken by another
  // writer.
  OCTAVO_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // Fails only when SQLite has already rolled back by itself.
  if (database_ != nullptr) static_cast<void>(database_->Execute("ROLLBACK").ok());
}

Status Transaction::Commit() {
  OCTAVO_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace octavo::registry
